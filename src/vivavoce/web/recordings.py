"""Recordings that come by HTTP: decoding within the limits, and what is answered where that fails."""

from functools import partial

import anyio.to_thread

from vivavoce.audio.decode import NotAudio, TooLong, decode
from vivavoce.audio.rates import INPUT_RATE
from vivavoce.limits import Limits
from vivavoce.web.errors import HttpError, invalid_request, needs_pyav


class Recordings:
    """Decodes the recordings of one endpoint, two at once."""

    def __init__(self, limits: Limits) -> None:
        self._max_seconds = limits.upload_seconds
        self._threads = anyio.CapacityLimiter(2)

    async def decode(self, recording: bytes, param: str) -> bytes:
        """Return a recording as PCM at `INPUT_RATE`. Raises `HttpError` that names `param`."""
        if not recording:
            raise invalid_request(param, "This recording is empty.", code="empty_recording")
        decoding = partial(decode, recording, rate=INPUT_RATE, max_seconds=self._max_seconds)
        try:
            audio = await anyio.to_thread.run_sync(decoding, limiter=self._threads)
        except TooLong as error:
            message = f"The recording is longer than {self._max_seconds:g} seconds (limits.upload_seconds)."
            raise HttpError(413, message, code="recording_too_long", param=param) from error
        except NotAudio as error:
            message = f"This file cannot be read as audio: {error}."
            raise invalid_request(param, message, code="invalid_audio") from error
        except ImportError as error:
            raise needs_pyav("Reading recordings", param) from error
        if not audio:
            raise invalid_request(param, "There is no audio in this recording.", code="empty_recording")
        return audio


def no_speech(param: str) -> HttpError:
    """Return the error for a recording in which nobody speaks."""
    return invalid_request(param, "There is no speech in this recording.", code="no_speech")
