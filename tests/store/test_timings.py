"""How long each stage took can be read from any conversation's events."""

import re

import pytest
from rich.console import Console

from engines.simulations import MANUAL, STORY, TRANSCRIBED, ask, truncated
from engines.upstream import remote
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCallOutput, McpCall
from vivavoce.protocol.responses import Cancelled, Response
from vivavoce.providers.base import ChatRequest, ToolCall
from vivavoce.session.middleware import ObservedEvent
from vivavoce.store.timings import Stage, TurnTiming, draw_waterfall, fold_timings, waterfall
from vivavoce.testing.simulation import CallerSays, ClientSends, Reply, Simulation, Timeline

pytestmark = pytest.mark.anyio


def seconds(turn: TurnTiming) -> dict[str, float]:
    return {f"{stage.name} {stage.detail}".strip(): round(stage.seconds, 3) for stage in turn.stages}


def when(value: float | None) -> float:
    assert value is not None
    return round(value, 3)


# the cascade


async def test_a_spoken_turn_has_all_its_stages() -> None:
    simulation = Simulation(["Paris, of course."], session=TRANSCRIBED, chat_delay=1, transcriber_delay=0.1)
    timeline = await simulation.run(CallerSays(0.5, "What is the capital?"), until=6)
    (turn,) = fold_timings(timeline.entries)
    assert turn.kind == "spoken"
    # the detector hears in frames of 32 ms, and the last is not whole
    assert (when(turn.speech_started), when(turn.speech_stopped)) == (pytest.approx(0.5, abs=0.05), 1.708)
    assert turn.closed == timeline.at(e.InputAudioBufferCommitted)
    # the draft began 0.07 s after the last word: 0.1 s to transcribe, 1 s for the model, 0.1 s for the voice
    assert seconds(turn) == {
        "speech": 1.248,
        "endpointing": 0.512,
        "transcript": 0,
        "first_token": 0.76,
        "first_text": 0.76,
        "first_audio": 0.76,
        "speaking": 0.74,
        "response": 1.5,
    }
    assert turn.first_audio == timeline.at(e.ResponseOutputAudioDelta)
    assert turn.response_done == timeline.at(e.ResponseDone)
    assert turn.interrupted is None


async def test_a_turn_is_interrupted_when_the_user_begins_to_speak() -> None:
    simulation = Simulation([STORY])
    timeline = await simulation.run(
        CallerSays(0.5, "Tell me a story"),
        CallerSays(3.5, "Stop it now."),
        ClientSends(4, lambda timeline: truncated(timeline.answer_id, 1500)),
        until=9,
    )
    first, second = fold_timings(timeline.entries)
    assert first.interrupted == timeline.at(e.InputAudioBufferSpeechStarted, 1)
    assert second.interrupted is None
    assert when(first.last_audio) <= when(first.interrupted)


async def test_tools_belong_to_the_turn_that_called_them_and_so_does_what_follows() -> None:
    def reply(request: ChatRequest) -> Reply | list[Reply]:
        done = any(isinstance(item, FunctionCallOutput) for item in request.items)
        return "It rains." if done else [ToolCall("weather", "{}"), ToolCall("time", "{}")]

    def output(nth: int, at: float) -> ClientSends:
        def made(timeline: Timeline) -> e.ConversationItemCreate:
            calls = timeline.of(e.ResponseFunctionCallArgumentsDone)
            return e.ConversationItemCreate(item=FunctionCallOutput(call_id=calls[nth].call_id, output="rain"))

        return ClientSends(at, made)

    timeline = await Simulation([reply]).run(
        CallerSays(0.5, "How is it?"),
        output(0, 4),
        output(1, 4.5),
        ClientSends(4.6, e.ResponseCreate()),
        until=8,
    )
    (turn,) = fold_timings(timeline.entries)
    called = timeline.at(e.ResponseFunctionCallArgumentsDone)
    assert [(tool.name, when(tool.ended)) for tool in turn.tools] == [("weather", 4), ("time", 4.5)]
    assert seconds(turn)["tool weather"] == pytest.approx(4 - called, abs=0.02)
    assert turn.response_created == timeline.at(e.ResponseCreated, 0)
    assert turn.first_text == timeline.at(e.ResponseOutputAudioTranscriptDelta)
    assert turn.response_done == timeline.at(e.ResponseDone, 1)


async def test_written_turns_and_responses_beside_the_conversation_have_turns_of_their_own() -> None:
    timeline = await Simulation(["Hello."]).run(
        ClientSends(0.5, e.ResponseCreate()),
        *ask(2, "Hi", output_modalities=("text",)),
        *ask(4, "Hi", conversation="none"),
        until=6,
    )
    turns = fold_timings(timeline.entries)
    assert [(turn.kind, when(turn.closed)) for turn in turns] == [
        ("response", 0.5),
        ("text", 2),
        ("out_of_band", 4.02),
    ]
    assert seconds(turns[1]) == {"first_token": 0.22, "first_text": 0.22, "response": 0.22}
    assert seconds(turns[2])["first_audio"] == 0.3


async def test_a_turn_that_the_client_closes_has_no_speech() -> None:
    timeline = await Simulation(session=MANUAL).run(
        CallerSays(0.5, "Hello"),
        ClientSends(1, e.InputAudioBufferCommit()),
        ClientSends(1.1, e.ResponseCreate()),
        until=3,
    )
    (turn,) = fold_timings(timeline.entries)
    assert (turn.kind, when(turn.closed), "speech" in seconds(turn)) == ("spoken", 1, False)
    assert when(turn.response_created) == 1.1


