"""Who speaks, which calls are open, and whether the model has to respond to outputs. Pure."""

from dataclasses import dataclass, field
from math import inf

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.protocol import events as e
from vivavoce.protocol.responses import VERBATIM, Response
from vivavoce.protocol.session import ServerVad, Session, TranscriptionSession, TurnDetection

_RESPONSE_SECONDS = 3.0
"""An engine that responds to turns by itself begins to within so many seconds, or not at all."""


def turn_detection(session: Session | TranscriptionSession | None) -> TurnDetection | None:
    """Return how a session detects turns; None if its client does, or it does not tell."""
    audio = session.audio if session else UNSET
    return (audio.input.turn_detection or None) if audio and audio.input else None


def is_verbatim(response: Response) -> bool:
    """Return whether a response has given words: such a one says nothing about outputs of tools."""
    return VERBATIM in (response.metadata or {})


def is_too_early(error: e.ErrorDetails) -> bool:
    """Return whether a response was refused because another one was faster."""
    return error.code == "conversation_already_has_active_response"


# who speaks


@dataclass
class TurnState:
    """Whether the line is quiet, so that nobody is talked over and no response is requested in vain."""

    session: Session | TranscriptionSession | None = None
    requested: str | None = None
    """ID of the event by which we have requested a response that has not begun"""
    _response_id: str | None = None
    _caller_speaks: bool = False
    _response_due_by: float = -inf

    def on_event(self, event: e.Event, at: float) -> None:
        """Follow a server event, at a time in seconds."""
        match event:
            case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
                if _detection(session) != _detection(self.session):
                    self._caller_speaks = False  # the engine has dropped the turn
                self.session = session
            case e.InputAudioBufferSpeechStarted():
                self._caller_speaks = True
            case e.InputAudioBufferSpeechStopped() | e.InputAudioBufferCommitted():
                self._caller_speaks = False
                turns = turn_detection(self.session)
                if turns is not None and turns.create_response is not False:
                    self._response_due_by = at + _RESPONSE_SECONDS
            case e.InputAudioBufferCleared():
                self._caller_speaks = False
            case e.ResponseCreated(response=response) if response.conversation_id is not None:
                self._response_id, self.requested, self._response_due_by = response.id, None, -inf
            case e.ResponseDone(response=response) if response.id == self._response_id:
                self._response_id = None
            case e.EngineChanged():
                self._response_id = self.requested = None  # the other engine knows of neither
            case e.ErrorEvent(error=error) if self.requested and error.event_id == self.requested:
                self.requested = None
                if is_too_early(error) and not self._response_id:  # it begins, or has just ended
                    self._response_due_by = at + _RESPONSE_SECONDS

    def is_quiet(self, at: float) -> bool:
        """Return whether a response may be requested."""
        is_busy = self._response_id or self.requested or self._caller_speaks
        return not (is_busy or self.awaits_response(at))

    def awaits_response(self, at: float) -> bool:
        """Return whether the engine is about to respond to the caller by itself."""
        return at < self._response_due_by

    def seconds_left(self, at: float) -> float | None:
        """Return how long to wait for such a response, at most; None if there is none to wait for."""
        return self._response_due_by - at if self.awaits_response(at) else None


def _detection(session: Session | TranscriptionSession | None) -> TurnDetection | None:
    """Return how turns are detected, whatever is done about them."""
    turns = turn_detection(session)
    if isinstance(turns, ServerVad):
        turns = replace(turns, idle_timeout_ms=UNSET)
    return replace(turns, create_response=UNSET, interrupt_response=UNSET) if turns else None


# which calls are open


@dataclass(eq=False)
class Round:
    """What one response has called: of ours those that run, and those of which no response knows yet."""

    number: int = 0
    """counts the rounds since the caller spoke"""
    running: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    clients: set[str] = field(default_factory=set)
    """calls that are the client's"""
    is_over: bool = False
    has_filler: bool = False


@dataclass
class CallRounds:
    """Which calls have no output yet, and which outputs are known to no response."""

    number: int = 0
    """how many responses in a row have called tools since the caller spoke"""
    _rounds: dict[str, Round] = field(default_factory=dict)
    _added: set[str] = field(default_factory=set)
    """calls whose output the engine has received"""
    _due: set[str] = field(default_factory=set)
    _doubtful: set[str] = field(default_factory=set)
    """calls of which the response under way may know nothing: somebody else may have requested it"""

    @property
    def needs_response(self) -> bool:
        """Whether the model is to go on: all calls of a response have ended, and no other response knows."""
        return bool(self._due)

    def add(self, response_id: str, call_id: str) -> Round:
        """Add a call of ours, and return its round."""
        one = self._rounds.setdefault(response_id, Round())
        if not one.number:
            self.number += 1
            one.number = self.number
        one.running.add(call_id)
        return one

    def add_clients(self, response_id: str, call_id: str) -> None:
        """Add a call that is the client's."""
        self._rounds.setdefault(response_id, Round()).clients.add(call_id)

    def call_ended(self, call_id: str, *, continues: bool) -> None:
        """A call of ours has its output; `continues` says whether the model is to respond to it."""
        for one in self._rounds.values():
            if call_id in one.running:
                one.running.remove(call_id)
                if continues:
                    one.unanswered.add(call_id)
        self._settle()

    def output_added(self, call_id: str) -> None:
        """The engine has received an output, ours or the client's."""
        for one in self._rounds.values():
            one.clients.discard(call_id)
            if call_id in one.running | one.unanswered:
                self._added.add(call_id)
        if call_id in self._due:
            self._added.add(call_id)

    def response_created(self, *, requested: bool) -> None:
        """A response begins that knows what was added; `requested` says that it may be the one of ours."""
        self._doubtful = self._due - self._added if requested else set()
        self._due = set() if requested else self._due - self._added
        for one in self._rounds.values():
            one.unanswered -= self._added
        self._forget()

    def response_done(self, response_id: str) -> None:
        """A response has ended, and calls nothing more."""
        self._doubtful = set()
        if response_id in self._rounds:
            self._rounds[response_id].is_over = True
            self._settle()

    def request_was_too_early(self) -> None:
        """The response under way is not the one that we have requested."""
        self._due |= self._doubtful
        self._doubtful = set()

    def give_up(self) -> None:
        """No response is to be had: whichever comes next knows the outputs."""
        self._due = set()
        self._forget()

    def caller_spoke(self) -> None:
        """The caller has said something new."""
        self.number = 0

    def _settle(self) -> None:
        """Close the rounds in which our part is done. While the client's is not, it requests the response."""
        for response_id, one in list(self._rounds.items()):
            if one.is_over and not one.running:
                del self._rounds[response_id]
                if not one.clients:
                    self._due |= one.unanswered
        self._forget()

    def _forget(self) -> None:
        self._added &= self._due.union(*(one.running | one.unanswered for one in self._rounds.values()))
