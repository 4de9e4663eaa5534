"""The computer's own microphone and loudspeaker, by PortAudio. Its callbacks run in threads of its own."""

import asyncio
from collections.abc import AsyncIterator
from math import inf
from typing import TYPE_CHECKING

import anyio

from vivavoce.audio.resample import Resampler
from vivavoce.errors import ConfigError
from vivavoce.transports.playout import Playout
from vivavoce.transports.terminal.transport import FRAME_BYTES

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["CardLoudspeaker", "CardMicrophone", "describe_devices"]

Device = int | str | None

_RATE = 24_000
_FRAMES_KEPT = 250


def describe_devices() -> str:
    """Return what microphones and loudspeakers there are, one a line. Raises `ConfigError`."""
    return str(_portaudio().query_devices()) or "There is no sound device."


class CardMicrophone:
    """A microphone, by its number or a part of its name; None is the computer's default."""

    def __init__(self, device: Device = None) -> None:
        """Choose a device. Raises `ConfigError` if there is none."""
        self._portaudio = _portaudio()
        self._device = device
        self._rate = _rate(self._portaudio, device, "input")

    async def listen(self) -> AsyncIterator[bytes]:
        """Yield frames of 20 ms; if nobody takes them for five seconds, the oldest are lost."""
        loop, resampler = asyncio.get_running_loop(), Resampler(self._rate, _RATE)
        send, receive = anyio.create_memory_object_stream[bytes](inf)

        def offer(sound: bytes) -> None:
            if send.statistics().current_buffer_used > _FRAMES_KEPT:
                receive.receive_nowait()
            send.send_nowait(sound)

        def heard(sound: object, *_: object) -> None:
            loop.call_soon_threadsafe(offer, bytes(sound))  # type: ignore[call-overload]  # a buffer of C's

        stream = self._portaudio.RawInputStream(
            samplerate=self._rate,
            blocksize=self._rate // 50,
            device=self._device,
            channels=1,
            dtype="int16",
            callback=heard,
        )
        rest = b""
        with stream, send, receive:
            async for sound in receive:
                rest += resampler.push(sound)
                while len(rest) >= FRAME_BYTES:
                    yield rest[:FRAME_BYTES]
                    rest = rest[FRAME_BYTES:]


class CardLoudspeaker:
    """A loudspeaker, by its number or a part of its name; None is the computer's default."""

    def __init__(self, device: Device = None) -> None:
        """Choose a device. Raises `ConfigError` if there is none."""
        self._portaudio = _portaudio()
        self._device = device
        self._rate = _rate(self._portaudio, device, "output")
        self.lag_ms = 0.0

    async def play(self, playout: Playout) -> None:
        """Play until cancelled."""
        resampler, rest = Resampler(_RATE, self._rate), bytearray()

        def wanted(out: memoryview, *_: object) -> None:
            while len(rest) < len(out):
                rest.extend(resampler.push(playout.take(FRAME_BYTES)))
            out[:] = bytes(rest[: len(out)])
            del rest[: len(out)]

        stream = self._portaudio.RawOutputStream(
            samplerate=self._rate,
            blocksize=self._rate // 50,
            device=self._device,
            channels=1,
            dtype="int16",
            callback=wanted,
        )
        with stream:
            self.lag_ms = float(stream.latency) * 1000
            await anyio.sleep_forever()


def _portaudio() -> "ModuleType":
    try:
        import sounddevice
    except ImportError as error:
        raise ConfigError(
            "The microphone needs a package that is not here; write: pip install 'vivavoce[terminal]'"
        ) from error
    except OSError as error:
        raise ConfigError(
            "The microphone needs the library PortAudio; on Debian and Ubuntu write: "
            "sudo apt install libportaudio2"
        ) from error
    module: ModuleType = sounddevice
    return module


def _rate(portaudio: "ModuleType", device: Device, kind: str) -> int:
    """Return 24 kHz if the device knows it, else its own rate."""
    check = portaudio.check_input_settings if kind == "input" else portaudio.check_output_settings
    try:
        check(device=device, channels=1, dtype="int16", samplerate=_RATE)
    except portaudio.PortAudioError:
        try:
            return int(portaudio.query_devices(device, kind)["default_samplerate"])
        except portaudio.PortAudioError as error:
            raise ConfigError(_no_device(kind, device)) from error
    except ValueError as error:
        raise ConfigError(_no_device(kind, device)) from error
    return _RATE


def _no_device(kind: str, device: Device) -> str:
    what = "microphone" if kind == "input" else "loudspeaker"
    which = "" if device is None else f" {device!r}"
    return f"There is no {what}{which} here; viva talk --list-devices shows what there is."
