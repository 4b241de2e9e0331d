"""Commands to the edge: the one Nginx of a server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from wharfinger.model.release import Live

_CONFIGURATION: Final = "/etc/nginx/wharfinger/nginx.conf"
_ASK: Final = ("curl", "--silent", "--show-error", "--unix-socket", "/run/wharfinger/control.sock")
_CONTROL: Final = (*_ASK, "--fail")
_SWITCHED_WITHIN: Final = 25
_OPEN: Final = ("01", "02")  # established, or about to be: linux/include/net/tcp_states.h


def test(container: str) -> tuple[str, ...]:
    """Check the configuration as it lies on disk, in the Nginx that serves."""
    return ("docker", "exec", container, "nginx", "-t", "-q", "-c", _CONFIGURATION)


def reload(container: str) -> tuple[str, ...]:
    """Make the serving Nginx take up the configuration that lies on disk."""
    return ("docker", "exec", container, "nginx", "-c", _CONFIGURATION, "-s", "reload")


def read_live(container: str, site: str) -> tuple[str, ...]:
    """Ask which slot and release a site's traffic goes to."""
    return ("docker", "exec", container, *_CONTROL, f"http://edge/live/{site}")


def set_live(container: str, site: str, live: Live, probes: Iterable[tuple[str, str]] = ()) -> tuple[str, ...]:
    """Send a site's traffic to another slot from the next request on, once Nginx reaches the services probed there.

    `probes` are services and paths. Prints what is wrong, and exits with 22, where one is not reached.
    """
    asked = "&".join(f"probe={service}{path}" for service, path in probes)
    return (
        *("docker", "exec", container, *_ASK, "--fail-with-body", "--max-time", str(_SWITCHED_WITHIN)),
        *("--request", "PUT", "--data", str(live), f"http://edge/live/{site}{asked and '?'}{asked}"),
    )


def set_maintenance(container: str, site: str) -> tuple[str, ...]:
    """Put a site under maintenance, or end it, from the next request on; what to say comes from standard input."""
    return (
        *("docker", "exec", "--interactive", container, *_CONTROL),
        *("--request", "PUT", "--data", "@-", f"http://edge/maintenance/{site}"),
    )


def connections(container: str) -> tuple[str, ...]:
    """List the TCP connections of the edge, as proc(5)'s net/tcp."""
    return ("docker", "exec", container, "cat", "/proc/net/tcp")


def open_to(table: str, addresses: Iterable[str]) -> int:
    """Return how many connections in a `connections` table lead to any of the IPv4 addresses."""
    wanted = {bytes(map(int, address.split(".")))[::-1].hex().upper() for address in addresses}
    fields = (line.split() for line in table.splitlines()[1:])
    return sum(line[2].partition(":")[0] in wanted and line[3] in _OPEN for line in fields)
