"""The beta dialect: the protocol before GA, which Azure's preview API still uses.

It differs from GA in names and structure, not in meaning: events are translated by the tables in `tables`,
before they are decoded and after they are encoded, for servers and clients. Errors name parameters as the
client spelled them.

The beta contains less than GA: it has no `conversation.item.done`, and a function call's arguments come without
its name. The reader for clients adds these from what it has received before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import codec as wire
from vivavoce.protocol import events as e
from vivavoce.protocol.beta.tables import (
    EVENTS,
    RESPONSE,
    RESPONSE_PARAMS,
    SESSION,
    TRANSCRIPTION,
    FieldMapping,
    Json,
    to_beta,
    to_beta_item,
    to_beta_param,
    to_ga,
    to_ga_item,
    to_ga_param,
)
from vivavoce.protocol.items import FunctionCall, Item
from vivavoce.protocol.session import AnySession, TranscriptionSession

TEMPERATURE = 0.8
"""a session's `temperature` until its client sets it"""

_encoder = msgspec.json.Encoder()


# as a server: client events are decoded, server events encoded


def decode_client(data: str | bytes, limits: Limits = wire.DEFAULT_LIMITS) -> e.ClientEvent:
    """Decode a client event like `codec.decode_client`; errors name the fields as the client wrote them."""
    try:
        return wire.decode_client(data, limits, translate=_client_event_to_ga)
    except ProtocolError as error:
        error.message, error.param = to_beta_param(error)
        raise


def _client_event_to_ga(message: Json) -> Json:
    match message:
        case {"type": "session.update", "session": dict(session)}:
            return {**message, "session": {"type": "realtime", **to_ga(session, SESSION, "session")}}
        case {"type": "transcription_session.update", "session": dict(session)}:
            update = {"type": "transcription", **to_ga(session, TRANSCRIPTION, "session")}
            return {**message, "type": "session.update", "session": update}
        case {"type": "transcription_session.update"}:
            return {**message, "type": "session.update"}
        case {"type": "conversation.item.create", "item": item}:
            return {**message, "item": to_ga_item(item)}
        case {"type": "response.create", "response": dict(response)}:
            return {**message, "response": to_ga(response, RESPONSE_PARAMS, "response")}
    return message


_RESHAPED = frozenset(
    kind
    for kind in e.kinds(e.ServerEvent)
    if {"session", "item", "response", "error"} & set(kind.__struct_fields__)
)
_HEADS = {
    kind: (len(f'{{"type":"{tag}"'), f'{{"type":"{name}"')
    for kind in e.kinds(e.ServerEvent)
    if (name := EVENTS.get(tag := str(kind.__struct_config__.tag)))
}
"""The beginning of the JSON of events that only have another name: audio is encoded once, and this replaced."""


def encode(event: e.Event) -> str | None:
    """Encode an event as JSON text; None if the beta does not have it."""
    kind = type(event)
    if kind in _RESHAPED:
        message = _server_event_to_beta(event)
        return _encoder.encode(message).decode() if message else None
    text = wire.encode(event)
    if kind not in _HEADS:
        return text
    length, head = _HEADS[kind]
    return head + text[length:]


def encode_first_beta(event: e.Event) -> str | None:
    """Encode an event for the beta of 2024; None if that does not have it.

    Azure's first preview still uses it, and Azure's `rt-client` disconnects on unknown events.
    """
    return None if isinstance(event, e.TranscriptionDelta) else encode(event)


def session_to_beta(session: AnySession) -> Json:
    """Return a session in the beta's form, as JSON values."""
    if isinstance(session, TranscriptionSession):
        return to_beta(msgspec.to_builtins(session), TRANSCRIPTION)
    return {"temperature": TEMPERATURE, **to_beta(msgspec.to_builtins(session), SESSION)}


def _server_event_to_beta(event: e.Event) -> Json | None:
    message: Json = msgspec.to_builtins(event)
    message["type"] = EVENTS.get(message["type"], message["type"])
    match event:
        case e.ConversationItemDone():
            return None
        case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
            message["session"] = session_to_beta(session)
            if isinstance(session, TranscriptionSession):
                message["type"] = f"transcription_{message['type']}"
        case e.ErrorEvent(error=error):
            message["error"]["message"], message["error"]["param"] = to_beta_param(error)
        case e.ResponseCreated() | e.ResponseDone():
            message["response"] = to_beta(message["response"], RESPONSE)
    if "item" in message:
        message["item"] = to_beta_item(message["item"])
    return message


# as a client: client events are encoded, server events decoded


def _without(fields: Mapping[str, FieldMapping], *names: str) -> Mapping[str, FieldMapping]:
    return {name: mapping for name, mapping in fields.items() if name not in names}


_SENT_PARAMS = _without(RESPONSE_PARAMS, "max_output_tokens")  # OpenAI's client: `max_response_output_tokens`
_SENT_SESSION = _without(SESSION, "id", "object", "expires_at", "prompt", "include")
_SENT_TRANSCRIPTION = _without(TRANSCRIPTION, "id", "object", "expires_at")
_NEWER_SETTINGS = {
    "turn_detection": {"idle_timeout_ms"},
    "input_audio_noise_reduction": {"strength"},
    "input_audio_transcription": {"languages", "keywords", "delay"},
}
"""Settings that are newer than the beta, whose servers reject unknown fields."""


