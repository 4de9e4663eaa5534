"""Conversations that are played while time jumps, and recorded in a journal. No database is needed for that."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

from vivavoce.limits import Limits
from vivavoce.protocol.items import Item, Message, part_text
from vivavoce.protocol.session import InputSettings, Session, SessionAudio, TranscriptionSettings
from vivavoce.session.call import Caller, Recalled
from vivavoce.session.switchboard import ListenerFactory
from vivavoce.store.conversation_rows import PricedModel
from vivavoce.store.database import Database
from vivavoce.store.history import History, read_history
from vivavoce.store.recorder import Recorder, recording
from vivavoce.testing.clock import JumpingClock
from vivavoce.testing.simulation import CallerSays, Simulation, Step

MODELS = {role: PricedModel("scripted", "scripted") for role in ("chat", "transcriber", "synthesizer")}
PARIS = CallerSays(0.5, "What is the capital of France?")
TRANSCRIBED = Session(
    audio=SessionAudio(input=InputSettings(transcription=TranscriptionSettings(language="en")))
)


def play(
    recorder: Recorder,
    *steps: Step,
    until: float = 6,
    also: Sequence[ListenerFactory] = (),
    chat: Mapping[str, object] | None = None,
    **simulation: Any,
) -> None:
    """Play a conversation whose caller hangs up after `until` seconds, with more listeners `also`.

    `chat` has attributes of the scripted chat model.
    """
    recorder.engine, recorder.models = "cascade", MODELS
    listeners = [recorder.listen, *also]
    defaults = {"replies": ["Paris, of course."], "client_session": TRANSCRIBED, "listeners": listeners}
    simulation = {**defaults, **simulation}
    played = Simulation(**simulation)
    for name, value in (chat or {}).items():
        setattr(played.chat, name, value)
    in_jumping_time(played.run(*(steps or (PARIS,)), until=until))


def in_jumping_time(coroutine: Coroutine[Any, Any, object]) -> None:
    """Run something in a thread, which has a clock of its own."""

    def run() -> None:
        with asyncio.Runner(loop_factory=JumpingClock) as runner:
            runner.run(coroutine)

    thread = Thread(target=run)
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


async def continue_(
    url: str, folder: Path, conversation_id: str, *steps: Step, limits: Limits | None = None, **simulation: Any
) -> History:
    """Play a conversation that continues another one, and store it; return what it continued."""
    again, caller = recorder(url, folder), Caller("simulation", continues=conversation_id)
    history = await read_history(again._database, caller, limits or Limits())

    async def recall(caller: Caller) -> Recalled:  # time jumps there, and no database can follow
        return again._continue(caller, history)

    play(again, *steps, recall=recall, continues=conversation_id, **simulation)
    async with recording(again):
        pass
    assert again.problem is None
    return history


def words(items: Sequence[Item]) -> list[tuple[str, str]]:
    """Return who said what."""
    return [
        (item.role, " ".join(part_text(part).split()))
        for item in items
        if isinstance(item, Message)
        for part in item.content
    ]
