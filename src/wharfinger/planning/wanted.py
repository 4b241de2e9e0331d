"""What an environment is to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from wharfinger.hosts import File
from wharfinger.model.environment import Environment
from wharfinger.model.release import Layout, Release
from wharfinger.model.stack import Stack
from wharfinger.model.tls import Wish

COMPARED: Final = ("compose.yaml", "site.conf", ".env")
"""The files of a release whose changes a plan shows."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """The certificates that an environment is to have, and what they are made with."""

    wishes: tuple[Wish, ...] = ()
    authorities: Mapping[str, bytes] = field(default_factory=dict)
    """By certificate, the CAs that are no public ones, as PEM."""
    local_ca: str = ""
    """The folder of the local CA on the machine that is deployed from."""
    renewal_files: Mapping[str, bytes] = field(default_factory=dict)
    """What renews certificates of ACME servers, by path in the edge's `renewal/`; none where none is wanted."""
    site: str | None = None
    """The site's own certificate; absent: plain HTTP."""

    @property
    def trust(self) -> str | None:
        """The CAs that who asks the site is to trust beside the public ones."""
        held = self.authorities.get(self.site or "")
        return None if held is None else held.decode()

    def paths(self, layout: Layout) -> tuple[PurePosixPath, ...]:
        """Return the files that tell which of them there are."""
        chains = (layout.chain(wish.name) for wish in self.wishes if wish.tls.source != "own")
        return (*chains, *(layout.renewal / name for name in self.renewal_files))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A release to be, and every file that belongs to it."""

    stack: Stack
    environment: Environment
    release: Release
    files: Mapping[str, File]
    """The release directory, by file name."""
    data_files: Mapping[str, File]
    """The data tier's folder, by file name."""
    edge_files: Mapping[str, bytes]
    """What all sites of the edge share, by path in the edge's folder."""
    site: bytes | None
    """The site's Nginx file."""
    stock: tuple[str, ...] = ()
    """The stock images that a server other than this machine needs for the edge and the data tier."""
    port: int = 0
    """Where this machine's own registry listens."""
    seeded: bool = False
    """Whether the databases are to have been seeded once, as `up` wants it."""
    routes: bytes | None = None
    """The Nginx file of the environment's foreign routes."""
    certificates: Certificates = field(default_factory=Certificates)
    is_first: bool = True
    """Whether the server is the only one, or the first of several: what is done once is done there."""

    def expected(self, scaled: Mapping[str, int]) -> dict[str, int]:
        """Return how many containers of each service there are to be; `scaled` is what `scale` asked for."""
        scale = {**self.environment.scale, **scaled}
        return {name: scale.get(name, service.scale) for name, service in self.stack.services.items()}


def paths_written(wanted: Wanted, layout: Layout) -> tuple[PurePosixPath, ...]:
    """Return the files that a plan compares or a deploy writes, those of its own directory aside."""
    return (
        *(layout.current / name for name in COMPARED),
        *(layout.data / name for name in wanted.data_files),
        *(layout.edge / name for name in wanted.edge_files),
        layout.site,
        layout.live,
        layout.seeded,
        layout.routes,
        *wanted.certificates.paths(layout),
    )
