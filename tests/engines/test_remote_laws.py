"""Laws of the remote engine: whatever breaks, and when, the client sees a lawful protocol."""

import logging

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.simulations import TRANSCRIBED, truncated, user
from engines.test_laws import STORY, WORDS, tenths
from engines.upstream import check_rules, failing_over
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCallOutput
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import FunctionTool, InputSettings, ServerVad, Session, SessionAudio
from vivavoce.protocol.settings import merge
from vivavoce.providers.base import ToolCall
from vivavoce.testing.clock import JumpingClock
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Step, Timeline

WEATHER = FunctionTool(name="weather", parameters={"type": "object", "properties": {}})
LIMITS = Limits(upstream_reconnect_seconds=3, upstream_silence_seconds=3, upstream_audio_seconds=10)
HARMLESS = {
    "response_cancel_not_active",
    "conversation_already_has_active_response",
    "invalid_value",
    "input_audio_buffer_commit_empty",
}
"""codes of what a client may provoke that speaks up at random"""


def output(timeline: Timeline) -> e.ClientEvent:
    """Give the output of the last call, or ask something where there is none."""
    calls = timeline.of(e.ResponseFunctionCallArgumentsDone)
    if not calls:
        return e.ConversationItemCreate(item=user("And this?"))
    return e.ConversationItemCreate(item=FunctionCallOutput(call_id=calls[-1].call_id, output="sunny"))


def cut(timeline: Timeline) -> e.ClientEvent:
    """Truncate the last answer that was told, or look away."""
    sounds = timeline.of(e.ResponseOutputAudioDelta)
    return truncated(sounds[-1].item_id, 300) if sounds else e.InputAudioBufferClear()


MEDDLING = [
    e.ResponseCancel(),
    e.ResponseCreate(),
    e.ResponseCreate(response=ResponseParams(conversation="none", output_modalities=("text",))),
    e.InputAudioBufferClear(),
    e.ConversationItemCreate(item=user("And this?")),
    e.SessionUpdate(session=Session(instructions="Be kind.")),
    e.SessionUpdate(session=Session(audio=SessionAudio(input=InputSettings(turn_detection=None)))),
    e.InputAudioBufferCommit(),
]


@st.composite
def callers(draw: st.DrawFn) -> tuple[list[Step], float]:
    """Somebody who talks when they like, and a client that meddles."""
    at, steps = 0.2, list[Step]()
    for _ in range(draw(st.integers(1, 4))):
        at += draw(tenths(1, 30))
        say = CallerSays(at, draw(st.sampled_from(WORDS)), seconds=draw(tenths(1, 20)))
        steps.append(say)
        at = say.until
    until = at + 8
    for _ in range(draw(st.integers(0, 5))):
        when = draw(tenths(1, int(until * 10)))
        what = draw(st.sampled_from([*MEDDLING, output, cut]))
        steps.append(ClientSends(when, what))
    return steps, until


@st.composite
def mishaps(draw: st.DrawFn) -> dict[str, object]:
    """A network that breaks at odd times, and a server that is away for a while."""
    breaks = tuple(sorted(draw(st.lists(st.integers(1, 1200).map(lambda n: n / 100), max_size=3))))
    happens: dict[str, object] = {"breaks": breaks}
    if draw(st.booleans()):
        down = draw(tenths(0, 60))
        happens |= {"down": down, "up": down + draw(tenths(0, 60))}
    elif draw(st.booleans()):
        stalls = draw(tenths(5, 60))
        happens |= {"stalls": stalls, "up": stalls + draw(tenths(0, 60))}
    return happens


@st.composite
def simulations(draw: st.DrawFn) -> Simulation:
    turns = Session(
        audio=SessionAudio(input=InputSettings(turn_detection=ServerVad(silence_duration_ms=200))),
        tools=(WEATHER,),
    )
    replies = st.sampled_from(["Yes.", STORY, ["Let me look.", ToolCall("weather", "{}")]])
    return Simulation(
        draw(st.lists(replies, min_size=1, max_size=4)),
        session=merge(TRANSCRIBED, turns),
        transcriber_delay=draw(tenths(0, 8)),
        chat_delay=draw(tenths(0, 8)),
        synthesizer_delay=draw(tenths(0, 4)),
    )


def perform(simulation: Simulation, steps: list[Step], until: float) -> Timeline:
    async def run() -> Timeline:
        return await simulation.run(*steps, until=until)

    logging.disable(logging.WARNING)
    try:
        return anyio.run(run, backend_options={"loop_factory": JumpingClock})
    finally:
        logging.disable(logging.NOTSET)


lawful = settings(max_examples=40, suppress_health_check=list(HealthCheck))


@lawful
@given(simulations(), callers(), mishaps())
def test_whatever_breaks_the_client_sees_a_lawful_protocol(
    simulation: Simulation, caller: tuple[list[Step], float], mishap: dict[str, object]
) -> None:
    simulation.limits = LIMITS
    failing_over(simulation, Simulation(["Near.", "And near again."], session=simulation.session), **mishap)
    timeline = perform(simulation, *caller)
    check_rules(timeline, errors=None)
    assert {event.error.code for event in timeline.of(e.ErrorEvent)} <= HARMLESS
