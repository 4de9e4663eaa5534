"""`viva replay --again`: the caller of then speaks with the models of today."""

from array import array
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from store.played import TRANSCRIBED
from vivavoce import tool
from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.cli.again import (
    ANSWER_SECONDS,
    LIMITS,
    CallerAgain,
    Stored,
    Today,
    Tools,
    recorded_session,
    repeat_conversation,
)
from vivavoce.client import RealtimeClient
from vivavoce.errors import ConfigError, ProviderError
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Message
from vivavoce.protocol.session import FunctionTool, InputSettings, ServerVad, Session, SessionAudio
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.providers.base import ToolCall
from vivavoce.session.loggable import loggable
from vivavoce.store.comparison import RecordInMemory, StoredOutputs, TurnComparison, compare, plan
from vivavoce.store.queries import Record
from vivavoce.store.replay import Turn, turns_of
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Step
from vivavoce.tools.types import Context, ToolError

pytestmark = pytest.mark.anyio

SESSION = merge(DEFAULT, TRANSCRIBED)
PARIS = CallerSays(0.5, "What is the capital of France?")
TYPED = e.ConversationItemCreate(item=Message(role="user", content=(InputText(text="And of Spain?"),)))


async def held(*steps: Step, until: float, **simulation: Any) -> Record:
    """Hold a conversation, and return it as it is stored."""
    record = RecordInMemory({})
    await Simulation(**{"session": SESSION, **simulation}, listeners=[lambda caller: record.on_event]).run(
        *steps, until=until
    )
    return {**record.end(), "id": "sess_1", "continues": None}


class Again:
    """What happened when it was held again."""

    def __init__(self, then: Record, said: Sequence[CallerSays], **simulation: Any) -> None:
        self.turns = turns_of(then)
        self.simulation = Simulation(**{"session": SESSION, **simulation})
        self.simulation.caller.utterances = said
        self.client = RealtimeClient(self.simulation.engine, limits=LIMITS)
        self.events: list[e.Event] = []
        self.caller = CallerAgain(self.client, {})
        self.client.on("server.*", self.events.append)

    async def sound_of(self, turn: Turn, _: float) -> bytes | None:
        """Return what the simulated transcriber understands as the words of the turn."""
        if not turn.is_spoken:
            return None
        return array("h", [self.level(turn)] * round((turn.ended - turn.began) * OUTPUT_RATE)).tobytes()

    def level(self, turn: Turn) -> int:
        spoken = [turn for turn in self.turns if turn.is_spoken]
        return 1000 * (spoken.index(turn) + 1)

    async def hold(self) -> list[TurnComparison]:
        async with self.client:
            await self.caller.run_plan(plan(self.turns), self.sound_of)
        self.record = self.caller.record.end()
        return compare(self.turns, turns_of(self.record), self.caller.said)


async def test_the_same_models_give_the_same_words_in_the_same_time() -> None:
    said = [PARIS, CallerSays(6, "And of Italy?")]
    settings = {"replies": ["Paris, of course.", "That is Rome."]}
    then = await held(*said, until=12, **settings)
    again = Again(then, said, **settings)
    first, second = await again.hold()
    assert (first.said_today, first.answer_today) == ("What is the capital of France?", "Paris, of course.")
    assert (second.said_today, second.answer_today) == ("And of Italy?", "That is Rome.")
    assert not first.is_answer_changed
    assert first.errors == second.errors == 0
    assert first.wait_today == pytest.approx(first.wait_then, abs=0.1)
    assert again.caller.problems == []


async def test_the_caller_waits_for_an_answer_that_is_longer_today() -> None:
    said = [PARIS, CallerSays(6, "Thanks.")]
    then = await held(*said, until=10, replies=["Paris."])
    again = Again(then, said, replies=["Paris, which has been the capital for more than a thousand years."])
    first, _ = await again.hold()
    assert first.answer_today.endswith("thousand years.")
    assert not any(turn.is_cut_off for turn in turns_of(again.record))


