"""Yes or no: what a caller is asked before a tool does what cannot be undone, and what they say to it. Pure."""

import re
from dataclasses import dataclass, field
from string import Formatter
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputAudio, Message
from vivavoce.protocol.responses import METADATA_CHARS, VERBATIM, Cancelled, Response, verbatim
from vivavoce.protocol.session import (
    InputSettings,
    ServerVad,
    Session,
    SessionAudio,
    TranscriptionSession,
    TranscriptionSettings,
    TurnDetection,
)
from vivavoce.providers import dialogue
from vivavoce.text.yes_no import judge_answer, plain_words
from vivavoce.tools.turn_state import turn_detection
from vivavoce.tools.types import Tool, ToolError

__all__ = ["Question", "Verdict", "all_ears", "question", "says_how_to_hear"]

_VALUE_CHARS = 80
_TRANSCRIBER = "whisper-1"
"""A far end must be told which model writes down what is said; every one has this one. Ours has its own."""

Verdict = Literal["yes", "no", "unclear"]


# the question


def question(tool: Tool, arguments: str) -> str:
    """Return what the caller is asked. Raises `ToolError` if the arguments leave open what it is about.

    The values are the model's, which may have been talked into anything: none is long enough to tell a story,
    or ends the sentence to begin another.
    """
    values = _values(arguments)
    required = tool.parameters.get("required")
    words = ""
    for text, name, _, _ in Formatter().parse(tool.confirm):
        words += text
        if name is None:
            continue
        if values.get(name) is None and isinstance(required, list) and name in required:
            raise ToolError(f"The argument {name!r} is missing. Ask the caller, then call again.")
        words += _spoken(values.get(name))
    words = re.sub(r"\s+(?=[?!.,]|$)", "", " ".join(words.split()))
    if len(words) > METADATA_CHARS:
        raise ToolError(f"The question would have {len(words)} characters; there may be {METADATA_CHARS}.")
    return words


