"""`viva replay` plays what was stored."""

import json
import os
import signal
import subprocess
import sys
import wave
from pathlib import Path

import anyio.to_thread
import pytest

from cli.conftest import Done, Viva
from cli.forking import run_viva
from store.played import PARIS, play, recorder
from vivavoce.store.recorder import recording
from vivavoce.testing.simulation import CallerSays

RECORDINGS = Path(__file__).parents[1] / "recordings"
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
    export = "history", "export", sound.stem, "--format", "wav", "--output", "it.wav"
    exported = await viva(*export, VIVAVOCE_STORE__URL=stored)
    assert (exported.returncode, exported.stderr[:12]) == (2, b"viva: it.wav")
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


# held again, with real sound and the scripted models


@pytest.fixture(scope="module")
def talked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a conversation of two turns that a person spoke to the scripted models."""
    folder = tmp_path_factory.mktemp("talked")
    with wave.open(str(folder / "two.wav"), "wb") as both:
        both.setparams((1, 2, 16_000, 0, "NONE", ""))
        for name, silence in (("brooklyn.wav", 6), ("weather.wav", 0)):
            with wave.open(str(RECORDINGS / name)) as one:
                assert one.getframerate() == 16_000
                both.writeframes(one.readframes(one.getnframes()) + bytes(2 * 16_000 * silence))
    data = folder / "data"
    spoken = "--input", "two.wav", "--output", "heard.wav", "--preset", "scripted"
    done = run_viva(
        "talk", *spoken, folder=folder, environment={**os.environ, "VIVAVOCE_SERVER__DATA": str(data)}
    )
    assert done.returncode == 0, told(done)
    return data


async def test_a_conversation_is_held_again_and_compared(viva: Viva, talked: Path) -> None:
    again = "replay", "--last", "1", "--again", "--preset", "scripted"
    done = await viva(*again, "--json", VIVAVOCE_SERVER__DATA=str(talked))
    assert done.returncode == 0, told(done)
    found = json.loads(done.stdout)
    (conversation,) = found["conversations"]
    assert [turn["is_spoken"] for turn in conversation["turns"]] == [True, True]
    assert all(turn["said_today"].startswith("I said something for") for turn in conversation["turns"])
    assert all(turn["answer_today"] and turn["wait_today"] > 0 for turn in conversation["turns"])
    assert found["summary"]["missing_answers"] == 0
    assert found["summary"]["cost_today"] == 0
    listed = await viva("history", "list", VIVAVOCE_SERVER__DATA=str(talked))
    assert len(listed.stdout.splitlines()) == 1, "what is held again is not stored"


async def test_a_running_server_may_answer_and_words_do_without_sound(
    viva: Viva, talked: Path, scripted: str
) -> None:
    (talked / "recordings").rename(talked / "elsewhere")
    done = await viva("replay", "--last", "1", "--again", "--url", scripted, VIVAVOCE_SERVER__DATA=str(talked))
    (talked / "elsewhere").rename(talked / "recordings")
    assert done.returncode == 0, told(done)
    text = " ".join(told(done).split())
    assert "is gone. What the caller said is sent as text." in text
    assert "turns 2, in 1 conversation" in text


async def test_what_cannot_be_held_again_is_said(viva: Viva, stored: str, tmp_path: Path) -> None:
    async def fails(*arguments: str, code: int = 2, url: str = stored) -> str:
        done = await viva("replay", *arguments, VIVAVOCE_STORE__URL=url)
        assert done.returncode == code, told(done)
        return told(done).splitlines()[-1]

    assert "leave out --again" in await fails("--last", "1", "--again", "--turn", "1")
    assert "add --again" in await fails("--last", "1", "--preset", "scripted")
    assert "One conversation is played at a time" in await fails("--last", "2")
    assert "no conversation 'sess_none'" in await fails("sess_none", "--again")
    away = "--last", "1", "--again", "--url", "ws://127.0.0.1:9"
    assert "cannot be reached" in await fails(*away, code=1)
    silent = f"sqlite:///{tmp_path}/silent.db"
    recorded = recorder(silent, tmp_path)
    play(recorded, CallerSays(9, "Too late."), until=2)
    async with recording(recorded):
        pass
    assert "Nobody has said anything" in await fails("--last", "1", "--again", url=silent)


async def test_ctrl_c_ends_it_half_way(talked: Path) -> None:
    viva = str(Path(sys.executable).parent / "viva")
    command = [viva, "replay", "--last", "1", "--again", "--preset", "scripted"]
    environment = {**os.environ, "VIVAVOCE_SERVER__DATA": str(talked)}

    def run() -> tuple[int, str]:
        with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if "about as long as then" in line:
                    process.send_signal(signal.SIGINT)
            return process.wait(), line

    code, last = await anyio.to_thread.run_sync(run)
    assert code == 130
    assert "Traceback" not in last
