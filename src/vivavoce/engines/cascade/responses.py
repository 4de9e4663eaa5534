"""The responses of a conversation: drafts, starting, pausing, resuming and interrupting."""

import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

import anyio
from msgspec import UNSET

from vivavoce.engines.cascade.context import CascadeContext
from vivavoce.engines.cascade.mcp_servers import McpServerTools, named
from vivavoce.engines.cascade.notes import summary_request
from vivavoce.engines.cascade.rate_limits import RateLimits
from vivavoce.engines.cascade.response_task import Apology, CancelReason, ResponseTask, VerbatimChat
from vivavoce.engines.cascade.response_writer import ResponseWriter, usage_of
from vivavoce.engines.cascade.settings import ResponseSettings
from vivavoce.engines.cascade.truncation import token_budget, truncate_history
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.mcp.servers import McpServers
from vivavoce.protocol import events as e
from vivavoce.protocol.items import Item
from vivavoce.protocol.responses import VERBATIM, ResponseParams
from vivavoce.protocol.session import Session
from vivavoce.providers.base import ChatRequest, ChatUsage, ContextLimited, Prefillable, Summarizing
from vivavoce.session.conversation import user_message
from vivavoce.session.summary import quote_user

log = logging.getLogger(__name__)

READ_AHEAD_SECONDS = 0.05
"""seconds from a change to the conversation until the chat model reads it: a response may follow at once"""


