"""Anything that the protocol's types can say, for Hypothesis to say it."""

import base64
from collections.abc import Callable
from functools import cache

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from vivavoce.protocol.items import McpApprovalResponse, Message

ROLES = {
    "user": {"input_text", "input_audio", "input_image"},
    "assistant": {"output_text"},
    "system": {"input_text"},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NARROWER: dict[str, st.SearchStrategy[object]] = {
    "server_url": st.just("https://tools.example/mcp"),
    "effort": st.sampled_from(["minimal", "low", "medium", "high", "xhigh"]),
    "connector_id": st.sampled_from(["connector_dropbox", "connector_gmail"]),
    "interrupt_response": st.booleans(),  # and `words`, which is ours
    "variables": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
}
"""Fields of which the SDK lists the values that it knows today, and we let others pass."""
MISSED_BY_THE_SDK = [(McpApprovalResponse, "id")]
"""Fields that OpenAI's clients may leave out, though the SDK for Python insists on them."""
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


def json_of(kind: inspect.Type, spoken: bool = False) -> st.SearchStrategy[object]:
    """JSON values that fit a type. `spoken`: an assistant's message may hold sound, as a server's does."""
    match kind:
        case inspect.StructType():
            return _object(kind, spoken)
        case inspect.UnionType():
            return st.one_of([json_of(one, spoken) for one in kind.types])
        case inspect.VarTupleType():
            return st.lists(json_of(kind.item_type, spoken), max_size=3)
        case inspect.DictType():
            return st.dictionaries(TEXT, json_of(kind.value_type, spoken), max_size=3)
        case inspect.LiteralType():
            return st.sampled_from(kind.values)
        case inspect.BytesType():
            return st.binary(max_size=9).map(lambda sound: base64.b64encode(sound).decode())
        case inspect.StrType():
            return TEXT
        case inspect.IntType():
            return st.integers(0, 2**31)
        case inspect.FloatType():
            return st.floats(0, 1, width=32)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case _:
            return JSON


def _object(kind: inspect.StructType, spoken: bool) -> st.SearchStrategy[object]:
    fields = {
        one.encode_name: NARROWER.get(one.encode_name, st.deferred(_of(one.type, spoken)))
        for one in kind.fields
    }
    missed = {one for cls, one in MISSED_BY_THE_SDK if cls is kind.cls}
    required = {
        one.encode_name: fields[one.encode_name]
        for one in kind.fields
        if one.required or one.encode_name in missed
    }
    optional = {name: one for name, one in fields.items() if name not in required}
    objects: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(required, optional=optional)
    if kind.tag_field:
        objects = objects.map(lambda one: {str(kind.tag_field): kind.tag, **one})
    if kind.cls is Message:
        objects = objects.map(lambda one: _as_its_role_may(one, spoken))
    return objects


def _of(kind: inspect.Type, spoken: bool) -> Callable[[], st.SearchStrategy[object]]:
    return lambda: json_of(kind, spoken)


def _as_its_role_may(message: dict[str, object], spoken: bool) -> dict[str, object]:
    role, content = message["role"], message["content"]
    assert isinstance(role, str)
    assert isinstance(content, list)
    allowed = ROLES[role] | ({"output_audio"} if spoken and role == "assistant" else set())
    return {**message, "content": [part for part in content if part["type"] in allowed]}


@cache
def said(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, object]]:
    """An event of a client's, as JSON."""
    return json_of(inspect.type_info(kind))  # type: ignore[return-value]


@cache
def made(kind: type[msgspec.Struct]) -> st.SearchStrategy[msgspec.Struct]:
    """A struct, as a server makes it."""
    return json_of(inspect.type_info(kind), spoken=True).map(lambda one: msgspec.convert(one, kind))
