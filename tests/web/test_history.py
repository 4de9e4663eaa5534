"""Stored conversations by HTTP: lists, parts, sound, costs, deletion, and what is said where that cannot be."""

import io
import re
import wave
from collections.abc import Iterator
from pathlib import Path
from threading import Event, active_count
from typing import Any

import anyio
import fsspec
import httpx
import pytest
import sqlalchemy as sa
from fsspec.implementations.local import LocalFileSystem

from postgresql import schema
from store.played import PARIS, recorder
from vivavoce.protocol import events as e
from vivavoce.store.database import Database
from vivavoce.store.recordings import read
from vivavoce.store.tables import conversations, recordings, timings, usage
from vivavoce.testing.simulation import CallerSays, ClientSends, Timeline
from web.conftest import Site
from web.stored import serving_history, store

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

HISTORY = "/v1/history"
ENDLESS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
SELECT CAST(i AS TEXT) AS conversation_id, 'USD' AS currency, 1.0 AS cost FROM n
"""
ROME = CallerSays(0.5, "And the capital of Italy?")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/conversations.db"
        return
    with schema(request.getfixturevalue("postgresql_server")) as empty:
        yield empty.replace("+psycopg", "")


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/conversations.db"


def problem(answer: httpx.Response, status: int, code: str | None) -> str:
    """Return what is said about an error."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert set(found) == {"type", "title", "status", "detail", "code", "param"}
    assert (found["status"], found["code"]) == (status, code)
    return str(found["detail"])


