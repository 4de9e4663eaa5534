#!/usr/bin/env bash
# An Alembic batch change on SQLite drops the triggers that keep a search index, without a word
#
# Versions: alembic 1.20.1, SQLAlchemy 2.1.9, SQLite of CPython 3.11
# One expects: batch_alter_table copies the table and brings back what belongs to it: it does so for indexes.
# What happens: The triggers go with the old table. The migration succeeds, and from then on nothing new is
#   found by full-text search.
# Output seen:
#   before: index ix_items_text, trigger items_index
#   after: index ix_items_text
#   found by search after the migration: 0 of 1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check alembic==1.20.1 SQLAlchemy==2.1.9
venv/bin/python - <<'PY'
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

with sa.create_engine("sqlite://").begin() as connection:
    run = connection.exec_driver_sql
    run("CREATE TABLE items (id INTEGER PRIMARY KEY, text VARCHAR)")
    run("CREATE INDEX ix_items_text ON items (text)")
    run("CREATE VIRTUAL TABLE words USING fts5 (text, content=items, content_rowid=id)")
    run(
        "CREATE TRIGGER items_index AFTER INSERT ON items BEGIN"
        " INSERT INTO words (rowid, text) VALUES (new.id, new.text); END"
    )

    def belongings():
        rows = run("SELECT type, name FROM sqlite_master WHERE tbl_name = 'items' AND type != 'table' ORDER BY type")
        return ", ".join(f"{kind} {name}" for kind, name in rows)

    before = belongings()
    with Operations(MigrationContext.configure(connection)).batch_alter_table("items") as batch:
        batch.alter_column("text", nullable=False, existing_type=sa.String())
    after = belongings()
    run("INSERT INTO items (text) VALUES ('hello')")
    found = run("SELECT count(*) FROM words WHERE words MATCH 'hello'").scalar()
print(f"before: {before}")
print(f"after: {after}")
print(f"found by search after the migration: {found} of 1")
assert (before, after, found) == ("index ix_items_text, trigger items_index", "index ix_items_text", 0)
PY
