"""Stock images for a server: pulled there where it reaches a hub, else this machine's, by content."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from wharfinger import stock_images
from wharfinger.commands import images as commands
from wharfinger.engine import Engine
from wharfinger.hosts import Host
from wharfinger.registry import Registry
from wharfinger.stock_images import Origin, Progress

_FOLDER: Final = "stock"
_QUICK: Final = 60.0


def ensure_there(
    there: Host,
    names: Iterable[str],
    *,
    here: Host,
    registry: Registry,
    compose_folder: Path,
    say: Callable[[str], None],
    progress: Progress,
) -> tuple[str, ...]:
    """Make a server's engine hold these images; return those that it did not.

    What is there already costs one question. `registry` is the embedded one: through it only layers travel that the
    server lacks, over the connection that leads to it. Raises NotReady and BuildFailed.
    """
    found = stock_images.origins(there, dict.fromkeys(names))
    wanted = tuple(name for name, origin in found.items() if origin is Origin.MISSING)
    if not wanted:
        return ()
    if stock_images.hub_answers(there, wanted[0]):
        say(f"{there.name}: pulling {', '.join(wanted)} from the image hub")
        for name in wanted:
            stock_images.pull(there, name, progress)
        return wanted
    stock_images.ensure(here, wanted, say=say, progress=progress)
    say(f"{there.name}: no image hub answers there: sending {', '.join(wanted)}")
    registry.ensure_running(here, compose_folder)
    engine = Engine(there.docker_url, host=there.name)
    try:
        with there.lend(int(registry.host.rpartition(":")[2])):
            for name in wanted:
                _send(name, here, there, engine, registry, progress)
    finally:
        engine.close()
    return wanted


def _send(name: str, here: Host, there: Host, engine: Engine, registry: Registry, progress: Progress) -> None:
    label, _, tag = name.partition(":")
    repository = registry.repository(_FOLDER, label.replace("/", "-"))

    def moved(done: int, total: int) -> None:
        progress(name, f"{done >> 20} of {total >> 20} MB")

    here.run(commands.call(name, f"{repository}:{tag}"), timeout=_QUICK)
    try:
        digest = registry.push(repository, tag, moved=moved)
    finally:
        here.run(commands.forget(f"{repository}:{tag}"), timeout=_QUICK, check=False)
    reference = f"{repository}@{digest}"
    engine.pull(reference, moved=moved)
    there.run(commands.call(reference, name), timeout=_QUICK)
    there.run(commands.forget(reference), timeout=_QUICK, check=False)
