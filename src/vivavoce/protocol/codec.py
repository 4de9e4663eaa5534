"""The wire: events as JSON text, and back.

What a client says is read strictly (`decode_client`): whatever is wrong becomes one `ProtocolError` that names
the field and carries the event's `event_id`, so that an `error` event can say so. What a server says is read
leniently (`decode_server`): unknown events and fields are nobody's fault, only news.
"""

import re
from collections.abc import Callable

import msgspec
from msgspec import UNSET, inspect
from msgspec.structs import replace

from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.protocol.items import Item, Message
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.protocol.spelling import respelled
from vivavoce.protocol.validation import bounded, fitted, invalid, missing

__all__ = [
    "APPEND_BYTES",
    "TEXT_CHARS",
    "VALUES",
    "decode_client",
    "decode_server",
    "encode",
    "encode_client",
    "error_event",
    "read_object",
    "reader",
]

APPEND_BYTES = 15 * 1024 * 1024
TEXT_CHARS = 100_000
VALUES = 40_000
NAME_CHARS = 512

_SERVER_KINDS: tuple[type[e.Event], ...] = (
    *e.ServerEvent.__subclasses__(),
    *e.OwnEvent.__subclasses__(),
    e.DtmfEventReceived,
)
_CLIENT = {str(kind.__struct_config__.tag): kind for kind in e.ClientEvent.__subclasses__()}
_SERVER = {str(kind.__struct_config__.tag): kind for kind in _SERVER_KINDS}
_SHAPES = {tag: inspect.type_info(kind) for tag, kind in _CLIENT.items()}
_SERVER_DECODERS = {kind: msgspec.json.Decoder(kind) for kind in _SERVER_KINDS}

Said = dict[str, object]
"""What a client said, as JSON has it."""

_append = msgspec.json.Decoder(e.InputAudioBufferAppend)
_anything = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
_name = re.compile(rb'"event_id"\s*:\s*"([^"\\\x00-\x1f]{1,512})"')

_NOT_THE_CLIENTS = {
    kind: {
        name: UNSET for name in ("id", "object", "expires_at", "temperature") if name in kind.__struct_fields__
    }
    for kind in (Session, TranscriptionSession)
}
"""What a server says of a session, and what only the beta has; a service refuses them."""

_CREATABLE = {
    "user": ("input_text", "input_audio", "input_image"),
    "assistant": ("output_text",),
    "system": ("input_text",),
}
"""What a client may put into a message, by its role. An assistant's sound can only be spoken."""


class _Type(msgspec.Struct):
    type: str


_type_of = msgspec.json.Decoder(_Type)


def encode(event: e.Event) -> str:
    """Write an event as JSON text: sound as base64, absent fields left out."""
    return _encoder.encode(event).decode()


def encode_client(event: e.Event) -> str:
    """Write what a client says as JSON text, without what is the server's to say about a session."""
    if isinstance(event, e.SessionUpdate):
        event = replace(event, session=replace(event.session, **_NOT_THE_CLIENTS[type(event.session)]))
    return encode(event)


def decode_client(
    data: str | bytes,
    *,
    append_bytes: int = APPEND_BYTES,
    text_chars: int = TEXT_CHARS,
    values: int = VALUES,
    translate: Callable[[Said], Said] = lambda said: said,
) -> e.ClientEvent:
    """Read what a client said.

    Raises `ProtocolError` for whatever is wrong with it, and nothing else. `append_bytes` bounds the sound of
    one append, `text_chars` the characters of one text (not those of an image's URL), `values` the commas of
    one event. `translate` gives what was said in another dialect in this one.
    """
    try:
        event: e.ClientEvent = _append.decode(data)  # most of what is ever said: read once, unknown fields pass
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        event = _decode_strictly(data, text_chars, values, translate)
    if isinstance(event, e.InputAudioBufferAppend) and len(event.audio) > append_bytes:
        size = len(event.audio)
        too_long = invalid("audio", f"{size} bytes; one append holds {append_bytes} (limits.append_bytes).")
        raise _naming(too_long, event.event_id)
    return event


