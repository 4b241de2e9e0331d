"""A host at the other end of two pipes, without SSH between: a Python of its own that is given our modules."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path, PurePosixPath

import pytest
from tests.integration.test_local_host import answering

from wharfinger.errors import CommandFailed, ConnectionLost, NotReady, WharfingerError
from wharfinger.hosts import File, shipping
from wharfinger.hosts.connection import Connection, NotServing, Traffic
from wharfinger.hosts.local import LocalHost
from wharfinger.hosts.remote import RemoteHost
from wharfinger.secrets import Secret

TIMEOUT = 30.0


def dial(traffic: Traffic) -> Connection:
    traffic.sessions += 1
    process = subprocess.Popen(
        shipping.PYTHON, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"]}, cwd="/"
    )
    return Connection(process, name="vps1", traffic=traffic)


@pytest.fixture
def host() -> Iterator[RemoteHost]:
    made = RemoteHost("vps1", dial)
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> PurePosixPath:
    return PurePosixPath(tmp_path)


def test_a_command_runs_with_what_it_is_given_and_no_more(host: RemoteHost) -> None:
    heard: list[str] = []
    script = "cat; printf '%s' \"$TOKEN\"; echo one >&2; echo two >&2; exit 3"

    done = host.run(
        ("sh", "-c", script),
        timeout=TIMEOUT,
        stdin=b"in:",
        env={"TOKEN": Secret("hunter2")},
        check=False,
        on_line=heard.append,
    )

    assert (done.status, done.stdout, done.stderr) == (3, "in:hunter2", "one\ntwo\n")
    assert heard == ["one", "two"]


def test_failures_are_what_they_are_on_this_machine(host: RemoteHost, folder: PurePosixPath) -> None:
    with pytest.raises(CommandFailed, match=r"vps1: `false` exited 1"):
        host.run(("false",), timeout=TIMEOUT)
    with pytest.raises(CommandFailed) as caught:
        host.run(("sleep", "60"), timeout=0.2)
    assert caught.value.details == ("no end after 0.2 s",)
    with pytest.raises(NotReady, match="vps1: `no-such-program` is not installed"):
        host.run(("no-such-program",), timeout=TIMEOUT)
    with pytest.raises(FileNotFoundError):
        host.run(("cat",), timeout=TIMEOUT, stdin_path=folder / "none")


def test_a_socket_there_is_asked_or_nobody_answers(host: RemoteHost, folder: PurePosixPath) -> None:
    with answering(Path(folder) / "there") as path:
        assert host.ask(path, "GET", "/live", timeout=TIMEOUT) == (200, "GET /live ")
        assert host.ask(path, "PUT", "/refused", b"green", timeout=TIMEOUT) == (502, "PUT /refused green")
    with pytest.raises(NotReady, match=f"vps1: nobody answers at {path}: Connection refused"):
        host.ask(path, "GET", "/live", timeout=TIMEOUT)


def test_files_are_written_and_read(host: RemoteHost, folder: PurePosixPath) -> None:
    a, b = folder / "r" / "1" / "release.json", folder / "r" / "2" / "release.json"

    host.write({a: File(b"\x00one", 0o600), b: File(b"two")})

    assert host.read_all((a, folder / "none")) == {a: b"\x00one", folder / "none": None}
    assert host.read_in(folder / "r", "release.json") == {"1": b"\x00one", "2": b"two"}
    assert host.read_in(folder / "r", "release.json", last=1) == {"2": b"two"}
    assert host.read_in(folder / "r", "release.json", unless=(b"tw",)) == {"1": b"\x00one"}
    assert host.read_in(folder / "nowhere") == {}
    host.assign(b, {"SLOT": "blue"})
    host.assign(b, {"SCALE": "2", "SLOT": "green"})
    assert host.read(b) == b"SCALE=2\nSLOT=green\ntwo"
    assert Path(a).stat().st_mode & 0o777 == 0o600
    assert host.create(a, File(b"three")) is False
    host.link(folder / "current", "r/1")
    assert host.link_target(folder / "current") == "r/1"
    host.remove_if(b, host.read(b) or b"")
    assert host.names_in(folder / "r" / "2") == ()
    assert host.run_to_file(("printf", "abc"), folder / "dump", timeout=TIMEOUT)[0] == 3
    assert host.free_bytes(folder) > 0


def test_what_is_not_waited_for_is_on_disk_before_anything_else_happens(
    host: RemoteHost, folder: PurePosixPath
) -> None:
    for number in range(50):
        host.append(folder / "journal" / "a.jsonl", f"line {number}", awaited=False)

    assert host.run(("wc", "-l", str(folder / "journal" / "a.jsonl")), timeout=TIMEOUT).stdout.startswith("50 ")
    assert host.traffic.exchanges == 1


def test_where_that_fails_nothing_that_follows_is_done(host: RemoteHost, folder: PurePosixPath) -> None:
    """A journal that cannot be written must not let the step begin that it should tell of."""
    host.append(PurePosixPath("/proc/none/a.jsonl"), "line", awaited=False)

    with pytest.raises(OSError, match="No such file"):
        host.write({folder / "effect": File(b"")})

    assert not Path(folder / "effect").exists()
    host.write({folder / "effect": File(b"")})  # told once, it is the caller's to go on
    assert Path(folder / "effect").exists()


def test_what_failed_at_the_very_end_is_not_kept_back() -> None:
    host = RemoteHost("vps1", dial)
    host.append(PurePosixPath("/proc/none/a.jsonl"), "line", awaited=False)

    with pytest.raises(OSError, match="No such file"):
        host.close()


def test_calls_of_several_threads_do_not_wait_for_each_other(host: RemoteHost, folder: PurePosixPath) -> None:
    os.mkfifo(folder / "pipe")
    waiting = threading.Thread(target=host.run, args=(("cat", str(folder / "pipe")),), kwargs={"timeout": TIMEOUT})
    waiting.start()

    assert host.names_in(folder) == ("pipe",)

    Path(folder / "pipe").write_bytes(b"")
    waiting.join(TIMEOUT)
    assert not waiting.is_alive()


def test_an_interrupt_ends_the_command_there(host: RemoteHost, folder: PurePosixPath) -> None:
    began = folder / "began"

    def interrupt() -> None:
        deadline = time.monotonic() + TIMEOUT
        while not Path(began).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        host.run(("sh", "-c", f"touch {began}; sleep 4711.5"), timeout=TIMEOUT)

    assert LocalHost().left_running((("sleep", "4711.5"),), within=0) == ()
    assert host.names_in(folder) == ("began",)


def test_the_operator_is_the_one_here_by_way_of_the_process_there(host: RemoteHost) -> None:
    here = LocalHost().operator()
    there = host.operator()

    assert (there.user, there.machine) == (here.user, here.machine)
    assert there.pid != here.pid
    assert there.by_way_of
    assert host.has_ended(there) is False


def test_a_reader_connects_again_by_itself(host: RemoteHost, folder: PurePosixPath) -> None:
    old = host.operator()
    os.kill(old.pid, signal.SIGKILL)

    assert host.names_in(folder) == ()

    assert host.has_ended(old)
    assert host.traffic.sessions == 2


def test_who_has_changed_something_is_told_of_the_loss_instead(host: RemoteHost, folder: PurePosixPath) -> None:
    """The process that is gone may have held the lock."""
    host.write({folder / "lock": File(b"")})
    os.kill(host.operator().pid, signal.SIGKILL)

    with pytest.raises(ConnectionLost, match="vps1: the connection was lost"):
        host.read(folder / "lock")
    assert host.is_reached() is False
    assert issubclass(ConnectionLost, WharfingerError)


def test_to_reach_it_again_ends_what_served_before(folder: PurePosixPath) -> None:
    """That one may not have noticed yet that nobody is there any more."""
    host = RemoteHost("vps1", dial)
    old = host.operator()
    connection, host._dialled, stuck = host._connection, Future(), dial(host.traffic)
    stuck.hello = connection.hello
    host._dialled.set_result(stuck)

    host.reach_again(within=5)

    deadline = time.monotonic() + 10
    while not host.has_ended(old):  # it was killed; the kernel takes its time
        assert time.monotonic() < deadline
    host.close()
    connection.close()


def test_the_server_ends_with_the_connection(host: RemoteHost) -> None:
    there = host.operator()

    host.close()

    assert LocalHost().has_ended(there)


def test_a_python_that_does_not_serve_is_told_from_one_that_does() -> None:
    process = subprocess.Popen(("sh", "-c", "echo hello; exit 127"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    with pytest.raises(NotServing) as caught:
        Connection(process, name="vps1", traffic=Traffic())

    assert (caught.value.status, caught.value.python) == (127, "")
