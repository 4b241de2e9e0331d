"""All servers of an environment: looked at together, and of one mind about what was cut off on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from wharfinger.connecting import Server, at_once
from wharfinger.facts import Observed, observe
from wharfinger.model.run import has_agreed


def look(servers: Sequence[Server], files: Iterable[PurePosixPath]) -> tuple[Observed, ...]:
    """Observe what plans for all servers rest on.

    A run of several servers that was cut off counts on each where the journal of any says that all had agreed;
    otherwise it counts nowhere, whatever is current on one of them.
    """
    wanted = tuple(files)

    def one(server: Server) -> Observed:
        return observe(server.host, server.engine, server.edge, server.layout, wanted)

    seen = at_once(one, servers)
    doubtful = {run.journal for observed in seen for run in observed.cut_off if run.servers}
    if not doubtful:
        return seen

    def told(server: Server) -> set[str]:
        held = server.host.read_all(server.layout.journal / name for name in doubtful)
        return {path.name for path, content in held.items() if content is not None and has_agreed(content)}

    agreed = set[str]().union(*at_once(told, servers))
    return tuple(_decided(server, observed, agreed) for server, observed in zip(servers, seen, strict=True))


def names_of(servers: Sequence[Server]) -> str:
    """Return the servers as a person is told of them."""
    return ", ".join(server.host.name for server in servers)


def _decided(server: Server, observed: Observed, agreed: set[str]) -> Observed:
    """Return what is observed, with the release current that counts."""
    runs = tuple(
        dataclasses.replace(run, agreed=run.journal in agreed) if run.servers else run for run in observed.cut_off
    )
    moved = next((run for run in runs if run.moved_current(observed.current)), None)
    if moved is None:
        return dataclasses.replace(observed, cut_off=runs)
    before: str | None = moved.planned("Record", "previous", None)
    files = dict(observed.files) | _files_of(before, server, observed.files)
    return dataclasses.replace(observed, cut_off=runs, current=before, files=files)


def _files_of(release: str | None, server: Server, files: Iterable[PurePosixPath]) -> dict[PurePosixPath, bytes | None]:
    """Return what files of the current release would hold if that were `release`."""
    layout = server.layout
    theirs = {path: path.relative_to(layout.current) for path in files if layout.current in path.parents}
    if release is None:
        return dict.fromkeys(theirs)
    held = server.host.read_all(layout.release(release) / name for name in theirs.values())
    return {path: held[layout.release(release) / name] for path, name in theirs.items()}
