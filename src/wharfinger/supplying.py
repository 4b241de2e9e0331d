"""Stock images for a server: from the hub where this machine has the hub's own, else from this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from wharfinger import assets, stock_images
from wharfinger.engine import Engine
from wharfinger.errors import BuildFailed
from wharfinger.hosts import Host
from wharfinger.registry import Registry, embedded
from wharfinger.stock_images import Origin

_TIMEOUT = 60.0


def supply(
    names: Iterable[str], here: Host, host: Host, engine: Engine, *, port: int, note: Callable[[str], None]
) -> tuple[str, ...]:
    """Make a server's engine hold images that this machine's engine holds; return those that it lacked.

    What the hub does not give it gets from the registry on `port` of this machine. Raises BuildFailed, NotReady.
    """
    there = stock_images.origins(host, names)
    missing = tuple(name for name, origin in there.items() if origin is Origin.MISSING)
    ours = stock_images.origins(here, missing)
    for name in missing:
        note(name)
        if ours[name] is not Origin.OFFICIAL or not _pulled(name, engine):
            _handed_over(name, here, host, engine, embedded(port=port))
    return missing


def _pulled(name: str, engine: Engine) -> bool:
    try:
        engine.pull(name, moved=lambda *_: None)
    except BuildFailed:  # no way from there to the hub
        return False
    return True


def _handed_over(name: str, here: Host, host: Host, engine: Engine, registry: Registry) -> None:
    title, _, tag = name.partition(":")
    repository = registry.repository("stock", title)
    registry.ensure_running(here, assets.folder("compose"))
    here.run(("docker", "tag", name, f"{repository}:{tag}"), timeout=_TIMEOUT)
    try:
        digest = registry.push(repository, tag, moved=lambda *_: None)
    finally:
        here.run(("docker", "image", "rm", f"{repository}:{tag}"), timeout=_TIMEOUT, check=False)
    reference = f"{repository}@{digest}"
    with host.lend(int(registry.host.rpartition(":")[2])):
        engine.pull(reference, moved=lambda *_: None)
    host.run(("docker", "tag", reference, name), timeout=_TIMEOUT)
