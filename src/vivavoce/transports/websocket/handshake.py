"""The handshake of a WebSocket: what a caller says before the first event, and how they are let in or refused.

OpenAI's addresses and Azure's differ only in what they call things; unknown query parameters mean nothing here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

import msgspec
from msgspec.structs import replace
from starlette.types import Scope, Send

from vivavoce.errors import ProtocolError
from vivavoce.protocol.dialects import BETA, GA, Dialect, by_version
from vivavoce.protocol.events import Event, SessionCreated, SessionUpdated
from vivavoce.protocol.session import Session, TranscriptionSession

__all__ = ["PATHS", "Handshake", "accept", "read", "refuse", "wants_extras"]

PATHS = ("/v1/realtime", "/openai/v1/realtime", "/openai/realtime", "/realtime")
"""Where OpenAI's and Azure's clients look for the protocol."""

SUBPROTOCOL = "realtime"
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
BETA_HEADER = (b"openai-beta", "realtime=v1")

RETRY_AFTER_SECONDS = 5
BUSY = (503, "server_error")
STATUSES = {"call_id_not_found": (404, "not_found_error"), "rate_limit_exceeded": (429, "rate_limit_error")}
"""With which HTTP status, and as what type of error, a refusal is told; others mean that we are busy."""


@dataclass(frozen=True)
class Handshake:
    """Who calls, and what for: a conversation of their own, or (`call_id`) one that is under way.

    `session` is how the key that they showed, or `intent`, wants the conversation held from the beginning.
    `extras` says that they know events of our own.
    """

    address: str = ""
    model: str | None = None
    session: Session | TranscriptionSession | None = None
    call_id: str | None = None
    dialect: Dialect = GA
    extras: bool = False

    def named(self, event: Event) -> Event:
        """Echo the model that the client asked for: clients hard-code its name, whoever answers."""
        if self.model is None or not isinstance(event, SessionCreated | SessionUpdated):
            return event
        if not isinstance(event.session, Session):
            return event
        return replace(event, session=replace(event.session, model=self.model))


def read(scope: Scope) -> Handshake:
    """Read what a WebSocket's `scope` says. A session that the caller's key brings is in its `state`."""
    query = dict(reversed(parse_qsl(scope["query_string"].decode("latin-1"))))  # of two the first counts
    address, call_id = (scope.get("client") or ("",))[0], query.get("call_id")
    dialect, extras = _dialect(scope, query), wants_extras(query)
    if call_id is not None:
        return Handshake(address, call_id=call_id, dialect=dialect, extras=extras)
    session = scope.get("state", {}).get("session")
    if session is None and query.get("intent") == "transcription":
        session = TranscriptionSession()
    model = query.get("model") or query.get("deployment")
    if model is None and isinstance(session, Session) and session.model:
        model = session.model
    return Handshake(address, model, session, dialect=dialect, extras=extras)


def wants_extras(query: Mapping[str, str]) -> bool:
    """Say whether a client asks for events of our own (`?extras=1`)."""
    return query.get("extras", "0") not in ("", "0", "false")


def _dialect(scope: Scope, query: Mapping[str, str]) -> Dialect:
    dialect = by_version(query.get("api-version", "v1"))
    if dialect is not GA:
        return dialect
    name, value = BETA_HEADER
    if any(header == name and value in said.decode("latin-1") for header, said in scope["headers"]):
        return BETA
    return BETA if BETA_SUBPROTOCOL in scope.get("subprotocols", ()) else GA


async def accept(scope: Scope, send: Send) -> None:
    """Open the WebSocket. A browser that offered subprotocols goes away unless one is chosen."""
    await send({"type": "websocket.accept", "subprotocol": _chosen(scope.get("subprotocols", ()))})


def _chosen(offered: Collection[str]) -> str | None:
    return next((name for name in (SUBPROTOCOL, BETA_SUBPROTOCOL) if name in offered), None)


async def refuse(refusal: ProtocolError, send: Send) -> None:
    """Answer the handshake by HTTP, in OpenAI's shape of an error. Where we are busy, say when to come back."""
    status, kind = STATUSES.get(refusal.code, BUSY)
    error = {"message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code}
    headers = [(b"content-type", b"application/json")]
    if (status, kind) == BUSY:
        headers.append((b"retry-after", str(RETRY_AFTER_SECONDS).encode()))
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": msgspec.json.encode({"error": error})})
