"""Verbs on the release directories of a server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from wharfinger.console import Step as Shown
from wharfinger.hosts import File
from wharfinger.model.release import Release
from wharfinger.steps import World


@dataclass(frozen=True, slots=True)
class UploadRelease:
    """Write the release directory: Compose file, site, values and record."""

    release: str
    files: Mapping[str, File] = field(repr=False)
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return f"upload release {self.release}"

    def run(self, world: World, shown: Shown) -> None:
        """Write every file, and make the folders that releases share."""
        shown.note(f"{len(self.files)} files")
        for name, volume in world.stack.volumes.items():
            world.host.make_folder(world.layout.shared / name, mode=0o750, owner=volume.owner)
        folder = world.layout.release(self.release)
        world.host.write({folder / name: file for name, file in self.files.items()}, awaited=False)

    def undo(self, world: World) -> None:
        """Remove the directory."""
        world.host.remove(world.layout.release(self.release))


@dataclass(frozen=True, slots=True)
class Record:
    """Make the verified release the current one; from here on nothing is undone."""

    release: str
    previous: str | None
    record: Release = field(repr=False)
    left: Release | None = field(default=None, repr=False)
    """The record of a release that a rollback leaves."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "record"

    def run(self, world: World, shown: Shown) -> None:
        """Mark the release as successful and point `current` at it."""
        shown.note(self.release)
        self._write(world, self.record)
        world.host.link(world.layout.current, f"releases/{self.release}")
        if self.left is not None:  # last: one that still serves must not be marked
            self._write(world, self.left)

    def _write(self, world: World, record: Release) -> None:
        content = record.model_dump_json(indent=2).encode() + b"\n"
        world.host.write({world.layout.release(record.id) / "release.json": File(content)}, awaited=False)

    def undo(self, world: World) -> None:
        """Point `current` back."""
        point_at(world, self.previous)


def point_at(world: World, release: str | None) -> None:
    """Make a release the current one, or none."""
    if release is None:
        world.host.remove(world.layout.current)
    else:
        world.host.link(world.layout.current, f"releases/{release}")


@dataclass(frozen=True, slots=True)
class Prune:
    """Remove releases that are no longer kept, images that only they used, and those of deploys that failed."""

    releases: tuple[str, ...]
    images: tuple[str, ...]
    tidies: ClassVar[bool] = True

    @property
    def title(self) -> str:
        """What it does."""
        return f"prune {len(self.releases)} old release{'s'[: len(self.releases) != 1]}"

    def run(self, world: World, shown: Shown) -> None:
        """Remove directories first, so that an image is never missing from a release that is still listed."""
        for release in self.releases:
            shown.note(release)
            world.host.remove(world.layout.release(release))
        world.runtime.remove_images(tuple(dict.fromkeys((*self.images, *_strays(world)))))

    def undo(self, world: World) -> None:
        """Nothing: pruned releases were successful ones beyond the number kept."""


def _strays(world: World) -> Iterator[str]:
    """Yield the images of what the stack builds that no release of it on the server names, in any environment.

    A deploy that failed brought them, and its release is gone. One that another deploy is about to run is named: its
    release is uploaded before its images are pulled.
    """
    stack = world.layout.home.parent
    folders = [stack / environment / "releases" for environment in world.host.names_in(stack)]
    records = [record for folder in folders for record in world.host.read_in(folder, "release.json").values()]
    named: dict[str, set[str]] = {}
    for record in records:
        for name, image in json.loads(record)["images"].items():
            named.setdefault(name, set()).add(image)
    images = {image for each in named.values() for image in each}
    built = {image.partition("@")[0] for name in named if world.stack.image_is_built(name) for image in named[name]}
    for repository in sorted(built):
        yield from (image for image in world.runtime.images_in(repository) if image not in images)
