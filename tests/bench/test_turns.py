"""The measure of turn-taking, with a detector that hears loudness and a transcriber that knows one sentence."""

import csv
import wave
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.errors import ConfigError
from vivavoce.providers.base import Transcript
from vivavoce_bench.clips import clips_in
from vivavoce_bench.report import show_turns
from vivavoce_bench.turns import TurnReport, run

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

LOUD, QUIET = b"\x00\x20", b"\x00\x00"


class Loudness:
    def detector(self) -> "Loudness":
        return self

    def probability(self, frame: bytes) -> float:
        return 0.9 if frame.count(LOUD) > len(frame) // 4 else 0.0


class Knowing:
    """Hears the words by the length of the sound."""

    def __init__(self, words: str) -> None:
        self.words = words

    async def transcribe(
        self, audio: bytes, *, language: str | None = None, prompt: str | None = None
    ) -> Transcript:
        return Transcript(self.words)

    async def predict_end_of_turn(self, audio: bytes) -> float:
        return 0.9


def recording(path: Path, *stretches: tuple[bytes, float]) -> None:
    pytest.importorskip("av")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, INPUT_RATE, 0, "NONE", ""))
        for sample, seconds in stretches:
            file.writeframes(sample * int(seconds * INPUT_RATE))


def manifest(folder: Path, rows: Sequence[tuple[str, str, str, str]]) -> None:
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "file", "category", "speech_start_s", "speech_end_s"))
        writer.writerows((clip, f"{clip}.wav", *rest) for clip, *rest in rows)


async def measured(folder: Path, words: str) -> TurnReport:
    recording(folder / "question.wav", (QUIET, 0.32), (LOUD, 1.6))
    recording(folder / "slow.wav", (LOUD, 0.96), (QUIET, 0.8), (LOUD, 0.96))
    recording(folder / "nod.wav", (LOUD, 0.256), (QUIET, 0.5))
    recording(folder / "still.wav", (QUIET, 1))
    rows = [
        ("question", "command", "0.32", "1.92"),
        ("slow", "pause", "0", "2.72"),
        ("nod", "backchannel", "0", "0.256"),
        ("still", "noise", "", ""),
        ("talk", "meeting", "", ""),
    ]
    manifest(folder, rows)
    return await run(clips_in(folder), vad=Loudness(), turn=Knowing(words), transcriber=Knowing(words))


async def test_waits_are_counted_from_the_end_of_speech(tmp_path: Path) -> None:
    report = await measured(tmp_path, "How old is the bridge?")
    question, slow = report.turns["medium"]
    assert question.wait_ms is not None
    assert 128 < question.wait_ms < 256
    assert slow.wait_ms is not None
    assert slow.wait_ms < 0
    assert [turn.wait_ms for turn in report.turns["silence of 1000 ms"]] == [1024, 1024]


async def test_only_real_words_over_our_voice_stop_us(tmp_path: Path) -> None:
    over = {over.clip: over for over in (await measured(tmp_path, "No, wait.")).over}
    assert over["question"].stopped_ms is not None
    assert over["question"].stopped_ms < 400
    assert over["still"].held_ms is None
    nods = {over.clip: over for over in (await measured(tmp_path, "Uh-huh.")).over}
    assert nods["nod"].held_ms is not None
    assert nods["nod"].stopped_ms is None


async def test_the_report_prints(tmp_path: Path) -> None:
    console = Console(record=True, width=120, quiet=False, file=(tmp_path / "out.txt").open("w"))
    show_turns(await measured(tmp_path, "How old is the bridge?"), console)
    console.file.close()
    text = console.export_text()
    assert "50.0 % (1/2)" in text
    assert "backchannel" in text


async def test_a_folder_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    knowing = Knowing("")
    with pytest.raises(ConfigError, match=r"manifest\.csv"):
        await run(clips_in(tmp_path), vad=Loudness(), turn=None, transcriber=knowing)
    (tmp_path / "manifest.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="columns"):
        await run(clips_in(tmp_path), vad=Loudness(), turn=None, transcriber=knowing)
    manifest(tmp_path, [("lost", "read", "soon", "1")])
    with pytest.raises(ConfigError, match="lost has 'soon' as its speech_start_s"):
        await run(clips_in(tmp_path), vad=Loudness(), turn=None, transcriber=knowing)
    manifest(tmp_path, [("lost", "read", "0", "1")])
    with pytest.raises(ConfigError, match=r"lost\.wav"):
        await run(clips_in(tmp_path), vad=Loudness(), turn=None, transcriber=knowing)
