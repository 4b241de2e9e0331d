"""The container's health check: right, and light enough to be run for ever."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

import pytest

from tests.conftest import ROOT, free_port


def check(port: int) -> int:
    return subprocess.run(
        (sys.executable, "-m", "sevra_atlas", "check-health", str(port)), cwd=ROOT, timeout=10, check=False
    ).returncode


@pytest.mark.parametrize(("status", "code"), [(b"200 OK", 0), (b"503 Service Unavailable", 1), (b"", 1)])
def test_the_exit_code_is_what_health_says(status: bytes, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n" if status else b"")

        answering = threading.Thread(target=answer)
        answering.start()
        assert check(server.getsockname()[1]) == code
        answering.join()


def test_nobody_listening_is_unhealthy() -> None:
    assert check(free_port()) == 1


def test_it_imports_next_to_nothing() -> None:
    program = (
        "import sys; from sevra_atlas.__main__ import main; main(['check-health', '1'])\n"
        "print(sorted({'asyncio', 'http.client', 'starlette', 'asyncpg', 'redis', 'logging'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        (sys.executable, "-c", program), cwd=ROOT, capture_output=True, text=True, timeout=10, check=True
    )
    assert ended.stdout.strip() == "[]"
