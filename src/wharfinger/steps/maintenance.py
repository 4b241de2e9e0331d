"""Verbs on the maintenance of a site."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from wharfinger.console import Step as Shown
from wharfinger.model.maintenance import Maintenance
from wharfinger.steps import World


@dataclass(frozen=True, slots=True)
class CloseSite:
    """Answer 503 and a page to all but those who may pass."""

    allow: tuple[str, ...]
    maintenance: Maintenance = field(repr=False)
    page: bytes = field(repr=False)
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "answer 503"

    def run(self, world: World, shown: Shown) -> None:
        """Put the page there, tell Nginx, and write it down for the next start."""
        shown.note(f"{', '.join(self.allow)} may pass" if self.allow else "to everybody")
        world.edge.close(self.maintenance, self.page)

    def undo(self, world: World) -> None:
        """Go back to what is written down: that comes last."""
        world.edge.settle_maintenance()


@dataclass(frozen=True, slots=True)
class OpenSite:
    """End the maintenance."""

    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "open the site"

    def run(self, world: World, shown: Shown) -> None:
        """Tell Nginx, and forget what was written down."""
        shown.note("to everybody")
        world.edge.open()

    def undo(self, world: World) -> None:
        """Go back to what is written down."""
        world.edge.settle_maintenance()
