"""A conversation under way: who takes part in it, and what each of them gets to hear."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

import anyio
from msgspec import UNSET, structs

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import error_event
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.protocol.tools import event_without_secrets
from vivavoce.session.line import EventQueue, Heard, Line, Listener, Middleware

__all__ = ["ActiveCall", "Caller", "ClientLine", "EngineLine", "Refer", "Sideband"]

log = logging.getLogger(__name__)

Refer = Callable[[str], Awaitable[None]]
"""Hands a call over to somebody else, given their URI (`tel:…`, `sip:…`). Raises `ProviderError`."""


@dataclass(frozen=True, eq=False)
class Caller:
    """Who calls, as far as the transport knows, and how they want the conversation held from the beginning.

    `plays` says that the transport plays the sound itself, and tells when (`output_audio_buffer.*`). `refer` is
    there where the transport can hand the call over. `extras` says that they know events of our own.
    """

    transport: str
    address: str = ""
    model: str | None = None
    session: Session | TranscriptionSession | None = None
    plays: bool = False
    refer: Refer | None = None
    extras: bool = False
    id: str = field(default_factory=lambda: e.new_id("sess"))


Asker = Callable[[e.ErrorEvent], None]
"""Hears what is wrong with what they have said."""
_ASKED = 256
"""of what was said beside, so many events are remembered by name"""


class _Beside(EventQueue):
    """On which somebody hears who has joined."""

    def __init__(self, depth: int, *, extras: bool) -> None:
        super().__init__(depth)
        self.extras = extras


class ActiveCall:
    """One conversation: the engine at one end, the caller and whoever has joined at the other."""

    def __init__(
        self, caller: Caller, limits: Limits, listeners: Sequence[Listener], attendant: Middleware | None
    ) -> None:
        self.caller, self.attendant, self._limits = caller, attendant, limits
        self._listeners = (*listeners, attendant.hear) if attendant else tuple(listeners)
        self.up, self.down = EventQueue(limits.line_depth), EventQueue(limits.line_depth)
        self.beside: list[_Beside] = []
        self.askers: dict[str, Asker] = {}
        self.session: Session | TranscriptionSession | None = None

    @property
    def session_id(self) -> str | None:
        """The id under which the client knows the conversation."""
        return (self.session.id or None) if self.session else None

    @property
    def beginning(self) -> Session | TranscriptionSession | None:
        """How the conversation is to be held from the beginning, by the caller and the attendant."""
        wish = self.caller.session
        if wish is None or self.attendant is None:
            return wish
        passed = self.attendant.passing(e.SessionUpdate(session=wish))
        return passed.session if isinstance(passed, e.SessionUpdate) else None

    @property
    def seat(self) -> "_Seat":
        """Where the attendant sits."""
        return _Seat(self)

    @contextmanager
    def joined(self, *, extras: bool) -> Iterator[EventQueue]:
        """Give a lane on which somebody hears, beginning with the session, until the block is left."""
        lane = _Beside(self._limits.sideband_depth, extras=extras)
        if self.session is not None:
            lane.push(e.SessionCreated(session=self.session))
        self.beside.append(lane)
        try:
            yield lane
        finally:
            if lane in self.beside:
                self.beside.remove(lane)

    def note(self, event: e.Event, by: Literal["client", "server"]) -> None:
        """Tell those who listen, in passing; secrets are not for their ears."""
        shown = event_without_secrets(event) if by == "client" and self._listeners else event
        for listener in self._listeners:
            listener(Heard(shown, by, anyio.current_time()))

    def tell(self, event: e.Event) -> None:
        """Tell those who listen, and those who have joined, what the server says."""
        if isinstance(event, e.SessionCreated | e.SessionUpdated):
            self.session = event.session
        self.note(event, "server")
        if self.caller.plays and isinstance(event, e.ResponseOutputAudioDelta):
            return  # its sound is on the caller's own way only
        for lane in tuple(self.beside):
            if lane.extras or not isinstance(event, e.OwnEvent):
                self.tell_beside(lane, event)

    def tell_beside(self, lane: EventQueue, event: e.Event) -> None:
        """Tell one who has joined, unless they have left."""
        if lane not in self.beside:
            return
        if lane.is_full:
            log.info("somebody who joined %s reads too slowly; their line is closed", self.caller.id)
            lane.push(_too_slow(self._limits))
            self._dismiss(lane)
        else:
            lane.push(event)

    async def tell_caller(self, event: e.Event) -> None:
        """Tell the caller, unless it is an event of our own that they do not know. Raises `HungUp`."""
        if self.caller.extras or not isinstance(event, e.OwnEvent):
            await self.up.put(event)

    def asked(self, event: e.Event, asker: Asker) -> "_SaidBeside":
        """Return what somebody says who is not the caller, under a name by which an error can find them."""
        if isinstance(event, e.ClientEvent) and event.event_id is UNSET:
            event = structs.replace(event, event_id=e.new_id("event"))
        return _SaidBeside(event=event, asker=asker)

    def remember(self, event: e.Event, asker: Asker) -> None:
        """Keep in mind who has said an event: an engine far away may find fault with it later."""
        if isinstance(event, e.ClientEvent) and event.event_id is not UNSET:
            self.askers[event.event_id] = asker
        while len(self.askers) > _ASKED:
            del self.askers[next(iter(self.askers))]

    def _dismiss(self, lane: EventQueue) -> None:
        lane.end()
        self.beside = [one for one in self.beside if one is not lane]

    def over(self) -> None:
        """Nobody will say anything more."""
        for lane in tuple(self.beside):
            self._dismiss(lane)


class _SaidBeside(e.Event, frozen=True, kw_only=True):
    """What somebody says who is not the caller. `attends` says that it is the attendant."""

    event: e.Event
    asker: Asker
    attends: bool = False


class EngineLine(Line):
    """Where all that passes is noted, in the order in which the engine hears and says it.

    An `error` for one event is for whoever said that. One that comes from a transport, in place of an event
    that it could not read, is answered here when its turn comes.
    """

    def __init__(self, exchange: ActiveCall) -> None:
        super().__init__(exchange.down, exchange.up)
        self._exchange = exchange
        self._asker: Asker | None = None
        """whoever said what was heard last, if that is not the caller"""

    async def send(self, event: e.Event) -> None:
        if isinstance(event, e.ErrorEvent) and (asker := self._exchange.askers.get(event.error.event_id or "")):
            self._exchange.note(event, "server")
            asker(event)
            return
        self._exchange.tell(event)
        await self._exchange.tell_caller(event)

    async def refuse(self, error: e.ErrorEvent) -> None:
        self._exchange.note(error, "server")
        if self._asker is None:
            await self._outgoing.put(error)
        else:
            self._asker(error)

    async def __anext__(self) -> e.Event:
        while True:
            said = await super().__anext__()
            event, self._asker = (said.event, said.asker) if isinstance(said, _SaidBeside) else (said, None)
            passed = self._passed(said, event)
            if isinstance(passed, e.ErrorEvent):
                await self.refuse(passed)
            elif passed is not None:
                self._exchange.note(passed, "client")
                return passed

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up; not where something broke, for then the switchboard has a last word to say."""
        if kind is None:
            await super().__aexit__(kind, error, trace)

    def _passed(self, said: e.Event, event: e.Event) -> e.Event | None:
        """Return what the engine is to hear of an event, or what is wrong with it."""
        if isinstance(said, _SaidBeside):
            self._exchange.remember(event, said.asker)
            if said.attends:
                return event
        attendant = self._exchange.attendant
        if attendant is None or not isinstance(event, e.ClientEvent):
            return event
        try:
            return attendant.passing(event)
        except ProtocolError as error:
            return error_event(error, event.event_id or None)


