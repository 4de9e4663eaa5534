"""Stored conversations by pages: each begins behind a place, which stays one whatever is deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from vivavoce.store import tables
from vivavoce.store.database import Database
from vivavoce.store.folding import fold_query
from vivavoce.store.queries import (
    INDEX,
    SHOWN_COLUMNS,
    Record,
    has_id,
    list_conversations,
    plain,
    says,
    started_before,
)

OFTEN = 2000
"""items from which on words are often said"""

_CONVERSATIONS, _ITEMS = tables.conversations, tables.items


@dataclass(frozen=True)
class ConversationFilter:
    """Which conversations are meant; None means any. `words` are said in one item; times are of the start."""

    words: str | None = None
    transport: str | None = None
    identity: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    only: str | None = None
    """the identity in whose name the question is asked"""

    def conditions(self, database: Database) -> Sequence[sa.ColumnElement[bool]]:
        """Return it as conditions on `conversations`; `until` itself is left out."""
        columns = _CONVERSATIONS.c
        found: list[sa.ColumnElement[bool]] = []
        if self.words is not None:
            found.append(_says(database, self.words))
        if self.transport is not None:
            found.append(columns.transport == plain(self.transport))
        if self.identity is not None:
            found.append(columns.identity == plain(self.identity))
        if self.only is not None:
            found.append(columns.identity == plain(self.only))
        if self.since is not None:
            found.append(columns.started >= self.since)
        if self.until is not None:
            found.append(columns.started < self.until)
        return found


def _says(database: Database, words: str) -> sa.ColumnElement[bool]:
    """Return the condition that somebody says these words in a conversation, however they are spelled.

    Of words that are often said, SQLite would look at every item that has them, to sort all conversations. So
    these are looked for in one conversation after the other, the newest first, until the page is full.
    """
    if not (alternatives := fold_query(words)):
        return sa.false()
    conversation, saying = _CONVERSATIONS.c.id, says(database, alternatives)
    if not database.is_sqlite:
        return conversation.in_(sa.select(_ITEMS.c.conversation_id).where(saying))
    row, here = INDEX.c.rowid, _ITEMS.c.conversation_id == conversation
    found = sa.select(row).where(saying)
    of_item = sa.select(_ITEMS.c.conversation_id).where(_ITEMS.c.row == row).scalar_subquery()
    edges = (sa.select(edge(_ITEMS.c.row)).where(here) for edge in (sa.func.min, sa.func.max))
    first, last = (edge.correlate(_CONVERSATIONS).scalar_subquery() for edge in edges)
    in_this = found.where(row.between(first, last), of_item == conversation).exists()
    in_any = conversation.in_(sa.select(_ITEMS.c.conversation_id).where(_ITEMS.c.row.in_(found)))
    count = sa.select(sa.func.count()).select_from(found.limit(OFTEN).subquery()).scalar_subquery()
    return sa.case((count == OFTEN, in_this), else_=in_any)


async def conversations_page(
    database: Database, filter: ConversationFilter, *, limit: int, before: tuple[datetime, str] | None
) -> Sequence[Record]:
    """Return conversations as `list_conversations` does; `before` is when one started, and its id."""
    where = [*filter.conditions(database)]
    if before is not None:
        where.append(started_before(*before))
    return await list_conversations(database, limit=limit, where=where)


async def items_page(
    database: Database, conversation_id: str, *, limit: int, after: tuple[float, int] | None
) -> Sequence[Record]:
    """Return items of a conversation in order; `after` is `position` and `row` of the last one before."""
    order = _ITEMS.c.position, _ITEMS.c.row
    own = (
        sa.select(*SHOWN_COLUMNS)
        .where(_ITEMS.c.conversation_id == conversation_id)
        .order_by(*order)
        .limit(limit)
    )
    if after is not None:
        own = own.where(sa.tuple_(*order) > sa.tuple_(*map(sa.literal, after)))
    return await database.rows(own)


async def find_id(database: Database, name: str, identity: str | None = None) -> str | None:
    """Return the id of the conversation that has it, or whose session does; None if there is none.

    With an `identity`, only conversations of that person are looked at.
    """
    columns, name = _CONVERSATIONS.c, plain(name)
    named = sa.select(columns.id).where(has_id(name)).limit(1)
    if identity is not None:
        named = named.where(columns.identity == plain(identity))
    async with database.reading() as connection:
        found: str | None = (await connection.execute(named)).scalar_one_or_none()
        return found


async def recordings_of(database: Database, ids: Sequence[str]) -> Sequence[Record]:
    """Return the recordings of conversations."""
    recordings = tables.recordings
    return await database.rows(sa.select(recordings).where(recordings.c.conversation_id.in_(ids)))


def items_of(identity: str | None) -> Sequence[sa.ColumnElement[bool]]:
    """Return the condition on `items` that they are of conversations of a person; none for None."""
    if identity is None:
        return []
    own = sa.select(_CONVERSATIONS.c.id).where(_CONVERSATIONS.c.identity == plain(identity))
    return [_ITEMS.c.conversation_id.in_(own)]
