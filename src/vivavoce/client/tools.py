"""Conversion of functions and definitions into the tools of a client."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from inspect import iscoroutinefunction
from typing import cast

import msgspec

from vivavoce.errors import ConfigError
from vivavoce.protocol.session import FunctionTool
from vivavoce.tools.function import outcome_of, tool
from vivavoce.tools.types import Context, Outcome, Tool
from vivavoce.tools.worker_threads import WorkerThreads

Definition = FunctionTool | Mapping[str, object]
"""A tool as in the protocol's session: `name`, `description`, and `parameters` as JSON Schema."""
ToolHandler = Callable[..., object]
"""Is called with the arguments by name; `async`, or a plain function, which is run in a thread."""

_THREADS = 16
"""threads for concurrent calls of one plain function"""
_NONE: dict[str, object] = {"type": "object", "properties": {}}


def as_tool(given: Tool | Callable[..., object] | Definition, handler: ToolHandler | None = None) -> Tool:
    """Return a tool, a function as a tool, or a definition and its handler as one.

    Raises `ConfigError` for anything else.
    """
    if isinstance(given, Tool):
        return given
    if isinstance(given, FunctionTool | Mapping):
        return _defined(given, handler)
    return tool(given)


def _defined(given: Definition, handler: ToolHandler | None) -> Tool:
    try:
        plain = msgspec.to_builtins(given) if isinstance(given, FunctionTool) else dict(given)
        definition = msgspec.convert({**plain, "type": "function"}, FunctionTool)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{given!r} defines no tool: {error}.") from error
    if handler is None:
        ways = "write add_tool(definition, handler), or name it in update_session(tools=…) and answer its calls"
        raise ConfigError(f"tool {definition.name} needs a handler; {ways} yourself")
    run = partial(_run, handler, definition.name, WorkerThreads(definition.name, _THREADS))
    return Tool(definition.name, definition.description or "", definition.parameters or _NONE, run)


async def _run(
    handler: ToolHandler, name: str, threads: WorkerThreads, arguments: str, _context: Context
) -> Outcome:
    values = msgspec.json.decode(arguments or "{}", type=dict[str, object])
    work = partial(handler, **values)
    if iscoroutinefunction(handler):
        return outcome_of(await cast("Awaitable[object]", work()), name)
    return outcome_of(await threads.run(work), name)
