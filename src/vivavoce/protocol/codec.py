"""Events as JSON text, and the JSON bodies of HTTP requests.

Client events are decoded strictly (`decode_client`): an invalid event becomes one `ProtocolError` that names
the field and contains the event's `event_id`, for the `error` event. Server events are decoded leniently
(`decode_server`): unknown events and fields are ignored.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, cast

import msgspec
from msgspec import UNSET, inspect
from msgspec.structs import replace

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import Item, Message
from vivavoce.protocol.session import AnySession, Session, TranscriptionSession
from vivavoce.protocol.validation import invalid, missing, text_limit, validate

DEFAULT_LIMITS = Limits()
NAME_CHARS = 512

_SERVER_KINDS: tuple[type[e.Event], ...] = (*e.kinds(e.ServerEvent), *e.kinds(e.OwnEvent), e.DtmfEventReceived)
_CLIENT = {str(kind.__struct_config__.tag): kind for kind in e.kinds(e.ClientEvent)}
_SERVER = {str(kind.__struct_config__.tag): kind for kind in _SERVER_KINDS}
_SHAPES = {tag: inspect.type_info(kind) for tag, kind in _CLIENT.items()}
_SESSION = inspect.type_info(AnySession)
_SERVER_DECODERS = {tag: msgspec.json.Decoder(kind) for tag, kind in _SERVER.items()}

Json = dict[str, object]
Translate = Callable[[Json], Json]
T = TypeVar("T")

_append = msgspec.json.Decoder(e.InputAudioBufferAppend)
_anything = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
_name = re.compile(rb'"event_id"\s*:\s*"([^"\\\x00-\x1f]{1,512})"')

_SERVER_FIELDS = {
    kind: {
        name: UNSET for name in ("id", "object", "expires_at", "temperature") if name in kind.__struct_fields__
    }
    for kind in (Session, TranscriptionSession)
}
"""Fields of a session that only a server sets, or that only the beta has; other servers reject them."""

_CREATABLE = {
    "user": ("input_text", "input_audio", "input_image"),
    "assistant": ("output_text",),
    "system": ("input_text",),
}
"""The parts that a client may put into a message, by role. Audio of the assistant cannot be created."""


class _Type(msgspec.Struct):
    type: str


_type_of = msgspec.json.Decoder(_Type)


def encode(event: e.Event) -> str:
    """Encode an event as JSON text: audio as base64, absent fields left out."""
    return _encoder.encode(event).decode()


def encode_client(event: e.Event) -> str:
    """Encode a client event as JSON text, without the fields of a session that only a server sets."""
    if isinstance(event, e.SessionUpdate):
        event = replace(event, session=replace(event.session, **_SERVER_FIELDS[type(event.session)]))
    return encode(event)


def decode_client(
    data: str | bytes, limits: Limits = DEFAULT_LIMITS, *, translate: Translate = lambda message: message
) -> e.ClientEvent:
    """Decode a client event.

    Raises `ProtocolError` if it is invalid, and no other exception. Of the limits, `append_bytes` is for the
    audio of one append, `text_chars` for the characters of one text (except the URL of an image),
    `event_values` for the commas of one event. `translate` converts an event of another dialect.
    """
    try:  # the most frequent event: decoded once; unknown fields are ignored
        event: e.ClientEvent = _append.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        event = _decode_strictly(data, limits, translate)
    if isinstance(event, e.InputAudioBufferAppend) and (size := len(event.audio)) > limits.append_bytes:
        allowed = f"one append may have {limits.append_bytes} (limits.append_bytes)"
        raise _with_event_id(invalid("audio", f"{size} bytes; {allowed}."), event.event_id)
    return event


def decode_server(data: str | bytes, *, translate: Translate | None = None) -> e.Event | None:
    """Decode a server event; None if its type is unknown.

    Unknown fields are dropped. Raises `ProtocolError` (`invalid_event`) if it is no event, or required fields
    are missing. `translate` converts an event of another dialect.
    """
    try:
        tag = _type_of.decode(data).type
        message = None
        if translate is not None:
            message = translate(_anything.decode(data))
            tag = str(message["type"])
        if tag not in _SERVER:
            return None
        if message is None:
            with suppress(msgspec.ValidationError):
                return _SERVER_DECODERS[tag].decode(data)
        return msgspec.convert(normalize_parts(message or _anything.decode(data)), _SERVER[tag])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"The server's event cannot be read: {error}", code="invalid_event") from error


def read_server(data: str | bytes) -> tuple[e.Event, ...]:
    """Decode a server message like `decode_server`; an unknown one is no event."""
    event = decode_server(data)
    return () if event is None else (event,)


def _read_object(data: bytes, limits: Limits, *, what: str = "event", code: str = "invalid_event") -> Json:
    """Decode a JSON object with few enough commas. Raises `ProtocolError` about `what`, with `code`."""
    most = limits.event_values
    if data.count(b",") > most:  # checked before decoding, which would delay other conversations
        raise ProtocolError(f"The {what} has more than {most} values (limits.event_values).", code=code)
    try:
        message: object = _anything.decode(data)
    except RecursionError as error:
        raise ProtocolError(f"The {what} is nested too deeply.", code=code) from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError(f"The {what} is not valid JSON: {error}.", code=code) from error
    if not isinstance(message, dict):
        raise ProtocolError(f"The {what} is not a JSON object.", code=code)
    return message


def read_body_object(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Json:
    """Decode the body of an HTTP request: a JSON object with at most `limits.event_values` values.

    Raises `ProtocolError` if it is invalid, and no other exception; so do `read_body` and `read_session`.
    """
    return _read_object(data, limits, what="body", code="invalid_json")


def read_body(data: bytes, kind: type[T], limits: Limits = DEFAULT_LIMITS) -> T:
    """Decode a body as this type; an empty body counts as an empty object.

    `limits.text_chars` is for each of its texts, except the URLs of images.
    """
    body = read_body_object(data, limits) if data else {}
    check_text = text_limit(limits.text_chars, but=".image_url.url")
    return msgspec.convert(validate(body, inspect.type_info(kind), "", check_text), kind)


def read_session(data: bytes, limits: Limits = DEFAULT_LIMITS) -> AnySession:
    """Decode a session; errors name its fields as `session.…`."""
    body = read_body_object(data, limits)
    valid = validate(body, _SESSION, "session", text_limit(limits.text_chars, but=".image_url.url"))
    return cast("AnySession", msgspec.convert(valid, AnySession))


def normalize_parts(value: object) -> object:
    """Return an event, as JSON values, with the full names of the parts of its messages.

    OpenAI's recorded `conversation.item.retrieved`, and the beta, omit a prefix: parts named `audio` and `text`
    are `output_audio` and `output_text` in an assistant's message, `input_audio` and `input_text` in others.
    Some servers send null for an assistant's transcript, which cannot be null.
    """
    match value:
        case {"type": "message", "content": list(content), **rest}:
            side = "output" if rest.get("role") == "assistant" else "input"
            return {"type": "message", **rest, "content": [_normalize_part(part, side) for part in content]}
        case dict():
            return {name: normalize_parts(one) for name, one in value.items()}
        case list():
            return [normalize_parts(one) for one in value]
    return value


def _normalize_part(part: object, side: str) -> object:
    match part:
        case {"type": "audio" | "text" as kind, **rest}:
            present = {name: one for name, one in rest.items() if one is not None or side == "input"}
            return {"type": f"{side}_{kind}", **present}
    return part


def error_event(error: ProtocolError, event_id: str | None = None) -> e.ErrorEvent:
    """Return the `error` event. `event_id` is the client event's, used unless the error has one."""
    details = e.ErrorDetails(
        type="invalid_request_error",
        code=error.code,
        message=error.message,
        param=error.param,
        event_id=error.event_id or event_id,
    )
    return e.ErrorEvent(error=details)


