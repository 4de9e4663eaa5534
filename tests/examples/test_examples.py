"""Each example that fits a screen, run as its first lines say."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import pytest

from clients.serving import running
from clients.talk import RECORDINGS
from vivavoce import RealtimeClient

ROOT = Path(__file__).parents[2]
SCREEN = 50

pytestmark = [pytest.mark.real_time, pytest.mark.anyio]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the examples in it, where `python` is the one that has vivavoce."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[str]:
    """Serve an example; give its address as a client takes it."""
    with running(*arguments, "--preset", "scripted", folder=folder) as url:
        yield url.removesuffix("/v1").replace("http", "ws")


@asynccontextmanager
async def typing(url: str) -> AsyncIterator[RealtimeClient]:
    client = RealtimeClient(f"{url}/v1/realtime?extras=1")
    await client.update_session(modalities="text")
    async with client:
        yield client


async def told(client: RealtimeClient, words: str) -> str:
    """Type some words, and return what is answered."""
    await client.send_user_message_content(words)
    return (await client.wait_for_next_completed_item(role="assistant", timeout=30)).text


def output(client: RealtimeClient) -> str:
    """Return what the last tool has said."""
    return [item.output for item in client.items if item.type == "function_call_output"][-1] or ""


def ran(folder: Path, script: str, *arguments: str, **environment: str) -> str:
    """Run an example as a program, and return what it prints."""
    done = subprocess.run(
        [sys.executable, f"examples/{script}", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_ten_lines_roll_dice(folder: Path) -> None:
    with served(folder, "examples/ten_lines.py") as url:
        async with typing(url) as client:
            await told(client, "roll_dice with count 2")
            dice = msgspec.json.decode(output(client), type=list[int])
    assert len(dice) == 2
    assert all(1 <= die <= 6 for die in dice)


async def test_a_caller_is_handed_over_to_the_workshop(folder: Path) -> None:
    with served(folder, "examples/hand_over.py") as url:
        async with typing(url) as client:
            names = []
            client.on("vivavoce.assistant", lambda event: names.append(event.name))
            await told(client, "transfer_to_workshop, please")
            assert "is ready" in await told(client, "repair_status of ticket 12")
    assert names[-1:] == ["workshop"]


async def test_a_tool_of_an_mcp_server_is_asked(folder: Path) -> None:
    with served(folder, "--config", "examples/mcp_tool.toml") as url:
        async with typing(url) as client:
            await told(client, 'find_book with the title "Dracula"')
            assert output(client) == "Dracula is on the second floor."


def test_a_server_far_away_uses_a_tool_of_this_program(folder: Path, scripted: str) -> None:
    told = ran(folder, "upstream.py", "look_into_the_fridge", UPSTREAM=scripted, OPENAI_API_KEY="none")
    assert "four eggs" in told


def test_without_a_key_the_example_says_what_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(AssertionError, match="export OPENAI_API_KEY="):
        ran(folder, "upstream.py", "look_into_the_fridge")


def test_a_recording_is_written_down(folder: Path, scripted: str) -> None:
    url = scripted.removesuffix("/v1").replace("http", "ws")
    told = ran(folder, "transcription_only.py", str(RECORDINGS / "brooklyn.wav"), url)
    assert told == "I said something for 1.6 seconds.\n"


@pytest.mark.models
def test_a_recording_is_written_down_offline(folder: Path, offline: str) -> None:
    url = offline.removesuffix("/v1").replace("http", "ws")
    told = ran(folder, "transcription_only.py", str(RECORDINGS / "brooklyn.wav"), url)
    assert "brooklyn bridge" in told.lower()


def test_every_example_fits_a_screen_and_says_how_it_is_run() -> None:
    page = (ROOT / "docs/examples.md").read_text(encoding="utf-8")
    for example in (ROOT / "examples").glob("*.py"):
        text = example.read_text(encoding="utf-8")
        assert text.count("\n") <= SCREEN, example.name
        assert f"examples/{example.stem}." in text.split('"""')[1], example.name
        assert f"<!-- sample: examples/{example.name} -->" in page, example.name
