"""Recordings that come by HTTP: decoding within the limits, and what is answered where that fails."""

from functools import partial

import anyio.to_thread

from vivavoce.audio.decode import NotAudio, TooLong, decode
from vivavoce.audio.rates import INPUT_RATE
from vivavoce.limits import Limits
from vivavoce.transports.upload import SILENT
from vivavoce.web.errors import HttpError, invalid_request, needs_pyav

LIMIT_NAMES = ("upload_seconds", "input_buffer_seconds")


class Recordings:
    """Decodes the recordings of some endpoints, two at once.

    `is_turn` means that a recording is one turn of a conversation. A file that is no audio is answered with the
    status `not_audio`, one without sound with `no_sound`.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        rate: int = INPUT_RATE,
        is_turn: bool = False,
        not_audio: int = 400,
        no_sound: int = 400,
    ) -> None:
        names = LIMIT_NAMES if is_turn else LIMIT_NAMES[:1]
        self._max_seconds, self._limit = min((getattr(limits, name), name) for name in names)
        self._rate, self._not_audio, self._no_sound = rate, not_audio, no_sound
        self._threads = anyio.CapacityLimiter(2)

    async def decode(self, recording: bytes, param: str) -> bytes:
        """Return a recording as PCM. Raises `HttpError` that names `param`."""
        if not recording:
            message = "This recording is empty; record something, and send it again."
            raise invalid_request(param, message, code="empty_recording")
        decoding = partial(decode, recording, rate=self._rate, max_seconds=self._max_seconds)
        try:
            audio = await anyio.to_thread.run_sync(decoding, limiter=self._threads)
        except TooLong as error:
            message = f"The recording is longer than {self._max_seconds:g} seconds (limits.{self._limit})."
            raise HttpError(413, message, code="recording_too_long", param=param) from error
        except NotAudio as error:
            message = f"This file cannot be read as audio: {error}. Send WebM, Ogg, MP3, M4A, WAV or FLAC."
            raise HttpError(self._not_audio, message, code="invalid_audio", param=param) from error
        except ImportError as error:
            raise needs_pyav("Reading recordings", param) from error
        if not audio:
            message = "There is no audio in this recording; record something, and send it again."
            raise HttpError(self._no_sound, message, code="empty_recording", param=param)
        return audio


def no_speech(param: str, status: int = 400) -> HttpError:
    """Return the error for a recording in which nobody speaks."""
    return HttpError(status, SILENT, code="no_speech", param=param)
