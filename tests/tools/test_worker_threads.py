"""Plain functions hold nobody up, and those that hang take no more threads than they may."""

import logging
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from vivavoce.tools.function import tool
from vivavoce.tools.types import Context
from vivavoce.tools.worker_threads import WorkerThreads

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


async def silence(words: str) -> None:
    raise AssertionError("nobody was to speak")


CONTEXT = Context("call_1", "caller_1", {}, silence)
whose: ContextVar[str] = ContextVar("whose")


async def test_a_plain_function_works_in_a_thread_and_the_loop_goes_on() -> None:
    may_end = threading.Event()

    @tool
    def slow(words: str) -> str:
        assert may_end.wait(10)
        return f"{words} of {whose.get()}"

    whose.set("ours")
    outputs = []

    async def call() -> None:
        outputs.append((await slow.run('{"words": "those"}', CONTEXT)).output)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await anyio.lowlevel.checkpoint()
        assert outputs == []
        may_end.set()
    assert outputs == ["those of ours"]


async def test_what_a_plain_function_raises_comes_out() -> None:
    @tool
    def broken() -> None:
        raise LookupError("no such order")

    with pytest.raises(LookupError, match="no such order"):
        await broken.run("{}", CONTEXT)


@pytest.mark.parametrize("error", [StopIteration("x"), SystemExit(3)])
async def test_not_even_what_no_task_can_bear_hangs_or_ends_anything(error: BaseException) -> None:
    @tool
    def broken() -> None:
        raise error

    with anyio.fail_after(10):
        with pytest.raises(RuntimeError, match=type(error).__name__):
            await broken.run("{}", CONTEXT)


async def until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not is_so():  # noqa: ASYNC110 (a thread tells of nothing)
            await anyio.sleep(0.01)


async def test_a_thread_that_was_given_up_keeps_its_place_until_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    may_end, threads = threading.Event(), WorkerThreads("slow", 1)
    with anyio.move_on_after(0.05) as first:
        await threads.run(may_end.wait)
    assert first.cancelled_caught
    assert threads.abandoned == 1
    assert "there are 1 such threads, at most 1" in caplog.text

    ran = []
    with anyio.move_on_after(0.05) as second:
        await threads.run(lambda: ran.append(1))
    assert second.cancelled_caught
    assert ran == []

    may_end.set()
    assert await threads.run(lambda: "back") == "back"
    with anyio.fail_after(10):
        while threads.abandoned:  # noqa: ASYNC110  # its thread says so when it gets round to it
            await anyio.sleep(0.001)
    assert "0 are left" in caplog.text


async def test_one_who_gives_up_waiting_for_a_thread_has_none() -> None:
    may_end, threads = threading.Event(), WorkerThreads("slow", 1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(threads.run, may_end.wait)
        await anyio.lowlevel.checkpoint()  # the one place is taken
        with anyio.move_on_after(0.02):
            await threads.run(may_end.wait)
        assert threads.abandoned == 0
        may_end.set()
    assert await threads.run(lambda: 1) == 1


async def test_as_many_work_at_once_as_may() -> None:
    together = threading.Barrier(3, timeout=10)

    @tool(max_concurrency=3)
    def meet() -> None:
        together.wait()

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(meet.run, "{}", CONTEXT)
    assert not together.broken


async def test_an_async_function_is_cancelled() -> None:
    ended = []

    @tool
    async def slow() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(True)

    with anyio.move_on_after(0.01):
        await slow.run("{}", CONTEXT)
    assert ended == [True]


async def test_a_process_ends_though_a_thread_hangs(tmp_path: Path) -> None:
    program = (
        "import anyio, threading\n"
        "from vivavoce.tools.worker_threads import WorkerThreads\n"
        "async def main():\n"
        "    with anyio.move_on_after(0.05): await WorkerThreads('x', 1).run(threading.Event().wait)\n"
        "anyio.run(main)\n"
    )
    with anyio.fail_after(60):
        await anyio.run_process([sys.executable, "-c", program], cwd=tmp_path)
