"""Add what a continued conversation needs: which one it continues, what was no answer, and summaries."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("conversations", sa.Column("continues", sa.Text))
    op.create_index("ix_conversations_continues", "conversations", ["continues"])
    op.add_column("items", sa.Column("purpose", sa.Text))
    key, name = ["conversation_id"], "fk_summaries_conversation_id"
    op.create_table(
        "summaries",
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("position", sa.Double, nullable=False),
        sa.Column("text", sa.Text),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "position", name="pk_summaries"),
        sa.ForeignKeyConstraint(key, ["conversations.id"], name, ondelete="CASCADE"),
    )
