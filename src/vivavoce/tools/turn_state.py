"""Who speaks, which calls are open, and whether there is something to tell. Pure: it is told what passes."""

from dataclasses import dataclass, field
from math import inf

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.protocol import events as e
from vivavoce.protocol.responses import VERBATIM, Response
from vivavoce.protocol.session import ServerVad, Session, TranscriptionSession, TurnDetection

__all__ = ["Round", "Rounds", "TurnState", "is_recited", "turn_detection"]

_ANSWER_SECONDS = 3.0
"""An engine that answers turns by itself begins to within so many seconds, or not at all."""


def turn_detection(session: Session | TranscriptionSession | None) -> TurnDetection | None:
    """Return how a session finds turns; None if its client does, or it does not say."""
    audio = session.audio if session else UNSET
    return (audio.input.turn_detection or None) if audio and audio.input else None


def is_recited(response: Response) -> bool:
    """Say whether an answer has given words: such a one tells nothing of what tools have said."""
    return VERBATIM in (response.metadata or {})


# who speaks


@dataclass
class TurnState:
    """Knows whether the line is quiet, so that nobody is talked over and no answer is asked for in vain."""

    session: Session | TranscriptionSession | None = None
    asked: str | None = None
    """the event with which we asked for an answer that has not begun"""
    _answering: str | None = None
    _caller_speaks: bool = False
    _answer_due_by: float = -inf

    def hear(self, event: e.Event, at: float) -> None:
        """Hear what the server says, at a time in seconds."""
        match event:
            case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
                if _rules(session) != _rules(self.session):
                    self._caller_speaks = False  # the engine has forgotten the turn
                self.session = session
            case e.InputAudioBufferSpeechStarted():
                self._caller_speaks = True
            case e.InputAudioBufferSpeechStopped() | e.InputAudioBufferCommitted():
                self._turn_is_over(at)
            case e.InputAudioBufferCleared():
                self._caller_speaks = False
            case e.ResponseCreated(response=response) if response.conversation_id is not None:
                self._answering, self.asked, self._answer_due_by = response.id, None, -inf
            case e.ResponseDone(response=response) if response.id == self._answering:
                self._answering = None
            case e.EngineChanged():
                self._answering = self.asked = None  # who answers now knows of neither
            case e.ErrorEvent(error=error) if self.asked and error.event_id == self.asked:
                self.asked = None
                if is_too_early(error) and not self._answering:  # it begins, or has just ended
                    self._answer_due_by = at + _ANSWER_SECONDS

    def _turn_is_over(self, at: float) -> None:
        self._caller_speaks = False
        turns = turn_detection(self.session)
        if turns is not None and turns.create_response is not False:
            self._answer_due_by = at + _ANSWER_SECONDS

    def is_quiet(self, at: float) -> bool:
        """Say whether an answer may be asked for."""
        return not (self._answering or self.asked or self._caller_speaks or self.awaits_answer(at))

    def awaits_answer(self, at: float) -> bool:
        """Say whether the engine is about to answer the caller by itself."""
        return at < self._answer_due_by

    def patience(self, at: float) -> float | None:
        """Return the seconds until it is quiet though nothing passes, if that is what is waited for."""
        return self._answer_due_by - at if self.awaits_answer(at) else None


def is_too_early(error: e.ErrorDetails) -> bool:
    """Say whether somebody else was faster with asking for an answer."""
    return error.code == "conversation_already_has_active_response"


def _rules(session: Session | TranscriptionSession | None) -> TurnDetection | None:
    """Return how turns are found, whatever is done about them."""
    turns = turn_detection(session)
    if isinstance(turns, ServerVad):
        turns = replace(turns, idle_timeout_ms=UNSET)
    return replace(turns, create_response=UNSET, interrupt_response=UNSET) if turns else None


# what is open


@dataclass(eq=False)
class Round:
    """What one answer has called: of ours what is at work, or not yet known to any answer; and the client's."""

    number: int
    """of how many rounds since the caller said something this is the last"""
    at_work: set[str] = field(default_factory=set)
    untold: set[str] = field(default_factory=set)
    theirs: set[str] = field(default_factory=set)
    is_over: bool = False
    has_filler: bool = False


@dataclass
class Rounds:
    """Which calls have no output yet, and which outputs no answer knows."""

    number: int = 0
    """how many answers in a row have called tools since the caller said something"""
    _rounds: dict[str, Round] = field(default_factory=dict)
    _arrived: set[str] = field(default_factory=set)
    """calls whose output the engine has heard"""
    _due: set[str] = field(default_factory=set)
    _doubtful: set[str] = field(default_factory=set)
    """calls of which the answer under way may know nothing: somebody else may have asked for it"""

    @property
    def has_news(self) -> bool:
        """Whether the model is to go on: all that one answer has called has ended, and no other knows."""
        return bool(self._due)

    def ours(self, response_id: str, call_id: str) -> Round:
        """Note a call of ours, and return its round."""
        if response_id not in self._rounds or not self._rounds[response_id].number:
            self.number += 1
        one = self._round(response_id)
        one.number = one.number or self.number
        one.at_work.add(call_id)
        return one

    def theirs(self, response_id: str, call_id: str) -> None:
        """Note a call that is the client's."""
        self._round(response_id).theirs.add(call_id)

    def _round(self, response_id: str) -> Round:
        return self._rounds.setdefault(response_id, Round(0))

    def ended(self, call_id: str, *, is_told: bool) -> None:
        """Note that a call of ours has its output; `is_told` says whether the model is to go on for it."""
        for one in self._rounds.values():
            if call_id in one.at_work:
                one.at_work.remove(call_id)
                if is_told:
                    one.untold.add(call_id)
        self._settle()

    def arrived(self, call_id: str) -> None:
        """Note that the engine has heard an output, ours or the client's."""
        for one in self._rounds.values():
            one.theirs.discard(call_id)
            if call_id in one.at_work | one.untold:
                self._arrived.add(call_id)
        if call_id in self._due:
            self._arrived.add(call_id)

    def answer_begins(self, *, asked: bool) -> None:
        """An answer begins that knows what has arrived; `asked` says that it may be the one we asked for."""
        self._doubtful = self._due - self._arrived if asked else set()
        self._due = set() if asked else self._due - self._arrived
        for one in self._rounds.values():
            one.untold -= self._arrived
        self._forget()

    def answer_ends(self, response_id: str) -> None:
        """An answer has ended; what it has called is all that it will call."""
        self._doubtful = set()
        if response_id in self._rounds:
            self._rounds[response_id].is_over = True
            self._settle()

    def was_too_early(self) -> None:
        """The answer under way was asked for by somebody else."""
        self._due |= self._doubtful
        self._doubtful = set()

    def give_up(self) -> None:
        """No answer is to be had: the next one knows."""
        self._due = set()
        self._forget()

    def caller_said(self) -> None:
        """The caller has said something new."""
        self.number = 0

    def _settle(self) -> None:
        """Close the rounds in which our part is done. Where the client's is not, the last word is theirs."""
        for response_id, one in list(self._rounds.items()):
            if one.is_over and not one.at_work:
                del self._rounds[response_id]
                if not one.theirs:
                    self._due |= one.untold
        self._forget()

    def _forget(self) -> None:
        self._arrived &= self._due.union(*(one.at_work | one.untold for one in self._rounds.values()))
