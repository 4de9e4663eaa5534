"""Recordings of people, ready to be said into a line: where their speech begins and ends, and its frames."""

import csv
import random
import wave
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.audio.resample import resample
from vivavoce.errors import ConfigError

__all__ = ["BUILT_IN", "FRAME_SECONDS", "HUSHED", "Clip", "clips_in", "frames"]

BUILT_IN = Path(__file__).parent / "recordings"
FRAME_SECONDS = 0.02
FRAME = int(OUTPUT_RATE * FRAME_SECONDS) * 2

_NEEDED = {"id", "file", "speech_start_s", "speech_end_s"}


def frames(sound: bytes) -> list[bytes]:
    """Cut sound at `OUTPUT_RATE` into frames of 20 ms, the last filled up with silence."""
    return [sound[start : start + FRAME].ljust(FRAME, b"\0") for start in range(0, len(sound), FRAME)]


def _room_tone(seconds: int = 1, loudness: int = 6) -> bytes:
    chance = random.Random(20)  # noqa: S311  (a noise, not a secret; the same every time)
    return array("h", (chance.randint(-loudness, loudness) for _ in range(OUTPUT_RATE * seconds))).tobytes()


HUSHED: Sequence[bytes] = frames(_room_tone())
"""One second of a quiet room (-76 dBFS): what a microphone hears when nobody speaks."""


@dataclass(frozen=True)
class Clip:
    """One recording. `speech_start` and `speech_end` are seconds from its beginning."""

    name: str
    path: Path | None
    category: str = ""
    transcript: str = ""
    language: str = "en"
    speech_start: float = 0.0
    speech_end: float = 0.0
    surely: bool = True
    """whether the detectors agree (to 0.2 s) on where the speech ends"""

    @cached_property
    def frames(self) -> Sequence[bytes]:
        """Its sound at `OUTPUT_RATE`, 20 ms each; without a file it is `speech_end` seconds of hush."""
        if self.path is None:
            return [HUSHED[tick % len(HUSHED)] for tick in range(round(self.speech_end / FRAME_SECONDS))]
        return frames(_read(self.path))


def clips_in(folder: Path) -> list[Clip]:
    """Return the recordings of a folder: those of its `manifest.csv`, else every WAV, measured by energy.

    Raises `ConfigError` where there are none, or the manifest cannot be read.
    """
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        return [_listed(manifest, row) for row in _rows(manifest)]
    found = sorted(folder.glob("*.wav"))
    if not found:
        raise ConfigError(f"{folder} holds neither a manifest.csv nor any .wav file.")
    return [_measured(path) for path in found]


def _rows(manifest: Path) -> list[dict[str, str]]:
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{manifest} cannot be read: {error}.") from error
    if not rows or _NEEDED - rows[0].keys():
        raise ConfigError(f"{manifest} needs rows with the columns {', '.join(sorted(_NEEDED))}.")
    return rows


def _listed(manifest: Path, row: Mapping[str, str]) -> Clip:
    def seconds(column: str) -> float:
        try:
            return float(row.get(column) or 0)
        except ValueError as error:
            raise ConfigError(f"{manifest}: {row['id']} has {row[column]!r} as its {column}.") from error

    return Clip(
        name=row["id"],
        path=manifest.parent / row["file"],
        category=row.get("category", ""),
        transcript=row.get("transcript", ""),
        language=row.get("language", "") or "en",
        speech_start=seconds("speech_start_s"),
        speech_end=seconds("speech_end_s"),
        surely=seconds("end_spread_s") <= 0.2,
    )


def _measured(path: Path) -> Clip:
    start, end = speech_in(_read(path))
    return Clip(path.stem, path, speech_start=start, speech_end=end)


def speech_in(sound: bytes) -> tuple[float, float]:
    """Return from when to when there is speech: 20 ms as loud as a twentieth of the loudest count."""
    samples = array("h", sound)
    size = FRAME // 2
    peaks = [max(map(abs, samples[start : start + size])) for start in range(0, len(samples), size)]
    loud = [index for index, peak in enumerate(peaks) if peak >= max(150, max(peaks) / 20)]
    return (loud[0] * FRAME_SECONDS, (loud[-1] + 1) * FRAME_SECONDS) if loud else (0.0, 0.0)


def _read(path: Path) -> bytes:
    """Return a WAV's sound at `OUTPUT_RATE`."""
    try:
        with wave.open(str(path)) as file:
            if file.getsampwidth() != 2 or file.getnchannels() != 1:
                raise ConfigError(f"{path} must be mono with 16-bit samples for the bench.")
            return resample(file.readframes(file.getnframes()), file.getframerate(), OUTPUT_RATE)
    except (OSError, EOFError, wave.Error) as error:
        raise ConfigError(f"{path} cannot be read as WAV: {error}.") from error
