"""What a WebSocket says before its first event."""

from typing import Any

import pytest

from vivavoce.protocol.dialects import BETA, FIRST_BETA, GA, Dialect
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.transports.base import Handshake
from vivavoce.transports.websocket import read_handshake


def scope(query: str = "", *, state: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "type": "websocket",
        "query_string": query.encode(),
        "client": ("10.0.0.7", 5000),
        "headers": [],
        "state": state or {},
        **more,
    }


def test_who_calls_and_whom_they_want() -> None:
    assert read_handshake(scope("model=gpt-realtime&voice=ash")) == Handshake("10.0.0.7", "gpt-realtime")
    assert read_handshake(scope("deployment=ours")).model == "ours"
    assert read_handshake(scope("model=first&model=second")).model == "first"
    assert read_handshake(scope("model=", client=None)) == Handshake()


def test_who_joins_a_call_brings_no_wishes_of_their_own() -> None:
    state = {"session": Session(model="gpt-realtime")}
    assert read_handshake(scope("call_id=rtc_1&model=m", state=state)) == Handshake("10.0.0.7", call_id="rtc_1")


def test_an_intent_or_a_key_says_how_the_conversation_is_to_be_held() -> None:
    assert read_handshake(scope("intent=transcription")).session == TranscriptionSession()
    assert read_handshake(scope("intent=conversation")).session is None
    key = Session(instructions="Be kind.", model="gpt-realtime-mini")
    assert read_handshake(scope(state={"session": key})) == Handshake("10.0.0.7", "gpt-realtime-mini", key)
    assert read_handshake(scope("model=mine", state={"session": key})).model == "mine"
    assert read_handshake(scope("intent=transcription", state={"session": key})).session == key
    assert read_handshake(scope(state={"session": Session()})).model is None


@pytest.mark.parametrize(
    ("said", "dialect"),
    [
        (scope("model=m"), GA),
        (scope(headers=[(b"openai-beta", b"realtime=v1")]), BETA),
        (scope(headers=[(b"openai-beta", b"assistants=v2, realtime=v1")]), BETA),
        (scope(headers=[(b"openai-beta", b"assistants=v2")]), GA),
        (scope(subprotocols=["realtime", "openai-insecure-api-key.x", "openai-beta.realtime-v1"]), BETA),
        (scope(subprotocols=["realtime"]), GA),
        (scope("api-version=2024-10-01-preview"), FIRST_BETA),
        (
            scope("api-version=2024-10-01-preview", headers=[(b"openai-beta", b"realtime=v1")]),
            FIRST_BETA,
        ),
        (scope("api-version=2025-04-01-preview&call_id=rtc_1"), BETA),
        (scope("api-version=v1"), GA),
        (scope("api-version=preview"), GA),
    ],
)
def test_a_dialect_is_chosen_for_each_connection(said: dict[str, Any], dialect: Dialect) -> None:
    assert read_handshake(said).dialect is dialect
