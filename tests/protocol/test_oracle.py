"""What we say, judged by OpenAI's own types; what their SDK says, understood by us."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Annotated, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from openai.types import realtime as sdk
from pydantic import BaseModel, TypeAdapter

from clients.rules.spelling import unknown
from protocol.shapes import made, said
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import decode_client, decode_server, encode, encode_client
from vivavoce.protocol.settings import DEFAULT, DEFAULT_TRANSCRIPTION

NOT_SPOKEN = {
    "conversation.created": "in the SDK's union, but the service has not sent it since the beta",
    "conversation.item.created": "the beta's name for conversation.item.added",
}
BEYOND_THE_SDK = {"id", "object", "expires_at", "model", "_temperature"}
"""The service sends these with a session; the SDK types it by what a client may ask for. The last is
for the beta."""


def members(union: object) -> dict[str, type[BaseModel]]:
    union = get_args(union)[0] if get_origin(union) is Annotated else union
    return {get_args(one.model_fields["type"].annotation)[0]: one for one in get_args(union)}


def tags(kinds: Sequence[type[Struct]]) -> dict[str, type[Struct]]:
    return {str(kind.__struct_config__.tag): kind for kind in kinds}


THEIR_SERVER, THEIR_CLIENT = members(sdk.RealtimeServerEvent), members(sdk.RealtimeClientEvent)
OUR_SERVER = tags([*e.kinds(e.ServerEvent), e.DtmfEventReceived])
OUR_CLIENT = tags(e.kinds(e.ClientEvent))
relaxed = settings(max_examples=25, suppress_health_check=list(HealthCheck))


def test_no_event_of_the_service_is_unknown_to_us() -> None:
    assert set(THEIR_SERVER) - set(OUR_SERVER) == set(NOT_SPOKEN)
    assert set(THEIR_CLIENT) == set(OUR_CLIENT)


def test_no_event_of_ours_is_unknown_to_the_sdk() -> None:
    assert set(OUR_SERVER) <= set(THEIR_SERVER)


@pytest.mark.parametrize("tag", sorted(OUR_SERVER))
def test_an_event_has_the_fields_that_the_sdk_knows(tag: str) -> None:
    assert {*OUR_SERVER[tag].__struct_fields__, "type"} == set(THEIR_SERVER[tag].model_fields)


@cache
def reader(model: type[BaseModel]) -> TypeAdapter[BaseModel]:
    return TypeAdapter(model)


def judged(text: str) -> BaseModel:
    """Read an event of ours strictly by the SDK's type for it; nothing may be left over or lost."""
    tag = json.loads(text)["type"]
    model = reader(THEIR_SERVER[tag]).validate_json(text, strict=True)
    extra = {name for name in unknown(model) if name not in {f"session.{one}" for one in BEYOND_THE_SDK}}
    assert not extra
    assert json.loads(model.model_dump_json(exclude_unset=True, by_alias=True)) == json.loads(text)
    return model


@pytest.mark.parametrize("tag", sorted(OUR_SERVER))
@relaxed
@given(data=st.data())
def test_openai_understands_all_that_we_can_say(tag: str, data: st.DataObject) -> None:
    event = data.draw(made(OUR_SERVER[tag]))
    assert isinstance(event, e.Event)
    text = encode(event)
    judged(text)
    assert decode_server(text) == event


@pytest.mark.parametrize("session", [DEFAULT, DEFAULT_TRANSCRIPTION])
def test_openai_understands_our_defaults(session: object) -> None:
    judged(encode(e.SessionCreated(session=session)))  # type: ignore[arg-type]


@pytest.mark.parametrize("tag", sorted(OUR_CLIENT))
@relaxed
@given(data=st.data())
def test_we_understand_what_openais_client_says(tag: str, data: st.DataObject) -> None:
    text = json.dumps(data.draw(said(OUR_CLIENT[tag])))
    try:
        theirs = reader(THEIR_CLIENT[tag]).validate_json(text)
    except ValueError:
        assert tag == "response.create"  # the SDK lets its callers send an item_reference, but cannot read one
        theirs = None
    event = decode_client(text if theirs is None else theirs.model_dump_json(exclude_unset=True, by_alias=True))
    assert event == decode_client(text)
    assert decode_client(encode(event)) == event


@pytest.mark.parametrize("tag", sorted(OUR_CLIENT))
@relaxed
@given(data=st.data())
def test_openai_understands_what_our_client_says(tag: str, data: st.DataObject) -> None:
    event = decode_client(json.dumps(data.draw(said(OUR_CLIENT[tag]))))
    text = encode_client(event)
    try:
        model = reader(THEIR_CLIENT[tag]).validate_json(text)
    except ValueError:
        assert "item_reference" in text  # which the SDK lets its callers send, but cannot read
    else:
        assert not set(unknown(model)) - {"session.model"}
