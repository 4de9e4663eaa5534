"""Puts a caller through: an engine at the far end of a line, listeners on it, limits around it."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import anyio
from msgspec import structs

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.line import Heard, HungUp, Lane, Line, Listener
from vivavoce.protocol import events as e
from vivavoce.protocol.response import ResponseParams
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.protocol.tools import without_secrets

__all__ = ["Attend", "Busy", "Caller", "Engine", "Refer", "Switchboard", "no_such_call"]

log = logging.getLogger(__name__)


class Engine(Protocol):
    """What answers."""

    async def converse(self, line: Line, session: Session | TranscriptionSession | None = None) -> None:
        """Hold one conversation until the caller hangs up. Cancelling it ends all that it started.

        `session` is how this caller wants it held from the beginning; what it leaves open is the engine's.
        """
        ...


Refer = Callable[[str], Awaitable[None]]
"""Hands a call over to somebody else, given their URI (`tel:…`, `sip:…`). Raises `ProviderError`."""


@dataclass(frozen=True, eq=False)
class Caller:
    """Who calls, as far as the transport knows, and how they want the conversation held from the beginning.

    `plays` says that the transport plays the sound itself, and tells when (`output_audio_buffer.*`). `refer` is
    there where the transport can hand the call over.
    """

    transport: str
    address: str = ""
    model: str | None = None
    session: Session | TranscriptionSession | None = None
    plays: bool = False
    refer: Refer | None = None
    id: str = field(default_factory=lambda: e.new_id("sess"))


Attend = Callable[[Caller], Listener]
"""Gives the listener that is to hear a caller's conversation. What is meant for an MCP server alone (a tool's
`authorization` and `headers`) is never heard."""


class Busy(ProtocolError):
    """Every place is taken: come back later."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"All {limit} conversations (limits.conversations) are taken; try again in a moment.",
            code="server_busy",
        )


def no_such_call(call_id: str) -> ProtocolError:
    """Nobody is known by this id."""
    return ProtocolError(f"There is no call '{call_id}', or it is over.", code="call_id_not_found")


class Switchboard:
    """Connects callers to one engine, as many at a time as `limits.conversations` allows."""

    def __init__(self, engine: Engine, *, limits: Limits | None = None, attend: Sequence[Attend] = ()) -> None:
        self.limits = limits or Limits()
        self._engine, self._attend = engine, tuple(attend)
        self._exchanges: dict[str, _Exchange] = {}

    @property
    def callers(self) -> frozenset[Caller]:
        """Who is connected now."""
        return frozenset(exchange.caller for exchange in self._exchanges.values())

    @asynccontextmanager
    async def connect(self, caller: Caller) -> AsyncIterator[Line]:
        """Give the caller's end of a line. Leaving the block hangs up and ends the whole conversation.

        Raises `Busy` when every place is taken.
        """
        if len(self._exchanges) >= self.limits.conversations:
            raise Busy(self.limits.conversations)
        introduced = replace(caller, session=caller.session and without_secrets(caller.session))
        listeners = tuple(attend(introduced) for attend in self._attend)
        exchange = self._exchanges[caller.id] = _Exchange(caller, self.limits, listeners)
        try:
            async with anyio.create_task_group() as tasks, _CallersEnd(exchange) as near:
                tasks.start_soon(self._converse, exchange)
                yield near
                tasks.cancel_scope.cancel()
        finally:
            del self._exchanges[caller.id]
            exchange.over()

    @asynccontextmanager
    async def join(self, call_id: str) -> AsyncIterator[Line]:
        """Give one more end of a conversation under way, whose `call_id` is the caller's id or the session's.

        Who joins hears what the caller hears and may say what they may. It begins with `session.created`, as
        things are; who lags too far behind is left behind, and their line ends. Raises `ProtocolError` if there
        is no such conversation, or too many have joined.
        """
        exchange = self._find(call_id)
        if len(exchange.beside) >= self.limits.sidebands:
            raise ProtocolError(
                f"{self.limits.sidebands} others have joined this call already (limits.sidebands).",
                code="rate_limit_exceeded",
            )
        lane = Lane(self.limits.sideband_depth)
        if exchange.session is not None:
            lane.push(e.SessionCreated(session=exchange.session))
        exchange.beside.append(lane)
        try:
            async with _Sideband(exchange, lane) as line:
                yield line
        finally:
            if lane in exchange.beside:
                exchange.beside.remove(lane)

    def caller(self, call_id: str) -> Caller:
        """Return who holds a conversation. Raises `ProtocolError` if there is none."""
        return self._find(call_id).caller

    async def refer(self, call_id: str, target: str) -> None:
        """Hand a call over. Raises `ProtocolError` if there is none, or its transport cannot do that."""
        caller = self._find(call_id).caller
        if caller.refer is None:
            raise ProtocolError(
                f"Call '{call_id}' came by {caller.transport}, which cannot hand it over to a number.",
                code="call_cannot_be_referred",
            )
        await caller.refer(target)

    def hang_up(self, call_id: str) -> None:
        """End a conversation from outside. Raises `ProtocolError` if there is none."""
        self._find(call_id).down.end()

    def _find(self, call_id: str) -> "_Exchange":
        for exchange in self._exchanges.values():
            if call_id in (exchange.caller.id, exchange.session_id):
                return exchange
        raise no_such_call(call_id)

    async def _converse(self, exchange: "_Exchange") -> None:
        async with _EnginesEnd(exchange) as line:
            try:
                await self._engine.converse(line, exchange.caller.session)
            except* HungUp:
                log.debug("%s hung up", exchange.caller.id)
            except* Exception:  # ours: it ends this conversation, and no other
                log.exception("conversation %s ended by an error of ours", exchange.caller.id)
                await _apologise(line)


