"""Verbs on the app tier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wharfinger.console import Step as Shown
from wharfinger.model.release import Slot
from wharfinger.steps import World


@dataclass(frozen=True, slots=True)
class Pull:
    """Fetch the release's images by digest."""

    images: tuple[str, ...]
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return f"pull {len(self.images)} image{'s'[: len(self.images) != 1]}"

    def run(self, world: World, shown: Shown) -> None:
        """Fetch those that the server lacks."""
        world.runtime.pull(self.images, shown=shown)

    def undo(self, world: World) -> None:
        """Nothing: the next attempt wants the same images, and prune knows them."""


@dataclass(frozen=True, slots=True)
class StartApp:
    """Start the release's app tier beside the old one; all of it is healthy, or none of it stays."""

    release: str
    slot: Slot
    expected: dict[str, int]
    timeout: float
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return f"start {', '.join(self.expected)}"

    def run(self, world: World, shown: Shown) -> None:
        """Start it, and wait for its health."""
        world.runtime.start_app(self.release, self.slot, self.expected, timeout=self.timeout, note=shown.note)

    def undo(self, world: World) -> None:
        """Remove it."""
        world.runtime.stop_app(self.release, drain=0)


@dataclass(frozen=True, slots=True)
class Retire:
    """Stop and remove an app tier that no longer gets traffic, once its requests in flight are done."""

    release: str
    drain: float
    tidies: ClassVar[bool] = True

    @property
    def title(self) -> str:
        """What it does."""
        return f"retire {self.release}"

    def run(self, world: World, shown: Shown) -> None:
        """Wait until its last request is done, as long as `drain` at most, then stop it gracefully."""
        shown.note(f"requests in flight have {self.drain:g} s")
        if self.drain:
            project = world.layout.target.app_project(self.release)
            world.edge.await_quiet(project, within=self.drain, note=shown.note)
        world.runtime.stop_app(self.release, drain=self.drain)

    def undo(self, world: World) -> None:
        """Nothing: it tidies."""
