"""The images of a stack: built by content, pushed, and from then on known by digest alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from wharfinger import engine
from wharfinger.builds.building import build, check_secrets, revision
from wharfinger.builds.ignored import Ignored
from wharfinger.builds.tree import context_files, tree_hash
from wharfinger.commands.buildx import REVISION, TREE
from wharfinger.console import Step
from wharfinger.errors import InvalidInput
from wharfinger.hosts import Host
from wharfinger.model.build import BuildSpec
from wharfinger.registry import Registry

__all__ = [
    "BuiltImage",
    "Ignored",
    "WantedImage",
    "build_only",
    "ensure",
    "refuse_env_files",
    "survey",
    "tag_of",
    "tree_hash",
]

_AT_ONCE: Final = 2
_NOTHING: Final = Ignored()
_TAG_DIGITS: Final = 16
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class WantedImage:
    """An image as the stack's files describe it now, and whether the registry has it."""

    name: str
    repository: str
    tree: str
    """The hash of what it is built from."""
    digest: str | None
    """Its digest in the registry; None: it has to be built or pushed."""

    @property
    def tag(self) -> str:
        """The tag under which this very tree is kept."""
        return _tag(self.tree)

    @property
    def local(self) -> str:
        """The name under which the engine keeps it before the push."""
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image that the registry has."""

    name: str
    reference: str
    """`REGISTRY/STACK/NAME@sha256:…`"""
    tag: str
    digest: str
    built: bool
    """Whether it had to be built just now."""
    pushed: bool
    """Whether it had to be pushed just now."""


def tag_of(stack_folder: Path, spec: BuildSpec, ignored: Ignored = _NOTHING) -> str:
    """Return the tag of an image by what it is built from: `tree-` and 16 hex digits. Raises InvalidInput."""
    return _tag(tree_hash(stack_folder, spec, ignored))


def refuse_env_files(stack_folder: Path, specs: Mapping[str, BuildSpec]) -> None:
    """Raise InvalidInput where a build could copy a file of values, and so its secrets, into an image."""
    found = [
        f"build.{name}: {path}"
        for name, spec in specs.items()
        for path in context_files(stack_folder / spec.context, stack_folder / spec.context / spec.dockerfile)
        if Path(path).name == ".env" or (Path(path).name.startswith(".env.") and not path.endswith(".example"))
    ]
    if found:
        raise InvalidInput(
            "a build could copy files of values, secrets among them, into an image",
            details=found,
            fix="add the line `**/.env*` to .dockerignore in the build context",
        )


def survey(
    stack_folder: Path,
    stack_name: str,
    specs: Mapping[str, BuildSpec],
    *,
    registry: Registry,
    ignored: Ignored = _NOTHING,
) -> dict[str, WantedImage]:
    """Return the images as they should be and what the registry has of them; changes nothing.

    A registry of ours that is not running has none. Raises InvalidInput for a context that cannot be read,
    and BuildFailed if another registry does not answer.
    """
    answers = registry.project is None or registry.is_up()
    wanted = {}
    for name, spec in specs.items():
        repository, tree = registry.repository(stack_name, name), tree_hash(stack_folder, spec, ignored)
        digest = registry.digest(repository, _tag(tree)) if answers else None
        wanted[name] = WantedImage(name, repository, tree, digest)
    return wanted


def ensure(
    stack_folder: Path,
    stack_name: str,
    specs: Mapping[str, BuildSpec],
    *,
    registry: Registry,
    host: Host,
    step: Step,
    no_cache: bool = False,
    ignored: Ignored = _NOTHING,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, BuiltImage]:
    """Build and push whatever the registry does not have yet, two at a time; return every image by name.

    The registry must answer (`Registry.ensure_running`). `host` is the machine that builds. Progress goes to
    `step`. Raises InvalidInput before anything is built if a context or a build secret is missing, and
    BuildFailed if an image cannot be built or pushed; the others are then finished or not begun.
    """
    workshop = _Workshop(stack_folder, specs, registry, host, step, no_cache, environ)
    wanted = survey(stack_folder, stack_name, specs, registry=registry, ignored=ignored)

    def make(image: WantedImage) -> BuiltImage:
        built = workshop.build(image)
        return _built(image, workshop.push(image), built=built, pushed=True)

    kept = {image.name: _built(image, image.digest) for image in wanted.values() if image.digest}
    made = {image.name: image for image in workshop.for_all(make, wanted.values())}
    return {name: made.get(name) or kept[name] for name in specs}


def build_only(
    stack_folder: Path,
    stack_name: str,
    specs: Mapping[str, BuildSpec],
    *,
    registry: Registry,
    host: Host,
    step: Step,
    no_cache: bool = False,
    ignored: Ignored = _NOTHING,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Build whatever neither the registry nor the engine has yet; return every image by name as REPOSITORY:TAG.

    Raises as `ensure` does; the registry need not answer.
    """
    workshop = _Workshop(stack_folder, specs, registry, host, step, no_cache, environ)
    wanted = survey(stack_folder, stack_name, specs, registry=registry, ignored=ignored)
    workshop.for_all(workshop.build, wanted.values())
    return {name: f"{image.repository}:{image.tag}" for name, image in wanted.items()}


