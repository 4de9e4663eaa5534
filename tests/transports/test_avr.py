"""Calls of Agent Voice Response by real sockets: both contracts on one port, and what peers get wrong."""

import json
import re
from array import array
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import h11
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from clients.serving import running
from transports.legs import FRAME
from vivavoce.errors import ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.session.call import Caller
from vivavoce.session.middleware import ObservedEvent
from vivavoce.session.switchboard import Switchboard
from vivavoce.testing.simulation import CallerSays, Simulation, Timeline
from vivavoce.transports.telephony.avr import PATH, AvrAmi, AvrServer
from vivavoce.transports.telephony.call import TelephoneTransport
from vivavoce.transports.telephony.peers import may_call_from
from vivavoce.web.server import listen, serving_application

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

QUESTION = CallerSays(0.2, "Where is the lamp?", 0.6)
SPOKEN = array("h", [1000] * 4800).tobytes()
SILENT = bytes(2 * 8000)


class Server:
    """A server for AVR, with the events and callers of its calls."""

    def __init__(self, url: str) -> None:
        self.url, self.socket_url = url, url.replace("http", "ws", 1)
        self.callers: list[Caller] = []
        self.ended = 0
        self.timeline = Timeline([], 0)


Serve = Callable[..., AbstractAsyncContextManager[Server]]


@pytest.fixture
def serve() -> Serve:
    @asynccontextmanager
    async def serving(
        *replies: str, peers: tuple[str, ...] = (), ami: AvrAmi | None = None, **limits: Any
    ) -> AsyncIterator[Server]:
        simulation = Simulation(replies or ["On the table."], chat_delay=0, transcriber_delay=0)
        simulation.caller.utterances = [QUESTION]
        server = Server("")

        class Listener:
            def __init__(self, caller: Caller) -> None:
                server.callers.append(caller)

            def __call__(self, observed: ObservedEvent) -> None:
                server.timeline.entries.append(observed)

            def on_end(self, ended_by: str) -> None:
                server.ended += 1

        bounds = Limits(**limits)
        connect_ = Switchboard(simulation.engine, limits=bounds, listeners=[Listener]).connect
        transport = TelephoneTransport(connect_, bounds)
        application = AvrServer(transport, may_call_from(peers), ami)
        listening = listen("127.0.0.1", 0)
        async with serving_application(application, listening, bounds, transport.hang_up) as url:
            server.url, server.socket_url = url, url.replace("http", "ws", 1)
            yield server

    return serving


async def speak(client: ClientConnection, audio: bytes = SPOKEN + SILENT) -> None:
    """Send audio in real time."""
    begin = anyio.current_time()
    for at in range(0, len(audio), FRAME):
        await anyio.sleep_until(begin + at / 16_000)
        await tell(client, type="audio", audio=b64encode(audio[at : at + FRAME]).decode())


async def tell(client: ClientConnection, **message: Any) -> None:
    await client.send(json.dumps(message))


async def until(client: ClientConnection, kind: str, **fields: Any) -> dict[str, Any]:
    """Return the next message of a kind with these fields."""
    with anyio.fail_after(20):
        while True:
            message: dict[str, Any] = json.loads(await client.recv())
            if message["type"] == kind and fields.items() <= message.items():
                return message


async def until_true(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.01)


async def upload(*pieces: bytes) -> AsyncIterator[bytes]:
    """Yield pieces of a request's body, one every 20 ms; httpx reads no answer before the last."""
    for piece in pieces:
        yield piece
        await anyio.sleep(0.02)


async def test_by_http_a_call_is_answered_while_the_caller_still_sends(serve: Serve) -> None:
    async with serve() as server, await anyio.connect_tcp("127.0.0.1", httpx.URL(server.url).port or 0) as call:
        head = (
            f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\nx-uuid: call-7\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        await call.send(head.encode())
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method="POST", target=PATH, headers=[("host", "localhost")]))
        heard = bytearray()

        async def send() -> None:
            begin = anyio.current_time()
            for at in range(0, len(SPOKEN) + len(SILENT), FRAME):
                frame = (SPOKEN + SILENT)[at : at + FRAME]
                await call.send(b"%x\r\n%b\r\n" % (len(frame), frame))
                await anyio.sleep_until(begin + at / 16_000)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            with anyio.fail_after(20):
                while sum(map(bool, heard)) < 4000:
                    while (event := parser.next_event()) is h11.NEED_DATA:
                        parser.receive_data(await call.receive())
                    if isinstance(event, h11.Response):
                        assert event.status_code == 200
                    elif isinstance(event, h11.Data):
                        heard += event.data
        assert server.callers[0].transport == "avr"
        assert server.callers[0].external_id == "call-7"
        await call.aclose()
        await until_true(lambda: server.ended == 1)
    assert len(heard) % FRAME == 0