def _values(arguments: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(arguments or "{}", type=dict[str, object])
    except msgspec.MsgspecError as error:
        raise ToolError(f"The arguments are not a JSON object: {error}") from error


def _spoken(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            text = value
        case _:
            text = msgspec.json.encode(value).decode()
    if len(text) > _VALUE_CHARS:
        raise ToolError(f"An argument has {len(text)} characters; what is asked about may have {_VALUE_CHARS}.")
    return re.sub(r"[.!?;:…。！？]+(?=\s|$)", ",", " ".join(text.split())).rstrip(", ")


# the answer


@dataclass
class Question:
    """One question, put to the caller once. Told all that passes, it comes to a verdict.

    A yes counts only if the question was said whole, in just these words, before the caller began to say it: an
    engine at the far end may say something else, and a client tells how much was heard. A no counts always.
    """

    words: str
    language: str | None = None
    asks: e.ResponseCreate = field(init=False)
    verdict: Verdict | None = None
    is_typed: bool = False
    _response_id: str | None = None
    _item_id: str | None = None
    _said: bool = False
    _heard_whole: dict[str, bool | None] = field(default_factory=dict)
    """of what the caller says: whether they had heard the question; None is about something else"""

    def __post_init__(self) -> None:
        self.asks = e.ResponseCreate(event_id=e.new_id("event"), response=verbatim(self.words))

    def hear(self, event: e.Event) -> None:
        """Hear what the server says."""
        match event:
            case e.ErrorEvent(error=error) if error.event_id == self.asks.event_id:
                self.verdict = "unclear"
            case e.ResponseCreated(response=response) if self._is_this(response):
                self._response_id = response.id
            case e.ResponseDone(response=response) if response.id == self._response_id:
                self._is_over(response)
            case e.ConversationItemTruncated(item_id=item_id) if item_id == self._item_id:
                self._said = False
                self._heard_whole |= {item: False for item, whole in self._heard_whole.items() if whole}
            case e.InputAudioBufferSpeechStarted(item_id=item_id):
                self._begins(item_id)
            case e.ConversationItemAdded(item=Message(id=str(item_id), role="user") as item):
                self._begins(item_id)
                self._read(item_id, item)
            case e.TranscriptionCompleted(item_id=item_id, transcript=text):
                self._judge(item_id, text)
            case e.TranscriptionFailed(item_id=item_id) if self._heard_whole.get(item_id) is not None:
                self.verdict = self.verdict or "unclear"

    def _is_this(self, response: Response) -> bool:
        return (response.metadata or {}).get(VERBATIM) == self.words

    def _is_over(self, response: Response) -> None:
        message = next((item for item in response.output if isinstance(item, Message)), None)
        self._item_id = (message.id or None) if message else None
        heard = plain_words(dialogue.content_text(message.content)) if message else []
        self._said = response.status == "completed" and heard == plain_words(self.words)
        details = response.status_details
        interrupted = isinstance(details, Cancelled) and details.reason == "turn_detected"
        if not self._said and not interrupted:  # who interrupts has something to say
            self.verdict = self.verdict or "unclear"

    def _begins(self, item_id: str) -> None:
        self._heard_whole.setdefault(item_id, self._said if self._response_id else None)

    def _read(self, item_id: str, item: Message) -> None:
        """Judge what is written, or what was said if its words are known already."""
        if any(isinstance(part, InputAudio) and not part.transcript for part in item.content):
            return
        self.is_typed = True
        self._judge(item_id, dialogue.content_text(item.content))

    def _judge(self, item_id: str, text: str) -> None:
        heard_whole = self._heard_whole.get(item_id)
        if heard_whole is None or self.verdict:
            return
        answer = judge_answer(text, self.language, question=self.words)
        if answer is False:
            self.verdict = "no"
        elif answer and heard_whole:
            self.verdict = "yes"
        elif text.strip() or not heard_whole:  # of nothing said to a whole question nothing follows
            self.verdict = "unclear"


# how to hear it


def all_ears(session: Session | TranscriptionSession | None) -> tuple[Session, Session] | None:
    """Return how a session is to change while an answer is awaited, and back; None if it is so already.

    What the caller says is written down, and the engine answers nothing by itself.
    """
    turns, words = turn_detection(session), _transcription(session)
    change, back = InputSettings(), InputSettings()
    if turns is not None and turns != _unanswered(turns):
        change = replace(change, turn_detection=_unanswered(turns))
        back = replace(back, turn_detection=replace(turns, create_response=turns.create_response is not False))
    if not words:
        change = replace(change, transcription=TranscriptionSettings(model=_TRANSCRIBER))
        back = replace(back, transcription=None)
    if change == InputSettings():
        return None
    return Session(audio=SessionAudio(input=change)), Session(audio=SessionAudio(input=back))


def _unanswered(turns: TurnDetection) -> TurnDetection:
    """Return how to find turns, and neither answer them nor a silence."""
    turns = replace(turns, create_response=False)
    if isinstance(turns, ServerVad) and turns.idle_timeout_ms:
        turns = replace(turns, idle_timeout_ms=None)
    return turns


def _transcription(
    session: Session | TranscriptionSession | None,
) -> TranscriptionSettings | UnsetType | None:
    audio = session.audio if session else UNSET
    return audio.input.transcription if audio and audio.input else UNSET


def language(session: Session | TranscriptionSession | None) -> str | None:
    """Return the language that a caller is known to speak."""
    words = _transcription(session)
    return (words.language or None) if words else None


def says_how_to_hear(session: Session | TranscriptionSession) -> bool:
    """Say whether an update would change what is heard while an answer is awaited."""
    settings = session.audio.input if session.audio else UNSET
    return isinstance(settings, InputSettings) and (settings.turn_detection, settings.transcription) != (
        UNSET,
        UNSET,
    )