async def get(client: httpx.AsyncClient, path: str = "", **query: Any) -> Any:
    answer = await client.get(f"{HISTORY}{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


# lists and parts


async def test_conversations_are_listed_by_pages_and_by_what_was_said(url: str, tmp_path: Path) -> None:
    for said in (PARIS, ROME, PARIS):
        await store(url, tmp_path, said)
    async with serving_history(url, tmp_path) as client:
        everything = (await get(client))["data"]
        assert [one["first"] for one in everything] == [PARIS.words, ROME.words, PARIS.words]
        assert [one["item_count"] for one in everything] == [2, 2, 2]
        assert everything[0]["cost"] == {"amounts": [{"currency": "USD", "amount": 0}], "unknown": 0}
        assert everything[0]["seconds"] == pytest.approx(4, abs=0.1)
        first = await get(client, limit=2)
        second = await get(client, limit=2, before=first["next"])
        assert first["data"] + second["data"] == everything
        assert second["next"] is None
        for query, count in (
            ({"q": "italy's capitals"}, 1),
            ({"q": "capital"}, 3),
            ({"q": "um"}, 0),
            ({"transport": "simulation"}, 3),
            ({"transport": "telephone"}, 0),
            ({"identity": "anna"}, 0),
            ({"from": "2020-01-01", "to": "9999-12-31"}, 3),
            ({"to": "2020-01-01T00:00:00+02:00"}, 0),
        ):
            assert len((await get(client, **query))["data"]) == count, query


async def test_a_page_goes_on_where_the_one_before_ended_though_that_was_deleted(
    url: str, tmp_path: Path
) -> None:
    for _ in range(3):
        await store(url, tmp_path)
    async with serving_history(url, tmp_path) as client:
        first = await get(client, limit=2)
        last = first["data"][-1]["id"]
        assert (await client.delete(f"{HISTORY}/{last}")).json() == {"deleted": [last], "scrubbed": True}
        assert len((await get(client, limit=2, before=first["next"]))["data"]) == 1


async def test_what_was_said_is_found_by_pages(url: str, tmp_path: Path) -> None:
    await store(url, tmp_path, *(CallerSays(at, "Hello again.") for at in (0.5, 5, 10)), until=14)
    async with serving_history(url, tmp_path) as client:
        found = await get(client, "/search", q="HELLO", limit=2)
        rest = await get(client, "/search", q="HELLO", limit=2, before=found["next"])
        times = [item["created"] for item in (*found["data"], *rest["data"])]
        assert (len(times), times) == (3, sorted(times, reverse=True))
        assert rest["next"] is None


async def test_a_conversation_is_shown_with_its_parts_and_what_was_heard(url: str, tmp_path: Path) -> None:
    words = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen."

    def truncate(timeline: Timeline) -> e.ClientEvent:
        return e.ConversationItemTruncate(item_id=timeline.answer_id, content_index=0, audio_end_ms=500)

    steps = PARIS, CallerSays(4, "Stop it, please."), ClientSends(4.4, truncate)
    await store(url, tmp_path, *steps, until=6, replies=[words, "Well."])
    async with serving_history(url, tmp_path) as client:
        (listed,) = (await get(client))["data"]
        whole = await get(client, f"/{listed['id']}")
        assert whole == await get(client, f"/{listed['session_id']}")
        items = await get(client, f"/{listed['id']}/items", limit=1)
        rest = await get(client, f"/{listed['id']}/items", after=items["next"])
        assert items["data"] + rest["data"] == whole["items"]
        answer = whole["items"][1]
        assert answer["text"].startswith(answer["heard"])
        assert 0 < len(answer["heard"]) < len(answer["text"])
        assert (await get(client, f"/{listed['id']}/timings"))["data"] == whole["turns"]
        stages = [stage["stage"] for stage in whole["turns"][0]["stages"]]
        assert stages[:3] == ["speech", "endpointing", "transcript"]
        assert {one["kind"] for one in whole["usage"]} == {"response", "transcription", "speech"}
        assert [one["item_id"] for one in whole["spoken"]][:2] == [one["id"] for one in whole["items"]][:2]
        some = await get(client, f"/{listed['id']}/events", limit=5)
        more = await get(client, f"/{listed['id']}/events", limit=1000, after=some["next"])
        numbers = [one["number"] for one in (*some["data"], *more["data"])]
        assert numbers == list(range(1, len(numbers) + 1))
        assert some["data"][0]["event"]["type"] == "session.created"
        assert str(tmp_path) not in str(whole), "where files lie is nobody's business"


async def test_who_has_it_already_is_told_so(sqlite: str, tmp_path: Path) -> None:
    await store(sqlite, tmp_path)
    async with serving_history(sqlite, tmp_path) as client:
        for path in ("", f"/{(await get(client))['data'][0]['id']}", "/openapi.json"):
            path = path if path == "/openapi.json" else f"{HISTORY}{path}"
            etag = (await client.get(path)).headers["etag"]
            for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
                answer = await client.get(path, headers={"if-none-match": known})
                assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
            assert (await client.get(path, headers={"if-none-match": '"other"'})).status_code == 200
            assert (await client.head(path)).headers["etag"] == etag


# sound


async def test_a_recording_can_be_had_whole_and_in_parts(sqlite: str, tmp_path: Path) -> None:
    await store(sqlite, tmp_path)
    (file,) = (tmp_path / "recordings").iterdir()
    content = file.read_bytes()
    async with serving_history(sqlite, tmp_path) as client:
        path = (await get(client))["data"][0]["audio"]["url"]
        whole = await client.get(path)
        assert whole.content == content
        assert whole.headers["content-type"] == "audio/ogg; codecs=opus"
        assert (await client.head(path)).headers["content-length"] == str(len(content))
        for asked, part in (
            ("bytes=0-99", slice(100)),
            ("bytes=100-", slice(100, None)),
            ("bytes=-100", slice(-100, None)),
        ):
            answer = await client.get(path, headers={"range": asked})
            assert (answer.status_code, answer.content) == (206, content[part])
            start = range(len(content))[part].start
            assert answer.headers["content-range"].startswith(f"bytes {start}-")
        changed = await client.get(path, headers={"range": "bytes=0-9", "if-range": '"other"'})
        assert (changed.status_code, len(changed.content)) == (200, len(content))
        beyond = await client.get(path, headers={"range": f"bytes={len(content)}-"})
        assert "leave Range out" in problem(beyond, 416, "range_not_satisfiable")
        assert beyond.headers["content-range"] == f"bytes */{len(content)}"
        known = await client.get(path, headers={"if-none-match": whole.headers["etag"], "range": "bytes=0-9"})
        assert known.status_code == 304


async def test_the_sound_of_one_turn_is_cut_out_to_the_sample(sqlite: str, tmp_path: Path) -> None:
    await store(sqlite, tmp_path)
    (file,) = (tmp_path / "recordings").iterdir()
    async with serving_history(sqlite, tmp_path) as client:
        found = await get(client, f"/{(await get(client))['data'][0]['id']}")
        for column, one in enumerate(found["spoken"]):
            path = f"{found['audio']['url']}?item={one['item_id']}"
            answer = await client.get(path)
            assert answer.headers["content-type"] == "audio/wav"
            with wave.open(io.BytesIO(answer.content)) as sound:
                assert (sound.getnchannels(), sound.getframerate()) == (1, 24_000)
                samples = sound.readframes(sound.getnframes())
            start, end = (round(one[name] * 24_000) for name in ("began", "ended"))
            assert samples == read(str(file), start, end)[:, column].tobytes()
            for asked, part in (("bytes=40-50", slice(40, 51)), ("bytes=-7", slice(-7, None))):
                cut = await client.get(path, headers={"range": asked})
                assert (cut.status_code, cut.content) == (206, answer.content[part])
            packed = await client.get(f"{path}&format=ogg")
            assert packed.headers["content-type"] == "audio/ogg; codecs=opus"
            (tmp_path / "turn.ogg").write_bytes(packed.content)
            assert packed.content.startswith(b"OggS")
            assert packed.headers["accept-ranges"] == "none"


async def test_sound_that_is_not_there_is_explained(sqlite: str, tmp_path: Path) -> None:
    await store(sqlite, tmp_path)
    async with serving_history(sqlite, tmp_path) as client:
        path = (await get(client))["data"][0]["audio"]["url"]
        none = await client.get(path, params={"item": "item_none"})
        assert "there is no sound" in problem(none, 404, "recording_not_found")
        unclear = await client.get(path, params={"format": "wav"})
        assert "export?format=wav" in problem(unclear, 400, "invalid_value")
        (file,) = (tmp_path / "recordings").iterdir()
        file.write_bytes(b"no recording")
        spoken = (await get(client, path.removeprefix(HISTORY).removesuffix("/audio")))["spoken"]
        for kind in ("wav", "ogg"):
            broken = await client.get(path, params={"item": spoken[0]["item_id"], "format": kind})
            assert "log says why" in problem(broken, 503, "recording_unavailable")
        file.unlink()
        gone = await client.get(path)
        assert "was removed" in problem(gone, 404, "recording_not_found")


async def test_a_recording_that_waits_to_be_put_elsewhere_is_played_from_where_it_waits(
    sqlite: str, tmp_path: Path
) -> None:
    await store(sqlite, tmp_path)
    (file,) = (tmp_path / "recordings").iterdir()
    database = Database(sqlite)
    async with database.writing() as connection:
        await connection.execute(recordings.update().values(url=f"memory://{tmp_path.name}/{file.name}"))
    await database.close()
    kept = recorder(sqlite, tmp_path)
    async with serving_history(sqlite, tmp_path, recorded=kept) as client:
        path = (await get(client))["data"][0]["audio"]["url"]
        problem(await client.get(path), 404, "recording_not_found")
        content = file.read_bytes()
        (kept.spool / file.name).write_bytes(content)
        assert (await client.get(path)).content == content


async def test_a_store_of_files_that_hangs_is_given_up(
    sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(sqlite, tmp_path)
    hanging = Event()
    monkeypatch.setattr(LocalFileSystem, "info", lambda *_, **__: hanging.wait())
    async with serving_history(sqlite, tmp_path, limits={"history_seconds": 0.3}) as client:
        path = (await get(client))["data"][0]["audio"]["url"]
        for _ in range(3):
            assert "limits.history_seconds" in problem(await client.get(path), 503, "recording_unavailable")
        assert len((await get(client))["data"]) == 1
        hanging.set()


# costs


async def test_costs_are_summed_up_and_unknown_ones_are_counted(url: str, tmp_path: Path) -> None:
    await store(url, tmp_path)
    database = Database(url)
    async with database.writing() as connection:
        for kind, cost, currency in (("response", 0.1, "USD"), ("speech", None, None)):
            change = usage.update().where(usage.c.kind == kind)
            await connection.execute(change.values(cost=cost, currency=currency))
    await database.close()
    async with serving_history(url, tmp_path) as client:
        known = {"amounts": [{"currency": "USD", "amount": 0.1}], "unknown": 1}
        assert (await get(client))["data"][0]["cost"] == known
        for by, count in (("day", 1), ("model", 1), ("identity", 1)):
            sums = await get(client, "/costs", by=by)
            assert sums["total"] == known
            assert len(sums["data"]) == count
            assert sum(group["uses"] for group in sums["data"]) == 3
        assert (await get(client, "/costs", to="2020-01-01"))["data"] == []


# deletion


async def test_several_conversations_are_deleted_at_once_or_none(url: str, tmp_path: Path) -> None:
    for _ in range(3):
        await store(url, tmp_path)
    async with serving_history(url, tmp_path) as client:
        ids = [one["id"] for one in (await get(client))["data"]]
        refused = await client.delete(HISTORY, params={"id": [ids[0], "sess_none"]})
        assert "'sess_none'" in problem(refused, 404, "conversation_not_found")
        assert "'id'" in problem(await client.delete(HISTORY), 400, "missing_required_parameter")
        assert len((await get(client))["data"]) == 3
        answer = await client.delete(HISTORY, params={"id": ids[:2]})
        assert answer.json() == {"deleted": ids[:2], "scrubbed": True}
        assert [one["id"] for one in (await get(client))["data"]] == ids[2:]
        assert len(list((tmp_path / "recordings").iterdir())) == 1


async def test_only_what_was_seen_is_deleted_where_that_is_asked_for(sqlite: str, tmp_path: Path) -> None:
    await store(sqlite, tmp_path)
    async with serving_history(sqlite, tmp_path) as client:
        path = f"{HISTORY}/{(await get(client))['data'][0]['id']}"
        etag = (await client.get(path)).headers["etag"]
        for other in ('"other"', f"W/{etag}"):
            refused = await client.delete(path, headers={"if-match": other})
            assert "GET it again" in problem(refused, 412, "changed_meanwhile")
        assert (await client.delete(path, headers={"if-match": etag})).status_code == 200
        problem(await client.delete(path), 404, "conversation_not_found")


async def test_a_conversation_that_goes_on_is_not_deleted(sqlite: str, tmp_path: Path) -> None:
    await store(sqlite, tmp_path)
    kept = recorder(sqlite, tmp_path)
    async with serving_history(sqlite, tmp_path, recorded=kept) as client:
        (one,) = (await get(client))["data"]
        kept.writing.add(one["id"])
        refused = await client.delete(f"{HISTORY}/{one['id']}")
        assert "end it, or wait" in problem(refused, 409, "conversation_in_progress")


# who may ask, and what is refused


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("?limit=0", "invalid_value", "expected 1 to 100, got 0"),
        ("?limit=ten", "invalid_value", "expected an integer"),
        ("?limt=5", "unknown_parameter", "'limt'"),
        ("?from=yesterday", "invalid_value", "2026-11-30"),
        ("?from=0001-01-01T00:00:00%2B14:00", "invalid_value", "2026-11-30"),
        ("?before=sess_1", "invalid_cursor", "`next`"),
        ("?before=%00", "invalid_cursor", "`next`"),
        ("/search", "missing_required_parameter", "'q'"),
        ("/search?q=", "missing_required_parameter", "'q'"),
        ("/search?q=a&before=LTE", "invalid_cursor", "`next`"),
        ("/search?q=" + "a" * 1001, "invalid_value", "it may have 1000"),
        ("/costs?by=hour", "invalid_value", "'day'"),
    ],
)
async def test_what_cannot_be_asked_is_refused_in_words(
    path: str, code: str, words: str, sqlite: str, tmp_path: Path
) -> None:
    async with serving_history(sqlite, tmp_path) as client:
        assert words in problem(await client.get(f"{HISTORY}{path}"), 400, code)


