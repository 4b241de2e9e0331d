"""What Alembic runs for every command: the migrations, on the one connection that holds the lock."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from sevra_atlas.migrating import with_locked_connection


def run_migrations(connection: Connection) -> None:
    """Run what the command asked for, each migration in a transaction of its own."""
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


with_locked_connection(run_migrations)
