"""An index for the search, built while the site is being used."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Build the indexes without locking anybody out; one left invalid by a broken attempt is built anew."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS places_search")
        op.execute(
            "CREATE INDEX CONCURRENTLY places_search ON places"
            " USING gin (to_tsvector('english', name || ' ' || region || ' ' || story))"
        )
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS places_newest")
        op.execute("CREATE INDEX CONCURRENTLY places_newest ON places (created_at DESC, id)")


def downgrade() -> None:
    """Remove the indexes."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS places_search")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS places_newest")