@pytest.mark.parametrize("name", ["sess_none", "%00", "%ff%fe", "'; --", "..", "x" * 10_000, "🦜"])
async def test_what_is_no_id_is_not_found(name: str, sqlite: str, tmp_path: Path) -> None:
    async with serving_history(sqlite, tmp_path) as client:
        for part in ("", "/items", "/timings", "/events", "/audio"):
            answer = await client.get(f"{HISTORY}/{name}{part}")
            if name != "..":
                assert len(problem(answer, 404, "conversation_not_found")) < 200
        if name != "..":
            problem(await client.delete(f"{HISTORY}/{name}"), 404, "conversation_not_found")


async def test_a_query_of_a_hundred_kilobytes_is_refused_in_words(sqlite: str, tmp_path: Path) -> None:
    async with serving_history(sqlite, tmp_path) as client:
        address = client.base_url  # httpx refuses to send it
        async with await anyio.connect_tcp(str(address.host), address.port or 0) as stream:
            query = b"capital+" * 12_500
            await stream.send(b"GET /v1/history/search?q=%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % query)
            answer = await stream.receive()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"it may have 1000" in answer


async def test_history_needs_a_key_and_a_client_secret_is_none(sqlite: str, tmp_path: Path) -> None:
    async with serving_history(sqlite, tmp_path, keys="sesame") as client:
        problem(await client.get(HISTORY), 401, "invalid_api_key")
        headers = {"authorization": "Bearer sesame"}
        assert (await client.get(HISTORY, headers=headers)).status_code == 200
        secret = (await client.post("/v1/realtime/client_secrets", json={}, headers=headers)).json()["value"]
        for method in ("GET", "DELETE"):
            answer = await client.request(method, HISTORY, headers={"authorization": f"Bearer {secret}"})
            problem(answer, 403, "client_secret_not_allowed")


async def test_no_other_page_may_delete(sqlite: str, tmp_path: Path) -> None:
    async with serving_history(sqlite, tmp_path) as client:
        stranger = {"origin": "https://evil.example"}
        problem(await client.delete(f"{HISTORY}?id=a", headers=stranger), 403, "origin_not_allowed")


async def test_without_a_store_that_is_said(site: Site) -> None:
    async with site() as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        for path in ("", "/search?q=a", "/costs", "/sess_1", "/sess_1/audio"):
            assert "[store] enabled" in problem(await client.get(f"{HISTORY}{path}"), 404, "store_disabled")


async def test_other_methods_and_paths_are_refused_in_the_same_form(sqlite: str, tmp_path: Path) -> None:
    async with serving_history(sqlite, tmp_path) as client:
        answer = await client.post(HISTORY)
        problem(answer, 405, None)
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "DELETE"}
        problem(await client.get(f"{HISTORY}/a/b/c"), 404, None)


