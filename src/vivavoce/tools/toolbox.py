"""The toolbox: middleware that runs the tools that the model calls, and sends their outputs.

It uses only protocol events, so it works with any engine, on the server's side and on the client's.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
from anyio.abc import TaskGroup
from msgspec import UNSET, structs

from vivavoce.errors import VivavoceError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, McpCall, Message
from vivavoce.protocol.responses import ResponseParams
from vivavoce.session.line import HungUp
from vivavoce.session.middleware import ObservedEvent, SessionHandle
from vivavoce.tools.cards import as_html
from vivavoce.tools.confirmation import ConfirmationFlow
from vivavoce.tools.execution import CallResult, check_call, run_call
from vivavoce.tools.session_tools import SessionTools
from vivavoce.tools.speech_queue import Notifier, SpeechQueue
from vivavoce.tools.turn_state import CallRounds, Round, TurnState, is_too_early, is_verbatim
from vivavoce.tools.types import Assistant, Card, Context, Tool, ToolError

log = logging.getLogger(__name__)

_AUDIO = (e.InputAudioBufferAppend, e.ResponseOutputAudioDelta)
_REMEMBERED = 256
"""ids of our calls that are kept, to drop outputs that a client sends for them"""
_WAITING = 256
"""calls that may wait to be started, in case an engine sends many at once"""
_NAME_CHARS = 64
"""characters of a tool's name in logs and errors: a model may invent a long one"""
_OUTPUT = "event_output"

HandOver = Callable[[Assistant], Awaitable[str]]
"""Switches to another assistant, and returns its greeting; without one, the model is asked to respond.
A `VivavoceError` fails the call."""


