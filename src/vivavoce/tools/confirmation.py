"""Confirmation: before a tool with `confirm` is called, the caller is asked a fixed question.

The answer is judged by code, not by a model, so that no prompt injection can skip the question.
"""

import logging
import re
from dataclasses import dataclass, field
from string import Formatter
from typing import Literal

import anyio
import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputAudio, Message
from vivavoce.protocol.responses import METADATA_CHARS, VERBATIM, Cancelled, Response, verbatim
from vivavoce.protocol.session import (
    AnySession,
    InputSettings,
    ServerVad,
    Session,
    SessionAudio,
    TranscriptionSettings,
    TurnDetection,
    input_settings,
)
from vivavoce.providers import dialogue
from vivavoce.session.middleware import SessionHandle
from vivavoce.text.yes_no import judge_answer, plain_words
from vivavoce.tools.speech_queue import Notifier
from vivavoce.tools.turn_state import TurnState, turn_detection
from vivavoce.tools.types import Tool, ToolError, decode_arguments

log = logging.getLogger(__name__)

_VALUE_CHARS = 80
_TRANSCRIBER = "whisper-1"
"""An upstream server requires the name of a transcription model; all know this one. Our engine ignores it."""
_ATTEMPTS = 2
"""how often a question is asked, until the answer is clear"""
_QUESTIONS = 3
"""calls that may wait for confirmation at once; a caller could not keep more of them apart"""
_UPDATES = 16
"""`session.update` events that are held back during a question; further ones are passed on"""
_UPDATE_SECONDS = 1.0
_TYPED_SECONDS = 0.5
"""wait for the `response.create` that a client sends right after a typed message"""

Verdict = Literal["yes", "no", "unclear"]


def format_question(tool: Tool, arguments: str) -> str:
    """Return the question of `tool.confirm`, with the arguments' values filled in.

    The values come from the model and may be the result of a prompt injection: they are limited in length, and
    cannot end the sentence to begin another. Raises `ToolError` if a required argument is missing or too long.
    """
    values = decode_arguments(arguments, dict[str, object])
    required = tool.parameters.get("required")
    words = ""
    for text, name, _, _ in Formatter().parse(tool.confirm):
        words += text
        if name is None:
            continue
        if values.get(name) is None and isinstance(required, list) and name in required:
            raise ToolError(f"The argument {name!r} is missing. Ask the caller, then call again.")
        words += _format_value(values.get(name))
    words = re.sub(r"\s+(?=[?!.,]|$)", "", " ".join(words.split()))
    if len(words) > METADATA_CHARS:
        raise ToolError(f"The question would have {len(words)} characters; there may be {METADATA_CHARS}.")
    return words


