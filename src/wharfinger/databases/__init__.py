"""Backups of the data tier: taken before a deploy changes anything, and read back before they count."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from wharfinger.commands import postgres as commands
from wharfinger.console.text import size
from wharfinger.databases import postgres
from wharfinger.databases.postgres import Measured, Unreadable
from wharfinger.errors import CommandFailed, StepFailed
from wharfinger.hosts import File, Host
from wharfinger.model.release import Layout, Target
from wharfinger.model.stack import Postgres, Stack
from wharfinger.rendering.services import data_name

_WITHIN: Final = 3600
_END_WITHIN: Final = 30.0


class BackupFailed(StepFailed):
    """A backup was not taken, or is not what it should be; nothing that counts as one was left."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was read back; `SERVICE-STAMP.json` beside its file holds these fields but for `path`."""

    service: str
    path: PurePosixPath
    sha256: str
    bytes: int
    tables: int
    server_version: str
    taken: str
    """When the dump began, ISO 8601 in UTC; it shows the database as it was then."""


def back_up(
    host: Host,
    target: Target,
    layout: Layout,
    stack: Stack,
    *,
    stamp: str,
    note: Callable[[str], None],
    within: int = _WITHIN,
) -> tuple[Backup, ...]:
    """Back up every database of the data tier into `SERVICE-STAMP.dump`, and read each back.

    The record `SERVICE-STAMP.json` is written last: a dump without one does not count. Each database has
    `within` seconds. Raises BackupFailed saying which failed and why, after removing what there was of it.
    """
    host.make_folder(layout.backups, mode=0o700)
    names = [name for name, service in stack.data.items() if isinstance(service, Postgres)]
    return tuple(
        _Taking(host, name, data_name(target, name), layout.backups / f"{name}-{stamp}", within, note).run()
        for name in names
    )


def words(target: Target, services: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return words by which the processes that take backups of these data services are known."""
    return tuple(each for name in services for each in commands.words(data_name(target, name)))


def end_dumps(host: Host, target: Target, services: Iterable[str]) -> None:
    """End the dumps that go on in the databases of a run that was killed; a database that is down has none."""
    for name in services:
        host.run(commands.end_dumps(data_name(target, name)), timeout=_END_WITHIN, check=False)


def remove_unfinished(host: Host, layout: Layout, services: Iterable[str], *, stamp: str) -> None:
    """Remove what there is of the backups of that stamp which were never read back."""
    held = host.names_in(layout.backups)
    for name in services:
        stem = f"{name}-{stamp}"
        half = {f".{stem}.dump.part"} | ({f"{stem}.dump"} if f"{stem}.json" not in held else set())
        for each in half.intersection(held):
            host.remove(layout.backups / each)


@dataclass(frozen=True, slots=True)
class _Taking:
    """One backup on its way."""

    host: Host
    service: str
    container: str
    stem: PurePosixPath
    within: int
    note: Callable[[str], None]

    def run(self) -> Backup:
        """Take it, read it back and record it; or leave nothing of it."""
        path, record = self.stem.with_name(f"{self.stem.name}.dump"), self.stem.with_name(f"{self.stem.name}.json")
        with ThreadPoolExecutor() as pool:  # at once: a server may be far away
            there = pool.submit(self.host.read, record)
            free = pool.submit(self.host.free_bytes, self.stem.parent)
            measured = pool.submit(postgres.measure, self.host, self.container)
        if there.result() is not None:
            raise BackupFailed(f"{self.host.name}: {record} is there already", fix="deploy again, under a new name")
        try:
            self._refuse_too_large(measured.result(), free.result())
            backup = self._taken(path, measured.result())
            self.host.write({record: File(_record(backup), 0o600)}, awaited=False)
        except BaseException as error:
            self.host.remove(record)
            self.host.remove(path)
            if isinstance(error, CommandFailed | OSError | Unreadable):
                raise self._failed(error) from None
            raise
        self.note(f"{self.service}: {size(backup.bytes)} with {backup.tables} tables, read back")
        return backup

    def _taken(self, path: PurePosixPath, measured: Measured) -> Backup:
        taken = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.note(f"{self.service}: dumping {size(measured.bytes)}")
        written, sha256 = postgres.dump(self.host, self.container, path, version=measured.version, within=self.within)
        self.note(f"{self.service}: reading back {size(written)}")
        tables = postgres.read_back(self.host, self.container, path, sha256, within=self.within)
        if tables < measured.tables:
            # A table that was dropped meanwhile is not missing.
            expected = min(measured.tables, postgres.measure(self.host, self.container).tables)
            if tables < expected:
                raise Unreadable(f"it holds the rows of {tables} tables, but the database has {expected}")
        return Backup(self.service, path, sha256, written, tables, measured.server_version, taken)

    def _refuse_too_large(self, measured: Measured, free: int) -> None:
        folder = self.stem.parent
        if measured.bytes > free:
            raise BackupFailed(
                f"{self.host.name}: no room for a backup of {self.service}: the database takes "
                f"{size(measured.bytes)}, and {size(free)} are free at {folder}",
                fix=f"make room for {size(measured.bytes - free)} more, then deploy again",
            )

    def _failed(self, error: CommandFailed | OSError | Unreadable) -> BackupFailed:
        if isinstance(error, CommandFailed):
            problem, details = error.problem, error.details
        else:
            problem, details = str(error), ()
        return BackupFailed(
            f"{self.host.name}: the backup of {self.service} failed, and nothing is kept of it: {problem}",
            details=details,
            fix=f"`docker logs {self.container}` says more; mend the cause, then deploy again",
        )


def _record(backup: Backup) -> bytes:
    fields = dataclasses.asdict(backup)
    del fields["path"]
    return json.dumps(fields, indent=2).encode() + b"\n"
