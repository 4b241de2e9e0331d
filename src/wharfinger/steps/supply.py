"""The verb that brings stock images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wharfinger.console import Step as Shown
from wharfinger.steps import World
from wharfinger.supplying import supply


@dataclass(frozen=True, slots=True)
class Supply:
    """Let the server hold the stock images that the edge and the data tier run."""

    images: tuple[str, ...]
    port: int
    """Where this machine's own registry listens, for what no hub gives."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "stock images"

    def run(self, world: World, shown: Shown) -> None:
        """Fetch or hand over those that it lacks."""
        lacked = supply(self.images, world.here, world.host, world.edge.engine, port=self.port, note=shown.note)
        shown.conclude(", ".join(lacked) or "all there")

    def undo(self, world: World) -> None:
        """Nothing: they belong to no release."""
