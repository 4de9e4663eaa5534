"""Our half of a turn: one answer at a time, begun quietly, read out, cut short by `hush`."""

import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import InitVar, dataclass, field, replace

import anyio
from msgspec import UNSET

from vivavoce.engines.cascade.answer import Answer
from vivavoce.engines.cascade.context import CascadeContext
from vivavoce.engines.cascade.mcp_calls import McpCalls
from vivavoce.engines.cascade.mcp_servers import McpServerTools, named
from vivavoce.engines.cascade.rate_limits import RateLimits
from vivavoce.engines.cascade.response_task import Apology, Reason, ResponseTask
from vivavoce.engines.cascade.response_writer import ResponseWriter
from vivavoce.engines.cascade.settings import ResponseSettings
from vivavoce.engines.cascade.truncation import remembered
from vivavoce.engines.cascade.verbatim import VerbatimChat, recited
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.mcp.servers import Reach
from vivavoce.protocol import events as e
from vivavoce.protocol.items import Item
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import Session
from vivavoce.providers.base import ChatRequest, ContextLimited, Prefillable

__all__ = ["Apology", "Draft", "Responses"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Draft:
    """An answer begun in a pause, in case the turn is over: to these words, in this edition."""

    words: str
    edition: int
    utterance: ResponseTask


@dataclass
class Responses:
    """Says answers. At most one is in the conversation; those out of band run beside it."""

    call: CascadeContext
    apology: Apology
    reach: InitVar[Reach]
    _speaking: ResponseTask | None = None
    _aside: list[ResponseTask] = field(default_factory=list)
    _has_sounded: bool = False
    rates: RateLimits = field(init=False)
    hosts: McpServerTools = field(init=False)
    errands: McpCalls = field(init=False)

    def __post_init__(self, reach: Reach) -> None:
        limits = self.call.limits
        self.hosts = McpServerTools(self.call, reach, learned=self.prepare)
        self.errands = McpCalls(self.call, self.hosts)
        self.rates = RateLimits(responses=limits.responses_per_minute, tokens=limits.tokens_per_minute)

    @property
    def busy(self) -> bool:
        """Whether an answer is under way in the conversation."""
        return self._speaking is not None and not self._speaking.ended.is_set()

    @property
    def audible(self) -> bool:
        """Whether the caller hears us."""
        return self._speaking is not None and self._speaking.answer.pace.audible

    @property
    def has_sounded(self) -> bool:
        """Whether our voice was ever to be heard in this conversation."""
        under_way = [*self._aside, *([self._speaking] if self._speaking else [])]
        return self._has_sounded or any(utterance.has_sounded for utterance in under_way)

    async def free(self) -> None:
        """Return when no answer is under way in the conversation."""
        while self._speaking and self.busy:
            await self._speaking.ended.wait()

    # cutting short

    def hush(self, reason: Reason) -> None:
        """Fall silent: the only way in which an answer is cut short. Drops what was sent and not yet heard."""
        if self._speaking is None:
            return
        self._speaking.answer.pace.drop()
        if not self._speaking.ended.is_set():
            self._speaking.reason = reason
            self._speaking.answer.scope.cancel()

    def cancel(self, response_id: str | None) -> None:
        """Do what `response.cancel` asks, or say that there is nothing to cancel.

        Without an id it is about the conversation: answers out of band are cancelled by name.
        """
        speaking = [self._speaking] if self._speaking and self.busy else []
        for utterance in [*speaking, *(self._aside if response_id else [])]:
            if utterance.reply and response_id in (utterance.reply.response.id, None):
                utterance.answer.scope.cancel()
                return
        raise ProtocolError("Cancellation failed: no active response found", code="response_cancel_not_active")

    async def leave_off(self, item_id: str) -> None:
        """Fall silent if this item is what we are saying; return once its answer is over."""
        speaking = self._speaking
        if speaking and self.busy and speaking.reply and speaking.reply.is_open(item_id):
            self.hush("client_cancelled")
            await speaking.ended.wait()

    def hold(self) -> None:
        """Send no more sound until it is clear whether the caller interrupts."""
        if self._speaking:
            self._speaking.answer.pace.hold()

    def go_on(self) -> None:
        """It was nothing: go on speaking."""
        if self._speaking:
            self._speaking.answer.pace.release()

    # changing

    def check_update(self, session: Session) -> None:
        """Raise `ProtocolError` if the session cannot become this one after what we said, or while we speak."""
        wished, now = ResponseSettings.of(session), ResponseSettings.of(self.call.session)
        self._check_voice(wished.voice, "session.audio.output.voice")
        if self.busy and wished.speed != now.speed:
            raise ProtocolError(
                "The speed can only be changed between turns, not while a response is in progress.",
                code="invalid_value",
                param="session.audio.output.speed",
            )

    def _check_voice(self, wished: str | None, param: str, *, out_of_band: bool = False) -> None:
        if self.has_sounded and not out_of_band and wished != ResponseSettings.of(self.call.session).voice:
            raise ProtocolError(
                "Cannot update a conversation's voice if assistant audio is present.",
                code="cannot_update_voice",
                param=param,
            )

    # answering

    async def prepare(self) -> None:
        """Let the chat model read what this conversation begins with. Its failures show in answers."""
        await self._let_read(())

    async def look_back(self) -> None:
        """Let a chat model that chooses tools read what was said so far, while the caller speaks."""
        if ResponseSettings.of(self.call.session).tools:
            await self.free()
            await self._let_read(self.call.conversation.messages())

    async def _let_read(self, items: Sequence[Item]) -> None:
        chat, limits = self.call.crew.chat, self.call.limits
        if isinstance(chat, Prefillable):
            with anyio.move_on_after(limits.first_token_seconds):
                try:
                    await chat.prefill(self._request(ResponseSettings.of(self.call.session), items))
                except (ProviderError, ProtocolError) as error:
                    log.warning("%s", error)

    def draft(self, words: str, item: Item) -> Draft:
        """Begin quietly to answer what the caller seems to have said."""
        manner = ResponseSettings.of(self.call.session)
        items = (*self.call.conversation.messages(), item)

        async def ask() -> ChatRequest:
            return self._request(manner, items)

        utterance = ResponseTask(self._answer(manner, ask))
        self.call.tasks.start_soon(self._perform, utterance)
        return Draft(words, self.call.edition, utterance)

    def drop(self, draft: Draft | None) -> None:
        """Forget a draft; it leaves no trace."""
        if draft:
            draft.utterance.answer.scope.cancel()

    def release(self, draft: Draft) -> None:
        """The turn is over and the draft was right: say it."""
        if self.rates.refusal(anyio.current_time()):
            self.drop(draft)
            self.respond(given=_nothing)
            return
        self.rates.begin(anyio.current_time())
        utterance = draft.utterance
        utterance.reply = self._reply(utterance.answer.manner, None)
        self._speaking = utterance
        utterance.answer.released.set()

    def respond(
        self,
        params: ResponseParams | None = None,
        *,
        given: Callable[[], Awaitable[Sequence[Item]]],
        out_of_band: bool = False,
    ) -> None:
        """Answer `given` items, which are asked for once the answer has begun.

        Raises `ProtocolError` if there can be no answer now. Without `params` nobody asked but the caller who
        spoke: a rate limit then makes the answer fail.
        """
        manner, own = ResponseSettings.of(self.call.session, params), named(params.tools if params else ())
        self._check_room(out_of_band=out_of_band)
        self.hosts.check(params.tools if params else (), "response")
        self.hosts.check_choice(manner)
        self._check_voice(manner.voice, "response.audio.output.voice", out_of_band=out_of_band)
        now = anyio.current_time()
        refusal = self.rates.refusal(now)
        if refusal and params:
            raise refusal

        async def ask() -> ChatRequest:
            if refusal:
                raise refusal
            await self.hosts.ready(manner, own)
            return self._request(manner, await given(), aside=out_of_band)

        if not refusal:
            self.rates.begin(now)
        answer = self._answer(manner, ask, recite=recited(params) if params else None)
        utterance = ResponseTask(answer, self._reply(manner, params, out_of_band=out_of_band))
        utterance.answer.released.set()
        if out_of_band:
            self._aside.append(utterance)
        else:
            self._speaking = utterance
        self.call.tasks.start_soon(self._perform, utterance)

    def say_nothing(self) -> None:
        """Answer what was no words by a response without any: clients wait for one after each turn."""
        manner = ResponseSettings.of(self.call.session)

        async def ask() -> None:
            return None

        self._speaking = ResponseTask(self._answer(manner, ask), self._reply(manner, None))
        self._speaking.answer.released.set()
        self.call.tasks.start_soon(self._perform, self._speaking)

    def _check_room(self, *, out_of_band: bool) -> None:
        """Raise `ProtocolError` if as many answers are under way as there may be."""
        if out_of_band and len(self._aside) >= self.call.limits.out_of_band_responses:
            raise ProtocolError(
                f"{len(self._aside)} responses are running out of band (limits.out_of_band_responses); wait.",
                code="rate_limit_exceeded",
            )
        if not out_of_band and self.busy and self._speaking and self._speaking.reply:
            raise ProtocolError(
                f"Conversation already has an active response in progress: {self._speaking.reply.response.id}. "
                "Wait until the response is finished before creating a new one.",
                code="conversation_already_has_active_response",
            )

    async def _perform(self, utterance: ResponseTask) -> None:
        """Think, and once released, speak. The line after the `with` is where every answer ends."""
        answer = utterance.answer
        with answer:
            if utterance.reply:  # asked for by name: it is announced, even if it is cancelled at once
                await utterance.begin()
            with answer.scope:
                async with anyio.create_task_group() as thinking:
                    thinking.start_soon(answer.think)
                    await answer.released.wait()
                    await utterance.tell(self.apology)
        if utterance.begun:
            await self._end(utterance, cut_short=answer.scope.cancelled_caught)
        utterance.ended.set()

    async def _end(self, utterance: ResponseTask, *, cut_short: bool) -> None:
        if utterance in self._aside:
            self._aside.remove(utterance)
        cost = await utterance.end(cut_short=cut_short)
        self._has_sounded = self._has_sounded or utterance.has_sounded
        now = anyio.current_time()
        self.rates.spend(cost, now)
        await self.call.send(e.RateLimitsUpdated(rate_limits=self.rates.left(now)))

    def _answer(
        self,
        manner: ResponseSettings,
        ask: Callable[[], Awaitable[ChatRequest | None]],
        *,
        recite: str | None = None,
    ) -> Answer:
        crew = self.call.crew if recite is None else replace(self.call.crew, chat=VerbatimChat(recite))
        return Answer(crew, ask, manner, self.call.limits)

    def _request(self, manner: ResponseSettings, items: Sequence[Item], *, aside: bool = False) -> ChatRequest:
        """Ask with as much of the conversation as fits. Raises `ProtocolError` if none may be left out."""
        limits, wish = self.call.limits, manner.max_output_tokens
        tools, choice = self.hosts.offer(manner, aside=aside)
        request = ChatRequest(
            items=items,
            instructions=manner.instructions,
            tools=tools,
            tool_choice=choice,
            max_tokens=limits.output_tokens if wish == "inf" else min(limits.output_tokens, wish),
            spoken=manner.modality == "audio",
            parallel_tool_calls=manner.parallel_tool_calls,
        )
        chat = self.call.crew.chat
        room = chat.context_budget(request) if isinstance(chat, ContextLimited) else sys.maxsize
        return replace(request, items=remembered(items, manner.truncation, room=room, most=limits.items))

    def _reply(
        self, manner: ResponseSettings, params: ResponseParams | None, *, out_of_band: bool = False
    ) -> ResponseWriter:
        return ResponseWriter(
            self.call.send,
            manner,
            None if out_of_band else self.call.conversation,
            self.call.sounds,
            self.errands,
            conversation_id=None if out_of_band else self.call.id,
            metadata=(None if params.metadata is UNSET else params.metadata) if params else None,
        )


async def _nothing() -> Sequence[Item]:
    return ()
