"""The execution of one tool call, with timeout and error handling: it always ends with an output."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from time import perf_counter
from typing import cast

import anyio
import msgspec
from anyio.lowlevel import RunVar

from vivavoce.limits import Limits
from vivavoce.tools.types import Card, Context, Outcome, Tool, ToolError

BLOCKED_SECONDS = 0.2
"""seconds for which a tool may keep the event loop from everybody else before that is logged"""

_SENT = msgspec.json.Decoder(tuple[str, str, Card | None])

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CallResult:
    """The result of a call: its outcome, and its `status` for the log.

    `continues` is whether the model is to respond to the output. `greeting` is spoken by another assistant to
    whom the call was handed over.
    """

    outcome: Outcome
    status: str = "done"
    continues: bool = True
    greeting: str = ""

    @classmethod
    def failed(cls, output: str, status: str = "failed", *, continues: bool = True) -> "CallResult":
        """Return the result of a call that failed or was not made; `output` tells the model why."""
        return cls(Outcome(output), status, continues)


async def run_call(tool: Tool, arguments: str, context: Context, limits: Limits) -> CallResult:
    """Run a tool within its timeout; exceptions become failed results. Cancelling this cancels the tool."""
    seconds, limit = tool.seconds, "its own limit"
    if not seconds:
        seconds, limit = limits.tool_seconds, "limits.tool_seconds"
    with anyio.move_on_after(seconds):
        return await _run(tool, arguments, context)
    return CallResult.failed(f"The tool has failed: no outcome within {seconds:g} s ({limit}).", "timed out")


async def check_call(tool: Tool, arguments: str, context: Context, limits: Limits) -> CallResult | None:
    """Run `tool.check` before the caller is asked for confirmation; return None if it passes."""
    if (check := tool.check) is None:
        return None
    passed = Outcome()

    async def run(arguments: str, context: Context) -> Outcome:
        await check(arguments, context)
        return passed

    result = await run_call(replace(tool, run=run, max_concurrency=None), arguments, context, limits)
    return None if result.outcome is passed else result


async def _run(tool: Tool, arguments: str, context: Context) -> CallResult:
    try:
        async with _slot(tool):
            outcome = await _Timed(tool.run(arguments, context), tool.name)
        if not isinstance(outcome, Outcome):
            raise TypeError(f"tool {tool.name} has returned {type(outcome).__name__}, which is no Outcome")
        # half a surrogate pair, or a number, is no text, and would fail where the whole call hears of it
        _SENT.decode(msgspec.json.encode((outcome.output, outcome.say, outcome.card)))
    except ToolError as error:
        return CallResult.failed(str(error).encode(errors="replace").decode(), "was refused by the tool")
    except anyio.get_cancelled_exc_class():
        if anyio.current_effective_deadline() == -inf:  # our own scope is cancelled, not the tool's
            raise
        log.exception("tool %r has failed: it was cancelled from within", tool.name)
    except BaseException:  # even sys.exit() of a tool: logged here, while the model learns no details
        log.exception("tool %r has failed", tool.name)
    else:
        return CallResult(outcome)
    return CallResult.failed("The tool has failed.")


@dataclass(frozen=True)
class _Timed:
    """Awaits a tool's coroutine, and warns if it blocks the event loop instead of waiting."""

    run: Awaitable[Outcome]
    name: str

    def __await__(self) -> Generator[object, object, Outcome]:
        steps = self.run.__await__()
        resume: Callable[[], object] = partial(next, steps)
        while True:
            began = perf_counter()
            try:
                waits_for = resume()
            except StopIteration as end:
                return cast("Outcome", end.value)
            finally:
                self._check(perf_counter() - began)
            try:
                yield waits_for
                resume = partial(next, steps)
            except BaseException as error:  # noqa: BLE001 (the tool is cancelled)
                resume = partial(steps.throw, error)

    def _check(self, seconds: float) -> None:
        if seconds > BLOCKED_SECONDS:
            log.warning(
                "tool %r has blocked the event loop for %.1f s, and every conversation waited: write `def` "
                "instead of `async def`, so that it runs in a thread, or await what takes long",
                self.name,
                seconds,
            )


@dataclass
class _Slots:
    """A semaphore for the calls of one tool in all conversations, with a count of its users."""

    semaphore: anyio.Semaphore
    users: int = 0


_slots: RunVar[dict[int, _Slots]] = RunVar("tool_slots")


@asynccontextmanager
async def _slot(tool: Tool) -> AsyncIterator[None]:
    """Wait until fewer than `max_concurrency` calls of a tool run."""
    if tool.max_concurrency is None:
        yield
        return
    by_tool = _slots.get({})
    _slots.set(by_tool)
    slots = by_tool.setdefault(id(tool), _Slots(anyio.Semaphore(tool.max_concurrency)))
    slots.users += 1
    try:
        async with slots.semaphore:
            yield
    finally:
        slots.users -= 1
        if not slots.users:
            del by_tool[id(tool)]
