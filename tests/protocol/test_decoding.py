"""Whatever a client sends, we say what is wrong with it, by name, and go on."""

import base64
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from protocol.shapes import JSON, said
from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import decode_client, decode_server, encode, error_event
from vivavoce.protocol.items import InputAudio, Message
from vivavoce.protocol.session import Session

CLIENT = e.kinds(e.ClientEvent)
relaxed = settings(max_examples=150, suppress_health_check=list(HealthCheck))


def session(**fields: object) -> dict[str, object]:
    return {"type": "session.update", "session": {"type": "realtime", **fields}}


def hearing(**fields: object) -> dict[str, object]:
    return session(audio={"input": fields})


def turns(**fields: object) -> dict[str, object]:
    return hearing(turn_detection={"type": "server_vad", **fields})


def item(**fields: object) -> dict[str, object]:
    return {"type": "conversation.item.create", "item": fields}


def message(role: str, *content: dict[str, object]) -> dict[str, object]:
    return item(type="message", role=role, content=list(content))


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value, {}]
    return value


TURNS = "session.audio.input.turn_detection"
WRONG = [
    ({}, "missing_required_parameter", "type"),
    ({"type": None}, "invalid_value", "type"),
    ({"type": ["session.update"]}, "invalid_value", "type"),
    ({"type": "session.refresh"}, "invalid_value", "type"),
    ({"type": "session.created"}, "invalid_value", "type"),
    ({"type": "response.cancel", "event_id": 7}, "invalid_value", "event_id"),
    ({"type": "response.cancel", "responce_id": "r"}, "unknown_parameter", "responce_id"),
    ({"type": "session.update"}, "missing_required_parameter", "session"),
    ({"type": "session.update", "session": None}, "invalid_value", "session"),
    ({"type": "session.update", "session": {}}, "missing_required_parameter", "session.type"),
    ({"type": "session.update", "session": {"type": "beta"}}, "invalid_value", "session.type"),
    (session(temperature=0.8), "unknown_parameter", "session.temperature"),
    (session(tools=[{"type": "function"}]), "missing_required_parameter", "session.tools[0].name"),
    (session(tools={}), "invalid_value", "session.tools"),
    (session(tool_choice="perhaps"), "invalid_value", "session.tool_choice"),
    (session(max_output_tokens="many"), "invalid_value", "session.max_output_tokens"),
    (session(max_output_tokens=1.5), "invalid_value", "session.max_output_tokens"),
    (session(max_output_tokens=True), "invalid_value", "session.max_output_tokens"),
    (session(parallel_tool_calls=1), "invalid_value", "session.parallel_tool_calls"),
    (turns(interrupt_response="shouts"), "invalid_value", f"{TURNS}.interrupt_response"),
    (turns(interrupt_response=1), "invalid_value", f"{TURNS}.interrupt_response"),
    (session(instructions=3.5), "invalid_value", "session.instructions"),
    (session(instructions="x" * 101), "invalid_value", "session.instructions"),
    (
        session(prompt={"id": "p", "variables": {"a": nested(65)}}),
        "invalid_value",
        "session.prompt.variables.a",
    ),
    (
        session(tools=[{"type": "function", "name": "f", "parameters": {"a": [{"b": "x" * 101}]}}]),
        "invalid_value",
        "session.tools[0].parameters.a",
    ),
    (session(audio={"output": {"speed": 10**400}}), "invalid_value", "session.audio.output.speed"),
    (session(audio={"output": {"speed": True}}), "invalid_value", "session.audio.output.speed"),
    (session(audio={"output": {"voice": 7}}), "invalid_value", "session.audio.output.voice"),
    (hearing(format="pcm16"), "invalid_value", "session.audio.input.format"),
    (hearing(format={"rate": 24000}), "missing_required_parameter", "session.audio.input.format.type"),
    (hearing(format={"type": "audio/pcm", "rate": 16000}), "invalid_value", "session.audio.input.format.rate"),
    (hearing(turn_detection={"type": "vad"}), "invalid_value", f"{TURNS}.type"),
    (hearing(turn_detection=False), "invalid_value", TURNS),
    (
        hearing(turn_detection={"type": "semantic_vad", "threshold": 0.5}),
        "unknown_parameter",
        f"{TURNS}.threshold",
    ),
    (
        hearing(turn_detection={"type": "server_vad", "threshold": "high"}),
        "invalid_value",
        f"{TURNS}.threshold",
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0},
        "missing_required_parameter",
        "audio_end_ms",
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": -1},
        "invalid_value",
        "audio_end_ms",
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 2.0**63},
        "invalid_value",
        "audio_end_ms",
    ),
    (item(type="thought"), "invalid_value", "item.type"),
    (item(type="function_call_output", call_id="c", output={}), "invalid_value", "item.output"),
    (message("narrator"), "invalid_value", "item.role"),
    (message("user", {"type": "text", "text": "hi"}), "invalid_value", "item.content[0].type"),
    (message("user", {"type": "input_text"}), "missing_required_parameter", "item.content[0].text"),
    (message("user", {"type": "output_text", "text": "hi"}), "invalid_value", "item.content[0].type"),
    (
        message("assistant", {"type": "output_audio", "transcript": "hi"}),
        "invalid_value",
        "item.content[0].type",
    ),
    (
        message("system", {"type": "input_text", "text": "a"}, {"type": "input_audio", "audio": ""}),
        "invalid_value",
        "item.content[1].type",
    ),
    (message("user", {"type": "input_audio", "audio": "&&&"}), "invalid_value", "item.content[0].audio"),
    ({"type": "response.create", "response": {"metadata": {"a": 1}}}, "invalid_value", "response.metadata.a"),
    (
        {"type": "response.create", "response": {"input": [{"type": "item"}]}},
        "invalid_value",
        "response.input[0].type",
    ),
    ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
    ({"type": "input_audio_buffer.append", "audio": "AA"}, "invalid_value", "audio"),
    ({"type": "input_audio_buffer.append", "audio": [0, 1]}, "invalid_value", "audio"),
    ({"type": "input_audio_buffer.append", "audio": "AAAAAAAAAAAAAAAA"}, "invalid_value", "audio"),
]


