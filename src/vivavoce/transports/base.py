"""The contract of transports, and helpers that they share.

A transport is a way for callers to reach the server: it accepts their connections, connects each to an engine,
and carries events both ways until one side ends the call. `docs/contributing.md` shows how to add one.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeVar, get_args

import anyio
from msgspec.structs import replace
from starlette.types import Scope

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.memory import release_soon
from vivavoce.protocol.codec import error_event
from vivavoce.protocol.dialects import GA, Dialect
from vivavoce.protocol.events import Event, SessionCreated, SessionUpdated, new_id
from vivavoce.protocol.session import AnySession, Session
from vivavoce.session.call import Caller, Storing, least
from vivavoce.session.line import HungUp, Line

Connect = Callable[[Caller], AbstractAsyncContextManager[Line]]
"""Connects a caller to an engine, as `Switchboard.connect` does; leaving the block ends the call.

Raises `ProtocolError` on entering the block if the caller is refused.
"""

ConnectionT = TypeVar("ConnectionT", contravariant=True)


class Transport(Protocol[ConnectionT]):
    """A way for callers to reach the server, by connections of one kind: a WebSocket, an SDP offer, a terminal.

    The constructor's first arguments are `connect` (`Connect`) and `limits` (`Limits`), then its own settings.
    """

    name: ClassVar[str]
    """its name in errors, webhooks and logs; the value of `Caller.transport`"""
    plays_audio: ClassVar[bool]
    """whether it plays the audio of responses itself (`Caller.plays_audio`)

    Such a transport does not send `response.output_audio.delta` to the client. It reads the audio from a
    `Playout` in real time, and sends the events of that to the line: `output_audio_buffer.*`, and
    `conversation.item.truncate` when the caller interrupts. With other transports, the client does this.
    """

    async def accept(self, connection: ConnectionT) -> None:
        """Connect one caller and carry events both ways; return when the call has ended.

        A call ends when the line ends, when the client leaves, or by `hang_up`. Cancelling this ends the call.
        A transport that can transfer calls sets `Caller.refer`; without it, transfers fail with
        `call_cannot_be_referred`. If the caller is refused, raises `ProtocolError` before the connection is
        accepted, unless the connection has its own way to report that.
        """
        ...

    async def hang_up(self) -> None:
        """End all calls, and later ones as soon as they are accepted; return when all have ended."""
        ...


@dataclass
class OpenCalls:
    """The open calls of one transport, so that `hang_up` can end them all."""

    closing: anyio.Event = field(default_factory=anyio.Event)
    """set by `hang_up`; every call ends when it is set"""
    _ended: set[anyio.Event] = field(default_factory=set)

    @contextmanager
    def track(self) -> Iterator[None]:
        """Count a call as open for as long as the block lasts."""
        ended = anyio.Event()
        self._ended.add(ended)
        try:
            yield
        finally:
            self._ended.discard(ended)
            ended.set()
            release_soon()

    async def hang_up(self) -> None:
        """As `Transport.hang_up`."""
        self.closing.set()
        for ended in tuple(self._ended):
            await ended.wait()


@dataclass
class EventRate:
    """Limits the rate at which a client's events are read, to `limit` per second."""

    limit: int
    _since: float = field(default_factory=anyio.current_time)
    _count: int = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether `count` would wait."""
        return self._count >= self.limit

    def count_nowait(self) -> None:
        """Count an event that has been read."""
        self._count += 1

    async def count(self) -> None:
        """Count an event; if the limit is reached, wait for the next second."""
        self._count += 1
        if self._count > self.limit:
            await anyio.sleep_until(self._since + 1)
            self._since, self._count = anyio.current_time(), 0


async def run_until_first(*parts: Callable[[], Awaitable[object]]) -> OSError | None:
    """Run the parts of a call concurrently until the first returns, and cancel the others.

    A part that raises `HungUp` does not end the others: the engine's last events must still be sent to the
    client. Returns the error if the call ended because the connection broke (an `OSError`, or `TimeoutError`).
    """
    broken: OSError | None = None

    async def run(part: Callable[[], Awaitable[object]]) -> None:
        nonlocal broken
        try:
            await part()
        except HungUp:
            return
        except OSError as error:
            broken = error
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for part in parts:
            tasks.start_soon(run, part)
    return broken


@dataclass(frozen=True)
class Handshake:
    """The request that opens a call, or joins the call `call_id`.

    `session` is the session of the caller's client secret, or of `intent`. `extras` requests vivavoce's
    extensions to the protocol. `identity` is the caller's, as authentication has found it. `continues` is
    the id of an earlier conversation, `store` what may be written down of this one.
    """

    address: str = ""
    model: str | None = None
    session: AnySession | None = None
    call_id: str | None = None
    dialect: Dialect = GA
    extras: bool = False
    identity: str | None = None
    continues: str | None = None
    store: Storing = "all"

    def caller(self, transport: str, *, plays_audio: bool, id_prefix: str = "sess") -> Caller:
        """Return the `Caller` for this request, with a new id."""
        return Caller(
            transport,
            self.address,
            self.model,
            self.session,
            plays_audio=plays_audio,
            extras=self.extras,
            identity=self.identity,
            continues=self.continues,
            store=self.store,
            id=new_id(id_prefix),
        )

    def with_model(self, event: Event) -> Event:
        """Put the requested model's name into a session event, since clients expect the name they requested."""
        if self.model is None or not isinstance(event, SessionCreated | SessionUpdated):
            return event
        if not isinstance(event.session, Session):
            return event
        return replace(event, session=replace(event.session, model=self.model))


def address_of(scope: Scope) -> str:
    """Return the IP address from which a request comes; a Unix socket has none."""
    return (scope.get("client") or ("",))[0]


def wants_extras(query: Mapping[str, str]) -> bool:
    """Return whether a request's query asks for vivavoce's extensions to the protocol (`?extras=1`)."""
    return query.get("extras", "0") not in ("", "0", "false")


def wanted_store(query: Mapping[str, str], bound: Storing = "all") -> Storing:
    """Return what may be written down by a request's query (`?store=`) and what its client secret is bound to.

    As in OpenAI's APIs, `false` is `nothing`. Raises `ProtocolError` for another value.
    """
    known: Mapping[str, Storing] = {one: one for one in get_args(Storing)} | {"true": "all", "false": "nothing"}
    wish = query.get("store", "all")
    if wish not in known:
        message = f"store is one of {', '.join(get_args(Storing))}, not {wish[:80]!r}."
        raise ProtocolError(message, code="invalid_value", param="store")
    return least(known[wish], bound)


def decode_event(text: str | bytes | None, dialect: Dialect, limits: Limits) -> Event:
    """Decode a client's message; return an `error` event if it is invalid. `text` is None if it was binary.

    An `error` that is sent on the line is returned to the client in the order of its events.
    """
    try:
        if text is None:
            raise ProtocolError("Events are JSON in text messages; this one was binary.", code="invalid_event")
        return dialect.decode_client(text, limits)
    except ProtocolError as error:
        return error_event(error)
