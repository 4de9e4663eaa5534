"""The tools of all conversations: those that the configuration names, and those of tool sources."""

import logging
import os
import shutil
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.util import find_spec
from itertools import count
from typing import Protocol

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
"""so long the start waits for tool sources; the tools of those that take longer are there later"""


class ToolSource(Protocol):
    """Where tools come from that are not known from the start: a server of tools, a catalogue."""

    @property
    def label(self) -> str:
        """Its name in the log, and before the names of its tools where others have the same."""
        ...

    async def load(self) -> Sequence[Tool]:
        """Return its tools. Raises `ProviderError` if it has none yet, and is called again later."""
        ...


class ToolRegistry:
    """The tools that are there. Some may come later, so ask for each conversation."""

    def __init__(self, tools: Sequence[Tool] = (), sources: Sequence[ToolSource] = ()) -> None:
        self._tools, self._sources = tools, sources
        self._loaded: dict[str, Sequence[Tool]] = {}
        self._tried = {source.label: anyio.Event() for source in sources}
        self._names = ToolNames()

    @property
    def is_empty(self) -> bool:
        """Whether there are no tools, and never will be."""
        return not (self._tools or self._sources)

    def tools(self, taken: Collection[str] = ()) -> Sequence[Tool]:
        """Return all tools. Those of sources get names that are not `taken`."""
        taken = {*taken, *(tool.name for tool in self._tools)}
        return [
            *self._tools,
            *(
                replace(tool, name=self._names.name(source.label, tool.name, taken))
                for source in self._sources
                for tool in self._loaded.get(source.label, ())
            ),
        ]

    async def load(self) -> None:
        """Load the tools of all sources, again and again until each has some."""
        async with anyio.create_task_group() as tasks:
            for source in self._sources:
                tasks.start_soon(self._load, source)

    async def _load(self, source: ToolSource) -> None:
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
        """Return when every source has been tried once, or has taken too long."""
        with anyio.move_on_after(_START_SECONDS):
            for tried in self._tried.values():
                await tried.wait()


@asynccontextmanager
async def open_tools(table: ToolsTable, limits: Limits) -> AsyncIterator[ToolRegistry]:
    """Open the tools that the configuration names, until the block is left. Raises `ConfigError`.

    Sources are loaded in the background.
    """
    if not (table.http or table.mcp):
        yield ToolRegistry()
        return
    for what, advice in missing_for_tools(table):
        raise ConfigError(f"There is no {what}; write: {advice}")
    async with httpx.AsyncClient(cookies=_no_cookies()) as client, anyio.create_task_group() as tasks:
        registry = ToolRegistry(
            [http_tool(one, client, limits) for one in table.http],
            [McpToolSource(one, tasks, limits) for one in table.mcp],
        )
        tasks.start_soon(registry.load)
        yield registry
        tasks.cancel_scope.cancel()


def missing_for_tools(table: ToolsTable) -> Iterator[tuple[str, str]]:
    """Yield what the tools need and is not there, and what to write about it."""
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


def _no_cookies() -> CookieJar:
    """Return a jar that keeps nothing: a cookie of one caller's call must not be sent in another's."""
    return CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
