"""What both halves of a conversation share: who works on it, what has been said, how it is to be held."""

from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from vivavoce.conversation import Conversation
from vivavoce.errors import ProviderError
from vivavoce.limits import Limits
from vivavoce.line import Line
from vivavoce.protocol.events import ServerEvent, new_id
from vivavoce.protocol.session import Session
from vivavoce.providers import ChatModel, Synthesizer, Transcriber, Transcript, TurnDetector, VoiceActivityModel

__all__ = ["Call", "Crew"]


@dataclass(frozen=True)
class Crew:
    """The models at work, shared by all conversations. Without a turn detector, words and silence decide."""

    vad: VoiceActivityModel
    transcriber: Transcriber
    chat: ChatModel
    synthesizer: Synthesizer
    turn: TurnDetector | None = None

    async def transcribe(
        self, sound: bytes, *, seconds: float, language: str | None = None, prompt: str | None = None
    ) -> Transcript:
        """Ask the transcriber. Raises `ProviderError` if it fails, or takes longer than so many seconds."""
        try:
            with anyio.fail_after(seconds):
                return await self.transcriber.transcribe(sound, language=language, prompt=prompt)
        except TimeoutError as error:
            message = f"no answer within {seconds:g} s (limits.transcribe_seconds)"
            raise ProviderError("transcriber", message, retryable=True) from error


@dataclass
class Call:
    """One conversation under way. `tasks` is where all its work is done; hanging up ends them all."""

    line: Line
    crew: Crew
    limits: Limits
    session: Session
    tasks: TaskGroup
    id: str = field(default_factory=lambda: new_id("conv"))
    conversation: Conversation = field(default_factory=Conversation)
    edition: int = 0
    """goes up whenever the client changes what an answer is made from; older drafts are then dropped"""

    async def send(self, event: ServerEvent) -> None:
        """Say an event, and remember what it says."""
        self.conversation.apply(event)
        await self.line.send(event)
