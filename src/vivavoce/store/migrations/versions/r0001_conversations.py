"""Make the tables, and the index that is searched.

Both databases search `items.folded`. PostgreSQL's index is a column; SQLite's is a table, which triggers keep
like the rows. `array_to_tsvector` takes the words as they are: PostgreSQL's own parser would take "555-1234"
for a number below zero.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment, row = sa.DateTime(timezone=True), sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "conversations",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text),
        sa.Column("transport", sa.Text, nullable=False),
        sa.Column("caller", sa.Text),
        sa.Column("identity", sa.Text),
        sa.Column("engine", sa.Text),
        sa.Column("models", sa.JSON),
        sa.Column("instructions", sa.Text),
        sa.Column("started", moment, nullable=False),
        sa.Column("ended", moment),
        sa.Column("ended_by", sa.Text),
        sa.Column("journal_id", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_conversations"),
    )
    op.create_table(
        "items",
        sa.Column("row", row, nullable=False),
        sa.Column("conversation_id", sa.Text, nullable=False),
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
        sa.Column("created", moment, nullable=False),
        sa.Column("began", sa.Double),
        sa.Column("ended", sa.Double),
        sa.Column("folded", sa.Text),
        sa.PrimaryKeyConstraint("row", name="pk_items"),
        _of_conversation("items"),
        sa.UniqueConstraint("conversation_id", "id", name="uq_items_conversation_id"),
    )
    op.create_table(
        "usage",
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("source_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
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
        sa.Column("created", moment, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "source_id", "kind", name="pk_usage"),
        _of_conversation("usage"),
    )
    op.create_table(
        "timings",
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("turn_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("began", sa.Double, nullable=False),
        sa.Column("ended", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "turn_id", "number", name="pk_timings"),
        _of_conversation("timings"),
    )
    op.create_table(
        "events",
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "number", name="pk_events"),
        _of_conversation("events"),
    )
    op.create_table(
        "recordings",
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("seconds", sa.Double),
        sa.Column("spoken", sa.JSON),
        sa.Column("problem", sa.Text),
        sa.PrimaryKeyConstraint("conversation_id", "url", name="pk_recordings"),
        _of_conversation("recordings"),
    )
    op.create_table(
        "gaps",
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("began", sa.Double, nullable=False),
        sa.Column("ended", sa.Double, nullable=False),
        sa.Column("lost", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "kind", "began", name="pk_gaps"),
        _of_conversation("gaps"),
    )
    op.create_table(
        "journals",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("applied", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_journals"),
    )
    op.create_table(
        "facts",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_facts"),
    )
    for column in ("session_id", "identity", "started", "journal_id"):
        op.create_index(f"ix_conversations_{column}", "conversations", [column])
    op.create_index("ix_usage_created", "usage", ["created"])
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)


def _of_conversation(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_conversation_id"
    return sa.ForeignKeyConstraint(["conversation_id"], ["conversations.id"], name, ondelete="CASCADE")


_REMOVE = "INSERT INTO items_words (items_words, rowid, folded) VALUES ('delete', old.row, old.folded);"
_ADD = "INSERT INTO items_words (rowid, folded) VALUES (new.row, new.folded);"
# Without M, the vowels that Indian scripts write as marks would part words, and any vowel be found.
_TOKENIZER = "unicode61 categories 'L* N* M* Co'"
_SQLITE = (
    "CREATE VIRTUAL TABLE items_words"
    f' USING fts5 (folded, content=items, content_rowid=row, tokenize="{_TOKENIZER}")',
    f"CREATE TRIGGER items_added AFTER INSERT ON items BEGIN {_ADD} END",
    f"CREATE TRIGGER items_deleted AFTER DELETE ON items BEGIN {_REMOVE} END",
    f"CREATE TRIGGER items_changed AFTER UPDATE OF folded ON items BEGIN {_REMOVE} {_ADD} END",
)
_POSTGRESQL = (
    "ALTER TABLE items ADD COLUMN words tsvector"
    " GENERATED ALWAYS AS (array_to_tsvector(string_to_array(folded, ' '))) STORED",
    "CREATE INDEX ix_items_words ON items USING gin (words) WITH (fastupdate = off)",
)
