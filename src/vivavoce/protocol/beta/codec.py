"""The beta dialect: the protocol as it was before GA, and as Azure's preview still has it.

It differs in names and shapes, not in what is meant; so it is tables beside the wire, and not a second engine.
What a client says is spelled as GA has it before it is read, and what a server says once it is made. An error
names the parameter as the client spelled it. The client's side is in `beta_client`.
"""

import msgspec

from vivavoce.errors import ProtocolError
from vivavoce.protocol import codec as wire
from vivavoce.protocol import events as e
from vivavoce.protocol.beta.client import encode_client, reader
from vivavoce.protocol.beta.names import EVENTS, spelled
from vivavoce.protocol.beta.objects import (
    RESPONSE,
    SESSION,
    TRANSCRIPTION,
    WISHES,
    Json,
    flattened,
    nested,
    read_item,
    write_item,
)
from vivavoce.protocol.session import Session, TranscriptionSession

__all__ = ["EVENTS", "decode_client", "encode", "encode_client", "flat", "reader"]

TEMPERATURE = 0.8
"""What a session's `temperature` is until its client says otherwise."""


def flat(session: Session | TranscriptionSession) -> Json:
    """Return a session as the beta has it, as JSON values."""
    if isinstance(session, TranscriptionSession):
        return flattened(msgspec.to_builtins(session), TRANSCRIPTION)
    return {"temperature": TEMPERATURE, **flattened(msgspec.to_builtins(session), SESSION)}


# what a client says


def decode_client(
    data: str | bytes,
    *,
    append_bytes: int = wire.APPEND_BYTES,
    text_chars: int = wire.TEXT_CHARS,
    values: int = wire.VALUES,
) -> e.ClientEvent:
    """Read what a client said, as `wire.decode_client` does; errors name what the client wrote."""
    try:
        return wire.decode_client(
            data, append_bytes=append_bytes, text_chars=text_chars, values=values, translate=_translated
        )
    except ProtocolError as error:
        error.message, error.param = spelled(error)
        raise


def _translated(said: Json) -> Json:
    match said:
        case {"type": "session.update", "session": dict(session)}:
            return {**said, "session": {"type": "realtime", **nested(session, SESSION, "session")}}
        case {"type": "transcription_session.update", "session": dict(session)}:
            wishes = {"type": "transcription", **nested(session, TRANSCRIPTION, "session")}
            return {**said, "type": "session.update", "session": wishes}
        case {"type": "transcription_session.update"}:
            return {**said, "type": "session.update"}
        case {"type": "conversation.item.create", "item": item}:
            return {**said, "item": read_item(item)}
        case {"type": "response.create", "response": dict(response)}:
            return {**said, "response": nested(response, WISHES, "response")}
    return said


# what a server says

_RESHAPED = {"session", "item", "response", "error"}
_KINDS: tuple[type[e.Event], ...] = tuple(e.ServerEvent.__subclasses__())
_SHAPED = frozenset(kind for kind in _KINDS if _RESHAPED & set(kind.__struct_fields__))
_HEADS = {
    kind: (len(f'{{"type":"{tag}"'), f'{{"type":"{name}"')
    for kind in _KINDS
    if (name := EVENTS.get(tag := str(kind.__struct_config__.tag)))
}
"""How the JSON of an event begins that only has another name: sound is written once, and its head put on."""

_encoder = msgspec.json.Encoder()


def encode(event: e.Event) -> str | None:
    """Write an event as JSON text; None if the beta does not know it."""
    kind = type(event)
    if kind in _SHAPED:
        shaped = _shaped(event)
        return _encoder.encode(shaped).decode() if shaped else None
    text = wire.encode(event)
    if kind not in _HEADS:
        return text
    length, head = _HEADS[kind]
    return head + text[length:]


def _shaped(event: e.Event) -> Json | None:
    said: Json = msgspec.to_builtins(event)
    said["type"] = EVENTS.get(said["type"], said["type"])
    match event:
        case e.ConversationItemDone():
            return None
        case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
            said["session"] = flat(session)
            if isinstance(session, TranscriptionSession):
                said["type"] = f"transcription_{said['type']}"
        case e.ErrorEvent(error=error):
            said["error"]["message"], said["error"]["param"] = spelled(error)
        case e.ResponseCreated() | e.ResponseDone():
            said["response"] = flattened(said["response"], RESPONSE)
    if "item" in said:
        said["item"] = write_item(said["item"])
    return said