class _Exchange:
    """One conversation: the engine at one end, the caller and whoever has joined at the other."""

    def __init__(self, caller: Caller, limits: Limits, listeners: tuple[Listener, ...]) -> None:
        self.caller, self._limits, self._listeners = caller, limits, listeners
        self.up, self.down = Lane(limits.line_depth), Lane(limits.line_depth)
        self.beside: list[Lane] = []
        self.session: Session | TranscriptionSession | None = None

    @property
    def session_id(self) -> str | None:
        """The id under which the client knows the conversation."""
        return (self.session.id or None) if self.session else None

    def note(self, event: e.Event, by: Literal["client", "server"]) -> None:
        """Tell those who listen, in passing; secrets are not for their ears."""
        shown = _without_secrets(event) if by == "client" and self._listeners else event
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
            self.tell_beside(lane, event)

    def tell_beside(self, lane: Lane, event: e.Event) -> None:
        """Tell one who has joined, unless they have left."""
        if lane not in self.beside:
            return
        if lane.is_full:
            log.info("somebody who joined %s reads too slowly; their line is closed", self.caller.id)
            lane.push(_too_slow(self._limits))
            self._dismiss(lane)
        else:
            lane.push(event)

    def _dismiss(self, lane: Lane) -> None:
        lane.end()
        self.beside.remove(lane)

    def over(self) -> None:
        """Nobody will say anything more."""
        for lane in tuple(self.beside):
            self._dismiss(lane)


class _SaidBeside(e.Event, frozen=True, kw_only=True):
    """What somebody says who has joined, and the lane on which they hear."""

    event: e.Event
    lane: Lane


class _EnginesEnd(Line):
    """Where all that passes is noted, in the order in which the engine hears and says it.

    An `error` for one event is for whoever said that. One that comes from a transport, in place of an event
    that it could not read, is answered here when its turn comes.
    """

    def __init__(self, exchange: _Exchange) -> None:
        super().__init__(exchange.down, exchange.up)
        self._exchange = exchange
        self._joined: Lane | None = None
        """whoever said what was heard last, if that is somebody who has joined"""

    async def send(self, event: e.Event) -> None:
        self._exchange.tell(event)
        await self._outgoing.put(event)

    async def refuse(self, error: e.ErrorEvent) -> None:
        self._exchange.note(error, "server")
        if self._joined is None:
            await self._outgoing.put(error)
        else:
            self._exchange.tell_beside(self._joined, error)

    async def __anext__(self) -> e.Event:
        while True:
            event, self._joined = _who_said(await super().__anext__())
            if not isinstance(event, e.ErrorEvent):
                self._exchange.note(event, "client")
                return event
            await self.refuse(event)


def _who_said(event: e.Event) -> tuple[e.Event, Lane | None]:
    return (event.event, event.lane) if isinstance(event, _SaidBeside) else (event, None)


class _CallersEnd(Line):
    """What a transport that plays the sound itself has to tell is turned round: it is the client's to hear.

    Not so an `error`: it waits for its turn, behind what was said before.
    """

    def __init__(self, exchange: _Exchange) -> None:
        super().__init__(exchange.up, exchange.down)
        self._exchange = exchange

    async def send(self, event: e.Event) -> None:
        if isinstance(event, e.ServerEvent | e.DtmfEventReceived) and not isinstance(event, e.ErrorEvent):
            self._exchange.tell(event)
            self._incoming.push(event)  # whoever sends it is also the one who takes it: never wait here
        else:
            await self._outgoing.put(event)


class _Sideband(Line):
    """What only the one who plays the sound can do is theirs to hear."""

    def __init__(self, exchange: _Exchange, lane: Lane) -> None:
        super().__init__(lane, exchange.down)
        self._exchange = exchange

    async def send(self, event: e.Event) -> None:
        if self._exchange.caller.plays and isinstance(event, e.OutputAudioBufferClear):
            self._exchange.note(event, "client")
            await self._exchange.up.put(event)
        else:
            await self._outgoing.put(self._from_us(event))

    def offer(self, event: e.Event) -> bool:
        return super().offer(self._from_us(event))

    def _from_us(self, event: e.Event) -> "_SaidBeside":
        return _SaidBeside(event=event, lane=self._incoming)

    async def __aexit__(self, *_: object) -> None:
        """Leave; the conversation goes on."""
        self._incoming.abandon()


def _without_secrets(event: e.Event) -> e.Event:
    """Return what a client said without what it said for an MCP server's ears alone."""
    match event:
        case e.SessionUpdate(session=session):
            return structs.replace(event, session=without_secrets(session))
        case e.ResponseCreate(response=ResponseParams() as wish):
            return structs.replace(event, response=without_secrets(wish))
        case _:
            return event


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


async def _apologise(line: Line) -> None:
    details = e.ErrorDetails(
        type="server_error",
        code="internal_error",
        message="An error of the server's ended this conversation; others go on. Please connect again.",
    )
    with anyio.move_on_after(1):
        try:
            await line.send(e.ErrorEvent(error=details))
        except HungUp:
            return
