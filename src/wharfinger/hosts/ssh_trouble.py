"""Why SSH did not reach a server, found out by asking again piece by piece: ssh itself exits 255 whatever it was."""

from __future__ import annotations

import socket
from typing import Final

from wharfinger.commands.ssh import Way
from wharfinger.errors import HostKeyRefused, NotReady
from wharfinger.hosts.host_keys import HostKeys, Offered, Standing

_WITHIN: Final = 10.0


def explained(way: Way, keys: HostKeys, said: str) -> NotReady:
    """Return what is in the way, and its mend; `said` is what ssh wrote, for what nothing else explains."""
    offered = keys.offered()
    if offered.standing is Standing.UNREACHED:
        return _unreached(way, keys, said)
    if offered.standing is Standing.KNOWN:
        user = keys.resolved("user")
        return NotReady(
            f"{way.destination}: the server does not let {user} in",
            details=_last(said),
            fix=f"ssh-copy-id {way.destination}, or another user in `server`; `ssh {way.destination}` must work "
            "without a question",
        )
    return refusal(way, offered)


def refusal(way: Way, offered: Offered) -> HostKeyRefused:
    """Return the error for a key that is not the known one."""
    if offered.standing is Standing.CHANGED:
        return HostKeyRefused(
            f"{way.destination}: THE SERVER'S KEY HAS CHANGED: it was set up anew, or another machine answers for it",
            details=[f"it offers {offered.fingerprint}"],
            fix=f"ask who runs the server for its fingerprint; only if it is this one: {way.trust} --replace",
        )
    return HostKeyRefused(
        f"{way.destination}: the server's key is not known here",
        details=[f"it offers {offered.fingerprint}"],
        fix=f"compare the fingerprint with the server's own, then: {way.trust}",
    )


def _unreached(way: Way, keys: HostKeys, said: str) -> NotReady:
    host, port = keys.resolved("hostname"), keys.resolved("port")
    fix = f"correct `server` in stack.yaml, or ssh_config; `ssh {way.destination}` says more"
    if any(keys.resolved(name) not in {"", "none"} for name in ("proxyjump", "proxycommand")) or not port:
        return NotReady(f"{way.destination}: SSH does not reach the server", details=_last(said), fix=fix)
    try:
        socket.create_connection((host, int(port)), timeout=_WITHIN).close()
    except socket.gaierror:
        return NotReady(f"{way.destination}: there is no host {host}", fix=fix)
    except TimeoutError:
        return NotReady(f"{way.destination}: {host} does not answer on port {port}", fix=fix)
    except OSError as error:
        return NotReady(f"{way.destination}: {host} port {port}: {error.strerror}", fix=fix)
    return NotReady(f"{way.destination}: no SSH server on {host} port {port}", details=_last(said), fix=fix)


def _last(said: str) -> list[str]:
    return said.strip().splitlines()[-3:]
