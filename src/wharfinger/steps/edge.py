"""Verbs on the edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from wharfinger.console import Step as Shown
from wharfinger.model.release import Live, Slot
from wharfinger.model.values import seconds
from wharfinger.steps import World


@dataclass(frozen=True, slots=True)
class StartEdge:
    """Bring the server's Nginx up, with the configuration that all sites share."""

    files: Mapping[str, bytes] = field(repr=False)
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "start the edge"

    def run(self, world: World, shown: Shown) -> None:
        """Write its files, and start or reload it."""
        shown.note(world.edge.project)
        world.edge.start(self.files)

    def undo(self, world: World) -> None:
        """Nothing: the edge serves every stack of the server."""


@dataclass(frozen=True, slots=True)
class PutSite:
    """Put a changed site file in place, tested and reloaded."""

    release: str
    slot: Slot
    content: bytes = field(repr=False)
    before: tuple[bytes | None, bytes | None] = field(repr=False)
    """What the site's file and its live default held when the plan was made."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "test and load the site"

    def run(self, world: World, shown: Shown) -> None:
        """Let Nginx test it, then load it."""
        shown.note("nginx -t")
        world.edge.put_site(self.content, Live(self.slot, self.release))

    def undo(self, world: World) -> None:
        """Put the old files back, byte for byte, and load them."""
        held = (world.host.read(world.layout.site), world.host.read(world.layout.live))
        if held != self.before:
            world.edge.restore_site(*self.before)


@dataclass(frozen=True, slots=True)
class Switch:
    """Send the traffic to the new release, in one atomic act and without a reload."""

    release: str
    slot: Slot
    previous: Live | None
    probes: tuple[tuple[str, str], ...]
    """Service and path of what Nginx itself must reach in the new slot before it is switched to."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return f"switch to {self.slot}"

    def run(self, world: World, shown: Shown) -> None:
        """Prove that the edge reaches the new tier, then switch."""
        shown.note("once the edge reaches it")
        world.edge.switch(Live(self.slot, self.release), self.probes)

    def undo(self, world: World) -> None:
        """Switch back to the old tier, which still runs; what the new one was asked meanwhile may finish."""
        if self.previous is not None:
            world.edge.switch_back(self.previous)
            drain = seconds(world.stack.deploy.drain)
            world.edge.await_quiet(world.layout.target.app_project(self.release), within=drain, note=lambda _: None)
