"""The beta from its other side: our client writes what our server reads, and reads what our server writes."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from protocol.shapes import made, said
from vivavoce.errors import ProtocolError
from vivavoce.protocol import codec as wire
from vivavoce.protocol import events as e
from vivavoce.protocol.beta import codec as beta
from vivavoce.protocol.dialects import BETA, FIRST_BETA, GA, Dialect, by_version
from vivavoce.protocol.items import InputText, McpApprovalResponse, Message, OutputAudio, OutputText
from vivavoce.protocol.responses import Response, ResponseParams, verbatim
from vivavoce.protocol.session import Session, TranscriptionSession

relaxed = settings(max_examples=60, suppress_health_check=list(HealthCheck))
CLIENT = {str(kind.__struct_config__.tag): kind for kind in e.kinds(e.ClientEvent)}
SERVER = {str(kind.__struct_config__.tag): kind for kind in [*e.kinds(e.ServerEvent), *e.kinds(e.OwnEvent)]}

LATER = [
    "session.audio.input.turn_detection.idle_timeout_ms",
    "session.audio.input.noise_reduction.strength",
    *[f"session.audio.input.transcription.{name}" for name in ("languages", "keywords", "delay")],
]
ONLY_IN_GA = [
    *[f"session.{name}" for name in ("parallel_tool_calls", "reasoning", "truncation")],
    *[f"response.{name}" for name in ("parallel_tool_calls", "reasoning", "prompt")],
]
THE_SERVERS = [f"session.{name}" for name in ("id", "object", "expires_at")]
TOLD_BUT_NOT_WISHED = ["session.prompt", "session.include"]


def plain(event: e.Event, *without: str) -> dict[str, Any]:
    """Return an event as JSON, without these fields, a voice as its name, and without empty objects."""
    told: dict[str, Any] = json.loads(wire.encode(event))
    for path in without:
        *places, last = path.split(".")
        inner = told
        for place in places:
            inner = inner.get(place) or {}
        inner.pop(last, None)
    return _plain(told)


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    told = {name: _plain(one) if isinstance(one, dict) else one for name, one in value.items()}
    if isinstance(voice := told.get("voice"), dict):
        told["voice"] = voice["id"]
    return {name: one for name, one in told.items() if one != {} or name not in ("audio", "input", "output")}


def has_one_modality(event: e.Event) -> bool:
    """Anything else is not of GA, though the types cannot say so."""
    carried = getattr(event, "session", None) or getattr(event, "response", None)
    return getattr(carried, "output_modalities", UNSET) in (UNSET, ("audio",), ("text",))


# laws


@pytest.mark.parametrize("tag", sorted(set(SERVER) - {"conversation.item.done"}))
@relaxed
@given(data=st.data())
def test_our_client_reads_what_our_server_says(tag: str, data: st.DataObject) -> None:
    event = data.draw(made(SERVER[tag]))
    assert isinstance(event, e.Event)
    assume(has_one_modality(event))
    expected = plain(event, *ONLY_IN_GA)
    if expected.get("session", {}).get("type") == "realtime":
        expected["session"].setdefault("_temperature", beta.TEMPERATURE)
    first, *more = beta.BetaReader()(str(beta.encode(event)))
    assert plain(first) == expected
    assert [type(one) for one in more] in ([], [e.ConversationItemDone])


@pytest.mark.parametrize("tag", sorted(CLIENT))
@relaxed
@given(data=st.data())
def test_our_server_reads_what_our_client_says(tag: str, data: st.DataObject) -> None:
    event = wire.decode_client(json.dumps(data.draw(said(CLIENT[tag]))))
    assume(has_one_modality(event))
    text = beta.encode_client(event)
    if text is None:
        assert "mcp" in json.dumps(msgspec.to_builtins(event))
        return
    expected = plain(event, *ONLY_IN_GA, *THE_SERVERS, *LATER)
    wishes = expected.get("session") or expected.get("response") or {}
    if wishes.get("type") == "realtime":
        wishes = {name: one for name, one in wishes.items() if f"session.{name}" not in TOLD_BUT_NOT_WISHED}
        expected["session"] = wishes
    for name in {"tools", "input"} & set(wishes):
        wishes[name] = [one for one in wishes[name] if not one["type"].startswith("mcp")]
    if isinstance(wishes.get("tool_choice"), dict) and wishes["tool_choice"]["type"] == "mcp":
        del wishes["tool_choice"]
    assert plain(beta.decode_client(text)) == expected


@pytest.mark.parametrize("tag", sorted(CLIENT))
@relaxed
@given(data=st.data())
def test_in_ga_only_what_is_the_servers_to_say_is_left_out(tag: str, data: st.DataObject) -> None:
    event = wire.decode_client(json.dumps(data.draw(said(CLIENT[tag]))))
    text = wire.encode_client(event)
    assert plain(wire.decode_client(text)) == plain(event, *THE_SERVERS, "session._temperature")


# what a client says


def written(event: e.Event) -> dict[str, Any]:
    text = beta.encode_client(event)
    assert text is not None
    told: dict[str, Any] = json.loads(text)
    return told


def test_a_session_is_wished_for_flat() -> None:
    session = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": "Be brief.",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "turn_detection": None,
                "transcription": {"model": "w"},
            },
            "output": {"format": {"type": "audio/pcma"}, "voice": "ash"},
        },
        "max_output_tokens": 200,
        "parallel_tool_calls": True,
    }
    event = e.SessionUpdate(event_id="mine", session=msgspec.convert(session, Session))
    assert written(event) == {
        "type": "session.update",
        "event_id": "mine",
        "session": {
            "modalities": ["text", "audio"],
            "instructions": "Be brief.",
            "input_audio_format": "g711_ulaw",
            "turn_detection": None,
            "input_audio_transcription": {"model": "w"},
            "output_audio_format": "g711_alaw",
            "voice": "ash",
            "max_response_output_tokens": 200,
        },
    }


def test_a_transcription_session_has_an_event_of_its_own() -> None:
    session = {"type": "transcription", "audio": {"input": {"transcription": {"model": "w", "delay": "low"}}}}
    event = e.SessionUpdate(session=msgspec.convert(session, TranscriptionSession))
    assert written(event) == {
        "type": "transcription_session.update",
        "session": {"input_audio_transcription": {"model": "w"}},
    }


def test_an_answer_is_wished_for_as_openais_own_client_does() -> None:
    hello = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}
    wishes = {
        "output_modalities": ["text"],
        "max_output_tokens": 7,
        "input": [hello],
        "conversation": "none",
    }
    event = e.ResponseCreate(response=msgspec.convert(wishes, ResponseParams))
    assert written(event)["response"] == {
        "modalities": ["text"],
        "max_response_output_tokens": 7,
        "input": [{"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi."}]}],
        "conversation": "none",
    }
    assert written(e.ResponseCreate()) == {"type": "response.create"}
    noted = ResponseParams(metadata={"type": "mcp"})
    assert written(e.ResponseCreate(response=noted))["response"] == {"metadata": {"type": "mcp"}}
    said_as_it_is = verbatim("One moment.")
    assert written(e.ResponseCreate(response=said_as_it_is))["response"] == {
        "instructions": said_as_it_is.instructions,
        "tool_choice": "none",
        "metadata": said_as_it_is.metadata,
    }


def test_what_an_assistant_said_is_written_as_text() -> None:
    message = Message(role="assistant", content=(OutputText(text="Hello."),))
    assert written(e.ConversationItemCreate(item=message))["item"]["content"] == [
        {"type": "text", "text": "Hello."}
    ]


def test_what_the_beta_has_no_words_for_is_not_said() -> None:
    approval = McpApprovalResponse(approval_request_id="a", approve=True)
    assert beta.encode_client(e.ConversationItemCreate(item=approval)) is None


def test_of_tools_only_functions_are_named() -> None:
    tools = [{"type": "function", "name": "look"}, {"type": "mcp", "server_label": "shop"}]
    session = msgspec.convert(
        {"type": "realtime", "tools": tools, "tool_choice": {"type": "mcp", "server_label": "shop"}}, Session
    )
    assert written(e.SessionUpdate(session=session))["session"] == {"tools": tools[:1]}


def test_sound_is_the_same_in_both() -> None:
    event = e.InputAudioBufferAppend(audio=b"\x00\x01\x02\x03")
    assert beta.encode_client(event) == wire.encode_client(event)


# what a server says


def read(*messages: dict[str, Any]) -> list[e.Event]:
    """Return what a client makes of a server's messages."""
    reader = beta.BetaReader()
    return [event for one in messages for event in reader(json.dumps({"event_id": "e", **one}))]


