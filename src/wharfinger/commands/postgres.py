"""Argument lists for PostgreSQL's own programs in its container; nothing here runs them.

User and database come from the container's PGUSER and PGDATABASE, over its local socket: no password is needed.
"""

from __future__ import annotations

from typing import Final

Argv = tuple[str, ...]

_ZSTD_SINCE: Final = 16
_OURS: Final = "wharfinger-backup"
# Tables whose rows pg_dump must bring along: ours, not the catalogue's, an extension's or another session's.
_MEASURE: Final = """
SELECT json_build_object(
    'bytes', pg_database_size(current_database()),
    'version', current_setting('server_version_num')::int / 10000,
    'server_version', current_setting('server_version'),
    'tables', (
        SELECT count(*)
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema'
            AND n.nspname !~ '^pg_' AND NOT EXISTS (
                SELECT FROM pg_depend AS d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')))
"""


def measure(container: str) -> Argv:
    """Print the database's size in bytes, its number of tables and the server's version, as one JSON object."""
    quiet = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--no-password")
    return ("docker", "exec", container, "psql", *quiet, "--command", " ".join(_MEASURE.split()))


def dump(container: str, *, version: int, within: int) -> Argv:
    """Write the database's custom-format archive to standard output.

    `version` is the server's major one. After `within` seconds it ends in the container too, so that no
    forgotten dump keeps its locks; one that waits a minute for a lock gives up.
    """
    compress = "zstd:3" if version >= _ZSTD_SINCE else "1"
    options = ("--format=custom", f"--compress={compress}", "--lock-wait-timeout=60s", "--no-password")
    return ("docker", "exec", "--env", f"PGAPPNAME={_OURS}", container, "timeout", str(within), "pg_dump", *options)


def end_dumps(container: str) -> Argv:
    """End the dumps that `dump` began; those that a person began go on."""
    statement = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{_OURS}'"  # noqa: S608
    return ("docker", "exec", container, "psql", "--no-psqlrc", "--quiet", "--no-password", "--command", statement)


def words(container: str) -> tuple[Argv, ...]:
    """Return words by which the processes of `dump`, `contents` and `read_through` are known."""
    return ((container, "timeout"), (container, "pg_restore"))


def contents(container: str) -> Argv:
    """List what the archive on standard input says that it holds."""
    return ("docker", "exec", "--interactive", container, "pg_restore", "--list")


def read_through(container: str, *, within: int) -> Argv:
    """Unpack the archive on standard input to its end, and keep nothing."""
    unpacked = ("pg_restore", "--file=/dev/null")
    return ("docker", "exec", "--interactive", container, "timeout", str(within), *unpacked)


def tables_in(listing: str) -> int:
    """Return for how many tables an archive, as `contents` lists it, holds rows."""
    return sum(_is_table_data(line) for line in listing.splitlines())


def _is_table_data(line: str) -> bool:
    # `3321; 0 16386 TABLE DATA public places atlas`; comments begin with `;`.
    number, _, entry = line.partition("; ")
    return number.isdigit() and entry.split()[2:4] == ["TABLE", "DATA"]
