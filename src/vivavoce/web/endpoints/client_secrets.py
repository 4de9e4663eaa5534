"""Client secrets by HTTP: a server asks for one, and gives it to a page or an app that cannot keep a key."""

from collections.abc import Callable, Mapping
from typing import Literal, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from vivavoce.dates import unix_now
from vivavoce.protocol.beta import codec as beta
from vivavoce.protocol.bodies import read_body, read_object
from vivavoce.protocol.events import SessionUpdate, new_id
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.protocol.tools import without_secrets
from vivavoce.protocol.validation import invalid
from vivavoce.runtime import Runtime
from vivavoce.web.request_body import read
from vivavoce.web.security.client_secrets import ClientSecrets

__all__ = ["ClientSecretsEndpoint"]

SECONDS = 600
SHORTEST, LONGEST = 10, 7200

Settings = Session | TranscriptionSession


class ExpiresAfter(Struct, frozen=True, kw_only=True):
    """How long after it was issued a secret begins no more conversations."""

    anchor: Literal["created_at"] = "created_at"
    seconds: int = SECONDS


class SecretWish(Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/realtime/client_secrets`."""

    expires_after: ExpiresAfter = ExpiresAfter()
    session: Settings = Session()


class LegacyTerms(Struct, frozen=True, kw_only=True):
    """What the beta's `client_secret` may say; its two endpoints call it differently."""

    expires_after: ExpiresAfter | None = None
    expires_at: ExpiresAfter | None = None

    @property
    def seconds(self) -> int:
        """How long the secret is good."""
        return (self.expires_after or self.expires_at or ExpiresAfter()).seconds


class LegacyWish(Struct, frozen=True, kw_only=True):
    """What a body of the beta's has beside the session, which it is itself."""

    client_secret: LegacyTerms = LegacyTerms()


class Secret(Struct, frozen=True, kw_only=True):
    """What is answered: the only time that the secret is shown."""

    value: str
    expires_at: int
    session: Settings


class ClientSecretsEndpoint:
    """The endpoints that issue client secrets."""

    def __init__(self, runtime: Runtime, secrets: ClientSecrets, now: Callable[[], int] = unix_now) -> None:
        self.runtime, self.limits, self.secrets, self._now = runtime, runtime.config.limits, secrets, now

    async def client_secrets(self, request: Request) -> Response:
        """Issue a secret bound to a session, as GA has it."""
        texts, values = self.limits.text_chars, self.limits.event_values
        wish = read_body(await self._body(request), SecretWish, text_chars=texts, values=values)
        return _json(self._issue(wish.session, wish.expires_after.seconds, "expires_after.seconds"))

    async def sessions(self, request: Request) -> Response:
        """Issue a secret bound to a session that is spelled as in the beta."""
        return await self._legacy(request, "session.update")

    async def transcription_sessions(self, request: Request) -> Response:
        """Issue one for a session that only writes down, spelled as in the beta."""
        return await self._legacy(request, "transcription_session.update")

    async def _legacy(self, request: Request, update: str) -> Response:
        said = read_object(await self._body(request) or b"{}", values=self.limits.event_values)
        terms = {name: said.pop(name) for name in ("client_secret",) if name in said}
        seconds = read_body(msgspec.json.encode(terms), LegacyWish).client_secret.seconds
        event = msgspec.json.encode({"type": update, "session": said})
        read_as_beta = beta.decode_client(
            event, text_chars=self.limits.text_chars, values=self.limits.event_values
        )
        session = cast("SessionUpdate", read_as_beta).session
        secret = self._issue(session, seconds, "client_secret.expires_after.seconds")
        shown = {"value": secret.value, "expires_at": secret.expires_at}
        return _json({**beta.flat(secret.session), "client_secret": shown})

    async def _body(self, request: Request) -> bytes:
        return await read(request, self.limits, self.limits.session_bytes, "session_bytes")

    def _issue(self, wish: Settings, seconds: int, param: str) -> Secret:
        if not SHORTEST <= seconds <= LONGEST:
            raise invalid(param, f"expected {SHORTEST} to {LONGEST}, got {seconds}.")
        session = self.runtime.resolve_session(wish)
        shown = without_secrets(session) if isinstance(session, Session) else session
        until = self._now() + seconds
        return Secret(
            value=self.secrets.issue(wish, seconds),
            expires_at=until,
            session=replace(shown, id=new_id("sess"), expires_at=until),
        )


def _json(answer: Secret | Mapping[str, object]) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")
