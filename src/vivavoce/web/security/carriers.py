"""Access of telephone carriers, which have no key: their requests are signed, and their streams have tickets.

A carrier asks what to do with a call, by a request that it signs. The answer names the WebSocket for the audio,
with a ticket in its path, since not every carrier signs that as well. Both let in a request to the paths of one
carrier, and to nothing else.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_bytes

import anyio
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from vivavoce.addresses import is_loopback
from vivavoce.config.loading import PREFIX
from vivavoce.config.schema import CARRIER_SECRETS, ServerTable
from vivavoce.dates import unix_now
from vivavoce.web.errors import HttpError
from vivavoce.web.security.signatures import VERIFIERS, SignedRequest

BODY_BYTES, BODY_SECONDS = 64 * 1024, 10
"""size of a body that is signed, and seconds in which it has to come"""
TICKET_SECONDS = 120
"""seconds in which a stream begins after the answer that named it"""
TICKET = "st-"


@dataclass(frozen=True)
class CarrierAccess:
    """Admits requests of carriers. `secrets` are theirs, by name; `keys` those of the server."""

    server: ServerTable
    secrets: Mapping[str, str]
    keys: tuple[str, ...] = ()
    now: Callable[[], int] = unix_now
    _ticket_key: bytes = field(default_factory=lambda: token_bytes(32), repr=False)

    def carrier_of(self, path: str) -> str | None:
        """Return the carrier that has a path, such as `/twilio` and `/twilio/voice`."""
        name = path.split("/", 2)[1]
        return name if name in CARRIER_SECRETS else None

    async def admit(self, carrier: str, scope: Scope, receive: Receive, asked: str) -> Receive:
        """Return what receives the request, whose body may have been read, or raise `HttpError`.

        `asked` is the path and query as they came. A ticket is removed from the scope's path.
        """
        path, ticket = scope["path"].rpartition("/")[::2]
        if ticket.startswith(TICKET):
            scope["path"] = path
            if self.is_valid(ticket, path):
                return receive
            message = "The ticket of this stream is not valid or has expired; each answer to a call has one."
            raise HttpError(401, message, code="invalid_ticket")
        variable = f"{PREFIX}{CARRIER_SECRETS[carrier]}".upper()
        if not self.secrets.get(carrier):
            if self._is_alone(Headers(scope=scope).get("host", "")):
                return receive
            message = (
                f"Requests of {carrier} have to be signed: write {variable}=… into the environment or into "
                ".env, or send a key of the server."
            )
            raise HttpError(401, message, code="carrier_not_configured")
        body = await _read_body(receive) if scope["type"] == "http" else b""
        url, headers = self.url(scope, asked), dict(Headers(scope=scope).items())
        if not self._is_signed(carrier, SignedRequest(scope.get("method", "GET"), url, headers, body)):
            message = (
                f"{carrier} has not signed this, or for another address than {url.partition('?')[0]}: see "
            )
            raise HttpError(401, f"{message}{variable}, and [server] public_url.", code="invalid_signature")
        return _again(body, receive) if scope["type"] == "http" else receive

    def _is_signed(self, carrier: str, request: SignedRequest) -> bool:
        secrets = self.secrets[carrier].split(",")  # two, while one is being replaced
        try:
            matches = [VERIFIERS[carrier](secret.strip(), request) for secret in secrets]
        except ImportError as error:
            message = "Signatures of telnyx need 'cryptography' on the server: pip install 'vivavoce[https]'."
            raise HttpError(501, message, code="not_installed") from error
        return any(matches)

    def url(self, scope: Scope, path: str) -> str:
        """Return the URL of a path of this server, as others see it, with the scheme of the scope's kind."""
        is_socket = scope["type"] == "websocket"
        if base := self.server.public_url.rstrip("/"):
            return (f"ws{base.removeprefix('http')}" if is_socket else base) + path
        return f"{scope['scheme']}://{Headers(scope=scope).get('host', '')}{path}"

    def stream_url(self, scope: Scope, carrier: str) -> str:
        """Return the URL of a carrier's stream, with a ticket, for the answer to a request."""
        kind = "wss" if scope["scheme"] == "https" else "ws"
        path = f"/{carrier}"
        return self.url({**scope, "type": "websocket", "scheme": kind}, f"{path}/{self.ticket(path)}")

    def ticket(self, path: str) -> str:
        """Return a ticket for the WebSocket at a path, valid for `TICKET_SECONDS`."""
        return self._ticket(path, self.now() + TICKET_SECONDS)

    def is_valid(self, ticket: str, path: str) -> bool:
        """Return whether a ticket is valid now, for this path."""
        until = ticket.removeprefix(TICKET).partition("-")[0]
        if not (until.isascii() and until.isdigit() and len(until) < 15 and int(until) >= self.now()):
            return False
        return hmac.compare_digest(self._ticket(path, int(until)).encode(), ticket.encode())

    def _ticket(self, path: str, until: int) -> str:
        digest = hmac.digest(self._ticket_key, f"{path} {until}".encode(), sha256).hex()
        return f"{TICKET}{until}-{digest}"

    def _is_alone(self, host: str) -> bool:
        """Whether only programs of this machine can have sent a request that came for this `Host`."""
        name = host.rpartition(":")[0] or host
        return self.server.is_local and is_loopback(name) and not (self.server.names or self.keys)


async def _read_body(receive: Receive) -> bytes:
    body, more = bytearray(), True
    with anyio.move_on_after(BODY_SECONDS):
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > BODY_BYTES:
                problem = f"A signed body has {BODY_BYTES:,} bytes at most."
                raise HttpError(413, problem, code="body_too_large")
        return bytes(body)
    raise HttpError(408, f"The body did not arrive within {BODY_SECONDS} seconds.", code="body_too_slow")


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a function that receives a body that was read, and then what follows."""
    is_read = False

    async def receive_again() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
