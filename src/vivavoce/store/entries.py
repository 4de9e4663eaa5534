"""Entries of the journal, and how they get into the database: each once, several in one transaction."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import sqlalchemy as sa

from vivavoce.errors import ProviderError
from vivavoce.store import tables
from vivavoce.store.database import Database, upsert
from vivavoce.store.folding import VERSION, fold
from vivavoce.store.journal import left_journals

log = logging.getLogger(__name__)

AT_ONCE = 1000
"""rows of one transaction"""


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """A row in the journal, by its number. `new` is the first of a conversation; later ones need it."""

    number: int
    table: str
    row: dict[str, object]
    new: bool = False

    @property
    def conversation_id(self) -> str:
        return str(self.row["id" if self.table == "conversations" else "conversation_id"])


_decoder = msgspec.json.Decoder(Entry)


_KEYS = {name: keys for name, keys in tables.KEYS.items() if name not in ("journals", "facts")}


def _decode(line: bytes) -> Entry:
    """Return an entry. Raises `MsgspecError` for what is none, or no row of a conversation."""
    entry = _decoder.decode(line)
    if entry.table not in _KEYS or not {*_KEYS[entry.table]} <= entry.row.keys():
        raise msgspec.ValidationError(f"it is no row of a table {entry.table!r}")
    return entry


async def write(database: Database, journal_id: str, lines: bytes) -> None:
    """Put entries of a journal into the database. Raises `ProviderError` while that fails.

    A row that the database refuses is left out and logged, and the others are written. What belongs to a
    conversation that was deleted is left out.
    """
    entries = []
    for line in lines.splitlines():
        try:
            entries.append(_decode(line))
        except msgspec.MsgspecError as error:
            log.error("an entry of %s cannot be read and is left out: %s", journal_id, error)
    for start in range(0, len(entries), AT_ONCE):
        await _write(database, journal_id, entries[start : start + AT_ONCE])


async def _write(database: Database, journal_id: str, entries: Sequence[Entry]) -> None:
    if not entries:
        return
    try:
        folded = await anyio.to_thread.run_sync(_fold_all, entries)  # a long text takes seconds
        await database.write(partial(_apply, journal_id=journal_id, entries=entries, folded=folded))
    except ProviderError as error:
        if error.retryable:
            raise
        if len(entries) == 1:
            log.error("a row of %s is not stored: %s", entries[0].conversation_id, error.message)
            return
        half = len(entries) // 2
        await _write(database, journal_id, entries[:half])
        await _write(database, journal_id, entries[half:])


def _fold_all(entries: Sequence[Entry]) -> dict[tuple[object, object], str]:
    """Return the folded text of each item, by conversation and item."""
    texts = {
        (one.row["conversation_id"], one.row["id"]): one.row["text"] for one in entries if one.table == "items"
    }
    return {key: fold(str(_without_nul(text) or "")) for key, text in texts.items()}


def _apply(
    connection: sa.Connection,
    *,
    journal_id: str,
    entries: Sequence[Entry],
    folded: Mapping[tuple[object, object], str],
) -> None:
    known = sa.select(tables.journals.c.applied).where(tables.journals.c.id == journal_id)
    applied = connection.execute(known).scalar_one_or_none() or 0
    new = [entry for entry in entries if entry.number > applied]
    there = {entry.conversation_id for entry in new if entry.new}
    if mentioned := {entry.conversation_id for entry in new} - there:
        column = tables.conversations.c.id
        found = sa.select(column).where(column.in_(mentioned)).with_for_update(key_share=True)
        there.update(connection.execute(found).scalars())
    rows: dict[str, dict[tuple[object, ...], dict[str, object]]] = {}
    for entry in new:
        if entry.conversation_id in there:
            key = tuple(entry.row[name] for name in tables.KEYS[entry.table])
            rows.setdefault(entry.table, {}).setdefault(key, {}).update(entry.row)
    for (conversation_id, item_id), row in rows.get("items", {}).items():
        row["folded"] = folded[conversation_id, item_id]
    for table in tables.metadata.sorted_tables:
        # rows with the same columns are written together
        by_columns: dict[frozenset[str], list[dict[str, object]]] = {}
        for row in rows.get(table.name, {}).values():
            # a newer vivavoce may have left columns that there are not yet
            plain = {name: _without_nul(value) for name, value in row.items() if name in table.c}
            by_columns.setdefault(frozenset(plain), []).append(plain)
        for alike in by_columns.values():
            upsert(connection, table, alike)
    upsert(connection, tables.journals, [{"id": journal_id, "applied": max(applied, entries[-1].number)}])


def _without_nul(value: object) -> object:
    """Return a value as PostgreSQL accepts it, which has no NUL in texts."""
    return value.replace("\0", "") if isinstance(value, str) and "\0" in value else value


async def finish(database: Database, journal_id: str) -> None:
    """Forget a journal whose entries are all written. Conversations of it that have no end were cut off."""
    ours = tables.conversations.c.journal_id == journal_id
    last = sa.select(sa.func.max(tables.items.c.created)).where(
        tables.items.c.conversation_id == tables.conversations.c.id
    )
    ended = sa.func.coalesce(last.scalar_subquery(), tables.conversations.c.started)
    cut_off = sa.update(tables.conversations).where(ours, tables.conversations.c.ended.is_(None))
    async with database.writing() as connection:
        await connection.execute(cut_off.values(ended=ended, ended_by="crash"))
        await connection.execute(sa.delete(tables.journals).where(tables.journals.c.id == journal_id))


async def store_left(database: Database, folder: Path) -> None:
    """Store what is in the journals of processes that are gone. Raises `ProviderError` if that fails."""
    for left in left_journals(folder):
        log.info("a server that was killed has left %d bytes; they are stored now", len(left.entries))
        await write(database, left.id, left.entries)
        left.done()
        await finish(database, left.id)


async def refold(database: Database) -> None:
    """Fold all items anew if they were folded by another version, and note the version."""
    facts = tables.facts
    async with database.reading() as connection:
        stored = sa.select(facts.c.value).where(facts.c.name == "folding")
        version = (await connection.execute(stored)).scalar_one_or_none()
    if version == str(VERSION):
        return
    last: int | None = 0
    while last is not None:  # each part is a transaction of its own, so that others can write as well
        last = await _refold_some(database, last)
    async with database.writing() as connection:
        await connection.run_sync(upsert, facts, [{"name": "folding", "value": str(VERSION)}])


async def _refold_some(database: Database, after: int) -> int | None:
    """Fold the next items anew; return the last of them, or None if there was none."""
    items = tables.items
    some = sa.select(items.c.row, items.c.text).where(items.c.row > after).order_by(items.c.row).limit(AT_ONCE)
    async with database.writing() as connection:
        found = (await connection.execute(some)).all()
        if not found:
            return None
        texts = [text or "" for _, text in found]
        words = await anyio.to_thread.run_sync(lambda: [*map(fold, texts)])
        folded = [{"at": row, "words": one} for (row, _), one in zip(found, words, strict=True)]
        change = sa.update(items).where(items.c.row == sa.bindparam("at"))
        await connection.execute(change.values(folded=sa.bindparam("words")), folded)
        return int(found[-1].row)
