"""What is asked of the store: list, show, search, delete."""

from collections.abc import Sequence
from datetime import datetime
from math import inf
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from vivavoce.errors import ConfigError
from vivavoce.store import tables
from vivavoce.store.database import Database
from vivavoce.store.folding import fold_query
from vivavoce.store.timings import Stage, WaterfallRow

Record = dict[str, Any]
"""a row by the names of its columns"""

PAGE = 20
"""conversations or items of one page"""
MOST = 1000
"""conversations or items of the longest page"""

INDEX = sa.table(tables.SEARCH_TABLE, sa.column("rowid"), sa.column(tables.SEARCH_TABLE))
"""the words of items, in SQLite"""

_CONVERSATIONS, _ITEMS = tables.conversations, tables.items
SHOWN_COLUMNS = [column for column in _ITEMS.c if column.name != "folded"]
"""of items"""
_FIRST = (
    sa.select(_ITEMS.c.text)
    .where(_ITEMS.c.conversation_id == _CONVERSATIONS.c.id, _ITEMS.c.role == "user", _ITEMS.c.text != "")
    .order_by(_ITEMS.c.position)
    .limit(1)
    .scalar_subquery()
)
_COUNT = sa.select(sa.func.count()).where(_ITEMS.c.conversation_id == _CONVERSATIONS.c.id).scalar_subquery()


async def list_conversations(
    database: Database,
    *,
    limit: int = PAGE,
    before: str | None = None,
    where: Sequence[sa.ColumnElement[bool]] = (),
) -> Sequence[Record]:
    """Return conversations, newest first, each with `items` (how many) and `first` (what the user said first).

    `before` is the id of the last one of the page before; `where` are conditions on `conversations`. Raises
    `ConfigError` if there is none with this id.
    """
    listed = sa.select(_CONVERSATIONS, _COUNT.label("items"), _FIRST.label("first")).where(*where)
    order = _CONVERSATIONS.c.started, _CONVERSATIONS.c.id
    async with database.reading() as connection:
        if before is not None:
            started = sa.select(_CONVERSATIONS.c.started).where(_CONVERSATIONS.c.id == plain(before))
            after = (await connection.execute(started)).scalar_one_or_none()
            if after is None:
                raise no_such(before)
            listed = listed.where(started_before(after, before))
        newest = listed.order_by(*(column.desc() for column in order)).limit(min(limit, MOST))
        return [dict(row) for row in (await connection.execute(newest)).mappings()]


def started_before(started: datetime, conversation_id: str) -> sa.ColumnElement[bool]:
    """Return the condition on `conversations` that they come behind one in a list."""
    order = sa.tuple_(_CONVERSATIONS.c.started, _CONVERSATIONS.c.id)
    return order < sa.tuple_(sa.literal(started, tables.Moment), sa.literal(plain(conversation_id)))


def has_id(name: str) -> sa.ColumnElement[bool]:
    """Return the condition on `conversations` that this is the id of one, or of its session."""
    return sa.or_(_CONVERSATIONS.c.id == name, _CONVERSATIONS.c.session_id == name)


async def ids_of(database: Database, identity: str) -> Sequence[str]:
    """Return the ids of all conversations of a person."""
    own = sa.select(_CONVERSATIONS.c.id).where(_CONVERSATIONS.c.identity == plain(identity))
    async with database.reading() as connection:
        return (await connection.execute(own)).scalars().all()


async def find_conversation(database: Database, conversation_id: str) -> Record:
    """Return a conversation, with its `items`, `usage`, `timings`, `recordings` and `gaps` as lists.

    The id is the conversation's, its session's, or the beginning of one that fits only once. Raises
    `ConfigError` if there is none.
    """
    conversation_id = plain(conversation_id)
    async with database.reading() as connection:
        named = sa.select(_CONVERSATIONS).where(has_id(conversation_id)).limit(1)
        found = (await connection.execute(named)).mappings().first()
        if found is None:
            begins = _CONVERSATIONS.c.id.startswith(conversation_id, autoescape=True)
            some = (await connection.execute(sa.select(_CONVERSATIONS).where(begins).limit(2))).mappings().all()
            if len(some) != 1:
                raise no_such(conversation_id)
            found = some[0]
        record = dict(found)
        for table, order in _PARTS.items():
            own = sa.select(table).where(table.c.conversation_id == record["id"]).order_by(*order)
            rows = (await connection.execute(own)).mappings()
            hidden = {"conversation_id", "row", "folded"}
            record[table.name] = [{name: row[name] for name in row if name not in hidden} for row in rows]
    return record