class ClientLine(Line):
    """What a transport that plays the sound itself has to tell is turned round: it is the client's to hear.

    Not so an `error`: it waits for its turn, behind what was said before.
    """

    def __init__(self, exchange: ActiveCall) -> None:
        super().__init__(exchange.up, exchange.down)
        self._exchange = exchange

    async def send(self, event: e.Event) -> None:
        if isinstance(event, e.ServerEvent | e.DtmfEventReceived) and not isinstance(event, e.ErrorEvent):
            self._exchange.tell(event)
            self._incoming.push(event)  # whoever sends it is also the one who takes it: never wait here
        else:
            await self._outgoing.put(event)


class Sideband(Line):
    """What only the one who plays the sound can do is theirs to hear."""

    def __init__(self, exchange: ActiveCall, lane: EventQueue) -> None:
        super().__init__(lane, exchange.down)
        self._exchange = exchange

    async def send(self, event: e.Event) -> None:
        if self._exchange.caller.plays and isinstance(event, e.OutputAudioBufferClear):
            self._exchange.note(event, "client")
            await self._exchange.up.put(event)
        else:
            await self._outgoing.put(self._exchange.asked(event, self._refused))

    def offer(self, event: e.Event) -> bool:
        return super().offer(self._exchange.asked(event, self._refused))

    def _refused(self, error: e.ErrorEvent) -> None:
        self._exchange.tell_beside(self._incoming, error)

    async def __aexit__(self, *_: object) -> None:
        """Leave; the conversation goes on."""
        self._incoming.abandon()


@dataclass(frozen=True)
class _Seat:
    """Where an attendant sits. It hears everything, errors of its own as well; so nobody has to tell it."""

    exchange: ActiveCall

    async def say(self, event: e.ClientEvent) -> None:
        said = self.exchange.asked(event, _heard_already)
        await self.exchange.down.put(structs.replace(said, attends=True))

    async def put_back(self, event: e.ClientEvent) -> None:
        asker = self.exchange.askers.get(event.event_id or "")
        await self.exchange.down.put(_SaidBeside(event=event, asker=asker) if asker else event)

    async def tell(self, event: e.OwnEvent) -> None:
        self.exchange.tell(event)
        await self.exchange.tell_caller(event)


def _heard_already(error: e.ErrorEvent) -> None:
    """Do nothing: the attendant has heard the error when it was noted."""


def _too_slow(limits: Limits) -> e.Event:
    details = e.ErrorDetails(
        type="invalid_request_error",
        code="events_lost",
        message=(
            f"{limits.sideband_depth} events wait to be read (limits.sideband_depth), so this line is closed; "
            "the call goes on, and can be joined again."
        ),
    )
    return e.ErrorEvent(error=details)
