from math import inf

import anyio
import pytest

from vivavoce.engines.cascade.pacing import Pacing

pytestmark = pytest.mark.anyio


async def test_the_first_sound_goes_at_once_and_more_up_to_the_lead() -> None:
    pace = Pacing(0.4)
    for _ in range(5):
        await pace.wait(0.1)
    assert anyio.current_time() == pytest.approx(0.0)
    await pace.wait(0.1)
    assert anyio.current_time() == pytest.approx(0.1)


async def test_nothing_is_heard_before_it_is_played() -> None:
    pace = Pacing(inf)
    assert not pace.started
    assert not pace.audible
    assert pace.heard_ms == 0
    await pace.wait(3.0)
    await anyio.sleep(1.0)
    assert pace.heard_ms == pytest.approx(1000)
    assert pace.audible
    await anyio.sleep(5.0)
    assert pace.heard_ms == pytest.approx(3000)
    assert not pace.audible


async def test_what_is_dropped_is_never_heard() -> None:
    pace = Pacing(inf)
    await pace.wait(3.0)
    await anyio.sleep(1.0)
    pace.drop()
    assert not pace.audible
    await anyio.sleep(1.0)
    assert pace.heard_ms == pytest.approx(1000)


async def test_while_held_nothing_goes() -> None:
    pace = Pacing(0.1)
    await pace.wait(0.1)
    pace.pause()
    async with anyio.create_task_group() as tasks:

        async def settle() -> None:
            await anyio.sleep(0.5)
            assert pace.audible, "held is not over"
            pace.resume()

        tasks.start_soon(settle)
        await pace.wait(0.1)
    assert anyio.current_time() == pytest.approx(0.5)


async def test_a_hold_that_nobody_settles_ends_by_itself() -> None:
    pace = Pacing(0.1)
    pace.pause()
    await pace.wait(0.1)
    assert anyio.current_time() == pytest.approx(2.0)
