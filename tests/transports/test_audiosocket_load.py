"""Many callers at once: each hears an answer without holes. `audiosocket_load` prints the figures."""

from pathlib import Path

import pytest

from transports.audiosocket_load import ANSWER_SECONDS, Answer, allow_files, measure, server

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


def is_clean(answer: Answer) -> bool:
    """Return whether an answer was heard, and, if this machine had time, in step and without holes.

    Alone on two cores, the largest gap is 20 to 40 ms.
    """
    if answer.late > 0.03:
        return bool(answer.sounding)
    return answer.seconds > ANSWER_SECONDS and answer.gaps[-1] < 0.1 and answer.largest_lead < 0.2


async def test_thirty_callers_are_answered_at_once(tmp_path: Path) -> None:
    with server(tmp_path) as (port, process):
        figures = await measure(port, process, idle_calls=0, live=30)
    assert len(figures.answers) == 30
    assert [answer for answer in figures.answers if not is_clean(answer)] == []


async def test_a_thousand_callers_on_hold_do_not_disturb_one_who_talks(tmp_path: Path) -> None:
    allow_files(2200)
    with server(tmp_path, conversations=1010) as (port, process):
        figures = await measure(port, process, idle_calls=1000, live=1)
    assert is_clean(figures.answers[0])
    assert figures.memory < 200
