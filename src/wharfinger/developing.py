"""A developer's own stack on this machine: deployed, seeded once, and rebuilt as the source changes."""

from __future__ import annotations

from typing import Final

from wharfinger.carrying_out import Consent
from wharfinger.commands import compose
from wharfinger.connecting import connect
from wharfinger.console import Console
from wharfinger.deploying import deploy
from wharfinger.errors import UsageError
from wharfinger.hosts.files import write_atomically
from wharfinger.project import Place
from wharfinger.rendering.watch import render_watch

_FILE: Final = "watch.yaml"


def up(place: Place, console: Console, *, watch: bool) -> None:
    """Build, migrate, seed new databases once and serve; print the URL.

    With `watch`, Compose rebuilds a service in its place whenever its source changes, until Ctrl-C; what the source is
    by then is deployed as a release. Raises UsageError where the environment is not this machine.
    """
    if not place.environment.is_local:
        name = place.environment_name
        raise UsageError(
            f"{name} is not on this machine, and `up` is for developing", fix=f"invoke deploy --env {name}"
        )
    if watch and not place.stack.build:
        raise UsageError(f"{place.stack.name} builds nothing that could be watched", fix="`build` in stack.yaml")
    _deploy(place, console)
    console.data(place.environment.url)
    if watch:
        _watch(place, console)
        _deploy(place, console)


def _deploy(place: Place, console: Console) -> None:
    deploy(place, console, consent=Consent(assume_yes=True), from_environ=False, no_cache=False, seeded=True)


def _watch(place: Place, console: Console) -> None:
    file = place.build_folder / _FILE
    write_atomically(file, render_watch(place.stack, place.folder).encode(), 0o644)
    with connect(place) as server:
        release = (server.host.link_target(server.layout.current) or "").rpartition("/")[2]
        project = server.layout.target.app_project(release)
        console.say("watching the source; Ctrl-C ends it and deploys what is there")
        server.host.attach(compose.watch(project, str(server.layout.release(release) / "compose.yaml"), str(file)))
