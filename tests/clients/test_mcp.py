"""A real MCP server, a real vivavoce, and the stock `openai` client between which everything passes."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from clients.recorder import Recorder
from clients.serving import running
from clients.talk import Talk, has, on_the_phone, only
from clients.weather import desk

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

KEY = "mellon"


@pytest.fixture(scope="module")
def weather() -> Iterator[dict[str, str]]:
    with desk("streamable-http") as port:
        yield {"type": "mcp", "server_label": "desk", "server_url": f"http://127.0.0.1:{port}/mcp"}


@asynccontextmanager
async def talking(url: str, *tools: dict[str, Any], **session: Any) -> AsyncIterator[Talk]:
    client = AsyncOpenAI(api_key="none", base_url=url)
    connecting = client.realtime.connect(model="vivavoce")
    told = {"type": "realtime", "output_modalities": ["text"], "tools": tools, **session}
    async with client, on_the_phone(connecting, silent=True, **told) as talk:
        yield talk


async def listed(talk: Talk) -> Any:
    events = await talk.until(has("conversation.item.done"))
    return only(events, "conversation.item.done").item


async def answer(talk: Talk, text: str | None = None, **response: Any) -> list[Any]:
    """Ask for an answer, and return all that was said until it was over."""
    at = len(talk.events)
    if text:
        await talk.write(text)
    await talk.connection.response.create(response=response)
    return await talk.until(has("response.done"), since=at)


async def test_a_client_finds_a_servers_tools_and_has_them_called(
    recorder: Recorder, weather: dict[str, str]
) -> None:
    secret = {**weather, "require_approval": "never", "authorization": KEY, "headers": {"X-Key": KEY}}
    async with talking(recorder.url, secret) as talk:
        item = await listed(talk)
        assert [tool.name for tool in item.tools] == ["get_weather", "order_umbrella"]
        assert item.tools[0].annotations == {"readOnlyHint": True}
        await answer(talk, "What is the weather in Paris?")
        await talk.until(has("response.mcp_call.completed"))
        assert "Paris" in only(talk.events, "response.mcp_call_arguments.done").arguments
        second = await answer(talk)
        assert only(second, "response.output_text.done").text == "It is sunny in Paris, 21 degrees."
        call = next(
            e.item for e in talk.events if e.type == "response.output_item.done" and e.item.type == "mcp_call"
        )
        assert call.output == "It is sunny in Paris, 21 degrees."
    assert KEY not in str(recorder.calls[0].said("server"))


async def test_a_client_approves_one_call_and_refuses_another(
    recorder: Recorder, weather: dict[str, str]
) -> None:
    """The Ruby SDK's example, step by step: examples/realtime/mcp_approval.rb."""
    async with talking(recorder.url, weather) as talk:
        await listed(talk)
        items = talk.connection.conversation.item
        for approve in (True, False):
            at = len(talk.events)
            choice = {"type": "mcp", "server_label": "desk", "name": "get_weather"}
            first = await answer(talk, "The weather in Paris, please.", tool_choice=choice)
            wanted = only(first, "response.mcp_call_arguments.done")
            request = next(
                e.item for e in first if getattr(getattr(e, "item", None), "type", "") == "mcp_approval_request"
            )
            assert (request.server_label, request.name) == ("desk", "get_weather")
            assert request.arguments == wanted.arguments
            word = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": approve}
            await items.create(item=word)
            ending = "response.mcp_call.completed" if approve else "response.mcp_call.failed"
            ended = only(await talk.until(has(ending), since=at), ending)
            assert ended.item_id == wanted.item_id
            second = await answer(talk, tool_choice="none")
            said = only(second, "response.output_text.done").text
            assert ("sunny in Paris" in said) == approve
            assert ("not approved" in said) != approve


async def test_a_tool_that_fails_is_spoken_of(recorder: Recorder, weather: dict[str, str]) -> None:
    async with talking(recorder.url, {**weather, "require_approval": "never"}) as talk:
        await listed(talk)
        await answer(talk, "Order an umbrella in red.")
        await talk.until(has("response.mcp_call.failed"))
        await talk.until(has("response.output_item.done"))
        call = only(talk.events, "response.output_item.done").item
        assert call.error.type == "tool_execution_error"
        assert "It has failed" in only(await answer(talk), "response.output_text.done").text


async def test_servers_of_the_old_kind_are_understood(recorder: Recorder) -> None:
    with desk("sse") as port:
        url = f"http://127.0.0.1:{port}/sse"
        tool = {"type": "mcp", "server_label": "old", "server_url": url, "require_approval": "never"}
        async with talking(recorder.url, tool) as talk:
            assert len((await listed(talk)).tools) == 2
            await answer(talk, "What is the weather in Rome?")
            await talk.until(has("response.mcp_call.completed"))


@pytest.mark.parametrize("path", ["/elsewhere", ":9/mcp"])
async def test_a_server_that_is_not_there_has_no_tools(
    recorder: Recorder, weather: dict[str, str], path: str
) -> None:
    url = weather["server_url"].removesuffix("/mcp") + path if path[0] == "/" else "http://127.0.0.1:9/mcp"
    async with talking(recorder.url, {**weather, "server_url": url}) as talk:
        assert (await listed(talk)).tools == []
        assert only(talk.events, "mcp_list_tools.failed")
        assert only(await answer(talk, "Say exactly: hello."), "response.output_text.done").text == "hello."


async def test_whoever_serves_others_says_which_servers_they_may_name(
    tmp_path: Path, weather: dict[str, str]
) -> None:
    (tmp_path / "vivavoce.toml").write_text(
        f'[mcp]\nallow = "listed"\nservers = ["{weather["server_url"]}"]\n', encoding="utf-8"
    )
    with running("--preset", "scripted", folder=tmp_path) as url:
        elsewhere = {**weather, "server_url": weather["server_url"].replace("/mcp", "/other")}
        async with talking(url, elsewhere) as talk:
            error = only(await talk.until(has("error")), "error").error
            assert (error.code, error.param) == ("invalid_value", "session.tools[0].server_url")
            await talk.connection.session.update(session={"type": "realtime", "tools": [weather]})
            assert len((await listed(talk)).tools) == 2
