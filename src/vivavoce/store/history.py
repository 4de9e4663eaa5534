"""The history of a conversation that is continued: what was heard, in order, with calls of tools and outputs.

A conversation that continues another one has rows of its own, and names the other in `continues`. Positions go
on from one to the next, so the history is what all of them have, sorted. A later row about an item counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import anyio.to_thread
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from vivavoce.connect.history_replay import replayable
from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputText,
    Item,
    Message,
    OutputText,
    purpose_of,
)
from vivavoce.session.call import LAST, Caller, Recalled
from vivavoce.session.summary import quote_user, summary_item
from vivavoce.store import tables
from vivavoce.store.database import Database
from vivavoce.store.queries import Record, plain

QUOTED_ROWS = 2000
"""messages, the newest of those that are not recalled, from which the user is quoted"""
SITTINGS = 1000
"""conversations in a row that are read, each the continuation of the one before"""

_CONVERSATIONS, _ITEMS = tables.conversations, tables.items


@dataclass(frozen=True)
class History(Recalled):
    """What is recalled, with the position of each item by its id."""

    positions: dict[str, float]


async def read_history(database: Database, caller: Caller, limits: Limits) -> History:
    """Return the end of the conversation that a caller continues, within the limits.

    Raises `ProtocolError` if there is none that she may continue, `ProviderError` if the database fails.
    """
    async with database.reading() as connection:
        found = await _find(connection, caller)
        if found is None:
            raise no_conversation(caller.continues or "")
        sittings = _sittings(found["id"])
        rows = await _newest_rows(connection, sittings, limits.recalled_items)
        items = rebuild(rows, most_items=limits.recalled_items, most_chars=limits.recalled_chars)
        by_id = {row["id"]: row["position"] for row in rows}
        positions = {str(item.id): by_id[item.id] for item in items}
        summary = None
        if items and items[0].id != rows[0]["id"]:
            first = positions[items[0].id or ""]
            summary = await _summarize(connection, sittings, first, limits.summary_chars)
            positions |= {summary.id or "": first - 0.5} if summary else {}
    return History(found["id"], [*([summary] if summary else []), *items], positions)


def no_conversation(conversation_id: str) -> ProtocolError:
    """Return the error about a conversation that is not there, or is another person's."""
    shown = conversation_id if len(conversation_id) <= 80 else f"{conversation_id[:80]}…"
    message = f"There is no conversation {shown!r} that can be continued; this one begins without it."
    return ProtocolError(message, code="conversation_not_found", param="conversation")


def may_continue(caller: Caller) -> sa.ColumnElement[bool]:
    """Return the condition on the conversations that a caller may continue: her own, and not this one.

    Who is nobody in particular may continue those of nobody in particular, whose ids cannot be guessed.
    """
    mine = _CONVERSATIONS.c.identity.is_not_distinct_from(caller.identity)
    return sa.and_(mine, _CONVERSATIONS.c.id != caller.id)


async def _find(connection: AsyncConnection, caller: Caller) -> Record | None:
    mine = sa.select(_CONVERSATIONS).where(may_continue(caller)).limit(1)
    if caller.continues == LAST:
        if caller.address and caller.identity is None:
            return None  # it may be anybody's
        said = sa.select(_ITEMS.c.row).where(_ITEMS.c.conversation_id == _CONVERSATIONS.c.id).exists()
        mine = mine.where(said).order_by(_CONVERSATIONS.c.started.desc(), _CONVERSATIONS.c.id.desc())
    else:
        name = plain(caller.continues or "")
        mine = mine.where(sa.or_(_CONVERSATIONS.c.id == name, _CONVERSATIONS.c.session_id == name))
    found = (await connection.execute(mine)).mappings().first()
    return dict(found) if found else None


def _sittings(conversation_id: str) -> sa.CTE:
    """Return the conversation, and those that it continues, with how many later ones there are of each."""
    first = sa.select(_CONVERSATIONS.c.id, _CONVERSATIONS.c.continues, sa.literal(0).label("later"))
    chain = first.where(_CONVERSATIONS.c.id == conversation_id).cte("sittings", recursive=True)
    before = sa.select(_CONVERSATIONS.c.id, _CONVERSATIONS.c.continues, chain.c.later + 1)
    joined = before.join(chain, _CONVERSATIONS.c.id == chain.c.continues).where(chain.c.later < SITTINGS)
    return chain.union_all(joined)


