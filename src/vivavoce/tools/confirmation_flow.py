"""The caller's consent: asked for in so many words, waited for, judged by code. No model has a part in it."""

import logging
from collections.abc import Callable
from typing import Literal

import anyio

from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import Message
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.session.middleware import SessionHandle
from vivavoce.tools.confirmation import Question, Verdict, all_ears, language, question, says_how_to_hear
from vivavoce.tools.notifier import Notifier
from vivavoce.tools.types import Tool

__all__ = ["ConfirmationFlow"]

log = logging.getLogger(__name__)

_TIMES = 2
"""How often a question is put before it is given up."""
_QUESTIONS = 3
"""Of so many calls at once the caller is asked; nobody can keep more of them apart."""
_KEPT = 16
"""So many changes of the session are kept back; more of them are let through."""
_ECHO_SECONDS = 1.0
_TYPED_SECONDS = 0.5
"""A client that lets people type asks for an answer right after their words."""


class ConfirmationFlow:
    """Asks the caller before a call is made, one call after the other.

    Meanwhile the engine writes down what the caller says and answers nothing by itself; a client's own wish for
    an answer, or for another way of hearing, is kept back.
    """

    def __init__(
        self, bell: Notifier, limits: Limits, session: Callable[[], Session | TranscriptionSession | None]
    ) -> None:
        self.kept: e.ResponseCreate | None = None
        """the client's last wish for an answer, to be put back"""
        self._bell, self._limits, self._session = bell, limits, session
        self._turn = anyio.Lock()
        self._waiting = 0
        self._update_id = e.new_id("event")
        self._back: Session | None = None
        self._updates: list[e.SessionUpdate] = []
        self._question: Question | None = None
        self._is_put = False
        self._denied: set[tuple[str, str]] = set()

    @property
    def is_open(self) -> bool:
        """Whether somebody is being asked."""
        return self._waiting > 0

    # what passes

    def keeps(self, event: e.ClientEvent) -> bool:
        """Say whether what a client says has to wait, and keep it."""
        match event:
            case e.ResponseCreate() if not event.is_aside:
                self.kept = event if self.is_open else None  # a later wish takes the place of an earlier one
                return self.is_open
            case e.SessionUpdate(session=session) if self.is_open and says_how_to_hear(session):
                if len(self._updates) < _KEPT:
                    self._updates.append(event)
                    return True
        return False

    def hear(self, event: e.Event) -> None:
        """Hear what the server says."""
        if isinstance(event, e.ErrorEvent) and event.error.event_id == self._update_id:
            log.warning("the session cannot be changed while the caller is asked: %s", event.error.message)
        if self._question:
            self._question.hear(event)
        elif isinstance(event, e.ConversationItemAdded) and _is_the_callers(event):
            self._denied.clear()

    def takes(self, event: e.Event) -> bool:
        """Say whether these words of the caller's are for our question, and nothing new."""
        return self._question is not None and isinstance(event, e.ConversationItemAdded)

    def next_question(self) -> e.ResponseCreate | None:
        """Return what is to be said next: the question, once."""
        if self._question is None or self._is_put:
            return None
        self._is_put = True
        return self._question.asks

    # asking

    async def refusal(self, tool: Tool, arguments: str, handle: SessionHandle) -> str | None:
        """Return what the model is told if the caller has not said yes to just this; None if they have.

        Raises `ToolError` if the arguments leave open what it is about.
        """
        words, what = question(tool, arguments), (tool.name, arguments)
        if what in self._denied:
            return "Not done: the caller was asked just now, and has not said yes. Do not call again."
        if self._waiting >= _QUESTIONS:
            return f"Not done: {_QUESTIONS} calls already wait for the caller's yes or no."
        self._waiting += 1
        try:
            verdict = await self._asked(words, handle)
        finally:
            self._waiting -= 1
        if verdict == "yes":
            return None
        self._denied.add(what)
        return self._told(verdict, words)

    async def _asked(self, words: str, handle: SessionHandle) -> Verdict | Literal["silence"]:
        async with self._turn:
            await self._prick_up_ears(handle)
            try:
                with anyio.move_on_after(self._limits.confirmation_seconds):
                    return await self._verdict(words)
                return "silence"
            finally:
                self._question = None
                if self._waiting == 1:
                    await self._go_back(handle)

    async def _verdict(self, words: str) -> Verdict:
        for _ in range(_TIMES):
            verdict = await self._put(Question(words, language(self._session())))
            if verdict != "unclear":
                return verdict
        return "unclear"

    async def _put(self, question: Question) -> Verdict:
        self._question, self._is_put = question, False
        self._bell.ring()
        await self._bell.until(lambda: question.verdict is not None)
        if question.is_typed:
            with anyio.move_on_after(_TYPED_SECONDS):
                await self._bell.until(lambda: self.kept is not None)
        return question.verdict or "unclear"

    def _told(self, verdict: Verdict | Literal["silence"], words: str) -> str:
        match verdict:
            case "no":
                return "Not done: the caller was asked, and said no."
            case "silence":
                return f"Not done: the caller was asked {words!r} and did not answer."
        return (
            f"Not done: the caller was asked {words!r}, and neither said yes nor no. "
            "Answer what they did say; call again only if they want it."
        )

    # listening

    async def _prick_up_ears(self, handle: SessionHandle) -> None:
        changes = all_ears(self._session()) if self._back is None else None
        if changes:
            change, self._back = changes
            await handle.send(e.SessionUpdate(event_id=self._update_id, session=change))

    async def _go_back(self, handle: SessionHandle) -> None:
        """Hold the session as before, and let the client's changes through."""
        back, self._back = self._back, None
        updates, self._updates = self._updates, []
        if back:
            await handle.send(e.SessionUpdate(event_id=self._update_id, session=back))
            with anyio.move_on_after(_ECHO_SECONDS):  # or a next question would find it as it was
                await self._bell.until(lambda: all_ears(self._session()) is not None)
        for event in updates:
            await handle.resume(event)


def _is_the_callers(event: e.ConversationItemAdded) -> bool:
    return isinstance(event.item, Message) and event.item.role == "user"
