"""An answer on its way out: announced, read out at the pace of speech, closed, or cut short."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import anyio

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.engines.cascade.answer import Answer, Failure, Words
from vivavoce.engines.cascade.response_writer import ResponseWriter
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.protocol.responses import (
    Cancelled,
    Failed,
    FailedError,
    Incomplete,
    ResponseStatus,
    StatusDetails,
)
from vivavoce.providers.base import ChatUsage, ToolCall, WordTiming

__all__ = ["Apology", "Reason", "ResponseTask"]

Reason = Literal["turn_detected", "client_cancelled"]

_CHUNK = OUTPUT_RATE // 10 * 2
"""Bytes of sound that go at a time: 100 ms."""


@dataclass(frozen=True)
class Apology:
    """What is said when a model fails, and its sound, made while all was well."""

    text: str
    sound: bytes = b""


@dataclass
class ResponseTask:
    """An answer and how it is told. Without a reply it is a draft, of which nobody knows."""

    answer: Answer
    reply: ResponseWriter | None = None
    begun: bool = False
    has_sounded: bool = False
    ended: anyio.Event = field(default_factory=anyio.Event)
    failure: Failure | None = None
    usage: ChatUsage | None = None
    reason: Reason = "client_cancelled"

    @property
    def _reply(self) -> ResponseWriter:
        if self.reply is None:
            raise RuntimeError("an answer is released with a reply")
        return self.reply

    async def begin(self) -> None:
        """Announce the answer, once."""
        if not self.begun:
            await self._reply.begin()
            self.begun = True

    async def tell(self, apology: Apology) -> None:
        """Read out what is thought of. If that fails, apologise."""
        await self.begin()
        try:
            await self._read_out(self._reply)
        except (ProviderError, ProtocolError) as error:
            self.failure = error
            await self._apologise(self._reply, apology)

    async def end(self, *, cut_short: bool) -> int:
        """Close the answer, one way or another; return how many tokens it cost."""
        reply, heard = self._reply, self.answer.pace.heard_ms if cut_short else None
        status, details = self._outcome(cut_short=cut_short)
        await reply.end(status, details=details, usage=self.usage, heard_ms=heard)
        return reply.response.usage.total_tokens if reply.response.usage else 0

    def _outcome(self, *, cut_short: bool) -> tuple[ResponseStatus, StatusDetails | None]:
        if cut_short:
            return "cancelled", Cancelled(reason=self.reason)
        if self.failure:
            return "failed", Failed(error=_told(self.failure))
        match self.usage:
            case ChatUsage(finish="length"):
                return "incomplete", Incomplete(reason="max_output_tokens")
            case ChatUsage(finish="content_filter"):
                return "incomplete", Incomplete(reason="content_filter")
            case _:
                return "completed", None

    async def _read_out(self, reply: ResponseWriter) -> None:
        answer, unsaid, said = self.answer, "", 0
        async for piece in answer.pieces:
            match piece:
                case Words(text=text):
                    await _say(reply, unsaid[said:])
                    unsaid, said = text, 0
                    if answer.manner.modality == "text":
                        await _say(reply, unsaid)
                        unsaid = ""
                case WordTiming(chars=chars):
                    until = _word_end(unsaid, chars)
                    await _say(reply, unsaid[said:until])
                    said = max(said, until)
                case bytes():
                    for chunk in _chunks(piece):
                        await answer.pace.wait(_seconds(chunk))
                        if not said:
                            await _say(reply, unsaid)
                            said = len(unsaid)
                        self.has_sounded = True
                        await reply.sound(chunk)
                case ToolCall():
                    await _say(reply, unsaid[said:])
                    unsaid, said = "", 0
                    await reply.call(piece)
                case ChatUsage():
                    self.usage = piece
                case ProviderError() | ProtocolError():
                    raise piece
        await _say(reply, unsaid[said:])

    async def _apologise(self, reply: ResponseWriter, apology: Apology) -> None:
        await reply.words(apology.text)
        if self.answer.manner.modality == "text":
            return
        for chunk in _chunks(apology.sound):
            await self.answer.pace.wait(_seconds(chunk))
            await reply.sound(chunk)


def _told(failure: Failure) -> FailedError:
    """Say whose fault it is that there is no answer."""
    if isinstance(failure, ProtocolError):
        return FailedError(type="invalid_request_error", code=failure.code, message=failure.message)
    return FailedError(type="server_error", code="provider_error", message=str(failure))


async def _say(reply: ResponseWriter, words: str) -> None:
    if words:
        await reply.words(words)


def _chunks(sound: bytes) -> Iterator[bytes]:
    """Cut sound into pieces that can be sent, and held back, one by one."""
    return (sound[at : at + _CHUNK] for at in range(0, len(sound), _CHUNK))


def _seconds(sound: bytes) -> float:
    return len(sound) / (2 * OUTPUT_RATE)


def _word_end(text: str, at: int) -> int:
    """Return where the word that begins at `at`, and the space behind it, end."""
    end = at
    while end < len(text) and not text[end].isspace():
        end += 1
    while end < len(text) and text[end].isspace():
        end += 1
    return end
