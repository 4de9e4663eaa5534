"""Stored conversations by HTTP, all under one path: at /v1/conversations OpenAI has other things."""

from base64 import b64decode, urlsafe_b64encode
from binascii import Error as NoBase64
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, TypeVar

import anyio
import anyio.to_thread
import msgspec
from msgspec import Meta
from starlette.requests import Request

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.dates import utc_now
from vivavoce.errors import ProviderError
from vivavoce.store import pages, statistics
from vivavoce.store.database import Database
from vivavoce.store.queries import Record, find_conversation, list_events, search, stored_waterfall
from vivavoce.store.retention import delete_with_recordings
from vivavoce.web.conditional import etag_of, require_match
from vivavoce.web.endpoints.history_schema import (
    ConversationsPage,
    ConversationsQuery,
    ConversationStatistics,
    ConversationSummary,
    ConversationTurns,
    CostGroup,
    CostsQuery,
    CostSums,
    Deletion,
    DeletionQuery,
    EventsPage,
    ItemsPage,
    Money,
    NoQuery,
    PartsQuery,
    SearchQuery,
    SpokenPart,
    StageStatistics,
    StageTime,
    StatisticsGroup,
    StatisticsQuery,
    StoredConversation,
    StoredEvent,
    StoredGap,
    StoredItem,
    StoredSound,
    TotalCost,
    TurnTimes,
    UsageOfModel,
)
from vivavoce.web.errors import HttpError, invalid_request
from vivavoce.web.requests import identity_of
from vivavoce.web.store_access import StoreAccess

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

DAYS = 30
"""of costs and statistics, if the query names no time"""
_SUMMED = ("uses", "input_tokens", "cached_tokens", "output_tokens", "seconds")
_Row = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Started = Annotated[datetime, Meta(tz=True)]