_PARTS = {
    _ITEMS: (_ITEMS.c.position, _ITEMS.c.row),
    tables.usage: (tables.usage.c.created,),
    tables.timings: (tables.timings.c.turn_id, tables.timings.c.number),
    tables.recordings: (tables.recordings.c.url,),
    tables.gaps: (tables.gaps.c.began,),
}


async def list_events(
    database: Database, conversation_id: str, *, after: int = 0, limit: int | None = None
) -> Sequence[Record]:
    """Return the event log of a conversation, in order; empty if none was kept.

    `after` is the `number` of the last one of the page before.
    """
    events = tables.events
    own = sa.select(events).where(events.c.conversation_id == conversation_id, events.c.number > after)
    return await database.rows(own.order_by(events.c.number).limit(limit))


async def search(
    database: Database,
    query: str,
    *,
    limit: int = PAGE,
    before: int | None = None,
    where: Sequence[sa.ColumnElement[bool]] = (),
) -> Sequence[Record]:
    """Return the items that say what the query says, newest first; it may be spelled otherwise.

    All its words must be in an item; what is beyond the fold's limits is not used. `before` is `row` of the
    last item of the page before; `where` are conditions on `items`.
    """
    alternatives = fold_query(query)
    if not alternatives:
        return []
    found = sa.select(*SHOWN_COLUMNS).where(says(database, alternatives), *where)
    order: sa.ColumnElement[int] = _ITEMS.c.row
    if database.is_sqlite:
        found, order = found.join(INDEX, INDEX.c.rowid == _ITEMS.c.row), INDEX.c.rowid
    if before is not None:
        found = found.where(order < before)
    return await database.rows(found.order_by(order.desc()).limit(min(limit, MOST)))


def says(database: Database, alternatives: Sequence[Sequence[str]]) -> sa.ColumnElement[bool]:
    """Return the condition that an item, or in SQLite its row in `INDEX`, has the words of an alternative."""
    if database.is_sqlite:
        return INDEX.c[tables.SEARCH_TABLE].op("MATCH")(fts_query(alternatives))
    return sa.column("words").op("@@")(sa.cast(ts_query(alternatives), postgresql.TSQUERY))


async def delete_conversations(database: Database, ids: Sequence[str]) -> None:
    """Delete conversations with all that belongs to them; the files of their recordings are left.

    Nothing of them can be read in an SQLite file afterwards if `Database.scrub` then returns true.
    """
    later = sa.select(_CONVERSATIONS.c.id).where(_CONVERSATIONS.c.continues.in_(ids)).cte(recursive=True)
    later = later.union(sa.select(_CONVERSATIONS.c.id).join(later, _CONVERSATIONS.c.continues == later.c.id))
    summed_up = tables.summaries.c.conversation_id.in_(sa.select(later.c.id))
    async with database.writing() as connection:
        await connection.execute(sa.delete(tables.summaries).where(summed_up))
        await connection.execute(sa.delete(_CONVERSATIONS).where(_CONVERSATIONS.c.id.in_(ids)))


def stored_waterfall(record: Record) -> list[WaterfallRow]:
    """Return the stages of all turns of a conversation, as `timings.waterfall` does while it goes on."""
    rows, firsts = record["timings"], dict[str, float]()
    for row in rows:
        firsts[row["turn_id"]] = min(row["began"], firsts.get(row["turn_id"], inf))
    return [
        WaterfallRow(
            row["turn_id"], row["kind"], Stage(row["stage"], row["began"], row["ended"], row["detail"])
        )
        for row in sorted(rows, key=lambda row: (firsts[row["turn_id"]], row["turn_id"], row["number"]))
    ]


def no_such(conversation_id: str) -> ConfigError:
    """Return the error about an id that is no conversation's."""
    shown = conversation_id if len(conversation_id) <= 80 else f"{conversation_id[:80]}…"
    return ConfigError(f"There is no conversation {shown!r}, or several begin so; write: viva history list")


def plain(text: str) -> str:
    """Return a text without what no database accepts: halves of characters, and NUL."""
    return text.encode(errors="replace").decode().replace("\0", "")


def fts_query(alternatives: Sequence[Sequence[str]]) -> str:
    """Return a query of FTS5 that is fulfilled by all words of one of the alternatives."""
    quoted = (['"' + word.replace('"', '""') + '"' for word in words] for words in alternatives)
    return " OR ".join(f"({' AND '.join(words)})" for words in quoted)


def ts_query(alternatives: Sequence[Sequence[str]]) -> str:
    """Return the same for PostgreSQL, whose parser and dictionaries have no part in it."""
    quoted = (
        ["'" + word.replace("\\", "\\\\").replace("'", "''") + "'" for word in words] for words in alternatives
    )
    return " | ".join(f"({' & '.join(words)})" for words in quoted)
