"""Verbs that put right what a run which was cut off left behind; none has an undo, and all bear being repeated."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import ClassVar, Final, Literal

from wharfinger.commands import compose
from wharfinger.console import Step as Shown
from wharfinger.errors import StepFailed
from wharfinger.model.release import Slot
from wharfinger.steps import World
from wharfinger.steps.releases import point_at
from wharfinger.steps.replicas import keep_scale

_OUTWAITED: Final = 10.0
_HEALTHY_WITHIN: Final = 120.0
_EDGE_OUTWAITED: Final = 60.0


@dataclass(frozen=True, slots=True)
class EndRun:
    """End what the run's own commands still do: it would work against the recovery."""

    releases: tuple[str, ...]
    """Those whose app tiers it was at work on."""
    with_data: bool
    """Whether it was at work on the data tier."""
    services: tuple[str, ...]
    """The data services that were to be backed up."""
    hooks: tuple[str, ...] = ()
    """The releases that count, and in whose containers it ran hooks."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "end what is still under way"

    def run(self, world: World, shown: Shown) -> None:
        """Outwait what ends by itself, and kill the rest; commands to the edge may be another environment's."""
        from wharfinger import databases

        target = world.layout.target
        data = (target.name,) if self.with_data else ()
        projects = (*data, *(target.app_project(release) for release in self.releases))
        words = (*map(compose.words, projects), *databases.words(target, self.services))
        of_edge = (compose.words(world.edge.project), compose.words(world.edge.renewal_project))
        left = (
            *world.host.left_running(words, within=_OUTWAITED, end=True),
            *world.host.left_running(of_edge, within=_EDGE_OUTWAITED),
        )
        if left:
            raise StepFailed(f"{world.host.name}: still running: {'; '.join(left)}", fix="end it, then try again")
        databases.end_dumps(world.host, target, self.services)
        for release in self.hooks:  # what was killed is only the client
            world.runtime.end_once(release)

    def undo(self, world: World) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class PointBack:
    """Make the release of before current again: the new one was recorded here, and other servers came to nothing."""

    release: str | None
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return f"make {self.release} current again" if self.release else "make no release current"

    def run(self, world: World, shown: Shown) -> None:
        """Point `current` at it."""
        point_at(world, self.release)

    def undo(self, world: World) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class StartAgain:
    """Start services of the release that serves which a run had stopped."""

    release: str
    services: tuple[str, ...]
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return f"start {', '.join(self.services)} of {self.release} again"

    def run(self, world: World, shown: Shown) -> None:
        """Start their containers, and wait for their health."""
        shown.note("as they were")
        world.runtime.start_services(self.release, self.services, timeout=_HEALTHY_WITHIN)

    def undo(self, world: World) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class RestoreReplicas:
    """Write down again how many replicas there are to be, and in which slot, as it was before the run."""

    release: str
    slot: Slot | None
    """The slot that serves; None: the run did not change it."""
    scale: Mapping[str, int] | None
    """What `scale` had asked for before; None: the run did not change it."""
    expected: Mapping[str, int]
    """How many replicas of each service that made."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "put the scale back" if self.scale is not None else "put the slot back"

    def run(self, world: World, shown: Shown) -> None:
        """Write it down."""
        if self.scale is not None:
            keep_scale(world, self.release, self.scale, self.expected)
        if self.slot is not None:
            world.runtime.choose(self.release, slot=self.slot)

    def undo(self, world: World) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class SettleMaintenance:
    """Let the edge do what is written down: a run that was cut off may have told it something else."""

    ready: bool
    """Whether there is an Nginx that runs; one that starts reads it by itself."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "settle the maintenance"

    def run(self, world: World, shown: Shown) -> None:
        """Tell Nginx, and remove a page that nobody is shown."""
        shown.conclude("on" if world.edge.settle_maintenance(tell=self.ready) else "off")

    def undo(self, world: World) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class RestoreSite:
    """Put the site's files back as they were before the run, byte for byte."""

    content: bytes | None = field(repr=False)
    live: bytes | None = field(repr=False)
    reload: bool
    """Whether there is an Nginx that runs, to take them up."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "take the site down" if self.content is None else "put the site back"

    def run(self, world: World, shown: Shown) -> None:
        """Write or remove them, and reload."""
        world.edge.restore_site(self.content, self.live, reload=self.reload)

    def undo(self, world: World) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class SettleRoutes:
    """Put back the foreign routes that a run was about to change, untested as the new ones may be."""

    reload: bool
    """Whether there is an Nginx that runs, to take them up."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "put the foreign routes back"

    def run(self, world: World, shown: Shown) -> None:
        """Do so, unless they were in place already."""
        world.edge.settle_routes(reload=self.reload)

    def undo(self, world: World) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class StopData:
    """Stop a data tier that served nobody before the run; its volumes stay."""

    with_files: bool
    """Whether its Compose files go too: there were none before."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "stop the data tier"

    def run(self, world: World, shown: Shown) -> None:
        """Stop it."""
        world.runtime.stop_data()
        if self.with_files:
            world.host.remove(world.layout.data)

    def undo(self, world: World) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class StopEdge:
    """Stop an edge that has no site; one that serves other stacks goes on."""

    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "stop the edge if it has no site"

    def run(self, world: World, shown: Shown) -> None:
        """Look, and stop it."""
        if world.edge.has_sites():
            shown.conclude("it has others")
        else:
            world.edge.stop()

    def undo(self, world: World) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class RemoveRelease:
    """Remove a release that never counted: its directory, and backups that were not finished."""

    release: str
    services: tuple[str, ...]
    """The data services of which there may be a part of a backup."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return f"remove what there is of {self.release}"

    def run(self, world: World, shown: Shown) -> None:
        """Remove it."""
        from wharfinger import databases

        if self.release in world.runtime.running():
            # A client that was killed leaves the engine at work on its last request: what that makes comes late.
            world.runtime.stop_app(self.release, drain=0)
        databases.remove_unfinished(world.host, world.layout, self.services, stamp=self.release)
        world.host.remove(world.layout.release(self.release))

    def undo(self, world: World) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class CloseJournal:
    """Write the end into the journal of the run, once all of it was put right."""

    journal: str
    outcome: Literal["succeeded", "reverted"]
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return f"close its journal: {self.outcome}"

    def run(self, world: World, shown: Shown) -> None:
        """Remove what it wrote half, then write the journal's last line."""
        for path in _half_written(world):
            world.host.remove(path)
        path = world.layout.journal / self.journal
        if not (world.host.read(path) or b"\n").endswith(b"\n"):
            world.host.append(path, "")  # the run was cut off within a line
        world.host.append(path, json.dumps({"event": "finished", "outcome": self.outcome, "by": "recovery"}))

    def undo(self, world: World) -> None:
        """Nothing."""


def _half_written(world: World) -> Iterator[PurePosixPath]:
    """Yield the temporary files of writes that were cut off, where only this environment writes."""
    layout, running = world.layout, frozenset(world.host.names_in(PurePosixPath("/proc")))
    owned = {
        layout.home: (".current.", ".lock."),
        layout.data: (".",),
        layout.backups: (".",),
        layout.site.parent: (f".{layout.site.name}.", f".{layout.live.name}."),
    }
    for folder, beginnings in owned.items():
        for name in world.host.names_in(folder):
            stem, _, last = name.rpartition(".")
            # Who tries for the lock meanwhile has such a file too, with its process's id.
            if stem and name.startswith(beginnings) and not name.endswith(".env") and last not in running:
                yield folder / name