class Responses:
    """Runs responses. At most one is in the conversation; out-of-band responses run concurrently."""

    def __init__(self, context: CascadeContext, apology: Apology, mcp: McpServers) -> None:
        self.context, self.apology, limits = context, apology, context.limits
        self.mcp_servers = McpServerTools(context, mcp, learned=self.read_ahead)
        self.rate_limits = RateLimits(responses=limits.responses_per_minute, tokens=limits.tokens_per_minute)
        self._current: ResponseTask | None = None
        self._out_of_band: list[ResponseTask] = []
        self._has_spoken = self._has_responded = False
        self._is_unread = self._is_reading = self._is_idle = False
        self._summarizing = anyio.CancelScope()

    @property
    def in_progress(self) -> bool:
        """Whether a response is in progress in the conversation."""
        return self._current is not None and not self._current.ended.is_set()

    @property
    def audible(self) -> bool:
        """Whether a response is being played to the caller."""
        return self._current is not None and self._current.pacing.audible

    @property
    def asks(self) -> bool:
        """Whether the end of a question is being played to the caller."""
        return self._current is not None and self._current.asks

    async def wait_until_done(self) -> None:
        """Return when no response is in progress in the conversation."""
        while self._current and self.in_progress:
            await self._current.ended.wait()

    # interrupting

    def interrupt(self, reason: CancelReason) -> None:
        """Interrupt the response: cancel it, and drop audio that was sent but not yet played."""
        if self._current is None:
            return
        self._current.pacing.drop()
        if self.in_progress:
            self._current.cancel_reason = reason
            self._current.scope.cancel()

    def cancel(self, response_id: str | None) -> None:
        """Handle `response.cancel`. Raises `ProtocolError` if there is nothing to cancel.

        Without an id, only the response in the conversation is cancelled; out-of-band responses need their id.
        """
        current = [self._current] if self._current and self.in_progress else []
        for task in [*current, *(self._out_of_band if response_id else [])]:
            if task.writer and response_id in (task.writer.response.id, None):
                task.scope.cancel()
                return
        raise ProtocolError("Cancellation failed: no active response found", code="response_cancel_not_active")

    async def interrupt_item(self, item_id: str) -> None:
        """Interrupt the response if this item is being sent; return once it is over."""
        current = self._current
        if current and self.in_progress and current.writer and current.writer.is_open(item_id):
            self.interrupt("client_cancelled")
            await current.ended.wait()

    def pause(self) -> None:
        """Pause the audio, until it is clear whether the caller interrupts."""
        if self._current:
            self._current.pacing.pause()

    def resume(self) -> None:
        """Continue after a pause."""
        if self._current:
            self._current.pacing.resume()

    # changing the session

    def check_update(self, session: Session) -> None:
        """Raise `ProtocolError` if the session cannot be changed to this one now."""
        new, now = ResponseSettings.of(session), ResponseSettings.of(self.context.session)
        self._check_voice(new.voice, "session.audio.output.voice")
        if self.in_progress and new.speed != now.speed:
            message = "The speed can only be changed between turns, not while a response is in progress."
            raise ProtocolError(message, code="invalid_value", param="session.audio.output.speed")

    def _check_voice(self, voice: str | None, param: str) -> None:
        """Raise `ProtocolError` if this is another voice than that of audio which was sent already."""
        running = [task for task in (self._current, *self._out_of_band) if task]
        has_spoken = self._has_spoken or any(task.has_sent_audio for task in running)
        if has_spoken and voice != ResponseSettings.of(self.context.session).voice:
            message = "Cannot update a conversation's voice if assistant audio is present."
            raise ProtocolError(message, code="cannot_update_voice", param=param)

    # reading ahead

    def read_ahead(self, *, idle: bool = True) -> None:
        """Have the chat model read the conversation so far in the background, because it has changed.

        Before that, a note is made on what its context will have no room for. If the model is to write it, it
        does so only while it is `idle`: nobody speaks or waits for an answer.
        """
        self._is_unread, self._is_idle = True, idle
        self._summarizing.cancel()
        if not (self._is_reading or self.context.transcription):
            self._is_reading = True
            self.context.tasks.start_soon(self._read_ahead)

    async def _read_ahead(self) -> None:
        """Read until nothing has changed meanwhile. Failures are only logged: a response would report them."""
        chat = self.context.providers.chat
        while self._is_unread:
            await anyio.sleep(READ_AHEAD_SECONDS)
            await self.wait_until_done()
            self._is_unread = False
            settings = ResponseSettings.of(self.context.session)
            with anyio.move_on_after(self.context.limits.reading_seconds):
                try:
                    await self._make_note(settings)
                    if isinstance(chat, Prefillable):
                        await chat.prefill(self._request(settings, self.context.messages()))
                except (ProviderError, ProtocolError) as error:
                    log.warning("%s", error)
        self._is_reading = False

    async def _make_note(self, settings: ResponseSettings) -> None:
        """Make a note on the conversation so far if one is due: by the chat model if it can, or by quotes."""
        if settings.truncation == "disabled":
            return
        notes, messages = self.context.notes, self.context.conversation.messages()
        budget, chat = self._budget(self._request(settings, ()), settings), self.context.providers.chat
        can_write = isinstance(chat, Summarizing) and chat.summarizes
        covered = notes.due(messages, budget, is_told=not (can_write or self._has_responded))
        text, max_chars = "", notes.max_chars(budget)
        if not covered:
            return
        if can_write:
            if not self._is_idle:
                return
            with anyio.CancelScope() as self._summarizing:
                text = await self._summarize(covered, budget, max_chars)
            if self._summarizing.cancelled_caught:
                return
        notes.add(text or quote_user(covered, max_chars), covered, messages)

    async def _summarize(self, covered: Sequence[Item], budget: int, max_chars: int) -> str:
        """Have the chat model write a note, and tell the client; return "" if it fails, or writes nothing."""
        asked = summary_request(self.context.notes.since_last(covered), budget, max_chars)
        words, usage = list[str](), ChatUsage(0, 0)
        try:
            async with aclosing(self.context.providers.reply(asked, self.context.limits)) as pieces:
                async for piece in pieces:
                    words += [piece] if isinstance(piece, str) else []
                    usage = piece if isinstance(piece, ChatUsage) else usage
        except ProviderError as error:
            log.warning("the conversation is not summarized: %s", error)
            return ""
        if text := " ".join("".join(words).split())[:max_chars]:
            last = covered[-1].id or ""
            await self.context.line.send(
                e.ConversationSummarized(item_id=last, text=text, usage=usage_of(usage))
            )
        return text

    # responding

    def start_draft(self, item_id: str, transcript: str) -> ResponseTask:
        """Start a draft that responds to a turn, given its transcript so far, without sending anything."""
        settings = ResponseSettings.of(self.context.session)
        items = (*self.context.messages(), user_message(item_id, transcript))

        async def request() -> ChatRequest:
            return self._request(settings, items)

        task = ResponseTask(self.context.providers, self.context.limits, settings, request)
        task.answers = transcript, self.context.revision
        self.context.tasks.start_soon(self._run, task)
        return task

    def discard(self, draft: ResponseTask | None) -> None:
        """Discard a draft; the client has not received anything of it."""
        if draft:
            draft.scope.cancel()

    def release(self, draft: ResponseTask) -> None:
        """Send a draft, because the turn is over and its transcript was right."""
        if self.rate_limits.exceeded(anyio.current_time()):
            self.discard(draft)
            self.respond(_no_items)
            return
        self.rate_limits.add_response(anyio.current_time())
        self._summarizing.cancel()
        draft.writer = ResponseWriter(self.context, draft.settings, self.mcp_servers)
        self._current = draft
        draft.released.set()

    def respond(
        self, read_items: Callable[[], Awaitable[Sequence[Item]]], params: ResponseParams | None = None
    ) -> None:
        """Start a response to items, which are read once it has started.

        Raises `ProtocolError` if no response can start now. Without `params` it responds to the caller's
        speech; an exceeded rate limit then makes the response fail instead of raising.
        """
        out_of_band = params is not None and params.conversation == "none"
        settings = ResponseSettings.of(self.context.session, params)
        own_servers = named(params.tools if params else ())
        self._check_capacity(out_of_band=out_of_band)
        self.mcp_servers.check(params.tools if params else (), "response")
        self.mcp_servers.check_choice(settings)
        if not out_of_band:
            self._check_voice(settings.voice, "response.audio.output.voice")
        now = anyio.current_time()
        refusal = self.rate_limits.exceeded(now)
        if refusal and params:
            raise refusal

        async def request() -> ChatRequest:
            if refusal:
                raise refusal
            await self.mcp_servers.ready(settings, own_servers)
            return self._request(settings, await read_items(), out_of_band=out_of_band)

        if not refusal:
            self.rate_limits.add_response(now)
        self._start(settings, request, params, out_of_band=out_of_band)

    def respond_without_output(self) -> None:
        """Respond to a turn without words with an empty response: clients expect a response after each turn."""
        self._start(ResponseSettings.of(self.context.session), None)

    def _start(
        self,
        settings: ResponseSettings,
        request: Callable[[], Awaitable[ChatRequest]] | None,
        params: ResponseParams | None = None,
        *,
        out_of_band: bool = False,
    ) -> None:
        self._summarizing.cancel()
        providers = self.context.providers
        metadata = None if params is None or params.metadata is UNSET else params.metadata
        if text := (metadata or {}).get(VERBATIM):
            providers = replace(providers, chat=VerbatimChat(text))
        writer = ResponseWriter(
            self.context, settings, self.mcp_servers, out_of_band=out_of_band, metadata=metadata
        )
        task = ResponseTask(providers, self.context.limits, settings, request, writer)
        task.released.set()
        if out_of_band:
            self._out_of_band.append(task)
        else:
            self._current = task
        self.context.tasks.start_soon(self._run, task)

    def _check_capacity(self, *, out_of_band: bool) -> None:
        """Raise `ProtocolError` if the limit on responses in progress is reached."""
        if out_of_band and len(self._out_of_band) >= self.context.limits.out_of_band_responses:
            raise ProtocolError(
                f"{len(self._out_of_band)} responses are running out of band (limits.out_of_band_responses); "
                "wait.",
                code="rate_limit_exceeded",
            )
        if not out_of_band and self.in_progress and self._current and self._current.writer:
            raise ProtocolError(
                f"Conversation already has an active response in progress: {self._current.writer.response.id}. "
                "Wait until the response is finished before creating a new one.",
                code="conversation_already_has_active_response",
            )

    async def _run(self, task: ResponseTask) -> None:
        """Run a response from its first event to its last. All responses and drafts end here."""
        if await task.run(self.apology):
            if task in self._out_of_band:
                self._out_of_band.remove(task)
            tokens = await task.finish()
            self._has_spoken = self._has_spoken or task.has_sent_audio
            self._has_responded = True
            now = anyio.current_time()
            self.rate_limits.add_tokens(tokens, now)
            await self.context.send(e.RateLimitsUpdated(rate_limits=self.rate_limits.status(now)))
            if task is self._current:
                self.read_ahead()
        task.ended.set()

    def _request(
        self, settings: ResponseSettings, items: Sequence[Item], *, out_of_band: bool = False
    ) -> ChatRequest:
        """Return a request with as much history as fits. Raises `ProtocolError` if truncation is disabled."""
        limits, max_tokens = self.context.limits, settings.max_output_tokens
        items = [item for item in items if not self.context.conversation.purpose(item)]
        tools, choice = self.mcp_servers.offer(settings, aside=out_of_band)
        request = ChatRequest(
            items=items,
            instructions=settings.instructions,
            tools=tools,
            tool_choice=choice,
            max_tokens=limits.output_tokens if max_tokens == "inf" else min(limits.output_tokens, max_tokens),
            spoken=settings.modality == "audio",
            parallel_tool_calls=settings.parallel_tool_calls,
        )
        budget = self._budget(request, settings)
        history = truncate_history(items, settings.truncation, max_tokens=budget, max_items=limits.items)
        return replace(request, items=history)

    def _budget(self, request: ChatRequest, settings: ResponseSettings) -> int:
        """Return how many tokens of the conversation the chat model can read."""
        chat = self.context.providers.chat
        budget = chat.context_budget(request) if isinstance(chat, ContextLimited) else sys.maxsize
        return token_budget(budget, settings.truncation)


async def _no_items() -> Sequence[Item]:
    return ()
