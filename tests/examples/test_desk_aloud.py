"""A caller speaks with the desk as it is served offline: by sound alone, and models that are really asked."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from clients.serving import running
from examples.calling import calling
from support_desk.shop import Order, State

DESK = Path(__file__).parents[2] / "examples/support_desk/desk.py"

GREETING = "Hello, this is Northside Goods. What can I do for you?"
PATIENT = "[limits]\nfirst_token_seconds = 60\n"
"""Whoever tests beside others has to wait."""

pytestmark = [pytest.mark.real_time, pytest.mark.models, pytest.mark.anyio]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("desk")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    (folder / "vivavoce.toml").write_text(PATIENT)
    with running(f"{DESK}:assistant", folder=folder) as url:
        yield url


@pytest.fixture
def books(url: str, folder: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{folder}/support_desk.sqlite3")
    yield engine
    engine.dispose()


def state(books: Engine, number: int) -> State:
    with Session(books) as session:
        return session.get_one(Order, number).state


def voice(url: str, words: str) -> bytes:
    """Return these words as a caller says them, in another voice than the desk's: 24 kHz PCM."""
    wish = {"model": "vivavoce", "voice": "fenrir", "input": words, "response_format": "pcm"}
    said = httpx.post(f"{url}/audio/speech", json=wish, timeout=60, trust_env=False)
    said.raise_for_status()
    return said.content


async def test_a_caller_shows_who_she_is_asks_and_cancels(url: str, books: Engine) -> None:
    lines = (
        "Hi, my customer number is two zero one seven, and my postcode is nine oh two one oh.",
        "Where is my order ten forty-eight?",
        "Please cancel order ten sixty-six.",
        "Yes, please.",
    )
    who, asks, cancels, agrees = [voice(url, words) for words in lines]
    async with calling(url) as call:
        assert await call.greeting() == GREETING
        assert "Grace" in await call.hears(who)
        assert "way" in await call.hears(asks)
        assert await call.hears(cancels) == "Shall I cancel order 1066?"
        assert state(books, 1066) is State.PAID
        assert "cancel" in await call.hears(agrees)
    assert state(books, 1066) is State.CANCELLED
    assert call.tools == ["customer_info", "order_status", "cancel_order"]
    assert [output.split(".")[0] for output in call.outputs] == [
        "Thank you, Grace Miller",
        "Order 1048 is on its way",
        "Order 1066 is cancelled",
    ]
    assert call.cards == ["Order 1048", "Order 1066 is cancelled"]
    assert call.heard[-1].lower().startswith("yes")


async def test_whoever_does_not_say_who_they_are_cancels_nothing(url: str, books: Engine) -> None:
    cancels, agrees = voice(url, "Please cancel order ten fifty-two."), voice(url, "Yes, please.")
    async with calling(url) as call:
        await call.greeting()
        assert "Shall I" not in await call.hears(cancels), "there is nothing to ask about"
        await call.hears(agrees)
    assert "First I need your customer number" in call.outputs[0]
    assert call.cards == []
    assert state(books, 1052) is State.PAID
