"""A toolbox: sits beside a conversation, does what the model calls tools for, and tells it what came of it.

It relies on nothing but the events that pass, and so works with any engine, on a server's side of the line and
on a client's.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskGroup
from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.errors import VivavoceError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, McpCall, Message
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import Session
from vivavoce.session.line import HungUp
from vivavoce.session.middleware import ObservedEvent, SessionHandle
from vivavoce.tools.cards import as_html
from vivavoce.tools.confirmation_flow import ConfirmationFlow
from vivavoce.tools.execution import CallResult, check, cut, perform
from vivavoce.tools.notifier import Notifier
from vivavoce.tools.session_tools import SessionTools
from vivavoce.tools.speech_queue import SpeechQueue
from vivavoce.tools.turn_state import Round, Rounds, TurnState, is_recited, is_too_early
from vivavoce.tools.types import Assistant, Card, Context, Outcome, Tool, ToolError

__all__ = ["Toolbox"]

log = logging.getLogger(__name__)

_SOUND = (e.InputAudioBufferAppend, e.ResponseOutputAudioDelta)
_REMEMBERED = 256
"""so many calls are known to be ours, should a client answer them as well"""
_WAITING = 256
"""so many calls may wait to be begun, of which the engine has told in one breath"""
_NAME_CHARS = 64
"""of a name that a model has made up"""
_OUTPUT = "event_output"

Handed = Callable[[Assistant], Awaitable[str]]
"""Lets another assistant take over, and returns its greeting; if it has none, the model answers in its stead.
What it raises of the foreseen failures is told as the call's."""


@dataclass(frozen=True)
class _Called:
    """A call that somebody has to answer."""

    call_id: str
    name: str
    arguments: str
    round: Round


