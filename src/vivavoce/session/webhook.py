"""The webhook that reports incoming calls, as OpenAI's does (`realtime.call.incoming`).

Requests are signed as in Standard Webhooks (https://www.standardwebhooks.com).
"""

import base64
import hmac
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count

import anyio
import httpx
import msgspec

from vivavoce.backoff import backoff
from vivavoce.dates import unix_now
from vivavoce.limits import Limits
from vivavoce.protocol.events import new_id
from vivavoce.session.ringing import IncomingCall

log = logging.getLogger(__name__)

ENCODED = "whsec_"
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization"})


def incoming(call: IncomingCall, event_id: str, created: int) -> Mapping[str, object]:
    """Return the event about an incoming call, without the caller's credentials."""
    headers = [
        {"name": name, "value": value} for name, value in call.headers if name.lower() not in SECRET_HEADERS
    ]
    data: dict[str, object] = {"call_id": call.caller.id, "sip_headers": headers}
    if call.media_security is not None:
        data["sip_media_security"] = call.media_security
    kind = "realtime.call.incoming"
    return {"id": event_id, "object": "event", "created_at": created, "type": kind, "data": data}


def signature(secret: str, event_id: str, sent: int, body: bytes) -> str:
    """Return the signature header of a body (Standard Webhooks, v1). `sent` is the Unix time in seconds."""
    encoded = secret.startswith(ENCODED)
    key = base64.b64decode(secret.removeprefix(ENCODED)) if encoded else secret.encode()
    digest = hmac.digest(key, f"{event_id}.{sent}.".encode() + body, sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


@dataclass(frozen=True)
class Webhook:
    """Sends events to the server in `[server] webhook`. `now` returns the Unix time in seconds."""

    url: str
    secret: str = field(repr=False)
    limits: Limits
    now: Callable[[], int] = unix_now
    transport: httpx.AsyncBaseTransport | None = None

    async def send(self, call: IncomingCall) -> None:
        """Report a call, and retry with back-off until the server accepts the request or this is cancelled."""
        event_id, seconds = new_id("evt"), self.limits.webhook_seconds
        body = msgspec.json.encode(incoming(call, event_id, self.now()))
        async with httpx.AsyncClient(timeout=seconds, transport=self.transport) as client:
            for attempt in count(1):
                if await self._deliver(client, event_id, body):
                    return
                await anyio.sleep(backoff(attempt, first=FIRST_PAUSE, longest=LONGEST_PAUSE))

    async def _deliver(self, client: httpx.AsyncClient, event_id: str, body: bytes) -> bool:
        sent = self.now()
        headers = {
            "content-type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(sent),
            "webhook-signature": signature(self.secret, event_id, sent, body),
        }
        try:
            answer = await client.post(self.url, content=body, headers=headers)
        except httpx.HTTPError as error:
            log.warning("server.webhook cannot be reached: %s", type(error).__name__)
            return False
        if not answer.is_success:
            log.warning("server.webhook answered %d", answer.status_code)
        return answer.is_success
