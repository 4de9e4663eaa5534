"""A whole trial in real time: callers, the engine, and the numbers."""

from io import StringIO

import pytest
from rich.console import Console

from vivavoce_bench.clips import BUILT_IN, clips_in
from vivavoce_bench.measures import Interruption, MeasuredTurn
from vivavoce_bench.report import show_barge_in, show_hearing, show_latency, show_load, show_store
from vivavoce_bench.server import Setup, running
from vivavoce_bench.trials import BargeIn, HearingReport, Level, Transcribed, Wanted, level, questions

pytestmark = pytest.mark.anyio


@pytest.mark.models
@pytest.mark.real_time
async def test_scripted_callers_are_answered() -> None:
    clips = questions(clips_in(BUILT_IN))
    async with running(Setup("scripted", in_process=True)) as server:
        found = await level(server, 2, clips, 1, Wanted(200, "Answer in one word."), lambda sentence: None)
    assert [turn.failed for turn in found.turns] == ["", ""]
    assert all(turn.latency is not None and turn.latency > 0.2 for turn in found.turns)
    assert all("I said something" in turn.transcript for turn in found.turns)


def printed(show: object, found: object) -> str:
    paper = StringIO()
    show(found, Console(file=paper, width=120))  # type: ignore[operator]
    return paper.getvalue()


def test_latency_is_told_in_milliseconds() -> None:
    turns = [
        MeasuredTurn(0.4, {"turn closed": 0.25}),
        MeasuredTurn(0.5),
        MeasuredTurn(failed="no answer"),
        MeasuredTurn(-0.2, spoken_over=True),
    ]
    text = printed(show_latency, [Level(1, turns, 0.9, 110.0, 0.1, 0.3)])
    assert "450" in text
    assert "250 / 250" in text
    assert "Some turns had no answer: no answer" in text
    assert "too busy to measure" in text


def test_the_price_of_one_more_conversation_is_told() -> None:
    levels = [Level(count, [], 0.9, 100.0 + count, 0.1, 0.001) for count in (1, 10)]
    assert "Each further conversation takes 1.00 MB." in printed(show_load, levels)
    assert "not known" in printed(show_load, [Level(1, [], None, None, 0.1, 0.001)])


def test_what_storing_adds_is_told_beside_storing_nothing() -> None:
    turns = [MeasuredTurn(0.4), MeasuredTurn(0.5)]
    later = [MeasuredTurn(0.44), MeasuredTurn(0.55)]
    found = [
        {"nothing": Level(20, turns, 1.0, 110.0, 0.1, 0.001), "words": Level(20, later, cpu, 110.0, 0.1, 0.001)}
        for cpu in (1.1, 1.3, 1.0)
    ]
    text = printed(show_store, found)
    assert "1.10 (1.00 to 1.30)" in text
    assert "495" in text


def test_interruptions_and_feedback_are_told_apart() -> None:
    found = [
        BargeIn("weather", False, Interruption(0.3, 0.2, 0.1, stopped=True)),
        BargeIn("bc", True, Interruption(None, None, None, stopped=False)),
        BargeIn("bc", True, None),
    ]
    text = printed(show_barge_in, found)
    assert "1/1" in text
    assert "0/1" in text
    assert "1 times there was no answer to speak over." in text


def test_what_was_made_of_noise_is_named() -> None:
    heard = [Transcribed("brooklyn", "command", "How old is it?", "How old is that?", "How old is it?")]
    text = printed(show_hearing, HearingReport(heard, ["kitchen", "silence"], ["kitchen"], []))
    assert "25.0 %" in text
    assert "1 of 2 were answered (kitchen)" in text
