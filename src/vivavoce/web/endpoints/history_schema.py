"""What the endpoints under `/v1/history` are asked, and answer; `/openapi.json` shows it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

PageSize = Annotated[int, Meta(ge=1, le=100, description="How many at most.")]
Cursor = Annotated[
    str | None,
    Meta(
        description="`next` of the page before.",
        extra_json_schema={"pattern": "^[A-Za-z0-9_-]+$"},
    ),
]
Query = Annotated[
    str,
    Meta(
        max_length=1000,
        description="Words that one item must have, all of them, however they are spelled; the first 32 count.",
        extra_json_schema={"pattern": r"\S"},
    ),
]
_TIME = {"anyOf": [{"format": "date"}, {"format": "date-time"}], "examples": ["2026-11-30"]}
Since = Annotated[
    str,
    Meta(
        max_length=40,
        description="A time (ISO 8601), such as `2026-11-30` or `2026-11-30T14:00:00Z`; in UTC by default.",
        extra_json_schema=_TIME,
    ),
]
Until = Annotated[
    str,
    Meta(
        max_length=40,
        description="A time, as in `from`; what began then or later is left out.",
        extra_json_schema=_TIME,
    ),
]

_FROM = {"from_": "from"}

# what is asked


class ConversationsQuery(Struct, frozen=True, kw_only=True, rename=_FROM):
    """Which conversations; without anything the newest."""

    limit: PageSize = 20
    before: Cursor = None
    q: Query | None = None
    transport: Annotated[str | None, Meta(description="Such as `websocket`, `webrtc`, `terminal`.")] = None
    identity: Annotated[str | None, Meta(description="Only those of this person.")] = None
    from_: Since | None = None
    to: Until | None = None


class DeletionQuery(Struct, frozen=True, kw_only=True):
    """Which conversations are to be deleted."""

    id: Annotated[tuple[str, ...], Meta(min_length=1, max_length=100, description="Of each conversation.")]


class SearchQuery(Struct, frozen=True, kw_only=True):
    """What is to be found."""

    q: Query
    limit: PageSize = 20
    before: Cursor = None


class PartsQuery(Struct, frozen=True, kw_only=True):
    """Which part of a long list."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="How many at most.")] = 100
    after: Cursor = None


class NoQuery(Struct, frozen=True):
    """Nothing can be asked for."""


class SoundQuery(Struct, frozen=True, kw_only=True):
    """Which sound; without anything the whole recording."""

    item: Annotated[str | None, Meta(description="Only the sound of this item, without the other side.")] = None
    format: Annotated[
        Literal["wav", "ogg"] | None, Meta(description="Of an item's sound, `wav` by default.")
    ] = None


class CostsQuery(Struct, frozen=True, kw_only=True, rename=_FROM):
    """Which costs; by default those of the last 30 days."""

    by: Literal["day", "model", "identity"] = "day"
    from_: Since | None = None
    to: Until | None = None


class StatisticsQuery(Struct, frozen=True, kw_only=True, rename=_FROM):
    """Which conversations; by default those of the last 30 days."""

    by: Literal["day", "transport", "engine", "identity"] = "day"
    from_: Since | None = None
    to: Until | None = None


class ExportQuery(Struct, frozen=True, kw_only=True):
    """In which format."""

    format: Literal["json", "markdown", "srt", "wav"] = "json"


# what is answered


class Money(Struct, frozen=True):
    """An amount, and its currency (ISO 4217)."""

    currency: str
    amount: float


class TotalCost(Struct, frozen=True):
    """What something cost, as far as that is known: `unknown` uses have no price, and are not in `amounts`."""

    amounts: Sequence[Money]
    unknown: int


class StoredSound(Struct, frozen=True, kw_only=True):
    """A recording: where it can be had; its length is null while it is made, and after a crash."""

    url: str
    seconds: float | None
    problem: str | None


class ConversationSummary(Struct, frozen=True, kw_only=True):
    """A conversation in a list. `first` is what the user said first."""

    id: str
    session_id: str | None
    continues: str | None
    transport: str
    caller: str | None
    identity: str | None
    engine: str | None
    models: Mapping[str, str] | None
    started: datetime
    ended: datetime | None
    ended_by: str | None
    seconds: float | None
    item_count: int
    first: str | None
    cost: TotalCost
    audio: StoredSound | None


