"""The greeting: spoken once the client has configured the session, unless the caller speaks first."""

from typing import Literal

import anyio

from vivavoce.protocol import events as e
from vivavoce.protocol.responses import VERBATIM, verbatim
from vivavoce.protocol.session import Session
from vivavoce.session.middleware import SessionHandle
from vivavoce.tools.speech_queue import Notifier

SETTLED_SECONDS = 0.4
"""seconds without a `session.update` before the greeting: clients send one at first, and the voice cannot be
changed once the assistant has spoken"""


class Greeting:
    """Has an assistant's greeting spoken, once per conversation, unless the caller speaks first.

    If the client requests a response during the greeting, the greeting is cancelled, and the request sent then.
    """

    def __init__(self, words: str) -> None:
        self._request = e.ResponseCreate(event_id=e.new_id("event"), response=verbatim(words))
        self._phase: Literal["due", "under way", "over"] = "due" if words else "over"
        self._is_open = False
        self._response_id: str | None = None
        self._held_back: e.ResponseCreate | None = None
        self._notifier = Notifier()

    def intercept(self, event: e.ClientEvent) -> e.ClientEvent | None:
        """Observe a client event; hold back a `response.create` during the greeting."""
        match event:
            case e.ResponseCreate() if event.is_out_of_band:
                pass
            case e.ResponseCreate() if self._phase == "under way" and self._held_back is None:
                self._held_back = event
                self._notifier.notify()
                return None
            case e.SessionUpdate():
                self._notifier.notify()
            case e.ConversationItemCreate() | e.ResponseCreate() | e.InputAudioBufferCommit():
                self._caller_is_first()
        return event

    def on_event(self, event: e.Event) -> None:
        """Observe a server event, or an item that is created, as those of an earlier conversation are."""
        match event:
            case e.ConversationItemCreate():
                self._caller_is_first()
            case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
                self._is_open = isinstance(session, Session)
                self._notifier.notify()
            case e.InputAudioBufferSpeechStarted():
                self._caller_is_first()
            case e.ResponseCreated(response=response) if self._phase == "under way":
                if (response.metadata or {}).get(VERBATIM):
                    self._response_id = response.id
                    self._notifier.notify()
            case e.ResponseDone(response=response) if response.id == self._response_id:
                self._end()
            case e.ErrorEvent(error=error) if error.event_id == self._request.event_id:
                self._end()

    async def run(self, handle: SessionHandle) -> None:
        """Request the greeting, unless the caller speaks first; return when it is over."""
        await self._settled()
        if self._phase == "due":
            self._phase = "under way"
            await handle.send(self._request)
            await self._give_way(handle)

    async def _settled(self) -> None:
        """Return when the session was not updated for `SETTLED_SECONDS`, or the caller was first."""
        while self._phase == "due":
            with anyio.move_on_after(SETTLED_SECONDS if self._is_open else None) as waiting:
                await self._notifier.next.wait()
            if waiting.cancelled_caught:
                return

    async def _give_way(self, handle: SessionHandle) -> None:
        """Wait until the greeting has ended; cancel it if the client requests a response."""
        await self._notifier.until(lambda: self._phase == "over" or bool(self._held_back and self._response_id))
        if self._response_id and self._phase == "under way":
            await handle.send(e.ResponseCancel(response_id=self._response_id))
            await self._notifier.until(lambda: self._phase == "over")
        if self._held_back:
            await handle.resume(self._held_back)

    def _caller_is_first(self) -> None:
        if self._phase == "due":
            self._end()

    def _end(self) -> None:
        self._phase = "over"
        self._notifier.notify()
