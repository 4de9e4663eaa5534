"""Recordings that belong elsewhere get there, also when that place fails or hangs, or the server was killed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec import filesystem, register_implementation
from fsspec.implementations.memory import MemoryFileSystem

from clients.environments import python_of
from store.played import play, recorder
from vivavoce.store.database import Database
from vivavoce.store.files import writing
from vivavoce.store.queries import Record, find_conversation, list_conversations
from vivavoce.store.recorder import Recorder, recording
from vivavoce.store.recordings import read
from vivavoce.store.retention import delete_with_recordings
from vivavoce.store.spool import NOT_PUT

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


class Unreliable(MemoryFileSystem):
    """A store of files that does not always work."""

    protocol = "unreliable"
    works = True

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("unreliable://", "/")))

    def put(self, *args: object, **kwargs: object) -> object:
        if not self.works:
            raise OSError("The store is closed.")
        return super().put(*args, **kwargs)


register_implementation("unreliable", Unreliable)
URL = "unreliable://calls/2026"


@pytest.fixture(autouse=True)
def elsewhere() -> Iterator[MemoryFileSystem]:
    store = filesystem("unreliable")
    Unreliable.works = True
    yield store
    store.rm("/calls", recursive=True) if store.exists("/calls") else None


def loud(url: str, folder: Path, said: list[str] | None = None) -> Recorder:
    return recorder(url, folder, recordings=URL, on_status=(said if said is not None else []).append)


async def only(database: Database) -> Record:
    (listed,) = await list_conversations(database)
    return await find_conversation(database, listed["id"])


def spooled(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "journal").glob("*.ogg"))


async def test_a_recording_that_belongs_elsewhere_is_put_there_when_it_is_finished(
    url: str, database: Database, tmp_path: Path, elsewhere: MemoryFileSystem
) -> None:
    said: list[str] = []
    one = loud(url, tmp_path, said)
    play(one)
    assert elsewhere.find("/calls") == []
    async with recording(one):
        pass
    found = await only(database)
    assert elsewhere.find("/calls") == [f"/calls/2026/{found['id']}.ogg"]
    (sound,) = found["recordings"]
    assert (sound["url"], sound["problem"]) == (f"{URL}/{found['id']}.ogg", None)
    assert sound["seconds"] == pytest.approx(6, abs=0.1)
    assert len(read(sound["url"])) == round(sound["seconds"] * 24_000)
    assert (spooled(tmp_path), said) == ([], [])


async def test_while_the_store_fails_recordings_wait_here_the_owner_is_told_once_and_words_are_stored(
    url: str, database: Database, tmp_path: Path, elsewhere: MemoryFileSystem
) -> None:
    Unreliable.works = False
    said: list[str] = []
    one = loud(url, tmp_path, said)
    for _ in range(3):
        play(one)
    async with recording(one):
        pass
    assert said == [f"Recordings wait on this machine: {one._problems['files']}"]
    assert "The store is closed" in said[0]
    assert len(spooled(tmp_path)) == 3
    assert elsewhere.find("/calls") == []
    for listed in await list_conversations(database):
        assert listed["items"] == 2
        (sound,) = (await find_conversation(database, listed["id"]))["recordings"]
        assert sound["problem"] is None or sound["problem"].startswith(NOT_PUT)
    Unreliable.works = True
    async with recording(loud(url, tmp_path, said)):
        pass
    assert len(elsewhere.find("/calls")) == 3
    assert spooled(tmp_path) == []
    async with recording(loud(url, tmp_path)):
        pass
    for listed in await list_conversations(database):
        (sound,) = (await find_conversation(database, listed["id"]))["recordings"]
        assert sound["problem"] is None


async def test_what_a_killed_server_has_left_is_put_by_the_next(
    url: str, database: Database, tmp_path: Path, elsewhere: MemoryFileSystem
) -> None:
    killed = loud(url, tmp_path)
    play(killed)
    killed._journal.close()  # the system does so for a process that is gone, and ends its locks
    ((rows, at),) = killed._ended
    assert rows.recording
    rows.recording.close(at).result()
    async with recording(loud(url, tmp_path)):
        pass
    found = await only(database)
    assert elsewhere.find("/calls") == [f"/calls/2026/{found['id']}.ogg"]
    assert spooled(tmp_path) == []


async def test_a_recording_that_is_written_is_left_alone_and_what_nobody_knows_is_removed(
    url: str, database: Database, tmp_path: Path
) -> None:
    ids = ["sess_" + letter * 24 for letter in "abc"]
    (tmp_path / "journal").mkdir()
    old, new, busy = (tmp_path / "journal" / f"{one}.ogg" for one in ids)
    for path in (old, new, busy):
        path.touch()
        os.utime(path, (0, 0))
    new.touch()
    with writing(busy):
        async with recording(loud(url, tmp_path)):
            pass
    assert spooled(tmp_path) == [new.name, busy.name]


async def test_a_deleted_conversation_leaves_no_sound_in_the_store_nor_here(
    url: str, database: Database, tmp_path: Path, elsewhere: MemoryFileSystem
) -> None:
    one = loud(url, tmp_path)
    play(one)
    async with recording(one):
        pass
    Unreliable.works = False
    two = loud(url, tmp_path)
    play(two)
    async with recording(two):
        pass
    assert (len(elsewhere.find("/calls")), len(spooled(tmp_path))) == (1, 1)
    ids = [listed["id"] for listed in await list_conversations(database)]
    assert await delete_with_recordings(database, ids, tmp_path / "journal")
    assert (elsewhere.find("/calls"), spooled(tmp_path)) == ([], [])
    assert await list_conversations(database) == []


async def test_a_conversation_that_is_deleted_while_it_goes_on_leaves_no_sound(
    url: str, database: Database, tmp_path: Path, elsewhere: MemoryFileSystem
) -> None:
    one = loud(url, tmp_path)
    play(one)
    ended, one._ended = one._ended, []
    async with recording(one):
        while not (spooled(tmp_path) and (listed := await list_conversations(database))):
            pass
        await delete_with_recordings(database, [listed[0]["id"]], tmp_path / "journal")
        one._on_ended(ended[0][0])
    assert elsewhere.find("/calls") == []
    assert spooled(tmp_path) == []


async def test_a_conversation_that_was_over_before_it_began_leaves_no_sound(
    url: str, database: Database, tmp_path: Path
) -> None:
    from vivavoce.session.call import Caller

    one = recorder(url, tmp_path, recordings=str(tmp_path / "recordings"))
    async with recording(one):
        one.listen(Caller("simulation")).on_end("caller")
    assert await list_conversations(database) == []
    assert list((tmp_path / "recordings").iterdir()) == []


S3 = """
import json, os, socket, sys, time
sys.path.insert(0, {tests!r})
sys.path.append({packages!r})
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
host, port = server.get_host_and_port()
os.environ |= {{"FSSPEC_S3_KEY": "k", "FSSPEC_S3_SECRET": "s", "FSSPEC_S3_ENDPOINT_URL": f"http://{{host}}:{{port}}"}}
import anyio, s3fs, fsspec.config
fsspec.config.set_conf_env(fsspec.config.conf)
from datetime import UTC, datetime, timedelta
from pathlib import Path
from store.played import play, recorder
from vivavoce.store.database import Database
from vivavoce.store.files import abort_uploads, files_in
from vivavoce.store.playback import read_bytes
from vivavoce.store.queries import find_conversation, list_conversations
from vivavoce.store.recorder import recording
from vivavoce.store.recordings import read
from vivavoce.store.retention import delete_with_recordings

