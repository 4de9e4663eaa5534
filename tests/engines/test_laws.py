"""Laws that every conversation keeps, whatever the caller does and however slow or broken the world is."""

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vivavoce.errors import ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Message
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import InputSettings, SemanticVad, ServerVad, Session, SessionAudio
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.providers.base import ToolCall
from vivavoce.testing.clock import JumpingClock
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Step, Timeline, Unresponsive

LIMITS = Limits(transcription_seconds=2, first_token_seconds=2, next_token_seconds=2, first_audio_seconds=2)
WORDS = ["yes", "uh-huh", "tell me more about it", "stop", "I would like to know", "wait, and then", ""]
STORY = "One two three four five six seven. Eight nine ten. And so on, and so on, until the very end of it."
REPLIES = ["Yes.", STORY, STORY, ["Let me look.", ToolCall("weather", "{}")], ToolCall("weather", "{}")]
MISHAPS: dict[str, dict[str, object]] = {
    "deaf": {"transcriber_failure": ProviderError("transcriber", "is deaf")},
    "deaf for ever": {"transcriber_failure": Unresponsive()},
    "mute": {"synthesizer_failure": ProviderError("synthesizer", "is mute")},
    "mute for ever": {"synthesizer_failure": Unresponsive()},
    "down": {"replies": [STORY, ProviderError("chat", "is down"), "Yes."]},
    "lost": {"replies": [["Well, then.", ProviderError("chat", "lost the thread")], STORY]},
    "silent": {"replies": [Unresponsive(), STORY]},
    "empty": {"replies": ["", STORY]},
}


def tenths(least: int, most: int) -> st.SearchStrategy[float]:
    return st.integers(least, most).map(lambda n: n / 10)


@st.composite
def callers(draw: st.DrawFn) -> tuple[list[Step], float]:
    """Somebody who talks when they like, and a client that meddles."""
    at, steps = 0.2, list[Step]()
    for _ in range(draw(st.integers(1, 5))):
        at += draw(tenths(1, 30))
        say = CallerSays(at, draw(st.sampled_from(WORDS)), seconds=draw(tenths(1, 20)))
        steps.append(say)
        at = say.until
    until = at + 5
    for _ in range(draw(st.integers(0, 4))):
        steps.append(ClientSends(draw(tenths(1, int(until * 10))), draw(st.sampled_from(meddling))))
    return steps, until


text = Message(role="user", content=(InputText(text="And this?"),))
meddling: list[e.ClientEvent] = [
    e.ResponseCancel(),
    e.ResponseCreate(),
    e.ResponseCreate(response=ResponseParams(conversation="none", output_modalities=("text",))),
    e.InputAudioBufferClear(),
    e.InputAudioBufferCommit(),
    e.ConversationItemCreate(item=text),
    e.ConversationItemCreate(item=text, previous_item_id="root"),
    e.SessionUpdate(session=Session(instructions="Be kind.")),
    e.SessionUpdate(session=Session(audio=SessionAudio(input=InputSettings(turn_detection=None)))),
    e.SessionUpdate(session=Session(audio=SessionAudio(input=InputSettings(turn_detection=SemanticVad())))),
]


@st.composite
def simulations(draw: st.DrawFn) -> Simulation:
    detection = draw(
        st.sampled_from([ServerVad(silence_duration_ms=200), ServerVad(), SemanticVad(eagerness="high")])
    )
    mishap = draw(st.sampled_from([None] * 16 + list(MISHAPS)))
    cast: dict[str, object] = {
        "replies": draw(st.lists(st.sampled_from(REPLIES), min_size=1, max_size=4)),
        "transcriber_delay": draw(tenths(0, 8)),
        "end_of_turn": draw(st.sampled_from([None, 0.1, 0.9])),
        "chat_delay": draw(tenths(0, 8)),
        "synthesizer_delay": draw(tenths(0, 4)),
        "word_timings": draw(st.booleans()),
        **MISHAPS.get(mishap or "", {}),
    }
    settings_ = Session(audio=SessionAudio(input=InputSettings(turn_detection=detection)))
    return Simulation(session=merge(DEFAULT, settings_), limits=LIMITS, **cast)


def perform(simulation: Simulation, steps: list[Step], until: float) -> Timeline:
    async def run() -> Timeline:
        return await simulation.run(*steps, until=until)

    return anyio.run(run, backend_options={"loop_factory": JumpingClock})


lawful = settings(max_examples=40, suppress_health_check=list(HealthCheck))