@dataclass(frozen=True, slots=True)
class _Workshop:
    """Where the images of one stack are made."""

    stack_folder: Path
    specs: Mapping[str, BuildSpec]
    registry: Registry
    host: Host
    step: Step
    no_cache: bool
    environ: Mapping[str, str]

    def for_all(self, make: Callable[[WantedImage], _Made], images: Iterable[WantedImage]) -> list[_Made]:
        """Make the images that the registry lacks, once all their build secrets are there."""
        to_do = [image for image in images if self.no_cache or image.digest is None]
        check_secrets({image.name: self.specs[image.name] for image in to_do}, self.stack_folder, self.environ)
        return _two_at_a_time(make, to_do)

    def build(self, image: WantedImage) -> bool:
        """Build an image unless the engine has it; return whether that was needed."""
        if not self.no_cache and _engine_has(image, self.registry):
            return False
        commit = revision(self.stack_folder, self.host)
        build(
            image.name,
            self.specs[image.name],
            stack_folder=self.stack_folder,
            tag=image.local,
            labels={TREE: image.tree} | ({REVISION: commit} if commit else {}),
            host=self.host,
            step=self.step,
            environ=self.environ,
            no_cache=self.no_cache,
        )
        return True

    def push(self, image: WantedImage) -> str:
        """Push an image; return its digest."""
        with self.step.progress(f"push {image.name}", total=None, unit="bytes") as bar:
            return self.registry.push(image.repository, image.tag, moved=bar.update)


def _two_at_a_time(make: Callable[[WantedImage], _Made], images: Iterable[WantedImage]) -> list[_Made]:
    """Make all images; after a failure none is begun any more, and the first failure is raised."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="build") as pool:
        begun = [pool.submit(make, image) for image in images]
        try:
            wait(begun, return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    for future in begun:
        if not future.cancelled() and (error := future.exception()) is not None:
            raise error
    return [future.result() for future in begun]


def _engine_has(image: WantedImage, registry: Registry) -> bool:
    """Whether the engine holds this very tree: its push failed, or the registry has been emptied since."""
    import docker

    client = engine.client(registry.docker_url, timeout=30)
    try:
        return client.images.get(image.local).labels.get(TREE) == image.tree
    except docker.errors.ImageNotFound:
        return False
    finally:
        client.close()


def _built(image: WantedImage, digest: str, *, built: bool = False, pushed: bool = False) -> BuiltImage:
    reference = f"{image.repository}@{digest}"
    return BuiltImage(image.name, reference, image.tag, digest, built=built, pushed=pushed)


def _tag(tree: str) -> str:
    return f"tree-{tree[:_TAG_DIGITS]}"
