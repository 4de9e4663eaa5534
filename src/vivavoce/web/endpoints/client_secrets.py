"""Client secrets by HTTP: an application server requests one for a page or an app that cannot keep a key."""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from vivavoce.dates import unix_now
from vivavoce.protocol.beta import codec as beta
from vivavoce.protocol.codec import read_body, read_body_object
from vivavoce.protocol.events import SessionUpdate, new_id
from vivavoce.protocol.session import AnySession, Session
from vivavoce.protocol.tools import without_secrets
from vivavoce.runtime import Runtime
from vivavoce.session.call import Storing
from vivavoce.web.requests import identity_of, read_bytes
from vivavoce.web.security.client_secrets import Binding, ClientSecrets


class ExpiresAfter(Struct, frozen=True):
    """The time after its creation in which a secret can start calls."""

    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, Meta(ge=10, le=7200)] = 600


class ClientSecretRequest(Struct, frozen=True):
    """The body of `POST /v1/realtime/client_secrets`."""

    expires_after: ExpiresAfter = ExpiresAfter()
    session: AnySession = Session()
    conversation: str | None = None
    """the id of an earlier conversation that its calls continue: an extension of ours"""
    store: Storing = "all"
    """what may be written down of its calls: an extension of ours"""


class BetaClientSecret(Struct, frozen=True):
    """The beta's `client_secret`; its two endpoints use different names for this field."""

    expires_after: ExpiresAfter | None = None
    expires_at: ExpiresAfter | None = None


class BetaRequest(Struct, frozen=True):
    """The fields of a body of the beta besides those of the session."""

    client_secret: BetaClientSecret = BetaClientSecret()


class ClientSecret(Struct, frozen=True):
    """The response, which is the only one that contains the secret."""

    value: str
    expires_at: int
    session: AnySession


class ClientSecretsEndpoint:
    """The endpoints that create client secrets."""

    def __init__(self, runtime: Runtime, secrets: ClientSecrets, now: Callable[[], int] = unix_now) -> None:
        self.runtime, self.limits, self.secrets, self._now = runtime, runtime.config.limits, secrets, now

    async def client_secrets(self, request: Request) -> Response:
        """Create a secret for a session, as in GA."""
        body = await read_bytes(request, self.limits, "session_bytes")
        wanted = read_body(body, ClientSecretRequest, self.limits)
        identity = identity_of(request)
        binding = Binding(wanted.session, identity, wanted.conversation, wanted.store)
        return _json(self._issue(binding, wanted.expires_after.seconds))

    async def sessions(self, request: Request) -> Response:
        """Create a secret for a session, as in the beta."""
        return await self._beta(request, "session.update")

    async def transcription_sessions(self, request: Request) -> Response:
        """Create a secret for a transcription session, as in the beta."""
        return await self._beta(request, "transcription_session.update")

    async def _beta(self, request: Request, event_type: str) -> Response:
        body = await read_bytes(request, self.limits, "session_bytes")
        session = read_body_object(body or b"{}", self.limits)
        beside = {name: session.pop(name) for name in ("client_secret",) if name in session}
        terms = read_body(msgspec.json.encode(beside), BetaRequest).client_secret
        event = msgspec.json.encode({"type": event_type, "session": session})
        update = beta.decode_client(event, self.limits)
        expires = terms.expires_after or terms.expires_at or ExpiresAfter()
        identity = identity_of(request)
        secret = self._issue(Binding(cast("SessionUpdate", update).session, identity), expires.seconds)
        client_secret = {"value": secret.value, "expires_at": secret.expires_at}
        return _json({**beta.session_to_beta(secret.session), "client_secret": client_secret})

    def _issue(self, binding: Binding, seconds: int) -> ClientSecret:
        session = self.runtime.resolve_session(binding.session)
        shown = without_secrets(session) if isinstance(session, Session) else session
        expires_at = self._now() + seconds
        return ClientSecret(
            value=self.secrets.issue(binding, seconds),
            expires_at=expires_at,
            session=replace(shown, id=new_id("sess"), expires_at=expires_at),
        )


def _json(answer: ClientSecret | Mapping[str, object]) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")
