"""Processes of this machine that outlived the run that started them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

_DEATH_WITHIN: Final = 5.0


def outwait(words: Sequence[tuple[str, ...]], *, within: float, end: bool) -> tuple[str, ...]:
    """Wait for the processes that `words` name; see `Host.left_running`."""
    deadline = time.monotonic() + within
    left = _named(words)
    # Looked at again: one that was just being started had no argv yet, and one that ended may have started another.
    while left and time.monotonic() < deadline:
        for pid in left:
            _ended(pid, deadline - time.monotonic())
        left = _named(words)
    if end and left:
        for pid in left:
            _kill(pid)
            _ended(pid, _DEATH_WITHIN)
        left = _named(words)
    return tuple(" ".join(argv) for argv in left.values())


def _named(words: Sequence[tuple[str, ...]]) -> dict[int, tuple[str, ...]]:
    return {pid: argv for pid, argv in _processes() if pid != os.getpid() and any(_holds(argv, each) for each in words)}


def _processes() -> Iterator[tuple[int, tuple[str, ...]]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                argv = (folder / "cmdline").read_bytes().decode(errors="replace").rstrip("\0")
                yield int(folder.name), tuple(argv.split("\0"))


def _holds(argv: tuple[str, ...], words: tuple[str, ...]) -> bool:
    return any(argv[start : start + len(words)] == words for start in range(len(argv) - len(words) + 1))


def _ended(pid: int, within: float) -> None:
    """Return when a process has ended or the time is up."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(max(0.0, within) * 1000)
        finally:
            os.close(descriptor)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        group = os.getpgid(pid)
        if group == os.getpgrp():
            os.kill(pid, signal.SIGKILL)
        else:
            os.killpg(group, signal.SIGKILL)