async def test_a_database_that_fails_is_said_to_without_telling_where_it_lies(
    sqlite: str, tmp_path: Path
) -> None:
    database = Database(sqlite)
    await database.open()
    async with database.writing() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'newer'")
    await database.close()
    async with serving_history(sqlite, tmp_path) as client:
        answer = await client.get(HISTORY)
        said = problem(answer, 503, "store_unavailable")
        assert "was made by a newer vivavoce" in said
        assert "update vivavoce" in said
        assert str(tmp_path) not in said
        assert answer.headers["retry-after"] == "5"


async def test_a_database_that_goes_away_is_said_to(sqlite: str, tmp_path: Path) -> None:
    await store(sqlite, tmp_path)
    async with serving_history(sqlite, tmp_path) as client:
        await get(client)
        database = Database(sqlite)
        async with database.writing() as connection:
            await connection.exec_driver_sql("ALTER TABLE usage RENAME TO gone")
        await database.close()
        answer = await client.get(HISTORY)
        assert "no such table" in problem(answer, 503, "store_unavailable")
        assert answer.headers["retry-after"] == "5"


async def test_a_question_that_takes_too_long_is_stopped(sqlite: str, tmp_path: Path) -> None:
    await store(sqlite, tmp_path)
    async with serving_history(sqlite, tmp_path, limits={"history_seconds": 0.5}) as client:
        database = Database(sqlite)
        async with database.writing() as connection:
            await connection.exec_driver_sql("DROP TABLE usage")
            await connection.exec_driver_sql(f"CREATE VIEW usage AS {ENDLESS}")
        await database.close()
        threads = active_count()
        for _ in range(3):
            said = problem(await client.get(HISTORY), 503, "store_busy")
            assert "0.5 seconds (limits.history_seconds)" in said
        with anyio.fail_after(30):
            while active_count() > threads + 1:  # noqa: ASYNC110  # SQLite stops in threads
                await anyio.sleep(0.01)
        assert len((await get(client, "/search", q="capital"))["data"]) == 1


