"""Unit tests start no process and reach no network: what would, raises."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

# Where each way out of this process is found, so that it can be closed.
_WAYS_OUT: list[tuple[Any, tuple[str, ...]]] = [
    (subprocess.Popen, ("__init__",)),
    (os, ("system", "posix_spawn", "posix_spawnp", "execv", "execve", "fork", "forkpty")),
    (socket.socket, ("connect", "connect_ex", "bind", "sendto")),
    (socket, ("getaddrinfo", "gethostbyname")),
]


@pytest.fixture(autouse=True)
def _no_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every way out of this process raise, so that a unit test cannot depend on the machine."""
    for owner, names in _WAYS_OUT:
        for name in names:
            monkeypatch.setattr(owner, name, _refusal(f"{owner.__name__}.{name}"))


def _refusal(way: str) -> Callable[..., NoReturn]:
    def refuse(*_args: object, **_kwargs: object) -> NoReturn:
        raise AssertionError(f"a unit test reached for the world by {way}: use a recording host, or tests/integration")

    return refuse
