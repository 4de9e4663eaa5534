import pytest
from msgspec import UNSET, Struct, UnsetType

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol.codec import decode_client, read_body, read_body_object, read_session
from vivavoce.protocol.session import Session, TranscriptionSession


class Wish(Struct, frozen=True, kw_only=True):
    seconds: int = 600
    words: str | UnsetType = UNSET


def test_a_body_is_read_and_what_is_absent_is_the_default() -> None:
    assert read_body(b'{"seconds": 20.0}', Wish) == Wish(seconds=20)
    assert read_body(b"", Wish) == Wish()


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"{", "invalid_json", None),
        (b"[]", "invalid_json", None),
        (b'"\xff"', "invalid_json", None),
        (b'{"words": ' + b"[" * 100_000, "invalid_json", None),
        (b'{"words": [' + b"1," * 100_000, "invalid_json", None),
        (b'{"seconds": "20"}', "invalid_value", "seconds"),
        (b'{"minutes": 1}', "unknown_parameter", "minutes"),
        (b'{"words": "too many"}', "invalid_value", "words"),
    ],
)
def test_what_is_wrong_with_a_body_is_named(body: bytes, code: str, param: str | None) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_body(body, Wish, Limits(text_chars=5))
    assert (caught.value.code, caught.value.param) == (code, param)


def test_a_session_is_read_by_its_type() -> None:
    assert read_session(b'{"type": "realtime", "instructions": "Hi."}') == Session(instructions="Hi.")
    assert read_session(b'{"type": "transcription"}') == TranscriptionSession()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", "session.type"),
        (b'{"type": "riddle"}', "session.type"),
        (b'{"type": "realtime", "audio": {"output": {"speed": "fast"}}}', "session.audio.output.speed"),
        (b'{"type": "transcription", "tools": []}', "session.tools"),
    ],
)
def test_what_is_wrong_with_a_session_is_named(body: bytes, param: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_session(body)
    assert caught.value.param == param


def test_any_object_can_be_read() -> None:
    assert read_body_object(b'{"a": [1]}') == {"a": [1]}


@pytest.mark.parametrize("data", [b"{", b"[]", b'"\xff"', b'{"a": ' + b"[" * 100_000, b'{"a": [1,1,1,1,1]}'])
def test_what_is_wrong_is_said_in_the_words_of_an_event(data: bytes) -> None:
    with pytest.raises(ProtocolError) as body:
        read_body_object(data, Limits(event_values=3))
    with pytest.raises(ProtocolError) as event:
        decode_client(data, Limits(event_values=3))
    assert body.value.message.replace("body", "event") == event.value.message
