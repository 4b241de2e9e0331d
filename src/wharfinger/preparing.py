"""What comes before any server is touched: values, stock images, rendered and checked files, built images."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from wharfinger import assets, builds, env_files, stock_images
from wharfinger.checking import EDGE_IMAGE, write_and_check
from wharfinger.connecting import layout_of
from wharfinger.console import Console, StepList
from wharfinger.console import Step as Shown
from wharfinger.hosts.local import LocalHost
from wharfinger.model.stack import Postgres, Redis
from wharfinger.project import Place
from wharfinger.registry import EMBEDDED_PORT, EMBEDDED_PORT_VARIABLE, Registry, embedded
from wharfinger.rendering.release import NO_RELEASE, Rendered, preview, render
from wharfinger.rendering.renewal import CERTBOT_IMAGE
from wharfinger.settings import Settings

_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", re.IGNORECASE | re.MULTILINE)


def values_of(place: Place, console: Console, *, from_environ: bool) -> Settings:
    """Return the environment's values, held against the contract.

    On this machine, the sandbox's servers included, a first deploy begins the file itself where the contract can fill
    it. Raises InvalidInput.
    """
    here = place.environment.is_local or place.is_in_sandbox
    if here and not from_environ and not place.env_file.exists():
        env_files.generate(place, console)
    return env_files.load(place, os.environ, from_environ=from_environ)


def ensure_stock(place: Place, console: Console, steps: StepList, *, building: bool = True) -> None:
    """Make the engine hold the stock images that a stack stands on, and, where it is built, those it is built from."""
    host, wanted = LocalHost(), tuple(stock_of(place, building=building))
    origins = stock_images.origins(host, wanted)
    wanting = {stock_images.Origin.MISSING, stock_images.Origin.OUTDATED} & set(origins.values())
    if not wanting and not os.environ.get(stock_images.CHOICE):
        return
    with steps.step("stock images") as shown:
        source = stock_images.source_from(os.environ)
        stock_images.ensure(host, wanted, source=source, say=console.say, progress=_note_in(shown))


def stock_of_server(place: Place) -> tuple[str, ...]:
    """Return the stock images that the edge and the data tier run; of this machine's own server it needs none."""
    return () if place.environment.is_local else tuple(dict.fromkeys(_stock_run(place)))


def registry_port() -> int:
    """Return where the embedded registry listens."""
    return int(os.environ.get(EMBEDDED_PORT_VARIABLE) or EMBEDDED_PORT)


def stock_of(place: Place, *, building: bool = True) -> Iterator[str]:
    """Yield the images that a stack takes from a hub or a stand-in, each once or more."""
    stack = place.stack
    if stack.site is not None:
        yield EDGE_IMAGE  # which also reads the sites of the server's own Nginx before that does
    yield from _stock_run(place)
    if stack.build and stack.registry is None:
        yield "registry:2"
    for spec in stack.build.values() if building else ():
        dockerfile = place.folder / spec.context / spec.dockerfile
        text = dockerfile.read_text(encoding="utf-8", errors="replace") if dockerfile.is_file() else ""
        yield from (image for image in _FROM.findall(text) if image in stock_images.STOCK)


def _stock_run(place: Place) -> Iterator[str]:
    stack, environment = place.stack, place.environment
    if stack.site is not None and not environment.edge.is_host:
        yield EDGE_IMAGE
    if any(wish.tls.acme is not None for wish in stack.certificates(place.environment_name)):
        yield CERTBOT_IMAGE
    for service in stack.data.values():
        if isinstance(service, (Postgres, Redis)):
            yield f"{service.engine}:{service.version}"


def render_neutral(place: Place, images: Mapping[str, str], engine_version: tuple[int, int]) -> Rendered:
    """Render an environment without a release's identity, for looking and comparing."""
    return render(
        place.stack,
        place.environment_name,
        release=NO_RELEASE,
        images=images,
        layout=layout_of(place),
        engine_version=engine_version,
        project=place.project,
    )


def check(place: Place, images: Mapping[str, str], engine_version: tuple[int, int]) -> None:
    """Render an environment into build/ and let the real Compose and Nginx read it; raises InvalidInput."""
    rendered = render_neutral(place, images, engine_version)
    write_and_check(preview(rendered, layout_of(place)), place.build_folder)


def registry_of(place: Place) -> Registry:
    """Return where a stack's images are kept: the registry that it names, or the embedded one."""
    if place.stack.registry is not None:
        return Registry(place.stack.registry)
    return embedded(port=registry_port())


def ignored_by(place: Place) -> builds.Ignored:
    """Return the files whose change is no reason to deploy; raises InvalidInput."""
    return builds.Ignored.read(place.stack.deploy.ignore)


def tags_of(place: Place) -> dict[str, str]:
    """Return each image that a stack builds as REPOSITORY:TAG, by content; raises InvalidInput."""
    builds.refuse_env_files(place.folder, place.stack.build)
    registry, stack, ignored = registry_of(place), place.stack, ignored_by(place)
    return {
        name: f"{registry.repository(stack.name, name)}:{builds.tag_of(place.folder, spec, ignored)}"
        for name, spec in stack.build.items()
    }


def images_built(place: Place, shown: Shown, *, no_cache: bool) -> dict[str, str]:
    """Build what has changed, into this machine's engine; return each image as REPOSITORY:TAG."""
    stack, registry = place.stack, registry_of(place)
    return builds.build_only(
        place.folder,
        stack.name,
        stack.build,
        registry=registry,
        host=LocalHost(),
        step=shown,
        no_cache=no_cache,
        ignored=ignored_by(place),
    )


def images_pushed(place: Place, shown: Shown, *, no_cache: bool = False) -> dict[str, str]:
    """Build and push what the registry lacks; return each image as REPOSITORY@DIGEST."""
    stack, registry, host = place.stack, registry_of(place), LocalHost()
    if not stack.build:
        return {}
    registry.ensure_running(host, assets.folder("compose"))
    done = builds.ensure(
        place.folder,
        stack.name,
        stack.build,
        registry=registry,
        host=host,
        step=shown,
        no_cache=no_cache,
        ignored=ignored_by(place),
    )
    fresh = [name for name, image in done.items() if image.built or image.pushed]
    shown.conclude(", ".join(fresh) or "unchanged")
    return {name: image.reference for name, image in done.items()}


def images_known(place: Place) -> dict[str, str]:
    """Return each image by digest where the registry has it, and by tag where it is yet to be built; builds none."""
    found = builds.survey(
        place.folder, place.stack.name, place.stack.build, registry=registry_of(place), ignored=ignored_by(place)
    )
    return {
        name: f"{image.repository}@{image.digest}" if image.digest else f"{image.repository}:{image.tag}"
        for name, image in found.items()
    }


def _note_in(shown: Shown) -> stock_images.Progress:
    return lambda name, line: shown.note(f"{name}: {line}")