def created(item_id: str, status: str = "completed", role: str = "user") -> dict[str, Any]:
    item = {"id": item_id, "type": "message", "role": role, "status": status, "content": []}
    return {"type": "conversation.item.created", "previous_item_id": "before", "item": item}


def answer(kind: str, item_id: str, status: str) -> dict[str, Any]:
    item = created(item_id, status, "assistant")["item"]
    return {"type": f"response.output_item.{kind}", "response_id": "r", "output_index": 0, "item": item}


def ends(events: list[e.Event]) -> list[tuple[str, str | None]]:
    """Return what is done, and what is before it."""
    return [
        (str(one.item.id), one.previous_item_id) for one in events if isinstance(one, e.ConversationItemDone)
    ]


def test_what_the_caller_said_is_done_at_once() -> None:
    events = read(created("mine"))
    assert [type(one) for one in events] == [e.ConversationItemAdded, e.ConversationItemDone]
    assert ends(events) == [("mine", "before")]


def test_an_answer_is_done_when_it_is() -> None:
    begun, added = answer("added", "a", "in_progress"), created("a", "in_progress", "assistant")
    done = answer("done", "a", "completed")
    events = read(begun, added, done)
    assert [type(one) for one in events] == [
        e.ResponseOutputItemAdded,
        e.ConversationItemAdded,
        e.ConversationItemDone,
        e.ResponseOutputItemDone,
    ]
    assert ends(events) == [("a", "before")]
    assert ends(read(added, begun, done)) == [("a", "before")], "some announce it the other way round"
    assert ends(read(begun, created("a", "completed", "assistant"), done)) == [("a", "before")]


