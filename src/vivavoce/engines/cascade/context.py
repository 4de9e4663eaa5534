"""What both halves of a conversation share: who works on it, what has been said, how it is to be held."""

from dataclasses import dataclass, field
from functools import cached_property

from anyio.abc import TaskGroup

from vivavoce.engines.cascade.transcriber_queue import TranscriberQueue
from vivavoce.limits import Limits
from vivavoce.protocol.events import ServerEvent, new_id
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.protocol.tools import without_secrets
from vivavoce.providers.base import (
    ChatModel,
    DenoisingModel,
    Synthesizer,
    Transcriber,
    Transcript,
    TurnDetector,
    VoiceActivityModel,
)
from vivavoce.session.conversation import Conversation
from vivavoce.session.item_audio import ItemAudio
from vivavoce.session.line import Line

__all__ = ["CascadeContext", "Providers"]


@dataclass(frozen=True)
class Providers:
    """The models at work, shared by all conversations. Without a turn detector, words and silence decide."""

    vad: VoiceActivityModel
    transcriber: Transcriber
    chat: ChatModel
    synthesizer: Synthesizer
    turn: TurnDetector | None = None
    denoiser: DenoisingModel | None = None
    chat_is: str = "this chat model"
    """how the chat model is called in errors"""

    @cached_property
    def desk(self) -> TranscriberQueue:
        """Where all conversations ask the transcriber."""
        return TranscriberQueue(self.transcriber)

    async def transcribe(
        self, sound: bytes, *, seconds: float, language: str | None = None, prompt: str | None = None
    ) -> Transcript:
        """Ask the transcriber. Raises `ProviderError` if it fails, or takes longer than so many seconds."""
        return await self.desk.transcribe(sound, seconds=seconds, language=language, prompt=prompt)


@dataclass
class CascadeContext:
    """One conversation under way. `tasks` is where all its work is done; hanging up ends them all."""

    line: Line
    crew: Providers
    limits: Limits
    session: Session
    tasks: TaskGroup
    transcription: TranscriptionSession | None = None
    """set if it only writes down: this is how, nobody answers, and `session` is what it would be otherwise"""
    id: str = field(default_factory=lambda: new_id("conv"))
    conversation: Conversation = field(default_factory=Conversation)
    sounds: ItemAudio = field(init=False)
    edition: int = 0
    """goes up whenever the client changes what an answer is made from; older drafts are then dropped"""

    def __post_init__(self) -> None:
        self.sounds = ItemAudio(self.limits.item_audio_seconds)

    @property
    def held(self) -> Session | TranscriptionSession:
        """How it is held, as the client is told."""
        return self.transcription or without_secrets(self.session)

    async def send(self, event: ServerEvent) -> None:
        """Say an event, and remember what it says."""
        self.conversation.apply(event)
        await self.line.send(event)
