"""Sums over stored conversations: what they cost, how many there were, how long answers took.

The databases count, both in the same way; percentiles are found here, in what they counted.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, get_args

import sqlalchemy as sa

from vivavoce.store.database import Database
from vivavoce.store.queries import Record, plain
from vivavoce.store.tables import conversations, timings, usage

CostsBy = Literal["day", "model", "identity"]
StatisticsBy = Literal["day", "transport", "engine", "identity"]
LatencyStage = Literal["endpointing", "transcript", "first_token", "first_text", "first_audio"]
PERCENTS = (50, 90, 95)
MOST_GROUPS = 1000
"""groups that are returned; of days the newest, else those with the most"""

_UNKNOWN = sa.func.count().filter(usage.c.cost.is_(None))


async def costs_of(database: Database, ids: Sequence[str]) -> Sequence[Record]:
    """Return what conversations cost: `conversation_id`, `currency`, `amount`, and how many are `unknown`."""
    summed = (
        sa.select(
            usage.c.conversation_id,
            usage.c.currency,
            sa.func.sum(usage.c.cost).label("amount"),
            _UNKNOWN.label("unknown"),
        )
        .where(usage.c.conversation_id.in_(ids))
        .group_by(usage.c.conversation_id, usage.c.currency)
    )
    return await database.rows(summed)


async def sum_costs(
    database: Database, by: CostsBy, since: datetime, until: datetime, identity: str | None = None
) -> Sequence[Record]:
    """Return what was used from a time until before another, by `key` and `currency`.

    A key is a day in UTC, a model (then there is its `provider`, too) or an identity; None means that there is
    none. `amount` is the sum of the costs that are known, `unknown` how many are not, of so many `uses`. With
    an `identity`, only that person's count.
    """
    columns = usage.c
    by_kind: Mapping[CostsBy, Sequence[sa.ColumnElement[Any]]] = {
        "day": [_day(database, columns.created)],
        "model": [columns.model, columns.provider],
        "identity": [conversations.c.identity],
    }
    keys = by_kind[by]
    named = [key.label(name) for key, name in zip(keys, ("key", "provider"), strict=False)]
    count = sa.func.count().label("uses")
    summed = (
        sa.select(
            *named,
            columns.currency,
            sa.func.sum(columns.cost).label("amount"),
            _UNKNOWN.label("unknown"),
            count,
            *(
                sa.func.sum(columns[name]).label(name)
                for name in ("input_tokens", "cached_tokens", "output_tokens", "seconds")
            ),
        )
        .where(columns.created >= since, columns.created < until)
        .group_by(*keys, columns.currency)
        .order_by(named[0].desc() if by == "day" else count.desc())
        .limit(MOST_GROUPS)
    )
    if by == "identity" or identity is not None:
        summed = summed.join_from(usage, conversations, conversations.c.id == columns.conversation_id)
        summed = summed.where(*_of_person(identity))
    return await database.rows(summed)


async def statistics(
    database: Database, by: StatisticsBy, since: datetime, until: datetime, identity: str | None = None
) -> Mapping[str, Sequence[Record]]:
    """Return sums by `key` over the conversations that began from a time until before another.

    With an `identity`, only that person's count.
    `conversations` has their number, `seconds`, and how many ended by an `error` or a `crash`; `responses`
    their number and how many `failed`; `stages` for each stage the `turns` in which it occurred, and how many
    hundredths of a second it took: percentiles (`p50`...) and the `longest`.
    """
    columns, count = conversations.c, sa.func.count()
    key = (_day(database, columns.started) if by == "day" else columns[by]).label("key")
    of_time = columns.started >= since, columns.started < until, *_of_person(identity)
    began = (
        sa.select(
            key,
            count.label("conversations"),
            sa.func.sum(_seconds(database, columns.started, columns.ended)).label("seconds"),
            count.filter(columns.ended_by == "error").label("errors"),
            count.filter(columns.ended_by == "crash").label("crashes"),
        )
        .where(*of_time)
        .group_by(key)
        .order_by(key.desc() if by == "day" else count.desc())
        .limit(MOST_GROUPS)
    )
    # Materialized, or SQLite reads all timings there are.
    chosen = sa.select(columns.id, key).where(*of_time).cte("chosen").prefix_with("MATERIALIZED")
    answered = (
        sa.select(
            chosen.c.key,
            count.label("responses"),
            count.filter(usage.c.status == "failed").label("failed"),
        )
        .join_from(chosen, usage, chosen.c.id == usage.c.conversation_id)
        .where(usage.c.kind == "response")
        .group_by(chosen.c.key)
    )
    rounded = (timings.c.ended - timings.c.began) * 100 + 0.5
    hundredths = sa.cast(rounded if database.is_sqlite else sa.func.floor(rounded), sa.Integer)
    timed = (
        sa.select(chosen.c.key, timings.c.stage, hundredths.label("hundredths"), count.label("turns"))
        .join_from(chosen, timings, chosen.c.id == timings.c.conversation_id)
        .where(timings.c.stage.in_(get_args(LatencyStage)), timings.c.kind.in_(("spoken", "text")))
        .group_by(chosen.c.key, timings.c.stage, hundredths)
    )
    took: dict[tuple[str | None, str], dict[int, int]] = {}
    for row in await database.rows(timed):
        took.setdefault((row["key"], row["stage"]), {})[row["hundredths"]] = row["turns"]
    stages = [{"key": key, "stage": stage, **percentiles(counts)} for (key, stage), counts in took.items()]
    return {
        "conversations": await database.rows(began),
        "responses": await database.rows(answered),
        "stages": stages,
    }


def percentiles(counts: Mapping[int, int]) -> Record:
    """Return `turns`, percentiles (`p50`...) and the `longest` of values of which each occurs so many times.

    A percentile is the smallest value that is not exceeded by that share of all (nearest rank).
    """
    turns, found, sofar = sum(counts.values()), Record(), 0
    for value, count in sorted(counts.items()):
        sofar += count
        for percent in PERCENTS:
            if 100 * sofar >= percent * turns:
                found.setdefault(f"p{percent}", value)
    return {"turns": turns, **found, "longest": max(counts)}


def _of_person(identity: str | None) -> Sequence[sa.ColumnElement[bool]]:
    return [] if identity is None else [conversations.c.identity == plain(identity)]


def _day(database: Database, moment: sa.ColumnElement[datetime]) -> sa.ColumnElement[str]:
    if database.is_sqlite:
        return sa.func.substr(moment, 1, 10, type_=sa.Text)
    return sa.func.to_char(sa.func.timezone("UTC", moment), "YYYY-MM-DD")


def _seconds(
    database: Database, began: sa.ColumnElement[datetime], ended: sa.ColumnElement[datetime | None]
) -> sa.ColumnElement[float]:
    if database.is_sqlite:
        return (sa.func.julianday(ended) - sa.func.julianday(began)) * 86_400
    return sa.cast(sa.func.extract("epoch", sa.cast(ended, sa.DateTime(timezone=True)) - began), sa.Double)
