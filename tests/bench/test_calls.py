"""Bench callers call a staged engine, in time that jumps, and one real engine."""

import wave
from functools import partial
from pathlib import Path

import anyio
import pytest

from vivavoce.audio.audible import speech_in
from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.client import RealtimeClient
from vivavoce.client.microphone_feed import FRAME_SECONDS, frames_of
from vivavoce.errors import ConfigError
from vivavoce.protocol import events as e
from vivavoce.protocol.responses import Response
from vivavoce.protocol.session import AnySession, Session
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.session.line import Line
from vivavoce_bench.caller import LIMITS, Dial, calling
from vivavoce_bench.clips import BUILT_IN, Clip, clips_in
from vivavoce_bench.measures import audio_delta

pytestmark = pytest.mark.anyio

SILENT_S = 0.2
SECOND = bytes(2400) + b"\x70\x70" * (24_000 - 1200)
"""audible from 0.05 s on"""


class FakeEngine:
    """Answers 0.3 s after the last loud frame with one second of audio; knows the time only by its frames."""

    def __init__(self) -> None:
        self.arrivals: list[float] = []
        self.updates: list[Session] = []
        self._quiet = 0.0
        self._heard = False
        self._answers = 0

    async def converse(self, line: Line, session: AnySession | None = None) -> None:
        await line.send(e.SessionCreated(session=DEFAULT))
        async for event in line:
            if isinstance(event, e.SessionUpdate) and isinstance(event.session, Session):
                self.updates.append(event.session)
                await line.send(e.SessionUpdated(session=merge(DEFAULT, event.session)))
            elif isinstance(event, e.InputAudioBufferAppend):
                await self._on_frame(line, event.audio)

    async def _on_frame(self, line: Line, frame: bytes) -> None:
        self.arrivals.append(anyio.current_time())
        loud = max(frame) > 100 and len(set(frame)) <= 2
        self._quiet = 0.0 if loud else self._quiet + FRAME_SECONDS
        self._heard = self._heard or loud
        if self._heard and self._quiet >= 0.3 - 1e-9:
            self._heard = False
            await self._answer(line)

    async def _answer(self, line: Line) -> None:
        self._answers += 1
        name = f"r{self._answers}"
        await line.send(
            e.ResponseCreated(response=Response(id=name, status="in_progress", output=(), conversation_id=None))
        )
        await line.send(audio_delta(name, f"item_{name}", SECOND))
        await line.send(
            e.ResponseDone(response=Response(id=name, status="completed", output=(), conversation_id=None))
        )


def dial(engine: FakeEngine) -> Dial:
    return partial(RealtimeClient, engine, limits=LIMITS)


def recording(folder: Path, *, before: float = 0.1, speech: float = 0.5, after: float = SILENT_S) -> Clip:
    """A tone with silence around it, as a file that is read like any other."""
    silent, loud = b"\0\0", b"\x70\x70"
    sound = silent * int(24000 * before) + loud * int(24000 * speech) + silent * int(24000 * after)
    with wave.open(str(folder / "tone.wav"), "wb") as file:
        file.setparams((1, 2, 24000, 0, "NONE", ""))
        file.writeframes(sound)
    return clips_in(folder)[0]


async def test_latency_is_measured_from_the_end_of_speech_in_the_file(tmp_path: Path) -> None:
    clip = recording(tmp_path)
    assert (clip.speech_start, clip.speech_end) == pytest.approx((0.1, 0.6))
    async with calling(dial(FakeEngine())) as caller:
        first = await caller.ask(clip)
        second = await caller.ask(clip)
    assert first.latency == pytest.approx(0.35)
    assert second.latency == pytest.approx(0.35)


async def test_frames_are_sent_on_an_absolute_schedule_without_end(tmp_path: Path) -> None:
    engine = FakeEngine()
    async with calling(dial(engine)) as caller:
        await caller.ask(recording(tmp_path))
    gaps = [later - earlier for earlier, later in zip(engine.arrivals, engine.arrivals[1:], strict=False)]
    assert gaps == pytest.approx([FRAME_SECONDS] * len(gaps))
    assert len(gaps) > 50


async def test_a_caller_who_gets_no_answer_goes_on(tmp_path: Path) -> None:
    nothing = recording(tmp_path, speech=0.02)
    hush = Clip("hush", None, speech_end=0.5)
    async with calling(dial(FakeEngine())) as caller:
        assert (await caller.ask(hush)).failed == "no answer"
        assert (await caller.ask(nothing)).latency is not None


async def test_the_session_is_as_it_was_asked_for() -> None:
    engine = FakeEngine()
    async with calling(dial(engine), Session(instructions="Be brief.")):
        assert engine.updates == [Session(instructions="Be brief.")]


async def test_what_comes_for_a_noise_is_told() -> None:
    async with calling(dial(FakeEngine())) as caller:
        assert await caller.play_and_watch(Clip("hush", None, speech_end=1), watch=1) == []


# recordings


def test_our_own_recordings_are_small_and_attributed() -> None:
    clips = clips_in(BUILT_IN)
    assert sum(file.stat().st_size for file in BUILT_IN.iterdir()) <= 400_000
    assert {clip.path for clip in clips} == set(BUILT_IN.glob("*.wav"))
    assert all(len(clip.frames) * FRAME_SECONDS >= clip.speech_end - 0.1 for clip in clips)
    assert "licence" in (BUILT_IN / "README.md").read_text(encoding="utf-8")


def test_speech_is_found_by_its_energy() -> None:
    brooklyn = next(clip for clip in clips_in(BUILT_IN) if clip.name == "brooklyn")
    start, end = speech_in(b"".join(brooklyn.frames), OUTPUT_RATE)
    assert start == pytest.approx(brooklyn.speech_start, abs=0.15)
    assert end == pytest.approx(brooklyn.speech_end, abs=0.15)
    assert speech_in(bytes(48000), OUTPUT_RATE) == (0.0, 0.0)


def test_the_last_frame_is_filled_up() -> None:
    assert [len(frame) for frame in frames_of(b"\1" * 1000)] == [960, 960]


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither"):
        clips_in(tmp_path)
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    with pytest.raises(ConfigError, match="cannot be read"):
        clips_in(tmp_path)
