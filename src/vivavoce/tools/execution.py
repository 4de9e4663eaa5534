"""One call of a tool: whatever it does, it comes to an end within its time, and something can be said of it."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from math import inf

import anyio
from anyio.lowlevel import RunVar

from vivavoce.limits import Limits
from vivavoce.tools.types import Context, Outcome, Tool, ToolError

__all__ = ["CallResult", "check", "cut", "perform"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CallResult:
    """What came of a call, and `how` it ended, for the log. Is the model to go on because of it?

    `greeting` is what is said then, by another assistant who has taken over.
    """

    outcome: Outcome
    how: str = "done"
    is_told: bool = True
    greeting: str = ""

    @classmethod
    def without(cls, output: str, how: str, *, is_told: bool = True) -> "CallResult":
        """Make the ending of a call that was not made, or of which nothing came."""
        return cls(Outcome(output), how, is_told)


async def perform(tool: Tool, arguments: str, context: Context, limits: Limits) -> CallResult:
    """Do what a call asks for. Nothing that a tool raises is raised here. Cancelling stops it."""
    seconds, limit = (
        (tool.seconds, "its own limit") if tool.seconds else (limits.tool_seconds, "limits.tool_seconds")
    )
    with anyio.move_on_after(seconds):
        return await _tried(tool, arguments, context)
    return CallResult.without(
        f"The tool has failed: no outcome within {seconds:g} s ({limit}).", "was too slow"
    )


async def check(tool: Tool, arguments: str, context: Context, limits: Limits) -> CallResult | None:
    """Return why a call cannot be made, before anybody is asked about it; None if it can."""
    if (checks := tool.check) is None:
        return None
    passed = Outcome("It can be done.")

    async def run(arguments: str, context: Context) -> Outcome:
        await checks(arguments, context)
        return passed

    ending = await perform(replace(tool, run=run, at_once=None), arguments, context, limits)
    return None if ending.outcome is passed else ending


async def _tried(tool: Tool, arguments: str, context: Context) -> CallResult:
    try:
        async with _place(tool):
            outcome = await tool.run(arguments, context)
        if not isinstance(outcome, Outcome):
            raise TypeError(f"tool {tool.name} has returned {type(outcome).__name__}, which is no Outcome")
    except ToolError as error:
        return CallResult.without(str(error), "could not do it")
    except Exception:  # the tool's: what is wrong inside of it is not for the caller's ears
        log.exception("tool %r has failed", tool.name)
        return CallResult.without("The tool has failed.", "failed")
    except anyio.get_cancelled_exc_class():
        if anyio.current_effective_deadline() == -inf:
            raise
        log.exception("tool %r has failed: it was cancelled from within", tool.name)
        return CallResult.without("The tool has failed.", "failed")
    return CallResult(outcome)


def cut(text: str, most: int) -> str:
    """Return so many characters of an output, and say so if that is not all."""
    return text if len(text) <= most else f"{text[:most]}… (cut off: limits.tool_output_chars)"


# how many at once


@dataclass
class _Places:
    """Where calls of one tool work, of all conversations together, and how many want to."""

    semaphore: anyio.Semaphore
    wanted: int = 0


_places: RunVar[dict[int, _Places]] = RunVar("places")


@asynccontextmanager
async def _place(tool: Tool) -> AsyncIterator[None]:
    """Wait for one of the places where `at_once` calls of a tool may work."""
    if tool.at_once is None:
        yield
        return
    everywhere = _places.get({})
    _places.set(everywhere)
    places = everywhere.setdefault(id(tool), _Places(anyio.Semaphore(tool.at_once)))
    places.wanted += 1
    try:
        async with places.semaphore:
            yield
    finally:
        places.wanted -= 1
        if not places.wanted:
            del everywhere[id(tool)]