@dataclass(eq=False)
class _Call:
    """A call that waits for its output, with the cancel scopes in which it runs, and its filler waits."""

    call_id: str
    name: str
    arguments: str
    round: Round
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    filler: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class Toolbox:
    """Runs the tools of one conversation. `caller` names it in the log; `hand_over` switches the assistant.

    A call is executed as soon as its arguments are complete, even if its response is cancelled later. Each call
    has exactly one output; when all calls of a response have theirs, one further response is requested.
    """

    def __init__(
        self,
        tools: Sequence[Tool] = (),
        limits: Limits | None = None,
        caller: str = "",
        hand_over: HandOver | None = None,
    ) -> None:
        self.state: dict[str, Any] = {}
        """`Context.state`: shared by the tools of this conversation"""
        self._limits, self._caller, self._hand_over_to = limits or Limits(), caller, hand_over
        self.session_tools = SessionTools(tools)
        """our own tools, and the client's; after changing ours, send its `session`; running calls continue"""
        self._turn, self._rounds = TurnState(), CallRounds()
        self._notifier = Notifier()
        self._confirmation = ConfirmationFlow(self._notifier, self._limits, self._turn)
        self._speech = SpeechQueue(self._notifier, self._limits.tool_calls)
        self._waiting: deque[_Call] = deque()
        self._call_ids: dict[str, None] = {}
        self._out_of_band: set[str] = set()
        self._running: dict[str, tuple[_Call, Tool]] = {}
        self._active = 0
        self._continuation: str | None = None

    # events

    def intercept(self, event: e.ClientEvent) -> e.ClientEvent | None:
        """Return the event for the engine, with our tools added; None if it is held back or dropped."""
        if self._confirmation.intercept(event):
            self._notifier.notify()
            return None
        match event:
            case e.SessionUpdate():
                return self.session_tools.intercept(event)
            case e.ConversationItemCreate(item=FunctionCallOutput(call_id=call_id)) if (
                call_id in self._call_ids
            ):
                log.info("%s: the client's output for a call of ours is dropped", self._caller)
                return None
        return event

    def on_event(self, observed: ObservedEvent) -> None:
        """Process an event of the client or the server."""
        event = observed.event
        if isinstance(event, _AUDIO):
            return
        self.session_tools.on_event(event)
        if observed.source == "server":
            self._on_server_event(event)
            self._turn.on_event(event, observed.at)
            self._confirmation.on_event(event)
        self._notifier.notify()

    def _on_server_event(self, event: e.Event) -> None:
        rounds = self._rounds
        match event:
            case e.SessionCreated():
                self._rounds = CallRounds()
            case e.InputAudioBufferSpeechStarted():
                self._interrupt()
            case e.ConversationItemAdded(item=FunctionCallOutput(call_id=call_id)):
                rounds.output_added(call_id)
            case e.ConversationItemAdded(item=Message(role="user")) if not self._confirmation.is_answer(event):
                rounds.number = 0
            case e.ResponseCreated(response=response) if response.conversation_id is None:
                self._out_of_band.add(response.id)
            case e.ResponseCreated(response=response) if not is_verbatim(response):
                requested = self._continuation is not None and self._continuation == self._turn.requested
                rounds.response_created(requested=requested)
            case e.ResponseOutputItemDone(response_id=response_id, item=FunctionCall() as call):
                self._on_call(response_id, call)
            case e.ResponseOutputItemAdded(response_id=response_id, item=McpCall(id=call_id)):
                rounds.add_clients(response_id, call_id)  # after an MCP call, the client requests the response
            case e.ResponseOutputItemDone(item=McpCall(id=call_id)):
                rounds.output_added(call_id)
            case e.ResponseDone(response=response):
                self._out_of_band.discard(response.id)
                rounds.response_done(response.id)
            case e.ErrorEvent(error=error):
                self._on_error(error)

    def _on_call(self, response_id: str, call: FunctionCall) -> None:
        """Queue a complete call. Calls of out-of-band responses are left to the client."""
        call_id = call.call_id or ""
        if call.status not in ("completed", UNSET) or call_id in self._call_ids:
            return
        if response_id in self._out_of_band:
            log.info("%s: call of %r out of band is left to the client", self._caller, _short(call.name))
        elif self.session_tools.is_clients(call.name):
            self._rounds.add_clients(response_id, call_id)
        elif len(self._waiting) >= _WAITING:
            log.warning("%s: %d calls wait to be started; one more is dropped", self._caller, _WAITING)
        else:
            in_round = self._rounds.add(response_id, call_id)
            self._call_ids[call_id] = None
            self._waiting.append(_Call(call_id, call.name, call.arguments, in_round))
            while len(self._call_ids) > _REMEMBERED:
                del self._call_ids[next(iter(self._call_ids))]

    def _on_error(self, error: e.ErrorDetails) -> None:
        if error.event_id and error.event_id == self._continuation:
            if is_too_early(error):
                self._rounds.request_was_too_early()
                return
            self._rounds.give_up()
            log.warning("%s: the model cannot respond to outputs: %s", self._caller, error.message)
        elif error.event_id and error.event_id.startswith(_OUTPUT):
            log.warning("%s: the output of a tool was refused: %s", self._caller, error.message)

    def _interrupt(self) -> None:
        """Cancel fillers, and calls with `on_interruption="cancel"`, because the caller speaks."""
        for call, tool in self._running.values():
            call.filler.cancel()
            if tool.on_interruption == "cancel":
                call.scope.cancel()

    # running

    async def run(self, handle: SessionHandle) -> None:
        """Execute calls and request responses, until the conversation is over. Cancelling stops all tools."""
        try:
            async with anyio.create_task_group() as tasks:
                while True:
                    change = self._notifier.next
                    await self._go_on(handle, tasks)
                    with anyio.move_on_after(self._turn.seconds_left(anyio.current_time())) as waiting:
                        await change.wait()
                    if waiting.cancelled_caught:
                        self._notifier.notify()
        except* HungUp:
            log.debug("%s hung up", self._caller)

    async def _go_on(self, handle: SessionHandle, tasks: TaskGroup) -> None:
        """Start waiting calls; if nobody is speaking, request the response that is due.

        The order is: a confirmation question, the continuation after tool outputs, queued speech.
        """
        while self._waiting:
            tasks.start_soon(self._handle_call, self._waiting.popleft(), handle)
        if not self._turn.is_quiet(anyio.current_time()):
            return
        if self._confirmation.is_open:
            request = self._confirmation.next_request()
        elif self._rounds.needs_response or (self._confirmation.request and not self._active):
            await self._continue(handle)
            return
        else:
            request = self._speech.pop()
        if request:
            self._turn.requested = request.event_id or None
            await handle.send(request)

    async def _continue(self, handle: SessionHandle) -> None:
        """Request a response to the outputs, using the client's request if one was held back."""
        held_back, self._confirmation.request = self._confirmation.request, None
        may_call = self._rounds.number <= self._limits.tool_rounds
        request = held_back or e.ResponseCreate(
            response=UNSET if may_call else ResponseParams(tool_choice="none")
        )
        if request.event_id is UNSET:
            request = structs.replace(request, event_id=e.new_id("event"))
        self._continuation = self._turn.requested = request.event_id or None
        await (handle.resume(request) if held_back else handle.send(request))

    # one call

    async def _handle_call(self, call: _Call, handle: SessionHandle) -> None:
        """Execute a call, send its output, and queue what it says."""
        started = anyio.current_time()
        log.debug("%s: %s is called", self._caller, _short(call.name))
        self._active += 1
        try:
            result = await self._result(call, handle)
            await self._notifier.until(lambda: not self._turn.awaits_response(anyio.current_time()))
            await self._send_output(call, result, handle)
            seconds = anyio.current_time() - started
            log.info("%s: tool %r %s after %.2f s", self._caller, _short(call.name), result.status, seconds)
            for text in filter(None, (result.outcome.say, result.greeting)):
                await self._speech.append(text)
        finally:
            self._active -= 1
        self._rounds.call_ended(call.call_id, continues=result.continues)
        self._notifier.notify()

    async def _send_output(self, call: _Call, result: CallResult, handle: SessionHandle) -> None:
        if result.outcome.card:
            await self._show(call, result.outcome.card, handle)
        output, limit = result.outcome.output or result.outcome.say, self._limits.tool_output_chars
        if len(output) > limit:
            output = f"{output[:limit]}… (cut off: limits.tool_output_chars)"
        item = FunctionCallOutput(call_id=call.call_id, output=output)
        await handle.send(e.ConversationItemCreate(event_id=e.new_id(_OUTPUT), item=item))

    async def _show(self, call: _Call, card: Card, handle: SessionHandle) -> None:
        html = await as_html(card, self._limits.card_chars)
        if html is None:
            log.warning("%s: a card of %r is too long to show (limits.card_chars)", self._caller, call.name)
            return
        await handle.notify(e.CardShown(call_id=call.call_id, title=card.title, html=html))

    async def _result(self, call: _Call, handle: SessionHandle) -> CallResult:
        """Execute a call; if it may not be executed, return a failed result with the reason for the model."""
        tool, limits, number = self.session_tools.find(call.name), self._limits, call.round.number
        if tool is None:
            there_are = ", ".join(one.name for one in self.session_tools.tools) or "none"
            output = f"There is no tool called {_short(call.name)!r}. There are: {there_are}."
            return CallResult.failed(output, "is not there")
        if number > limits.tool_rounds:
            output = "Not done: no more calls now (limits.tool_rounds). Answer the caller with what you know."
            continues = number == limits.tool_rounds + 1  # one last response, or the rounds would never end
            return CallResult.failed(output, "was called too often", continues=continues)
        if self._active > limits.tool_calls:
            output = f"Not done: {limits.tool_calls} calls are at work already (limits.tool_calls)."
            return CallResult.failed(output, "was one call too many")
        context = Context(call.call_id, self._caller, self.state, self._speech.fill)
        if tool.confirm and (refused := await self._confirm(call, tool, context, handle)):
            return refused
        return await self._run_call(call, tool, context)

    async def _confirm(
        self, call: _Call, tool: Tool, context: Context, handle: SessionHandle
    ) -> CallResult | None:
        """Have the caller confirm a call; return None if they do, else a failed result."""
        if failed := await check_call(tool, call.arguments, context, self._limits):
            return failed
        try:
            refusal = await self._confirmation.confirm(tool, call.arguments, handle)
        except ToolError as error:
            return CallResult.failed(str(error), "could not be asked about")
        return CallResult.failed(refusal, "was not confirmed") if refusal else None

    async def _run_call(self, call: _Call, tool: Tool, context: Context) -> CallResult:
        """Run a tool. If an interruption cancels it, no response is requested: the caller is speaking."""
        self._running[call.call_id] = call, tool
        try:
            with call.scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._say_filler, call, tool.filler)
                    result = await run_call(tool, call.arguments, context, self._limits)
                    tasks.cancel_scope.cancel()
        finally:
            del self._running[call.call_id]
        if call.scope.cancelled_caught:
            return CallResult.failed("Stopped: the caller interrupted.", "was interrupted", continues=False)
        if result.outcome.hand_over_to:
            return await self._hand_over(result, result.outcome.hand_over_to)
        return replace(result, continues=result.continues and not result.outcome.say)

    async def _hand_over(self, result: CallResult, to: Assistant) -> CallResult:
        if self._hand_over_to is None:
            log.warning("%s: the caller cannot be handed over here", self._caller)
            return CallResult.failed("The tool has failed: here the caller cannot be handed over.")
        try:
            greeting = await self._hand_over_to(to)
        except VivavoceError as error:
            log.warning("%s: %s has not taken over: %s", self._caller, to.name, error)
            return CallResult.failed(f"The tool has failed: {to.name} has not taken over.")
        return replace(result, status="has handed over", continues=not greeting, greeting=greeting)

    async def _say_filler(self, call: _Call, words: str) -> None:
        """Queue a slow tool's filler, unless the caller speaks, or the round has had one."""
        with call.filler:
            await anyio.sleep(self._limits.filler_seconds)
            if words and not call.round.has_filler:
                call.round.has_filler = True
                with suppress(ToolError):  # the queue is full: the filler is not needed
                    await self._speech.fill(words)


def _short(name: str) -> str:
    return name if len(name) <= _NAME_CHARS else f"{name[:_NAME_CHARS]}…"
