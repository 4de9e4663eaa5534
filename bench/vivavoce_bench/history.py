"""The store with many conversations: how long it takes to list them, to search, and to open one."""

import os
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate
from pathlib import Path
from time import perf_counter

import sqlalchemy as sa

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.errors import ConfigError
from vivavoce.store import tables
from vivavoce.store.database import Database
from vivavoce.store.folding import fold
from vivavoce.store.queries import find_conversation, list_conversations, search

AT_ONCE = 50
"""conversations that are written in one transaction"""
COLD, WARM = 5, 20
"""times that each operation is measured"""
PREFIX = "bench_"
"""how ids of our conversations begin"""
WORDS = 5000
"""words that are spoken, the n-th 1/n times as often as the first"""
TURN_SECONDS = 8.0
_STARTED = datetime(2026, 1, 1, tzinfo=UTC)
_STAGES = {"speech": 2.0, "endpointing": 0.2, "transcript": 0.1, "first_token": 0.3, "first_text": 0.35}
_STAGES |= {"first_audio": 0.5, "speaking": 4.0, "response": 1.0}

Row = dict[str, object]
Ask = Callable[[Database, int], Awaitable[Sequence[object]]]


@dataclass(frozen=True)
class Measured:
    """What one operation took, in seconds, and how much it returned.

    Cold: the file was not in memory, and the connection is included. Warm: the same again, on one connection.
    """

    conversations: int
    operation: str
    found: int
    cold: Sequence[float]
    warm: Sequence[float]


def vocabulary() -> list[str]:
    """Return words that can be pronounced, the most common first."""
    syllables = [one + other for one in "bdfgklmnprstvz" for other in "aeiou"]
    chance = random.Random(1)  # noqa: S311  (words, not a secret; the same every time)
    return list(dict.fromkeys("".join(chance.choices(syllables, k=3)) for _ in range(2 * WORDS)))[:WORDS]


_WORDS = vocabulary()
_OFTEN = [*accumulate(1 / rank for rank in range(1, WORDS + 1))]


def name_of(number: int) -> str:
    """Return the id of a conversation by its number. It is the only one that begins with `shorter`."""
    return f"{shorter(number)}_conversation"


def shorter(number: int) -> str:
    """Return the beginning of the id of a conversation that fits no other."""
    return f"{PREFIX}{number:06}"


def only_in(number: int) -> str:
    """Return a word that is said in one conversation only, by its number, and once."""
    return "".join("bcdfghjklm"[int(digit)] + "o" for digit in f"{number:06}")


