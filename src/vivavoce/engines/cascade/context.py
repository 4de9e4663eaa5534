"""The providers that all conversations share, and the state of one conversation."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import anyio
from anyio.abc import TaskGroup

from vivavoce.engines.cascade.notes import Notes
from vivavoce.errors import ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol.events import ConversationItemAdded, ConversationItemDone, ServerEvent, new_id
from vivavoce.protocol.items import Item
from vivavoce.protocol.session import (
    InputSettings,
    Session,
    SessionAudio,
    TranscriptionAudio,
    TranscriptionSession,
)
from vivavoce.protocol.tools import without_secrets
from vivavoce.protocol.validation import invalid
from vivavoce.providers.base import (
    ChatModel,
    ChatRequest,
    ChatUsage,
    DenoisingModel,
    LanguageLimited,
    SupportsOptions,
    SupportsPartials,
    Synthesizer,
    ToolCall,
    Transcriber,
    Transcript,
    TurnDetector,
    VoiceActivityModel,
    WordTiming,
)
from vivavoce.session.conversation import Conversation
from vivavoce.session.item_audio import ItemAudio
from vivavoce.session.line import Line
from vivavoce.text.languages import language_code, language_name, same_language

T = TypeVar("T")


@dataclass(frozen=True)
class Providers:
    """The providers, shared by all conversations. Without a turn detector, words and silence end turns."""

    vad: VoiceActivityModel
    transcriber: Transcriber
    chat: ChatModel
    synthesizer: Synthesizer
    turn: TurnDetector | None = None
    denoiser: DenoisingModel | None = None
    chat_name: str = "this chat model"
    """the chat model's name in errors"""

    @cached_property
    def transcriber_queue(self) -> "TranscriberQueue":
        """The queue in which all conversations use the transcriber."""
        return TranscriberQueue(self.transcriber)

    def reply(self, request: ChatRequest, limits: Limits) -> AsyncGenerator[str | ToolCall | ChatUsage, None]:
        """Call the chat model. Raises `ProviderError` if it fails or a token takes too long.

        Reading a long request may take `limits.reading_seconds`, as long as the model reports progress.
        """
        latest, reading = anyio.current_time() + limits.reading_seconds, anyio.CancelScope()
        first = Timeout(limits.first_token_seconds, "first_token_seconds, limits.reading_seconds", reading)

        def on_progress() -> None:
            reading.deadline = max(reading.deadline, min(latest, anyio.current_time() + first.seconds))

        reply = self.chat.reply(replace(request, on_progress=on_progress))
        return _with_timeouts(
            reply, first, Timeout(limits.next_token_seconds, "next_token_seconds"), provider="chat"
        )

    def synthesize(
        self, text: str, limits: Limits, *, voice: str | None, speed: float
    ) -> AsyncGenerator[bytes | WordTiming, None]:
        """Call the synthesizer. Raises `ProviderError` if it fails or a chunk takes too long."""
        audio = self.synthesizer.speak(text, voice=voice, speed=speed)
        timeout = Timeout(limits.first_audio_seconds, "first_audio_seconds")
        return _with_timeouts(audio, timeout, timeout, provider="synthesizer")


class Timeout(NamedTuple):
    """The time that an item may take, the limit that says so, and a scope whose deadline may be postponed."""

    seconds: float
    limit: str
    scope: anyio.CancelScope | None = None


async def _with_timeouts(
    items: AsyncIterator[T], first: Timeout, later: Timeout, *, provider: str
) -> AsyncGenerator[T, None]:
    """Yield a provider's items; raise `ProviderError` if one takes longer than its timeout."""
    timeout = first
    try:
        while True:
            scope = timeout.scope or anyio.CancelScope()
            scope.deadline = anyio.current_time() + timeout.seconds
            try:
                with scope:
                    item = await anext(items)
            except StopAsyncIteration:
                return
            if scope.cancelled_caught:
                message = f"was silent for too long (limits.{timeout.limit})"
                raise ProviderError(provider, message, retryable=True)
            yield item
            timeout = later
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()


