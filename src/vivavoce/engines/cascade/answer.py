"""One answer, thought of in words and said in clauses, ahead of the one who reads it out."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import anyio

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.engines.cascade.context import Providers
from vivavoce.engines.cascade.pacing import Pacing
from vivavoce.engines.cascade.settings import ResponseSettings
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.limits import Limits
from vivavoce.providers.base import ChatRequest, ChatUsage, ToolCall, WordTiming
from vivavoce.text.normalization import speakable
from vivavoce.text.sentences import clauses, pause_after

__all__ = ["Answer", "Failure", "Piece", "Words", "silence", "timely"]

T = TypeVar("T")
_CHUNKS_AHEAD = 48


@dataclass(frozen=True)
class Words:
    """Text of an answer; if it is spoken, its sound follows."""

    text: str


Failure = ProviderError | ProtocolError
"""Why there is no answer: the world failed, or what was asked for cannot be answered."""

Piece = Words | bytes | WordTiming | ToolCall | ChatUsage | Failure


class Answer:
    """Thinks ahead by one clause: what comes of it is read from `pieces`.

    Until it is released it is a *draft*, and goes no further than its first clause. `scope` surrounds all that
    the answer does, thinking and speaking: cancelling it is the only way to cut an answer short.
    """

    def __init__(
        self,
        crew: Providers,
        ask: Callable[[], Awaitable[ChatRequest | None]],
        manner: ResponseSettings,
        limits: Limits,
    ) -> None:
        """Answer what `ask` gives, once it gives it; to None there is nothing to be said."""
        self.manner = manner
        self.scope = anyio.CancelScope()
        self.pace = Pacing(limits.audio_ahead_seconds)
        self.released = anyio.Event()
        self._crew, self._ask, self._limits = crew, ask, limits
        self._thoughts, self.pieces = anyio.create_memory_object_stream[Piece](_CHUNKS_AHEAD)
        self._calls: list[ToolCall] = []
        self._usage: ChatUsage | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thoughts.close()
        self.pieces.close()

    async def think(self) -> None:
        """Ask the chat model and the synthesizer. A failure is the last piece."""
        async with self._thoughts:
            try:
                request = await self._ask()
                if request is None:
                    return
                await (self._speak(request) if self.manner.modality == "audio" else self._write(request))
            except (ProviderError, ProtocolError) as error:
                await self._thoughts.send(error)

    async def _write(self, request: ChatRequest) -> None:
        wrote = False
        async with aclosing(self._words(request)) as words:
            async for word in words:
                wrote = True
                await self._thoughts.send(Words(word))
        await self._conclude(said=wrote)

    async def _speak(self, request: ChatRequest) -> None:
        words_said = sound_made = False
        gap = 0.0
        async with aclosing(self._words(request)) as words, aclosing(clauses(words)) as spoken:
            async for clause in spoken:
                words_said = True
                await self._thoughts.send(Words(clause))
                async with aclosing(self._sound(clause)) as sound:
                    async for chunk in sound:
                        if gap and isinstance(chunk, bytes):
                            await self._thoughts.send(silence(gap / self.manner.speed))
                            gap = 0.0
                        sound_made = sound_made or isinstance(chunk, bytes)
                        await self._thoughts.send(chunk)
                gap = pause_after(clause) if sound_made else 0.0
                await self.released.wait()
        if words_said and not sound_made:
            raise ProviderError("synthesizer", "made no sound")
        await self._conclude(said=words_said)

    async def _conclude(self, *, said: bool) -> None:
        cut_short = self._usage and self._usage.finish != "stop"
        if not said and not self._calls and not cut_short:
            raise ProviderError("chat", "answered nothing")
        for last in (*self._calls, self._usage):
            if last is not None:
                await self._thoughts.send(last)

    async def _words(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        reply = self._crew.chat.reply(request)
        waits = self._limits.first_token_seconds, self._limits.next_token_seconds
        async with aclosing(timely(reply, *waits, provider="chat")) as pieces:
            async for piece in pieces:
                match piece:
                    case str():
                        yield piece
                    case ToolCall() if self._may_call():
                        self._calls.append(piece)
                    case ChatUsage():
                        self._usage = piece

    def _may_call(self) -> bool:
        """Hold a model to what was wished: no tools, or one at a time."""
        return self.manner.tool_choice != "none" and (self.manner.parallel_tool_calls or not self._calls)

    async def _sound(self, clause: str) -> AsyncGenerator[bytes | WordTiming, None]:
        aloud = speakable(clause)
        if not aloud.strip():
            return
        sound = self._crew.synthesizer.speak(aloud, voice=self.manner.voice, speed=self.manner.speed)
        wait = self._limits.first_audio_seconds
        async with aclosing(timely(sound, wait, wait, provider="synthesizer")) as chunks:
            async for chunk in chunks:
                yield (
                    WordTiming(chunk.chars * len(clause) // len(aloud))
                    if isinstance(chunk, WordTiming)
                    else chunk
                )


def silence(seconds: float) -> bytes:
    """Return so much PCM at `OUTPUT_RATE` in which nothing is heard."""
    return bytes(2 * int(seconds * OUTPUT_RATE))


async def timely(
    items: AsyncIterator[T], first: float, later: float, *, provider: str
) -> AsyncGenerator[T, None]:
    """Yield what a provider yields; raise `ProviderError` if it is silent for longer than it may be."""
    seconds = first
    try:
        while True:
            try:
                with anyio.fail_after(seconds):
                    item = await anext(items)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise ProviderError(provider, f"was silent for {seconds:g} s", retryable=True) from error
            yield item
            seconds = later
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()
