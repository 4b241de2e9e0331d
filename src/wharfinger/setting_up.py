"""Setting up a server, so that an unprivileged user can deploy to it from then on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wharfinger import preparing
from wharfinger.carrying_out import Consent
from wharfinger.checking import EDGE_IMAGE
from wharfinger.commands import setup as commands
from wharfinger.commands import ssh
from wharfinger.commands.ssh import Way
from wharfinger.connecting import agent, connect, layout_of, resolved, way_of
from wharfinger.console import Console
from wharfinger.errors import NotConfirmed, StepFailed
from wharfinger.hosts import Completed
from wharfinger.hosts.host_keys import HostKeys
from wharfinger.hosts.local import LocalHost
from wharfinger.hosts.ssh_trouble import explained
from wharfinger.planning.own_nginx import plan_own_nginx
from wharfinger.planning.setup import OLDEST_ENGINE, Change, Found, already_there, firewall_hints, plan_setup
from wharfinger.project import Place
from wharfinger.supplying import supply

_LOOK_WITHIN: Final = 60.0
_CHANGE_WITHIN: Final = 900.0
_SSH_FAILED: Final = 255
_SSH_PORT: Final = 22


def set_up(place: Place, console: Console, *, login: str, consent: Consent) -> None:
    """Install what each server lacks, let the deploying user use it, and start its edge; what is there stays as it is.

    `login` is who may become root there, where that is not the user who deploys. With `plan_only` nothing is
    changed. Raises NotReady, InvalidInput and StepFailed.
    """
    if place.environment.is_local:
        console.say(f"{place.environment_name} is on this machine, which `./run deploy` sets up")
        return
    for server in place.environment.servers:
        if len(place.environment.servers) > 1:
            console.say(f"on {server}:")
        _set_up(place.on(server), console, login=login, consent=consent)


def _set_up(place: Place, console: Console, *, login: str, consent: Consent) -> None:
    way, layout, edge = way_of(place, login=login), layout_of(place), place.environment.edge
    user, folder, sites = resolved(way_of(place), "user"), str(layout.root), str(layout.sites)

    def look() -> tuple[Found, tuple[Change, ...]]:
        found = _look(way, user, folder, sites if edge.is_host else "")
        of_nginx = plan_own_nginx(found, edge.command, user=user, sites=sites) if edge.is_host else ()
        return found, (*plan_setup(found, user=user, folder=folder), *of_nginx)

    found, changes = look()
    for line in already_there(found, user=user, folder=folder):
        console.say(f"there already: {line}")
    for change in changes:
        console.say(f"to do: {change.title}")
    if consent.plan_only:
        console.say("nothing was changed")
        return
    if changes and place.must_be_confirmed and not consent.assume_yes and not console.confirm("set it up like that?"):
        raise NotConfirmed("nothing was changed", fix="--yes agrees to it beforehand")
    _carry_out(way, found, changes, console)
    if changes:  # who belongs to which group is settled when one logs in
        LocalHost().run(ssh.leave(way_of(place)), timeout=_LOOK_WITHIN, check=False)
        _refuse_left(found.name, look()[1])
    _start_edge(place, console)
    environment = place.environment
    ports = (int(resolved(way, "port") or _SSH_PORT), environment.http_port, environment.https_port)
    for line in firewall_hints(found, ports):
        console.say(f"firewall: {line}")
    console.say(f"{found.name} is ready: invoke deploy --env {place.environment_name}")


def _look(way: Way, user: str, folder: str, sites: str) -> Found:
    done = _run(way, commands.look(user, folder, sites), timeout=_LOOK_WITHIN)
    return Found(commands.read_facts(done.stdout), way.destination)


def _carry_out(way: Way, found: Found, changes: Sequence[Change], console: Console) -> None:
    become = () if found["root"] == "direct" else ("sudo", "-n")
    with console.steps([change.title for change in changes]) as steps:
        for change in changes:
            with steps.step(change.title) as shown:
                done = _run(way, (*become, *change.argv), stdin=change.stdin, timeout=_CHANGE_WITHIN)
                if done.status != 0:
                    raise StepFailed(
                        f"{found.name}: could not {change.title}",
                        details=[*done.stdout.splitlines(), *done.stderr.splitlines()][-15:],
                        fix="mend what is said there, then the same command again: what was done stays done",
                    )
                shown.conclude("done")


def _refuse_left(name: str, left: Sequence[Change]) -> None:
    """Raise StepFailed where all went well and the server still is not what it is to be."""
    if left:
        raise StepFailed(
            f"{name}: it was all done, and still there is to {left[0].title}",
            details=[f"to do: {change.title}" for change in left],
            fix=f"look there; Docker Engine {OLDEST_ENGINE} or later is needed (on Ubuntu 24.04 from `noble-updates`), "
            "and `apt-cache policy docker.io` says what its package sources have",
        )


def _start_edge(place: Place, console: Console) -> None:
    """Bring the edge up, which refuses every host name until a site is deployed; the server's own Nginx must run."""
    with connect(place) as server:
        if place.environment.edge.is_host:
            server.edge.start({})
            return
        observed = {each.name for each in server.engine.project(server.edge.project) if each.is_ready}
        if server.edge.container in observed:
            console.say("there already: the edge")
            return
        with console.steps(("send the edge's image", "start the edge")) as steps:
            preparing.ensure_stock(place, console, steps)
            with steps.step("send the edge's image") as shown:
                port = preparing.registry_port()
                supply((EDGE_IMAGE,), server.here, server.host, server.engine, port=port, note=shown.note)
            with steps.step("start the edge") as shown:
                images = preparing.tags_of(place)
                files = preparing.render_neutral(place, images, server.engine.version()).edge
                server.edge.start(files)
                shown.conclude(server.edge.project)


def _run(way: Way, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
    """Run a command by plain SSH: a server that is to be set up may have no Python."""
    done = LocalHost().run(ssh.session(way, argv), timeout=timeout, stdin=stdin, env=agent(), check=False)
    if done.status == _SSH_FAILED:
        raise explained(way, HostKeys(way), done.stderr)
    return done
