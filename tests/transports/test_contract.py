"""What `transports/base.Transport` promises, of every transport there is."""

import inspect
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio
import httpx
import pytest

from clients.phone import Phone
from samples.ndjson_transport import NdjsonTransport
from transports import ndjson
from transports.legs import FRAME, FakeLeg
from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Message
from vivavoce.session.call import Caller
from vivavoce.session.line import Line, open_line
from vivavoce.session.switchboard import Switchboard
from vivavoce.transports.base import Handshake, Transport
from vivavoce.transports.playout import PlayoutBuffer
from vivavoce.transports.telephony.call import TelephoneTransport
from vivavoce.transports.telephony.leg import KeyPressed
from vivavoce.transports.terminal.transport import Captions, Terminal, TerminalTransport
from vivavoce.transports.upload import Upload, UploadedQuestion, UploadTransport
from vivavoce.transports.webrtc.transport import Offer, WebRtcTransport
from vivavoce.transports.websocket import AsgiConnection, WebSocketTransport

pytestmark = pytest.mark.anyio


WRITTEN = "Is anybody there?"


class Client(Protocol):
    """The other end of a transport's connection. What it writes reaches the engine as `written`."""

    transport: type[Transport[Any]]
    written: str

    async def connection(self) -> Any:
        """Return what the transport accepts."""

    async def write(self, text: str) -> None:
        """Have a user's text sent to the engine."""

    async def until(self, text: str) -> None:
        """Wait until a text of the engine's has arrived."""

    async def close(self) -> None: ...


class WebSocketClient:
    transport = WebSocketTransport
    written = WRITTEN

    def __init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[dict[str, Any]](10)
        self._connected = anyio.Event()
        self._written, self._sent = anyio.create_memory_object_stream[dict[str, Any]](10)

    async def connection(self) -> AsgiConnection:
        scope = {"type": "websocket", "query_string": b"", "headers": []}
        await self._send.send({"type": "websocket.connect"})
        self._connected.set()
        return AsgiConnection(scope, self._receive.receive, self._written.send)  # type: ignore[arg-type]

    async def write(self, text: str) -> None:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        event = json.dumps({"type": "conversation.item.create", "item": item})
        await self._connected.wait()
        await self._send.send({"type": "websocket.receive", "text": event})

    async def until(self, text: str) -> None:
        while text not in (await self._sent.receive()).get("text", ""):
            continue

    async def close(self) -> None:
        for stream in (self._send, self._receive, self._written, self._sent):
            stream.close()


class WebRtcClient:
    transport = WebRtcTransport
    written = WRITTEN

    def __init__(self) -> None:
        self._phone = Phone()
        self._opened = anyio.Event()
        assert self._phone._channel
        self._phone._channel.on("open", self._opened.set)

    async def connection(self) -> Offer:
        return Offer(await self._phone.offer(), Handshake(), self._on_answer)

    async def _on_answer(self, call_id: str, answer: str) -> None:
        headers = {"content-type": "application/sdp", "location": call_id}
        await self._phone.take(httpx.Response(201, text=answer, headers=headers))

    async def write(self, text: str) -> None:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        await self._opened.wait()
        self._phone.tell("conversation.item.create", item=item)

    async def until(self, text: str) -> None:
        await self._phone.until(lambda events: text in json.dumps(events))

    async def close(self) -> None:
        await self._phone.connection.close()


class Silence:
    """A microphone and a loudspeaker that are never used."""

    latency_ms = 0.0

    async def frames(self) -> AsyncIterator[bytes]:
        await anyio.sleep_forever()
        yield b""

    async def play(self, playout: PlayoutBuffer) -> None:
        await anyio.sleep_forever()


class TerminalClient:
    transport = TerminalTransport
    written = WRITTEN

    def __init__(self) -> None:
        self._typed, self._lines = anyio.create_memory_object_stream[str](10)
        self._out = io.StringIO()

    async def connection(self) -> Terminal:
        return Terminal(Silence(), Silence(), aiter(self._lines), Captions(self._out))

    async def write(self, text: str) -> None:
        await self._typed.send(text)

    async def until(self, text: str) -> None:
        await anyio.wait_all_tasks_blocked()
        assert text in self._out.getvalue()

    async def close(self) -> None:
        self._typed.close()
        self._lines.close()


class NdjsonClient:
    """The sample of `docs/contributing.md`."""

    transport = NdjsonTransport
    written = WRITTEN

    def __init__(self) -> None:
        self._ours, self._theirs = ndjson.stream_pair()
        self._client = ndjson.Client(self._theirs)

    async def connection(self) -> Any:
        return self._ours

    async def write(self, text: str) -> None:
        await self._client.ask(text)

    async def until(self, text: str) -> None:
        assert text in json.dumps(await self._client.until("response.output_text.delta"))

    async def close(self) -> None:
        await self._theirs.aclose()
        await self._ours.aclose()


class UploadClient:
    transport = UploadTransport
    written = WRITTEN

    def __init__(self) -> None:
        self._asked, self._questions = anyio.create_memory_object_stream[UploadedQuestion](10)
        self._question: UploadedQuestion | None = None

    async def connection(self) -> Upload:
        return Upload(self._questions)

    async def write(self, text: str) -> None:
        self._question = UploadedQuestion(text)
        await self._asked.send(self._question)
        await anyio.wait_all_tasks_blocked()  # it has been asked

    async def until(self, text: str) -> None:
        assert self._question
        assert text in repr(await self._question.receive())

    async def close(self) -> None:
        with self._question or nullcontext(), self._asked, self._questions:
            return


