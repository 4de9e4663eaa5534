"""One response: generated clause by clause, sent at the pace of speech, and completed or cancelled."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from math import inf
from typing import Literal

import anyio

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.engines.cascade.context import Providers
from vivavoce.engines.cascade.pacing import Pacing
from vivavoce.engines.cascade.response_writer import ResponseWriter
from vivavoce.engines.cascade.settings import ResponseSettings
from vivavoce.errors import ProtocolError, ProviderError, UnknownLanguageError
from vivavoce.limits import Limits
from vivavoce.protocol.responses import (
    Cancelled,
    Failed,
    FailedError,
    Incomplete,
    ResponseStatus,
    StatusDetails,
)
from vivavoce.providers.base import ChatRequest, ChatUsage, LanguageLimited, ToolCall, WordTiming
from vivavoce.text.sentences import Clause, clauses, pause_after

CancelReason = Literal["turn_detected", "client_cancelled"]
Failure = ProviderError | ProtocolError
"""The cause of a failed response: a provider failed, or the request cannot be fulfilled."""
Piece = str | bytes | WordTiming | ToolCall | Failure
"""Text, followed by its audio if it is spoken; at the end tool calls."""

_PIECES_AHEAD = 48
_CHUNK_BYTES = OUTPUT_RATE // 10 * 2
"""size of one audio delta, 100 ms: each can be paused individually"""
_ANSWERED_EARLY = 1.0
"""seconds before the end of a question at which people begin to answer it"""
_QUESTION = re.compile(r"[?？؟][\W_]*$")
_REST_OF_WORD = re.compile(r"\S*\s*")


@dataclass
class Apology:
    """The text that is spoken when a model fails, with its audio, once it was synthesized in advance."""

    text: str
    audio: bytes = b""


@dataclass(frozen=True)
class VerbatimChat:
    """Replaces the chat model for verbatim speech: the reply is always `text`."""

    text: str

    async def reply(self, request: ChatRequest) -> AsyncIterator[str | ChatUsage]:  # noqa: ARG002
        """Yield the text, which costs no tokens."""
        yield self.text
        yield ChatUsage(0, 0)


class ResponseTask:
    """Generates one response ahead of sending it.

    Until it is released, it is a *draft*: it has no writer, the client does not know of it, and no more than
    its first clause is generated. `scope` surrounds generating and sending; only cancelling it ends a response
    early.
    """

    def __init__(
        self,
        providers: Providers,
        limits: Limits,
        settings: ResponseSettings,
        request: Callable[[], Awaitable[ChatRequest]] | None,
        writer: ResponseWriter | None = None,
    ) -> None:
        """Reply to what `request` returns; None means a response without output."""
        self.settings, self.writer = settings, writer
        self.answers: tuple[str, int] | None = None
        """the transcript and the revision that a draft responds to"""
        self.scope = anyio.CancelScope()
        self.pacing = Pacing(limits.audio_ahead_seconds)
        self.released, self.ended = anyio.Event(), anyio.Event()
        self.has_sent_audio = False
        self.cancel_reason: CancelReason = "client_cancelled"
        self._providers, self._limits, self._request = providers, limits, request
        self._generated, self._pieces = anyio.create_memory_object_stream[Piece](_PIECES_AHEAD)
        self._tool_calls: list[ToolCall] = []
        self._usage: ChatUsage | None = None
        self._failure: Failure | None = None
        self._is_speakable = False
        self._question_seconds: float | None = None

    @property
    def asks(self) -> bool:
        """Whether the end of a question is being played, so that a "yes" answers it."""
        if self._question_seconds is None:
            return False
        return self._question_seconds - self.pacing.heard_ms / 1000 <= _ANSWERED_EARLY

    # running

    async def run(self, apology: Apology) -> bool:
        """Generate, and once released, send. Return whether it was started, and must be finished.

        If generating fails, the apology follows.
        """
        with self._generated, self._pieces:
            if self.writer:  # asked for explicitly: it is started, even if it is cancelled at once
                await self.writer.start()
            with self.scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._generate, apology)
                    await self.released.wait()
                    if self.writer is None:
                        raise RuntimeError("a response is released with a writer")
                    await self.writer.start()
                    await self._send(self.writer)
        return self.writer is not None and self.writer.is_started

    async def finish(self) -> int:
        """Close the response in its current state; return its number of tokens."""
        if self.writer is None:
            return 0
        cut_short = self.scope.cancelled_caught
        status, details = self._outcome(cut_short=cut_short)
        heard_ms = self.pacing.heard_ms if cut_short else inf
        return await self.writer.finish(status, details=details, usage=self._usage, heard_ms=heard_ms)

    def _outcome(self, *, cut_short: bool) -> tuple[ResponseStatus, StatusDetails | None]:
        if cut_short:
            return "cancelled", Cancelled(reason=self.cancel_reason)
        match self._failure:
            case UnknownLanguageError():  # the caller was told, which is all that could be done
                return "completed", None
            case ProtocolError() as error:
                failed = FailedError(type="invalid_request_error", code=error.code, message=error.message)
                return "failed", Failed(error=failed)
            case ProviderError() as error:
                failed = FailedError(type="server_error", code="provider_error", message=str(error))
                return "failed", Failed(error=failed)
        if not self._usage or self._usage.finish == "stop":
            return "completed", None
        limited = self._usage.finish == "length"
        return "incomplete", Incomplete(reason="max_output_tokens" if limited else "content_filter")

    # generating

    async def _generate(self, apology: Apology) -> None:
        """Call the chat model and the synthesizer. A failure is followed by the apology."""
        async with self._generated:
            if self._request is None:
                return
            try:
                request = await self._read_request(self._request)
                has_text = await self._generate_text(request)
                cut_short = self._usage and self._usage.finish != "stop"
                if not has_text and not self._tool_calls and not cut_short:
                    raise ProviderError("chat", "answered nothing")
                for call in self._tool_calls:
                    await self._generated.send(call)
            except (ProviderError, ProtocolError) as error:
                await self._generated.send(error)
                if self.settings.modality == "audio":  # written words stay as they are
                    await self._generated.send(apology.text)
                    await self._generated.send(apology.audio)

    async def _read_request(self, read: Callable[[], Awaitable[ChatRequest]]) -> ChatRequest:
        """Return the request; if the caller's language is unknown, one that is answered by saying so."""
        try:
            return await read()
        except UnknownLanguageError as error:
            await self._generated.send(error)
            synthesizer = self._providers.synthesizer
            is_limited = isinstance(synthesizer, LanguageLimited) and self.settings.modality == "audio"
            words = error.words if is_limited else f"{error.own_words} {error.words}".lstrip()
            self._providers = replace(self._providers, chat=VerbatimChat(words))
            return ChatRequest(())

    async def _generate_text(self, request: ChatRequest) -> bool:
        """Generate the text, clause by clause with its audio if it is spoken; return whether there was any."""
        has_text = has_audio = False
        gap, seconds, last, spoken = 0.0, 0.0, "", self.settings.modality == "audio"
        words = self._text(request)
        async with aclosing(words), aclosing(clauses(words) if spoken else words) as pieces:
            async for piece in pieces:
                text = piece.text if isinstance(piece, Clause) else piece
                has_text = has_text or bool(text.strip())
                if not has_text:  # some models begin with blanks, and then call a tool
                    continue
                await self._generated.send(text)
                if not isinstance(piece, Clause):
                    continue
                async with aclosing(self._audio(piece)) as audio:
                    async for chunk in audio:
                        if gap and isinstance(chunk, bytes):
                            await self._generated.send(silence(gap / self.settings.speed))
                            seconds, gap = seconds + gap / self.settings.speed, 0.0
                        if isinstance(chunk, bytes):
                            has_audio, seconds = True, seconds + len(chunk) / (2 * OUTPUT_RATE)
                        await self._generated.send(chunk)
                if piece.spoken.words:  # an emoji after it changes neither
                    gap, last = pause_after(text) if has_audio else 0.0, text
                await self.released.wait()
        if _QUESTION.search(last):
            self._question_seconds = seconds
        if self._is_speakable and not has_audio:
            raise ProviderError("synthesizer", "made no sound")
        return has_text

    async def _text(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        async with aclosing(self._providers.reply(request, self._limits)) as pieces:
            async for piece in pieces:
                match piece:
                    case str():
                        yield piece
                    case ToolCall() if self._may_call():
                        self._tool_calls.append(piece)
                    case ChatUsage():
                        self._usage = piece

    def _may_call(self) -> bool:
        """Whether another call is allowed, since models do not always respect the settings."""
        settings = self.settings
        return settings.tool_choice != "none" and (settings.parallel_tool_calls or not self._tool_calls)

    async def _audio(self, clause: Clause) -> AsyncGenerator[bytes | WordTiming, None]:
        spoken, settings = clause.spoken, self.settings
        if not spoken.words:
            return
        self._is_speakable = True
        audio = self._providers.synthesize(
            spoken.words, self._limits, voice=settings.voice, speed=settings.speed
        )
        async with aclosing(audio) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, WordTiming):  # it counts the characters of the normalized text
                    chunk = WordTiming(spoken.written(chunk.chars))
                yield chunk

    # sending

    async def _send(self, writer: ResponseWriter) -> None:
        """Send text just before its audio; within a clause word by word, if the timings are known."""
        clause, sent = "", 0
        async for piece in self._pieces:
            match piece:
                case str() if self.settings.modality == "text":
                    await writer.write_text(piece)
                case str():
                    await writer.write_text(clause[sent:])
                    clause, sent = piece, 0
                case WordTiming(chars=chars):
                    end = _end_of_word(clause, chars)
                    await writer.write_text(clause[sent:end])
                    sent = max(sent, end)
                case bytes():
                    for at in range(0, len(piece), _CHUNK_BYTES):
                        chunk = piece[at : at + _CHUNK_BYTES]
                        await self.pacing.wait(len(chunk) / (2 * OUTPUT_RATE))
                        if not sent:
                            await writer.write_text(clause)
                            sent = len(clause)
                        self.has_sent_audio = True
                        await writer.write_audio(chunk)
                case ToolCall():
                    await writer.write_text(clause[sent:])
                    clause, sent = "", 0
                    await writer.write_tool_call(piece)
                case ProviderError() | ProtocolError():
                    await writer.begin_apology()
                    clause, sent, self._failure = "", 0, piece  # words whose audio is missing are not sent
        await writer.write_text(clause[sent:])


def silence(seconds: float) -> bytes:
    """Return silence as PCM at `OUTPUT_RATE`."""
    return bytes(2 * int(seconds * OUTPUT_RATE))


def _end_of_word(text: str, at: int) -> int:
    """Return the end of the word that begins at `at`, including the space after it."""
    word = _REST_OF_WORD.match(text, at)
    return word.end() if word else at