def test_an_answer_outside_the_conversation_is_no_item_of_it() -> None:
    assert ends(read(answer("added", "a", "in_progress"), answer("done", "a", "completed"))) == []


def test_a_response_that_is_over_leaves_nothing_open() -> None:
    response = {"id": "r", "status": "cancelled", "output": [answer("done", "a", "incomplete")["item"]]}
    over = {"type": "response.done", "response": response}
    events = read(answer("added", "a", "in_progress"), created("a", "in_progress", "assistant"), over)
    assert ends(events) == [("a", "before")]
    assert isinstance(events[-1], e.ResponseDone)


def test_what_is_deleted_is_not_done_any_more() -> None:
    deleted = {"type": "conversation.item.deleted", "item_id": "a"}
    events = read(created("a", "in_progress", "assistant"), deleted, answer("done", "a", "incomplete"))
    assert ends(events) == []


def test_a_call_is_told_with_the_name_of_its_function() -> None:
    call = {"id": "c", "type": "function_call", "call_id": "call", "name": "look", "arguments": ""}
    place = {"response_id": "r", "output_index": 0}
    arguments = {
        "type": "response.function_call_arguments.done",
        "item_id": "c",
        "call_id": "call",
        "arguments": "{}",
        **place,
    }
    begun = {"type": "response.output_item.added", "item": call, **place}
    named = read(begun, arguments)[-1]
    assert isinstance(named, e.ResponseFunctionCallArgumentsDone)
    assert named.name == "look"
    (nameless,) = read(arguments)
    assert isinstance(nameless, e.ResponseFunctionCallArgumentsDone)
    assert nameless.name == ""


def test_the_first_betas_silence_is_filled() -> None:
    transcribed = {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": "mine",
        "transcript": "Hello.",
    }
    (event,) = read(transcribed)
    assert event == e.TranscriptionCompleted(
        event_id="e", item_id="mine", content_index=0, transcript="Hello.", usage=e.DurationUsage(seconds=0)
    )
    begun = {"type": "response.created", "response": {"id": "r", "status": "in_progress", "output": []}}
    (event,) = read(begun)
    assert isinstance(event, e.ResponseCreated)
    assert event.response == Response(id="r", status="in_progress", output=(), conversation_id="")


