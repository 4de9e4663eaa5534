"""`viva replay` plays what was stored."""

import wave
from pathlib import Path

import pytest

from cli.conftest import Done, Viva
from store.played import PARIS, play, recorder
from vivavoce.store.recorder import recording
from vivavoce.testing.simulation import CallerSays

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


@pytest.fixture
async def stored(tmp_path: Path) -> str:
    """A database with a conversation of two turns, the answer to the first of which was interrupted."""
    url = f"sqlite:///{tmp_path}/conversations.db"
    recorded = recorder(url, tmp_path, recordings=str(tmp_path / "recordings"))
    replies = ["It is Paris, which is a very large and very old city.", "You are welcome."]
    play(recorded, PARIS, CallerSays(4, "Thanks."), until=7, replies=replies)
    async with recording(recorded):
        pass
    return url


def told(done: Done) -> str:
    return (done.stdout + done.stderr).decode()


async def test_a_conversation_is_played_with_captions(viva: Viva, stored: str, tmp_path: Path) -> None:
    done = await viva("replay", "--last", "1", "--speed", "2", "--output", "it.wav", VIVAVOCE_STORE__URL=stored)
    assert done.returncode == 0, told(done)
    lines = [" ".join(line.split()[2 if line[2].isdigit() else 1 :]) for line in told(done).splitlines()]
    assert lines[0] == "Caller: What is the capital of France?"
    assert lines[1].startswith("Assistant: It is Paris,")
    assert lines[2:] == ["Caller: Thanks.", "Assistant: You are welcome."]
    with wave.open(str(tmp_path / "it.wav")) as played:
        assert any(played.readframes(played.getnframes()))


async def test_a_turn_is_played_alone(viva: Viva, stored: str, tmp_path: Path) -> None:
    done = await viva("replay", "--last", "1", "--turn", "2", "--output", "it.wav", VIVAVOCE_STORE__URL=stored)
    assert "France" not in told(done)
    assert "Thanks." in told(done)


async def test_what_cannot_be_played_is_said_with_what_to_do(viva: Viva, stored: str, tmp_path: Path) -> None:
    async def fails(*arguments: str) -> str:
        done = await viva("replay", *arguments, VIVAVOCE_STORE__URL=stored)
        assert done.returncode == 2, told(done)
        assert len(told(done).splitlines()) == 1
        return told(done)

    to_file = "--last", "1", "--output", "it.wav"
    assert "Name a conversation" in await fails()
    assert "Name a conversation" in await fails("sess_1", "--last", "1")
    assert "There is no conversation 'sess_none'" in await fails("sess_none")
    assert "has no turn 7; the last one is 2" in await fails(*to_file, "--turn", "7")
    assert "no item" in await fails(*to_file, "--item", "item_none")
    nowhere = await fails("--last", "1", "--output", "no such loudspeaker")
    assert "viva history export sess_" in nowhere
    (sound,) = (tmp_path / "recordings").iterdir()
    sound.write_bytes(b"no sound at all")
    assert "cannot be read" in await fails(*to_file)
    sound.unlink()
    assert f"{sound} is gone" in await fails(*to_file)


async def test_a_conversation_of_words_only_is_to_be_read(viva: Viva, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/words.db"
    recorded = recorder(url, tmp_path)
    play(recorded)
    async with recording(recorded):
        pass
    done = await viva("replay", "--last", "1", VIVAVOCE_STORE__URL=url)
    assert done.returncode == 2
    assert "has no recording; to read it, write: viva history show sess_" in told(done)
