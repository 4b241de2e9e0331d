"""Backups of a real PostgreSQL: what counts as one restores, and what would not restore never counts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import pytest
from tests.examples import sevra
from tests.integration.tiers import DataTier, data_tier, docker, engine

from wharfinger import databases
from wharfinger.databases import Backup, BackupFailed
from wharfinger.hosts import Host
from wharfinger.hosts.local import LocalHost
from wharfinger.model.release import Layout

DATA = {"postgres": {"engine": "postgres", "mem_limit": "256m"}}
STAMP = "20261120143000"
ROWS = """
CREATE TABLE places (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE notes (place int REFERENCES places, note bytea);
CREATE TABLE parted (day date) PARTITION BY RANGE (day);
CREATE TABLE parted_2026 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO places (name) VALUES ('Şavşat'), ('a''b$c"d'), (E'two\\nlines');
INSERT INTO notes SELECT 1 + i % 3, sha256(i::text::bytea) FROM generate_series(1, 20000) AS i;
INSERT INTO parted VALUES ('2026-11-20');
"""
DIGEST = """
SELECT md5(string_agg(places::text, '|' ORDER BY id)) FROM places
UNION ALL SELECT md5(string_agg(notes::text, '|' ORDER BY notes::text)) FROM notes
UNION ALL SELECT string_agg(day::text, '|') FROM parted
UNION ALL SELECT nextval('places_id_seq')::text
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataTier]:
    with data_tier(tmp_path_factory.mktemp("server"), DATA) as tier:
        tier.sql(ROWS)
        yield tier


@pytest.fixture
def tier(running: DataTier, tmp_path: Path) -> DataTier:
    """Return the running tier with a backups folder that only this test has."""
    return DataTier(running.stack, Layout(PurePosixPath(tmp_path), running.layout.target))


def back_up(
    tier: DataTier, *, host: Host | None = None, note: Callable[[str], None] = lambda _: None, within: int = 60
) -> Backup:
    (backup,) = databases.back_up(
        host or LocalHost(), tier.layout.target, tier.layout, tier.stack, stamp=STAMP, note=note, within=within
    )
    return backup


def left_of(tier: DataTier) -> list[str]:
    return sorted(path.name for path in Path(tier.layout.backups).iterdir())


@contextlib.contextmanager
def locked(tier: DataTier, table: str) -> Iterator[Callable[[], None]]:
    """Hold a lock that a dump must wait for; yield what returns once one waits."""
    command = ("docker", "exec", "-i", tier.container("postgres"), "psql", "--quiet", "-At", "--no-psqlrc")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        session.stdin.write(f"BEGIN; LOCK TABLE {table}; SELECT 'locked';\n")
        session.stdin.flush()
        assert session.stdout.readline() == "locked\n"

        def wait() -> None:
            waiting = "SELECT FROM pg_locks WHERE NOT granted"
            tier.sql(f"DO $$ BEGIN WHILE NOT EXISTS ({waiting}) LOOP PERFORM pg_sleep(0.05); END LOOP; END $$")

        yield wait
        with contextlib.suppress(BrokenPipeError):
            session.stdin.close()


def tier_up_again(tier: DataTier) -> None:
    docker("start", tier.container("postgres"))
    engine().wait_healthy(tier.project, {"postgres": 1}, timeout=60, note=lambda _: None)


def test_a_backup_restores_the_same_rows(tier: DataTier) -> None:
    backup = back_up(tier)

    tier.sql("CREATE DATABASE restored")
    with Path(backup.path).open("rb") as file:
        restore = (
            "docker",
            "exec",
            "-i",
            tier.container("postgres"),
            "pg_restore",
            "--dbname=restored",
            "--exit-on-error",
        )
        subprocess.run(restore, stdin=file, check=True, timeout=60)

    assert tier.sql(DIGEST, database="restored") == tier.sql(DIGEST)
    assert backup.tables == 3
    tier.sql("DROP DATABASE restored")


def test_the_record_is_of_the_file_and_only_its_owner_may_read_either(tier: DataTier) -> None:
    lines: list[str] = []

    backup = back_up(tier, note=lines.append)

    path = Path(backup.path)
    record = json.loads(path.with_suffix(".json").read_text())
    assert record == {
        "service": "postgres",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
        "tables": 3,
        "server_version": tier.sql("SHOW server_version"),
        "taken": backup.taken,
    }
    assert left_of(tier) == [f"postgres-{STAMP}.dump", f"postgres-{STAMP}.json"]
    assert [oct(entry.stat().st_mode & 0o777) for entry in (path, path.with_suffix(".json"), path.parent)] == [
        "0o600",
        "0o600",
        "0o700",
    ]
    assert lines[-1].endswith("with 3 tables, read back")


def test_an_empty_database_has_a_backup_without_tables(tmp_path: Path) -> None:
    """The first deploy backs up what there is: nothing yet."""
    with data_tier(tmp_path, DATA) as tier:
        assert back_up(tier).tables == 0


def test_a_stack_without_a_database_has_nothing_to_back_up(tmp_path: Path, running: DataTier) -> None:
    stack = sevra(data={"cache": {"engine": "redis", "mode": "cache"}})
    layout = Layout(PurePosixPath(tmp_path), running.layout.target)

    assert databases.back_up(LocalHost(), layout.target, layout, stack, stamp=STAMP, note=print) == ()


