"""The transport that `docs/contributing.md` shows holds a conversation."""

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketStream

from samples.ndjson_transport import NdjsonTransport, serve
from transports.ndjson import Client, stream_pair
from vivavoce.limits import Limits
from vivavoce.session.switchboard import Switchboard
from vivavoce.testing.simulation import Simulation

pytestmark = pytest.mark.anyio


async def test_a_transport_of_your_own_holds_a_conversation() -> None:
    ours, theirs = stream_pair()
    board, client = Switchboard(Simulation(replies=["Paris, of course."]).engine), Client(theirs)
    async with theirs, anyio.create_task_group() as tasks:
        tasks.start_soon(NdjsonTransport(board.connect).accept, ours)
        assert (await client.until("session.created"))["session"]["type"] == "realtime"
        await client.send("nonsense")
        assert (await client.until("error"))["error"]["param"] == "type"
        await client.ask("What is the capital of France?")
        assert (await client.until("response.output_text.done"))["text"].strip() == "Paris, of course."
        assert [caller.transport for caller in board.callers] == ["ndjson"]
    assert not board.callers


async def test_a_caller_who_is_refused_is_told_why() -> None:
    ours, theirs = stream_pair()
    board = Switchboard(Simulation().engine, limits=Limits(conversations=0))
    async with theirs, anyio.create_task_group() as tasks:
        tasks.start_soon(NdjsonTransport(board.connect).accept, ours)
        error = (await Client(theirs).until("error"))["error"]
    assert error["code"] == "server_busy"


@pytest.mark.real_time
async def test_it_listens_for_tcp_connections(free_tcp_port: int) -> None:
    simulation = Simulation(replies=["Yes."], chat_delay=0, transcriber_delay=0, synthesizer_delay=0)
    board = Switchboard(simulation.engine)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve, board, free_tcp_port)
        async with await connected(free_tcp_port) as stream:
            client = Client(stream)
            await client.ask("Is anybody there?")
            assert (await client.until("response.output_text.done"))["text"].strip() == "Yes."
        tasks.cancel_scope.cancel()


async def connected(port: int) -> SocketStream:
    """Connect as soon as somebody listens."""
    with anyio.fail_after(20):
        while True:
            try:
                return await anyio.connect_tcp("127.0.0.1", port)
            except OSError:
                await anyio.lowlevel.checkpoint()
