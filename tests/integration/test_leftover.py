"""Processes that outlived the run that started them, real ones."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from wharfinger.hosts.local import LocalHost

HOST = LocalHost()


@contextmanager
def sleeper(*words: str, seconds: float = 60) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is known by these words of its command line, which can be read only once it runs."""
    code = f"import time; print(flush=True); time.sleep({seconds})"
    command = (sys.executable, "-c", code, *words)
    with subprocess.Popen(command, process_group=0, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"\n"
            yield process
        finally:
            process.kill()


def test_a_process_that_ends_by_itself_is_outwaited() -> None:
    with sleeper("one", "two", seconds=0.3) as process:
        began = time.monotonic()
        assert HOST.left_running((("one", "two"),), within=20) == ()
        assert time.monotonic() - began < 10
        assert process.wait(5) == 0


def test_one_that_does_not_is_told_and_with_end_killed() -> None:
    with sleeper("leftover-a", "leftover-b") as ours, sleeper("leftover-b", "leftover-a") as other:
        (left,) = HOST.left_running((("leftover-a", "leftover-b"),), within=0.05)
        assert left.endswith("leftover-a leftover-b")
        assert HOST.left_running((("leftover-a", "leftover-b"),), within=0.05, end=True) == ()
        assert ours.wait(5) == -9
        assert other.poll() is None


def test_where_there_is_none_nobody_waits() -> None:
    began = time.monotonic()
    assert HOST.left_running((("no-such-leftover", "anywhere"),), within=20, end=True) == ()
    assert time.monotonic() - began < 5


def test_a_file_is_removed_if_it_holds_just_that_and_what_is_empty_then_with_it(tmp_path: Path) -> None:
    other = tmp_path / "stack" / "other" / "lock"
    path = tmp_path / "stack" / "environment" / "lock"
    for each in (other, path):
        each.parent.mkdir(parents=True)
        each.write_bytes(b"one")
    HOST.remove_if(PurePosixPath(path), b"two")
    assert path.read_bytes() == b"one"
    HOST.remove_if(PurePosixPath(path), b"one")
    HOST.remove_if(PurePosixPath(path), b"one")
    assert list((tmp_path / "stack").iterdir()) == [other.parent]
    HOST.remove_if(PurePosixPath(other), b"one")
    assert list(tmp_path.iterdir()) == []
