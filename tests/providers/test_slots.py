"""Which slot of the offline model continues which conversation, and who waits for whom."""

import anyio
import pytest

from vivavoce.providers.dialogue import DialogueTurn
from vivavoce.providers.qwen.slots import Lent, Place, PromptWindow, Slots, find_place

pytestmark = pytest.mark.anyio

SYSTEM = (DialogueTurn("system", "Be kind."),)


def turns(*texts: str) -> tuple[DialogueTurn, ...]:
    return tuple(DialogueTurn("assistant" if i % 2 else "user", text) for i, text in enumerate(texts))


def window(*texts: str) -> PromptWindow:
    return PromptWindow(turns(*texts))


def test_a_conversation_returns_to_its_slot() -> None:
    read = (*SYSTEM, *turns("Hi", "Hello.", "Who are you?"))
    assert find_place(read, SYSTEM, window("Hi", "Hello.", "Who are you?", "Viva.", "Nice.")).known == 3
    assert find_place(read, SYSTEM, window("Hi", "Hello.", "Who is there?")).spared == len(
        "Be kind.HiHello.Who "
    )


def test_a_new_conversation_takes_no_others_slot() -> None:
    read = (*SYSTEM, *turns("Hi", "Hello.", "Who?", "Me."))
    assert find_place(read, SYSTEM, window("One, two.")).spared == 0
    assert find_place(read, SYSTEM, window("Hi")).spared == 0
    assert find_place(read, (DialogueTurn("system", "Be rude."),), window("Hi")) == Place()
    assert find_place((), SYSTEM, window("Hi")) == Place()


def test_turns_are_dropped_from_a_slot_and_stay_dropped() -> None:
    talk = turns("one", "1", "two", "2", "three", "3", "four")
    dropped = find_place((*SYSTEM, *talk), SYSTEM, PromptWindow(talk[2:]))
    assert (dropped.start, dropped.known, dropped.has_dropped) == (0, 5, True)
    stays = find_place((*SYSTEM, *talk[2:]), SYSTEM, PromptWindow(talk, 0, 2))
    assert (stays.start, stays.known, stays.has_dropped) == (2, 5, False)
    assert find_place((*SYSTEM, *talk[2:]), SYSTEM, PromptWindow(talk, 0, 1)).spared == 0


async def test_who_finds_no_free_slot_waits_for_one() -> None:
    slots, order = Slots(1), list[tuple[str, int]]()

    async def talk(name: str) -> None:
        async with slots.lend(SYSTEM, window(name)) as lent:
            order.append((name, lent.slot))
            await anyio.sleep(1)

    async with anyio.create_task_group() as tasks:
        for name in "ab":
            tasks.start_soon(talk, name)
        await anyio.sleep(0.5)
        assert len(order) == 1
    assert len(order) == 2


async def test_a_slot_is_free_again_after_a_cancelled_answer() -> None:
    slots = Slots(1)
    with anyio.move_on_after(1):
        async with slots.lend(SYSTEM, window("a")):
            await anyio.sleep_forever()
    async with slots.lend(SYSTEM, window("b")) as lent:
        assert lent.slot == 0


async def test_reading_ahead_gives_way_to_replies_and_goes_on_after_them() -> None:
    slots, began = Slots(1), list[float]()

    async def read(lent: Lent) -> None:
        began.append(anyio.current_time())
        await anyio.sleep(10)

    async with anyio.create_task_group() as tasks:
        start = anyio.current_time()
        tasks.start_soon(slots.read_ahead, SYSTEM, window("a"), read)
        await anyio.sleep(1)
        with slots.replying():
            async with slots.lend(SYSTEM, window("b")) as lent:
                assert lent.slot == 0
                assert anyio.current_time() == start + 1
                await anyio.sleep(5)
    assert began == [start, start + 6]