@lawful
@given(simulations(), callers())
def test_one_voice_at_a_time_and_every_answer_ends_once(
    simulation: Simulation, caller: tuple[list[Step], float]
) -> None:
    timeline = perform(simulation, *caller)
    open_in_conversation: str | None = None
    created, ended = [], []
    for event in timeline.of(e.ResponseCreated, e.ResponseDone):
        response = event.response
        if isinstance(event, e.ResponseCreated):
            created.append(response.id)
            if response.conversation_id:
                assert open_in_conversation is None, "two voices at once"
                open_in_conversation = response.id
        else:
            assert response.id in created
            assert response.id not in ended
            ended.append(response.id)
            if response.conversation_id:
                assert open_in_conversation == response.id
                open_in_conversation = None


@lawful
@given(simulations(), callers())
def test_no_sound_of_an_answer_once_the_caller_has_the_floor(
    simulation: Simulation, caller: tuple[list[Step], float]
) -> None:
    timeline = perform(simulation, *caller)
    silenced: set[str] = set()
    alive: set[str] = set()
    for event in timeline.events:
        match event:
            case e.ResponseCreated(response=response) if response.conversation_id:
                alive.add(response.id)
            case e.InputAudioBufferSpeechStarted():
                silenced |= alive
            case e.ResponseOutputAudioDelta(response_id=response_id):
                assert response_id not in silenced, "spoke over the caller"
            case _:
                pass


@lawful
@given(simulations(), callers())
def test_whatever_is_opened_is_closed_in_order(
    simulation: Simulation, caller: tuple[list[Step], float]
) -> None:
    timeline = perform(simulation, *caller)
    items: dict[str, str] = {}
    for event in timeline.events:
        match event:
            case e.ResponseOutputItemAdded(item=item):
                assert item.id not in items
                items[str(item.id)] = "open"
            case e.ResponseOutputItemDone(item=item):
                assert items[str(item.id)] == "open"
                items[str(item.id)] = "closed"
            case e.ResponseDone(response=response):
                assert all(items[str(item.id)] == "closed" for item in response.output)
            case (
                e.ResponseOutputAudioDelta(item_id=item_id)
                | e.ResponseOutputAudioTranscriptDelta(item_id=item_id)
                | e.ResponseOutputTextDelta(item_id=item_id)
            ):
                assert items[item_id] == "open"
            case _:
                pass


@lawful
@given(simulations(), callers())
def test_the_order_of_items_is_the_order_in_which_they_were_said(
    simulation: Simulation, caller: tuple[list[Step], float]
) -> None:
    timeline = perform(simulation, *caller)
    order: list[str] = []
    for event in timeline.of(e.ConversationItemAdded):
        item_id, previous = str(event.item.id), event.previous_item_id
        assert item_id not in order
        assert previous is None or previous in order
        order.insert(0 if previous is None else order.index(previous) + 1, item_id)
        if event.item != text and getattr(event.item, "role", "assistant") != "user":
            assert order[-1] == item_id, "what is said comes last"


@lawful
@given(simulations(), callers())
def test_no_silence_without_an_end(simulation: Simulation, caller: tuple[list[Step], float]) -> None:
    """Every deadline is some seconds: whatever fails, an answer that has begun is over before long."""
    steps, until = caller
    timeline = perform(simulation, steps, until + 20)
    created = {event.response.id for event in timeline.of(e.ResponseCreated)}
    assert created == {event.response.id for event in timeline.of(e.ResponseDone)}


@settings(lawful, max_examples=15)
@given(simulations(), callers())
def test_the_same_play_gives_the_same_score(simulation: Simulation, caller: tuple[list[Step], float]) -> None:
    assert str(perform(simulation, *caller)) == str(perform(simulation, *caller))


@settings(lawful, max_examples=15)
@given(simulations(), callers(), tenths(1, 60))
def test_hanging_up_ends_everything(
    simulation: Simulation, caller: tuple[list[Step], float], until: float
) -> None:
    """`perform` returns only when every task of the conversation is gone: a leak would deadlock the clock."""

    async def run() -> int:
        await simulation.run(*caller[0], until=until)
        return len(anyio.get_running_tasks())

    assert anyio.run(run, backend_options={"loop_factory": JumpingClock}) == 1


def test_an_answer_about_the_first_answer_needs_one() -> None:
    steps: list[Step] = [
        CallerSays(0.5, "hello there"),
        ClientSends(3.0, lambda timeline: e.ConversationItemDelete(item_id=timeline.answer_id)),
    ]
    assert perform(Simulation(), steps, 4.0).of(e.ConversationItemDeleted)
