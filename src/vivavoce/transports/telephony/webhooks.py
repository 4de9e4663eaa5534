"""Calls that are announced before they come, and webhooks on what happens in them, as `avr-core` has both."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import msgspec

from vivavoce.dates import iso_now
from vivavoce.protocol import events as e
from vivavoce.transports.telephony.leg import CallDetails, printable_metadata

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

ANNOUNCED = 256
"""calls that may be announced and have not come yet; the oldest is forgotten"""
QUEUED = 256
"""webhooks that wait to be sent; one more is dropped"""
SECONDS = 3.0
"""seconds that the receiver of webhooks may take, as in `avr-core`"""
SECRET_HEADER = "x-avr-webhook-secret"  # noqa: S105 (its name)

Observe = Callable[[CallDetails, e.Event | None], None]
"""Observes the events of a call; None is its end."""


def ignore(_: CallDetails, event: e.Event | None) -> None:
    """Observe nothing."""


class AnnouncedCalls:
    """What was said of calls before they came, by their UUID."""

    def __init__(self) -> None:
        self._known: dict[str, Mapping[str, str]] = {}

    def announce(self, uuid: str, metadata: Mapping[str, object]) -> None:
        """Keep what is said of a call until it comes."""
        self._known.pop(uuid, None)
        self._known[uuid] = printable_metadata((name, str(value)) for name, value in metadata.items())
        while len(self._known) > ANNOUNCED:
            del self._known[next(iter(self._known))]

    def complete(self, details: CallDetails) -> CallDetails:
        """Return the details of a call that has come, with what was said of it before."""
        known = self._known.pop(details.id, None)
        if known is None:
            return details
        caller, called = details.caller or known.get("from", ""), details.called or known.get("to", "")
        return replace(details, caller=caller, called=called, metadata={**known, **details.metadata})


class CallWebhooks:
    """Sends a request for everything of note in a call, one after the other. Calls never wait for it."""

    def __init__(self, url: str, secret: str = "", transport: "httpx.AsyncBaseTransport | None" = None) -> None:
        self._url, self._headers = url, {SECRET_HEADER: secret} if secret else {}
        self._transport = transport
        self._put, self._queued = anyio.create_memory_object_stream[bytes](QUEUED)

    def observe(self, details: CallDetails, event: e.Event | None) -> None:
        """Queue a request, if the event is of note (`Observe`)."""
        if found := describe(event):
            self.send(details.id, *found)

    def send(self, uuid: str, kind: str, payload: Mapping[str, object]) -> None:
        """Queue a request; without room it is dropped, and that is logged."""
        body = {"uuid": uuid, "type": kind, "timestamp": iso_now(), "payload": payload}
        try:
            self._put.send_nowait(msgspec.json.encode(body))
        except anyio.WouldBlock:
            log.warning("telephone.webhook is slow: %s of call %s is not reported", kind, uuid)

    async def run(self) -> None:
        """Send what is queued, until cancelled."""
        import httpx

        with self._put, self._queued:
            async with httpx.AsyncClient(
                timeout=SECONDS, transport=self._transport, trust_env=False, headers=self._headers
            ) as client:
                async for body in self._queued:
                    try:
                        headers = {"content-type": "application/json"}
                        (await client.post(self._url, content=body, headers=headers)).raise_for_status()
                    except httpx.HTTPError as error:
                        log.warning("telephone.webhook: %s", error or type(error).__name__)


def describe(event: e.Event | None) -> tuple[str, Mapping[str, object]] | None:
    """Return the type and the payload of the webhook for an event; None if it is not of note."""
    match event:
        case None:
            return "call_ended", {}
        case e.SessionCreated():
            return "call_started", {}
        case e.OutputAudioBufferCleared():
            return "interruption", {}
        case e.DtmfEventReceived(event=key):
            return "dtmf_digit", {"digit": key}
        case e.TranscriptionCompleted(transcript=words) if words.strip():
            return "transcription", {"role": "user", "text": words.strip()}
        case e.ResponseOutputAudioTranscriptDone(transcript=words) if words.strip():
            return "transcription", {"role": "agent", "text": words.strip()}
        case _:
            return None
