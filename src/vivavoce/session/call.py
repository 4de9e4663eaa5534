"""An active call: its caller, sidebands, middleware and listeners, and the routing of events among them."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, get_args

import anyio
from msgspec import UNSET, structs

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import error_event
from vivavoce.protocol.items import Item
from vivavoce.protocol.session import AnySession, Session
from vivavoce.protocol.tools import event_without_secrets
from vivavoce.session.line import EventQueue, Line
from vivavoce.session.middleware import EndedBy, Listener, Middleware, ObservedEvent, SupportsEnd

log = logging.getLogger(__name__)

Refer = Callable[[str], Awaitable[None]]
"""Transfers a call to another party, given by its URI (`tel:…`, `sip:…`). Raises `ProviderError`."""

Leave = Callable[[], Awaitable[None]]
"""Ends a call once what was said has been heard."""

Press = Callable[[str], Awaitable[None]]
"""Sends the tones of telephone keys once what was said has been heard."""

OnError = Callable[[e.ErrorEvent], None]
"""Receives the `error` about an event that a sideband or the middleware sent."""

REMEMBERED_EVENTS = 256
"""events of sidebands and middleware whose sender is stored: a remote engine reports errors with a delay"""


Storing = Literal["nothing", "words", "all"]
"""What of a conversation may be written down: nothing, not even that there was one; words; sound as well."""


def least(*wishes: Storing) -> Storing:
    """Return what all agree to: everybody may keep something from being written down, nobody adds to it."""
    return min(wishes, key=get_args(Storing).index)


@dataclass(frozen=True, eq=False)
class Caller:
    """A caller as a transport describes it, with the session that it requests.

    `transport` is the transport's name, `address` the client's IP address or the like. `plays_audio` means
    that the transport plays the audio itself, and reports that (`output_audio_buffer.*`). `refer` transfers
    the call, if the transport can; `leave` ends it politely, and `press` sends tones, if the transport
    plays the audio. `external_id` is the id that a telephone peer gives the call, `metadata` what else it says
    of it, by name (`from`, `to`), which may come from anybody. `extras` means that the client understands
    vivavoce's own events. `identity` is the person, as whoever holds a key of the server
    names them; None is nobody in particular. `continues` is the id of an earlier conversation that this one
    continues, or `LAST`. `in_real_time` means that the caller listens while an answer arrives; to others it
    is sent as fast as it is made. `store` is what she lets be written down.
    """

    transport: str
    address: str = ""
    model: str | None = None
    session: AnySession | None = None
    plays_audio: bool = False
    refer: Refer | None = None
    leave: Leave | None = None
    press: Press | None = None
    external_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    extras: bool = False
    identity: str | None = None
    continues: str | None = None
    in_real_time: bool = True
    store: Storing = "all"
    id: str = field(default_factory=lambda: e.new_id("sess"))


LAST = "last"
"""`Caller.continues` for the newest conversation that the caller may continue"""


@dataclass(frozen=True)
class Recalled:
    """The earlier conversation that a caller continues: its id, and its items as a client can create them."""

    id: str
    items: Sequence[Item]


Brief = Callable[[Caller], Awaitable[str | None]]
"""Returns the instructions of a caller's conversation; None leaves them as they are."""

Recall = Callable[[Caller], Awaitable[Recalled]]
"""Finds the conversation that `Caller.continues` names. Raises `ProtocolError` if there is none that she may
continue, `ProviderError` if it cannot be read now."""


class _RoutedEvent(e.Event, frozen=True, kw_only=True):
    """An event of a sideband or the middleware, with the function that receives errors about it."""

    event: e.Event
    on_error: OnError
    by_middleware: bool = False


