"""The shelf: tools that the owner's configuration names, for all conversations of the process."""

import os
import shutil
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.util import find_spec

import anyio
import httpx

from vivavoce.config.tools import ToolsTable, variables
from vivavoce.errors import ConfigError
from vivavoce.limits import Limits
from vivavoce.mcp.tools import Names
from vivavoce.tools.http import http_tool
from vivavoce.tools.mcp_source import McpToolSource
from vivavoce.tools.types import Tool

__all__ = ["ToolRegistry", "lacks", "opened"]

_PATIENCE = 5.0
"""seconds that the start waits for MCP servers; those that take longer have their tools there later"""


class ToolRegistry:
    """What is there. A server of tools that was down may have come up since, so ask for each conversation."""

    def __init__(self, endpoints: Sequence[Tool] = (), suppliers: Sequence[McpToolSource] = ()) -> None:
        self._endpoints, self._suppliers = endpoints, suppliers
        self._names = Names()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is there, nor ever will be."""
        return not (self._endpoints or self._suppliers)

    def beside(self, taken: Collection[str] = ()) -> Sequence[Tool]:
        """Return all tools. Those of MCP servers have other names than those `taken`."""
        tools = list(self._endpoints)
        for supplier in self._suppliers:
            tools += supplier.tools(self._names, {*taken, *(tool.name for tool in self._endpoints)})
        return tools

    async def settle(self) -> None:
        """Return when every server has been asked once, or has kept us waiting for long enough."""
        with anyio.move_on_after(_PATIENCE):
            for supplier in self._suppliers:
                await supplier.asked.wait()


@asynccontextmanager
async def opened(table: ToolsTable, limits: Limits) -> AsyncIterator[ToolRegistry]:
    """Give the shelf, and ask MCP servers for their tools in the background; leaving says goodbye to them.

    Raises `ConfigError`.
    """
    if not (table.http or table.mcp):
        yield ToolRegistry()
        return
    for what, write in lacks(table):
        raise ConfigError(f"There is no {what}; write: {write}")
    async with httpx.AsyncClient(cookies=_no_cookies()) as client:
        endpoints = [http_tool(one, client, limits) for one in table.http]
        async with anyio.create_task_group() as tasks:
            suppliers = [McpToolSource(one, tasks, limits) for one in table.mcp]
            for supplier in suppliers:
                tasks.start_soon(supplier.ask)
            yield ToolRegistry(endpoints, suppliers)
            tasks.cancel_scope.cancel()


def lacks(table: ToolsTable) -> Iterator[tuple[str, str]]:
    """Return what the tools need and is not here, and what to write."""
    named = {f"[[tools.http]] {one.name}": one.headers for one in table.http}
    named |= {f"[[tools.mcp]] {one.label}": {**one.headers, **one.env} for one in table.mcp}
    for place, texts in named.items():
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
    """Return a jar that keeps nothing: what one caller's call was told must not come up in another's."""
    return CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
