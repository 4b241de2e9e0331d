"""Verbs on the data tier: they never recreate a data service and never undo what they did to data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from wharfinger import databases
from wharfinger.console import Step as Shown
from wharfinger.hosts import File
from wharfinger.steps import World


@dataclass(frozen=True, slots=True)
class StartData:
    """Bring the data tier up where it is not."""

    services: tuple[str, ...]
    files: Mapping[str, File] = field(repr=False)
    before: Mapping[str, bytes | None] = field(repr=False)
    """What those files held when the plan was made."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return f"start {', '.join(self.services)}"

    def run(self, world: World, shown: Shown) -> None:
        """Start what does not run, and wait until all of it is healthy."""
        world.runtime.start_data(self.files, self.services, note=shown.note)

    def undo(self, world: World) -> None:
        """Put the files back; a data tier that runs goes on running: it holds data."""
        for name, content in self.before.items():
            if content is not None:
                world.host.write({world.layout.data / name: File(content, self.files[name].mode)})


@dataclass(frozen=True, slots=True)
class BackUp:
    """Take a backup of every database and read it back; a deploy without one goes no further."""

    services: tuple[str, ...]
    stamp: str
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return f"back up {', '.join(self.services)}"

    def run(self, world: World, shown: Shown) -> None:
        """Dump, then check what was dumped."""
        databases.back_up(world.host, world.layout.target, world.layout, world.stack, stamp=self.stamp, note=shown.note)

    def undo(self, world: World) -> None:
        """Remove only what does not count as one: a backup is kept whatever becomes of the deploy."""
        databases.remove_unfinished(world.host, world.layout, self.services, stamp=self.stamp)


@dataclass(frozen=True, slots=True)
class Migrate:
    """Bring the database to the new release's schema, once, in a one-off container of its image."""

    release: str
    timeout: float
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "migrate"

    def run(self, world: World, shown: Shown) -> None:
        """Run it to its end."""
        world.runtime.migrate(self.release, timeout=self.timeout, note=shown.note)

    def undo(self, world: World) -> None:
        """End a migration that still runs; the schema stays, since data is never rolled back silently."""
        world.runtime.stop_app(self.release, drain=0)


@dataclass(frozen=True, slots=True)
class Seed:
    """Fill a new database, once in the life of an environment."""

    release: str
    timeout: float
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "seed"

    def run(self, world: World, shown: Shown) -> None:
        """Run it to its end, and mark that it ran."""
        world.runtime.seed(self.release, timeout=self.timeout, note=shown.note)
        mark = json.dumps({"release": self.release}).encode() + b"\n"
        world.host.write({world.layout.seeded: File(mark)})

    def undo(self, world: World) -> None:
        """End a seed that still runs; what it wrote stays, and so does the mark."""
        world.runtime.stop_app(self.release, drain=0)
