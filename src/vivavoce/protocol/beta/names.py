"""The beta's names: of a server's events, and of the fields that its errors are about."""

from collections.abc import Mapping

from vivavoce.errors import ProtocolError
from vivavoce.protocol.beta.objects import SESSION, WISHES
from vivavoce.protocol.events import ErrorDetails

__all__ = ["EVENTS", "spelled", "spelled_by_ga"]

EVENTS: Mapping[str, str | None] = {
    "conversation.item.added": "conversation.item.created",
    "conversation.item.done": None,
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
}
"""What a server's events are called; others are called the same, and None is not said at all."""

_FIELDS = {
    f"{at}.{spelling.path}": f"{at}.{name}"
    for at, fields in (("session", SESSION), ("response", WISHES))
    for name, spelling in fields.items()
    if spelling.path not in ("", name)
}
_PARAMS = {"session.type": "type"} | _FIELDS
_GA_PARAMS = {name: ga for ga, name in _FIELDS.items()}
UNKNOWN = "unknown_parameter"
"""with this code, a name of GA's is the client's own: the beta has no such field"""


def spelled(error: ProtocolError | ErrorDetails) -> tuple[str, str | None]:
    """Return an error's message and parameter as the beta spells them."""
    said = error.param or ""
    for ga, name in _PARAMS.items():
        if _is_of(said, ga) and (said != ga or error.code != UNKNOWN):
            return _replaced(error.message, said, name + said[len(ga) :])
    return error.message, error.param


def spelled_by_ga(message: str, param: str) -> tuple[str, str]:
    """Return the message and the parameter of a server's error as GA spells them."""
    for name, ga in _GA_PARAMS.items():
        if _is_of(param, name):
            return _replaced(message, param, ga + param[len(name) :])
    return message, param


def _is_of(said: str, field: str) -> bool:
    return said == field or said.startswith((f"{field}.", f"{field}["))


def _replaced(message: str, old: str, new: str) -> tuple[str, str]:
    return message.replace(f"'{old}'", f"'{new}'"), new
