"""Bench callers call a staged engine, in time that jumps, and one real server."""

import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from vivavoce.errors import ConfigError
from vivavoce.protocol.session import Session
from vivavoce_bench.caller import calling
from vivavoce_bench.clips import BUILT_IN, FRAME_SECONDS, Clip, clips_in, frames, speech_in
from vivavoce_bench.measures import Note
from vivavoce_bench.wires import Wire

pytestmark = pytest.mark.anyio

SILENT_S = 0.2


class FakeServer:
    """Answers 0.3 s after the last loud frame with one second of sound; knows the time only by its frames."""

    def __init__(self) -> None:
        self.arrivals: list[float] = []
        self.updates: list[Session] = []
        self._send, self._receive = anyio.create_memory_object_stream[Note](1000)
        self._quiet = 0.0
        self._heard = False
        self._answers = 0
        self._send.send_nowait(Note(0.0, "session.created"))

    async def say(self, frame: bytes) -> None:
        self.arrivals.append(anyio.current_time())
        loud = max(frame) > 100 and len(set(frame)) <= 2
        self._quiet = 0.0 if loud else self._quiet + FRAME_SECONDS
        self._heard = self._heard or loud
        if self._heard and self._quiet >= 0.3 - 1e-9:
            self._heard = False
            self._answer(anyio.current_time())

    def _answer(self, now: float) -> None:
        self._answers += 1
        name = f"r{self._answers}"
        self._send.send_nowait(Note(now, "response.created", name))
        self._send.send_nowait(Note(now, "response.output_audio.delta", name, seconds=1.0, audible=0.05))
        self._send.send_nowait(Note(now, "response.done", name, status="completed"))

    async def update(self, session: Session) -> None:
        self.updates.append(session)
        self._send.send_nowait(Note(anyio.current_time(), "session.updated"))

    async def notes(self) -> AsyncIterator[Note]:
        async for note in self._receive:
            yield note

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[Wire]:
        with self._send, self._receive:
            yield self


def recording(folder: Path, *, before: float = 0.1, speech: float = 0.5, after: float = SILENT_S) -> Clip:
    """A tone with silence around it, as a file that the bench reads like any other."""
    silent, loud = b"\0\0", b"\x70\x70"
    sound = silent * int(24000 * before) + loud * int(24000 * speech) + silent * int(24000 * after)
    with wave.open(str(folder / "tone.wav"), "wb") as file:
        file.setparams((1, 2, 24000, 0, "NONE", ""))
        file.writeframes(sound)
    return clips_in(folder)[0]


async def test_latency_is_measured_from_the_end_of_speech_in_the_file(tmp_path: Path) -> None:
    clip = recording(tmp_path)
    assert (clip.speech_start, clip.speech_end) == pytest.approx((0.1, 0.6))
    async with calling(FakeServer().dial) as caller:
        first = await caller.ask(clip)
        second = await caller.ask(clip)
    assert first.latency == pytest.approx(0.35)
    assert second.latency == pytest.approx(0.35)


async def test_frames_are_sent_on_an_absolute_schedule_without_end(tmp_path: Path) -> None:
    server = FakeServer()
    async with calling(server.dial) as caller:
        await caller.ask(recording(tmp_path))
    gaps = [later - earlier for earlier, later in zip(server.arrivals, server.arrivals[1:], strict=False)]
    assert gaps == pytest.approx([FRAME_SECONDS] * len(gaps))
    assert len(gaps) > 50


async def test_a_caller_who_gets_no_answer_goes_on(tmp_path: Path) -> None:
    nothing = recording(tmp_path, speech=0.02)
    hush = Clip("hush", None, speech_end=0.5)
    async with calling(FakeServer().dial) as caller:
        assert (await caller.ask(hush)).failed == "no answer"
        assert (await caller.ask(nothing)).latency is not None


async def test_the_session_is_as_it_was_asked_for() -> None:
    server = FakeServer()
    async with calling(server.dial, Session(instructions="Be brief.")):
        assert server.updates == [Session(instructions="Be brief.")]


async def test_what_comes_for_a_noise_is_told() -> None:
    async with calling(FakeServer().dial) as caller:
        assert await caller.overhear(Clip("hush", None, speech_end=1), watch=1) == []


# recordings


def test_our_own_recordings_are_small_and_attributed() -> None:
    clips = clips_in(BUILT_IN)
    assert sum(file.stat().st_size for file in BUILT_IN.iterdir()) <= 400_000
    assert {clip.path for clip in clips} == set(BUILT_IN.glob("*.wav"))
    assert all(len(clip.frames) * FRAME_SECONDS >= clip.speech_end - 0.1 for clip in clips)
    assert "licence" in (BUILT_IN / "README.md").read_text(encoding="utf-8")


def test_speech_is_found_by_its_energy() -> None:
    brooklyn = next(clip for clip in clips_in(BUILT_IN) if clip.name == "brooklyn")
    start, end = speech_in(b"".join(brooklyn.frames))
    assert start == pytest.approx(brooklyn.speech_start, abs=0.15)
    assert end == pytest.approx(brooklyn.speech_end, abs=0.15)
    assert speech_in(bytes(48000)) == (0.0, 0.0)


def test_the_last_frame_is_filled_up() -> None:
    assert [len(frame) for frame in frames(b"\1" * 1000)] == [960, 960]


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither"):
        clips_in(tmp_path)
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    with pytest.raises(ConfigError, match="cannot be read"):
        clips_in(tmp_path)
