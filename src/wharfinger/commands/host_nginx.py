"""Commands to the server's own Nginx, which runs without us."""

from __future__ import annotations

from collections.abc import Iterable

from wharfinger.model.release import Live

_ESTABLISHED = ("01", "02")  # established, or about to be: linux/include/net/tcp_states.h
_LOOPBACK = "0100007F"


def dump(nginx: tuple[str, ...]) -> tuple[str, ...]:
    """Check the configuration as it lies on disk, and print every file of it."""
    return (*nginx, "-T", "-q")


def reload(nginx: tuple[str, ...]) -> tuple[str, ...]:
    """Make the serving Nginx take up the configuration that lies on disk."""
    return (*nginx, "-s", "reload")


def read_live(address: str, site: str) -> tuple[str, ...]:
    """Ask which slot and release a site's traffic goes to."""
    return (*_ask(address, site, "/live"), "--fail")


def probe(address: str, site: str, slot: str, service: str, path: str) -> tuple[str, ...]:
    """Ask a service in a slot through Nginx, whether the slot is live or not; prints the status of the answer."""
    asked = _ask(address, site, f"/probe/{slot}/{service}{path}")
    return (*asked, "--output", "/dev/null", "--write-out", "%{http_code}")


def show_certificate(address: str, domain: str) -> tuple[str, ...]:
    """Print the certificate, as PEM among other lines, that is shown at an address to who asks for a domain."""
    return ("openssl", "s_client", "-connect", address, "-servername", domain)


def _ask(address: str, site: str, path: str) -> tuple[str, ...]:
    return (
        *("curl", "--silent", "--show-error", "--max-time", "5", "--noproxy", "*"),
        *("--header", f"Host: {site}.wharfinger.invalid", f"http://{address}{path}"),
    )


def open_to(table: str, ports: Iterable[int]) -> int:
    """Return how many connections in proc(5)'s net/tcp lead to any of these ports of loopback."""
    wanted = {f"{_LOOPBACK}:{port:04X}" for port in ports}
    fields = (line.split() for line in table.splitlines()[1:])
    return sum(line[2] in wanted and line[3] in _ESTABLISHED for line in fields)


def says(answer: str, live: Live) -> bool:
    """Whether an answer to `read_live` is this one."""
    return answer.strip() == str(live)
