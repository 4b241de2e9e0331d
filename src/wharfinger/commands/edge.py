"""Commands to the edge: the one Nginx of a server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_CONFIGURATION: Final = "/etc/nginx/wharfinger/nginx.conf"
_OPEN: Final = ("01", "02")  # established, or about to be: linux/include/net/tcp_states.h
_LOOKS_A_SECOND: Final = 5
# Nginx lets old workers take requests for a tenth of a second beside the new ones, which may know other addresses.
_AND_AWAIT_NEW_WORKERS: Final = """\
old=$(grep -lsz '^nginx: worker process$' /proc/[0-9]*/cmdline)
"$0" "$@" || exit
turns=200
while [ -n "$old" ] && grep -qsz '^nginx: worker process$' $old; do
    [ "$turns" -gt 0 ] || { echo "the old workers still take requests" >&2; exit 1; }
    sleep 0.05
    turns=$((turns - 1))
done
"""
# In the container, since to begin a process there takes the processor longer than a hundred looks.
_AWAIT_QUIET: Final = """\
turns=$1
while
    left=$(grep -cE "$2" /proc/net/tcp)
    [ "$left" -gt 0 ] && [ "$turns" -gt 0 ]
do
    echo "$left" >&2
    sleep 0.2
    turns=$((turns - 1))
done
"""


def test(container: str) -> tuple[str, ...]:
    """Check the configuration as it lies on disk, in the Nginx that serves."""
    return ("docker", "exec", container, "nginx", "-t", "-q", "-c", _CONFIGURATION)


def reload(container: str) -> tuple[str, ...]:
    """Make the serving Nginx take up the configuration that lies on disk; fails where it has not after ten seconds.

    Once it is done no worker with the old one takes a request any more: what is asked then is answered by the new one.
    """
    told = ("nginx", "-c", _CONFIGURATION, "-s", "reload")
    return ("docker", "exec", container, "sh", "-c", _AND_AWAIT_NEW_WORKERS, *told)


def server_names(folder: str) -> tuple[str, ...]:
    """List the lines of all sites in a folder that name a host, each as PATH:LINE."""
    words = ("--recursive", "--include=*.conf", "--with-filename", "--extended-regexp")
    return ("grep", *words, r"^[[:space:]]*server_name[[:space:]]", folder)


def await_quiet(container: str, addresses: Iterable[str], *, within: float) -> tuple[str, ...]:
    """Wait until Nginx has no connection to any of the IPv4 addresses, or so many seconds have passed.

    Says on standard error, five times a second, how many there are.
    """
    words = (str(round(within * _LOOKS_A_SECOND)), open_to(addresses))
    return ("docker", "exec", container, "sh", "-c", _AWAIT_QUIET, "sh", *words)


def open_to(addresses: Iterable[str]) -> str:
    """Return the extended regular expression of lines of proc(5)'s net/tcp: open connections to IPv4 addresses."""
    wanted = "|".join(bytes(map(int, address.split(".")))[::-1].hex().upper() for address in addresses)
    return f"^ *[0-9]+: [0-9A-F:]+ ({wanted}):[0-9A-F]+ ({'|'.join(_OPEN)}) "
