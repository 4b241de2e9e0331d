"""Making files and images on this machine: render, build, push, and the stock images."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from wharfinger import preparing, stock_images
from wharfinger.checking import differing, write_and_check
from wharfinger.connecting import at_once, connect_all, layout_of
from wharfinger.console import Console
from wharfinger.errors import NotReady, WharfingerError
from wharfinger.hosts.local import LocalHost
from wharfinger.project import Place
from wharfinger.rendering.release import preview
from wharfinger.stand_ins import TRIAL

_NEWEST_ENGINE = (99, 0)


def render(place: Place, console: Console, *, check: bool, diff: bool) -> None:
    """Write what an environment's files would be to build/STACK/ENV/, proved by the real Compose and Nginx.

    With `check` or `diff` nothing is written; `check` raises WharfingerError when the files there differ.
    """
    rendered = preparing.render_neutral(place, preparing.tags_of(place), _engine_version(place))
    files, folder = preview(rendered, layout_of(place)), place.build_folder
    changed = differing(files, folder)
    where = folder.relative_to(place.project)
    if diff:
        for name in changed:
            console.data(_diff(folder / name, files.get(name, b""), f"{where}/{name}"))
    if check and changed:
        raise WharfingerError(
            f"{where} differs from what the stack file says: {', '.join(changed)}",
            fix=f"invoke render --env {place.environment_name}",
        )
    if not check and not diff:
        with console.steps(()) as steps:
            preparing.ensure_stock(place, console, steps)
        write_and_check(files, folder)
        console.say(f"{where}: {', '.join(changed) or 'unchanged'}")


def _engine_version(place: Place) -> tuple[int, int]:
    """Return the version of the oldest engine that would run the files; the newest where one does not answer."""
    try:
        with connect_all(place) as servers:
            return min(at_once(lambda server: server.engine.version(), servers))
    except NotReady:
        return _NEWEST_ENGINE


def _diff(path: Path, wanted: bytes, name: str) -> str:
    held = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return "\n".join(difflib.unified_diff(held, wanted.decode().splitlines(), f"{name} (in build/)", name, lineterm=""))


def build(place: Place, console: Console, *, no_cache: bool, dry: bool, as_json: bool) -> None:
    """Build the images whose content is neither in the engine nor in the registry; print each by its content."""
    if dry:
        images = preparing.images_known(place)
    else:
        with console.steps(("build",)) as steps:
            preparing.ensure_stock(place, console, steps)
            with steps.step("build") as shown:
                images = preparing.images_built(place, shown, no_cache=no_cache)
    _print_images(images, console, as_json=as_json)


def push(place: Place, console: Console, *, dry: bool, as_json: bool) -> None:
    """Push the images that the registry lacks, building those that are not built; print each by digest."""
    if dry:
        images = preparing.images_known(place)
    else:
        with console.steps(("build and push",)) as steps:
            preparing.ensure_stock(place, console, steps)
            with steps.step("build and push") as shown:
                images = preparing.images_pushed(place, shown)
    _print_images(images, console, as_json=as_json)


def _print_images(images: dict[str, str], console: Console, *, as_json: bool) -> None:
    if as_json:
        console.json(images)
    else:
        console.table(("image", "reference"), list(images.items()))


def stock(console: Console, *, source: str, rebuild: bool, trial: bool, dry: bool) -> None:
    """Make the engine hold every stock image, from the hub or as stand-ins; `trial` adds those of the sandbox."""
    chosen = stock_images.source_from({stock_images.CHOICE: source} if source else os.environ)
    if dry:
        list_stock(console, as_json=False)
        return
    with console.steps(("stock images",)) as steps, steps.step("stock images") as shown:
        made = stock_images.ensure(
            LocalHost(),
            (*stock_images.STOCK, *(TRIAL if trial else ())),
            source=chosen,
            rebuild=rebuild,
            say=console.say,
            progress=lambda name, line: shown.note(f"{name}: {line}"),
        )
        shown.conclude(", ".join(made) or "all there")


def list_stock(console: Console, *, as_json: bool) -> None:
    """List the stock images and what the engine holds under their names."""
    origins = stock_images.origins(LocalHost(), stock_images.STOCK)
    if as_json:
        console.json({name: origin.value for name, origin in origins.items()})
    else:
        console.table(("image", "in the engine"), [(name, origin.value) for name, origin in origins.items()])