def decode_server(data: str | bytes, *, translate: Callable[[Said], Said] | None = None) -> e.Event | None:
    """Read what a server said; None if that is an event we do not know.

    Unknown fields are dropped. Raises `ProtocolError` (`invalid_event`) for what is not an event at all, or
    lacks what its type must have. `translate` gives what was said in another dialect in this one.
    """
    try:
        tag = _type_of.decode(data).type
        if translate is not None:
            return _converted(translate(_anything.decode(data)))
        kind = _SERVER.get(tag)
        return _read(data, kind) if kind else None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"The server's event cannot be read: {error}", code="invalid_event") from error


def reader() -> Callable[[str | bytes], tuple[e.Event, ...]]:
    """Return what reads a server's messages: like `decode_server`, but each gives any number of events."""
    return _read_server


def _read_server(data: str | bytes) -> tuple[e.Event, ...]:
    event = decode_server(data)
    return () if event is None else (event,)


def _read(data: str | bytes, kind: type[e.Event]) -> e.Event:
    try:
        return _SERVER_DECODERS[kind].decode(data)
    except msgspec.ValidationError:
        return msgspec.convert(respelled(_anything.decode(data)), kind)


def _converted(said: Said) -> e.Event | None:
    kind = _SERVER.get(str(said["type"]))
    return msgspec.convert(respelled(said), kind) if kind else None


def read_object(data: bytes, *, values: int = VALUES, what: str = "event", code: str = "invalid_event") -> Said:
    """Read a JSON object with at most so many commas, whatever is in it.

    Raises `ProtocolError` with this `code` if there is none; `what` is what it calls the data.
    """
    if data.count(b",") > values:  # told before all of them are read: that would hold up the neighbours
        raise ProtocolError(f"The {what} has more than {values} values (limits.event_values).", code=code)
    try:
        said: object = _anything.decode(data)
    except RecursionError as error:
        raise ProtocolError(f"The {what} is nested too deeply.", code=code) from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError(f"The {what} is not valid JSON: {error}.", code=code) from error
    if not isinstance(said, dict):
        raise ProtocolError(f"The {what} is not a JSON object.", code=code)
    return said


def error_event(error: ProtocolError, event_id: str | None = None) -> e.ErrorEvent:
    """Make the `error` event that tells a client. `event_id` names its event where the error does not."""
    details = e.ErrorDetails(
        type="invalid_request_error",
        code=error.code,
        message=error.message,
        param=error.param,
        event_id=error.event_id or event_id,
    )
    return e.ErrorEvent(error=details)


def _decode_strictly(
    data: str | bytes, text_chars: int, values: int, translate: Callable[[Said], Said]
) -> e.ClientEvent:
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    try:
        said = read_object(raw, values=values)
    except ProtocolError as error:  # it cannot be read, but perhaps its name can
        found = _name.search(raw)
        raise _naming(error, found and found[1].decode(errors="replace"))  # noqa: B904 (it is the same error)
    try:
        return _event(translate(said), text_chars)
    except ProtocolError as error:
        raise _naming(error, said.get("event_id"))  # noqa: B904 (it is the same error)


def _event(said: Said, text_chars: int) -> e.ClientEvent:
    if "type" not in said:
        raise missing("type")
    tag = said["type"]
    if not isinstance(tag, str) or tag not in _CLIENT:
        raise invalid("type", "this is no event that a client can send.")

    text = bounded(text_chars, but=".image_url")
    event = msgspec.convert(fitted(said, _SHAPES[tag], "", text), _CLIENT[tag])
    if isinstance(event, e.ConversationItemCreate):
        _check_content(event.item)
    return event


def _check_content(item: Item) -> None:
    if not isinstance(item, Message):
        return
    allowed = _CREATABLE[item.role]
    for index, part in enumerate(item.content):
        tag = part.__struct_config__.tag
        if tag not in allowed:
            names = " or ".join(f"'{name}'" for name in allowed)
            param = f"item.content[{index}].type"
            raise invalid(
                param, f"a message of the {item.role}'s that a client creates holds {names}, not '{tag}'."
            )


def _naming(error: ProtocolError, event_id: object) -> ProtocolError:
    """Return the error with the id of the event that caused it, if it has a usable one."""
    if isinstance(event_id, str) and len(event_id) <= NAME_CHARS:
        error.event_id = event_id
    return error