def _decode_strictly(data: str | bytes, limits: Limits, translate: Translate) -> e.ClientEvent:
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    try:
        message = _read_object(raw, limits)
    except ProtocolError as error:  # the event is invalid, but its id may still be found
        found = _name.search(raw)
        raise _with_event_id(error, found and found[1].decode(errors="replace"))  # noqa: B904 (it is the same error)
    try:
        return _event(translate(message), limits)
    except ProtocolError as error:
        raise _with_event_id(error, message.get("event_id"))  # noqa: B904 (it is the same error)


def _event(message: Json, limits: Limits) -> e.ClientEvent:
    if "type" not in message:
        raise missing("type")
    tag = message["type"]
    if not isinstance(tag, str) or tag not in _CLIENT:
        raise invalid("type", "this is no event that a client can send.")
    check_text = text_limit(limits.text_chars, but=".image_url")
    event = msgspec.convert(validate(message, _SHAPES[tag], "", check_text), _CLIENT[tag])
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
            fault = f"a message of the {item.role}'s that a client creates may contain {names}, not '{tag}'."
            raise invalid(f"item.content[{index}].type", fault)


def _with_event_id(error: ProtocolError, event_id: object) -> ProtocolError:
    """Return the error with the id of the event that caused it, if that is valid."""
    if isinstance(event_id, str) and len(event_id) <= NAME_CHARS:
        error.event_id = event_id
    return error
