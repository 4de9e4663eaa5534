"""The beta dialect: other names and shapes for the same events."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.shapes import JSON, made
from vivavoce.errors import ProtocolError
from vivavoce.protocol import codec as wire
from vivavoce.protocol import events as e
from vivavoce.protocol.beta import codec as beta
from vivavoce.protocol.beta.tables import FORMATS, RESPONSE, RESPONSE_PARAMS, SESSION, TRANSCRIPTION
from vivavoce.protocol.items import AudioPart, FunctionCall, InputAudio, Message, OutputAudio, OutputText
from vivavoce.protocol.responses import Response, ResponseAudio, ResponseOutput, ResponseParams
from vivavoce.protocol.session import Pcmu, Session, TranscriptionSession, VoiceId
from vivavoce.protocol.settings import DEFAULT, DEFAULT_TRANSCRIPTION, merge

relaxed = settings(max_examples=150, suppress_health_check=list(HealthCheck))
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "dialects.md"
TOOL = {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}}


def update(**session: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": session}


def respond(**response: Any) -> dict[str, Any]:
    return {"type": "response.create", "response": response}


def heard(said: dict[str, Any]) -> e.ClientEvent:
    return beta.decode_client(json.dumps(said))


def told(event: e.Event) -> dict[str, Any]:
    text = beta.encode(event)
    assert text is not None
    said: dict[str, Any] = json.loads(text)
    return said


def updated(**session: Any) -> dict[str, Any]:
    """Return the session that an update makes of the default one, as a client of the beta is told it."""
    event = heard(update(**session))
    assert isinstance(event, e.SessionUpdate)
    said: dict[str, Any] = told(e.SessionUpdated(session=merge(DEFAULT, event.session)))["session"]
    return said


# what a client says


@pytest.mark.parametrize(
    "wish",
    [
        {"modalities": ["text"]},
        {"modalities": ["text", "audio"]},
        {"voice": "ash"},
        {"speed": 1.2},
        {"temperature": 0.6},
        {"instructions": "Be kind."},
        {"input_audio_format": "g711_ulaw", "output_audio_format": "g711_alaw"},
        {"input_audio_format": "pcm16"},
        {"input_audio_transcription": {"model": "whisper-1", "language": "de"}},
        {"input_audio_transcription": None},
        {"input_audio_noise_reduction": {"type": "far_field", "strength": 1.0}},
        {"input_audio_noise_reduction": None},
        {"turn_detection": None},
        {"tools": [TOOL], "tool_choice": {"type": "function", "name": "look"}},
        {"tool_choice": "none"},
        {"max_response_output_tokens": 200},
        {"max_response_output_tokens": "inf"},
        {"tracing": "auto"},
        {"tracing": {"workflow_name": "support"}},
    ],
)
def test_what_a_client_wishes_is_told_back_as_it_was_spelled(wish: dict[str, Any]) -> None:
    session = updated(**wish)
    assert {name: session[name] for name in wish} == wish
    untouched = updated()
    assert {name: one for name, one in session.items() if name not in wish} == {
        name: one for name, one in untouched.items() if name not in wish
    }


def test_turns_are_merged_with_what_they_were() -> None:
    assert updated(turn_detection={"threshold": 0.7})["turn_detection"] == {
        "type": "server_vad",
        "threshold": 0.7,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    }
    semantic = {"type": "semantic_vad", "eagerness": "low"}
    assert updated(turn_detection=semantic)["turn_detection"]["eagerness"] == "low"
    assert updated(turn_detection={"type": "none"})["turn_detection"] is None


def test_some_things_may_be_said_in_more_than_one_way() -> None:
    assert updated(modalities=["audio"])["modalities"] == ["text", "audio"]
    tool = {"name": "look", "description": "Looks."}
    choice = {"type": "function", "function": {"name": "look"}}
    session = updated(tools=[tool], tool_choice=choice)
    assert session["tools"] == [{"type": "function", **tool}]
    assert session["tool_choice"] == {"type": "function", "name": "look"}


@pytest.mark.parametrize(
    "wish",
    [
        {"temperature": None},
        {"type": "realtime"},
        {"client_secret": {"value": "ek_1", "expires_at": 1}},
        {"id": "sess_1", "object": "realtime.session", "model": "gpt-4o-realtime-preview", "expires_at": 1},
        {"voice": None, "modalities": None, "input_audio_format": None, "tools": None, "turn_detection": {}},
    ],
)
def test_what_changes_nothing_does_no_harm(wish: dict[str, Any]) -> None:
    assert updated(**wish) == updated()


def test_a_transcription_session_is_flat_as_well() -> None:
    wish = {
        "input_audio_format": "g711_ulaw",
        "input_audio_transcription": {"model": "m"},
        "modalities": ["text"],
    }
    event = heard({"type": "transcription_session.update", "session": {**wish, "turn_detection": None}})
    assert isinstance(event, e.SessionUpdate)
    said = told(e.SessionUpdated(session=merge(DEFAULT_TRANSCRIPTION, event.session)))
    assert said["type"] == "transcription_session.updated"
    assert said["session"] == {
        "object": "realtime.transcription_session",
        "input_audio_format": "g711_ulaw",
        "input_audio_transcription": {"model": "m"},
        "input_audio_noise_reduction": None,
        "turn_detection": None,
        "include": None,
    }
    created = e.SessionCreated(session=TranscriptionSession(id="sess_1"))
    assert told(created)["type"] == "transcription_session.created"


def test_an_answer_may_be_wished_for() -> None:
    event = heard(
        respond(
            modalities=["text", "audio"],
            voice="ash",
            output_audio_format="g711_ulaw",
            temperature=0.9,
            max_response_output_tokens=100,
            conversation="none",
            metadata={"a": "b"},
            input=[
                {"type": "item_reference", "id": "item_1"},
                {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hello."}]},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]},
            ],
        )
    )
    ga = {
        "output_modalities": ["audio"],
        "audio": {"output": {"voice": "ash", "format": {"type": "audio/pcmu"}}},
        "max_output_tokens": 100,
        "conversation": "none",
        "metadata": {"a": "b"},
        "input": [
            {"type": "item_reference", "id": "item_1"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]},
        ],
    }
    assert event == wire.decode_client(json.dumps(respond(**ga)))
    assert heard(respond(max_output_tokens=7)) == e.ResponseCreate(response=ResponseParams(max_output_tokens=7))
    assert heard({"type": "response.create"}) == e.ResponseCreate()


def test_what_an_assistant_said_is_called_text() -> None:
    content = [{"type": "text", "text": "Hello."}]
    item = {"type": "message", "role": "assistant", "content": content}
    event = heard({"type": "conversation.item.create", "item": item})
    assert event == e.ConversationItemCreate(
        item=Message(role="assistant", content=(OutputText(text="Hello."),))
    )


@pytest.mark.parametrize(
    "said",
    [
        {"type": "input_audio_buffer.append", "audio": "AAAA"},
        {"type": "input_audio_buffer.commit", "event_id": "mine"},
        {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 5},
        {"type": "response.cancel"},
    ],
)
def test_what_is_the_same_in_both_is_read_the_same(said: dict[str, Any]) -> None:
    assert heard(said) == wire.decode_client(json.dumps(said))


TURNS = "session.turn_detection"
WRONG = [
    ({"type": "session.update"}, "missing_required_parameter", "session"),
    ({"type": "session.update", "session": []}, "invalid_value", "session"),
    ({"type": "transcription_session.update"}, "missing_required_parameter", "session"),
    ({"type": "transcription_session.update", "session": 1}, "invalid_value", "session"),
    ({"type": "transcription_session.update", "session": {"voice": "a"}}, "unknown_parameter", "session.voice"),
    (update(audio={}), "unknown_parameter", "session.audio"),
    (update(output_modalities=["text"]), "unknown_parameter", "session.output_modalities"),
    (update(**{"x" * 100: 1}), "unknown_parameter", f"session.{'x' * 64}…"),
    (update(modalities="text"), "invalid_value", "session.modalities"),
    (update(modalities=[]), "invalid_value", "session.modalities"),
    (update(modalities=["text", "smell"]), "invalid_value", "session.modalities[1]"),
    (update(voice=7), "invalid_value", "session.voice"),
    (update(speed="fast"), "invalid_value", "session.speed"),
    (update(input_audio_format="mp3"), "invalid_value", "session.input_audio_format"),
    (update(output_audio_format={"type": "audio/pcm"}), "invalid_value", "session.output_audio_format"),
    (update(input_audio_transcription="whisper"), "invalid_value", "session.input_audio_transcription"),
    (
        update(input_audio_transcription={"enabled": True}),
        "unknown_parameter",
        "session.input_audio_transcription.enabled",
    ),
    (
        update(input_audio_noise_reduction={}),
        "missing_required_parameter",
        "session.input_audio_noise_reduction.type",
    ),
    (update(turn_detection="none"), "invalid_value", TURNS),
    (update(turn_detection={"type": "vad"}), "invalid_value", f"{TURNS}.type"),
    (update(turn_detection={"threshold": "high"}), "invalid_value", f"{TURNS}.threshold"),
    (update(max_response_output_tokens="many"), "invalid_value", "session.max_response_output_tokens"),
    (update(tools="look"), "invalid_value", "session.tools"),
    (update(tools=[7]), "invalid_value", "session.tools[0]"),
    (update(tools=[{}]), "missing_required_parameter", "session.tools[0].name"),
    (update(tool_choice="perhaps"), "invalid_value", "session.tool_choice"),
    ({"type": "response.create", "response": 7}, "invalid_value", "response"),
    (respond(audio={}), "unknown_parameter", "response.audio"),
    (update(temperature="hot"), "invalid_value", "session.temperature"),
    (respond(voice=[]), "invalid_value", "response.voice"),
    (respond(output_audio_format="pcm"), "invalid_value", "response.output_audio_format"),
    (respond(input="hello"), "invalid_value", "response.input"),
    (respond(input=["hello"]), "invalid_value", "response.input[0]"),
    ({"type": "conversation.item.create", "item": None}, "invalid_value", "item"),
    (
        {
            "type": "conversation.item.create",
            "item": {"type": "message", "role": "assistant", "content": ["hi"]},
        },
        "invalid_value",
        "item.content[0]",
    ),
]


@pytest.mark.parametrize(("said", "code", "param"), WRONG, ids=[f"{w[2]}-{i}" for i, w in enumerate(WRONG)])
def test_what_is_wrong_is_named_as_the_client_spelled_it(said: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        heard({"event_id": "mine", **said})
    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.event_id == "mine"
    assert f"'{param}'" in caught.value.message


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"speed": 9}, "session.speed"),
        ({"turn_detection": {"threshold": 9}}, "session.turn_detection.threshold"),
        ({"max_response_output_tokens": 9999}, "session.max_response_output_tokens"),
        ({"tools": [TOOL, TOOL]}, "session.tools[1].name"),
    ],
)
def test_what_the_engine_finds_wrong_is_named_so_too(wish: dict[str, Any], param: str) -> None:
    event = heard(update(**wish))
    assert isinstance(event, e.SessionUpdate)
    with pytest.raises(ProtocolError) as caught:
        merge(DEFAULT, event.session)
    error = told(wire.error_event(caught.value, "mine"))["error"]
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", param, "mine")
    assert f"'{param}'" in error["message"]


def test_an_error_that_names_nothing_stays_as_it_is() -> None:
    error = told(wire.error_event(ProtocolError("No.", code="session_expired")))["error"]
    assert (error["message"], error["param"]) == ("No.", None)


FIELDS = {
    "session.update": "session",
    "transcription_session.update": "session",
    "response.create": "response",
    "conversation.item.create": "item",
}


@relaxed
@given(
    st.sampled_from(sorted(FIELDS)),
    st.dictionaries(
        st.sampled_from(sorted({*SESSION, *RESPONSE_PARAMS, "role", "content", "type"})), JSON, max_size=4
    ),
)
def test_nothing_but_a_protocol_error_comes_of_any_wish(kind: str, wish: dict[str, Any]) -> None:
    error = None
    try:
        heard({"type": kind, "event_id": "mine", FIELDS[kind]: wish})
    except ProtocolError as caught:
        error = caught
    if error:
        assert error.event_id == "mine"
        assert not re.search(r"audio\.(in|out)put|output_modalities", f"{error.param} {error.message}")


# what a server says


@pytest.mark.parametrize("kind", e.kinds(e.ServerEvent), ids=lambda kind: kind.__struct_config__.tag)
@relaxed
@given(data=st.data())
def test_only_names_and_shapes_differ(kind: type[e.ServerEvent], data: st.DataObject) -> None:
    event = data.draw(made(kind))
    assert isinstance(event, e.ServerEvent)
    ga = json.loads(wire.encode(event))
    name = beta.EVENTS.get(ga["type"], ga["type"])
    if name is None:
        assert beta.encode(event) is None
        return
    said = told(event)
    assert said.pop("type") in (name, f"transcription_{name}")
    assert said.keys() == ga.keys() - {"type"}
    for field in said.keys() - {"session", "response", "item", "error"}:
        assert said[field] == ga[field]


def test_an_item_is_created_and_never_done() -> None:
    item = Message(id="i", role="assistant", status="completed", content=(OutputAudio(transcript="Hello."),))
    said = told(e.ConversationItemAdded(item=item, previous_item_id="h"))
    assert (said["type"], said["previous_item_id"]) == ("conversation.item.created", "h")
    assert said["item"]["content"] == [{"type": "audio", "transcript": "Hello."}]
    assert beta.encode(e.ConversationItemDone(item=item)) is None
    mine = Message(id="i", role="user", content=(InputAudio(transcript=None),))
    assert told(e.ConversationItemAdded(item=mine))["item"]["content"] == [
        {"type": "input_audio", "transcript": None}
    ]


def test_sound_has_another_name_only() -> None:
    event = e.ResponseOutputAudioDelta(
        response_id="r", item_id="i", output_index=0, content_index=0, delta=b"\x00\x01\x02"
    )
    assert told(event) == {
        "type": "response.audio.delta",
        "event_id": event.event_id,
        "response_id": "r",
        "item_id": "i",
        "output_index": 0,
        "content_index": 0,
        "delta": "AAEC",
    }


def test_a_response_is_flat() -> None:
    response = Response(
        id="r",
        status="completed",
        conversation_id="c",
        output=(
            Message(role="assistant", content=(OutputText(text="Hello."),)),
            FunctionCall(name="look", arguments="{}"),
        ),
        output_modalities=("audio",),
        max_output_tokens="inf",
        audio=ResponseAudio(output=ResponseOutput(voice="ash", format=Pcmu())),
        metadata={"a": "b"},
    )
    assert told(e.ResponseDone(response=response))["response"] == {
        "id": "r",
        "object": "realtime.response",
        "status": "completed",
        "status_details": None,
        "conversation_id": "c",
        "output": [
            {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hello."}]},
            {"type": "function_call", "name": "look", "arguments": "{}"},
        ],
        "modalities": ["text", "audio"],
        "max_output_tokens": "inf",
        "voice": "ash",
        "output_audio_format": "g711_ulaw",
        "usage": None,
        "metadata": {"a": "b"},
    }


def test_a_session_begins_with_all_that_the_beta_knows() -> None:
    session = told(e.SessionCreated(session=merge(DEFAULT, Session())))["session"]
    assert session == {
        "object": "realtime.session",
        "instructions": "",
        "modalities": ["text", "audio"],
        "output_audio_format": "pcm16",
        "tools": [],
        "tool_choice": "auto",
        "max_response_output_tokens": "inf",
        "speed": 1.0,
        "temperature": 0.8,
        "input_audio_format": "pcm16",
        "input_audio_transcription": None,
        "input_audio_noise_reduction": None,
        "turn_detection": updated()["turn_detection"],
        "tracing": None,
        "prompt": None,
        "include": None,
    }


def test_a_voice_is_its_name() -> None:
    event = heard(update(voice={"id": "voice_7"}))
    assert isinstance(event, e.SessionUpdate)
    assert event.session.audio.output.voice == VoiceId(id="voice_7")  # type: ignore[union-attr]
    assert updated(voice={"id": "voice_7"})["voice"] == "voice_7"


def test_parts_of_an_answer_are_called_the_same_in_both() -> None:
    event = e.ResponseContentPartAdded(
        response_id="r", item_id="i", output_index=0, content_index=0, part=AudioPart(transcript="")
    )
    assert beta.encode(event) == wire.encode(event)


# the page


def test_all_that_differs_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for ga, name in beta.EVENTS.items():
        assert f"| `{ga}` | {f'`{name}`' if name else '–'} |" in page
    for table in (SESSION, TRANSCRIPTION, RESPONSE_PARAMS, RESPONSE):
        for name, spelling in table.items():
            if spelling.path != name:
                assert f"`{name}`" in page
                assert spelling.path.removeprefix("_") in page
    for name, ga in FORMATS.items():
        assert f"`{name}`" in page
        assert f"`{ga}`" in page