@dataclass
class TranscriberQueue:
    """One transcriber, shared by all conversations. Whole turns take precedence over partial transcripts."""

    transcriber: Transcriber
    _running: int = 0
    _partial: anyio.CancelScope | None = None

    @property
    def supports_partials(self) -> bool:
        """Whether the transcriber may be used for partial transcripts."""
        return isinstance(self.transcriber, SupportsPartials) and self.transcriber.supports_partials

    @property
    def supported_options(self) -> Collection[str]:
        """The optional arguments that the transcriber takes."""
        one = self.transcriber
        return one.supported_options if isinstance(one, SupportsOptions) else ("prompt",)

    def check_session(self, update: Session | TranscriptionSession) -> None:
        """Raise `ProtocolError` if the transcriber knows none of the languages in a client's settings."""
        audio: SessionAudio | TranscriptionAudio = update.audio or SessionAudio()
        if settings := (audio.input or InputSettings()).transcription:
            param = "session.audio.input.transcription"
            self.check_languages([settings.language or ""], f"{param}.language")
            self.check_languages(settings.languages or (), f"{param}.languages")

    def check_languages(self, languages: Iterable[str], param: str) -> None:
        """Raise `ProtocolError` if the transcriber knows none of these languages; `param` names them."""
        asked = [language_code(language) for language in languages if language]
        if not asked or not isinstance(self.transcriber, LanguageLimited):
            return
        known = self.transcriber.languages
        if not any(same_language(code, one) for code in asked for one in known):
            names = " and ".join(f"{language_name(code)} ({code})" for code in known)
            raise invalid(
                param,
                f"the transcriber of this server knows {names} only, not {language_name(asked[0])}; "
                "[transcriber] of its settings chooses another.",
            )

    async def transcribe(
        self,
        audio: bytes,
        *,
        seconds: float,
        language: str | None = None,
        prompt: str | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> Transcript:
        """Transcribe PCM at `INPUT_RATE`, with further arguments that the transcriber supports.

        Raises `ProviderError` if that fails or takes more than `seconds`.
        """
        self._running += 1
        if self._partial:
            self._partial.cancel()
        try:
            with anyio.fail_after(seconds):
                return await self.transcriber.transcribe(audio, language=language, prompt=prompt, **options)
        except TimeoutError as error:
            message = f"no answer within {seconds:g} s (limits.transcription_seconds)"
            raise ProviderError("transcriber", message, retryable=True) from error
        finally:
            self._running -= 1

    async def transcribe_partial(
        self, audio: bytes, *, seconds: float, language: str | None = None, prompt: str | None = None
    ) -> Transcript | None:
        """Transcribe a turn so far; return None if the transcriber is busy, or is needed for a whole turn.

        Raises `ProviderError` if it fails.
        """
        if self._running or self._partial:
            return None
        with anyio.move_on_after(seconds) as self._partial:
            try:
                return await self.transcriber.transcribe(audio, language=language, prompt=prompt)
            finally:
                self._partial = None
        return None


@dataclass
class CascadeContext:
    """One conversation in progress. All its work runs in `tasks`; hanging up ends them all."""

    line: Line
    providers: Providers
    limits: Limits
    session: Session
    tasks: TaskGroup
    transcription: TranscriptionSession | None = None
    """set if the session only transcribes; `session` is then what it would be otherwise"""
    id: str = field(default_factory=lambda: new_id("conv"))
    conversation: Conversation = field(default_factory=Conversation)
    notes: Notes = field(init=False)
    item_audio: ItemAudio = field(init=False)
    revision: int = 0
    """incremented when the client changes what a response is made from; older drafts are then discarded"""

    def __post_init__(self) -> None:
        self.item_audio = ItemAudio(self.limits.item_audio_seconds)
        self.notes = Notes(self.limits.summary_chars)

    @property
    def client_session(self) -> Session | TranscriptionSession:
        """The session that is sent to the client."""
        return self.transcription or without_secrets(self.session)

    def messages(self) -> tuple[Item, ...]:
        """Return the conversation as the chat model reads it."""
        return self.notes.with_notes(self.conversation.messages())

    async def add_item(self, item: Item, previous_id: str | None) -> None:
        """Send an item that is complete at once, inserted after `previous_id`; None is the start."""
        await self.send(ConversationItemAdded(item=item, previous_item_id=previous_id))
        await self.send(ConversationItemDone(item=item, previous_item_id=previous_id))

    async def send(self, event: ServerEvent) -> None:
        """Apply an event to the conversation, and send it."""
        self.conversation.apply(event)
        await self.line.send(event)