def encode_client(event: e.Event) -> str | None:
    """Encode a client event as JSON text, without what the beta does not have; None if nothing is left."""
    if not isinstance(event, e.SessionUpdate | e.ConversationItemCreate | e.ResponseCreate):
        return wire.encode_client(event)
    message = _client_event_to_beta(msgspec.to_builtins(event))
    return _encoder.encode(message).decode() if message else None


def _client_event_to_beta(message: Json) -> Json | None:
    match message:
        case {"session": {"type": "transcription"} as session}:
            settings = _sent(session, _SENT_TRANSCRIPTION)
            return {**message, "type": "transcription_session.update", "session": settings}
        case {"session": session}:
            return {**message, "session": _sent(session, _SENT_SESSION)}
        case {"response": dict(response)}:
            return {**message, "response": _sent(response, _SENT_PARAMS)}
        case {"item": item}:
            return None if _is_mcp(item) else {**message, "item": to_beta_item(item)}
    return message


def _sent(settings: Json, fields: Mapping[str, FieldMapping]) -> Json:
    known = {name: _known(name, value) for name, value in to_beta(settings, fields).items()}
    return {name: value for name, value in known.items() if value is not UNSET}


def _known(name: str, value: object) -> object:
    """Return the parts of a setting's value that the beta has."""
    match value:
        case {"type": "mcp"} if name == "tool_choice":
            return UNSET
        case [*values]:
            return [one for one in values if not _is_mcp(one)]
        case dict(settings):
            return {key: one for key, one in settings.items() if key not in _NEWER_SETTINGS.get(name, ())}
    return value


def _is_mcp(value: object) -> bool:
    return isinstance(value, dict) and str(value.get("type")).startswith("mcp")


_GA_NAMES = {name: ga for ga, name in EVENTS.items() if name}
_NULLABLE = {
    *("turn_detection", "input_audio_transcription", "input_audio_noise_reduction", "tracing", "prompt"),
    *("include", "conversation_id", "status_details", "usage", "metadata"),
}
"""Fields in which null has a meaning; in other fields it is the same as absent."""
_MISSING: Mapping[str, Json] = {
    "conversation.item.input_audio_transcription.completed": {
        "content_index": 0,
        "usage": {"type": "duration", "seconds": 0},
    },
    "response.function_call_arguments.done": {"name": ""},
}
"""Fields that GA requires, and that servers of the beta did not always send."""


@dataclass
class BetaReader:
    """Decodes one connection's server messages into GA events; keeps what GA sends twice, the beta once."""

    _announced: dict[str, Item] = field(default_factory=dict)
    """items of responses in progress, as they were announced"""
    _pending: dict[str, str | None] = field(default_factory=dict)
    """items of the conversation that are not done, with the item before each"""

    def __call__(self, message: str | bytes) -> tuple[e.Event, ...]:
        """Return the GA events for a message."""
        event = wire.decode_server(message, translate=_server_event_to_ga)
        match event:
            case None:
                return ()
            case e.ResponseOutputItemAdded(item=item):
                self._announced[str(item.id)] = item
            case e.ConversationItemAdded(item=item, previous_item_id=previous):
                if item.id not in self._announced and getattr(item, "status", UNSET) != "in_progress":
                    return event, e.ConversationItemDone(item=item, previous_item_id=previous)
                self._pending[str(item.id)] = previous
            case e.ConversationItemDeleted(item_id=item_id):
                self._pending.pop(item_id, None)
            case e.ResponseFunctionCallArgumentsDone(item_id=item_id, name=""):
                call = self._announced.get(item_id)
                return (replace(event, name=call.name if isinstance(call, FunctionCall) else ""),)
            case e.ResponseOutputItemDone(item=item):
                return *self._done(item), event
            case e.ResponseDone(response=response):
                return *(done for item in response.output for done in self._done(item)), event
        return (event,)

    def _done(self, item: Item) -> tuple[e.Event, ...]:
        """Return `conversation.item.done`, if the item is of the conversation, and was not done yet."""
        item_id = str(item.id)
        self._announced.pop(item_id, None)
        if item_id not in self._pending:
            return ()
        return (e.ConversationItemDone(item=item, previous_item_id=self._pending.pop(item_id)),)


def _server_event_to_ga(message: Json) -> Json:
    """Translate a server event, except its items, whose forms `codec` normalizes."""
    tag = str(message["type"])
    message = {**_MISSING.get(tag, {}), **message, "type": _GA_NAMES.get(tag, tag)}
    match message:
        case {"session": dict(session)}:
            message["type"] = tag.removeprefix("transcription_")
            kind, fields = ("realtime", SESSION) if message["type"] == tag else ("transcription", TRANSCRIPTION)
            message["session"] = {"type": kind, **to_ga(_present(session, fields), fields, "session")}
        case {"response": dict(response)}:
            known = to_ga(_present(response, RESPONSE), RESPONSE, "response")
            message["response"] = {"conversation_id": "", **known}
        case {"type": "error", "error": {"message": str(text), "param": str(param), **rest}}:
            text, param = to_ga_param(text, param)
            message["error"] = {**rest, "message": text, "param": param}
    return message


def _present(values: Json, fields: Mapping[str, FieldMapping]) -> Json:
    return {
        name: one for name, one in values.items() if name in fields and (one is not None or name in _NULLABLE)
    }
