"""Calls that go wrong: servers that refuse, break, babble or say nothing, on sockets of this machine."""

import logging
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import anyio
import pytest
from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers

from clients.serving import reserved_port
from vivavoce.connect import Endpoint, RemoteLine, connect, endpoint_at
from vivavoce.errors import ConfigError, ProviderError
from vivavoce.protocol import codec as wire
from vivavoce.protocol import events as e
from vivavoce.session.line import HungUp

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

KEY = "sk-mellon"
COMMITTED = e.InputAudioBufferCommitted(item_id="mine")

Behaviour = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def somebody(behave: Behaviour, refusal: Response | None = None) -> AsyncIterator[Endpoint]:
    """Listen on a free port, and behave like this; give the place, which is shown a key."""

    def refuse(_: ServerConnection, request: Request) -> Response | None:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        return refusal

    async with serve(behave, "127.0.0.1", 0, process_request=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield endpoint_at(f"ws://127.0.0.1:{port}", key=KEY)


async def listen(connection: ServerConnection) -> None:
    """Hear everything, and say nothing."""
    async for _ in connection:
        pass


def refusing(status: HTTPStatus, body: str = "", **headers: str) -> Response:
    return Response(
        status, status.phrase, Headers({"Content-Length": str(len(body)), **headers}), body.encode()
    )


async def problem(there: Endpoint, **wishes: float) -> ProviderError:
    """Call somebody in vain; return why. Nothing that is told of it holds the key."""
    with pytest.raises(ProviderError) as caught:
        async with connect(there, **wishes):  # type: ignore[arg-type]
            pass
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert KEY not in repr(caught.value)
    return caught.value


async def heard(line: RemoteLine) -> list[e.Event]:
    """Hear a line until it ends, and see that nothing can be said into it then."""
    with anyio.fail_after(10):
        events = [event async for event in line]
        with pytest.raises(HungUp):
            await say_on_and_on(line)
    return events


async def say_on_and_on(line: RemoteLine) -> None:
    while True:
        await line.send(e.InputAudioBufferCommit())


# who cannot be called


async def test_a_server_refuses_in_its_own_words() -> None:
    words = f'{{"error": {{"message": "Incorrect API key provided: {KEY}."}}}}'
    async with somebody(listen, refusing(HTTPStatus.UNAUTHORIZED, words)) as there:
        error = await problem(there)
    assert error.provider == there.name
    assert error.message == "refuses the connection (HTTP 401): Incorrect API key provided: …."
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "body", "retryable"),
    [
        (HTTPStatus.SERVICE_UNAVAILABLE, "<html>", True),
        (HTTPStatus.TOO_MANY_REQUESTS, "{}", True),
        (HTTPStatus.NOT_FOUND, "", False),
        (HTTPStatus.BAD_REQUEST, '{"error": 7}', False),
    ],
)
async def test_a_refusal_may_be_without_words(status: HTTPStatus, body: str, retryable: bool) -> None:
    async with somebody(listen, refusing(status, body)) as there:
        error = await problem(there)
    assert error.message == f"refuses the connection (HTTP {status})"
    assert error.retryable is retryable


async def test_redirects_are_not_followed_with_the_key() -> None:
    async with somebody(listen) as other:
        moved = refusing(HTTPStatus.TEMPORARY_REDIRECT, Location=other.url)
        async with somebody(listen, moved) as there:
            error = await problem(there)
    assert error.message == "refuses the connection (HTTP 307)"


async def test_an_unreachable_server_may_be_tried_again() -> None:
    with reserved_port() as port:
        error = await problem(endpoint_at(f"ws://127.0.0.1:{port}", key=KEY))
    assert error.message.startswith("cannot be reached (")
    assert error.retryable


async def test_a_server_that_does_not_pick_up_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = await problem(endpoint_at(f"ws://127.0.0.1:{silent.getsockname()[1]}", key=KEY), seconds=0.2)
    assert error.message == "cannot be reached (it does not answer)"
    assert error.retryable


