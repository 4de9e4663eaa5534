"""The desk as it is served: by typing, and aloud, with models that always do the same."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from clients.serving import running
from clients.talk import sound_of
from examples.calling import calling
from support_desk.seed import seed
from support_desk.shop import Base, Order, State, now

EXAMPLES = Path(__file__).parents[2] / "examples"
DESK = f"{EXAMPLES}/support_desk/desk.py:assistant"
GREETING = "Hello, this is Northside Goods. What can I do for you?"
WHO = "customer_info for customer id 2017 and postcode 90210"

pytestmark = [pytest.mark.real_time, pytest.mark.anyio]


SAYS_WHO, ASKS, CANCELS, AGREES = (
    sound_of("weather"),
    sound_of("brooklyn"),
    sound_of("jfk")[8 * 48_000 :],
    sound_of("short-hello"),
)
"""Sounds that a scripted transcriber tells apart by how long they are."""
CONFIGURATION = f"""
[transcriber]
provider = "scripted"
[transcriber.transcripts]
"1.0" = "{WHO}"
"1.6" = "order_status of order 1048"
"2.8" = "cancel_order for order 1066"
"0.4" = "yes, please"
[synthesizer]
provider = "scripted"
letter_ms = 5
"""


@dataclass
class Served:
    """A desk at an address, and its books."""

    url: str
    books: Engine

    def state(self, number: int) -> State:
        """How far an order is, by the books."""
        with Session(self.books) as session:
            return session.get_one(Order, number).state


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the desk in a process of its own, which opens its books in an empty folder."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "vivavoce.toml").write_text(CONFIGURATION)
    with running(DESK, "--preset", "scripted", folder=folder) as url:
        books = create_engine(f"sqlite:///{folder}/support_desk.sqlite3")
        yield Served(url, books)
        books.dispose()


@pytest.fixture
def desk(served: Served) -> Served:
    """The desk, on the shop's first day."""
    with Session(served.books) as session, session.begin():
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())
        session.flush()
        seed(session, now().date())
    return served


def typed(url: str, *lines: str) -> list[str]:
    """Run the example's chat with a server, type these lines, and return those that it prints."""
    return chat(EXAMPLES, url.removesuffix("/v1").replace("http", "ws"), lines=lines)


def chat(folder: Path, *arguments: str, lines: Sequence[str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "support_desk.chat", *arguments],
        input="\n".join(lines),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_customer_types_and_cancels_an_order(desk: Served) -> None:
    said = typed(desk.url, WHO, "order_status of order 1066", "cancel_order for order 1066", "yes, please")
    told = "\n".join(said)
    assert "Thank you, Grace Miller." in told
    assert "Order 1066 is paid and waits to be packed." in told
    assert said.index("Shall I cancel order 1066?") < said.index(
        "Order 1066 is cancelled. $77.00 go back the way they were paid."
    )
    assert any("─ Order 1066 is cancelled ─" in line for line in said)
    assert any(line.split() == ["│", "2", "Water", "bottle", "$38.00", "│"] for line in said)
    assert desk.state(1066) is State.CANCELLED


@pytest.mark.parametrize("words", ["no, leave it", "what is the weather like?"])
def test_without_a_yes_nothing_is_cancelled(desk: Served, words: str) -> None:
    said = typed(desk.url, WHO, "cancel_order for order 1066", words)
    assert "Shall I cancel order 1066?" in said
    assert not any("is cancelled" in line for line in said)
    assert desk.state(1066) is State.PAID


def test_a_stranger_learns_and_changes_nothing(desk: Served) -> None:
    told = "\n".join(
        typed(
            desk.url,
            "order_status of order 1066",
            "customer_info for customer id 2017 and postcode 10001",
            "update_account field email value thief@example.org",
            "cancel_order for order 1066",
            "yes",
        )
    )
    assert told.count("First I need your customer number and your postcode") == 3
    assert "do not belong together" in told
    assert "Grace" not in told
    assert desk.state(1066) is State.PAID


def test_the_chat_needs_no_server(tmp_path: Path) -> None:
    (tmp_path / "vivavoce.toml").write_text('preset = "scripted"\n')
    said = chat(tmp_path, lines=[WHO, "order_status of order 1066"])
    assert any(line.startswith("Thank you, Grace Miller.") for line in said)
    assert any("─ Order 1066 ─" in line for line in said)


def test_the_desk_is_the_same_with_a_server_far_away(tmp_path: Path, scripted: str) -> None:
    (tmp_path / "vivavoce.toml").write_text(f'engine = "remote"\n[remote]\nserver = "{scripted}"\n')
    with running(DESK, folder=tmp_path) as url:
        said = typed(url, WHO, "cancel_order for order 1066", "yes, please")
    assert "Shall I cancel order 1066?" in said
    assert "Order 1066 is cancelled. $77.00 go back the way they were paid." in said


async def test_a_customer_says_all_this_aloud(desk: Served) -> None:
    async with calling(desk.url) as call:
        assert await call.greeting() == GREETING
        assert "Grace Miller" in await call.hears(SAYS_WHO)
        assert "Order 1048 is on its way" in await call.hears(ASKS)
        assert await call.hears(CANCELS) == "Shall I cancel order 1066?"
        assert desk.state(1066) is State.PAID
        assert "$77.00 go back" in await call.hears(AGREES)
    assert call.tools == ["customer_info", "order_status", "cancel_order"]
    assert call.cards == ["Order 1048", "Order 1066 is cancelled"]
    assert desk.state(1066) is State.CANCELLED


async def test_without_a_spoken_yes_nothing_is_cancelled(desk: Served) -> None:
    async with calling(desk.url) as call:
        await call.greeting()
        await call.hears(SAYS_WHO)
        assert await call.hears(CANCELS) == "Shall I cancel order 1066?"
        await call.hears(ASKS)
    assert "Order 1066 is cancelled" not in call.cards
    assert desk.state(1066) is State.PAID


async def test_each_call_is_asked_anew_who_it_is(desk: Served) -> None:
    async with calling(desk.url) as call:
        await call.greeting()
        assert "Grace Miller" in await call.hears(SAYS_WHO)
    async with calling(desk.url) as call:
        await call.greeting()
        assert "First I need your customer number" in await call.hears(ASKS)
