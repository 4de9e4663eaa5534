"""Sums over stored conversations: what they cost, how many there were, how long answers took.

All is computed by the database, in the same way by both: a percentile is the smallest value that is not
exceeded by that share of the turns (nearest rank).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, get_args

import sqlalchemy as sa

from vivavoce.store.database import Database
from vivavoce.store.queries import Record
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


async def sum_costs(database: Database, by: CostsBy, since: datetime, until: datetime) -> Sequence[Record]:
    """Return what was used from a time until before another, by `key` and `currency`.

    A key is a day in UTC, a model (then there is its `provider`, too) or an identity; None means that there is
    none. `amount` is the sum of the costs that are known, `unknown` how many are not, of so many `uses`.
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
    if by == "identity":
        summed = summed.join_from(usage, conversations, conversations.c.id == columns.conversation_id)
    return await database.rows(summed)


async def statistics(
    database: Database, by: StatisticsBy, since: datetime, until: datetime
) -> Mapping[str, Sequence[Record]]:
    """Return sums by `key` over the conversations that began from a time until before another.

    `conversations` has their number, `seconds`, and how many ended by an `error` or a `crash`; `responses`
    their number and how many `failed`; `stages` is that of `stage_statistics`.
    """
    key, count = _key(database, by), sa.func.count()
    chosen = conversations.c.started >= since, conversations.c.started < until
    ended_by = conversations.c.ended_by
    began = (
        sa.select(
            key.label("key"),
            count.label("conversations"),
            sa.func.sum(_seconds(database, conversations.c.started, conversations.c.ended)).label("seconds"),
            count.filter(ended_by == "error").label("errors"),
            count.filter(ended_by == "crash").label("crashes"),
        )
        .where(*chosen)
        .group_by(key)
        .order_by(key.desc() if by == "day" else count.desc())
        .limit(MOST_GROUPS)
    )
    failed = count.filter(usage.c.status == "failed").label("failed")
    answered = (
        sa.select(key.label("key"), count.label("responses"), failed)
        .join_from(usage, conversations, conversations.c.id == usage.c.conversation_id)
        .where(*chosen, usage.c.kind == "response")
        .group_by(key)
    )
    return {
        "conversations": await database.rows(began),
        "responses": await database.rows(answered),
        "stages": await database.rows(stage_statistics(database, by, since, until)),
    }


def stage_statistics(database: Database, by: StatisticsBy, since: datetime, until: datetime) -> sa.Select[Any]:
    """Return the query for how long the stages of turns took, by `key` and `stage`.

    `turns` is in how many it occurred; percentiles (`p50`...) and the `longest` are in seconds.
    """
    key, stage, seconds = _key(database, by), timings.c.stage, timings.c.ended - timings.c.began
    ranked = (
        sa.select(
            key.label("key"),
            stage,
            seconds.label("seconds"),
            sa.func.row_number().over(partition_by=(key, stage), order_by=seconds).label("rank"),
            sa.func.count().over(partition_by=(key, stage)).label("turns"),
        )
        .join_from(timings, conversations, conversations.c.id == timings.c.conversation_id)
        .where(conversations.c.started >= since, conversations.c.started < until)
        .where(stage.in_(get_args(LatencyStage)), timings.c.kind.in_(("spoken", "text")))
        .subquery()
    )
    least, columns = sa.func.min(ranked.c.seconds), ranked.c
    percentiles = {percent: least.filter(columns.rank * 100 >= percent * columns.turns) for percent in PERCENTS}
    return sa.select(
        columns.key,
        columns.stage,
        sa.func.max(columns.turns).label("turns"),
        *(value.label(f"p{percent}") for percent, value in percentiles.items()),
        sa.func.max(columns.seconds).label("longest"),
    ).group_by(columns.key, columns.stage)


def _key(database: Database, by: StatisticsBy) -> sa.ColumnElement[Any]:
    return _day(database, conversations.c.started) if by == "day" else conversations.c[by]


def _day(database: Database, moment: sa.ColumnElement[datetime]) -> sa.ColumnElement[str]:
    if database.is_sqlite:
        return sa.func.strftime("%Y-%m-%d", moment)
    return sa.func.to_char(sa.func.timezone("UTC", moment), "YYYY-MM-DD")


def _seconds(
    database: Database, began: sa.ColumnElement[datetime], ended: sa.ColumnElement[datetime | None]
) -> sa.ColumnElement[float]:
    if database.is_sqlite:
        return (sa.func.julianday(ended) - sa.func.julianday(began)) * 86_400
    return sa.cast(sa.func.extract("epoch", sa.cast(ended, sa.DateTime(timezone=True)) - began), sa.Double)