def rows_of(number: int, turns: int) -> Iterator[tuple[sa.Table, list[Row]]]:
    """Yield the rows of one conversation by table, as the recorder writes them, but for the event log."""
    chance = random.Random(number)  # noqa: S311  (the same conversation every time)
    name, began = name_of(number), _STARTED + timedelta(minutes=7 * number)
    models = {"transcriber": "moonshine-base", "chat": "qwen", "synthesizer": "hibari"}
    ended = began + timedelta(seconds=turns * TURN_SECONDS)
    head: Row = {"session_id": f"sess_{name}", "transport": "websocket", "engine": "cascade", "models": models}
    yield tables.conversations, [{"id": name, **head, "started": began, "ended": ended, "ended_by": "caller"}]
    items, usage, timings, spoken = list[Row](), list[Row](), list[Row](), list[Row]()
    for turn in range(turns):
        at = turn * TURN_SECONDS
        said = f"{_WORDS[0]} {only_in(number)}" if turn == turns // 2 else ""
        for role, start, end, size in (("user", at, at + 2, 12), ("assistant", at + 2.5, at + 6.5, 25)):
            item = {"id": f"item_{turn:03}_{role}", "role": role, "began": start, "ended": end}
            text = _text(chance, chance.randint(size // 2, size * 2), said if role == "user" else "")
            when = began + timedelta(seconds=start)
            items.append({"position": len(items) + 1, **item, "created": when, **_said(text)})
            samples = {"start": round(start * OUTPUT_RATE), "end": round(end * OUTPUT_RATE)}
            spoken.append({"item_id": item["id"], "channel": role, **samples})
        for kind in ("transcription", "response", "speech"):
            used = {"source_id": f"{kind}_{turn:03}", "kind": kind, "provider": "scripted", "model": kind}
            count = {"input_tokens": 40 * turn, "output_tokens": 30, "cost": 0.0, "currency": "USD"}
            usage.append({**used, **count, "created": began + timedelta(seconds=at + 3)})
        for stage_number, (stage, seconds) in enumerate(_STAGES.items()):
            key = {"turn_id": f"item_{turn:03}_user", "number": stage_number, "kind": "spoken"}
            timings.append({**key, "stage": stage, "detail": "", "began": at, "ended": at + seconds})
    url = f"/recordings/{name}.ogg"
    recording: Row = {"url": url, "seconds": turns * TURN_SECONDS, "spoken": spoken, "problem": None}
    parts = {tables.items: items, tables.usage: usage, tables.timings: timings, tables.recordings: [recording]}
    for table, rows in parts.items():
        yield table, [{"conversation_id": name, **row} for row in rows]


def _text(chance: random.Random, size: int, said: str) -> str:
    words = chance.choices(_WORDS, cum_weights=_OFTEN, k=size)
    if chance.random() < 0.05:
        words.insert(size // 2, chance.choice(["twenty one", "21", "half past seven", "7:30"]))
    return " ".join([*words, said]).strip().capitalize() + "."


def _said(text: str) -> Row:
    return {
        "type": "message",
        "status": "completed",
        "text": text,
        "heard": text,
        "language": "en",
        "folded": fold(text),
    }


async def fill(database: Database, conversations: int, turns: int, on_status: Callable[[str], None]) -> int:
    """Write conversations until there are so many; return how many there are.

    Raises `ConfigError` if others than ours are there: this is for a database that nobody needs.
    """
    ids, key = tables.conversations.c.id, sa.func.count()
    async with database.reading() as connection:
        there = (await connection.execute(sa.select(key).select_from(tables.conversations))).scalar_one()
        ours = (await connection.execute(sa.select(key).where(ids.startswith(PREFIX)))).scalar_one()
    if there != ours:
        raise ConfigError(f"{database.about} has conversations of people; name an empty database.")
    for first in range(there, conversations, AT_ONCE):
        on_status(f"{first} of {conversations} conversations are written.")
        rows: dict[sa.Table, list[Row]] = {}
        for number in range(first, min(first + AT_ONCE, conversations)):
            for table, some in rows_of(number, turns):
                rows.setdefault(table, []).extend(some)
        async with database.writing() as connection:
            for table, some in rows.items():
                await connection.execute(sa.insert(table), some)
    if not database.is_sqlite:  # what PostgreSQL does itself, a while later
        async with database.writing() as connection:
            await connection.exec_driver_sql("ANALYZE")
    return max(there, conversations)


def operations(conversations: int) -> dict[str, Ask]:
    """Return what is measured, by name. Each is asked with a number of a conversation, another every time."""
    middle, last, common = name_of(conversations // 2), name_of(min(20, conversations - 1)), _WORDS[0]
    words: dict[str, Callable[[int], str]] = {
        "common": lambda number: common,
        "two common": lambda number: f"{_WORDS[1]} {_WORDS[2]}",
        "six common": lambda number: " ".join(_WORDS[:6]),
        "twenty one": lambda number: "twenty one",
        "rare": only_in,
        "rare and common": lambda number: f"{only_in(number)} {common}",
        "never said": lambda number: "xylophone",
        "100 kB": lambda number: " ".join(_WORDS * 3),
    }
    return {
        "open the database": _open,
        "list, first page": lambda database, _: list_conversations(database),
        "list, middle page": lambda database, _: list_conversations(database, before=middle),
        "list, last page": lambda database, _: list_conversations(database, before=last),
        "list, 1,000": lambda database, _: list_conversations(database, limit=1000),
        **{f"search, {name}": partial(_search, query) for name, query in words.items()},
        "search, common: middle page": lambda database, _: search(database, common, before=20 * conversations),
        "open, by id": lambda database, number: _items(database, name_of(number)),
        "open, by session": lambda database, number: _items(database, f"sess_{name_of(number)}"),
        "open, by beginning": lambda database, number: _items(database, shorter(number)),
    }


async def _open(database: Database, _: int) -> Sequence[object]:
    await database.open(upgrade=False)
    return []


async def _search(query: Callable[[int], str], database: Database, number: int) -> Sequence[object]:
    return await search(database, query(number))


async def _items(database: Database, name: str) -> Sequence[object]:
    return list((await find_conversation(database, name))["items"])


async def run(
    url: str, levels: Sequence[int], turns: int, on_status: Callable[[str], None]
) -> Sequence[Measured]:
    """Fill a database and measure, one number of conversations after another. Raises `ConfigError`."""
    measured: list[Measured] = []
    for level in levels:
        database = Database(url)
        await database.open()
        count = await fill(database, level, turns, on_status)
        await database.close()
        for name, ask in operations(count).items():
            on_status(f"{count} conversations: {name}.")
            measured.append(await _measure(url, count, name, ask))
    return measured


async def _measure(url: str, conversations: int, name: str, ask: Ask) -> Measured:
    chance = random.Random(2)  # noqa: S311  (which conversations are asked for)
    cold: list[float] = []
    for _ in range(COLD):
        database = Database(url)
        if database.is_sqlite:
            forget(database.file)
        cold.append((await _timed(database, ask, chance.randrange(conversations)))[0])
        await database.close()
    database = Database(url)
    await ask(database, 0)
    warm = [await _timed(database, ask, chance.randrange(conversations)) for _ in range(WARM)]
    await database.close()
    return Measured(conversations, name, warm[0][1], cold, [seconds for seconds, _ in warm])


async def _timed(database: Database, ask: Ask, number: int) -> tuple[float, int]:
    began = perf_counter()
    found = await ask(database, number)
    return perf_counter() - began, len(found)


def forget(file: Path) -> None:
    """Let the system drop a file from memory, where it can be told so (Linux)."""
    if hasattr(os, "posix_fadvise"):
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
