"""What a client says by HTTP, read as strictly as an event: JSON objects whose every field is known.

Raises `ProtocolError` for whatever is wrong, and nothing else.
"""

from typing import TypeVar, cast

import msgspec
from msgspec import inspect

from vivavoce.protocol import codec as wire
from vivavoce.protocol.codec import TEXT_CHARS, VALUES
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.protocol.validation import bounded, fitted

__all__ = ["read_body", "read_object", "read_session"]

T = TypeVar("T")
_URL = ".image_url.url"
_SESSION = inspect.type_info(Session | TranscriptionSession)


def read_object(data: bytes, *, values: int = VALUES) -> dict[str, object]:
    """Read a JSON object, whatever is in it, but no more of that than an event may hold."""
    return wire.read_object(data, values=values, what="body", code="invalid_json")


def read_body(data: bytes, kind: type[T], *, text_chars: int = TEXT_CHARS, values: int = VALUES) -> T:
    """Read a body of this kind; no bytes at all are an empty one.

    `text_chars` bounds each of its texts, but for the URLs of images.
    """
    said = read_object(data, values=values) if data else {}
    return msgspec.convert(fitted(said, inspect.type_info(kind), "", bounded(text_chars, but=_URL)), kind)


def read_session(
    data: bytes, *, text_chars: int = TEXT_CHARS, values: int = VALUES
) -> Session | TranscriptionSession:
    """Read how a conversation is to be held; its fields are called `session.…` where one is wrong."""
    said = fitted(read_object(data, values=values), _SESSION, "session", bounded(text_chars, but=_URL))
    return cast("Session | TranscriptionSession", msgspec.convert(said, Session | TranscriptionSession))
