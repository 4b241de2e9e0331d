"""Releases, and where everything of one environment lies on a server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from pydantic import Field

from wharfinger.model.values import Model

Slot = Literal["blue", "green"]
SLOTS: Final[tuple[Slot, Slot]] = ("blue", "green")
RELEASE_ID: Final = re.compile(r"\d{14}")

LONGEST_NAME: Final = 63
"""How many characters a host's name may have between dots (RFC 1035, 2.3.4); the names here have no dots."""


def scale_variable(service: str) -> str:
    """Return the variable that says how many replicas of a service a release has; another for every service."""
    return f"WHARFINGER_SCALE_{service.upper().replace('_', '__').replace('-', '_')}"


def port_variable(service: str) -> str:
    """Return the variable that says on which port of loopback a release's service is published in its slot."""
    return f"WHARFINGER_PORT_{service.upper().replace('_', '__').replace('-', '_')}"


def slot_variables(slot: Slot, ports: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """Return what a Compose file must know of its slot; `ports` are those of each service in blue and green."""
    own = {port_variable(service): str(pair[SLOTS.index(slot) % len(pair)]) for service, pair in ports.items()}
    return {"WHARFINGER_SLOT": slot, **own}


def other_slot(slot: Slot | None) -> Slot:
    """Return the slot that is free while `slot` is live; blue where nothing is."""
    return "green" if slot == "blue" else "blue"


@dataclass(frozen=True, slots=True)
class Live:
    """What the edge sends traffic to: a slot, and the release that runs in it."""

    slot: Slot
    release: str

    def __str__(self) -> str:
        return f"{self.slot}:{self.release}"

    @classmethod
    def parse(cls, text: str) -> Live | None:
        """Return what `SLOT:RELEASEID` says, or None for anything else."""
        slot, _, release = text.strip().partition(":")
        if slot not in SLOTS or RELEASE_ID.fullmatch(release) is None:
            return None
        return cls("blue" if slot == "blue" else "green", release)


@dataclass(frozen=True, slots=True)
class Target:
    """One stack in one environment, and the names that it goes by in Docker."""

    stack: str
    environment: str

    @property
    def name(self) -> str:
        """The name that everything of this environment begins with; also the data tier's Compose project."""
        return f"{self.stack}-{self.environment}"

    @property
    def data_network(self) -> str:
        """The internal network of the data tier, which the services join."""
        return f"{self.name}-data"

    def app_project(self, release: str) -> str:
        """The Compose project of one release's app tier."""
        return f"{self.name}-{release}"

    def alias(self, slot: str, service: str) -> str:
        """The name by which the edge reaches a service in a slot; as SLOT-RELEASE, in one that this release has."""
        return f"{self.name}-{slot}-{service}"

    def release_of(self, project: str) -> str | None:
        """Return the release whose app tier a Compose project is; None for any other project."""
        release = project.removeprefix(f"{self.name}-")
        return release if project != release and RELEASE_ID.fullmatch(release) else None


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one environment on its server; see ARCHITECTURE.md §2."""

    root: PurePosixPath
    target: Target
    own_sites: PurePosixPath | None = None
    """The folder for sites that the server's own Nginx includes, where that is the edge."""

    @property
    def edge(self) -> PurePosixPath:
        """The folder of the server's one Nginx."""
        return self.root / "edge"

    @property
    def sites(self) -> PurePosixPath:
        """The sites of that Nginx."""
        return self.own_sites or self.edge / "sites"

    @property
    def control(self) -> PurePosixPath:
        """The socket over which that Nginx is asked, while it serves, and told where the traffic of a site goes."""
        return self.edge / "run" / "nginx" / "control.sock"

    @property
    def home(self) -> PurePosixPath:
        """Everything that belongs to this environment."""
        return self.root / self.target.stack / self.target.environment

    @property
    def releases(self) -> PurePosixPath:
        """One folder a release."""
        return self.home / "releases"

    def release(self, release: str) -> PurePosixPath:
        """The folder of one release."""
        return self.releases / release

    @property
    def current(self) -> PurePosixPath:
        """The link to the release that serves."""
        return self.home / "current"

    @property
    def data(self) -> PurePosixPath:
        """The Compose files of the data tier."""
        return self.home / "data"

    @property
    def shared(self) -> PurePosixPath:
        """What survives every deploy."""
        return self.home / "shared"

    @property
    def scale(self) -> PurePosixPath:
        """How many replicas `scale` asked for, by service; absent: as many as the stack file says."""
        return self.shared / "scale.json"

    @property
    def seeded(self) -> PurePosixPath:
        """The mark that the databases were seeded once."""
        return self.shared / "seeded.json"

    @property
    def backups(self) -> PurePosixPath:
        """The backups of the data tier; mode 0700."""
        return self.home / "backups"

    @property
    def journal(self) -> PurePosixPath:
        """One JSON-lines file a deploy."""
        return self.home / "journal"

    @property
    def lock(self) -> PurePosixPath:
        """The deploy lock."""
        return self.home / "lock"

    @property
    def site(self) -> PurePosixPath:
        """The site's Nginx file at the edge."""
        return self.sites / f"{self.target.name}.conf"

    @property
    def live(self) -> PurePosixPath:
        """The live slot that the edge falls back on when it restarts."""
        return self.sites / f"{self.target.name}.live"

    @property
    def routes(self) -> PurePosixPath:
        """The foreign routes that this environment declares, as an Nginx file."""
        return self.edge / "sites" / f"{self.target.name}.routes.conf"

    @property
    def routes_before(self) -> PurePosixPath:
        """What they were, as long as new ones are being put in place."""
        return self.edge / "sites" / f"{self.target.name}.routes.before"

    @property
    def certs(self) -> PurePosixPath:
        """The certificates of the edge, a folder (or a link to one) each."""
        return self.edge / "certs"

    def chain(self, certificate: str) -> PurePosixPath:
        """The public part of one certificate: the site's own and those that vouch for it."""
        return self.certs / certificate / "fullchain.pem"

    @property
    def trust(self) -> PurePosixPath:
        """The CAs that who asks this environment's site is to trust beside the public ones; absent: none."""
        return self.certs / ".trust" / f"{self.target.name}.pem"

    @property
    def renewal(self) -> PurePosixPath:
        """What renews the edge's certificates."""
        return self.edge / "renewal"

    @property
    def maintenance(self) -> PurePosixPath:
        """Whether the site is under maintenance, from which an edge that restarts knows; absent: it is not."""
        return self.sites / f"{self.target.name}.maintenance"

    @property
    def maintenance_page(self) -> PurePosixPath:
        """What visitors see meanwhile."""
        return self.sites / f"{self.target.name}.html"


class Release(Model):
    """The record of one release, as `release.json` beside its files holds it."""

    id: str
    stack: str
    environment: str
    created: str
    """When it was made, ISO 8601 in UTC."""
    by: str
    """Who deployed it, as USER@HOST."""
    revision: str
    """The Git commit of the source, with `-dirty` where the tree had changes; empty outside Git."""
    images: dict[str, str]
    """Every image of the app tier by its name in the stack file, as REPOSITORY@DIGEST."""
    services: tuple[str, ...]
    fingerprint: str
    """A digest over everything that makes this release differ from another: files, images and values."""
    env_checksum: str
    succeeded: str | None = None
    """When it was verified through the public address; None for one that never was."""
    slot: Slot | None = None
    """The slot that it last ran in."""
    left: bool = False
    """Whether a rollback has left it for an earlier one, so that another does not go back to it by itself."""
    promoted: str | None = None
    """The release whose images and description it took over, as ENVIRONMENT:RELEASE; None for one that was built."""
    ignored: dict[str, str] = Field(default_factory=dict)
    """The files that `deploy.ignore` named then, each with a short hash of its content."""
