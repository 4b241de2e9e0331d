"""The stock images that every stack stands on: the hub's official ones, or stand-ins where no hub answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Final, Literal, cast

from wharfinger import engine, stand_ins
from wharfinger.commands import images as commands
from wharfinger.errors import BuildFailed, CommandFailed, NotReady, UsageError
from wharfinger.hosts import Host
from wharfinger.stand_ins import STOCK, Progress

__all__ = [
    "CHOICE",
    "STOCK",
    "Origin",
    "Progress",
    "Source",
    "ensure",
    "hub_answers",
    "origins",
    "source_from",
]

CHOICE: Final = "WHARFINGER_IMAGES"
"""Variable that forces where stock images come from."""

Source = Literal["auto", "hub", "debian"]

_HUB_SECONDS: Final = 4
_ASK_SECONDS: Final = 30.0
_PULL_SECONDS: Final = 1800.0


class Origin(Enum):
    """What the engine holds under the name of a stock image."""

    OFFICIAL = "official"
    STAND_IN = "stand-in"
    OUTDATED = "outdated stand-in"
    MISSING = "missing"


_SERVES: Final[Mapping[Source, frozenset[Origin]]] = {
    "auto": frozenset((Origin.OFFICIAL, Origin.STAND_IN)),
    "hub": frozenset((Origin.OFFICIAL,)),
    "debian": frozenset((Origin.STAND_IN,)),
}


def source_from(environ: Mapping[str, str]) -> Source:
    """Return where images come from by the environment's word, else `auto`. Raises UsageError."""
    choice = environ.get(CHOICE) or "auto"
    if choice not in _SERVES:
        raise UsageError(f"{CHOICE} is {choice!r}", fix=f"set {CHOICE} to auto, hub or debian")
    return cast(Source, choice)


def origins(host: Host, names: Iterable[str]) -> dict[str, Origin]:
    """Return what the engine holds for each name, by one cheap question.

    Raises NotReady when no engine answers.
    """
    names = tuple(names)
    if not names:
        return {}
    answer = host.run(commands.inspect(names), timeout=_ASK_SECONDS, check=False)
    labels = commands.read_inspected(answer.stdout)
    if answer.status != 0 and not labels:
        _need_engine(host)
    return {name: _origin(name, labels.get(name)) for name in names}


def _origin(name: str, label: str | None) -> Origin:
    if label is None:
        return Origin.MISSING
    if not label:
        return Origin.OFFICIAL
    return Origin.STAND_IN if label == stand_ins.label(name) else Origin.OUTDATED


def _need_engine(host: Host) -> None:
    """Tell "no such image" from "no engine", which end alike."""
    if host.run(commands.engine_version(), timeout=_ASK_SECONDS, check=False).status != 0:
        raise NotReady(
            f"{host.name}: no Docker Engine answers",
            fix="./run installs and starts one; invoke doctor says more",
        )


def ensure(
    host: Host,
    names: Iterable[str],
    *,
    source: Source = "auto",
    rebuild: bool = False,
    say: Callable[[str], None],
    progress: Progress,
    environ: Mapping[str, str] = os.environ,
) -> tuple[str, ...]:
    """Make the engine of `host`, which is this machine, hold these images; return those that it did not.

    What is there already costs one question. `source` forces the hub or the Debian packages; `rebuild` makes
    all anew, for the security updates since. `say` hears the choice in one line. Raises NotReady where this
    machine lacks an engine, root, debootstrap or a mirror, and BuildFailed.
    """
    wanted = _wanted(host, names, source, rebuild=rebuild)
    servers = tuple(name for name in wanted if name in stand_ins.SERVERS)
    under = _wanted(host, map(stand_ins.base, servers), source, rebuild=rebuild)
    others = tuple(name for name in dict.fromkeys((*wanted, *under)) if name not in servers)
    if others and (source == "hub" or (source == "auto" and hub_answers(host, others[0]))):
        say(f"pulling {', '.join(others)} from the image hub")
        stand_ins.at_once(lambda name: _pull(host, name, progress), others)
    elif others:
        _need_stand_ins(others)
        why = "as chosen" if source == "debian" else "no image hub answers"
        say(f"{why}: building {', '.join(others)} from Debian packages")
        bases = (stand_ins.base(name) for name in others if name not in stand_ins.BASES)
        needed = _wanted(host, bases, source, rebuild=rebuild)
        every = dict.fromkeys((*needed, *others))
        stand_ins.build(host, every, cache=not rebuild, progress=progress, environ=environ)
    if servers:
        say(f"building {', '.join(servers)} from Debian packages")
        stand_ins.build(host, servers, cache=not rebuild, progress=progress, environ=environ)
    return wanted


def _wanted(host: Host, names: Iterable[str], source: Source, *, rebuild: bool) -> tuple[str, ...]:
    """Return which of these images the engine lacks, or holds from elsewhere than asked for."""
    found = origins(host, dict.fromkeys(names))

    def serves(name: str) -> frozenset[Origin]:
        return _SERVES["debian" if name in stand_ins.SERVERS else source]  # no hub has the sandbox's servers

    return tuple(name for name, origin in found.items() if rebuild or origin not in serves(name))


def _need_stand_ins(names: Iterable[str]) -> None:
    without = [name for name in names if not stand_ins.label(name)]
    if without:
        raise BuildFailed(
            f"there is no stand-in for {', '.join(without)}, and no image hub to pull from",
            fix=f"let Docker reach its hub, or use one of {', '.join(STOCK)}",
        )


def hub_answers(host: Host, name: str) -> bool:
    """Whether the engine can get an image from its hub (or a mirror of it), within a few seconds.

    The engine is asked, not the hub: its proxy, mirrors and network are what a pull will go through.
    """
    import docker
    import requests

    try:
        client = engine.client(host.docker_url(), timeout=_HUB_SECONDS)
        client.images.get_registry_data(name)
    except (NotReady, docker.errors.DockerException, requests.exceptions.RequestException):
        return False
    return True


def _pull(host: Host, name: str, progress: Progress) -> None:
    def note(line: str) -> None:
        progress(name, line.strip())

    try:
        host.run(commands.pull(), stdin=commands.pull_input(name), timeout=_PULL_SECONDS, on_line=note)
    except CommandFailed as failure:
        raise BuildFailed(
            f"{name} cannot be pulled from the image hub",
            fix=f"see whether `docker pull {name}` works; {CHOICE}=debian builds from Debian packages",
            details=failure.details,
        ) from failure
