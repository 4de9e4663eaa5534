"""The first words of a conversation: said when the caller has settled how it is to be held."""

from typing import Literal

import anyio

from vivavoce.protocol import events as e
from vivavoce.protocol.responses import VERBATIM, verbatim
from vivavoce.protocol.session import Session
from vivavoce.session.middleware import SessionHandle
from vivavoce.tools.speech_queue import Notifier

__all__ = ["Greeting"]

QUIET_SECONDS = 0.4
"""Clients change the session as soon as it is there, and a voice cannot be changed once it was heard."""


class Greeting:
    """Says an assistant's first words once in a conversation, unless the caller says something before it.

    A client that asks for an answer meanwhile knows nothing of it: the greeting is cut short then, and what the
    client asked is put back.
    """

    def __init__(self, words: str) -> None:
        self._asks = e.ResponseCreate(event_id=e.new_id("event"), response=verbatim(words))
        self._phase: Literal["due", "under way", "over"] = "due" if words else "over"
        self._is_open = False
        self._response_id: str | None = None
        self._kept: e.ResponseCreate | None = None
        self._notifier = Notifier()

    def intercept(self, event: e.ClientEvent) -> e.ClientEvent | None:
        """Observe what the client sends, and hold back a `response.create` that has to wait."""
        match event:
            case e.ResponseCreate() if event.is_aside:
                pass
            case e.ResponseCreate() if self._phase == "under way" and self._kept is None:
                self._kept = event
                self._notifier.notify()
                return None
            case e.SessionUpdate():
                self._notifier.notify()
            case e.ConversationItemCreate() | e.ResponseCreate() | e.InputAudioBufferCommit():
                self._first_is_the_caller()
        return event

    def on_event(self, event: e.Event) -> None:
        """Observe what the server sends."""
        match event:
            case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
                self._is_open = isinstance(session, Session)
                self._notifier.notify()
            case e.InputAudioBufferSpeechStarted():
                self._first_is_the_caller()
            case e.ResponseCreated(response=response) if self._phase == "under way":
                if (response.metadata or {}).get(VERBATIM):
                    self._response_id = response.id
                    self._notifier.notify()
            case e.ResponseDone(response=response) if response.id == self._response_id:
                self._end()
            case e.ErrorEvent(error=error) if error.event_id == self._asks.event_id:
                self._end()

    async def run(self, handle: SessionHandle) -> None:
        """Greet, if there is cause to."""
        await self._quiet()
        if self._phase == "due":
            self._phase = "under way"
            await handle.send(self._asks)
            await self._give_way(handle)

    async def _quiet(self) -> None:
        """Return when the session is as the client wants it, or the caller was first."""
        while self._phase == "due":
            with anyio.move_on_after(QUIET_SECONDS if self._is_open else None) as quiet:
                await self._notifier.next.wait()
            if quiet.cancelled_caught:
                return

    async def _give_way(self, handle: SessionHandle) -> None:
        """Wait until the greeting has been said; cut it short for a client that asks for an answer."""
        await self._notifier.until(lambda: self._phase == "over" or bool(self._kept and self._response_id))
        if self._response_id and self._phase == "under way":
            await handle.send(e.ResponseCancel(response_id=self._response_id))
            await self._notifier.until(lambda: self._phase == "over")
        if self._kept:
            await handle.resume(self._kept)

    def _first_is_the_caller(self) -> None:
        if self._phase == "due":
            self._end()

    def _end(self) -> None:
        self._phase = "over"
        self._notifier.notify()
