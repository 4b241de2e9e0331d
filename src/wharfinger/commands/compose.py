"""Argument lists for `docker compose`; nothing here runs them.

Every one names its project: the folder that a file lies in must never decide which containers are meant. None
pulls or builds: images are there, by digest, before a tier starts. None waits either: `up --wait` fails when
a finished one-off is in the project (docker/compose#10596), and the engine's events say more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Argv = tuple[str, ...]


def words(project: str) -> Argv:
    """Return words by which the processes of our commands to a project are known, and nobody else's."""
    return _compose(project)[2:]


def config(file: str) -> Argv:
    """Check a file as Compose itself reads it, and print nothing."""
    return ("docker", "compose", "--file", file, "config", "--quiet")


def up(
    project: str,
    file: str,
    *,
    services: Iterable[str] = (),
    recreate: bool = True,
    scale: Mapping[str, int] | None = None,
) -> Argv:
    """Start a project, or some of its services; what runs is replaced if it changed and `recreate` is set.

    `scale` says how many containers a service is to have, whatever the file says.
    """
    kept = () if recreate else ("--no-recreate",)
    counts = [word for name, count in (scale or {}).items() for word in ("--scale", f"{name}={count}")]
    return (*_compose(project, file), "up", "--detach", "--no-build", "--pull", "never", *kept, *counts, *services)


def watch(project: str, *files: str) -> Argv:
    """Rebuild services of a running project as their source changes, for as long as it runs."""
    first, *others = files
    added = [word for file in others for word in ("--file", file)]
    return (*_compose(project, first), *added, "watch", "--no-up")


def run_once(project: str, file: str, service: str) -> Argv:
    """Run a service's command to its end in a container of its own, which goes away with it.

    The container is called PROJECT-SERVICE, so that a second one cannot run beside it, and that one left by a
    killed run can be found.
    """
    name = once_name(project, service)
    return (*_compose(project, file), "run", "--rm", "--no-deps", "--no-TTY", "--name", name, service)


def once_name(project: str, service: str) -> str:
    """Return the name of the container that `run_once` makes."""
    return f"{project}-{service}"


def stop(project: str, file: str, *, services: Iterable[str] = (), stop_within: int | None = None) -> Argv:
    """Stop a project's containers, or some services', and keep them."""
    return (*_compose(project, file), "stop", *_timeout(stop_within), *services)


def down(project: str, *, stop_within: int | None = None, volumes: bool = False) -> Argv:
    """Stop and remove a project's containers and its own networks, whatever has become of its files.

    `stop_within` seconds (absent: each service's stop_grace_period) pass between the signal and the kill.
    Named volumes stay unless `volumes`; networks and volumes of other projects stay in any case.
    """
    gone = ("--volumes",) if volumes else ()
    return (*_compose(project), "down", "--remove-orphans", *_timeout(stop_within), *gone)


def ps(project: str) -> Argv:
    """List a project's containers, stopped ones too, as one JSON document a line."""
    return (*_compose(project), "ps", "--all", "--no-trunc", "--format", "json")


def logs(
    project: str,
    *,
    services: Iterable[str] = (),
    lines: int | None = None,
    since: str | None = None,
    follow: bool = False,
) -> Argv:
    """Show the logs of a project's containers, each line with its container's name."""
    options = ["--no-color"]
    if lines is not None:
        options += ["--tail", str(lines)]
    if since is not None:
        options += ["--since", since]
    if follow:
        options.append("--follow")
    return ("docker", "compose", "--ansi", "never", "--project-name", project, "logs", *options, *services)


def _compose(project: str, file: str | None = None) -> Argv:
    named = () if file is None else ("--file", file)
    return ("docker", "compose", "--progress", "plain", "--project-name", project, *named)


def _timeout(seconds: int | None) -> Argv:
    return () if seconds is None else ("--timeout", str(seconds))
