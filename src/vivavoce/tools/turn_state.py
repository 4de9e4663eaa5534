"""Who is speaking, which calls are open, and whether outputs need a response. No I/O."""

from dataclasses import dataclass, field
from math import inf

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.protocol import events as e
from vivavoce.protocol.responses import VERBATIM, Response
from vivavoce.protocol.session import AnySession, ServerVad, TurnDetection, input_settings

_RESPONSE_SECONDS = 3.0
"""An engine with `create_response` starts its response within this time after a turn, or not at all."""


def turn_detection(session: AnySession | None) -> TurnDetection | None:
    """Return a session's turn detection; None if it is off or not set."""
    return input_settings(session).turn_detection or None


def is_verbatim(response: Response) -> bool:
    """Return whether a response speaks a fixed text, which does not answer the outputs of tools."""
    return VERBATIM in (response.metadata or {})


def is_too_early(error: e.ErrorDetails) -> bool:
    """Return whether a request was rejected because another response is in progress."""
    return error.code == "conversation_already_has_active_response"


@dataclass
class TurnState:
    """Decides whether a response may be requested: nobody is speaking, and none is due or in progress."""

    session: AnySession | None = None
    requested: str | None = None
    """id of our `response.create` whose response has not begun"""
    _response_id: str | None = None
    _caller_speaks: bool = False
    _response_due_by: float = -inf

    def on_event(self, event: e.Event, at: float) -> None:
        """Process a server event, received `at` seconds of the event loop's clock."""
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
        """Return for how many seconds such a response may still begin; None if none is awaited."""
        return self._response_due_by - at if self.awaits_response(at) else None


def _detection(session: AnySession | None) -> TurnDetection | None:
    """Return the turn detection without the settings about responses, which do not affect the open turn."""
    turns = turn_detection(session)
    if isinstance(turns, ServerVad):
        turns = replace(turns, idle_timeout_ms=UNSET)
    return replace(turns, create_response=UNSET, interrupt_response=UNSET) if turns else None


@dataclass(eq=False)
class Round:
    """The calls of one response: running calls, and calls whose output no response has used yet."""

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
    """Tracks which calls have no output yet, and which outputs no response has used yet."""

    number: int = 0
    """how many responses in a row have called tools; its user resets it when the caller has said something"""
    _rounds: dict[str, Round] = field(default_factory=dict)
    _added: set[str] = field(default_factory=set)
    """calls whose output the engine has received"""
    _due: set[str] = field(default_factory=set)
    _doubtful: set[str] = field(default_factory=set)
    """calls whose output the current response may not include, if it is not the one we requested"""

    @property
    def needs_response(self) -> bool:
        """Whether a response must be requested: a round is complete, and no response has used its outputs."""
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
        """Record the end of our call; `continues` is whether the model is to respond to its output."""
        for one in self._rounds.values():
            if call_id in one.running:
                one.running.remove(call_id)
                if continues:
                    one.unanswered.add(call_id)
        self._settle()

    def output_added(self, call_id: str) -> None:
        """Record that the engine has added an output to the conversation, ours or the client's."""
        for one in self._rounds.values():
            one.clients.discard(call_id)
            if call_id in one.running | one.unanswered:
                self._added.add(call_id)
        if call_id in self._due:
            self._added.add(call_id)

    def response_created(self, *, requested: bool) -> None:
        """Record a response that uses all added outputs; `requested` if it may be the one we requested."""
        self._doubtful = self._due - self._added if requested else set()
        self._due = set() if requested else self._due - self._added
        for one in self._rounds.values():
            one.unanswered -= self._added
        self._forget()

    def response_done(self, response_id: str) -> None:
        """Record the end of a response, after which its round has no further calls."""
        self._doubtful = set()
        if response_id in self._rounds:
            self._rounds[response_id].is_over = True
            self._settle()

    def request_was_too_early(self) -> None:
        """Record that the current response is not the one we requested: ours was rejected as too early."""
        self._due |= self._doubtful
        self._doubtful = set()

    def give_up(self) -> None:
        """Drop the due outputs, because the request failed; the next response will include them."""
        self._due = set()
        self._forget()

    def _settle(self) -> None:
        """Remove finished rounds; if the client has open calls in one, it will request the response itself."""
        for response_id, one in list(self._rounds.items()):
            if one.is_over and not one.running:
                del self._rounds[response_id]
                if not one.clients:
                    self._due |= one.unanswered
        self._forget()

    def _forget(self) -> None:
        self._added &= self._due.union(*(one.running | one.unanswered for one in self._rounds.values()))