async def test_a_server_without_tls_receives_nothing() -> None:
    async with somebody(listen) as there:
        error = await problem(endpoint_at(there.url.replace("ws:", "wss:"), key=KEY))
    assert error.message.startswith("cannot be reached (")
    assert error.retryable


async def test_a_name_that_no_host_can_have_is_no_address() -> None:
    with pytest.raises(ConfigError, match="is no address of a server"):
        async with connect(endpoint_at(f"ws://{'a' * 70}.example.org", key=KEY)):
            pass


# how a line ends


@pytest.mark.parametrize(
    ("code", "reason", "told", "retryable"),
    [
        (1001, "", "hung up (1001)", True),
        (1011, "oops", "hung up (1011): oops", True),
        (1008, "you again", "hung up (1008): you again", False),
        (4000, "invalid_request_error.beta_api_shape_disabled", None, False),
        (3000, f"invalid_request_error.invalid_api_key: {KEY}", None, False),
    ],
)
async def test_an_abnormal_closure_is_a_loss(
    code: int, reason: str, told: str | None, retryable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.send(wire.encode(COMMITTED))
        await connection.close(code, reason)

    async with somebody(leave) as there, connect(there) as line:
        assert await heard(line) == [COMMITTED]
    assert line.lost is not None
    assert line.lost.message == (told or f"hung up ({code}): {reason}").replace(KEY, "…")
    assert line.lost.retryable is retryable
    assert str(line.lost) in caplog.text


async def test_a_normal_closure_is_no_loss() -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.send(wire.encode(COMMITTED))

    async def leave_without_a_word(connection: ServerConnection) -> None:
        connection.protocol.send_close()
        connection.transport.writelines(connection.protocol.data_to_send())
        await listen(connection)

    async with somebody(leave) as there, connect(there) as line:
        assert await heard(line) == [COMMITTED]
    assert line.lost is None
    async with somebody(leave_without_a_word) as there, connect(there) as line:
        assert await heard(line) == []
    assert line.lost is None


async def test_a_broken_connection_is_reported() -> None:
    async def break_off(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with somebody(break_off) as there, connect(there) as line:
        await heard(line)
    assert line.lost is not None
    assert line.lost.message.startswith("the connection broke (")
    assert line.lost.retryable


async def test_a_message_may_not_be_too_big() -> None:
    async def babble(connection: ServerConnection) -> None:
        await connection.send(" " * 1001)
        await listen(connection)

    async with somebody(babble) as there, connect(there, message_bytes=1000) as line:
        await heard(line)
    assert line.lost is not None
    assert line.lost.message == "sent more in one message than limits.message_bytes"
    assert not line.lost.retryable


async def test_leaving_hangs_up() -> None:
    said, codes = list[str | bytes](), list[int | None]()

    async def note(connection: ServerConnection) -> None:
        said.extend([message async for message in connection])
        codes.append(connection.close_code)

    async with somebody(note) as there:
        async with connect(there) as line:
            await line.send(e.InputAudioBufferCommit())
            await anyio.wait_all_tasks_blocked()
        assert line.lost is None
    assert said == ['{"type":"input_audio_buffer.commit"}']
    assert codes == [1000]


# what is said


async def test_what_is_no_event_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    async def babble(connection: ServerConnection) -> None:
        for message in ("blah", b"\xff", '{"type": "novelty"}', wire.encode(COMMITTED)):
            await connection.send(message)

    async with somebody(babble) as there, connect(there) as line:
        assert await heard(line) == [COMMITTED]
    assert caplog.text.count("The server's event cannot be read") == 2


async def test_the_key_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with somebody(listen) as there, connect(there) as line:
        await line.send(e.InputAudioBufferCommit())
    ours = [one for one in caplog.records if one.name != "websockets.server"]
    assert KEY not in "\n".join(one.getMessage() for one in ours)
    assert KEY in caplog.text, "somebody does tell the headers"
