"""Tools that are addresses on the web, over real sockets: what they are asked, and what is told of them."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import msgspec
import pytest
from anyio.abc import SocketAttribute, SocketStream

from vivavoce.config.tools import HttpToolTable, ToolsTable
from vivavoce.errors import ConfigError
from vivavoce.limits import Limits
from vivavoce.tools.registry import open_tools
from vivavoce.tools.types import Context, Tool, ToolError

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

SECRET = "mellon-and-more"


async def silence(words: str) -> None:
    raise AssertionError("nobody was to speak")


CONTEXT = Context("call_1", "caller_1", {}, silence)


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


JSON = "Content-Type: application/json"


@asynccontextmanager
async def answering(*answers: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Answer one request after the other, None never; give the address, and what was asked."""
    asked: list[bytes] = []
    to_come = iter(answers)

    async def serve(stream: SocketStream) -> None:
        async with stream:
            request = await stream.receive()
            while not whole(request):
                request += await stream.receive()
            asked.append(request)
            answer = next(to_come)
            if answer is None:
                await anyio.sleep_forever()
            else:
                await stream.send(answer)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra_attributes[SocketAttribute.local_port]()
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(partial(listener.serve, serve))
        yield f"http://127.0.0.1:{port}", asked
        tasks.cancel_scope.cancel()


def whole(request: bytes) -> bool:
    head, _, body = request.partition(b"\r\n\r\n")
    lengths = [
        line.partition(b":")[2] for line in head.lower().splitlines() if line.startswith(b"content-length:")
    ]
    return b"\r\n\r\n" in request and len(body) >= int(lengths[0] if lengths else 0)


@asynccontextmanager
async def tool(url: str, limits: Limits | None = None, **written: Any) -> AsyncIterator[Tool]:
    table = HttpToolTable(name="order_status", description="Looks an order up.", url=url, **written)
    async with open_tools(ToolsTable(http=(table,)), limits or Limits()) as shelf:
        (made,) = shelf.tools()
        yield made


async def ask(made: Tool, **arguments: object) -> str:
    return (await made.run(msgspec.json.encode(arguments).decode(), CONTEXT)).output


async def test_an_endpoint_is_asked_and_tells() -> None:
    said = b'{\n  "state": "sent",\n  "on": "2026-03-31"\n}'
    async with (
        answering(http("200 OK", said, JSON)) as (url, asked),
        tool(f"{url}/orders/{{order_id}}?brief=1", parameters={"order_id": "The order's four digits."}) as made,
    ):
        assert made.parameters == {
            "type": "object",
            "properties": {"order_id": {"type": "string", "description": "The order's four digits."}},
            "required": ["order_id"],
        }
        assert await ask(made, order_id=1042) == '{"state":"sent","on":"2026-03-31"}'
    assert asked[0].startswith(b"GET /orders/1042?brief=1 HTTP/1.1\r\n")


async def test_arguments_that_the_address_leaves_are_the_body_of_a_post() -> None:
    taken = {"order_id": "The order.", "reason": "Why.", "count": {"type": "integer", "required": False}}
    async with (
        answering(http("201 Created"), http("200 OK", b"Thank you.", "Content-Type: text/plain")) as (
            url,
            asked,
        ),
        tool(f"{url}/orders/{{order_id}}/returns", method="POST", parameters=taken) as made,
    ):
        assert await ask(made, order_id="1042", reason="too small", count="2") == "Done."
        assert await ask(made, order_id="1042", reason="too small") == "Thank you."
    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /orders/1042/returns HTTP/1.1\r\n")
    assert msgspec.json.decode(body) == {"reason": "too small", "count": 2}


async def test_else_they_join_the_query() -> None:
    taken = {
        "words": "What to look for.",
        "tags": {"type": "array", "required": False},
        "old": {"type": "boolean"},
    }
    async with (
        answering(http("200 OK", b"[]", JSON)) as (url, asked),
        tool(f"{url}/find", parameters=taken) as made,
    ):
        await ask(made, words="a&b=c", tags=["x", "y z"], old=True)
    assert asked[0].startswith(b"GET /find?words=a%26b%3Dc&tags=x&tags=y%20z&old=true HTTP/1.1\r\n")


async def test_wrong_arguments_are_told_of_and_nobody_is_asked() -> None:
    schema = {
        "type": "object",
        "properties": {"limit": {"type": "integer", "maximum": 9}},
        "required": ["limit"],
    }
    async with answering() as (url, asked), tool(url, parameters=schema) as made:
        with pytest.raises(ToolError, match=r"limit: .* needed is a whole number"):
            await ask(made, limit=10)
        with pytest.raises(ToolError, match="colour: there is no such argument"):
            await ask(made, limit=1, colour="red")
    assert asked == []