# statistics and files


async def test_it_is_counted_how_often_and_how_long_users_waited(url: str, tmp_path: Path) -> None:
    for said in (PARIS, ROME):
        await store(url, tmp_path, said)
    database = Database(url)
    async with database.writing() as connection:
        first = await connection.execute(sa.select(timings.c.conversation_id).limit(1))
        slow = timings.update().where(timings.c.conversation_id == first.scalar_one())
        await connection.execute(slow.values(ended=timings.c.began + 2))
        others = timings.update().where(timings.c.ended != timings.c.began + 2)
        await connection.execute(others.values(ended=timings.c.began + 1))
        await connection.execute(usage.update().where(usage.c.kind == "response").values(status="failed"))
    await database.close()
    async with serving_history(url, tmp_path) as client:
        for by in ("day", "transport", "engine", "identity"):
            (group,) = (await get(client, "/statistics", by=by))["data"]
            assert (group["conversations"], group["responses"], group["failed"]) == (2, 2, 2)
            assert group["seconds"] == pytest.approx(8, abs=0.2)
            waited = {"turns": 2, "p50": 1.0, "p90": 2.0, "p95": 2.0, "longest": 2.0}
            assert group["stages"]["first_audio"] == waited
        assert (await get(client, "/statistics", to="2020-01-01"))["data"] == []


