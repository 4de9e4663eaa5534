"""Tools of MCP servers that the owner names: real servers, started here or asked over HTTP."""

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from clients.serving import reserved_port
from clients.weather import desk
from vivavoce.config.tools import McpToolsTable, ToolsTable
from vivavoce.errors import ConfigError
from vivavoce.limits import Limits
from vivavoce.tools.registry import ToolRegistry, open_tools
from vivavoce.tools.types import Context, Tool, ToolError

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

SHED = (sys.executable, str(Path(__file__).parent / "stdio_server.py"))


async def silence(words: str) -> None:
    raise AssertionError("nobody was to speak")


CONTEXT = Context("call_1", "caller_1", {}, silence)


@asynccontextmanager
async def registry(*tables: dict[str, Any]) -> AsyncIterator[ToolRegistry]:
    """Open the tools, and wait for all servers as the start does."""
    named = ToolsTable(mcp=tuple(McpToolsTable.model_validate(table) for table in tables))
    async with open_tools(named, Limits()) as it:
        for tried in it._tried.values():
            await tried.wait()
        yield it


def named(tools: Sequence[Tool], name: str) -> Tool:
    return next(tool for tool in tools if tool.name == name)


async def ask(it: ToolRegistry, name: str, /, **arguments: object) -> str:
    written = msgspec.json.encode(arguments).decode()
    return (await named(it.tools(), name).run(written, CONTEXT)).output


async def until(is_so: Callable[[], object]) -> None:
    with anyio.fail_after(60):
        while not is_so():  # noqa: ASYNC110 (what is waited for happens in another process)
            await anyio.sleep(0.05)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


# commands


async def test_a_command_is_started_and_its_tools_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHED_KEY", "mellon")
    monkeypatch.setenv("OURS", "alone")
    async with registry(
        {"label": "shed", "command": SHED, "env": {"KEY": "${SHED_KEY}", "PLACE": "garden"}}
    ) as it:
        tool = named(it.tools(), "environment")
        assert (tool.description, tool.seconds) == ("Says what it knows from its environment.", 30)
        assert tool.parameters["required"] == ["name"]
        assert await ask(it, "environment", name="KEY") == "mellon"
        assert await ask(it, "environment", name="PLACE") == "garden"
        assert await ask(it, "environment", name="OURS") == "nothing"
        process = int(await ask(it, "who"))
        assert "mellon" not in repr(tool)
    await until(lambda: not is_alive(process))


async def test_one_process_serves_all_conversations() -> None:
    async with registry({"label": "shed", "command": SHED}) as it:
        answers = []

        async def converse() -> None:
            answers.append(await ask(it, "who"))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(converse)
        assert len(answers) == 5
        assert len(set(answers)) == 1


async def test_a_process_that_was_killed_is_started_again() -> None:
    async with registry({"label": "shed", "command": SHED}) as it:
        first = int(await ask(it, "who"))
        os.kill(first, signal.SIGKILL)
        await until(lambda: not is_alive(first))
        await anyio.sleep(0.2)  # until the news is here, a call may still be lost
        assert int(await ask(it, "who")) != first


async def test_a_process_that_ends_in_the_middle_of_a_call_fails_that_call_and_no_other() -> None:
    async with registry({"label": "shed", "command": SHED}) as it:
        with pytest.raises(ToolError, match="The tool's server has failed: Connection closed"):
            await ask(it, "fall_down")
        assert int(await ask(it, "who"))


async def test_a_tool_that_fails_says_why() -> None:
    async with registry({"label": "shed", "command": SHED}) as it:
        with pytest.raises(ToolError, match="it rains"):
            await ask(it, "refuse", why="it rains")
        with pytest.raises(ToolError, match="why"):
            await ask(it, "refuse")
        with pytest.raises(ToolError, match="not a JSON object"):
            await named(it.tools(), "refuse").run("[]", CONTEXT)


async def test_a_call_that_is_given_up_leaves_the_others_alone() -> None:
    async with registry({"label": "shed", "command": SHED}) as it:
        who = await ask(it, "who")
        with anyio.move_on_after(0):
            await ask(it, "who")
        assert await ask(it, "who") == who


# which, called what, and with whose consent


async def test_the_owner_says_which_tools_may_be_used() -> None:
    table = {"label": "shed", "command": SHED, "allowed_tools": ["who"], "seconds": 5, "filler": "One moment."}
    async with registry(table) as it:
        (tool,) = it.tools()
        assert (tool.name, tool.seconds, tool.filler) == ("who", 5, "One moment.")