def _format_value(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if len(text) > _VALUE_CHARS:
        raise ToolError(f"An argument has {len(text)} characters; what is asked about may have {_VALUE_CHARS}.")
    return re.sub(r"[.!?;:…。！？]+(?=\s|$)", ",", " ".join(text.split())).rstrip(", ")


@dataclass
class Question:
    """One question, asked once, and the verdict that follows from the server's events.

    A yes counts only if the question was played completely, in exactly these words, before the caller began to
    answer: an upstream server may have said something else, and a client may have truncated it. A no always
    counts.
    """

    words: str
    language: str | None = None
    request: e.ResponseCreate = field(init=False)
    verdict: Verdict | None = None
    is_typed: bool = False
    is_asked: bool = False
    """whether its `request` was sent"""
    _response_id: str | None = None
    _item_id: str | None = None
    _is_spoken: bool = False
    _after_question: dict[str, bool | None] = field(default_factory=dict)
    """by user item: whether it began after the complete question; None if before the question's response"""

    def __post_init__(self) -> None:
        self.request = e.ResponseCreate(event_id=e.new_id("event"), response=verbatim(self.words))

    def on_event(self, event: e.Event) -> None:
        """Process a server event."""
        match event:
            case e.ErrorEvent(error=error) if error.event_id == self.request.event_id:
                self.verdict = "unclear"
            case e.ResponseCreated(response=response) if (response.metadata or {}).get(VERBATIM) == self.words:
                self._response_id = response.id
            case e.ResponseDone(response=response) if response.id == self._response_id:
                self._on_spoken(response)
            case e.ConversationItemTruncated(item_id=item_id) if item_id == self._item_id:
                self._is_spoken = False
                self._after_question |= {item: False for item, whole in self._after_question.items() if whole}
            case e.InputAudioBufferSpeechStarted(item_id=item_id):
                self._begin_answer(item_id)
            case e.ConversationItemAdded(item=Message(id=str(item_id), role="user") as item):
                self._begin_answer(item_id)
                if not any(isinstance(part, InputAudio) and not part.transcript for part in item.content):
                    self.is_typed = True
                    self._judge(item_id, dialogue.content_text(item.content))
            case e.TranscriptionCompleted(item_id=item_id, transcript=text):
                self._judge(item_id, text)
            case e.TranscriptionFailed(item_id=item_id) if self._after_question.get(item_id) is not None:
                self.verdict = self.verdict or "unclear"

    def _on_spoken(self, response: Response) -> None:
        message = next((item for item in response.output if isinstance(item, Message)), None)
        self._item_id = (message.id or None) if message else None
        spoken = plain_words(dialogue.content_text(message.content)) if message else []
        self._is_spoken = response.status == "completed" and spoken == plain_words(self.words)
        details = response.status_details
        interrupted = isinstance(details, Cancelled) and details.reason == "turn_detected"
        if not self._is_spoken and not interrupted:  # after an interruption, the caller's words decide
            self.verdict = self.verdict or "unclear"

    def _begin_answer(self, item_id: str) -> None:
        self._after_question.setdefault(item_id, self._is_spoken if self._response_id else None)

    def _judge(self, item_id: str, text: str) -> None:
        after_question = self._after_question.get(item_id)
        if after_question is None or self.verdict:
            return
        is_yes = judge_answer(text, self.language, question=self.words)
        if is_yes is False:
            self.verdict = "no"
        elif is_yes and after_question:
            self.verdict = "yes"
        elif text.strip() or not after_question:  # an empty transcript after the question decides nothing yet
            self.verdict = "unclear"


# session settings during a question


def listening_changes(session: AnySession | None) -> tuple[Session, Session] | None:
    """Return the session update for the time of a question, and the one that undoes it; None if not needed.

    During a question, speech is transcribed, and the engine does not create responses by itself.
    """
    turns, transcription = turn_detection(session), input_settings(session).transcription
    change, back = InputSettings(), InputSettings()
    if turns is not None and turns != _without_responses(turns):
        change = replace(change, turn_detection=_without_responses(turns))
        back = replace(back, turn_detection=replace(turns, create_response=turns.create_response is not False))
    if not transcription:
        change = replace(change, transcription=TranscriptionSettings(model=_TRANSCRIBER))
        back = replace(back, transcription=None)
    if change == InputSettings():
        return None
    return Session(audio=SessionAudio(input=change)), Session(audio=SessionAudio(input=back))


def _without_responses(turns: TurnDetection) -> TurnDetection:
    """Return the turn detection without automatic responses, neither to a turn nor to silence."""
    turns = replace(turns, create_response=False)
    if isinstance(turns, ServerVad) and turns.idle_timeout_ms:
        turns = replace(turns, idle_timeout_ms=None)
    return turns


def spoken_language(session: AnySession | None) -> str | None:
    """Return the language of the session's transcription, if it is set."""
    transcription = input_settings(session).transcription
    return (transcription.language or None) if transcription else None


def changes_listening(session: AnySession) -> bool:
    """Return whether an update contains settings that `listening_changes` changes as well."""
    settings = input_settings(session)
    return (settings.turn_detection, settings.transcription) != (UNSET, UNSET)


class ConfirmationFlow:
    """Asks the caller to confirm calls, one call after the other.

    Meanwhile the engine transcribes speech but creates no responses by itself. The client's own requests for a
    response, and its changes of turn detection and transcription, are held back until the question is over.
    """

    def __init__(self, notifier: Notifier, limits: Limits, turn: TurnState) -> None:
        self.request: e.ResponseCreate | None = None
        """the client's last request for a response, to be sent after the question"""
        self._notifier, self._limits, self._turn = notifier, limits, turn
        self._lock = anyio.Lock()
        self._waiting = 0
        self._update_id = e.new_id("event")
        self._back: Session | None = None
        self._updates: list[e.SessionUpdate] = []
        self._question: Question | None = None
        self._denied: set[tuple[str, str]] = set()

    @property
    def is_open(self) -> bool:
        """Whether a call waits for confirmation."""
        return self._waiting > 0

    def intercept(self, event: e.ClientEvent) -> bool:
        """Return whether a client event is held back; it is kept, and sent later."""
        match event:
            case e.ResponseCreate() if not event.is_out_of_band:
                self.request = event if self.is_open else None  # a later request replaces an earlier one
                return self.is_open
            case e.SessionUpdate(session=session) if self.is_open and changes_listening(session):
                if len(self._updates) < _UPDATES:
                    self._updates.append(event)
                    return True
        return False

    def on_event(self, event: e.Event) -> None:
        """Process a server event."""
        if isinstance(event, e.ErrorEvent) and event.error.event_id == self._update_id:
            log.warning("the session cannot be changed while the caller is asked: %s", event.error.message)
        if self._question:
            self._question.on_event(event)
        elif isinstance(event, e.ConversationItemAdded) and _is_callers(event):
            self._denied.clear()

    def is_answer(self, event: e.ConversationItemAdded) -> bool:
        """Return whether a user item is the answer to the current question."""
        return self._question is not None and _is_callers(event)

    def next_request(self) -> e.ResponseCreate | None:
        """Return the request that has the current question spoken, only once per question."""
        if self._question is None or self._question.is_asked:
            return None
        self._question.is_asked = True
        return self._question.request

    async def confirm(self, tool: Tool, arguments: str, handle: SessionHandle) -> str | None:
        """Ask the caller; return None if confirmed, else the output that the model reads instead.

        A call that was just refused is not asked about again before the caller has said something new. Raises
        `ToolError` if the question cannot be formed from the arguments.
        """
        words, call = format_question(tool, arguments), (tool.name, arguments)
        if call in self._denied:
            return "Not done: the caller was asked just now, and has not said yes. Do not call again."
        if self._waiting >= _QUESTIONS:
            return f"Not done: {_QUESTIONS} calls already wait for the caller's yes or no."
        self._waiting += 1
        try:
            verdict = await self._ask(words, handle)
        finally:
            self._waiting -= 1
        if verdict == "yes":
            return None
        self._denied.add(call)
        match verdict:
            case "no":
                return "Not done: the caller was asked, and said no."
            case "silence":
                return f"Not done: the caller was asked {words!r} and did not answer."
        return (
            f"Not done: the caller was asked {words!r}, and neither said yes nor no. "
            "Answer what they did say; call again only if they want it."
        )

    async def _ask(self, words: str, handle: SessionHandle) -> Verdict | Literal["silence"]:
        async with self._lock:
            await self._start_listening(handle)
            try:
                with anyio.move_on_after(self._limits.confirmation_seconds):
                    return await self._verdict(words)
                return "silence"
            finally:
                self._question = None
                if self._waiting == 1:
                    await self._stop_listening(handle)

    async def _verdict(self, words: str) -> Verdict:
        for _ in range(_ATTEMPTS):
            verdict = await self._ask_once(Question(words, spoken_language(self._turn.session)))
            if verdict != "unclear":
                return verdict
        return "unclear"

    async def _ask_once(self, question: Question) -> Verdict:
        self._question = question
        self._notifier.notify()
        await self._notifier.until(lambda: question.verdict is not None)
        if question.is_typed:
            with anyio.move_on_after(_TYPED_SECONDS):
                await self._notifier.until(lambda: self.request is not None)
        return question.verdict or "unclear"

    async def _start_listening(self, handle: SessionHandle) -> None:
        changes = listening_changes(self._turn.session) if self._back is None else None
        if changes:
            change, self._back = changes
            await handle.send(e.SessionUpdate(event_id=self._update_id, session=change))

    async def _stop_listening(self, handle: SessionHandle) -> None:
        """Restore the session's settings, then send the client's own changes that were held back."""
        back, self._back = self._back, None
        updates, self._updates = self._updates, []
        if back:
            await handle.send(e.SessionUpdate(event_id=self._update_id, session=back))
            with anyio.move_on_after(_UPDATE_SECONDS):  # the next question must see the restored session
                await self._notifier.until(lambda: listening_changes(self._turn.session) is not None)
        for event in updates:
            await handle.resume(event)


def _is_callers(event: e.ConversationItemAdded) -> bool:
    return isinstance(event.item, Message) and event.item.role == "user"