@pytest.mark.parametrize(
    ("kind", "media_type", "begins"),
    [
        ("json", "application/json", b'{\n  "id": '),
        ("markdown", "text/markdown; charset=utf-8", b"# Conversation of "),
        ("srt", "application/x-subrip", b"1\n00:00:0"),
    ],
)
async def test_a_conversation_is_exported_as_a_file(
    kind: str, media_type: str, begins: bytes, sqlite: str, tmp_path: Path
) -> None:
    await store(sqlite, tmp_path)
    async with serving_history(sqlite, tmp_path) as client:
        found = (await get(client))["data"][0]["id"]
        answer = await client.get(f"{HISTORY}/{found}/export", params={"format": kind})
        assert answer.headers["content-type"] == media_type
        assert re.fullmatch(
            rf'attachment; filename="\d{{4}}-\d\d-\d\d-\d{{4}}-{found}\.\w+"',
            answer.headers["content-disposition"],
        )
        assert answer.content.startswith(begins)
        assert b"capital of France" in answer.content
        assert str(tmp_path).encode() not in answer.content
        unchanged = {"if-none-match": answer.headers["etag"]}
        again = await client.get(f"{HISTORY}/{found}/export", params={"format": kind}, headers=unchanged)
        assert again.status_code == 304


async def test_the_whole_recording_is_exported_as_wav_though_the_server_was_killed(
    sqlite: str, tmp_path: Path
) -> None:
    await store(sqlite, tmp_path)
    (file,) = (tmp_path / "recordings").iterdir()
    samples = read(str(file))
    async with serving_history(sqlite, tmp_path) as client:
        path = f"{HISTORY}/{(await get(client))['data'][0]['id']}/export?format=wav"
        for is_known in (True, False):
            if not is_known:
                database = Database(sqlite)
                async with database.writing() as connection:
                    await connection.execute(recordings.update().values(seconds=None))
                await database.close()
            answer = await client.get(path)
            with wave.open(io.BytesIO(answer.content)) as sound:
                assert sound.getnchannels() == 2
                assert sound.readframes(sound.getnframes()) == samples.tobytes()


