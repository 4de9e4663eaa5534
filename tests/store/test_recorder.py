"""What passes on a line is in the database, whatever happens to the database or to the server."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import anyio.lowlevel
import pytest
import sqlalchemy as sa

from store.played import PARIS, in_jumping_time, play, record, recorder
from transports.uploading import ask, spoken, stage
from vivavoce.errors import ConfigError
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCallOutput, InputText, Message
from vivavoce.providers.base import ToolCall
from vivavoce.store.database import Database
from vivavoce.store.journal import FILE_BYTES, RETRY, Journal, left_journals
from vivavoce.store.queries import Record, find_conversation, list_conversations, list_events, stored_waterfall
from vivavoce.store.recorder import Recorder, recording
from vivavoce.store.recordings import read
from vivavoce.testing.simulation import CallerSays, ClientSends

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


async def only(database: Database) -> Record:
    (listed,) = await list_conversations(database)
    return await find_conversation(database, listed["id"])


async def test_a_spoken_conversation_is_written_down(url: str, database: Database, tmp_path: Path) -> None:
    await record(url, tmp_path)
    found = await only(database)
    assert found["transport"] == "simulation"
    assert found["ended_by"] == "caller"
    assert (found["ended"] - found["started"]).total_seconds() == pytest.approx(6, abs=0.1)
    asked, answered = found["items"]
    assert (asked["role"], asked["text"], asked["language"]) == ("user", "What is the capital of France?", "en")
    assert (answered["text"].strip(), answered["heard"]) == ("Paris, of course.", answered["text"])
    assert 0.5 < asked["began"] < asked["ended"] < answered["began"] + 0.3 < answered["ended"]
    assert {one["kind"]: (one["model"], one["cost"]) for one in found["usage"]} == {
        "response": ("scripted", 0),
        "transcription": ("scripted", 0),
        "speech": ("scripted", 0),
    }
    stages = {row.stage.name: row.stage for row in stored_waterfall(found)}
    assert stages["speech"].began == pytest.approx(0.5, abs=0.1)
    assert stages["first_audio"].seconds == 0  # it was drafted
    assert stages["speaking"].ended > stages["transcript"].ended
    events = await list_events(database, found["id"])
    assert [one["number"] for one in events] == list(range(1, len(events) + 1))
    assert sum(one["type"] == "response.output_audio.delta" for one in events) == 1
    assert (await list_conversations(database))[0]["first"] == asked["text"]


async def test_the_sound_of_a_conversation_is_recorded_with_the_places_of_its_turns(
    url: str, database: Database, tmp_path: Path
) -> None:
    loud = recorder(url, tmp_path, recordings=str(tmp_path / "recordings"))
    play(loud)
    async with recording(loud):
        pass
    found = await only(database)
    (recorded,) = found["recordings"]
    assert recorded["seconds"] == pytest.approx(6, abs=0.1)
    assert [one["item_id"] for one in recorded["spoken"]] == [item["id"] for item in found["items"]]
    assert found["gaps"] == []
    assert len(read(recorded["url"])) == round(recorded["seconds"] * 24_000)


async def test_what_is_uploaded_and_answered_whole_is_heard_whole(
    url: str, database: Database, tmp_path: Path
) -> None:
    long = "This is a long answer, which takes much longer to hear than to make. " * 3
    simulation = stage("Is it late?", "And now?", replies=[long, "Yes."])
    whole = recorder(url, tmp_path, recordings=str(tmp_path / "recordings"))
    in_jumping_time(ask(simulation, spoken(1, 2), spoken(2), listeners=[whole.listen]))
    async with recording(whole):
        pass
    found = await only(database)
    assert found["transport"] == "upload"
    assert [item["heard"].strip() for item in found["items"]] == [
        "Is it late?",
        long.strip(),
        "And now?",
        "Yes.",
    ]
    (recorded,) = found["recordings"]
    spans = [(one["channel"], one["start"] / 24_000, one["end"] / 24_000) for one in recorded["spoken"]]
    assert [channel for channel, _, _ in spans] == ["user", "assistant"] * 2
    assert [start for _, start, _ in spans] == [0, *(end for _, _, end in spans[:-1])]
    assert spans[0][2] == 2
    assert recorded["seconds"] == pytest.approx(spans[-1][2], abs=0.05)
    assert recorded["seconds"] > 12
    assert found["gaps"] == []
    assert {row.stage.name for row in stored_waterfall(found)} >= {"transcript", "first_audio"}


async def test_only_the_owner_can_read_what_was_said(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/data/conversations.db"
    private = recorder(url, tmp_path / "data", recordings=str(tmp_path / "data" / "recordings"))
    play(private)
    async with recording(private):
        pass
    modes = {
        name: (tmp_path / "data" / name).stat().st_mode & 0o077 for name in ("conversations.db", "recordings")
    }
    assert modes == {"conversations.db": 0, "recordings": 0}


async def test_a_place_for_recordings_that_cannot_be_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="recordings_url 'nothing://x'"):
        recorder("sqlite:///unused.db", tmp_path, recordings="nothing://x")


async def test_a_conversation_whose_sound_cannot_be_written_is_written_down(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("a file where a folder should be")
    url = f"sqlite:///{tmp_path}/conversations.db"
    mute = recorder(url, tmp_path, recordings=str(tmp_path / "recordings"))
    play(mute)
    async with recording(mute):
        pass
    database = Database(url)
    found = await only(database)
    await database.close()
    assert len(found["items"]) == 2
    assert "incomplete" in found["recordings"][0]["problem"]


async def test_of_an_interrupted_answer_both_is_kept_what_was_said_and_what_was_heard(
    url: str, database: Database, tmp_path: Path
) -> None:
    words = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen."

    def truncate(timeline: object) -> e.ClientEvent:
        return e.ConversationItemTruncate(item_id=timeline.answer_id, content_index=0, audio_end_ms=500)

    steps = PARIS, CallerSays(4, "Stop it, please."), ClientSends(4.4, truncate)
    await record(url, tmp_path, *steps, until=6, replies=[words, "Well."])
    answered = (await only(database))["items"][1]
    assert answered["text"].startswith(answered["heard"])
    assert 0 < len(answered["heard"]) < len(answered["text"])
    assert answered["ended"] - answered["began"] == pytest.approx(0.5)


async def test_calls_of_tools_and_their_outputs_are_items(url: str, database: Database, tmp_path: Path) -> None:
    def output(timeline: object) -> e.ClientEvent:
        (call,) = [one.item for one in timeline.of(e.ConversationItemDone) if one.item.type == "function_call"]
        return e.ConversationItemCreate(item=FunctionCallOutput(call_id=call.call_id, output='{"sun": true}'))

    await record(url, tmp_path, PARIS, replies=[[ToolCall("weather", '{"city":"Paris"}', "call_1")]], until=5)
    called = (await only(database))["items"][1]
    assert (called["type"], called["name"], called["arguments"]) == (
        "function_call",
        "weather",
        '{"city":"Paris"}',
    )


async def test_an_item_that_is_put_between_others_is_shown_there(
    url: str, database: Database, tmp_path: Path
) -> None:
    def note(item_id: str, previous: str | None) -> e.ClientEvent:
        message = Message(id=item_id, role="system", content=(InputText(text=item_id),))
        return e.ConversationItemCreate(item=message, previous_item_id=previous)

    sends = [
        ClientSends(0.1, note("b", None)),
        ClientSends(0.2, note("d", "b")),
        ClientSends(0.3, note("c", "b")),
        ClientSends(0.4, note("a", "root")),
        ClientSends(0.5, e.ConversationItemDelete(item_id="c")),
    ]
    await record(url, tmp_path, *sends, until=1)
    items = (await only(database))["items"]
    assert [(item["id"], item["status"] == "deleted") for item in items] == [
        ("a", False),
        ("b", False),
        ("c", True),
        ("d", False),
    ]


async def test_what_a_killed_server_has_left_is_stored_by_the_next(
    url: str, database: Database, tmp_path: Path
) -> None:
    killed = recorder(url, tmp_path)
    play(killed)
    killed._journal.close()  # the system does so for a process that is gone
    async with recording(recorder(url, tmp_path)):
        pass
    assert [item["role"] for item in (await only(database))["items"]] == ["user", "assistant"]
    assert list((tmp_path / "journal").iterdir()) == []


async def test_a_conversation_that_a_killed_server_held_is_closed_by_the_next(
    url: str, database: Database, tmp_path: Path
) -> None:
    killed = recorder(url, tmp_path)
    play(killed)
    lines = killed._journal.read().splitlines(keepends=True)
    killed._journal.close()
    (left,) = (tmp_path / "journal").iterdir()
    left.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])  # the end of the conversation, cut off
    async with recording(recorder(url, tmp_path)):
        pass
    found = await only(database)
    assert found["ended_by"] == "crash"
    assert found["ended"] == found["items"][-1]["created"]


async def test_a_journal_in_use_is_left_alone(url: str, database: Database, tmp_path: Path) -> None:
    busy = recorder(url, tmp_path)
    play(busy)
    async with recording(recorder(url, tmp_path)):
        pass
    assert await list_conversations(database) == []
    async with recording(busy):
        pass
    assert len(await list_conversations(database)) == 1


async def test_entries_are_applied_once_so_that_a_deleted_conversation_stays_deleted(
    url: str, database: Database, tmp_path: Path
) -> None:
    from vivavoce.store.entries import write
    from vivavoce.store.queries import delete_conversations

    one = recorder(url, tmp_path)
    play(one)
    lines = one._journal.read().splitlines(keepends=True)
    await write(database, "journal_1", b"".join(lines[:-5]))
    (listed,) = await list_conversations(database)
    await delete_conversations(database, [listed["id"]])
    await write(database, "journal_1", b"".join(lines))  # as after a kill, with what came later
    assert await list_conversations(database) == []


async def test_when_the_journal_is_full_the_event_log_is_lost_before_words_and_the_gap_is_told(
    url: str, database: Database, tmp_path: Path
) -> None:
    small = recorder(url, tmp_path, journal_bytes=30_000)
    play(small, PARIS, CallerSays(6, "And of Italy?"), CallerSays(12, "And of Spain?"), until=18)
    async with recording(small):
        while small._journal.pending:
            await anyio.lowlevel.checkpoint()
        play(small)
    first, second = reversed(await list_conversations(database))
    assert len((await find_conversation(database, second["id"]))["items"]) == 2
    found = await find_conversation(database, first["id"])
    assert len(found["items"]) == 6
    assert [gap["kind"] for gap in found["gaps"]] == ["events"]
    kept = await list_events(database, first["id"])
    assert len(kept) + found["gaps"][0]["lost"] > 60


async def test_words_are_redacted_before_they_are_written(url: str, database: Database, tmp_path: Path) -> None:
    def redact(text: str) -> str:
        return text.replace("France", "[country]").replace("Paris", "[city]")

    careful = recorder(url, tmp_path, redact=redact)
    play(careful)
    written = careful._journal.read()
    assert b"France" not in written
    assert b"Paris" not in written
    async with recording(careful):
        pass
    found = await only(database)
    assert [item["text"].strip() for item in found["items"]] == [
        "What is the capital of [country]?",
        "[city], of course.",
    ]


async def test_what_a_failing_redaction_has_not_seen_is_not_written(tmp_path: Path) -> None:
    def redact(text: str) -> str:
        raise ValueError(text)

    careful = recorder("sqlite:///unused.db", tmp_path, redact=redact)
    play(careful)
    assert b"France" not in careful._journal.read()
    assert b"the redaction failed" in careful._journal.read()


BROKEN = {
    "it is damaged": lambda file: file.write_bytes(b"SQLite format 3\0" + b"x" * 5000),
    "it is no database": lambda file: file.write_text("Dear diary, " * 100),
    "it is a folder": lambda file: file.mkdir(),
}


@pytest.mark.parametrize("damage", BROKEN)
async def test_with_a_broken_database_the_conversation_goes_on_and_is_stored_once_it_is_repaired(
    damage: str, tmp_path: Path
) -> None:
    file, said = tmp_path / "conversations.db", list[str]()
    BROKEN[damage](file)
    before = None if file.is_dir() else file.read_bytes()
    stubborn = recorder(f"sqlite:///{file}", tmp_path, on_status=said.append)
    play(stubborn)
    async with recording(stubborn):
        pass
    assert said == [f"Conversations go on, but are not stored: {stubborn.problem}"]
    assert str(file) in said[0]
    if before is not None:
        assert file.read_bytes() == before  # nothing is harmed
        file.unlink()
    else:
        file.rmdir()
    async with recording(recorder(f"sqlite:///{file}", tmp_path)):
        pass
    database = Database(f"sqlite:///{file}")
    assert len((await only(database))["items"]) == 2
    await database.close()


async def test_a_full_database_keeps_what_it_has_and_the_journal_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "conversations.db"
    await record(f"sqlite:///{file}", tmp_path)

    class Full(Database):
        async def write(self, work: Callable[[sa.Connection], None]) -> None:
            def without_room(connection: sa.Connection) -> None:
                connection.exec_driver_sql("PRAGMA max_page_count=1")  # it cannot grow
                work(connection)

            await super().write(without_room)

    full = Recorder(Full(f"sqlite:///{file}"), tmp_path / "journal", journal_bytes=10**7)
    play(full, PARIS, CallerSays(6, "And of Italy?"), until=12)
    async with recording(full):
        pass
    assert "full" in (full.problem or "")
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database = Database(f"sqlite:///{file}")
    assert len(await list_conversations(database)) == 1
    async with recording(recorder(f"sqlite:///{file}", tmp_path)):
        pass
    assert len(await list_conversations(database)) == 2
    await database.close()


async def test_without_a_folder_for_the_journal_it_is_in_memory_and_the_owner_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where a folder should be")
    said: list[str] = []
    url = f"sqlite:///{tmp_path}/conversations.db"
    careful = recorder(url, tmp_path, on_status=said.append)
    play(careful)
    async with recording(careful):
        pass
    assert "killed loses" in said[0]
    database = Database(url)
    assert len((await only(database))["items"]) == 2
    await database.close()


def test_the_journal_moves_to_a_new_file_and_loses_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 10 * FILE_BYTES)
    entry = b"x" * 99_999 + b"\n"
    for _ in range(FILE_BYTES // len(entry) + 3):
        journal.append(entry)
    (first,) = tmp_path.iterdir()
    while journal.pending > 2 * len(entry):
        journal.forget(journal.read())
    (second,) = tmp_path.iterdir()
    assert second != first
    journal.append(b"last\n")
    rest = b""
    while read := journal.read():
        rest += read
        journal.forget(read)
    assert rest.endswith(entry + b"last\n")
    assert second.stat().st_size == 0
    journal.close()
    assert list(left_journals(tmp_path)) == []


def test_a_bug_in_the_recorder_ends_no_conversation(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    buggy = recorder("sqlite:///unused.db", tmp_path, recordings=str(tmp_path / "recordings"))
    buggy.put = None  # type: ignore[assignment]
    buggy._recordings = "nothing://x"
    play(buggy)
    assert "is not recorded" in caplog.text
    assert "is not recorded any further" in caplog.text


def test_a_journal_in_memory_keeps_what_comes_after_it_was_emptied(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where a folder should be")
    journal = Journal(tmp_path / "journal", 1000)
    for entry in (b"one\n", b"two\n"):
        journal.append(entry)
        assert journal.read() == entry
        journal.forget(entry)
    journal.close()


def test_on_a_full_disk_the_journal_goes_on_in_memory_and_returns_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, write = Journal(tmp_path, 1000), os.pwrite
    journal.append(b"one\n")
    is_full = True

    def full(file: int, entry: bytes, at: int) -> int:
        on_disk = Path(f"/proc/self/fd/{file}").resolve().is_relative_to(tmp_path)
        return write(file, entry[:2], at) if is_full and on_disk else write(file, entry, at)

    monkeypatch.setattr("os.pwrite", full)
    journal.append(b"two\n")
    assert not journal.on_disk
    assert journal.read() == b"one\ntwo\n"
    assert [left.read_bytes() for left in tmp_path.iterdir()] == [b"one\n"]  # still safe
    journal.forget(b"one\ntwo\n")
    is_full = False
    for _ in range(RETRY):
        journal.append(b"on\n")
        journal.forget(journal.read())
    assert journal.on_disk
    journal.close()
    assert list(tmp_path.iterdir()) == []