async def test_a_secret_goes_to_the_endpoint_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SHOP_KEY", SECRET)
    caplog.set_level(logging.DEBUG)
    headers = {"Authorization": "Bearer ${SHOP_KEY}", "X-Shop": "main"}
    echo = http("200 OK", f'{{"your key": "{SECRET}"}}'.encode(), JSON)
    refusal = http("401 Unauthorized", f"Bearer {SECRET} is not known".encode())
    async with answering(echo, refusal) as (url, asked), tool(url, headers=headers) as made:
        output = await ask(made)
        with pytest.raises(ToolError, match="401 Unauthorized: Bearer … is not known") as caught:
            await ask(made)
    assert f"authorization: bearer {SECRET}".encode() in asked[0].lower()
    assert b"x-shop: main" in asked[0].lower()
    assert output == '{"your key":"…"}'
    assert SECRET not in f"{caught.value!r} {made!r} {caplog.text}"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (http("404 Not Found", b"There is no order 1042."), "404 Not Found: There is no order 1042."),
        (http("500 Internal Server Error"), "500 Internal Server Error"),
        (http("503 Service Unavailable", b"x" * 2000), "503 Service Unavailable: xxx"),
        (http("200 OK", b"\x89PNG", "Content-Type: image/png"), "image/png, which is neither text nor JSON"),
        (http("200 OK", b"\x1f\x8b", JSON, "Content-Encoding: gzip"), "compressed"),
        (b"nonsense\r\n\r\n", "cannot be reached (RemoteProtocolError)"),
        (b"", "cannot be reached (RemoteProtocolError)"),
    ],
)
async def test_a_failure_is_told_in_a_sentence(answer: bytes, sentence: str) -> None:
    async with answering(answer) as (url, _), tool(url) as made:
        with pytest.raises(ToolError) as caught:
            await ask(made)
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 600


async def test_an_endpoint_that_is_not_there_is_a_failure() -> None:
    async with tool("http://127.0.0.1:9/orders") as made:
        with pytest.raises(ToolError, match=r"cannot be reached \(ConnectError\)"):
            await ask(made)


async def test_an_endpoint_that_hangs_has_its_time() -> None:
    async with answering(None) as (url, _), tool(url, seconds=0.2) as made:
        assert made.seconds == 0.2
        with pytest.raises(ToolError, match=r"no answer within 0\.2 seconds"):
            await ask(made)


async def test_no_more_is_read_than_a_model_is_told() -> None:
    body = "ö".encode() * 100_000
    answer = http("200 OK", body, "Content-Type: text/plain; charset=utf-8")
    async with answering(answer) as (url, _), tool(url, Limits(tool_output_chars=100)) as made:
        output = await ask(made)
    assert set(output) == {"ö"}
    assert 100 <= len(output) <= 200


async def test_a_redirect_is_followed_where_it_stays_in_the_house() -> None:
    moved = http("307 Temporary Redirect", b"", "Location: /new")
    async with (
        answering(moved, http("200 OK", b"here")) as (url, asked),
        tool(f"{url}/old", method="POST", parameters={"words": "Words."}) as made,
    ):
        assert await ask(made, words="well") == "here"
    assert asked[1].startswith(b"POST /new HTTP/1.1\r\n")
    assert asked[1].endswith(b'{"words":"well"}')


async def test_nobody_is_sent_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", SECRET)
    async with answering() as (elsewhere, asked):
        moved = http("302 Found", b"", f"Location: {elsewhere}")
        async with answering(moved) as (url, _), tool(url, headers={"X-Key": "${SHOP_KEY}"}) as made:
            with pytest.raises(ToolError, match="redirects to another server"):
                await ask(made)
    assert asked == []


async def test_nobody_runs_in_circles() -> None:
    moved = http("302 Found", b"", "Location: /")
    async with answering(*[moved] * 9) as (url, asked), tool(url) as made:
        with pytest.raises(ToolError, match="redirected 5 times"):
            await ask(made)
    assert len(asked) == 5


async def test_what_one_call_is_told_to_remember_does_not_come_up_in_another() -> None:
    told = http("200 OK", b"ok", "Set-Cookie: caller=1; Path=/")
    async with answering(told, told) as (url, asked), tool(url) as made:
        await ask(made)
        await ask(made)
    assert b"cookie" not in asked[1].lower()


async def test_an_address_too_long_is_a_failure() -> None:
    async with tool("http://127.0.0.1:9/{it}", parameters={"it": "It."}) as made:
        with pytest.raises(ToolError, match="too long"):
            await ask(made, it="x" * 70_000)


# what the owner writes


async def test_what_is_written_is_what_the_tool_is() -> None:
    written = {
        "filler": "One moment.",
        "confirm": "Cancel {order_id}?",
        "max_concurrency": 2,
        "on_interruption": "cancel",
    }
    parameters = {
        "order_id": {"type": "string", "pattern": r"^\d{4}$"},
        "note": {"type": "string", "default": ""},
    }
    async with tool("https://shop.example.org/{order_id}", parameters=parameters, **written) as made:
        assert {name: getattr(made, name) for name in written} == written
        assert (made.name, made.description) == ("order_status", "Looks an order up.")
        assert made.parameters["required"] == ["order_id"]


async def test_a_secret_that_is_not_there_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"no key SHOP_KEY for .* order_status; write: SHOP_KEY=…"):
        async with tool("https://shop.example.org", headers={"X-Key": "${SHOP_KEY}"}):
            pass