class ActiveCall:
    """One active conversation: the engine at one end, the caller and the sidebands at the other."""

    def __init__(
        self,
        caller: Caller,
        limits: Limits,
        listeners: Sequence[Listener],
        middleware: Middleware | None,
        *,
        is_prepared: bool = True,
    ) -> None:
        """Unless it `is_prepared`, the engine receives nothing until `prepared` is set."""
        self.caller, self.middleware, self._limits = caller, middleware, limits
        self._listeners = (*listeners, middleware.on_event) if middleware else tuple(listeners)
        self.to_client, self.to_engine = EventQueue(limits.line_depth), EventQueue(limits.line_depth)
        self.sidebands: dict[EventQueue, bool] = {}
        """by queue: whether this sideband understands events of vivavoce's own"""
        self.error_handlers: dict[str, OnError] = {}
        """by event id: receives the error about an event that was not sent by the caller"""
        self.session: AnySession | None = None
        """as it was sent to the client"""
        self.begun = anyio.Event()
        """set when the session was created"""
        self.prepared = anyio.Event()
        """set when `earlier` is complete; until then, the engine receives nothing"""
        self.earlier = deque[e.Event]()
        """what the engine receives before all else"""
        if is_prepared:
            self.prepared.set()
        self.ended_by: EndedBy | None = None

    @property
    def initial_session(self) -> AnySession | None:
        """The session that the caller requests, as the middleware passes it on."""
        requested = self.caller.session
        if requested is None or self.middleware is None:
            return requested
        passed = self.middleware.intercept(e.SessionUpdate(session=requested))
        return passed.session if isinstance(passed, e.SessionUpdate) else None

    @contextmanager
    def join(self, *, extras: bool) -> Iterator[EventQueue]:
        """Yield a queue that receives what the client receives, starting with the current session."""
        queue = EventQueue(self._limits.sideband_depth)
        if self.session is not None:
            queue.put_nowait(e.SessionCreated(session=self.session))
        self.sidebands[queue] = extras
        try:
            yield queue
        finally:
            self.sidebands.pop(queue, None)

    def observe(self, event: e.Event, source: Literal["client", "server"]) -> None:
        """Pass an event, without secrets, to the listeners."""
        if not self._listeners:
            return
        shown = event_without_secrets(event) if source == "client" else event
        at = asyncio.get_running_loop().time()  # anyio's takes four times as long, for every frame of audio
        observed = ObservedEvent(shown, source, at)
        for listener in self._listeners:
            listener(observed)

    def publish(self, event: e.Event) -> None:
        """Pass a server event to the listeners and the sidebands, but not to the caller."""
        if isinstance(event, e.SessionCreated | e.SessionUpdated):
            self.session = event.session
            self.begun.set()
        self.observe(event, "server")
        if self.caller.plays_audio and isinstance(event, e.ResponseOutputAudioDelta):
            return  # audio that the transport plays is sent to the caller's transport only
        for queue, extras in tuple(self.sidebands.items()):
            if extras or not isinstance(event, e.OwnEvent):
                self.send_to_sideband(queue, event)

    def send_to_sideband(self, queue: EventQueue, event: e.Event) -> None:
        """Send an event to a sideband, unless it has left; if its queue is full, close it."""
        if queue not in self.sidebands:
            return
        if queue.is_full:
            log.info("a sideband of %s reads too slowly and is closed (limits.sideband_depth)", self.caller.id)
            message = (
                f"{self._limits.sideband_depth} events wait to be read (limits.sideband_depth), so this line "
                "is closed; the call goes on, and can be joined again."
            )
            queue.put_nowait(error_event(ProtocolError(message, code="events_lost")))
            queue.close()
            del self.sidebands[queue]
        else:
            queue.put_nowait(event)

    async def send_to_caller(self, event: e.Event) -> None:
        """Send an event to the caller; own events only if it has `extras`. Raises `HungUp`."""
        if self.caller.extras or not isinstance(event, e.OwnEvent):
            await self.to_client.put(event)

    def instruct(self, instructions: str) -> None:
        """Have the engine receive these instructions before anything else."""
        session = Session(instructions=instructions)
        update = e.SessionUpdate(event_id=e.new_id("event"), session=session)
        self.earlier.append(_RoutedEvent(event=update, on_error=_log_refusal, by_middleware=True))

    async def continue_from(self, recalled: Recalled) -> None:
        """Have the engine create the items of an earlier conversation before anything else. Raises `HungUp`.

        An item that the engine refuses is missing then, which is no fault of the client's.
        """
        for item in recalled.items:
            create = e.ConversationItemCreate(event_id=e.new_id("event"), item=item)
            self.earlier.append(_RoutedEvent(event=create, on_error=_log_refusal, by_middleware=True))
        continued = e.ConversationContinued(conversation_id=recalled.id, items=len(recalled.items))
        self.publish(continued)
        await self.send_to_caller(continued)

    def close(self) -> None:
        """Close the lines of all sidebands, and tell the listeners."""
        for queue in self.sidebands:
            queue.close()
        self.sidebands.clear()
        listeners: tuple[object, ...] = self._listeners
        for listener in listeners:
            if isinstance(listener, SupportsEnd):
                listener.on_end(self.ended_by or "caller")