class HistoryEndpoint:
    """The endpoints under `/v1/history` but for sound, each called with its query. They raise `HttpError`."""

    def __init__(self, store: StoreAccess) -> None:
        self._store, self._deleting = store, anyio.Lock()

    async def list(self, request: Request, query: ConversationsQuery) -> ConversationsPage:
        """Answer `GET /v1/history`."""
        chosen = pages.ConversationFilter(
            query.q,
            query.transport,
            query.identity,
            _time(query.from_, "from"),
            _time(query.to, "to"),
            only=identity_of(request),
        )
        before = _read_cursor(query.before, tuple[_Started, str], "before")

        async def ask(database: Database) -> list[ConversationSummary]:
            found = await pages.conversations_page(database, chosen, limit=query.limit + 1, before=before)
            ids = [one["id"] for one in found]
            costs = await statistics.costs_of(database, ids)
            sounds = {one["conversation_id"]: one for one in await pages.recordings_of(database, ids)}
            return [_summary(one, costs, sounds.get(one["id"])) for one in found]

        found = await self._store.ask(ask)
        return ConversationsPage(*_page(found, query.limit, lambda one: (one.started, one.id)))

    async def search(self, request: Request, query: SearchQuery) -> ItemsPage:
        """Answer `GET /v1/history/search`."""
        before = _read_cursor(query.before, _Row, "before")
        own = partial(search, query=query.q, where=pages.items_of(identity_of(request)))
        found = await self._store.ask(partial(own, limit=query.limit + 1, before=before))
        return _items_page(found, query.limit, lambda row: (row["row"],))

    async def retrieve(self, request: Request, _: NoQuery) -> StoredConversation:
        """Answer `GET /v1/history/{id}`."""
        return await self._find(request)

    async def items(self, request: Request, query: PartsQuery) -> ItemsPage:
        """Answer `GET /v1/history/{id}/items`."""
        after = _read_cursor(query.after, tuple[float, _Row], "after")

        own = partial(pages.items_page, conversation_id=await self._store.requested_id(request), after=after)
        found = await self._store.ask(partial(own, limit=query.limit + 1))
        return _items_page(found, query.limit, lambda row: (row["position"], row["row"]))

    async def timings(self, request: Request, _: NoQuery) -> ConversationTurns:
        """Answer `GET /v1/history/{id}/timings`."""
        found = await self._store.requested_id(request)

        async def ask(database: Database) -> Sequence[TurnTimes]:
            record = await find_conversation(database, found)
            return await anyio.to_thread.run_sync(turn_times, record)

        return ConversationTurns(await self._store.ask(ask))

    async def events(self, request: Request, query: PartsQuery) -> EventsPage:
        """Answer `GET /v1/history/{id}/events`."""
        after = _read_cursor(query.after, _Row, "after")

        own = partial(list_events, conversation_id=await self._store.requested_id(request), after=after or 0)
        found = await self._store.ask(partial(own, limit=query.limit + 1))
        shown, cursor = _page(found, query.limit, lambda row: (row["number"],))
        events = [
            StoredEvent(
                number=row["number"], at=row["at"], source=row["source"], event=msgspec.Raw(row["body"])
            )
            for row in shown
        ]
        return EventsPage(events, cursor)

    async def delete(self, request: Request, _: NoQuery) -> Deletion:
        """Answer `DELETE /v1/history/{id}`; with `If-Match`, only if the conversation is still the same."""
        if "if-match" in request.headers:
            require_match(request, etag_of(msgspec.json.encode(await self._find(request))))
        return await self._delete([str(request.path_params["id"])], identity_of(request))

    async def delete_several(self, request: Request, query: DeletionQuery) -> Deletion:
        """Answer `DELETE /v1/history`: all of them, or none if there is one that cannot be deleted."""
        return await self._delete(query.id, identity_of(request))

    async def costs(self, request: Request, query: CostsQuery) -> CostSums:
        """Answer `GET /v1/history/costs`."""
        since, until = _times(query.from_, query.to)
        own = partial(statistics.sum_costs, by=query.by, identity=identity_of(request))
        rows = await self._store.ask(partial(own, since=since, until=until))
        groups: dict[tuple[str | None, str | None], list[Record]] = {}
        for row in rows:
            groups.setdefault((row["key"], row.get("provider")), []).append(row)
        data = [_cost_group(key, provider, group) for (key, provider), group in groups.items()]
        return CostSums(from_=since, to=until, total=_total(rows), data=data)

    async def statistics(self, request: Request, query: StatisticsQuery) -> ConversationStatistics:
        """Answer `GET /v1/history/statistics`."""
        since, until = _times(query.from_, query.to)
        own = partial(statistics.statistics, by=query.by, identity=identity_of(request))
        found = await self._store.ask(partial(own, since=since, until=until))
        return ConversationStatistics(from_=since, to=until, data=statistics_groups(found))

    async def _delete(self, names: Sequence[str], identity: str | None) -> Deletion:
        ids = [await self._store.find_id(name, identity) for name in dict.fromkeys(names)]
        recorder = self._store.recorder
        if busy := [one for one in ids if one in recorder.writing]:
            problem = f"Conversation {busy[0]} goes on, or is still being written; end it, or wait a moment."
            raise HttpError(409, problem, code="conversation_in_progress", param="id")
        async with self._deleting:  # it is over when all is gone, however long that takes
            try:
                scrubbed = await delete_with_recordings(recorder.database, ids, recorder.spool)
            except (ProviderError, OSError) as error:
                raise self._store.unavailable(str(error)) from error
        return Deletion(deleted=ids, scrubbed=scrubbed)

    async def _find(self, request: Request) -> StoredConversation:
        found = await self._store.requested_id(request)

        async def ask(database: Database) -> StoredConversation:
            record = await find_conversation(database, found)
            costs = await statistics.costs_of(database, [found])
            return await anyio.to_thread.run_sync(conversation, record, costs)  # of an hour it takes 0.1 s

        return await self._store.ask(ask)


# times


def _time(text: str | None, param: str) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        expected = "expected a time such as 2026-11-30, or 2026-11-30T14:00:00Z (a + is %2B in a query)."
        raise invalid_request(param, f"Invalid value for '{param}': {expected}") from error


def _times(since: str | None, until: str | None) -> tuple[datetime, datetime]:
    """Return the range of time of a query, which by default ends a day from now, after all of today."""
    end = _time(until, "to") or utc_now() + timedelta(days=1)
    start = _time(since, "from") or max(end, datetime.min.replace(tzinfo=UTC) + timedelta(DAYS)) - timedelta(
        DAYS
    )
    return start, end


# pages


def _cursor(*place: object) -> str:
    """Return the place at which a page ends, as a text that nobody has to understand."""
    return urlsafe_b64encode(msgspec.json.encode(place if len(place) > 1 else place[0])).decode().rstrip("=")


def _read_cursor(cursor: str | None, kind: type[T], param: str) -> T | None:
    if cursor is None:
        return None
    try:
        place = b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), b"-_", validate=True)
        return msgspec.json.decode(place, type=kind)
    except (NoBase64, UnicodeError, msgspec.MsgspecError) as error:
        message = (
            f"'{param}' is no cursor of this list; pass on `next` of the page before as it is, or leave it out."
        )
        raise invalid_request(param, message, code="invalid_cursor") from error


def _page(
    found: Sequence[T], limit: int, place: Callable[[T], Sequence[object]]
) -> tuple[Sequence[T], str | None]:
    """Return what fits on a page, and the cursor for what follows: the place of the last one."""
    shown = found[:limit]
    return shown, _cursor(*place(shown[-1])) if len(found) > limit else None


