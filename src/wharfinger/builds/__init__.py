"""The images of a stack: built by content, pushed, and from then on known by digest alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wharfinger import engine
from wharfinger.builds.building import build, check_secrets, revision
from wharfinger.builds.tree import tree_hash
from wharfinger.commands.buildx import REVISION, TREE
from wharfinger.console import Step
from wharfinger.hosts import Host
from wharfinger.model.build import BuildSpec
from wharfinger.registry import Registry

__all__ = ["BuiltImage", "WantedImage", "ensure", "survey", "tag_of", "tree_hash"]

_AT_ONCE: Final = 2
_TAG_DIGITS: Final = 16


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


def tag_of(stack_folder: Path, spec: BuildSpec) -> str:
    """Return the tag of an image by what it is built from: `tree-` and 16 hex digits. Raises InvalidInput."""
    return _tag(tree_hash(stack_folder, spec))


def survey(
    stack_folder: Path, stack_name: str, specs: Mapping[str, BuildSpec], *, registry: Registry
) -> dict[str, WantedImage]:
    """Return the images as they should be and what the registry has of them; changes nothing.

    A registry of ours that is not running has none. Raises InvalidInput for a context that cannot be read,
    and BuildFailed if another registry does not answer.
    """
    answers = registry.project is None or registry.is_up()
    wanted = {}
    for name, spec in specs.items():
        repository, tree = registry.repository(stack_name, name), tree_hash(stack_folder, spec)
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
    environ: Mapping[str, str] = os.environ,
) -> dict[str, BuiltImage]:
    """Build and push whatever the registry does not have yet, two at a time; return every image by name.

    The registry must answer (`Registry.ensure_running`). `host` is the machine that builds. Progress goes to
    `step`. Raises InvalidInput before anything is built if a context or a build secret is missing, and
    BuildFailed if an image cannot be built or pushed; the others are then finished or not begun.
    """
    wanted = survey(stack_folder, stack_name, specs, registry=registry)
    to_do = [image for image in wanted.values() if no_cache or image.digest is None]
    check_secrets({image.name: specs[image.name] for image in to_do}, stack_folder, environ)
    commit = revision(stack_folder, host) if to_do else None

    def make(image: WantedImage) -> BuiltImage:
        built = no_cache or not _engine_has(image, registry)
        if built:
            labels = {TREE: image.tree} | ({REVISION: commit} if commit else {})
            build(
                image.name,
                specs[image.name],
                stack_folder=stack_folder,
                tag=image.local,
                labels=labels,
                host=host,
                step=step,
                environ=environ,
                no_cache=no_cache,
            )
        return _built(image, _push(image, registry, step), built=built, pushed=True)

    kept = {image.name: _built(image, image.digest) for image in wanted.values() if image.digest}
    made = {image.name: image for image in _two_at_a_time(make, to_do)}
    return {name: made.get(name) or kept[name] for name in specs}


def _two_at_a_time(make: Callable[[WantedImage], BuiltImage], images: Iterable[WantedImage]) -> list[BuiltImage]:
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


def _push(image: WantedImage, registry: Registry, step: Step) -> str:
    with step.progress(f"push {image.name}", total=None, unit="bytes") as bar:
        return registry.push(image.repository, image.tag, moved=bar.update)


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