class TelephoneClient:
    """A caller who writes by the keys of a telephone."""

    transport = TelephoneTransport
    written = "[The caller has pressed 1 # on the telephone.]"

    def __init__(self) -> None:
        self._leg = FakeLeg(name="telephone")

    async def connection(self) -> FakeLeg:
        return self._leg

    async def write(self, text: str) -> None:
        self._leg.put(bytes(FRAME))
        for key in "1#":
            self._leg.put(KeyPressed(key))
        await anyio.sleep(0.1)

    async def until(self, text: str) -> None:
        await anyio.wait_all_tasks_blocked()
        assert text in str(self._leg.events)

    async def close(self) -> None:
        self._leg.put(None)


CLIENTS = [
    pytest.param(TelephoneClient, id="telephone"),
    pytest.param(WebSocketClient, id="websocket"),
    pytest.param(WebRtcClient, id="webrtc", marks=pytest.mark.real_time),
    pytest.param(TerminalClient, id="terminal"),
    pytest.param(UploadClient, id="upload"),
    pytest.param(NdjsonClient, id="ndjson"),
]
every_transport = pytest.mark.parametrize("new_client", CLIENTS)
NewClient = Callable[[], Client]


@dataclass
class Exchange:
    """Connects callers, and keeps the engine's end of their lines."""

    callers: list[Caller] = field(default_factory=list)
    engine: Line | None = None

    @asynccontextmanager
    async def connect(self, caller: Caller) -> AsyncIterator[Line]:
        line, self.engine = open_line(32)
        self.callers.append(caller)
        async with line:
            yield line


@asynccontextmanager
async def calling(new_client: NewClient) -> AsyncIterator[tuple[Client, Exchange, Transport[Any], anyio.Event]]:
    """Have a call accepted; give its client, the engine's end, the transport, and when it has ended."""
    client, exchange, ended = new_client(), Exchange(), anyio.Event()
    transport = client.transport(exchange.connect, Limits())

    async def accept() -> None:
        await transport.accept(await client.connection())
        ended.set()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(accept)
            with anyio.fail_after(20):
                await client.write(WRITTEN)
                while exchange.engine is None:
                    await anyio.wait_all_tasks_blocked()
                yield client, exchange, transport, ended
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await client.close()


def delta(text: str) -> e.ResponseOutputTextDelta:
    return e.ResponseOutputTextDelta(
        response_id="resp", item_id="item", output_index=0, content_index=0, delta=text
    )


@every_transport
def test_it_is_constructed_from_a_way_to_connect_callers_and_limits(new_client: Any) -> None:
    first, second, *_ = inspect.signature(new_client.transport).parameters.values()
    assert [first.name, second.name] == ["connect", "limits"]


@every_transport
async def test_it_connects_a_caller_and_says_whether_it_plays_the_audio(new_client: NewClient) -> None:
    async with calling(new_client) as (client, exchange, transport, _):
        (caller,) = exchange.callers
        assert (caller.transport, caller.plays_audio) == (transport.name, transport.plays_audio)
        assert transport.name == client.transport.name


@every_transport
async def test_it_carries_events_both_ways(new_client: NewClient) -> None:
    async with calling(new_client) as (client, exchange, _, _):
        assert exchange.engine
        await exchange.engine.send(delta("Well, yes."))
        await client.until("Well, yes.")
        async for event in exchange.engine:
            match event:
                case e.ConversationItemCreate(item=Message(content=(InputText(text=text),))):
                    assert text == client.written
                    break


@every_transport
async def test_a_call_ends_with_its_line(new_client: NewClient) -> None:
    async with calling(new_client) as (_, exchange, _, ended):
        assert exchange.engine
        await exchange.engine.__aexit__(None, None, None)
        await ended.wait()


@every_transport
async def test_hanging_up_ends_every_call_and_later_ones_as_soon_as_they_begin(new_client: NewClient) -> None:
    async with calling(new_client) as (_, exchange, transport, ended):
        await transport.hang_up()
        await ended.wait()
        assert exchange.engine
        async for _ in exchange.engine:  # what the client had sent; then the line ends
            continue
        later = new_client()
        await transport.accept(await later.connection())
        assert len(exchange.callers) <= 2
        await later.close()


@pytest.mark.parametrize("new_client", CLIENTS[:-1])
async def test_a_caller_who_is_refused_gets_no_answer_but_an_error(new_client: NewClient) -> None:
    client = new_client()

    @asynccontextmanager
    async def refuse(caller: Caller) -> AsyncIterator[Line]:
        raise ProtocolError("All places are taken.", code="server_busy")
        yield open_line(1)[0]

    try:
        with pytest.raises(ProtocolError, match="taken"):
            await client.transport(refuse, Limits()).accept(await client.connection())
    finally:
        await client.close()


@pytest.mark.parametrize("new_client", [one for one in CLIENTS if one.id != "telephone"])
async def test_a_call_that_cannot_be_transferred_says_so(new_client: NewClient) -> None:
    async with calling(new_client) as (_, exchange, transport, _):
        (caller,) = exchange.callers

        class Engine:
            async def converse(self, line: Line, session: object = None) -> None:
                await anyio.sleep_forever()

        board = Switchboard(Engine())
        async with board.connect(caller):
            with pytest.raises(ProtocolError, match=transport.name) as refused:
                await board.refer(caller.id, "tel:+14155550123")
    assert refused.value.code == "call_cannot_be_referred"
