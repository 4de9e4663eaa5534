"""`viva history` and `viva db` answer about what was stored."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cli.conftest import Viva
from store.played import PARIS, play, record, recorder
from vivavoce.testing.simulation import CallerSays

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


async def test_stored_conversations_are_listed_shown_found_copied_and_deleted(
    viva: Viva, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/conversations.db"
    await record(url, tmp_path, CallerSays(0.5, "Remember the xylophone."), until=5)
    await record(url, tmp_path, PARIS, until=5)

    async def say(*arguments: str, code: int = 0) -> str:
        done = await viva(*arguments, VIVAVOCE_STORE__URL=url)
        assert done.returncode == code, done.stderr.decode()
        return (done.stdout + done.stderr).decode()

    newest, oldest = (await say("history", "list")).splitlines()
    assert newest.endswith("What is the capital of France?")
    found = json.loads(await say("history", "search", "xylophones", "--json"))
    name = found[0]["conversation_id"]
    assert oldest.startswith(name)
    assert "Remember the xylophone." in await say("history", "show", name[:12])
    assert "has no recording" in await say("history", "export", name, "--format", "wav", code=2)
    assert "first_audio" in await say("history", "show", name[:12])
    await say("history", "export", name, "--format", "srt", "-o", str(tmp_path / "it.srt"))
    assert "00:00:00,660 -->" in (tmp_path / "it.srt").read_text()
    assert "did you mean 'markdown'" in await say("history", "export", name, "--format", "markdwn", code=2)
    await say("db", "backup", str(tmp_path / "copy.db"))
    assert "Deleted: 1." in await say("history", "delete", name)
    assert "There is no conversation" in await say("history", "show", name, code=2)
    assert "in order" in await say("db", "check")
    assert "What was there is in" in await say("db", "restore", str(tmp_path / "copy.db"))
    assert len((await say("history", "list", "--limit", "5")).splitlines()) == 2
    assert "up to date" in await say("db", "upgrade")
    (tmp_path / "conversations.db").write_bytes(b"no database")
    assert "is damaged" in await say("history", "list", code=2)
    shutil.copy(tmp_path / "copy.db", tmp_path / "conversations.db")
    assert "in order" in await say("db", "check", "--scrub", "--rebuild")


async def test_all_that_a_person_said_is_listed_and_deleted(viva: Viva, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/conversations.db"
    for _ in range(3):
        await record(url, tmp_path, PARIS, until=5)
    with closing(sqlite3.connect(tmp_path / "conversations.db")) as database, database:
        database.execute(
            "UPDATE conversations SET identity = 'anna' WHERE id IN (SELECT id FROM conversations LIMIT 2)"
        )
    killed = recorder(url, tmp_path)
    play(killed)
    killed._journal.close()  # a killed server leaves this behind
    unknown = tmp_path / "recordings" / f"sess_{'0' * 24}.ogg"
    unknown.parent.mkdir()
    unknown.touch()
    os.utime(unknown, (0, 0))

    async def say(*arguments: str, code: int = 0) -> str:
        done = await viva(*arguments, VIVAVOCE_STORE__URL=url, VIVAVOCE_SERVER__DATA=str(tmp_path))
        assert done.returncode == code, done.stderr.decode()
        return (done.stdout + done.stderr).decode()

    assert len((await say("history", "list", "--identity", "anna")).splitlines()) == 2
    assert "Which conversations?" in await say("history", "delete", code=2)
    assert "Deleted: 2." in await say("history", "delete", "--identity", "anna")
    assert await say("history", "list", "--identity", "anna") == ""
    assert len((await say("history", "list")).splitlines()) == 2
    assert list((tmp_path / "journal").iterdir()) == []
    assert "1 recordings in" in await say("db", "check", code=1)
    assert f"{unknown} is deleted" in await say("db", "check", "--sweep")
    assert not unknown.exists()


async def test_before_anything_was_stored_there_is_nothing_to_list(viva: Viva, tmp_path: Path) -> None:
    done = await viva("history", "list", VIVAVOCE_SERVER__DATA=str(tmp_path / "none"))
    assert done.returncode == 2
    assert b"nothing was stored yet" in done.stderr
