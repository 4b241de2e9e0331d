"""Verbs on the replicas of a release that serves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from wharfinger.console import Step as Shown
from wharfinger.hosts import File
from wharfinger.model.release import Slot
from wharfinger.steps import World


@dataclass(frozen=True, slots=True)
class KeepScale:
    """Keep how many replicas were asked for, for every later deploy and rollback."""

    release: str
    scale: Mapping[str, int]
    """By service; nothing: as the stack file says."""
    expected: Mapping[str, int]
    """How many replicas of each service that makes."""
    before: tuple[Mapping[str, int], Mapping[str, int]]
    """What `scale` and `expected` were."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "keep the scale"

    def run(self, world: World, shown: Shown) -> None:
        """Write it down."""
        shown.note(" ".join(f"{name}={count}" for name, count in self.scale.items()) or "as the stack file says")
        keep_scale(world, self.release, self.scale, self.expected)

    def undo(self, world: World) -> None:
        """Write down what was before."""
        keep_scale(world, self.release, *self.before)


def keep_scale(world: World, release: str, scale: Mapping[str, int], expected: Mapping[str, int]) -> None:
    """Write down what was asked for (nothing: as the stack file says), and what a release makes of it."""
    if scale:
        world.host.write({world.layout.scale: File(json.dumps(dict(scale)).encode() + b"\n")})
    else:
        world.host.remove(world.layout.scale)
    world.runtime.choose(release, scale=expected)


@dataclass(frozen=True, slots=True)
class StartMore:
    """Start more replicas of the release beside those that run; all of them are healthy, or none of them stays."""

    release: str
    slot: Slot
    previous: Slot
    """The slot that serves."""
    more: Mapping[str, int]
    beside: tuple[str, ...]
    """The containers that run."""
    timeout: float
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "start " + ", ".join(f"{count} {name}" for name, count in self.more.items())

    def run(self, world: World, shown: Shown) -> None:
        """Start them, and wait for their health."""
        world.runtime.start_more(self.release, self.slot, self.more, timeout=self.timeout, note=shown.note)
        world.runtime.choose(self.release, slot=self.slot)

    def undo(self, world: World) -> None:
        """Remove them."""
        new = set(world.runtime.running().get(self.release, ())) - set(self.beside)
        world.runtime.stop_replicas(self.release, new, drain=0)
        world.runtime.choose(self.release, slot=self.previous)


@dataclass(frozen=True, slots=True)
class RetireReplicas:
    """Stop and remove replicas that get no traffic any more, once their requests in flight are done."""

    release: str
    containers: tuple[str, ...]
    drain: float
    tidies: ClassVar[bool] = True

    @property
    def title(self) -> str:
        """What it does."""
        return f"retire {len(self.containers)} replica{'s'[: len(self.containers) != 1]}"

    def run(self, world: World, shown: Shown) -> None:
        """Wait until their last request is done, as long as `drain` at most, then stop them gracefully."""
        shown.note(f"requests in flight have {self.drain:g} s")
        if self.drain:
            project = world.layout.target.app_project(self.release)
            world.edge.await_quiet(project, within=self.drain, note=shown.note, only=self.containers)
        world.runtime.stop_replicas(self.release, self.containers, drain=self.drain)

    def undo(self, world: World) -> None:
        """Nothing: it tidies."""
