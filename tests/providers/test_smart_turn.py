import anyio
import pytest

from providers.offline import recording, weights
from vivavoce.providers.local.smart_turn import PLUGIN, SmartTurn, SmartTurnSettings

pytestmark = [pytest.mark.anyio, pytest.mark.real_time, pytest.mark.models]

PAUSE = bytes(16_000 * 2 // 5)


async def smart_turn() -> SmartTurn:
    return await PLUGIN.open(SmartTurnSettings(), weights)  # type: ignore[return-value]


async def test_a_finished_and_a_cut_sentence_sound_different() -> None:
    turns = await smart_turn()
    sentence = recording("jfk")
    finished, cut = sentence + PAUSE, sentence[: 16_000 * 5 * 2] + PAUSE
    assert await turns.predict_end_of_turn(finished) > 0.5 > await turns.predict_end_of_turn(cut)


async def test_a_question_is_over_at_its_end() -> None:
    turns = await smart_turn()
    assert await turns.predict_end_of_turn(recording("brooklyn") + PAUSE) > 0.5


@pytest.mark.parametrize("sound", [b"", b"\0", bytes(2), bytes(16_000 * 2 * 20)])
async def test_any_sound_gets_an_answer(sound: bytes) -> None:
    assert 0 <= await (await smart_turn()).predict_end_of_turn(sound) <= 1


async def test_only_the_last_eight_seconds_count() -> None:
    turns = await smart_turn()
    sound = recording("jfk")
    assert await turns.predict_end_of_turn(sound[-8 * 32_000 :]) == await turns.predict_end_of_turn(
        recording("brooklyn") + sound
    )


async def test_many_callers_are_judged_in_turn() -> None:
    turns = await smart_turn()
    answers: list[float] = []

    async def ask() -> None:
        answers.append(await turns.predict_end_of_turn(recording("brooklyn") + PAUSE))

    async with anyio.create_task_group() as callers:
        for _ in range(5):
            callers.start_soon(ask)
    assert len(set(answers)) == 1
    assert len(answers) == 5