# a remote engine: a burst of audio, the transcript late, MCP tools


async def test_the_same_conversation_through_the_remote_engine_has_the_same_times() -> None:
    steps = CallerSays(0.5, "Tell me a story"), CallerSays(3.5, "Stop it now.")
    beside = await Simulation([STORY]).run(*steps, until=14)
    simulation = Simulation([STORY])
    remote(simulation)
    timeline = await simulation.run(*steps, until=14)
    here, there = fold_timings(beside.entries), fold_timings(timeline.entries)
    assert len(here) == len(there) == 2
    for one, other in zip(here, there, strict=True):
        assert seconds(other) == pytest.approx(seconds(one), abs=0.03)


def far_turn(response_id: str = "resp_1") -> list[ObservedEvent]:
    out = {"response_id": response_id, "item_id": "item_2", "output_index": 0}
    response = Response(id=response_id, status="in_progress", output=(), conversation_id="conv_1")
    call = McpCall(id="mcp_1", name="search", server_label="web", arguments="{}")
    user = [e.InputAudioBufferAppend(audio=bytes(4800)) for _ in range(20)]
    observed = [
        *(ObservedEvent(frame, "client", 100 + n / 10) for n, frame in enumerate(user)),
        ObservedEvent(e.InputAudioBufferSpeechStarted(item_id="item_1", audio_start_ms=700), "server", 101.2),
        ObservedEvent(e.InputAudioBufferSpeechStopped(item_id="item_1", audio_end_ms=1600), "server", 102),
        ObservedEvent(e.InputAudioBufferCommitted(item_id="item_1"), "server", 102.1),
        ObservedEvent(e.ResponseCreated(response=response), "server", 102.2),
        ObservedEvent(
            e.ResponseOutputItemAdded(response_id=response_id, output_index=0, item=call), "server", 102.3
        ),
        ObservedEvent(e.ResponseMcpCallInProgress(item_id="mcp_1", output_index=0), "server", 102.5),
        ObservedEvent(e.ResponseMcpCallCompleted(item_id="mcp_1", output_index=0), "server", 103.5),
        ObservedEvent(
            e.ResponseOutputAudioTranscriptDelta(**out, content_index=0, delta="Hi"), "server", 103.6
        ),
        *(
            ObservedEvent(e.ResponseOutputAudioDelta(**out, content_index=0, delta=bytes(48_000)), "server", at)
            for at in (103.7, 103.8, 103.9)
        ),
        ObservedEvent(
            e.TranscriptionCompleted(
                item_id="item_1", content_index=0, transcript="Hm", usage=e.DurationUsage(seconds=1)
            ),
            "server",
            104,
        ),
    ]
    return sorted(observed, key=lambda one: one.at)


def test_a_remote_turn_has_the_same_stages() -> None:
    (turn,) = fold_timings(far_turn())
    assert seconds(turn) == {
        "speech": 0.7,
        "endpointing": 0.5,
        "transcript": 1.9,
        "first_token": 1.5,
        "first_text": 1.5,
        "first_audio": 1.6,
        "tool search": 1,
        "speaking": 0.2,
    }


def test_what_the_server_plays_ends_when_it_was_played() -> None:
    stopped = ObservedEvent(e.OutputAudioBufferStopped(response_id="resp_1"), "server", 105.7)
    (turn,) = fold_timings([*far_turn(), stopped])
    assert seconds(turn)["speaking"] == 2


@pytest.mark.parametrize(
    "event",
    [
        e.OutputAudioBufferCleared(response_id="resp_1"),
        e.ConversationItemTruncated(item_id="item_2", content_index=0, audio_end_ms=500),
        e.ResponseDone(
            response=Response(
                id="resp_1",
                status="cancelled",
                status_details=Cancelled(reason="client_cancelled"),
                output=(),
                conversation_id="conv_1",
            )
        ),
    ],
)
def test_whoever_stops_it_a_turn_is_interrupted(event: e.Event) -> None:
    (turn,) = fold_timings([*far_turn(), ObservedEvent(event, "server", 104.5)])
    assert when(turn.interrupted) == 4.5


# the picture


def test_the_waterfall_is_data_and_a_picture() -> None:
    rows = waterfall(fold_timings(far_turn()))
    assert [row.stage.name for row in rows][:2] == ["speech", "endpointing"]
    assert {row.turn_id for row in rows} == {"item_1"}
    console = Console(width=80)
    with console.capture() as capture:
        console.print(draw_waterfall(rows))
    lines = capture.get().splitlines()
    assert lines[0].split() == ["turn", "stage", "at", "seconds"]
    assert lines[1].startswith("1 spoken")
    bars = [re.search("[█▐▕▏▎▍▌▋▊▉]", line) for line in lines[1:]]
    starts = [bar.start() for bar in bars if bar]
    assert len(starts) == len(rows), "every stage has a bar"
    assert starts[0] < starts[1] < starts[2], "one after the other"


def test_an_empty_conversation_has_an_empty_picture() -> None:
    assert waterfall(fold_timings([])) == []
    assert draw_waterfall([]).row_count == 0
    assert Stage("speech", 1, 1.5).seconds == 0.5