async def test_x_avr_uuid_comes_before_x_uuid_and_one_is_made_up_if_there_is_none(serve: Serve) -> None:
    async with serve() as server, httpx.AsyncClient(timeout=20) as client:
        for headers in ({"x-uuid": "b", "x-avr-uuid": "a"}, {"x-uuid": "b"}, {}):
            await client.post(server.url + PATH, content=upload(*[SILENT[:FRAME]] * 5), headers=headers)
    assert [caller.external_id for caller in server.callers[:2]] == ["a", "b"]
    assert server.callers[2].external_id.startswith("avr_")


async def test_half_a_sample_waits_for_the_rest_of_it(serve: Serve) -> None:
    async with serve() as server, httpx.AsyncClient(timeout=20) as client:
        pieces = [SPOKEN[at : at + 321] for at in range(0, len(SPOKEN), 321)]
        await client.post(server.url + PATH, content=upload(*pieces))
        sound = b"".join(
            entry.event.audio
            for entry in server.timeline.entries
            if isinstance(entry.event, e.InputAudioBufferAppend)
        )
    middle = array("h", sound)[3000:-3000]
    assert set(middle) == {1000}, "no noise"


async def test_other_paths_and_methods_are_answered_in_json(serve: Serve) -> None:
    async with serve() as server, httpx.AsyncClient() as client:
        for method, path in (("GET", PATH), ("POST", "/"), ("POST", "/call")):
            response = await client.request(method, server.url + path)
            assert response.status_code == 404
            assert PATH in response.json()["message"]


async def test_a_full_house_answers_503(serve: Serve) -> None:
    async with serve(conversations=0) as server, httpx.AsyncClient(timeout=20) as client:
        response = await client.post(server.url + PATH, content=upload(SILENT[:FRAME]))
        assert response.status_code in (500, 503)
        async with connect(server.socket_url) as socket:
            await tell(socket, type="init", uuid="u")
            await tell(socket, type="audio", audio=b64encode(SILENT[:FRAME]).decode())
            assert "limits.conversations" in (await until(socket, "error"))["message"]
            with pytest.raises(ConnectionClosed):
                await until(socket, "audio")


async def test_by_websocket_a_call_is_answered_with_transcripts(serve: Serve) -> None:
    async with serve() as server, connect(server.socket_url + "/?from=2000&to=5001&channel=x") as client:
        await tell(client, type="init", uuid="call-8")
        await speak(client)
        audio = b64decode((await until(client, "audio"))["audio"])
        assert len(audio) == FRAME
        await until(client, "transcript", role="agent", text="On the table.")
        (caller,) = server.callers
        assert (caller.external_id, caller.address) == ("call-8", "2000")


async def test_an_interruption_is_told_and_what_was_not_played_was_not_heard(serve: Serve) -> None:
    story = "There was once a lighthouse by the sea, and in it lived a keeper with his dog. " * 3
    async with serve(story) as server, connect(server.socket_url, max_queue=None) as client:
        await tell(client, type="init", uuid="u")
        await speak(client)
        await until(client, "audio")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(speak, client, SILENT + SPOKEN + SILENT)
            await until(client, "interruption")
        truncated = [
            entry.event
            for entry in server.timeline.entries
            if isinstance(entry.event, e.ConversationItemTruncate)
        ]
        assert len(truncated) == 1
        assert 500 < truncated[0].audio_end_ms < 4000


async def test_keys_reach_the_model(serve: Serve) -> None:
    async with serve("Thank you.") as server, connect(server.socket_url) as client:
        await tell(client, type="init", uuid="u")
        await speak(client, SILENT[: 50 * FRAME])
        for digit in "12#":
            await tell(client, type="dtmf_digit", digit=digit)
        await until(client, "transcript", role="agent", text="Thank you.")
        assert "pressed 1 2 #" in str(server.timeline.of(e.ConversationItemCreate))