async def test_the_caller_interrupts_again_as_long_after_the_first_sound() -> None:
    said = [PARIS, CallerSays(4, "Stop!", seconds=1)]
    long = "Paris, which has been the capital of the country for more than a thousand years by now."
    then = await held(*said, until=8, replies=[long, "Sorry."])
    assert turns_of(then)[1].is_cut_off
    again = Again(then, said, replies=[f"It is {long}", "Sorry."], chat_delay=1.0)
    first, second = await again.hold()
    assert second.said_today == "Stop!"
    assert first.answer_today.startswith("It is Paris,")
    assert first.answer_today != f"It is {long}"
    paris, stop = again.caller.said.values()
    into_then = turns_of(then)[2].began - (turns_of(then)[1].first or 0)
    assert stop.began - paris.ended - (first.wait_today or 0) == pytest.approx(into_then, abs=0.1)
    assert any(isinstance(event, e.ConversationItemTruncated) for event in again.events)


async def test_an_answer_that_never_comes_is_not_waited_for_forever() -> None:
    said = [PARIS, CallerSays(6, "Thanks.")]
    then = await held(*said, until=10, replies=["Paris."])
    again = Again(then, said)
    again.level = lambda turn: 0 if turn.number == 1 else 2000
    first, second = await again.hold()
    assert first.is_missing
    assert second.said_today == "Thanks."
    paris, thanks = again.caller.said.values()
    assert thanks.began - paris.ended > ANSWER_SECONDS


async def test_a_failed_answer_is_a_problem() -> None:
    then = await held(PARIS, until=6, replies=["Paris."])
    again = Again(then, [PARIS], replies=[ProviderError("chat", "is down")])
    await again.hold()
    assert ["is down" in problem for problem in again.caller.problems] == [True]


async def test_what_was_written_is_written_again_even_over_an_answer() -> None:
    steps = ClientSends(3.5, TYPED), ClientSends(3.6, e.ResponseCreate())
    then = await held(PARIS, *steps, until=9, replies=["Paris.", "Madrid."])
    again = Again(then, [PARIS], replies=[" ".join(["Paris"] * 30), "Madrid."], chat_delay=3)
    _, typed = await again.hold()
    assert (typed.said_today, typed.answer_today, typed.errors) == ("And of Spain?", "Madrid.", None)
    assert again.caller.said[2].is_written
    assert again.caller.problems == []


async def test_without_turn_detection_the_caller_asks_as_the_client_did() -> None:
    session = merge(SESSION, Session(audio=SessionAudio(input=InputSettings(turn_detection=None))))
    asks = ClientSends(3, e.InputAudioBufferCommit()), ClientSends(3.1, e.ResponseCreate())
    then = await held(PARIS, *asks, until=6, session=session)
    assert not turns_of(then)[1].is_spoken, "its sound is known by the recording only"
    then["recordings"] = [{"spoken": [{"item_id": turns_of(then)[1].item_id, "start": 0, "end": 72_000}]}]
    again = Again(then, [CallerSays(0, PARIS.words, seconds=3)], session=session)
    (turn,) = await again.hold()
    assert (turn.said_today, turn.answer_today) == ("What is the capital of France?", "Yes.")


async def test_a_client_that_asks_for_each_answer_does_so_again() -> None:
    detection = ServerVad(create_response=False)
    session = merge(SESSION, Session(audio=SessionAudio(input=InputSettings(turn_detection=detection))))
    then = await held(PARIS, ClientSends(3.5, e.ResponseCreate()), until=6, session=session)
    again = Again(then, [PARIS], session=session)
    (turn,) = await again.hold()
    assert turn.answer_today == "Yes."


WEATHER = FunctionTool(name="weather", description="The weather.", parameters={"type": "object"})


def logged(event: e.ClientEvent) -> Record:
    body = loggable(event)
    return {"source": "client", "type": body["type"], "body": msgspec.json.encode(body).decode()}