class StoredItem(Struct, frozen=True, kw_only=True):
    """An item. `heard` is its text without what was not heard; `began` and `ended` count from the start."""

    conversation_id: str
    id: str
    type: str
    role: str | None
    text: str | None
    heard: str | None
    language: str | None
    status: str | None
    purpose: str | None
    name: str | None
    call_id: str | None
    arguments: str | None
    output: str | None
    created: datetime
    began: float | None
    ended: float | None


class StageTime(Struct, frozen=True, kw_only=True):
    """A stage of a turn, in seconds from the start of the conversation; `detail` is the name of a tool."""

    stage: str
    detail: str
    began: float
    ended: float
    seconds: float


class TurnTimes(Struct, frozen=True, kw_only=True):
    """A turn, by the id of the item that the user said; or a response without one, by its own."""

    id: str
    kind: str
    stages: Sequence[StageTime]


class UsageOfModel(Struct, frozen=True, kw_only=True):
    """What a response, a transcript or the speech of a response used. A cost that is not known is null."""

    source_id: str
    kind: str
    provider: str | None
    model: str | None
    status: str | None
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    seconds: float | None
    cost: float | None
    currency: str | None
    created: datetime


class StoredGap(Struct, frozen=True, kw_only=True):
    """What was lost of a conversation, and when."""

    kind: str
    began: float
    ended: float
    lost: int


class SpokenPart(Struct, frozen=True, kw_only=True):
    """Where an item is in the recording, in seconds from its start."""

    item_id: str
    channel: str
    began: float
    ended: float


class StoredConversation(Struct, frozen=True, kw_only=True):
    """A conversation with all that belongs to it, except its event log."""

    id: str
    session_id: str | None
    continues: str | None
    transport: str
    caller: str | None
    identity: str | None
    engine: str | None
    models: Mapping[str, str] | None
    instructions: str | None
    started: datetime
    ended: datetime | None
    ended_by: str | None
    seconds: float | None
    cost: TotalCost
    audio: StoredSound | None
    items: Sequence[StoredItem]
    turns: Sequence[TurnTimes]
    usage: Sequence[UsageOfModel]
    gaps: Sequence[StoredGap]
    spoken: Sequence[SpokenPart]


class StoredEvent(Struct, frozen=True, kw_only=True):
    """An event of the protocol, `at` seconds after the start, without its audio."""

    number: int
    at: float
    source: str
    event: Raw


class ConversationsPage(Struct, frozen=True):
    """Conversations, newest first; `next` is the cursor for those before them, or null."""

    data: Sequence[ConversationSummary]
    next: str | None


class ItemsPage(Struct, frozen=True):
    """Items; `next` is the cursor for those that follow, or null."""

    data: Sequence[StoredItem]
    next: str | None


class EventsPage(Struct, frozen=True):
    """Events, in order; `next` is the cursor for those that follow, or null."""

    data: Sequence[StoredEvent]
    next: str | None


class ConversationTurns(Struct, frozen=True):
    """The turns of a conversation, in order."""

    data: Sequence[TurnTimes]


class Deletion(Struct, frozen=True, kw_only=True):
    """What was deleted. If not `scrubbed`, the log of the database still has it, since somebody reads there."""

    deleted: Sequence[str]
    scrubbed: bool


class CostGroup(Struct, frozen=True, kw_only=True):
    """What a day, a model (of a `provider`) or a person cost; the key is null where there is none."""

    key: str | None
    provider: str | None
    cost: TotalCost
    uses: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    seconds: float


class CostSums(Struct, frozen=True, kw_only=True, rename=_FROM):
    """What was used from a time until before another; days are those of UTC, newest first."""

    from_: datetime
    to: datetime
    total: TotalCost
    data: Sequence[CostGroup]


class StageStatistics(Struct, frozen=True, kw_only=True):
    """How long a stage took, in seconds: half of its turns took at most `p50`, and so on; to 0.01."""

    turns: int
    p50: float
    p90: float
    p95: float
    longest: float


class StatisticsGroup(Struct, frozen=True, kw_only=True):
    """The conversations of a day, a transport, an engine or a person."""

    key: str | None
    conversations: int
    seconds: float
    errors: int
    crashes: int
    responses: int
    failed: int
    stages: Mapping[str, StageStatistics]


class ConversationStatistics(Struct, frozen=True, kw_only=True, rename=_FROM):
    """The conversations that began from a time until before another; days are those of UTC, newest first."""

    from_: datetime
    to: datetime
    data: Sequence[StatisticsGroup]
