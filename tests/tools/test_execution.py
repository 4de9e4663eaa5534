"""What a tool does can harm nothing but its own call."""

import logging
from asyncio import CancelledError
from threading import Event

import pytest

from tools.test_function import CONTEXT
from vivavoce.limits import Limits
from vivavoce.tools.execution import run_call
from vivavoce.tools.function import tool
from vivavoce.tools.types import Card, Outcome, ToolError

pytestmark = pytest.mark.anyio
HALF = "half a pair: \ud83d"


class OfItsOwn(BaseException):
    pass


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), CancelledError(), OfItsOwn(), ValueError()]
)
@pytest.mark.parametrize("in_a_thread", [False, True])
async def test_no_tool_ends_the_process(
    error: BaseException, in_a_thread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def leave() -> None:
        raise error

    async def leave_the_loop() -> None:
        raise error

    made = tool(leave if in_a_thread else leave_the_loop, name="leave")
    result = await run_call(made, "{}", CONTEXT, Limits())
    assert (result.status, result.outcome.output) == ("failed", "The tool has failed.")
    assert "tool 'leave' has failed" in caplog.text


@pytest.mark.parametrize(
    "outcome",
    [Outcome(HALF), Outcome("fine", say=HALF), Outcome("fine", card=Card(HALF)), Outcome(5)],  # type: ignore[arg-type]
)
async def test_an_outcome_that_cannot_be_sent_fails_that_call(outcome: Outcome) -> None:
    @tool
    async def ask() -> Outcome:
        return outcome

    result = await run_call(ask, "{}", CONTEXT, Limits())
    assert (result.status, result.outcome.output) == ("failed", "The tool has failed.")


async def test_a_reason_that_is_half_unreadable_is_told_as_far_as_it_can_be() -> None:
    @tool
    async def ask() -> None:
        raise ToolError(HALF)

    assert (await run_call(ask, "{}", CONTEXT, Limits())).outcome.output == "half a pair: ?"


@pytest.mark.real_time
async def test_a_tool_that_blocks_everybody_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    @tool
    async def sleepy() -> str:
        Event().wait(0.25)
        return "done"

    with caplog.at_level(logging.WARNING):
        result = await run_call(sleepy, "{}", CONTEXT, Limits())
    assert result.outcome.output == "done"
    assert "tool 'sleepy' has blocked the event loop for 0." in caplog.text
