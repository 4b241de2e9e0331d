"""Argument lists for OpenSSH; nothing here runs them.

Whatever says how a server is reached is the user's own ssh_config: only what a deploy must be able to rely on is set.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Argv = tuple[str, ...]

LOST_AFTER: Final = 30
"""Seconds without an answer after which a connection counts as lost; a shorter cut is only a delay."""

PERSIST: Final = 60
"""Seconds for which a connection is kept open for the next command."""

_ALIVE_EVERY: Final = 5
_CONNECT_WITHIN: Final = 10


@dataclass(frozen=True, slots=True)
class Way:
    """How a server is reached."""

    destination: str
    """`user@host`, `ssh://user@host:port` or a name of ssh_config."""
    control: str
    """The socket of the connection that all commands share."""
    config: str | None = None
    """The ssh_config to use; None: the user's and the system's."""
    trust: str = "invoke server.trust"
    """The command that shows and accepts the server's key."""


def as_user(destination: str, user: str) -> str:
    """Return the same destination, for another user."""
    scheme, _, rest = destination.rpartition("://")
    return f"{scheme}://{user}@{rest.rpartition('@')[2]}" if scheme else f"{user}@{rest.rpartition('@')[2]}"


def session(way: Way, command: Sequence[str]) -> Argv:
    """Run a command there, on the shared connection, which is made where there is none."""
    return (*_ssh(way), *_options(way), "-T", "--", way.destination, shlex.join(command))


def terminal(way: Way, command: Sequence[str], *, interactive: bool) -> Argv:
    """Run a command there for the user to see, on a terminal of its own where `interactive`."""
    return (*_ssh(way), *_options(way), "-t" if interactive else "-T", "--", way.destination, shlex.join(command))


def lead_here(way: Way, socket: str, theirs: str, *, end: bool = False) -> Argv:
    """Let a Unix socket here lead to one of the server, or `end` that."""
    return _forward(way, ("-L", f"{socket}:{theirs}"), end=end)


def lead_there(way: Way, port: int, *, end: bool = False) -> Argv:
    """Let a port of the server's loopback lead to the same port of this machine's, or `end` that."""
    return _forward(way, ("-R", f"127.0.0.1:{port}:127.0.0.1:{port}"), end=end)


def leave(way: Way) -> Argv:
    """End the shared connection."""
    return (*_ssh(way), "-o", f"ControlPath={way.control}", "-O", "exit", "--", way.destination)


def resolve(way: Way) -> Argv:
    """Print what ssh_config makes of the destination."""
    return (*_ssh(way), "-G", "--", way.destination)


def offered_key(way: Way, into: str) -> Argv:
    """Write the host key that the server offers into a file, by the way on which ssh reaches it, and log in nowhere."""
    settings = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": into,
        "GlobalKnownHostsFile": "/dev/null",
        "HashKnownHosts": "no",
        "UpdateHostKeys": "no",
        "PreferredAuthentications": "none",
        "ConnectTimeout": str(_CONNECT_WITHIN),
        "ControlPath": "none",
        "RemoteCommand": "none",
    }
    return (*_ssh(way), *_set(settings), "-T", "--", way.destination, "true")


def known_keys(name: str, file: str) -> Argv:
    """Print the keys of a server that a known_hosts file holds."""
    return ("ssh-keygen", "-F", name, "-f", file)


def forget_keys(name: str, file: str) -> Argv:
    """Remove the keys of a server from a known_hosts file."""
    return ("ssh-keygen", "-R", name, "-f", file)


def fingerprints(file: str) -> Argv:
    """Print the fingerprints of the keys in a file."""
    return ("ssh-keygen", "-l", "-f", file)


def _forward(way: Way, what: Argv, *, end: bool) -> Argv:
    verb = "cancel" if end else "forward"
    return (*_ssh(way), "-o", f"ControlPath={way.control}", "-O", verb, *what, "--", way.destination)


def _ssh(way: Way) -> Argv:
    return ("ssh", "-F", way.config) if way.config else ("ssh",)


def _options(way: Way) -> Argv:
    return _set(
        {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "ConnectTimeout": str(_CONNECT_WITHIN),
            "ServerAliveInterval": str(_ALIVE_EVERY),
            "ServerAliveCountMax": str(LOST_AFTER // _ALIVE_EVERY),
            "ControlMaster": "auto",
            "ControlPath": way.control,
            "ControlPersist": str(PERSIST),
            "StreamLocalBindUnlink": "yes",
            "RemoteCommand": "none",
        }
    )


def _set(settings: dict[str, str]) -> Argv:
    return tuple(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))
