"""Backups of a PostgreSQL server: dump, and read back what was written."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from wharfinger.commands import postgres as commands
from wharfinger.hosts import Host

_TIMEOUT: Final = 60.0
_MARGIN: Final = 30.0


class Unreadable(Exception):
    """A backup that was written is not what was dumped; the message says in which way."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a database holds, by its own account."""

    bytes: int
    tables: int
    version: int
    """The server's major version."""
    server_version: str


def measure(host: Host, container: str) -> Measured:
    """Ask the server about its database; raises CommandFailed where it does not answer."""
    answer = json.loads(host.run(commands.measure(container), timeout=_TIMEOUT).stdout)
    return Measured(**answer)


def dump(host: Host, container: str, path: PurePosixPath, *, version: int, within: int) -> tuple[int, str]:
    """Dump the database into a new file, and return its bytes and SHA-256.

    Raises CommandFailed where that fails, and Unreadable where nothing was written.
    """
    argv = commands.dump(container, version=version, within=within)
    size, digest = host.run_to_file(argv, path, timeout=within + _MARGIN)
    if size == 0:  # not left to pg_restore: one in a thousand never hears that its input ends (moby issue 37870)
        raise Unreadable("pg_dump ended well, but wrote nothing")
    return size, digest


def read_back(host: Host, container: str, path: PurePosixPath, sha256: str, *, within: int) -> int:
    """Return for how many tables a dump holds rows, once all of it was read.

    Raises Unreadable where the file is not what was streamed into it or the archive does not unpack to its end.
    """
    with ThreadPoolExecutor() as pool:  # at once: a server may be far away
        summed = pool.submit(host.run, ("sha256sum", str(path)), timeout=within)
        listed = pool.submit(host.run, commands.contents(container), timeout=_TIMEOUT, stdin_path=path, check=False)
        # The list stands at an archive's beginning: only reading to the end shows that nothing is missing.
        read = commands.read_through(container, within=within)
        whole = host.run(read, timeout=within + _MARGIN, stdin_path=path, check=False)
        on_disk, listing = summed.result().stdout.split(maxsplit=1)[0], listed.result()
    if on_disk != sha256:
        raise Unreadable(f"the file's SHA-256 is {on_disk}, but {sha256} was written")
    for done in (listing, whole):
        if done.status != 0:
            raise Unreadable(f"pg_restore does not read it: {done.stderr.strip() or f'status {done.status}'}")
    return commands.tables_in(listing.stdout)
