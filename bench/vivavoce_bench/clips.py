"""Recordings of people: where their speech begins and ends, and their audio in frames of 20 ms."""

import csv
import random
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vivavoce.audio.audible import speech_in
from vivavoce.audio.decode import NotAudio, TooLong, decode
from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.client.microphone_feed import FRAME_SECONDS, frames_of
from vivavoce.errors import ConfigError

BUILT_IN = Path(__file__).parent / "recordings"
LONGEST_SECONDS = 120

_NEEDED = {"id", "file", "speech_start_s", "speech_end_s"}


def _room_tone() -> bytes:
    chance = random.Random(20)  # noqa: S311  (noise, not a secret; the same every time)
    return array("h", (chance.randint(-6, 6) for _ in range(OUTPUT_RATE))).tobytes()


ROOM_TONE: Sequence[bytes] = frames_of(_room_tone())
"""One second of a quiet room (-76 dBFS): what a microphone records when nobody speaks."""


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
    end_is_certain: bool = True
    """whether the detectors agree (to 0.2 s) on where the speech ends"""

    @cached_property
    def frames(self) -> Sequence[bytes]:
        """Its audio at `OUTPUT_RATE`, 20 ms each; without a file, `speech_end` seconds of room tone."""
        if self.path is None:
            return [ROOM_TONE[tick % len(ROOM_TONE)] for tick in range(round(self.speech_end / FRAME_SECONDS))]
        return frames_of(read(self.path, OUTPUT_RATE))


def clips_in(folder: Path) -> list[Clip]:
    """Return the recordings of a folder: those in its `manifest.csv`, else every WAV, measured by energy.

    Raises `ConfigError` if there are none, or the manifest cannot be read.
    """
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        return [_listed(manifest, row) for row in _rows(manifest)]
    found = sorted(folder.glob("*.wav"))
    if not found:
        raise ConfigError(f"{folder} has neither a manifest.csv nor any .wav file.")
    spoken = {path: speech_in(read(path, OUTPUT_RATE), OUTPUT_RATE) for path in found}
    return [Clip(path.stem, path, speech_start=start, speech_end=end) for path, (start, end) in spoken.items()]


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
        end_is_certain=seconds("end_spread_s") <= 0.2,
    )


def read(path: Path, rate: int) -> bytes:
    """Return a recording as 16-bit mono PCM at `rate` Hz. Raises `ConfigError`."""
    try:
        return decode(path.read_bytes(), rate=rate, max_seconds=LONGEST_SECONDS)
    except (OSError, NotAudio, TooLong) as error:
        raise ConfigError(f"{path} cannot be read as a recording: {error}.") from error