async def test_no_two_tools_have_one_name() -> None:
    async with registry({"label": "one", "command": SHED}, {"label": "two", "command": SHED}) as it:
        names = [tool.name for tool in it.tools({"refuse"})]
        assert len(set(names)) == len(names) == 8
        assert {"who", "two_who", "one_refuse", "two_refuse"} <= set(names)
        assert [tool.name for tool in it.tools({"refuse"})] == names
        assert await ask(it, "who") != await ask(it, "two_who")


async def test_the_caller_is_asked_before_what_the_owner_or_the_server_calls_dangerous() -> None:
    table = {"label": "shed", "command": SHED, "confirm": {"refuse": "Refuse because {why}?"}}
    async with registry(table) as it:
        questions = {tool.name: tool.confirm for tool in it.tools()}
    assert questions == {
        "who": "",
        "environment": "",
        "fall_down": "Shall I really do this: fall down?",
        "refuse": "Refuse because {why}?",
    }
    async with registry({**table, "confirm": {"fall_down": ""}}) as it:
        assert {tool.confirm for tool in it.tools()} == {""}


@pytest.mark.parametrize(
    ("confirm", "fault"),
    [
        ({"fall_dwon": "Really?"}, "the tool 'fall_dwon', which it does not offer"),
        ({"refuse": "Really, {reason}?"}, "{reason}, which is no argument of 'refuse'"),
    ],
)
async def test_a_question_that_would_never_be_asked_leaves_nothing_unprotected(
    confirm: dict[str, str], fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with registry({"label": "shed", "command": SHED, "confirm": confirm}) as it:
        await until(lambda: fault in caplog.text)
        assert it.tools() == []


# servers that are down


async def test_a_server_that_comes_up_late_is_asked_again_and_holds_nobody_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    morning = tmp_path / "morning"
    late = {"label": "late", "command": (*SHED, str(morning))}
    async with registry(late, {"label": "early", "command": SHED, "allowed_tools": ["who"]}) as it:
        assert [tool.name for tool in it.tools()] == ["who"]
        assert "its tools are loaded again in 1 s" in caplog.text
        morning.touch()
        await until(lambda: len(it.tools()) == 5)


async def test_a_server_over_http_is_used_as_well_and_again_after_it_was_down() -> None:
    with reserved_port() as port:
        pass
    table = {"label": "desk", "url": f"http://127.0.0.1:{port}/mcp", "headers": {"X-Place": "here"}}
    async with registry(table) as it:
        assert it.tools() == []
        for _ in range(2):
            with desk("streamable-http", port):
                await until(it.tools)
                assert await ask(it, "get_weather", city="Paris") == "It is sunny in Paris, 21 degrees."
            with pytest.raises(ToolError):
                await ask(it, "get_weather", city="Paris")


async def test_the_start_waits_only_so_long() -> None:
    async with open_tools(
        ToolsTable(mcp=(McpToolsTable(label="dumb", command=("sleep", "60")),)), Limits()
    ) as it:
        began = anyio.current_time()
        await it.wait_loaded()
        assert 4 < anyio.current_time() - began < 10
        assert it.tools() == []


# what the owner writes


async def test_a_command_that_there_is_not_is_the_owners_mistake() -> None:
    with pytest.raises(ConfigError, match=r"no command wheelbarrow for \[\[tools.mcp\]\] shed"):
        async with registry({"label": "shed", "command": ["wheelbarrow"]}):
            pass


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ({}, "either a url or a command"),
        ({"url": "http://127.0.0.1/mcp", "command": ["x"]}, "either a url or a command"),
        ({"url": "127.0.0.1/mcp"}, "not an http or https address"),
        (
            {"url": "https://a.example", "headers": {"Authorization": "Bearer mellon"}},
            "Authorization is a secret",
        ),
        ({"command": ["x"], "env": {"API_TOKEN": "mellon"}}, "API_TOKEN is a secret"),
        ({"command": ["x"], "headers": {"X-A": "a"}}, "headers are for a server with a url"),
        ({"url": "https://a.example", "env": {"A": "a"}}, "env is for one with a command"),
        ({"command": ["x"], "confirm": {"who": "Really {}?"}}, "the name of an argument"),
        ({"command": ["x"], "label": "a b"}, "is not a name of 1 to 64 letters"),
    ],
)
async def test_the_owner_is_told_what_is_wrong(written: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        McpToolsTable.model_validate({"label": "shed", **written})
    assert sentence in str(caught.value)


async def test_two_servers_cannot_have_one_label() -> None:
    one = McpToolsTable(label="shed", command=("x",))
    with pytest.raises(ValueError, match="two called shed"):
        ToolsTable(mcp=(one, one))