@pytest.mark.parametrize("interrupts", [True, False, "words"])
def test_a_field_may_be_true_false_or_a_word_that_it_lists(interrupts: object) -> None:
    event = decode_client(json.dumps(turns(interrupt_response=interrupts)))
    assert (
        json.loads(encode(event))["session"]["audio"]["input"]["turn_detection"]["interrupt_response"]
        == interrupts
    )


@pytest.mark.parametrize(("event", "code", "param"), WRONG, ids=[f"{w[2]}-{i}" for i, w in enumerate(WRONG)])
def test_what_is_wrong_is_named(event: dict[str, object], code: str, param: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_client(json.dumps({"event_id": "mine", **event}), Limits(append_bytes=9, text_chars=100))
    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.event_id == (None if param == "event_id" else "mine")
    assert f"'{param}'" in caught.value.message


@pytest.mark.parametrize(
    "data",
    ["", "hello", "{", '{"type":}', b"\xff\xfe", '"\ud800"', "[" * 100_000, "[]", "null", "7", '"x"', "NaN"],
)
def test_what_is_not_an_event_at_all_is_an_invalid_event(data: str | bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_client(data)
    assert (caught.value.code, caught.value.param, caught.value.event_id) == ("invalid_event", None, None)


@pytest.mark.parametrize(
    "rest",
    [
        b'"audio_end_ms":1e999}',
        b'"audio_end_ms":' + b"9" * 5000 + b"}",
        b'"audio_end_ms":NaN}',
        b'"item_id":"\xff"}',
        b'"item_id":"\\ud800"}',
        b'"item_id":"a\x00b"}',
        b'"item_id":"a',
        b'"item_id":' + b"[" * 100_000,
        b'"item_id":[' + b"0," * 40_000 + b"0]}",
    ],
    ids=lambda rest: repr(rest[:30]),
)
def test_what_cannot_be_read_may_still_have_a_name(rest: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_client(b'{"type":"conversation.item.truncate", "event_id" : "mine",' + rest)
    assert (caught.value.code, caught.value.event_id) == ("invalid_event", "mine")


def test_a_name_holds_512_characters() -> None:
    assert decode_client(f'{{"type":"response.cancel","event_id":"{"x" * 512}"}}')
    for kind in ("response.cancel", "nonsense", "input_audio_buffer.append"):
        with pytest.raises(ProtocolError) as caught:
            decode_client(f'{{"type":"{kind}","audio":"AAAA","event_id":"{"x" * 513}"}}')
        assert caught.value.event_id is None


def test_of_a_name_given_twice_the_last_counts() -> None:
    assert decode_client('{"type":"session.update","type":"response.cancel"}') == e.ResponseCancel()
    said = '{"type":"input_audio_buffer.append","audio":"AAAA","audio":"AAEC"}'
    assert decode_client(said) == e.InputAudioBufferAppend(audio=b"\x00\x01\x02")


def test_an_event_holds_so_many_values() -> None:
    names = {str(number): "x" for number in range(50)}
    update = json.dumps(session(prompt={"id": "p", "variables": names}))
    assert decode_client(update)
    with pytest.raises(ProtocolError, match=r"more than 20 values \(limits.event_values\)") as caught:
        decode_client(update, Limits(event_values=20))
    assert caught.value.code == "invalid_event"


@pytest.mark.parametrize(
    ("event", "param"),
    [
        ({"type": "response.cancel", "x" * 200: 1}, "x" * 64 + "…"),
        (
            {"type": "response.create", "response": {"metadata": {"y" * 200: 1}}},
            f"response.metadata.{'y' * 64}…",
        ),
    ],
)
def test_of_a_long_name_only_the_beginning_is_repeated(event: dict[str, object], param: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_client(json.dumps(event))
    assert caught.value.param == param


@pytest.mark.parametrize("size", [0, 2, 30_000])
def test_an_error_quotes_little_of_what_was_wrong(size: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_client(json.dumps(session(tool_choice="?" * size)))
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("value", [None, True, 5, 10**20, 2.5, {"a": 1}])
def test_an_error_says_what_came_instead(value: object) -> None:
    with pytest.raises(ProtocolError, match="expected an array, got"):
        decode_client(json.dumps(item(type="message", role="user", content=value)))


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("output", "an object"),
        ("input", "an object"),
    ],
)
def test_an_error_says_what_was_expected(field: str, expected: str) -> None:
    with pytest.raises(ProtocolError, match=f"expected {expected}, got 'loud'"):
        decode_client(json.dumps(session(audio={field: "loud"})))


def test_the_limit_that_was_hit_is_named() -> None:
    sound = base64.b64encode(bytes(10)).decode()
    with pytest.raises(ProtocolError, match=r"10 bytes; one append may have 9 \(limits.append_bytes\)"):
        decode_client(json.dumps({"type": "input_audio_buffer.append", "audio": sound}), Limits(append_bytes=9))
    with pytest.raises(ProtocolError, match=r"6 characters; a text may have 5 \(limits.text_chars\)"):
        decode_client(json.dumps(session(instructions="speech")), Limits(text_chars=5))


def test_an_image_may_be_longer_than_a_text() -> None:
    picture: dict[str, object] = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 1000}
    assert decode_client(json.dumps(message("user", picture)), Limits(text_chars=100))


def test_absent_null_and_empty_are_three_different_things() -> None:
    absent = decode_client(json.dumps(session()))
    null = decode_client(json.dumps(session(tracing=None, include=None)))
    empty = decode_client(json.dumps(session(instructions="", tools=[])))
    assert absent == e.SessionUpdate(session=Session())
    assert null == e.SessionUpdate(session=Session(tracing=None, include=None))
    assert empty == e.SessionUpdate(session=Session(instructions="", tools=()))


def test_a_null_that_can_switch_nothing_off_is_as_good_as_absent() -> None:
    nulls = {"type": "message", "id": None, "status": None, "object": None, "role": "user"}
    event = decode_client(
        json.dumps(item(**nulls, content=[{"type": "input_audio", "audio": None, "transcript": None}]))
    )
    assert event == e.ConversationItemCreate(item=Message(role="user", content=(InputAudio(transcript=None),)))
    assert decode_client('{"type":"response.cancel","response_id":null}') == e.ResponseCancel()


def test_a_whole_number_may_be_written_with_a_point() -> None:
    event = decode_client(
        '{"type":"conversation.item.truncate","item_id":"i","content_index":0,"audio_end_ms":1480.0}'
    )
    assert event == e.ConversationItemTruncate(item_id="i", content_index=0, audio_end_ms=1480)


def test_sound_is_bytes_here_and_base64_on_the_wire() -> None:
    assert decode_client(b'{"type":"input_audio_buffer.append","audio":"AAEC"}') == e.InputAudioBufferAppend(
        audio=b"\x00\x01\x02"
    )
    delta = e.ResponseOutputAudioDelta(
        response_id="r", item_id="i", output_index=0, content_index=0, delta=b"\x00\x01\x02"
    )
    assert '"delta":"AAEC"' in encode(delta)


def test_absent_fields_are_left_out_and_nulls_that_mean_something_are_not() -> None:
    added = json.loads(encode(e.ConversationItemAdded(item=Message(role="user", content=()))))
    assert added["previous_item_id"] is None
    assert set(added["item"]) == {"type", "role", "content"}


@relaxed
@given(st.binary() | st.text() | JSON.map(json.dumps))
@example(b'{"type":"response.cancel","event_id":"\\ud800"}')
def test_nothing_but_a_protocol_error_comes_of_any_bytes(data: str | bytes) -> None:
    try:
        decode_client(data)
    except ProtocolError:
        return


def spoilt(value: object, draw: st.DataObject) -> object:
    """Change something, somewhere in a JSON value."""
    if isinstance(value, dict) and value and draw.draw(st.integers(0, 9)):
        name = draw.draw(st.sampled_from(sorted(value)))
        return {**value, name: spoilt(value[name], draw)}
    if isinstance(value, list) and value and draw.draw(st.integers(0, 9)):
        at = draw.draw(st.integers(0, len(value) - 1))
        return [*value[:at], spoilt(value[at], draw), *value[at + 1 :]]
    return draw.draw(JSON | st.floats(allow_nan=False, allow_infinity=False) | st.integers())


@relaxed
@given(st.sampled_from(CLIENT).flatmap(said), st.data())
def test_nothing_but_a_protocol_error_comes_of_an_event_gone_wrong(
    event: dict[str, object], data: st.DataObject
) -> None:
    event["event_id"] = "mine"
    wrong = spoilt(event, data)
    text = json.dumps(wrong)
    try:
        understood = decode_client(text)
    except ProtocolError as error:
        blamed = error.event_id
    else:
        assert decode_client(encode(understood)) == understood
        return
    named = wrong.get("event_id") if isinstance(wrong, dict) else None
    assert blamed == (named if isinstance(named, str) else None)


@relaxed
@given(st.sampled_from(CLIENT).flatmap(said))
def test_what_is_written_can_be_read_again(event: dict[str, object]) -> None:
    understood = decode_client(json.dumps(event))
    assert decode_client(encode(understood)) == understood


# what servers say


def test_a_client_takes_no_offence_at_what_it_does_not_know() -> None:
    assert decode_server('{"type":"session.pondered","event_id":"event_1"}') is None
    event = decode_server('{"type":"input_audio_buffer.cleared","event_id":"event_1","mood":"calm"}')
    assert event == e.InputAudioBufferCleared(event_id="event_1")


@pytest.mark.parametrize("data", ["", "[]", "{}", '{"type":"response.done"}', b"\xff", "[" * 100_000])
def test_a_client_is_told_when_a_server_makes_no_sense(data: str | bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_server(data)
    assert caught.value.code == "invalid_event"


def test_an_error_becomes_an_event() -> None:
    error = ProtocolError("No.", code="invalid_value", param="audio")
    details = error_event(error, "mine").error
    assert (details.type, details.code, details.message) == ("invalid_request_error", "invalid_value", "No.")
    assert (details.param, details.event_id) == ("audio", "mine")
    error.event_id = "its own"
    assert error_event(error, "mine").error.event_id == "its own"
