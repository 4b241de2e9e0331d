"""The argument lists of PostgreSQL's programs, and what `pg_restore --list` says."""

from __future__ import annotations

import pytest

from wharfinger.commands import postgres

LISTING = """;
; Archive created at 2026-11-20 14:30:00 UTC
;     dbname: atlas; TABLE DATA public not_me atlas
;     TOC Entries: 12
;
217; 1259 16386 TABLE public places atlas
219; 1259 16400 TABLE public TABLE DATA atlas
3321; 0 16386 TABLE DATA public places atlas
3322; 0 16400 TABLE DATA public TABLE DATA atlas
3330; 0 0 SEQUENCE SET public places_id_seq atlas
3331; 0 16500 MATERIALIZED VIEW DATA public totals atlas
"""


def test_only_tables_with_rows_in_the_archive_count() -> None:
    """A table that is merely declared, or merely mentioned, does not."""
    assert postgres.tables_in(LISTING) == 2
    assert postgres.tables_in("") == 0


@pytest.mark.parametrize(("version", "compress"), [(15, "--compress=1"), (16, "--compress=zstd:3")])
def test_the_best_compression_that_the_servers_own_pg_dump_knows(version: int, compress: str) -> None:
    """`pg_dump` learned zstd in 16; an older one refuses the word."""
    assert compress in postgres.dump("atlas-local-postgres", version=version, within=60)


def test_nobody_is_asked_for_a_password_and_none_is_given() -> None:
    """A prompt would wait for ever; an argument could be read by every process."""
    argv = postgres.dump("atlas-local-postgres", version=17, within=60)

    assert argv[:2] == ("docker", "exec")
    assert argv[4:8] == ("atlas-local-postgres", "timeout", "60", "pg_dump")
    assert "--no-password" in argv
    assert "--no-password" in postgres.measure("atlas-local-postgres")
    assert "sh" not in argv


def test_what_reads_a_backup_keeps_standard_input_open() -> None:
    """Without it the archive would never arrive."""
    assert "--interactive" in postgres.contents("atlas-local-postgres")
    assert "--interactive" in postgres.read_through("atlas-local-postgres", within=60)
