"""What is true on a server now: read-only, and all that a plan rests on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Final, TypeVar

from pydantic import ValidationError

from wharfinger.edges import AnyEdge
from wharfinger.engine import ONE_OFF, PROJECT, Container, Engine
from wharfinger.errors import WharfingerError
from wharfinger.hosts import Host
from wharfinger.lock import Holder, deploying
from wharfinger.model.maintenance import Maintenance
from wharfinger.model.release import Layout, Live, Release
from wharfinger.model.run import FINISHED, CutOff, cut_off

_LISTENING: Final = "0A"
_TABLES: Final = (PurePosixPath("/proc/net/tcp"), PurePosixPath("/proc/net/tcp6"))
_Answer = TypeVar("_Answer")
_JOURNALS_READ: Final = 20


@dataclass(frozen=True, slots=True)
class Observed:
    """One environment's server, as a plan sees it."""

    releases: tuple[Release, ...]
    """Every release directory with a readable record, the oldest first."""
    current: str | None
    """The release that `current` points at."""
    live: Live | None
    """Where the edge sends the traffic: what Nginx says, or what it will fall back on when it starts."""
    tiers: Mapping[str, tuple[Container, ...]]
    """The app tiers that have containers, by release."""
    data: tuple[Container, ...]
    edge: tuple[Container, ...]
    files: Mapping[PurePosixPath, bytes | None]
    """What the files outside release directories hold, those that a deploy may write."""
    ports_taken: frozenset[int]
    free_bytes: int = field(compare=False)
    cut_off: tuple[CutOff, ...] = ()
    """The runs that were killed and not put right since, the oldest first."""
    deploying: Holder | None = None
    """The other process that changes this environment just now."""
    scale: Mapping[str, int] = field(default_factory=dict)
    """How many replicas `scale` asked for, by service; it goes before what the stack file says."""
    maintenance: Maintenance | None = None
    """Who passes while the site is under maintenance; None: it is not."""
    renewal: tuple[Container, ...] = ()
    """What renews the edge's certificates."""
    trust: str | None = field(default=None, repr=False)
    """The CAs that who asks the site is to trust beside the public ones, as PEM."""
    clock: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)
    """When this was seen."""
    edge_serves: bool | None = None
    """Whether the server's own Nginx runs, where that is the edge; None: the edge is in a container."""

    @property
    def edge_is_ready(self) -> bool:
        """Whether the edge's Nginx serves."""
        if self.edge_serves is not None:
            return self.edge_serves
        return bool(self.edge) and all(container.is_ready for container in self.edge)

    def release(self, identifier: str | None) -> Release | None:
        """Return the release of that id, or None."""
        return next((release for release in self.releases if release.id == identifier), None)


def observe(host: Host, engine: Engine, edge: AnyEdge, layout: Layout, files: Iterable[PurePosixPath]) -> Observed:
    """Read everything that a plan for one environment rests on; `files` are those that it may write."""

    def is_tier(project: str) -> bool:
        return layout.target.release_of(project) is not None

    def is_ours(project: str) -> bool:
        return project in {layout.target.name, edge.project, edge.renewal_project} or is_tier(project)

    # All at once: of a server far away each answer takes as long as all of them.
    asked = in_the_background(lambda: engine.containers({PROJECT: None, ONE_OFF: "False"}, of=is_ours))
    one_offs = in_the_background(lambda: engine.containers({PROJECT: None, ONE_OFF: "True"}, of=is_tier))
    live = in_the_background(edge.live)
    link = in_the_background(lambda: host.link_target(layout.current))
    releases = in_the_background(lambda: tuple(_releases(host, layout)))
    cut_offs = in_the_background(lambda: tuple(_cut_off(host, layout)))
    doing = in_the_background(lambda: deploying(host, layout))
    free = in_the_background(lambda: host.free_bytes(layout.root))
    wanted = tuple(files)
    held = host.read_all({*wanted, *_TABLES, layout.live, layout.scale, layout.maintenance, layout.trust})
    current = (link() or "").rpartition("/")[2] or None
    containers, busy = asked(), doing()
    tiers: dict[str, list[Container]] = {}
    for container in containers:
        release = layout.target.release_of(container.project)
        if release is not None:
            tiers.setdefault(release, []).append(container)
    for container in one_offs():
        release = layout.target.release_of(container.project)
        if release is not None and release != current:  # a migration that outlived its run
            tiers.setdefault(release, []).append(container)
    edge_containers = tuple(container for container in containers if container.project == edge.project)
    default, taken = held[layout.live], _listening(held)
    serves = None if edge.listens_on is None else edge.listens_on in taken
    fallback = Live.parse(default.decode().partition('"')[2].partition('"')[0]) if default else None
    answer = live()
    return Observed(
        releases=releases(),
        current=current,
        live=(answer or fallback) if edge_containers or serves else fallback,
        tiers={release: tuple(found) for release, found in tiers.items()},
        data=tuple(container for container in containers if container.project == layout.target.name),
        edge=edge_containers,
        files={path: held[path] for path in wanted},
        ports_taken=taken,
        free_bytes=free(),
        cut_off=() if busy else cut_offs(),  # a run that goes on is not finished either
        deploying=busy,
        scale=_scale(host, layout, held[layout.scale]),
        maintenance=Maintenance.parse((held[layout.maintenance] or b"").decode()),
        renewal=tuple(container for container in containers if container.project == edge.renewal_project),
        trust=(held[layout.trust] or b"").decode() or None,
        edge_serves=serves,
    )


def in_the_background(ask: Callable[[], _Answer]) -> Callable[[], _Answer]:
    """Begin to ask, and return what waits for the answer."""
    pool = ThreadPoolExecutor(max_workers=1)
    answer = pool.submit(ask)
    pool.shutdown(wait=False)
    return answer.result


def _releases(host: Host, layout: Layout) -> Iterable[Release]:
    for content in host.read_in(layout.releases, "release.json").values():
        try:
            yield Release.model_validate_json(content)
        except ValidationError:
            continue  # a record of another version of Wharfinger is no release to return to


def _cut_off(host: Host, layout: Layout) -> Iterable[CutOff]:
    """Yield the runs that did not come to an end: among the latest, since every run begins by recovering."""
    for name, content in host.read_in(layout.journal, last=_JOURNALS_READ, unless=FINISHED).items():
        run = cut_off(name, content)
        if run is not None:
            yield run


def _scale(host: Host, layout: Layout, held: bytes | None) -> dict[str, int]:
    try:
        return {str(name): int(count) for name, count in json.loads(held or b"{}").items()}
    except (ValueError, TypeError, AttributeError):
        raise WharfingerError(
            f"{host.name}: {layout.scale} is not a JSON object of whole numbers",
            fix="correct it, or remove it for what the stack file says",
        ) from None


def listening(host: Host) -> frozenset[int]:
    """Return the TCP ports of a server on which something listens."""
    return _listening(host.read_all(_TABLES))


def _listening(held: Mapping[PurePosixPath, bytes | None]) -> frozenset[int]:
    """Return the TCP ports on which something listens, as proc(5)'s net/tcp tells."""
    taken = set()
    for table in _TABLES:
        for line in (held[table] or b"").decode().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING:
                taken.add(int(fields[1].rpartition(":")[2], 16))
    return frozenset(taken)