def test_a_session_is_read_however_its_server_fills_it() -> None:
    session = {
        "id": "sess_1",
        "object": "realtime.session",
        "model": "gpt-4o-realtime-preview",
        "expires_at": 1,
        "modalities": ["audio", "text"],
        "voice": None,
        "input_audio_format": "pcm16",
        "input_audio_transcription": None,
        "turn_detection": {"type": "server_vad", "threshold": 0.5, "novelty": 1},
        "tool_choice": "auto",
        "temperature": 0.6,
        "max_response_output_tokens": "inf",
        "client_secret": None,
        "novelty": True,
    }
    (event,) = read({"type": "session.created", "session": session})
    assert isinstance(event, e.SessionCreated)
    assert json.loads(msgspec.json.encode(event.session)) == {
        "type": "realtime",
        "id": "sess_1",
        "object": "realtime.session",
        "model": "gpt-4o-realtime-preview",
        "expires_at": 1,
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": None,
                "turn_detection": {"type": "server_vad", "threshold": 0.5},
            }
        },
        "tool_choice": "auto",
        "_temperature": 0.6,
        "max_output_tokens": "inf",
    }


def test_an_answers_words_may_be_missing() -> None:
    content = [{"type": "audio", "transcript": None}]
    item = {"id": "a", "type": "message", "role": "assistant", "status": "incomplete", "content": content}
    (event,) = read({"type": "conversation.item.retrieved", "item": item})
    assert isinstance(event, e.ConversationItemRetrieved)
    assert event.item.content == (OutputAudio(),)  # type: ignore[union-attr]


def test_an_error_names_the_field_as_ga_does() -> None:
    problem = {
        "type": "invalid_request_error",
        "code": "invalid_value",
        "message": "Invalid value for 'session.turn_detection.type': expected 'server_vad'.",
        "param": "session.turn_detection.type",
    }
    (event,) = read({"type": "error", "error": problem})
    assert isinstance(event, e.ErrorEvent)
    param = "session.audio.input.turn_detection.type"
    assert (event.error.param, event.error.message) == (
        param,
        f"Invalid value for '{param}': expected 'server_vad'.",
    )
    (event,) = read({"type": "error", "error": {**problem, "param": None}})
    assert isinstance(event, e.ErrorEvent)
    assert event.error.message == problem["message"]


def test_what_nobody_knows_means_nothing() -> None:
    assert read({"type": "conversation.created", "conversation": {"id": "c"}}) == []


@pytest.mark.parametrize(
    "message",
    [
        "{",
        "[]",
        "{}",
        '{"type": 7}',
        '{"type": "response.audio.delta"}',
        '{"type": "session.created", "session": 7}',
        '{"type": "session.created", "session": {"input_audio_format": "mp3"}}',
    ],
)
def test_what_is_no_event_is_an_error(message: str) -> None:
    with pytest.raises(ProtocolError):
        beta.BetaReader()(message)
    with pytest.raises(ProtocolError):
        beta.BetaReader()(message.encode())


# the dialects


@pytest.mark.parametrize("dialect", [GA, BETA, FIRST_BETA])
def test_every_dialect_is_spoken_both_ways(dialect: Dialect) -> None:
    question = Message(role="user", content=(InputText(text="Hello."),))
    event = e.ConversationItemCreate(item=question)
    assert wire.decode_client(str(dialect.encode_client(event))) == event
    heard = e.InputAudioBufferCommitted(item_id="mine")
    assert dialect.reader()(wire.encode(heard)) == (heard,)
    assert dialect.reader()('{"type": "novelty"}') == ()


def test_the_first_beta_is_written_and_read_like_the_second() -> None:
    assert FIRST_BETA.encode_client is beta.encode_client
    assert FIRST_BETA.reader is beta.BetaReader


@pytest.mark.parametrize(
    ("version", "dialect"),
    [
        ("v1", GA),
        ("preview", GA),
        ("latest", GA),
        ("2024-10-01-preview", FIRST_BETA),
        ("2025-04-01-preview", BETA),
    ],
)
def test_azures_versions_are_dialects(version: str, dialect: Dialect) -> None:
    assert by_version(version) is dialect
