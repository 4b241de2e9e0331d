"""Commands on this machine: their input, output, environment and end."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path, PurePosixPath
from socketserver import ThreadingUnixStreamServer

import pytest

from wharfinger.errors import CommandFailed, NotReady
from wharfinger.hosts.local import LocalHost
from wharfinger.secrets import Secret

HOST = LocalHost()
LARGE = b"x" * 5_000_000


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_command_gives_its_output_and_status() -> None:
    done = HOST.run(
        python("import sys; print('ü'); print('err', file=sys.stderr); sys.exit(3)"), timeout=30, check=False
    )

    assert (done.status, done.stdout, done.stderr) == (3, "ü\n", "err\n")


def test_a_command_that_fails_raises_with_its_own_words() -> None:
    with pytest.raises(CommandFailed) as caught:
        HOST.run(("sh", "-c", "echo no such thing >&2; exit 4"), timeout=30)

    assert (caught.value.status, caught.value.details) == (4, ("no such thing",))


def test_a_command_that_is_not_installed_is_named() -> None:
    with pytest.raises(NotReady, match="`no-such-program` is not installed"):
        HOST.run(("no-such-program",), timeout=30)


def test_no_word_goes_through_a_shell() -> None:
    words = ("$HOME", "a b", "`id`", "*", "'", '"', "\n")

    done = HOST.run((*python("import sys; print(ascii(sys.argv[1:]))"), *words), timeout=30)

    assert done.stdout.strip() == ascii(list(words))


def test_the_operators_variables_do_not_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "leak")
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "leak")

    done = HOST.run(("env",), timeout=30, env={"PUBLIC": "p", "HIDDEN": Secret("s3cret")})
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())

    assert "leak" not in done.stdout
    assert found["PATH"] == os.environ["PATH"]
    assert (found["PUBLIC"], found["HIDDEN"]) == ("p", "s3cret")


def test_standard_input_is_what_was_given_or_a_file_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(LARGE)

    assert HOST.run(("wc", "-c"), timeout=30, stdin=LARGE).stdout.strip() == "5000000"
    assert HOST.run(("wc", "-c"), timeout=30, stdin_path=PurePosixPath(tmp_path / "in")).stdout.strip() == "5000000"
    assert HOST.run(("wc", "-c"), timeout=30).stdout.strip() == "0"


def test_a_command_need_not_read_its_input_and_may_write_much() -> None:
    code = "import sys; sys.stderr.write('e' * 3_000_000); sys.stdout.write('o' * 3_000_000)"

    done = HOST.run(python(code), timeout=30, stdin=LARGE)

    assert (len(done.stdout), len(done.stderr)) == (3_000_000, 3_000_000)


def test_lines_of_standard_error_come_while_the_command_runs() -> None:
    came: list[tuple[float, str]] = []

    HOST.run(
        ("sh", "-c", "echo one >&2; sleep 0.5; echo two >&2"),
        timeout=30,
        on_line=lambda line: came.append((time.monotonic(), line)),
    )

    assert [line for _, line in came] == ["one", "two"]
    assert came[1][0] - came[0][0] > 0.3


@pytest.mark.parametrize(
    ("argv", "stdin"),
    [
        pytest.param(("sleep", "60"), b"", id="it sleeps"),
        pytest.param(("sleep", "60"), LARGE, id="it does not read its input"),
        pytest.param(("sh", "-c", "sleep 60 & wait"), b"", id="a child of it sleeps"),
        pytest.param(("sh", "-c", "sleep 60 & exit 0"), b"", id="a child holds its output"),
        pytest.param(("sh", "-c", "trap '' TERM INT; sleep 60"), b"", id="it refuses to end"),
    ],
)
def test_the_time_out_ends_a_command_with_all_that_it_started(argv: tuple[str, ...], stdin: bytes) -> None:
    before, began = sleepers(), time.monotonic()

    with pytest.raises(CommandFailed) as caught:
        HOST.run(argv, timeout=0.5, stdin=stdin)

    assert time.monotonic() - began < 10
    assert caught.value.details == ("no end after 0.5 s",)
    assert not left_since(before)


def sleepers() -> set[str]:
    """Return the pids of every `sleep 60` of this machine that has not ended."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes() == b"sleep\x0060\x00":
                found.add(entry.name)
        except OSError:
            continue
    return found


