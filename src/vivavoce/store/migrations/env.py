"""Run by Alembic, which is given the connection."""

from alembic import context

from vivavoce.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
