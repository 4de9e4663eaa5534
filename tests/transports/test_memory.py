"""What a call has used is free soon after its end, whatever refers to whom."""

import gc
from weakref import ref

import anyio
import pytest

from vivavoce.memory import RELEASE_SECONDS
from vivavoce.transports.base import OpenCalls

pytestmark = pytest.mark.anyio


class Cycle:
    def __init__(self) -> None:
        self.myself = self
        self.audio = bytes(1_000_000)


async def test_the_cycles_of_an_ended_call_are_collected_without_waiting_for_the_collector() -> None:
    gc.disable()
    try:
        with OpenCalls().track():
            audio = ref(Cycle())
        await anyio.sleep(RELEASE_SECONDS - 0.1)
        assert audio() is not None
        await anyio.sleep(0.2)
        assert audio() is None
    finally:
        gc.enable()