def left_since(before: set[str]) -> set[str]:
    """Return the sleepers that outlive what began after `before`; a killed one needs a moment to go."""
    deadline = time.monotonic() + 5
    while (left := sleepers() - before) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


class Answering(BaseHTTPRequestHandler):
    """Says what it was asked."""

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.send_response(502 if "refused" in self.path else 200)
        self.end_headers()
        self.wfile.write(f"{self.command} {self.path} {body}".encode())

    do_GET = do_PUT  # noqa: N815 - as it is called

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def answering(folder: Path) -> Iterator[PurePosixPath]:
    """Answer on a socket in a folder, however deep that lies; yield its path."""
    folder.mkdir(parents=True)
    opened = os.open(folder, os.O_PATH)
    server = ThreadingUnixStreamServer(f"/proc/self/fd/{opened}/control.sock", Answering)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield PurePosixPath(folder / "control.sock")
    finally:
        server.shutdown()
        server.server_close()
        os.close(opened)


@pytest.mark.parametrize(
    "folder", ["a", f"{'deep' * 30}/{'deeper' * 30}"], ids=["short", "longer than a socket's path"]
)
def test_who_listens_on_a_socket_is_asked(tmp_path: Path, folder: str) -> None:
    with answering(tmp_path / folder) as path:
        assert HOST.ask(path, "GET", "/live/x?a=1", timeout=30) == (200, "GET /live/x?a=1 ")
        assert HOST.ask(path, "PUT", "/refused", b"green", timeout=30) == (502, "PUT /refused green")

    with pytest.raises(NotReady, match=f"local: nobody answers at {path}: Connection refused"):
        HOST.ask(path, "GET", "/", timeout=30)
    Path(path).unlink()
    with pytest.raises(NotReady, match="No such file or directory"):
        HOST.ask(path, "GET", "/", timeout=30)


def test_who_listens_and_says_nothing_is_not_waited_for_longer_than_may_be(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        with pytest.raises(NotReady, match="timed out"):
            HOST.ask(PurePosixPath(tmp_path / "s"), "GET", "/", timeout=0.1)


def test_ctrl_c_ends_the_command_too() -> None:
    before = sleepers()
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        HOST.run(("sh", "-c", "sleep 60 & wait"), timeout=30)

    assert not left_since(before)


def test_output_goes_into_a_file_that_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "dump"

    size, digest = HOST.run_to_file(
        python("import sys; sys.stdout.write('x' * 5_000_000)"), PurePosixPath(path), timeout=30
    )

    assert (size, digest) == (len(LARGE), hashlib.sha256(LARGE).hexdigest())
    assert path.read_bytes() == LARGE
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["dump"]


@pytest.mark.parametrize(
    ("script", "timeout", "detail"),
    [
        ("echo half; echo broken >&2; exit 1", 30, "broken"),
        ("echo half; sleep 60", 0.5, "no end after 0.5 s"),
        ("echo half; sleep 60 & exit 0", 0.5, "no end after 0.5 s"),
    ],
)
def test_output_that_is_not_complete_leaves_no_file(tmp_path: Path, script: str, timeout: float, detail: str) -> None:
    (tmp_path / "dump").write_bytes(b"the one before")
    before = sleepers()

    with pytest.raises(CommandFailed) as caught:
        HOST.run_to_file(("sh", "-c", script), PurePosixPath(tmp_path / "dump"), timeout=timeout)

    assert caught.value.details == (detail,)
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("dump", b"the one before")]
    assert not left_since(before)
