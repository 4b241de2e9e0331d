"""Who runs Wharfinger, on which machine and as which process."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ENDED: Final = ("Z", "X")
"""States of a process that only waits for its parent to learn of its end."""


@dataclass(frozen=True, slots=True)
class Operator:
    """A running Wharfinger and the person behind it."""

    user: str
    machine: str
    pid: int
    started: str
    """Which boot of the machine, and the kernel's ticks since it when the process began.

    It tells the process from a later one with its pid, after a reboot too.
    """
    by_way_of: str = ""
    """The server on which the process runs, where that is not the operator's own machine."""

    def __str__(self) -> str:
        return f"{self.user}@{self.machine}"


def current() -> Operator:
    """Return who runs this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return Operator(user, socket.gethostname(), os.getpid(), _started(os.getpid()) or "")


def is_gone(operator: Operator) -> bool:
    """Whether a process is known to have ended: only one of this machine can be."""
    where = operator.by_way_of or operator.machine
    return where == socket.gethostname() and _started(operator.pid) != operator.started


def end(operator: Operator) -> None:
    """End a process of this machine that acted for the same operator over a connection that is lost."""
    if operator.by_way_of == socket.gethostname() and _started(operator.pid) == operator.started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(operator.pid, signal.SIGKILL)


def _started(pid: int) -> str | None:
    """Return the boot and a process's start time, the 22nd field of proc(5)'s stat; None where it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in _ENDED else f"{boot} {fields[18]}"
