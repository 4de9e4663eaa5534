"""What is written to a server, and what is checked before it is read."""

import json
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta, inspect

from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.protocol.beta.tables import to_ga_param
from vivavoce.protocol.codec import decode_client, encode_client
from vivavoce.protocol.items import FunctionCallOutput
from vivavoce.protocol.session import Session
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.protocol.validation import validate


class Order(msgspec.Struct):
    price: float
    paid: bool = False
    name: Annotated[str, Meta(min_length=2)] = "it"


def check(order: object) -> object:
    return validate(order, inspect.type_info(Order), "", lambda text, path: None)


def test_a_client_sends_no_fields_of_a_session_that_only_a_server_sets() -> None:
    session = merge(DEFAULT, Session(id="sess_1", expires_at=9))
    sent = json.loads(encode_client(e.SessionUpdate(session=session)))["session"]
    assert not sent.keys() & {"id", "object", "expires_at", "temperature"}
    assert sent["audio"]


def test_an_output_of_a_function_may_be_put_into_the_conversation() -> None:
    item = {"type": "function_call_output", "call_id": "c", "output": "12"}
    event = decode_client(json.dumps({"type": "conversation.item.create", "item": item}))
    assert isinstance(event, e.ConversationItemCreate)
    assert isinstance(event.item, FunctionCallOutput)


def test_values_are_checked_by_their_types_and_lengths() -> None:
    assert check({"price": 2, "paid": True, "name": "tea"}) == {"price": 2.0, "paid": True, "name": "tea"}
    with pytest.raises(ProtocolError, match="1 characters; it needs at least 2"):
        check({"price": 2.5, "name": "t"})
    with pytest.raises(ProtocolError, match="price"):
        check({"price": True})


def test_a_parameter_that_both_dialects_call_the_same_keeps_its_name() -> None:
    assert to_ga_param("'instructions' is too long.", "session.instructions") == (
        "'instructions' is too long.",
        "session.instructions",
    )
