"""A real vivavoce with tools of its owner's, and the stock `openai` client, which knows nothing of them."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from openai import AsyncOpenAI

from clients.serving import running
from clients.talk import has, on_the_phone, only
from clients.weather import DESK, desk

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

TOOLS = 2
TABLES = """
[[tools.mcp]]
label = "desk"
command = ["{python}", "{desk}", "stdio"]
allowed_tools = ["get_weather"]

[[tools.http]]
name = "find_readiness"
description = "Tells whether the models of a vivavoce are ready."
url = "{url}"
parameters = {{ words = "What to look for." }}
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("tools")
    with desk("streamable-http") as port:  # which, asked without a protocol, says no
        tables = TABLES.format(python=sys.executable, desk=DESK, url=f"http://127.0.0.1:{port}/nowhere")
        (folder / "vivavoce.toml").write_text(tables, encoding="utf-8")
        with running("--preset", "scripted", folder=folder) as url:
            yield url


async def until_all_are_there(url: str) -> None:
    """Wait for the server of tools, for which a slow machine may need longer than the start waits."""
    client, there = AsyncOpenAI(api_key="none", base_url=url), 0
    with anyio.fail_after(120):
        while there < TOOLS:
            async with client.realtime.connect(model="vivavoce") as connection:
                created: Any = await connection.recv()
                there = len(created.session.tools)
            await anyio.sleep(0.2)


async def said(url: str, words: str) -> tuple[list[str], str]:
    """Write to the house; return the tools that were called, and the last words of the answer."""
    await until_all_are_there(url)
    client = AsyncOpenAI(api_key="none", base_url=url)
    connecting = client.realtime.connect(model="vivavoce")
    session = {"type": "realtime", "output_modalities": ["text"]}
    async with client, on_the_phone(connecting, silent=True, **session) as talk:
        await talk.write(words)
        await talk.connection.response.create()
        events = await talk.until(has("response.output_text.done"))
        calls = [event.name for event in events if event.type == "response.function_call_arguments.done"]
        return calls, only(events, "response.output_text.done").text


async def test_a_client_that_names_no_tools_has_those_of_the_house(house: str) -> None:
    calls, answer = await said(house, "What is the weather in Paris?")
    assert calls == ["get_weather"]
    assert answer == "It is sunny in Paris, 21 degrees."


async def test_an_endpoint_that_says_no_is_spoken_of(house: str) -> None:
    calls, answer = await said(house, "Find readiness of the models.")
    assert calls == ["find_readiness"]
    assert "404 Not Found" in answer