async def test_tools_of_the_client_return_what_they_did_then() -> None:
    calls = [[ToolCall("weather", '{"city":"Paris"}')], [ToolCall("weather", '{"city":"Rome"}')]]

    def reply(request: Any) -> Any:
        outputs = [item.output for item in request.items if hasattr(item, "output")]
        return calls[len(outputs)] if len(outputs) < 2 else f"It says {outputs[0]}, and {outputs[1]}"

    call = {"type": "function_call", "name": "weather", "arguments": '{"city": "Paris"}', "call_id": "1"}
    then = await held(PARIS, until=6)
    question, answer = then["items"]
    then["items"] = [question, {**answer, **call, "id": "c1", "role": None, "text": None}, answer]
    then["items"].append(
        {**answer, "id": "o1", "type": "function_call_output", "call_id": "1", "output": "sunny", "role": None}
    )
    then["instructions"] = "Be brief. " * 500
    events = [logged(e.SessionUpdate(session=Session(tools=(WEATHER,), instructions=then["instructions"])))]
    simulation = Simulation(replies=[reply], session=SESSION)
    simulation.caller.utterances = [PARIS]
    answering = Today(lambda: RealtimeClient(simulation.engine, limits=LIMITS), {}, None)
    then["recordings"] = []
    found = await repeat_conversation(Stored(then, events, []), answering, live=False)
    (turn,) = found.turns
    assert turn.answer_today.startswith("It says sunny, and")
    assert [call.arguments for call in found.unknown_calls] == ['{"city":"Rome"}']
    assert found.notes == ["There is no recording: what the caller said is sent as text."]
    assert simulation.chat.requests[0].instructions == then["instructions"]


async def test_the_tools_of_a_server_do_not_run_unless_that_is_wanted() -> None:
    then = await held(PARIS, until=6)
    simulation = Simulation(session=merge(SESSION, Session(tools=(WEATHER,))))
    answering = Today(lambda: RealtimeClient(simulation.engine, limits=LIMITS), {}, None)
    with pytest.raises(ConfigError, match=r"its own tools \(weather\).*--tools live"):
        await repeat_conversation(Stored(then, [], []), answering, live=False)
    found = await repeat_conversation(Stored(then, [], []), answering, live=True)
    assert [turn.answer_today for turn in found.turns] == ["Yes."]


async def test_what_was_said_before_is_told_first() -> None:
    then = {**await held(PARIS, until=6), "continues": "sess_0"}
    simulation = Simulation(session=SESSION)
    answering = Today(lambda: RealtimeClient(simulation.engine, limits=LIMITS), {}, None)
    earlier = [Message(id="item_0", role="user", content=(InputText(text="My name is Ada."),))]
    found = await repeat_conversation(Stored(then, [], earlier), answering, live=False)
    assert [turn.said_today for turn in found.turns] == ["What is the capital of France?"]
    assert simulation.chat.requests[0].items[0].id == "item_0"
    gone = await repeat_conversation(Stored(then, [], []), answering, live=False)
    assert "It continues sess_0, which is not there any more." in gone.notes


async def test_our_own_tools_are_called_and_do_nothing() -> None:
    @tool
    async def lights(room: str) -> str:
        """Switch the lights on."""
        raise AssertionError("it was really called")

    kept = Tools(StoredOutputs([]))
    changed = kept.in_place_of(lights)
    assert changed.definition == lights.definition
    with pytest.raises(ToolError, match="not made then"):
        await changed.run('{"room":"hall"}', Context("1", "", {}, say=lambda text: None))


def test_what_the_client_had_set_is_set_again_but_for_its_format() -> None:
    session = Session(
        audio=SessionAudio(input=InputSettings(turn_detection=ServerVad(silence_duration_ms=900))), model="old"
    )
    events = [
        logged(e.SessionUpdate(session=Session(instructions="Be brief.", tools=(WEATHER,)))),
        logged(e.SessionUpdate(session=session)),
        {"source": "client", "type": "session.update", "body": "{}"},
        {"source": "server", "type": "session.updated", "body": "{}"},
    ]
    found, tools, notes = recorded_session(Stored({"instructions": "Be very brief."}, events, []))
    assert found == Session(instructions="Be very brief.", audio=SessionAudio(input=session.audio.input))  # type: ignore[union-attr]
    assert tools == [WEATHER]
    assert notes == []
    assert recorded_session(Stored({}, [], [])) == (None, [], [])