class EngineLine(Line):
    """The engine's end. Events are observed here, in the order in which the engine receives and sends them.

    An `error` about an event is sent to its sender. If a transport cannot decode an event, it queues an `error`
    in its place, which is sent back from here, so that errors stay in the order of the events.
    """

    def __init__(self, call: ActiveCall) -> None:
        super().__init__(call.to_engine, call.to_client)
        self.in_real_time = call.caller.in_real_time
        self._call = call
        self._on_error: OnError | None = None
        """receives an error about the last event; None if the caller sent it"""

    async def send(self, event: e.Event) -> None:
        if isinstance(event, e.ErrorEvent):
            on_error = self._call.error_handlers.get(event.error.event_id or "")
            if on_error:
                self._call.observe(event, "server")
                on_error(event)
                return
        self._call.publish(event)
        await self._call.send_to_caller(event)

    async def refuse(self, error: e.ErrorEvent) -> None:
        self._call.observe(error, "server")
        if self._on_error is None:
            await self._outgoing.put(error)
        else:
            self._on_error(error)

    async def __anext__(self) -> e.Event:
        while True:
            if not self._call.prepared.is_set():
                await self._call.prepared.wait()
            earlier = self._call.earlier
            passed = self._intercept(earlier.popleft() if earlier else await super().__anext__())
            if isinstance(passed, e.ErrorEvent):
                await self.refuse(passed)
            elif passed is not None:
                self._call.observe(passed, "client")
                return passed

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up, except after an exception: then the switchboard still sends an error on this line."""
        if kind is None:
            await super().__aexit__(kind, error, trace)

    def _intercept(self, event: e.Event) -> e.Event | None:
        """Return the event for the engine, an `error` for its sender, or None if it is held back."""
        self._on_error = None
        if isinstance(event, _RoutedEvent):
            self._on_error, by_middleware, event = event.on_error, event.by_middleware, event.event
            self._remember(event, self._on_error)
            if by_middleware:
                return event
        middleware = self._call.middleware
        if middleware is None or not isinstance(event, e.ClientEvent):
            return event
        try:
            return middleware.intercept(event)
        except ProtocolError as error:
            return error_event(error, event.event_id or None)

    def _remember(self, event: e.Event, on_error: OnError) -> None:
        handlers = self._call.error_handlers
        if isinstance(event, e.ClientEvent) and event.event_id is not UNSET:
            handlers[event.event_id] = on_error
        while len(handlers) > REMEMBERED_EVENTS:
            del handlers[next(iter(handlers))]


class ClientLine(Line):
    """The caller's end. Server events that a transport creates (it plays the audio) are published from here.

    An `error` is queued for the engine's end instead, so that it stays behind the events sent before it.
    """

    def __init__(self, call: ActiveCall) -> None:
        super().__init__(call.to_client, call.to_engine)
        self._call = call

    async def send(self, event: e.Event) -> None:
        if isinstance(event, e.ServerEvent | e.DtmfEventReceived) and not isinstance(event, e.ErrorEvent):
            self._call.publish(event)
            self._incoming.put_nowait(event)  # the sender is also the reader, so it must not wait here
        else:
            await self._outgoing.put(event)


class Sideband(Line):
    """The end of a further client of a call. `output_audio_buffer.clear` is sent to the playing transport."""

    def __init__(self, call: ActiveCall, queue: EventQueue) -> None:
        super().__init__(queue, call.to_engine)
        self._call = call

    async def send(self, event: e.Event) -> None:
        if self._call.caller.plays_audio and isinstance(event, e.OutputAudioBufferClear):
            self._call.observe(event, "client")
            await self._call.to_client.put(event)
        else:
            await self._outgoing.put(_RoutedEvent(event=_with_id(event), on_error=self._on_error))

    def try_send(self, event: e.Event) -> bool:
        return super().try_send(_RoutedEvent(event=_with_id(event), on_error=self._on_error))

    def _on_error(self, error: e.ErrorEvent) -> None:
        self._call.send_to_sideband(self._incoming, error)

    async def __aexit__(self, *_: object) -> None:
        """Leave the call, which continues."""
        self._incoming.close(discard=True)


@dataclass(frozen=True)
class MiddlewareHandle:
    """The `SessionHandle` of a call. Errors about its events are not sent back: middleware observes them."""

    call: ActiveCall

    async def send(self, event: e.ClientEvent) -> None:
        routed = _RoutedEvent(event=_with_id(event), on_error=lambda error: None, by_middleware=True)
        await self.call.to_engine.put(routed)

    async def resume(self, event: e.ClientEvent) -> None:
        on_error = self.call.error_handlers.get(event.event_id or "")
        await self.call.to_engine.put(_RoutedEvent(event=event, on_error=on_error) if on_error else event)

    async def notify(self, event: e.OwnEvent) -> None:
        self.call.publish(event)
        await self.call.send_to_caller(event)


def _log_refusal(error: e.ErrorEvent) -> None:
    log.warning("a conversation begins without an earlier item, or its instructions: %s", error.error.message)


def _with_id(event: e.Event) -> e.Event:
    """Return a client event with an `event_id`, so that errors about it can be routed to its sender."""
    if isinstance(event, e.ClientEvent) and event.event_id is UNSET:
        return structs.replace(event, event_id=e.new_id("event"))
    return event
