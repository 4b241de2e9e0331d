"""Photos of places, and the jobs that make their thumbnails."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make both tables."""
    now = sa.func.now()
    op.create_table(
        "photos",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("place_id", sa.BigInteger, sa.ForeignKey("places.id", ondelete="CASCADE"), nullable=False),
        sa.Column("added_by", sa.BigInteger, sa.ForeignKey("users.id", ondelete="SET NULL"), index=True),
        sa.Column("name", sa.Text, nullable=False, comment="the file under UPLOADS_DIR"),
        sa.Column("thumbnail", sa.Text, comment="the small file, once the worker has made it"),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=now),
        sa.UniqueConstraint("place_id", "name"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="queued"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("result", JSONB),
        sa.Column("error", sa.Text),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=now),
        sa.Column("touched_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=now),
        sa.Column("finished_at", sa.TIMESTAMP(timezone=True)),
        sa.CheckConstraint("state IN ('queued', 'running', 'done', 'failed')", name="jobs_state"),
    )
    op.create_index(
        "jobs_unfinished", "jobs", ["touched_at"], postgresql_where=sa.text("state IN ('queued', 'running')")
    )


def downgrade() -> None:
    """Remove both tables; the image files stay where they are."""
    op.drop_table("jobs")
    op.drop_table("photos")
