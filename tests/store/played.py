"""Conversations that are played while time jumps, and recorded in a journal. No database is needed for that."""

import asyncio
from pathlib import Path
from threading import Thread
from typing import Any

from vivavoce.protocol.session import InputSettings, Session, SessionAudio, TranscriptionSettings
from vivavoce.store.conversation_rows import PricedModel
from vivavoce.store.database import Database
from vivavoce.store.recorder import Recorder, recording
from vivavoce.testing.clock import JumpingClock
from vivavoce.testing.simulation import CallerSays, Simulation, Step

MODELS = {role: PricedModel("scripted", "scripted") for role in ("chat", "transcriber", "synthesizer")}
PARIS = CallerSays(0.5, "What is the capital of France?")
TRANSCRIBED = Session(
    audio=SessionAudio(input=InputSettings(transcription=TranscriptionSettings(language="en")))
)


def play(recorder: Recorder, *steps: Step, until: float = 6, **simulation: Any) -> None:
    """Play a conversation whose caller hangs up after `until` seconds."""

    def run() -> None:
        with asyncio.Runner(loop_factory=JumpingClock) as runner:
            runner.run(Simulation(**simulation).run(*(steps or (PARIS,)), until=until))

    recorder.engine, recorder.models = "cascade", MODELS
    defaults = {"replies": ["Paris, of course."], "client_session": TRANSCRIBED, "listeners": [recorder.listen]}
    simulation = {**defaults, **simulation}
    thread = Thread(target=run)  # it has a clock of its own
    thread.start()
    thread.join()


def recorder(url: str, folder: Path, **options: Any) -> Recorder:
    return Recorder(Database(url), folder / "journal", **{"journal_bytes": 10**7, **options})


async def record(url: str, folder: Path, *steps: Step, **simulation: Any) -> None:
    """Play a conversation, and put it into the database."""
    recorded = recorder(url, folder)
    play(recorded, *steps, **simulation)
    async with recording(recorded):
        pass
    assert recorded.problem is None
