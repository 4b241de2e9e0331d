"""The guard of the unit tests holds."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    "escape",
    [
        pytest.param(lambda: subprocess.run(["true"], check=True), id="subprocess"),
        pytest.param(lambda: os.system("true"), id="shell"),
        pytest.param(lambda: socket.create_connection(("192.0.2.1", 80), timeout=0.1), id="tcp"),
        pytest.param(lambda: socket.getaddrinfo("example.com", 80), id="dns"),
        pytest.param(lambda: _connect_unix("/var/run/docker.sock"), id="docker socket"),
    ],
)
def test_a_unit_test_cannot_reach_the_world(escape: Callable[[], object]) -> None:
    with pytest.raises(AssertionError, match="reached for the world"):
        escape()


def _connect_unix(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