def _items_page(rows: Sequence[Record], limit: int, place: Callable[[Record], Sequence[object]]) -> ItemsPage:
    shown, cursor = _page(rows, limit, place)
    return ItemsPage([_shown(StoredItem, row) for row in shown], cursor)


# records


def conversation(record: Record, costs: Sequence[Record]) -> StoredConversation:
    """Return a conversation of `queries.find_conversation` as it is shown."""
    return _shown(
        StoredConversation,
        record,
        seconds=_seconds(record),
        cost=_total(costs),
        audio=_sound(record["id"], next(iter(record["recordings"]), None)),
        items=[_shown(StoredItem, item, conversation_id=record["id"]) for item in record["items"]],
        turns=turn_times(record),
        usage=[_shown(UsageOfModel, one) for one in record["usage"]],
        gaps=[_shown(StoredGap, gap) for gap in record["gaps"]],
        spoken=[
            SpokenPart(
                item_id=one["item_id"],
                channel=one["channel"],
                began=one["start"] / OUTPUT_RATE,
                ended=one["end"] / OUTPUT_RATE,
            )
            for recording in record["recordings"]
            for one in recording["spoken"] or ()
        ],
    )


def turn_times(record: Record) -> Sequence[TurnTimes]:
    """Return the turns of a conversation, each with its stages in order."""
    found: dict[str, TurnTimes] = {}
    stages: dict[str, list[StageTime]] = {}
    for row in stored_waterfall(record):
        of_turn = stages.setdefault(row.turn_id, [])
        found.setdefault(row.turn_id, TurnTimes(id=row.turn_id, kind=row.kind, stages=of_turn))
        stage = row.stage
        of_turn.append(
            StageTime(
                stage=stage.name,
                detail=stage.detail,
                began=round(stage.began, 4),
                ended=round(stage.ended, 4),
                seconds=round(stage.seconds, 4),
            )
        )
    return list(found.values())


def _summary(record: Record, costs: Sequence[Record], recording: Record | None) -> ConversationSummary:
    return _shown(
        ConversationSummary,
        record,
        seconds=_seconds(record),
        item_count=record["items"],
        cost=_total([one for one in costs if one["conversation_id"] == record["id"]]),
        audio=_sound(record["id"], recording),
    )


def _shown(kind: type[S], record: Record, **made: object) -> S:
    """Return what is shown of a row: the columns that a struct has, and what was made of others."""
    return kind(**{name: made[name] if name in made else record[name] for name in kind.__struct_fields__})


def _seconds(record: Record) -> float | None:
    return (record["ended"] - record["started"]).total_seconds() if record["ended"] else None


def _sound(conversation_id: str, recording: Record | None) -> StoredSound | None:
    if recording is None:
        return None
    problem = (
        "It is incomplete, or not where it should be; the server's log says why."
        if recording["problem"]
        else None
    )
    return StoredSound(
        url=f"/v1/history/{conversation_id}/audio", seconds=recording["seconds"], problem=problem
    )


def _total(rows: Sequence[Record]) -> TotalCost:
    """Return the sum of costs; hidden digits of binary fractions are cut off."""
    amounts: dict[str, float] = {}
    for row in rows:
        if row["amount"] is not None:
            amounts[row["currency"]] = amounts.get(row["currency"], 0) + row["amount"]
    sums = [Money(currency, round(amount, 9)) for currency, amount in sorted(amounts.items())]
    return TotalCost(sums, sum(row["unknown"] for row in rows))


def statistics_groups(found: Mapping[str, Sequence[Record]]) -> Sequence[StatisticsGroup]:
    """Return what `statistics.statistics` has found, by key."""
    responses = {row["key"]: row for row in found["responses"]}
    stages: dict[str | None, dict[str, StageStatistics]] = {}
    for row in found["stages"]:
        seconds = {name: row[name] / 100 for name in ("p50", "p90", "p95", "longest")}
        stages.setdefault(row["key"], {})[row["stage"]] = StageStatistics(turns=row["turns"], **seconds)
    return [
        StatisticsGroup(
            key=row["key"],
            conversations=row["conversations"],
            seconds=round(row["seconds"] or 0, 3),
            errors=row["errors"],
            crashes=row["crashes"],
            responses=responses[row["key"]]["responses"] if row["key"] in responses else 0,
            failed=responses[row["key"]]["failed"] if row["key"] in responses else 0,
            stages=stages.get(row["key"], {}),
        )
        for row in found["conversations"]
    ]


def _cost_group(key: str | None, provider: str | None, rows: Sequence[Record]) -> CostGroup:
    totals = {name: sum(row[name] or 0 for row in rows) for name in _SUMMED}
    return CostGroup(
        key=key,
        provider=provider,
        cost=_total(rows),
        **totals,
    )
