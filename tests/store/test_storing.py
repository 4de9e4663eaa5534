"""What a caller, a client secret, an assistant or the owner does not want to be stored is not."""

import logging
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from store.played import PARIS, play, recorder
from vivavoce.assistants.registry import AssistantRegistry
from vivavoce.errors import ConfigError
from vivavoce.limits import Limits
from vivavoce.session.call import Storing, least
from vivavoce.store.database import Database
from vivavoce.store.queries import find_conversation, list_conversations
from vivavoce.store.recorder import recording
from vivavoce.tools.registry import ToolRegistry
from vivavoce.tools.types import Assistant

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


async def play_with(url: str, folder: Path, store: Storing, owner: Storing = "all") -> None:
    one = recorder(url, folder, recordings=str(folder / "recordings"))
    one.store = owner
    play(one, PARIS, listeners=[lambda caller: one.listen(replace(caller, store=store))])
    async with recording(one):
        pass


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("caller", "owner"), [("nothing", "all"), ("all", "nothing")])
async def test_of_a_conversation_that_is_not_to_be_stored_there_is_nothing_anywhere(
    caller: Storing,
    owner: Storing,
    url: str,
    database: Database,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "vivavoce")
    await play_with(url, tmp_path, caller, owner)
    assert await list_conversations(database) == []
    assert [path for path in files(tmp_path) if b"France" in path.read_bytes() or path.suffix == ".ogg"] == []
    assert "France" not in caplog.text
    assert "Paris" not in caplog.text


async def test_of_one_whose_words_are_to_be_stored_there_is_no_sound(
    url: str, database: Database, tmp_path: Path
) -> None:
    await play_with(url, tmp_path, "words")
    (listed,) = await list_conversations(database)
    found = await find_conversation(database, listed["id"])
    assert (len(found["items"]), found["recordings"]) == (2, [])
    assert not (tmp_path / "recordings").exists()


@pytest.mark.parametrize(("one", "other"), [*product(get_args(Storing), repeat=2)])
def test_nobody_adds_to_what_another_lets_be_stored(one: Storing, other: Storing) -> None:
    order = get_args(Storing).index
    assert least(one, other) == least(other, one)
    assert order(least(one, other)) == min(order(one), order(other))


def test_whoever_of_a_team_stores_least_decides_since_callers_may_be_handed_over_to_him() -> None:
    doctor = Assistant("You are the doctor.", name="doctor", store="nothing")
    desk = Assistant("You are the desk.", name="desk", hand_over=[doctor], store="words")
    assert AssistantRegistry(desk, ToolRegistry(), Limits()).store == "nothing"
    assert AssistantRegistry(Assistant("Be brief."), ToolRegistry(), Limits()).store == "all"
    assert AssistantRegistry(None, ToolRegistry(), Limits()).store == "all"
    with pytest.raises(ConfigError, match="did you mean 'nothing'"):
        Assistant("Be brief.", store="nothin")  # type: ignore[arg-type]
