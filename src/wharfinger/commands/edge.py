"""Commands to the edge: the one Nginx of a server."""

from __future__ import annotations

from typing import Final

from wharfinger.model.release import Live

_CONFIGURATION: Final = "/etc/nginx/wharfinger/nginx.conf"
_ASK: Final = ("curl", "--silent", "--show-error", "--unix-socket", "/run/wharfinger/control.sock")
_CONTROL: Final = (*_ASK, "--fail")


def test(container: str) -> tuple[str, ...]:
    """Check the configuration as it lies on disk, in the Nginx that serves."""
    return ("docker", "exec", container, "nginx", "-t", "-q", "-c", _CONFIGURATION)


def reload(container: str) -> tuple[str, ...]:
    """Make the serving Nginx take up the configuration that lies on disk."""
    return ("docker", "exec", container, "nginx", "-c", _CONFIGURATION, "-s", "reload")


def read_live(container: str, site: str) -> tuple[str, ...]:
    """Ask which slot and release a site's traffic goes to."""
    return ("docker", "exec", container, *_CONTROL, f"http://edge/live/{site}")


def set_live(container: str, site: str, live: Live) -> tuple[str, ...]:
    """Send a site's traffic to another slot, from the next request on."""
    return (
        *("docker", "exec", container, *_CONTROL),
        *("--request", "PUT", "--data", str(live), f"http://edge/live/{site}"),
    )


def probe(container: str, site: str, slot: str, service: str, path: str) -> tuple[str, ...]:
    """Ask a service in a slot through Nginx, whether the slot is live or not; prints the status of the answer."""
    return (
        *("docker", "exec", container, *_ASK, "--output", "/dev/null", "--write-out", "%{http_code}"),
        *("--max-time", "5"),
        f"http://edge/probe/{site}/{slot}/{service}{path}",
    )
