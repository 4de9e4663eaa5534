"""What a client says by HTTP, read as strictly as an event: JSON objects whose every field is known.

Raises `ProtocolError` for whatever is wrong, and nothing else.
"""

from typing import TypeVar, cast

import msgspec
from msgspec import inspect

from vivavoce.errors import ProtocolError
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.protocol.strict import bounded, fitted
from vivavoce.protocol.wire import TEXT_CHARS, VALUES

__all__ = ["read_body", "read_object", "read_session"]

T = TypeVar("T")
_URL = ".image_url.url"
_SESSION = inspect.type_info(Session | TranscriptionSession)


def read_object(data: bytes) -> dict[str, object]:
    """Read a JSON object, whatever is in it, but no more of that than an event may hold."""
    if data.count(b",") > VALUES:  # told before all of them are read: that would hold up the neighbours
        raise ProtocolError(f"The body has more than {VALUES} values.", code="invalid_json")
    try:
        said: object = msgspec.json.decode(data)
    except RecursionError as error:
        raise ProtocolError("The body is nested too deeply.", code="invalid_json") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError(f"The body is not valid JSON: {error}.", code="invalid_json") from error
    if not isinstance(said, dict):
        raise ProtocolError("The body is not a JSON object.", code="invalid_json")
    return said


def read_body(data: bytes, kind: type[T], *, text_chars: int = TEXT_CHARS) -> T:
    """Read a body of this kind; no bytes at all are an empty one.

    `text_chars` bounds each of its texts, but for the URLs of images.
    """
    said = read_object(data) if data else {}
    return msgspec.convert(fitted(said, inspect.type_info(kind), "", bounded(text_chars, but=_URL)), kind)


def read_session(data: bytes, *, text_chars: int = TEXT_CHARS) -> Session | TranscriptionSession:
    """Read how a conversation is to be held; its fields are called `session.…` where one is wrong."""
    said = fitted(read_object(data), _SESSION, "session", bounded(text_chars, but=_URL))
    return cast("Session | TranscriptionSession", msgspec.convert(said, Session | TranscriptionSession))
