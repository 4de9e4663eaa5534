"""The beta dialect from its other side: what a client writes, and how it reads what a server says.

The beta says less than GA: it has no `conversation.item.done`, and a function call's arguments come without its
name. A reader fills that in from what it has heard before, so that who folds over events need not know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.protocol import codec as wire
from vivavoce.protocol import events as e
from vivavoce.protocol.beta.names import EVENTS, spelled_by_ga
from vivavoce.protocol.beta.objects import (
    RESPONSE,
    SESSION,
    TRANSCRIPTION,
    WISHES,
    Json,
    Spelling,
    flattened,
    nested,
    write_item,
)
from vivavoce.protocol.items import FunctionCall, Item

__all__ = ["encode_client", "reader"]


def _but(fields: Mapping[str, Spelling], *names: str) -> Mapping[str, Spelling]:
    return {name: spelling for name, spelling in fields.items() if name not in names}


# what a client says

_WISHES = _but(WISHES, "max_output_tokens")  # OpenAI's own client calls it `max_response_output_tokens`
_SESSION_WISHES = _but(SESSION, "id", "object", "expires_at", "prompt", "include")
_TRANSCRIPTION_WISHES = _but(TRANSCRIPTION, "id", "object", "expires_at")
_LATER = {
    "turn_detection": {"idle_timeout_ms"},
    "input_audio_noise_reduction": {"strength"},
    "input_audio_transcription": {"languages", "keywords", "delay"},
}
"""What came to these settings after the beta, whose services refuse what they do not know."""

_SHAPED = e.SessionUpdate, e.ConversationItemCreate, e.ResponseCreate

_encoder = msgspec.json.Encoder()


def encode_client(event: e.Event) -> str | None:
    """Write what a client says as JSON text, without what the beta does not know; None if that is all."""
    if not isinstance(event, _SHAPED):
        return wire.encode_client(event)
    said = _shaped(msgspec.to_builtins(event))
    return _encoder.encode(said).decode() if said else None


def _shaped(said: Json) -> Json | None:
    match said:
        case {"session": {"type": "transcription"} as session}:
            wishes = _wished(session, _TRANSCRIPTION_WISHES)
            return {**said, "type": "transcription_session.update", "session": wishes}
        case {"session": session}:
            return {**said, "session": _wished(session, _SESSION_WISHES)}
        case {"response": dict(response)}:
            return {**said, "response": _wished(response, _WISHES)}
        case {"item": item}:
            return None if _is_mcp(item) else {**said, "item": write_item(item)}
    return said


def _wished(said: Json, fields: Mapping[str, Spelling]) -> Json:
    flat = {name: _as_known(name, value) for name, value in flattened(said, fields).items()}
    return {name: value for name, value in flat.items() if value is not UNSET}


def _as_known(name: str, value: object) -> object:
    match value:
        case {"type": "mcp"} if name == "tool_choice":
            return UNSET
        case [*values]:
            return [one for one in values if not _is_mcp(one)]
        case dict(settings):
            return {key: one for key, one in settings.items() if key not in _LATER.get(name, ())}
    return value


def _is_mcp(value: object) -> bool:
    return isinstance(value, dict) and str(value.get("type")).startswith("mcp")


# what a server says

_GA_NAMES = {name: ga for ga, name in EVENTS.items() if name}
_SESSIONS = ("realtime", SESSION), ("transcription", TRANSCRIPTION)
_MEANT = {
    *("turn_detection", "input_audio_transcription", "input_audio_noise_reduction", "tracing", "prompt"),
    *("include", "conversation_id", "status_details", "usage", "metadata"),
}
"""Where null says something; elsewhere it is as good as nothing."""
_NOT_TOLD: Mapping[str, Json] = {
    "conversation.item.input_audio_transcription.completed": {
        "content_index": 0,
        "usage": {"type": "duration", "seconds": 0},
    },
    "response.function_call_arguments.done": {"name": ""},
}
"""What GA tells, and services of the beta did not always."""


def reader() -> Callable[[str | bytes], tuple[e.Event, ...]]:
    """Return what reads a server's messages of one connection, one after the other, as GA's events."""
    return _Reader()


@dataclass
class _Reader:
    """Remembers of a connection what GA tells twice, and the beta once."""

    _begun: dict[str, Item] = field(default_factory=dict)
    """items of answers under way, as they were announced"""
    _waiting: dict[str, str | None] = field(default_factory=dict)
    """items of the conversation that are not done, and what is before each"""

    def __call__(self, message: str | bytes) -> tuple[e.Event, ...]:
        """Return the events that a message means."""
        event = wire.decode_server(message, translate=_translated)
        match event:
            case None:
                return ()
            case e.ResponseOutputItemAdded(item=item):
                self._begun[str(item.id)] = item
            case e.ConversationItemAdded(item=item, previous_item_id=previous):
                if not self._is_under_way(item):
                    return event, e.ConversationItemDone(item=item, previous_item_id=previous)
                self._waiting[str(item.id)] = previous
            case e.ConversationItemDeleted(item_id=item_id):
                self._waiting.pop(item_id, None)
            case e.ResponseFunctionCallArgumentsDone(item_id=item_id, name=""):
                call = self._begun.get(item_id)
                return (replace(event, name=call.name if isinstance(call, FunctionCall) else ""),)
            case e.ResponseOutputItemDone(item=item):
                return *self._ended(item), event
            case e.ResponseDone(response=response):
                return *(done for item in response.output for done in self._ended(item)), event
        return (event,)

    def _is_under_way(self, item: Item) -> bool:
        return item.id in self._begun or getattr(item, "status", UNSET) == "in_progress"

    def _ended(self, item: Item) -> tuple[e.Event, ...]:
        """Return that an item is done, if it is one of the conversation, and nobody was told."""
        item_id = str(item.id)
        self._begun.pop(item_id, None)
        if item_id not in self._waiting:
            return ()
        return (e.ConversationItemDone(item=item, previous_item_id=self._waiting.pop(item_id)),)


def _translated(said: Json) -> Json:
    """Return a server's event as GA has it, but for its items: the wire knows how else they are spelled."""
    tag = str(said["type"])
    said = {**_NOT_TOLD.get(tag, {}), **said, "type": _GA_NAMES.get(tag, tag)}
    match said:
        case {"session": dict(session)}:
            kind, fields = _SESSIONS[tag.startswith("transcription_")]
            said["type"] = tag.removeprefix("transcription_")
            said["session"] = {"type": kind, **_nested(session, fields, "session")}
        case {"response": dict(response)}:
            said["response"] = {"conversation_id": "", **_nested(response, RESPONSE, "response")}
        case {"type": "error", "error": {"message": str(message), "param": str(param), **rest}}:
            message, param = spelled_by_ga(message, param)
            said["error"] = {**rest, "message": message, "param": param}
    return said


def _nested(said: Json, fields: Mapping[str, Spelling], at: str) -> Json:
    known = {name: one for name, one in said.items() if name in fields and (one is not None or name in _MEANT)}
    return nested(known, fields, at)