async def _newest_rows(
    connection: AsyncConnection, sittings: sa.CTE, most: int, *conditions: sa.ColumnElement[bool]
) -> Sequence[Record]:
    """Return the newest rows from which items may be made, in order."""
    own = sa.select(_ITEMS, sittings.c.later).join(sittings, sittings.c.id == _ITEMS.c.conversation_id)
    deleted = own.where(_ITEMS.c.status == "deleted", _ITEMS.c.text.is_(None))
    gone = {row["id"]: row["later"] for row in (await connection.execute(deleted)).mappings()}
    order = _ITEMS.c.position.desc(), _ITEMS.c.row.desc()
    kept = own.where(sa.func.coalesce(_ITEMS.c.status, "") != "deleted", _ITEMS.c.purpose.is_(None))
    newest = kept.where(_ITEMS.c.type.in_(_TYPES), *conditions).order_by(*order).limit(most + len(gone) + 1)
    rows: dict[str, Record] = {}
    for row in (await connection.execute(newest)).mappings():
        known = rows.get(row["id"])
        if row["later"] < min(gone.get(row["id"], SITTINGS + 1), known["later"] if known else SITTINGS + 1):
            rows.pop(row["id"], None)
            rows[row["id"]] = dict(row)
    return sorted(rows.values(), key=lambda row: (row["position"], row["row"]))


async def _summarize(
    connection: AsyncConnection, sittings: sa.CTE, first: float, max_chars: int
) -> Message | None:
    """Return notes on what was said before the position `first`, if anything that tells something.

    That is what a chat model has written while the conversation went on, unless something of it was deleted in
    a later one, and what the user has said after that.
    """
    summaries, later = tables.summaries, sittings.alias()
    gone = sa.select(_ITEMS.c.row).join(later, later.c.id == _ITEMS.c.conversation_id)
    gone = gone.where(_ITEMS.c.status == "deleted", _ITEMS.c.position <= summaries.c.position)
    written = sa.select(summaries.c.position, summaries.c.text).join(
        sittings, sittings.c.id == summaries.c.conversation_id
    )
    written = written.where(
        summaries.c.text.is_not(None), ~gone.where(later.c.later < sittings.c.later).exists()
    )
    found = (await connection.execute(written.order_by(summaries.c.position.desc()).limit(1))).first()
    since, text = found or (-inf, "")
    if since < first:
        between = _ITEMS.c.position < first, _ITEMS.c.position > since, _ITEMS.c.type == "message"
        rows = await _newest_rows(connection, sittings, QUOTED_ROWS, *between)
        items = [item for row in rows if (item := _item(row))]
        quotes = await anyio.to_thread.run_sync(quote_user, items, max_chars - len(text) - 1)
        text = f"{text} {quotes}".strip()
    return summary_item(text) if text else None


_TYPES = ("message", "function_call", "function_call_output")


def rebuild(rows: Sequence[Record], *, most_items: int, most_chars: int) -> Sequence[Item]:
    """Return the items of rows as a client can create them, the newest within the limits.

    Of an answer there is only what was heard. Left out are messages without words, calls without an output,
    which will never come, and outputs without a call. What is cut off begins with a message of the user.
    """
    items = [item for row in rows if (item := _item(row))]
    kept, chars = len(items), 0
    while kept and len(items) - kept < most_items and (chars := chars + _chars(items[kept - 1])) <= most_chars:
        kept -= 1
    while 0 < kept < len(items) and not _is_users(items[kept]):
        kept += 1
    return _without_halves(items[kept:])


def _item(row: Record) -> Item | None:
    match row["type"]:
        case "message" if (row["heard"] or "").strip() and not purpose_of(row["id"]):
            part = OutputText if row["role"] == "assistant" else InputText
            return Message(id=row["id"], role=row["role"], content=(part(text=row["heard"]),))
        case "function_call" if row["call_id"]:
            name, arguments = row["name"] or "", row["arguments"] or ""
            call = FunctionCall(id=row["id"], name=name, arguments=arguments, call_id=row["call_id"])
            return replayable(call)
        case "function_call_output":
            return FunctionCallOutput(id=row["id"], call_id=row["call_id"] or "", output=row["output"] or "")
        case _:
            return None


def _without_halves(items: Sequence[Item]) -> list[Item]:
    outputs = {item.call_id for item in items if isinstance(item, FunctionCallOutput)}
    kept, called = list[Item](), set[str]()
    for item in items:
        match item:
            case FunctionCall(call_id=str(call_id)):
                if call_id not in outputs:
                    continue
                called.add(call_id)
            case FunctionCallOutput(call_id=call_id) if call_id not in called:
                continue
        kept.append(item)
    return kept


def _is_users(item: Item) -> bool:
    return isinstance(item, Message) and item.role == "user"


def _chars(item: Item) -> int:
    match item:
        case Message(content=(InputText(text=text) | OutputText(text=text),)):
            return len(text)
        case FunctionCall(arguments=text) | FunctionCallOutput(output=text):
            return len(text)
        case _:
            return 0
