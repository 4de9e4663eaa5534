"""Questions that are uploaded, and what comes of them, in time that jumps."""

from array import array
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
from msgspec.structs import replace

from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.session.middleware import ObservedEvent
from vivavoce.session.switchboard import Switchboard
from vivavoce.testing.simulation import CallerSays, Simulation
from vivavoce.transports.base import Handshake
from vivavoce.transports.upload import SESSION, Upload, UploadedQuestion, UploadTransport

RATE = 24_000
SILENCE = bytes(2 * RATE)


@dataclass
class Answered:
    """What came of a question, and when the first sound and the end came, in seconds after it was asked."""

    transcript: str = ""
    words: str = ""
    seconds: float = 0.0
    first_sound: float | None = None
    done: float = 0.0
    failure: ProtocolError | None = None


def spoken(number: int, seconds: float = 1) -> bytes:
    """Return the sound of an utterance of the stage."""
    return array("h", [1000 * number] * round(seconds * RATE)).tobytes()


def stage(*words: str, **settings: Any) -> Simulation:
    """Return a stage on which the n-th recording (from 1) has these words."""
    return heard(Simulation(**settings), *words)


def heard(simulation: Simulation, *words: str) -> Simulation:
    simulation.caller.utterances = [CallerSays(number, one, seconds=1) for number, one in enumerate(words)]
    return simulation


async def read(question: UploadedQuestion) -> Answered:
    answered, began = Answered(), anyio.current_time()
    with question:
        while events := await question.receive():
            for event in events:
                match event:
                    case e.TranscriptionCompleted(transcript=words):
                        answered.transcript = words
                    case e.ResponseOutputAudioDelta(delta=audio):
                        answered.seconds += len(audio) / 2 / RATE
                        if answered.first_sound is None:
                            answered.first_sound = anyio.current_time() - began
                    case e.ResponseOutputAudioTranscriptDelta(delta=words):
                        answered.words += words
    answered.done, answered.failure = anyio.current_time() - began, question.failure
    return answered


def switchboard(simulation: Simulation, events: list[ObservedEvent] | None = None, **more: Any) -> Switchboard:
    listeners = [lambda caller: events.append] if events is not None else []
    return Switchboard(
        simulation.engine,
        limits=simulation.limits,
        middleware=simulation.middleware,
        listeners=[*listeners, *more.pop("listeners", [])],
        **more,
    )


async def ask(simulation: Simulation, *contents: bytes | str, pause: float = 0, **more: Any) -> list[Answered]:
    """Ask one question after the other in one conversation."""
    transport = UploadTransport(switchboard(simulation, **more).connect, simulation.limits)
    answers = list[Answered]()

    async def questions() -> AsyncIterator[UploadedQuestion]:
        async with anyio.create_task_group() as tasks:
            for content in contents:
                question = UploadedQuestion(content)
                tasks.start_soon(keep, question)
                yield question
                await anyio.sleep(pause)

    async def keep(question: UploadedQuestion) -> None:
        answers.append(await read(question))

    await transport.accept(Upload(questions(), Handshake(session=replace(SESSION, tools=()))))
    await anyio.wait_all_tasks_blocked()
    return answers


def of(events: Sequence[ObservedEvent], kind: type[e.Event]) -> list[Any]:
    return [observed.event for observed in events if isinstance(observed.event, kind)]