folder, said, told = Path({folder!r}), [], {{}}
url = f"sqlite:///{{folder}}/conversations.db"
store = s3fs.S3FileSystem()
store.mkdir("calls")

async def record(place):
    one = recorder(url, folder, recordings=place, on_status=said.append)
    play(one)
    began = time.monotonic()
    async with recording(one):
        pass
    return time.monotonic() - began

async def main():
    await record("s3://calls/2026")
    database = Database(url)
    (listed,) = await list_conversations(database)
    (sound,) = (await find_conversation(database, listed["id"]))["recordings"]
    told["listed"] = store.find("calls") == [f"calls/2026/{{listed['id']}}.ogg"]
    told["type"] = store.info(sound["url"], refresh=True)["ContentType"]
    told["samples"] = [len(read(sound["url"])), len(read(sound["url"], 24_000, 48_000))]
    told["part"] = read_bytes(sound["url"], 0, 4).decode()
    told["sizes"] = [info.size > 1000 for info in files_in("s3://calls/2026").values()]
    await delete_with_recordings(database, [listed["id"]], folder / "journal")
    store.invalidate_cache()
    told["left"] = store.find("calls")

    await record("s3://nobody/2026")
    told["spooled"] = len([*(folder / "journal").glob("*.ogg")])
    told["rows"] = len(await list_conversations(database))
    store.mkdir("nobody")
    await record("s3://calls/2026")
    told["put"] = [len(store.find("nobody")), len(store.find("calls"))]
    told["then spooled"] = len([*(folder / "journal").glob("*.ogg")])

    for key in ("2026/sess_" + "a" * 24 + ".ogg", "2026/other.ogg", "2025/sess_" + "b" * 24 + ".ogg"):
        store.call_s3("create_multipart_upload", Bucket="calls", Key=key)
    told["too young"] = abort_uploads("s3://calls/2026", datetime(2010, 1, 1, tzinfo=UTC))  # moto's are of 2010
    told["aborted"] = abort_uploads("s3://calls/2026", datetime.now(UTC) - timedelta(days=1))
    told["uploads"] = sorted(one["Key"] for one in store.list_multipart_uploads("calls"))

    hanging = socket.create_server(("127.0.0.1", 0))  # it accepts connections, and never answers
    os.environ["FSSPEC_S3_ENDPOINT_URL"] = "http://127.0.0.1:{{}}".format(hanging.getsockname()[1])
    fsspec.config.set_conf_env(fsspec.config.conf)
    told["seconds"] = await record("s3://calls/2026")
    told["hung rows"] = len(await list_conversations(database))
    told["hung spooled"] = len([*(folder / "journal").glob("*.ogg")])
    await database.close()
    print(json.dumps(told | {{"said": said}}), flush=True)

anyio.run(main)
server.stop()
"""


def test_s3_gets_what_belongs_there_and_holds_nobody_up(tmp_path: Path) -> None:
    packages = next((python_of("s3").parents[1] / "lib").glob("python*/site-packages"))
    script = S3.format(tests=str(Path(__file__).parents[1]), packages=str(packages), folder=str(tmp_path))
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=150
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    told = json.loads(ran.stdout.splitlines()[-1])
    (said,) = told.pop("said")
    assert said.startswith("Recordings wait on this machine: FileNotFoundError")
    assert told.pop("seconds") < 6
    assert told == {
        "listed": True,
        "type": "audio/ogg",
        "samples": [6 * 24_000, 24_000],
        "part": "OggS",
        "sizes": [True],
        "left": [],
        "spooled": 1,
        "rows": 1,
        "put": [1, 1],
        "then spooled": 0,
        "too young": 0,
        "aborted": 1,
        "uploads": ["2025/sess_" + "b" * 24 + ".ogg", "2026/other.ogg"],
        "hung rows": 3,
        "hung spooled": 1,
    }