def test_a_database_that_dies_while_it_is_dumped_leaves_nothing(tier: DataTier) -> None:
    with locked(tier, "places") as waiting:

        def kill_once_it_waits() -> None:
            waiting()
            docker("kill", tier.container("postgres"))

        killer = threading.Thread(target=kill_once_it_waits)
        killer.start()
        with pytest.raises(BackupFailed, match="the backup of postgres failed") as failed:
            back_up(tier)
        killer.join()
    tier_up_again(tier)

    assert failed.value.exit_code == 7
    assert tier.container("postgres") in failed.value.fix
    assert left_of(tier) == []


def test_a_dump_that_takes_too_long_ends_in_the_container_too(tier: DataTier) -> None:
    """A forgotten pg_dump would go on waiting for its lock, and block the next migration."""
    with locked(tier, "places"):
        with pytest.raises(BackupFailed, match="exited 124"):
            back_up(tier, within=1)

        assert tier.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_dump'") == "0"
    assert left_of(tier) == []


def test_a_database_that_does_not_run_is_named(tier: DataTier) -> None:
    docker("stop", tier.container("postgres"))
    try:
        with pytest.raises(BackupFailed, match="the backup of postgres failed"):
            back_up(tier)
    finally:
        tier_up_again(tier)

    assert left_of(tier) == []


class LosingHost(LocalHost):
    """A host whose disk loses the end of what was written to it."""

    def __init__(self, lost: int) -> None:
        super().__init__()
        self._lost = lost

    def run_to_file(
        self, argv: Sequence[str], path: PurePosixPath, *, timeout: float, mode: int = 0o600
    ) -> tuple[int, str]:
        size, digest = super().run_to_file(argv, path, timeout=timeout, mode=mode)
        with Path(path).open("r+b") as file:
            file.truncate(size - self._lost)
        return size, digest


class CutHost(LosingHost):
    """A host on which the end of a dump never arrives, although pg_dump exits 0."""

    def run_to_file(
        self, argv: Sequence[str], path: PurePosixPath, *, timeout: float, mode: int = 0o600
    ) -> tuple[int, str]:
        super().run_to_file(argv, path, timeout=timeout, mode=mode)
        content = Path(path).read_bytes()
        return len(content), hashlib.sha256(content).hexdigest()


class ForgettingHost(LocalHost):
    """A host whose pg_dump leaves a table out."""

    def run_to_file(
        self, argv: Sequence[str], path: PurePosixPath, *, timeout: float, mode: int = 0o600
    ) -> tuple[int, str]:
        return super().run_to_file((*argv, "--exclude-table=notes"), path, timeout=timeout, mode=mode)


class BoastingHost(LocalHost):
    """A host that says it has room."""

    def free_bytes(self, path: PurePosixPath) -> int:
        return super().free_bytes(path) + 10**15


def test_a_file_that_is_not_what_was_written_does_not_count(tier: DataTier) -> None:
    with pytest.raises(BackupFailed, match="SHA-256"):
        back_up(tier, host=LosingHost(1))

    assert left_of(tier) == []


@pytest.mark.parametrize("lost", [1, 5, 100, 10_000, 100_000])
def test_a_dump_whose_end_never_arrived_does_not_count(tier: DataTier, lost: int) -> None:
    """The archive's list stands at its beginning and is whole: only reading to the end finds this."""
    with pytest.raises(BackupFailed, match="pg_restore does not read it"):
        back_up(tier, host=CutHost(lost))

    assert left_of(tier) == []


def test_a_dump_that_lacks_a_table_does_not_count(tier: DataTier) -> None:
    with pytest.raises(BackupFailed, match="rows of 2 tables, but the database has 3"):
        back_up(tier, host=ForgettingHost())

    assert left_of(tier) == []


@pytest.fixture
def small_disk(tier: DataTier) -> Iterator[DataTier]:
    """Give the backups folder a file system of one megabyte."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder = Path(tier.layout.backups)
    folder.mkdir(parents=True)
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)), check=True)
    yield tier
    subprocess.run(("umount", str(folder)), check=True)


def test_a_database_larger_than_the_disk_is_refused_with_numbers(small_disk: DataTier) -> None:
    lines: list[str] = []

    with pytest.raises(BackupFailed, match=r"the database takes \d.* MB, and 1\.0 MB are free at ") as refused:
        back_up(small_disk, note=lines.append)

    assert refused.value.fix.startswith("make room for ")
    assert lines == [], "refused before anything was dumped"


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(small_disk: DataTier) -> None:
    small_disk.sql("CREATE TABLE large AS SELECT sha256(i::text::bytea) FROM generate_series(1, 100000) AS i")
    try:
        with pytest.raises(BackupFailed, match="No space left on device"):
            back_up(small_disk, host=BoastingHost())
    finally:
        small_disk.sql("DROP TABLE large")

    assert left_of(small_disk) == []


def test_a_backup_is_never_overwritten(tier: DataTier) -> None:
    first = back_up(tier)
    content = Path(first.path).read_bytes()

    with pytest.raises(BackupFailed, match="is there already"):
        back_up(tier)

    assert Path(first.path).read_bytes() == content


def test_an_interrupted_backup_leaves_nothing(tier: DataTier) -> None:
    def interrupt(line: str) -> None:
        if "reading back" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(tier, note=interrupt)

    assert left_of(tier) == []


def test_every_database_is_backed_up_and_the_one_that_fails_is_named(tier: DataTier) -> None:
    stack = sevra(name=tier.stack.name, data={**DATA, "audit": {"engine": "postgres"}})

    with pytest.raises(BackupFailed, match="the backup of audit failed"):
        databases.back_up(LocalHost(), tier.layout.target, tier.layout, stack, stamp=STAMP, note=print)

    assert left_of(tier) == [f"postgres-{STAMP}.dump", f"postgres-{STAMP}.json"]
