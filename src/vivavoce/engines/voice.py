"""Our half of a turn: one answer at a time, begun quietly, read out, cut short by `hush`."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import anyio

from vivavoce.engines.answer import Answer, Words
from vivavoce.engines.call import Call
from vivavoce.engines.manner import Manner
from vivavoce.engines.reply import Reply
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.protocol.items import Item
from vivavoce.protocol.response import Cancelled, Failed, FailedError, Incomplete, ResponseParams, StatusDetails
from vivavoce.providers import SPEAKING_RATE, ChatRequest, ChatUsage, Mark, Preparing, ToolCall

__all__ = ["Apology", "Draft", "Voice"]

log = logging.getLogger(__name__)

Reason = Literal["turn_detected", "client_cancelled"]


@dataclass(frozen=True)
class Apology:
    """What is said when a model fails, and its sound, made while all was well."""

    text: str
    sound: bytes = b""


@dataclass
class Utterance:
    """An answer and how it is told. Without a reply it is a draft, of which nobody knows."""

    answer: Answer
    reply: Reply | None = None
    begun: bool = False
    ended: anyio.Event = field(default_factory=anyio.Event)
    failure: ProviderError | None = None
    usage: ChatUsage | None = None
    reason: Reason = "client_cancelled"


@dataclass(frozen=True)
class Draft:
    """An answer begun in a pause, in case the turn is over: to these words, in this edition."""

    words: str
    edition: int
    utterance: Utterance


@dataclass
class Voice:
    """Says answers. At most one is in the conversation; those out of band run beside it."""

    call: Call
    apology: Apology
    _speaking: Utterance | None = None
    _aside: list[Utterance] = field(default_factory=list)
    has_sounded: bool = False

    @property
    def busy(self) -> bool:
        """Whether an answer is under way in the conversation."""
        return self._speaking is not None and not self._speaking.ended.is_set()

    @property
    def audible(self) -> bool:
        """Whether the caller hears us."""
        return self._speaking is not None and self._speaking.answer.pace.audible

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
        """Do what `response.cancel` asks, or say that there is nothing to cancel."""
        running = [*self._aside, *([self._speaking] if self._speaking and self.busy else [])]
        for utterance in running:
            if utterance.reply and response_id in (utterance.reply.response.id, None):
                utterance.answer.scope.cancel()
                return
        raise ProtocolError("Cancellation failed: no active response found", code="response_cancel_not_active")

    def hold(self) -> None:
        """Send no more sound until it is clear whether the caller interrupts."""
        if self._speaking:
            self._speaking.answer.pace.hold()

    def go_on(self) -> None:
        """It was nothing: go on speaking."""
        if self._speaking:
            self._speaking.answer.pace.release()

    # answering

    async def prepare(self) -> None:
        """Let the chat model read what this conversation begins with. Its failures show in answers."""
        chat, limits = self.call.crew.chat, self.call.limits
        if isinstance(chat, Preparing):
            with anyio.move_on_after(limits.first_word_seconds):
                try:
                    await chat.prepare(self._request(Manner.of(self.call.session), ()))
                except ProviderError as error:
                    log.warning("%s", error)

    def draft(self, words: str, item: Item) -> Draft:
        """Begin quietly to answer what the caller seems to have said."""
        manner = Manner.of(self.call.session)
        items = (*self.call.conversation.messages(), item)
        utterance = Utterance(self._answer(manner, _known(self._request(manner, items))))
        self.call.tasks.start_soon(self._perform, utterance)
        return Draft(words, self.call.edition, utterance)

    def drop(self, draft: Draft | None) -> None:
        """Forget a draft; it leaves no trace."""
        if draft:
            draft.utterance.answer.scope.cancel()

    def release(self, draft: Draft) -> None:
        """The turn is over and the draft was right: say it."""
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
        """Answer `given` items, which are asked for once the answer has begun."""
        if out_of_band and len(self._aside) >= self.call.limits.out_of_band:
            raise ProtocolError(
                f"{len(self._aside)} responses are running out of band (limits.out_of_band); wait.",
                code="rate_limit_exceeded",
            )
        if not out_of_band and self.busy and self._speaking and self._speaking.reply:
            raise ProtocolError(
                f"Conversation already has an active response in progress: {self._speaking.reply.response.id}. "
                "Wait until the response is finished before creating a new one.",
                code="conversation_already_has_active_response",
            )
        manner = Manner.of(self.call.session, params)

        async def ask() -> ChatRequest:
            return self._request(manner, await given())

        utterance = Utterance(self._answer(manner, ask), self._reply(manner, params, out_of_band=out_of_band))
        utterance.answer.released.set()
        if out_of_band:
            self._aside.append(utterance)
        else:
            self._speaking = utterance
        self.call.tasks.start_soon(self._perform, utterance)

    async def _perform(self, utterance: Utterance) -> None:
        """Think, and once released, speak. The line after the `with` is where every answer ends."""
        answer = utterance.answer
        with answer:
            if utterance.reply:  # asked for by name: it is announced, even if it is cancelled at once
                await self._begin(utterance, utterance.reply)
            with answer.scope:
                async with anyio.create_task_group() as thinking:
                    thinking.start_soon(answer.think)
                    await answer.released.wait()
                    await self._tell(utterance)
        if utterance.reply and utterance.begun:
            await self._end(utterance, utterance.reply, cut_short=answer.scope.cancelled_caught)
        utterance.ended.set()

    async def _begin(self, utterance: Utterance, reply: Reply) -> None:
        if not utterance.begun:
            await reply.begin()
            utterance.begun = True

    async def _end(self, utterance: Utterance, reply: Reply, *, cut_short: bool) -> None:
        if utterance in self._aside:
            self._aside.remove(utterance)
        usage, failure = utterance.usage, utterance.failure
        details: StatusDetails | None = None
        if cut_short:
            details, heard = Cancelled(reason=utterance.reason), utterance.answer.pace.heard_ms
            await reply.end("cancelled", details=details, usage=usage, heard_ms=heard)
        elif failure:
            error = FailedError(type="server_error", code="provider_error", message=str(failure))
            await reply.end("failed", details=Failed(error=error), usage=usage)
        elif usage and usage.finish == "length":
            await reply.end("incomplete", details=Incomplete(reason="max_output_tokens"), usage=usage)
        else:
            await reply.end("completed", usage=usage)

    async def _tell(self, utterance: Utterance) -> None:
        if utterance.reply is None:
            raise RuntimeError("an answer is released with a reply")
        await self._begin(utterance, utterance.reply)
        try:
            await self._read_out(utterance, utterance.reply)
        except ProviderError as error:
            utterance.failure = error
            await self._apologise(utterance, utterance.reply)

    async def _read_out(self, utterance: Utterance, reply: Reply) -> None:
        answer, unsaid, said = utterance.answer, "", 0
        async for piece in answer.pieces:
            match piece:
                case Words(text=text):
                    await _say(reply, unsaid[said:])
                    unsaid, said = text, 0
                    if answer.manner.modality == "text":
                        await _say(reply, unsaid)
                        unsaid = ""
                case Mark(chars=chars):
                    until = _word_end(unsaid, chars)
                    await _say(reply, unsaid[said:until])
                    said = max(said, until)
                case bytes():
                    await answer.pace.wait(_seconds(piece))
                    if not said:
                        await _say(reply, unsaid)
                        said = len(unsaid)
                    await reply.sound(piece)
                    self.has_sounded = True
                case ToolCall():
                    await _say(reply, unsaid[said:])
                    unsaid, said = "", 0
                    await reply.call(piece)
                case ChatUsage():
                    utterance.usage = piece
                case ProviderError():
                    raise piece
        await _say(reply, unsaid[said:])

    async def _apologise(self, utterance: Utterance, reply: Reply) -> None:
        await reply.words(self.apology.text)
        if utterance.answer.manner.modality == "text":
            return
        chunk = SPEAKING_RATE // 10 * 2
        for at in range(0, len(self.apology.sound), chunk):
            await utterance.answer.pace.wait(0.1)
            await reply.sound(self.apology.sound[at : at + chunk])

    def _answer(self, manner: Manner, ask: Callable[[], Awaitable[ChatRequest]]) -> Answer:
        return Answer(self.call.crew, ask, manner, self.call.limits)

    def _request(self, manner: Manner, items: Sequence[Item]) -> ChatRequest:
        limit, wish = self.call.limits.output_tokens, manner.max_output_tokens
        return ChatRequest(
            items=items,
            instructions=manner.instructions,
            tools=manner.tools,
            tool_choice=manner.tool_choice,
            max_tokens=limit if wish == "inf" else min(limit, wish),
            spoken=manner.modality == "audio",
        )

    def _reply(self, manner: Manner, params: ResponseParams | None, *, out_of_band: bool = False) -> Reply:
        return Reply(
            self.call.send,
            manner,
            None if out_of_band else self.call.conversation,
            conversation_id=None if out_of_band else self.call.id,
            metadata=(params.metadata or None) if params else None,
        )


def _known(request: ChatRequest) -> Callable[[], Awaitable[ChatRequest]]:
    async def ask() -> ChatRequest:
        return request

    return ask


async def _say(reply: Reply, words: str) -> None:
    if words:
        await reply.words(words)


def _seconds(sound: bytes) -> float:
    return len(sound) / (2 * SPEAKING_RATE)


def _word_end(text: str, at: int) -> int:
    """Return where the word that begins at `at`, and the space behind it, end."""
    end = at
    while end < len(text) and not text[end].isspace():
        end += 1
    while end < len(text) and text[end].isspace():
        end += 1
    return end
