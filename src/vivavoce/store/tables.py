"""The tables of the store. `migrations/` makes them; docs/store.md says what each column means."""

from datetime import UTC, datetime

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Moment(sa.TypeDecorator[datetime]):
    """A time in UTC, with its time zone on every database. Accepts ISO 8601 as well."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | str | None, _: sa.Dialect) -> datetime | None:
        return datetime.fromisoformat(value) if isinstance(value, str) else value

    def process_result_value(self, value: datetime | None, _: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _of_conversation(*, primary_key: bool = True) -> sa.Column[str]:
    key = sa.ForeignKey("conversations.id", ondelete="CASCADE")
    return sa.Column("conversation_id", sa.Text, key, primary_key=primary_key, nullable=False)


conversations = sa.Table(
    "conversations",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("session_id", sa.Text, index=True),
    sa.Column("transport", sa.Text, nullable=False),
    sa.Column("caller", sa.Text),
    sa.Column("identity", sa.Text, index=True),
    sa.Column("engine", sa.Text),
    sa.Column("models", sa.JSON),
    sa.Column("instructions", sa.Text),
    sa.Column("started", Moment, nullable=False, index=True),
    sa.Column("ended", Moment),
    sa.Column("ended_by", sa.Text),
    sa.Column("journal_id", sa.Text, index=True),
    sa.Column("continues", sa.Text, index=True),
)

items = sa.Table(
    "items",
    metadata,
    sa.Column("row", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    _of_conversation(primary_key=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("position", sa.Double, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("role", sa.Text),
    sa.Column("text", sa.Text),
    sa.Column("heard", sa.Text),
    sa.Column("language", sa.Text),
    sa.Column("status", sa.Text),
    sa.Column("name", sa.Text),
    sa.Column("call_id", sa.Text),
    sa.Column("arguments", sa.Text),
    sa.Column("output", sa.Text),
    sa.Column("created", Moment, nullable=False),
    sa.Column("began", sa.Double),
    sa.Column("ended", sa.Double),
    sa.Column("folded", sa.Text),
    sa.Column("purpose", sa.Text),
    sa.UniqueConstraint("conversation_id", "id"),
)

summaries = sa.Table(
    "summaries",
    metadata,
    _of_conversation(),
    sa.Column("position", sa.Double, primary_key=True),
    sa.Column("text", sa.Text),
    sa.Column("created", Moment, nullable=False),
)

usage = sa.Table(
    "usage",
    metadata,
    _of_conversation(),
    sa.Column("source_id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text),
    sa.Column("model", sa.Text),
    sa.Column("status", sa.Text),
    sa.Column("input_tokens", sa.Integer),
    sa.Column("cached_tokens", sa.Integer),
    sa.Column("output_tokens", sa.Integer),
    sa.Column("tokens", sa.JSON),
    sa.Column("seconds", sa.Double),
    sa.Column("cost", sa.Double),
    sa.Column("currency", sa.Text),
    sa.Column("created", Moment, nullable=False, index=True),
)

timings = sa.Table(
    "timings",
    metadata,
    _of_conversation(),
    sa.Column("turn_id", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("began", sa.Double, nullable=False),
    sa.Column("ended", sa.Double, nullable=False),
)

events = sa.Table(
    "events",
    metadata,
    _of_conversation(),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)

recordings = sa.Table(
    "recordings",
    metadata,
    _of_conversation(),
    sa.Column("url", sa.Text, primary_key=True),
    sa.Column("seconds", sa.Double),
    sa.Column("spoken", sa.JSON),
    sa.Column("problem", sa.Text),
)

gaps = sa.Table(
    "gaps",
    metadata,
    _of_conversation(),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("began", sa.Double, primary_key=True),
    sa.Column("ended", sa.Double, nullable=False),
    sa.Column("lost", sa.Integer, nullable=False),
)

journals = sa.Table(
    "journals",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("applied", sa.BigInteger, nullable=False),
)

facts = sa.Table(
    "facts",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

SEARCH_TABLE = "items_words"
"""the index of `items.folded`: an FTS5 table in SQLite, a column in PostgreSQL"""

KEYS: dict[str, tuple[str, ...]] = {
    table.name: ("conversation_id", "id") if table is items else tuple(table.primary_key.columns.keys())
    for table in metadata.sorted_tables
}
"""by table: the columns that identify a row"""
