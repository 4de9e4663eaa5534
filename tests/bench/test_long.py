"""Conversations that last, with a scripted server."""

import pytest
from rich.console import Console

from vivavoce.client import RealtimeClient
from vivavoce.errors import ProviderError
from vivavoce.protocol.session import Session
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.testing.simulation import Simulation
from vivavoce_bench.caller import LIMITS
from vivavoce_bench.long import TOLD_TURNS, LongReport, LongTurn, ratios, run
from vivavoce_bench.report import show_long

pytestmark = pytest.mark.anyio


async def test_a_long_conversation_is_measured_turn_by_turn_and_then_told_again() -> None:
    simulation = Simulation(
        ["Yes.", ProviderError("chat", "is down"), "No."], session=merge(DEFAULT, Session()), chat_delay=0.25
    )
    statuses: list[str] = []
    found = await run(lambda: RealtimeClient(simulation.engine, limits=LIMITS), 14, statuses.append)
    assert [turn.failed for turn in found.turns] == [None, "chat: is down", *[None] * 12]
    assert all(turn.seconds == pytest.approx(0.25, abs=0.02) for turn in found.turns)
    assert [request.max_tokens for request in simulation.chat.requests] == [40] * 17
    told = [len(request.items) for request in simulation.chat.requests[-3:]]
    most = 2 * 14
    assert told == [most, most, most + 1], (
        "all answers but the failed one, and a question; told again, a note as well"
    )
    assert [turn.answer for turn in found.returns.values()] == ["No. "] * 3
    assert len(statuses) == 16


def test_each_turn_is_compared_with_the_ten_before_it() -> None:
    assert ratios([1.0] * 10) == []
    assert ratios([1.0] * 10 + [3.0, 1.0]) == [3.0, 1.0]
    assert TOLD_TURNS > 10


def test_what_was_found_is_printed() -> None:
    turns = [LongTurn(0.2, 20) for _ in range(12)] + [LongTurn(0.9, 400, failed="qwen: no")]
    console = Console(record=True, width=200)
    show_long(LongReport(turns, {"at once": LongTurn(0.4, 25)}), console)
    text = console.export_text()
    assert "4.50 times" in text
    assert "20.00 times" in text
    assert "1 of 13 turns failed" in text
    assert "qwen: no" in text
    assert "at once" in text