async def test_messages_that_mean_nothing_harm_nobody(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    junk = ["", "{", "[]", "nul", '{"type":"reset"}', '{"type":"audio"}', '{"type":"audio","audio":"%%%"}']
    junk += [
        '{"type":"audio","audio":7}',
        '{"type":"dtmf_digit","digit":"55"}',
        '{"type":"init","uuid":"again"}',
    ]
    async with serve() as server, connect(server.socket_url) as client:
        await tell(client, type="init", uuid="call-9")
        for text in junk:
            await client.send(text)
        await client.send(b"\0\1\2")
        for part in (SILENT[:161], SILENT[:159], SILENT[:1]):
            await tell(client, type="audio", audio=b64encode(part).decode())
        await speak(client)
        await until(client, "transcript", role="agent")
        assert [caller.external_id for caller in server.callers] == ["call-9"]
        await client.close()
        await until_true(lambda: server.ended == 1)
    assert len([one for one in caplog.records if "ignored" in one.getMessage()]) == 1, "one line a call"


async def test_a_call_without_init_is_answered_all_the_same(serve: Serve) -> None:
    async with serve() as server, connect(server.socket_url) as client:
        await speak(client)
        await until(client, "transcript", role="agent")
        assert server.callers[0].external_id.startswith("avr_")


async def test_a_call_is_over_as_soon_as_either_side_leaves(serve: Serve) -> None:
    async with serve() as server:
        async with connect(server.socket_url) as client:
            await tell(client, type="init", uuid="u")
            await speak(client, SPOKEN)
        await until_true(lambda: server.ended == 1)
        async with connect(server.socket_url) as client:
            await tell(client, type="init", uuid="v")
            await speak(client, SILENT[: 10 * FRAME])
            (_, caller) = server.callers
            assert caller.leave
            await caller.leave()
            with anyio.fail_after(5):
                await client.wait_closed()


async def test_avr_ami_transfers_a_call_and_hangs_it_up(serve: Serve) -> None:
    asked: list[tuple[str, Any]] = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path, json.loads(request.content)))
        return httpx.Response(404 if "lost" in str(request.content) else 200, json={"message": "done"})

    ami = AvrAmi("http://ami.example:6006/", httpx.MockTransport(respond))
    async with serve(ami=ami) as server, connect(server.socket_url) as client:
        await tell(client, type="init", uuid="call-10")
        await speak(client, SILENT[: 5 * FRAME])
        (caller,) = server.callers
        assert caller.refer
        assert caller.leave
        await caller.refer("sip:200@sales")
        await caller.refer("tel:300")
        with pytest.raises(ProviderError, match=r"/transfer failed: .*404"):
            await caller.refer("lost")
        await caller.leave()
        await client.wait_closed()
    uuid = {"uuid": "call-10"}
    assert asked == [
        ("/transfer", {**uuid, "exten": "200", "context": "sales", "priority": 1}),
        ("/transfer", {**uuid, "exten": "300", "context": "demo", "priority": 1}),
        ("/transfer", {**uuid, "exten": "lost", "context": "demo", "priority": 1}),
        ("/hangup", uuid),
    ]


async def test_without_it_a_call_cannot_be_transferred(serve: Serve) -> None:
    async with serve() as server, connect(server.socket_url) as client:
        await tell(client, type="init", uuid="u")
        await speak(client, SILENT[: 5 * FRAME])
        assert server.callers[0].refer is None


async def test_pages_and_strangers_may_not_call(serve: Serve) -> None:
    async with serve() as server, httpx.AsyncClient() as client:
        response = await client.post(server.url + PATH, headers={"origin": "https://evil.example"})
        assert response.status_code == 403
        with pytest.raises(InvalidStatus):
            await connect(server.socket_url, origin="https://evil.example")  # type: ignore[arg-type]
    async with serve(peers=("192.0.2.0/24",)) as server, httpx.AsyncClient() as client:
        assert (await client.post(server.url + PATH)).status_code == 403
        with pytest.raises(InvalidStatus):
            await connect(server.socket_url)
    async with serve(peers=("127.0.0.1",)) as server, connect(server.socket_url) as socket:
        await tell(socket, type="init", uuid="u")


@pytest.mark.parametrize(
    ("networks", "address", "may"),
    [
        ((), "192.0.2.7", True),
        (("192.0.2.7",), "192.0.2.7", True),
        (("192.0.2.7",), "192.0.2.8", False),
        (("10.1.0.0/16",), "10.1.200.3", True),
        (("10.1.0.0/16",), "::ffff:10.1.200.3", True),
        (("2001:db8::/32",), "2001:db8::1", True),
        (("2001:db8::/32",), "10.1.200.3", False),
        (("10.1.0.0/16",), "", False),
    ],
)
def test_who_may_call(networks: tuple[str, ...], address: str, may: bool) -> None:
    assert may_call_from(networks)(address) == may


async def test_a_call_to_a_real_server_is_in_its_history(tmp_path: Path) -> None:
    options = ("--preset", "scripted", "--avr-port", "0", "--data", str(tmp_path))
    with running(*options, folder=tmp_path) as url:
        found = re.search(r"STS_URL=(ws://\S+)", (tmp_path / "serve.log").read_text())
        assert found
        async with connect(f"{found[1]}/?from=%2B15550100") as client:
            await tell(client, type="init", uuid="call-11")
            for digit in "1#":
                await tell(client, type="dtmf_digit", digit=digit)
            await until(client, "transcript", role="agent")
        async with httpx.AsyncClient() as asking:
            for _ in range(50):
                stored = (await asking.get(f"{url}/history")).json()["data"]
                if stored and stored[0].get("ended"):
                    break
                await anyio.sleep(0.1)
    assert [(one["transport"], one["ended_by"]) for one in stored] == [("avr", "caller")]