async def test_the_next_page_is_named_in_a_header(sqlite: str, tmp_path: Path) -> None:
    await store(sqlite, tmp_path)
    async with serving_history(sqlite, tmp_path) as client:
        found = (await get(client))["data"][0]["id"]
        for path in ("/search?q=capital&limit=1", f"/{found}/items?limit=1", f"/{found}/events?limit=1"):
            first = await client.get(f"{HISTORY}{path}")
            if first.json()["next"]:
                following = await client.get(first.links["next"]["url"])
                assert following.json()["data"][0] != first.json()["data"][0]
        assert "link" not in (await client.get(HISTORY)).headers


async def test_a_request_in_the_name_of_a_person_sees_only_what_is_hers(url: str, tmp_path: Path) -> None:
    for _ in range(2):
        await store(url, tmp_path)
    database = Database(url)
    async with database.writing() as connection:
        ids = (await connection.execute(sa.select(conversations.c.id))).scalars().all()
        for found, name in zip(ids, ("anna", "ben"), strict=True):
            await connection.execute(
                conversations.update().where(conversations.c.id == found).values(identity=name)
            )
    await database.close()
    headers = {"authorization": "Bearer sesame", "openai-safety-identifier": "anna"}
    async with serving_history(url, tmp_path, keys="sesame", headers=headers) as client:
        assert [one["id"] for one in (await get(client))["data"]] == [ids[0]]
        assert (await get(client, identity="ben"))["data"] == []
        found = (await get(client, "/search", q="capital"))["data"]
        assert {one["conversation_id"] for one in found} == {ids[0]}
        for by in ("day", "model", "identity"):
            assert sum(group["uses"] for group in (await get(client, "/costs", by=by))["data"]) == 3
        assert (await get(client, "/statistics"))["data"][0]["conversations"] == 1
        for part in ("", "/items", "/timings", "/events", "/audio", "/export", "/export?format=wav"):
            problem(await client.get(f"{HISTORY}/{ids[1]}{part}"), 404, "conversation_not_found")
        problem(await client.delete(f"{HISTORY}/{ids[1]}"), 404, "conversation_not_found")
        assert (await client.delete(f"{HISTORY}/{ids[0]}")).status_code == 200


async def test_recordings_in_a_store_of_files_are_played_from_there(sqlite: str, tmp_path: Path) -> None:
    """`memory://` is fsspec's own; S3 is tested where recordings are."""
    await store(sqlite, tmp_path)
    (file,) = (tmp_path / "recordings").iterdir()
    elsewhere = f"memory://{tmp_path.name}/{file.name}"
    with fsspec.open(elsewhere, "wb") as copy:
        copy.write(file.read_bytes())
    database = Database(sqlite)
    async with database.writing() as connection:
        await connection.execute(recordings.update().values(url=elsewhere))
    await database.close()
    async with serving_history(sqlite, tmp_path) as client:
        one = await get(client, f"/{(await get(client))['data'][0]['id']}")
        whole = await client.get(one["audio"]["url"])
        assert whole.content == file.read_bytes()
        end = await client.get(one["audio"]["url"], headers={"range": "bytes=-9"})
        assert (end.status_code, end.content) == (206, whole.content[-9:])
        turn = await client.get(one["audio"]["url"], params={"item": one["items"][0]["id"]})
        assert turn.content.startswith(b"RIFF")
        await client.delete(f"{HISTORY}/{one['id']}")
        assert fsspec.filesystem("memory").find(f"/{tmp_path.name}") == []