@dataclass(eq=False)
class _Work:
    """A call at work, and what may be cut short of it."""

    tool: Tool
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    filler: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class Toolbox:
    """Attends one conversation. `caller` is who, for the log; `handed` lets another assistant take over.

    A call that an answer has completed is made at once, whatever becomes of the answer. Each has one output;
    when all that one answer has called have theirs, the model is asked to go on, once.
    """

    def __init__(
        self,
        tools: Sequence[Tool] = (),
        limits: Limits | None = None,
        caller: str = "",
        handed: Handed | None = None,
    ) -> None:
        self.state: dict[str, Any] = {}
        """what the tools of this conversation know of each other"""
        self._limits, self._caller, self._handed = limits or Limits(), caller, handed
        self._offer, self._talk, self._rounds, self._bell = (
            SessionTools(tools),
            TurnState(),
            Rounds(),
            Notifier(),
        )
        self._consent = ConfirmationFlow(self._bell, self._limits, lambda: self._talk.session)
        self._called: deque[_Called] = deque()
        self._recital = SpeechQueue(self._bell, self._limits.tool_calls)
        self._ours: dict[str, None] = {}
        self._aside: set[str] = set()
        self._at_work: dict[str, _Work] = {}
        self._in_hand = 0
        self._goes_on_by: str | None = None

    @property
    def tools(self) -> Sequence[Tool]:
        """The house's tools. Who changes them tells the engine, by `session`; calls at work go on."""
        return self._offer.tools

    @tools.setter
    def tools(self, tools: Sequence[Tool]) -> None:
        self._offer.tools = tuple(tools)

    @property
    def session(self) -> Session:
        """What a `session.update` is to say of tools: the client's own, and ours."""
        return self._offer.session

    # what passes

    def intercept(self, event: e.ClientEvent) -> e.ClientEvent | None:
        """Return what the engine is to hear: with our tools, and without what has to wait."""
        if self._consent.keeps(event):
            self._bell.ring()
            return None
        match event:
            case e.SessionUpdate():
                return self._offer.intercept(event)
            case e.ConversationItemCreate(item=FunctionCallOutput(call_id=call_id)) if call_id in self._ours:
                log.info("%s: what the client says of a call of ours is left out", self._caller)
                return None
        return event

    def on_event(self, observed: ObservedEvent) -> None:
        """Observe an event."""
        if isinstance(observed.event, _SOUND):
            return
        self._offer.hear(observed.event)
        if observed.source == "server":
            self._note(observed.event)
            self._talk.hear(observed.event, observed.at)
            self._consent.hear(observed.event)
        self._bell.ring()

    def _note(self, event: e.Event) -> None:
        match event:
            case e.SessionCreated():
                self._rounds = Rounds()
            case e.InputAudioBufferSpeechStarted():
                self._interrupt()
            case e.ConversationItemAdded(item=FunctionCallOutput(call_id=call_id)):
                self._rounds.arrived(call_id)
            case e.ConversationItemAdded(item=Message(role="user")) if not self._consent.takes(event):
                self._rounds.caller_said()
            case e.ResponseCreated(response=response) if response.conversation_id is None:
                self._aside.add(response.id)
            case e.ResponseCreated(response=response) if not is_recited(response):
                self._rounds.answer_begins(
                    asked=self._goes_on_by is not None and self._goes_on_by == self._talk.asked
                )
            case e.ResponseOutputItemDone(response_id=response_id, item=FunctionCall() as call):
                self._note_call(response_id, call)
            case e.ResponseOutputItemAdded(response_id=response_id, item=McpCall(id=call_id)):
                self._rounds.theirs(
                    response_id, call_id
                )  # what the engine does for the client is as the client's
            case e.ResponseOutputItemDone(item=McpCall(id=call_id)):
                self._rounds.arrived(call_id)
            case e.ResponseDone(response=response):
                self._aside.discard(response.id)
                self._rounds.answer_ends(response.id)
            case e.ErrorEvent(error=error):
                self._note_error(error)

    def _note_call(self, response_id: str, call: FunctionCall) -> None:
        """A call that was cut short is none. One out of band is the client's: its outcome has no place here."""
        call_id = call.call_id or ""
        if call.status not in ("completed", UNSET) or call_id in self._ours:
            return
        if response_id in self._aside:
            log.info("%s: call of %r out of band is left to the client", self._caller, _short(call.name))
        elif self._offer.is_theirs(call.name):
            self._rounds.theirs(response_id, call_id)
        elif len(self._called) >= _WAITING:
            log.warning("%s: %d calls wait to be begun; one more is passed over", self._caller, _WAITING)
        else:
            in_round = self._rounds.ours(response_id, call_id)
            self._ours[call_id] = None
            self._called.append(_Called(call_id, call.name, call.arguments, in_round))
            while len(self._ours) > _REMEMBERED:
                del self._ours[next(iter(self._ours))]

    def _note_error(self, error: e.ErrorDetails) -> None:
        """Take in what is wrong with our own words."""
        if error.event_id and error.event_id == self._goes_on_by:
            if is_too_early(error):
                self._rounds.was_too_early()
                return
            self._rounds.give_up()
            log.warning("%s: the model cannot tell what tools have said: %s", self._caller, error.message)
        elif error.event_id and error.event_id.startswith(_OUTPUT):
            log.warning("%s: the output of a tool was refused: %s", self._caller, error.message)

    def _interrupt(self) -> None:
        """The caller speaks."""
        for work in self._at_work.values():
            work.filler.cancel()
            if work.tool.interruption == "cancels":
                work.scope.cancel()

    # what is done

    async def run(self, handle: SessionHandle) -> None:
        """Work until the conversation is over. Cancelling it stops every tool."""
        try:
            async with anyio.create_task_group() as tasks:
                while True:
                    news = self._bell.next
                    await self._go_on(handle, tasks)
                    with anyio.move_on_after(self._talk.patience(anyio.current_time())) as patience:
                        await news.wait()
                    if patience.cancelled_caught:
                        self._bell.ring()
        except* HungUp:
            log.debug("%s hung up", self._caller)

    async def _go_on(self, handle: SessionHandle, tasks: TaskGroup) -> None:
        """Begin what is to be done, and say what is to be said if the line is quiet."""
        while self._called:
            tasks.start_soon(self._answer, self._called.popleft(), handle)
        if not self._talk.is_quiet(anyio.current_time()):
            return
        if self._consent.is_open:
            if asks := self._consent.next_question():
                await self._say(asks, handle)
        elif self._rounds.has_news or (self._consent.kept and not self._in_hand):
            await self._have_told(handle)
        elif asks := self._recital.next():
            await self._say(asks, handle)

    async def _say(self, asks: e.ResponseCreate, handle: SessionHandle) -> None:
        self._talk.asked = asks.event_id or None
        await handle.send(asks)

    async def _have_told(self, handle: SessionHandle) -> None:
        """Ask the model to go on: by the client's wish, if one was kept back."""
        wish, self._consent.kept = self._consent.kept, None
        event = wish or e.ResponseCreate(
            response=UNSET if self._may_call else ResponseParams(tool_choice="none")
        )
        if event.event_id is UNSET:
            event = replace(event, event_id=e.new_id("event"))
        self._goes_on_by = self._talk.asked = event.event_id or None
        await (handle.resume(event) if wish else handle.send(event))

    @property
    def _may_call(self) -> bool:
        return self._rounds.number <= self._limits.tool_rounds

    # one call

    async def _answer(self, called: _Called, handle: SessionHandle) -> None:
        """See to it that a call gets its output."""
        began = anyio.current_time()
        log.debug("%s: %s is called with %s", self._caller, _short(called.name), called.arguments)
        self._in_hand += 1
        try:
            ending = await self._ending(called, handle)
            await self._bell.until(lambda: not self._talk.awaits_answer(anyio.current_time()))
            await self._tell(called, ending.outcome, handle)
            if ending.greeting:
                self._recital.add(ending.greeting)
        finally:
            self._in_hand -= 1
        seconds = anyio.current_time() - began
        log.info("%s: tool %r %s after %.2f s", self._caller, _short(called.name), ending.how, seconds)
        self._rounds.ended(called.call_id, is_told=ending.is_told)
        self._bell.ring()

    async def _tell(self, called: _Called, outcome: Outcome, handle: SessionHandle) -> None:
        """Show the card, and give the output."""
        if outcome.card:
            await self._show(called, outcome.card, handle)
        output = cut(outcome.output, self._limits.tool_output_chars)
        item = FunctionCallOutput(call_id=called.call_id, output=output)
        await handle.send(e.ConversationItemCreate(event_id=e.new_id(_OUTPUT), item=item))

    async def _show(self, called: _Called, card: Card, handle: SessionHandle) -> None:
        html = await as_html(card, self._limits.card_chars)
        if html is None:
            log.warning("%s: a card of %r is too long to show (limits.card_chars)", self._caller, called.name)
            return
        await handle.notify(e.CardShown(call_id=called.call_id, title=card.title, html=html))

    async def _ending(self, called: _Called, handle: SessionHandle) -> CallResult:
        """Return how a call ends: not made, for a reason that the model is told, or made."""
        tool, limits = self._offer.find(called.name), self._limits
        if tool is None:
            there_are = ", ".join(one.name for one in self.tools) or "none"
            output = f"There is no tool called {_short(called.name)!r}. There are: {there_are}."
            return CallResult.without(output, "is not there")
        if called.round.number > limits.tool_rounds:
            output = "Not done: no more calls now (limits.tool_rounds). Answer the caller with what you know."
            is_told = called.round.number == limits.tool_rounds + 1  # or there would be no end of it
            return CallResult.without(output, "was called too often", is_told=is_told)
        if self._in_hand > limits.tool_calls:
            output = f"Not done: {limits.tool_calls} calls are at work already (limits.tool_calls)."
            return CallResult.without(output, "was one call too many")
        return await self._objection(called, tool, handle) or await self._make(called, tool)

    async def _objection(self, called: _Called, tool: Tool, handle: SessionHandle) -> CallResult | None:
        """Return why a call is not made that the caller has to say yes to; None if they have, or need not."""
        if not tool.confirm:
            return None
        if ending := await check(tool, called.arguments, self._context(called), self._limits):
            return ending
        try:
            refusal = await self._consent.refusal(tool, called.arguments, handle)
        except ToolError as error:
            return CallResult.without(str(error), "could not be asked about")
        return CallResult.without(refusal, "was not consented to") if refusal else None

    def _context(self, called: _Called) -> Context:
        return Context(called.call_id, self._caller, self.state, self._recital.say)

    async def _make(self, called: _Called, tool: Tool) -> CallResult:
        """Make a call. An interruption may cancel it; then the caller's next words are what is answered."""
        work = self._at_work[called.call_id] = _Work(tool)
        context = self._context(called)
        try:
            with work.scope:
                async with anyio.create_task_group() as beside:
                    beside.start_soon(self._fill, work, called.round)
                    ending = await perform(tool, called.arguments, context, self._limits)
                    beside.cancel_scope.cancel()
        finally:
            del self._at_work[called.call_id]
        if work.scope.cancelled_caught:
            return CallResult.without("Stopped: the caller interrupted.", "was interrupted", is_told=False)
        return await self._hand_over(ending) if ending.outcome.hand_over_to else ending

    async def _hand_over(self, ending: CallResult) -> CallResult:
        to = ending.outcome.hand_over_to
        if self._handed is None or to is None:
            log.warning("%s: nobody can be handed over to here", self._caller)
            return CallResult.without("The tool has failed: here the caller cannot be handed over.", "failed")
        try:
            greeting = await self._handed(to)
        except VivavoceError as error:
            log.warning("%s: %s has not taken over: %s", self._caller, to.name, error)
            return CallResult.without(f"The tool has failed: {to.name} has not taken over.", "failed")
        return CallResult(ending.outcome, "has handed over", is_told=not greeting, greeting=greeting)

    # what is said meanwhile

    async def _fill(self, work: _Work, round: Round) -> None:
        """Say a slow tool's filler, unless the caller speaks, or one was said for a call of the same answer."""
        with work.filler:
            await anyio.sleep(self._limits.filler_seconds)
            if work.tool.filler and not round.has_filler:
                round.has_filler = True
                with suppress(ToolError):  # there are words enough already
                    await self._recital.say(work.tool.filler)


def _short(name: str) -> str:
    """Return as much of a name as a log or a sentence needs: a model may make up any."""
    return name if len(name) <= _NAME_CHARS else f"{name[:_NAME_CHARS]}…"
