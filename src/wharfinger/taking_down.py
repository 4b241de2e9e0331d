"""Stopping everything of an environment."""

from __future__ import annotations

from collections.abc import Iterator

from wharfinger.carrying_out import locks
from wharfinger.connecting import Server, connect_all
from wharfinger.console import Console
from wharfinger.errors import NotConfirmed
from wharfinger.facts import observe
from wharfinger.model.values import seconds
from wharfinger.project import Place

_TIMEOUT = 180.0


def take_down(place: Place, console: Console, *, volumes: bool, assume_yes: bool, dry: bool) -> None:
    """Stop the app tier, the data tier and the site; with `volumes` remove the data too, after asking by name.

    Backups always stay. Raises NotConfirmed where the removal of data was not agreed to.
    """
    with connect_all(place) as servers:
        if volumes:
            doomed = [line for server in servers for line in _doomed(server, named=len(servers) > 1)]
            console.say("this removes for good: " + (", ".join(doomed) or "no data, there is none"))
        if dry:
            return
        project = place.target.name
        if volumes and not assume_yes and not console.confirm(f"remove the data of {project}?"):
            raise NotConfirmed("the data was not removed; nothing was changed", fix="--yes agrees beforehand")
        with locks(servers):
            for server in servers:
                _stop(place, server, console, volumes=volumes)


def _doomed(server: Server, *, named: bool) -> Iterator[str]:
    """Yield what holds the data of the environment on a server."""
    folders = (str(server.layout.shared / name) for name in server.place.stack.volumes)
    for what in (*server.engine.volumes(server.layout.target.name), *folders):
        yield f"{what} on {server.host.name}" if named else what


def _stop(place: Place, server: Server, console: Console, *, volumes: bool) -> None:
    host, layout = server.host, server.layout
    observed = observe(host, server.engine, server.edge, layout, (layout.site,))
    runtime = server.world(place.stack).runtime
    with console.steps(()) as steps:
        if volumes and observed.edge_is_ready and observed.maintenance is not None:
            server.edge.open()
        if observed.edge_is_ready and observed.files[layout.site] is not None:
            with steps.step("take the site down"):
                server.edge.restore_site(None, None)
        for release in observed.tiers:
            with steps.step(f"stop {release}"):
                runtime.stop_app(release, drain=seconds(place.stack.deploy.drain))
        with steps.step("stop the data tier"):
            runtime.stop_data()
        if observed.edge and not server.edge.has_sites():
            with steps.step("stop the edge, which has no site left"):
                server.edge.stop()
        if volumes:
            with steps.step("remove the data"):
                for name in server.engine.volumes(place.target.name):
                    host.run(("docker", "volume", "rm", "--force", name), timeout=_TIMEOUT)
                for name in ("shared", "data", "releases", "current"):
                    host.remove(layout.home / name)
