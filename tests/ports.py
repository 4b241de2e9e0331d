"""Ports that a test may take, also beside other workers of the same test session."""

from __future__ import annotations

import functools
import itertools
import os
import random
import socket
from collections.abc import Iterator
from typing import Final

_FIRST: Final = 20_000  # below those that outgoing connections take at any time (net.ipv4.ip_local_port_range)
_OF_A_WORKER: Final = 3_000
_WORKERS: Final = 4


def free_ports(count: int) -> list[int]:
    """Return TCP ports of loopback on which nothing listens, and which nobody else takes before the test does."""
    return list(itertools.islice(filter(_is_free, _candidates()), count))


@functools.cache
def _candidates() -> Iterator[int]:
    """Each worker goes through ports of its own, from anywhere in them, so that none comes twice soon."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    first = _FIRST + _OF_A_WORKER * worker
    begin = random.randrange(_OF_A_WORKER)
    return itertools.cycle((*range(first + begin, first + _OF_A_WORKER), *range(first, first + begin)))


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
