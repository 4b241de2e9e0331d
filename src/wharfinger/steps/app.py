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
    """Start services of the release; all of them get healthy, or nothing of the release stays."""

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
class StopFirst:
    """Stop services of the old tier that must not overlap with their successors; the rest of it runs on."""

    release: str
    services: tuple[str, ...]
    drain: float
    timeout: float
    """How long they may take to get healthy again, should they have to come back."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return f"stop {', '.join(self.services)} of {self.release} first"

    def run(self, world: World, shown: Shown) -> None:
        """Stop them gracefully, and keep their containers."""
        shown.note(f"at most {self.drain:g} s")
        world.runtime.stop_services(self.release, self.services, drain=self.drain)

    def undo(self, world: World) -> None:
        """Start them again."""
        world.runtime.start_services(self.release, self.services, timeout=self.timeout)


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
