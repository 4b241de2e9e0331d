"""Accepting the key of a server, once the user has seen it."""

from __future__ import annotations

from wharfinger.commands.ssh import Way
from wharfinger.connecting import way_of
from wharfinger.console import Console
from wharfinger.errors import NotConfirmed
from wharfinger.hosts.host_keys import HostKeys, Standing
from wharfinger.hosts.ssh_trouble import explained, refusal
from wharfinger.project import Place


def trust(place: Place, console: Console, *, replace: bool, assume_yes: bool, dry: bool) -> None:
    """Show the key that each of an environment's servers offers, and write it into known_hosts once that was agreed to.

    A key that has changed is taken only with `replace`. Raises HostKeyRefused, NotReady and NotConfirmed.
    """
    if place.environment.is_local:
        console.say(f"{place.environment_name} is on this machine: there is no key to trust")
        return
    for server in place.environment.servers:
        _trust(way_of(place.on(server)), console, replace=replace, assume_yes=assume_yes, dry=dry)


def _trust(way: Way, console: Console, *, replace: bool, assume_yes: bool, dry: bool) -> None:
    keys = HostKeys(way)
    offered = keys.offered()
    if offered.standing is Standing.UNREACHED:
        raise explained(way, keys, "")
    if offered.standing is Standing.KNOWN:
        console.say(f"{way.destination}: its key is known already: {offered.fingerprint}")
        return
    if offered.standing is Standing.CHANGED:
        if not replace:
            raise refusal(way, offered)
        console.warn(
            f"{way.destination}: another key is known for this server. Unless it was set up anew, somebody else answers"
            " in its place, and would get every secret that is sent there"
        )
    console.say(f"{way.destination} offers {offered.fingerprint}")
    if dry:
        return
    if not assume_yes and not console.confirm("is that the server's own fingerprint?"):
        raise NotConfirmed("the key was not accepted; nothing was changed", fix="ask who runs the server for it")
    console.say(f"written to {keys.accept(offered)}")
