"""The tools for all conversations: those of the configuration, and those of tool sources (MCP servers)."""

import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.util import find_spec
from itertools import count

import anyio
import httpx

from vivavoce.backoff import backoff
from vivavoce.config.tools import ToolsTable, variables
from vivavoce.errors import ConfigError, ProviderError
from vivavoce.limits import Limits
from vivavoce.mcp.tools import ToolNames
from vivavoce.tools.http import http_tool
from vivavoce.tools.mcp_source import McpToolSource
from vivavoce.tools.types import Tool

log = logging.getLogger(__name__)

_FIRST_SECONDS, _LONGEST_SECONDS = 1.0, 60.0
_START_SECONDS = 5.0
"""how long the start waits for tool sources; tools of slower ones become available later"""


ToolChange = Callable[[Tool], Tool]
"""Returns what is used in place of a tool."""


class ToolRegistry:
    """The tools that are loaded. Sources may load later, so call `tools` for each conversation.

    `change` is applied to each tool before it is used.
    """

    def __init__(
        self,
        tools: Sequence[Tool] = (),
        sources: Sequence[McpToolSource] = (),
        *,
        change: ToolChange = lambda tool: tool,
    ) -> None:
        self._tools, self._sources, self._change = tools, sources, change
        self._loaded: dict[str, Sequence[Tool]] = {}
        self._tried = {source.label: anyio.Event() for source in sources}
        self._names = ToolNames()

    @property
    def is_empty(self) -> bool:
        """Whether there are neither tools nor sources."""
        return not (self._tools or self._sources)

    def add(self, tools: Sequence[Tool]) -> None:
        """Add tools that are there from now on."""
        self._tools = (*self._tools, *tools)

    def tools(self, taken: Collection[str] = ()) -> Sequence[Tool]:
        """Return all tools. Those of sources are renamed where their name is in `taken`."""
        taken = {*taken, *(tool.name for tool in self._tools)}
        named = (
            replace(tool, name=self._names.name(source.label, tool.name, taken))
            for source in self._sources
            for tool in self._loaded.get(source.label, ())
        )
        return [self._change(tool) for tool in (*self._tools, *named)]

    async def load(self) -> None:
        """Load the tools of all sources; retries each, with back-off, until it succeeds."""
        async with anyio.create_task_group() as tasks:
            for source in self._sources:
                tasks.start_soon(self._load, source)

    async def _load(self, source: McpToolSource) -> None:
        for attempt in count(1):
            try:
                self._loaded[source.label] = await source.load()
                return
            except ProviderError as error:
                seconds = backoff(attempt, first=_FIRST_SECONDS, longest=_LONGEST_SECONDS)
                level = logging.WARNING if attempt == 1 else logging.INFO
                log.log(level, "%s; its tools are loaded again in %g s", error, seconds)
            finally:
                self._tried[source.label].set()
            await anyio.sleep(seconds)

    async def wait_loaded(self) -> None:
        """Return when every source has been tried once, or after `_START_SECONDS`."""
        with anyio.move_on_after(_START_SECONDS):
            for tried in self._tried.values():
                await tried.wait()


@asynccontextmanager
async def open_tools(
    table: ToolsTable, limits: Limits, change: ToolChange = lambda tool: tool
) -> AsyncIterator[ToolRegistry]:
    """Yield a registry of the tools in the configuration; sources are loaded in the background.

    Leaving the block closes their connections. Raises `ConfigError` if a key or package is missing.
    """
    if not (table.http or table.mcp):
        yield ToolRegistry()
        return
    for what, advice in missing_for_tools(table):
        raise ConfigError(f"There is no {what}; write: {advice}")
    # cookies of one caller must not be sent for another, so none are kept
    cookies = CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
    async with httpx.AsyncClient(cookies=cookies) as client, anyio.create_task_group() as tasks:
        registry = ToolRegistry(
            [http_tool(one, client, limits) for one in table.http],
            [McpToolSource(one, tasks, limits) for one in table.mcp],
            change=change,
        )
        tasks.start_soon(registry.load)
        yield registry
        tasks.cancel_scope.cancel()


def missing_for_tools(table: ToolsTable) -> Iterator[tuple[str, str]]:
    """Yield each missing key, package or command that the tools need, and what to write to provide it."""
    secrets = {f"[[tools.http]] {one.name}": one.headers for one in table.http}
    secrets |= {f"[[tools.mcp]] {one.label}": {**one.headers, **one.env} for one in table.mcp}
    for place, texts in secrets.items():
        for name in variables(texts):
            if not os.environ.get(name):
                yield f"key {name} for {place}", f"{name}=… in the environment or in .env"
    for server in table.mcp:
        if find_spec("mcp") is None:
            yield f"packages mcp for [[tools.mcp]] {server.label}", "pip install 'vivavoce[mcp]'"
        if server.command and shutil.which(server.command[0]) is None:
            program = server.command[0]
            yield f"command {program} for [[tools.mcp]] {server.label}", f'command = ["/path/to/{program}", …]'
