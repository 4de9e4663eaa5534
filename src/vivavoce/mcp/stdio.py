"""Servers of tools that are commands: started here, and spoken with over their standard input and output."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from mcp import Client, StdioServerParameters
from mcp.client._transport import ReadStream, TransportStreams
from mcp.client.stdio import stdio_client
from mcp.shared.message import SessionMessage

from vivavoce.limits import Limits
from vivavoce.mcp.connection import Connected, failing
from vivavoce.mcp.servers import Command, ToolServer

__all__ = ["connect"]

_Message = SessionMessage | Exception


@asynccontextmanager
async def connect(label: str, command: Command, limits: Limits) -> AsyncIterator[ToolServer]:
    """Start a command and connect until the block is left, or its process has ended, which raises.

    Leaving asks the process to end, and after two seconds makes it. Its standard error is ours. Raises
    `ToolFailure` if it does not come up.
    """
    async with AsyncExitStack() as stack:
        with failing(label):
            client = await stack.enter_async_context(Client(_process(command)))
        yield Connected(client, label, limits)


@asynccontextmanager
async def _process(command: Command) -> AsyncIterator[TransportStreams]:
    program, *arguments = command.line
    about = StdioServerParameters(command=program, args=arguments, env=dict(command.environment))
    async with stdio_client(about) as (said, write), anyio.create_task_group() as tasks:
        passed_on, read = anyio.create_memory_object_stream[_Message]()
        tasks.start_soon(_listen, said, passed_on)
        yield read, write
        tasks.cancel_scope.cancel()


async def _listen(said: ReadStream[_Message], passed_on: MemoryObjectSendStream[_Message]) -> None:
    """Pass on what the process says until it has ended, which its `Client` would keep to itself."""
    async with passed_on:
        async for message in said:
            await passed_on.send(message)
    raise EOFError("the process has ended")
