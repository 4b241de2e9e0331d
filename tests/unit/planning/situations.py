"""What a plan is made from: a wanted release, and servers in every state that a deploy can meet them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.examples import IMAGES, LAYOUT, sevra
from tests.recording import data_tier, edge_container, tier

from wharfinger.engine import Container
from wharfinger.facts import Observed
from wharfinger.hosts import File
from wharfinger.model.release import Live, Release
from wharfinger.model.stack import Stack
from wharfinger.planning.wanted import Wanted, paths_written
from wharfinger.rendering.live import live_default

OLDEST: Final = "20261118120000"
OLDER: Final = "20261119120000"
OLD: Final = "20261120120000"
NEW: Final = "20261120143000"
OLD_IS_LIVE: Final = Live("blue", OLD)
SERVICES: Final = ("api", "worker")
STACK: Final = sevra(
    services={
        "api": {"image": "app", "port": 3000},
        "worker": {"image": "app", "port": 3001},
    },
    data={"postgres": {"engine": "postgres"}, "redis_queue": {"engine": "redis", "mode": "queue"}},
    checks=[{"path": "/health", "json": {"status": "healthy"}}],
    deploy={"keep": 2, "drain": "10s", "healthy_within": "2m"},
)
SITE: Final = b"server { listen 80; }\n"
DATA_FILES: Final = {"data.yaml": File(b"services: {}\n"), ".env": File(b"POSTGRES_PASSWORD=old\n", 0o600)}
EDGE_FILES: Final = {"nginx.conf": b"events {}\n"}


def release(identifier: str, **changes: Any) -> Release:
    """Return the record of a release that succeeded, in the slot blue."""
    facts: dict[str, Any] = {
        "id": identifier,
        "stack": "sevra-atlas",
        "environment": "local",
        "created": "2026-11-20T14:30:00.000+00:00",
        "by": "ann@laptop",
        "revision": "",
        "images": IMAGES,
        "services": SERVICES,
        "fingerprint": "same",
        "env_checksum": "same",
        "succeeded": "2026-11-20T14:30:00.000+00:00",
        "slot": "blue",
    }
    return Release(**(facts | changes))


def wanted(identifier: str = NEW, *, stack: Stack = STACK, **changes: Any) -> Wanted:
    """Return a release to be; `changes` are of its record, or of `Wanted` itself."""
    own = {name: changes.pop(name) for name in ("files", "data_files", "edge_files", "site") if name in changes}
    facts: dict[str, Any] = {
        "files": {"compose.yaml": File(b"services: {}\n"), ".env": File(b"QUEUE_URL=redis://q\n", 0o600)},
        "data_files": DATA_FILES,
        "edge_files": EDGE_FILES,
        "site": SITE,
    }
    record = release(identifier, succeeded=None, slot=None, **changes)
    return Wanted(stack=stack, environment=stack.environments["local"], release=record, **(facts | own))


def empty(want: Wanted) -> Observed:
    """Return a server on which nothing was ever deployed."""
    return Observed(
        releases=(),
        current=None,
        live=None,
        tiers={},
        data=(),
        edge=(),
        files=dict.fromkeys(paths_written(want, LAYOUT)),
        ports_taken=frozenset(),
        free_bytes=1 << 40,
    )


def serving(
    want: Wanted,
    *,
    releases: Sequence[Release] = (release(OLD),),
    current: str | None = OLD,
    live: Live | None = OLD_IS_LIVE,
    tiers: Mapping[str, Sequence[Container]] | None = None,
    data: Sequence[Container] | None = None,
    edge: Sequence[Container] | None = None,
    files: Mapping[Any, bytes | None] | None = None,
) -> Observed:
    """Return a server on which the release OLD serves from blue, with the same files as are wanted now."""
    held = {
        **{LAYOUT.current / name: file.content for name, file in want.files.items()},
        LAYOUT.current / "site.conf": want.site,
        **{LAYOUT.data / name: file.content for name, file in want.data_files.items()},
        **{LAYOUT.edge / name: content for name, content in want.edge_files.items()},
        LAYOUT.site: want.site,
        LAYOUT.live: live_default(live).encode(),
        LAYOUT.seeded: None,
    }
    return Observed(
        releases=tuple(releases),
        current=current,
        live=live,
        tiers={OLD: tuple(tier(OLD, *SERVICES))} if tiers is None else {key: tuple(of) for key, of in tiers.items()},
        data=tuple(data_tier("postgres", "redis_queue") if data is None else data),
        edge=tuple([edge_container()] if edge is None else edge),
        files=held | dict(files or {}),
        ports_taken=frozenset({8080, 8443}),
        free_bytes=1 << 40,
    )
