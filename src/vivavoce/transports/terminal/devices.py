"""Microphones and loudspeakers: audio devices by PortAudio, or WAV files in real time.

PortAudio's callbacks run in its own threads. Files make conversations repeatable, and record them.
"""

import asyncio
import wave
from collections.abc import AsyncIterator
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import anyio
import anyio.to_thread

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.audio.resample import Resampler
from vivavoce.errors import ConfigError

if TYPE_CHECKING:
    from types import ModuleType

FRAME_BYTES = 960
"""20 ms of mono PCM16 at 24 kHz"""
_FRAME_SECONDS = 0.02
_MAX_UNREAD_FRAMES = 250

Device = int | str | None


class MicrophoneDevice(Protocol):
    def frames(self) -> AsyncIterator[bytes]:
        """Yield frames of `FRAME_BYTES` in real time. Ends when there are no more."""
        ...


class SoundSource(Protocol):
    def read_padded(self, size: int) -> bytes:
        """Return the next `size` bytes to play, with silence where there is nothing. Called in any thread."""
        ...


class LoudspeakerDevice(Protocol):
    @property
    def latency_ms(self) -> float:
        """Milliseconds between reading audio and its playback."""
        ...

    async def play(self, playout: SoundSource) -> None:
        """Read the audio to be played, in real time, until cancelled."""
        ...


async def ticks() -> AsyncIterator[float]:
    """Yield the event loop's time every 20 ms; ticks that are late follow immediately."""
    due = anyio.current_time()
    while True:
        await anyio.sleep_until(due)
        yield due
        due += _FRAME_SECONDS


# WAV files


class FileMicrophone:
    """Plays a recording into the call, in real time."""

    def __init__(self, audio: bytes) -> None:
        """`audio` is mono PCM16 at 24 kHz."""
        self._audio = audio

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield 20 ms every 20 ms, until the recording ends."""
        at = 0
        async for _ in ticks():
            if at >= len(self._audio):
                return
            yield self._audio[at : at + FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
            at += FRAME_BYTES


class FileLoudspeaker:
    """Writes the audio to a WAV file, including silence, so that it is aligned with the caller's recording."""

    latency_ms = 0.0

    def __init__(self, path: Path) -> None:
        """Write to this file, which is overwritten."""
        self._path = path

    async def play(self, playout: SoundSource) -> None:
        """Write 20 ms every 20 ms, until cancelled; after that the file is complete."""
        one = anyio.CapacityLimiter(1)
        with wave.open(str(self._path), "wb") as file:
            file.setparams((1, 2, OUTPUT_RATE, 0, "NONE", ""))
            async for _ in ticks():
                audio = playout.read_padded(FRAME_BYTES)
                await anyio.to_thread.run_sync(file.writeframesraw, audio, limiter=one)


# audio devices


class _Card:
    kind: Literal["input", "output"]

    def __init__(self, device: Device = None) -> None:
        """Return a device by its number or a part of its name; None is the default. Raises `ConfigError`."""
        self._portaudio = portaudio = _portaudio()
        settings = {"device": device, "channels": 1, "dtype": "int16"}
        try:
            self._rate = int(portaudio.query_devices(device, self.kind)["default_samplerate"])
            with suppress(portaudio.PortAudioError):
                getattr(portaudio, f"check_{self.kind}_settings")(samplerate=OUTPUT_RATE, **settings)
                self._rate = OUTPUT_RATE
        except (ValueError, portaudio.PortAudioError) as error:
            what = "microphone" if self.kind == "input" else "loudspeaker"
            which = "" if device is None else f" {device!r}"
            message = f"There is no {what}{which}; viva talk --list-devices lists the devices."
            raise ConfigError(message) from error
        self._settings = {**settings, "samplerate": self._rate, "blocksize": self._rate // 50}


class CardMicrophone(_Card):
    """A microphone of this computer, by PortAudio."""

    kind = "input"

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield frames of 20 ms; frames that are not read for five seconds are dropped."""
        loop, resampler = asyncio.get_running_loop(), Resampler(self._rate, OUTPUT_RATE)
        send, receive = anyio.create_memory_object_stream[bytes](inf)

        def append(audio: bytes) -> None:
            if send.statistics().current_buffer_used > _MAX_UNREAD_FRAMES:
                receive.receive_nowait()
            send.send_nowait(audio)

        def on_audio(audio: object, *_: object) -> None:
            loop.call_soon_threadsafe(append, bytes(audio))  # type: ignore[call-overload]  # a buffer of C's

        rest = b""
        with self._portaudio.RawInputStream(callback=on_audio, **self._settings), send, receive:
            async for audio in receive:
                rest += resampler.push(audio)
                while len(rest) >= FRAME_BYTES:
                    yield rest[:FRAME_BYTES]
                    rest = rest[FRAME_BYTES:]


class CardLoudspeaker(_Card):
    """A loudspeaker of this computer, by PortAudio."""

    kind = "output"
    latency_ms = 0.0

    async def play(self, playout: SoundSource) -> None:
        """Play until cancelled."""
        resampler, rest = Resampler(OUTPUT_RATE, self._rate), bytearray()

        def on_request(out: memoryview, *_: object) -> None:
            while len(rest) < len(out):
                rest.extend(resampler.push(playout.read_padded(FRAME_BYTES)))
            out[:] = bytes(rest[: len(out)])
            del rest[: len(out)]

        with self._portaudio.RawOutputStream(callback=on_request, **self._settings) as stream:
            self.latency_ms = float(stream.latency) * 1000
            await anyio.sleep_forever()


def describe_devices() -> str:
    """Return the audio devices of this computer, one per line. Raises `ConfigError`."""
    return str(_portaudio().query_devices()) or "There is no sound device."


def _portaudio() -> "ModuleType":
    try:
        import sounddevice
    except ImportError as error:
        missing = "a package that is not installed; write: pip install 'vivavoce[terminal]'"
        raise ConfigError(f"A microphone and a loudspeaker need {missing}.") from error
    except OSError as error:
        missing = "the library PortAudio; on Debian and Ubuntu write: sudo apt install libportaudio2"
        raise ConfigError(f"A microphone and a loudspeaker need {missing}.") from error
    module: ModuleType = sounddevice
    return module
