"""Wharfinger's own command line in a process that is hit by signals at chosen points of its journal.

    python -m tests.faults.dying "kill:started StartApp" deploy --env local

Each point is SIGNAL:EVENT VERB[+SECONDS], several are separated by commas and come one after the other. The
signal hits in the moment after that line is on disk, or so many seconds later. `pass` is no signal, for the first of
two lines that are the same. Before there is a journal the points are `build` (a build has begun), `push` (something of
an image is on its way), and `write PATH` and `remove PATH` (that file was changed). Nothing in the program knows of
this: the methods are called as always, and then the process sends itself the signal.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from wharfinger.cli import main
from wharfinger.hosts import File, processes
from wharfinger.hosts.local import LocalHost
from wharfinger.registry import Moved, Registry
from wharfinger.secrets import Secret

SIGNALS = {"kill": signal.SIGKILL, "int": signal.SIGINT, "hup": signal.SIGHUP, "term": signal.SIGTERM, "pass": 0}


@dataclass(frozen=True)
class Point:
    """When which signal comes."""

    signal: int
    line: str
    later: float

    @classmethod
    def parse(cls, text: str) -> Point:
        """Read SIGNAL:EVENT VERB[+SECONDS]."""
        name, _, where = text.partition(":")
        line, _, later = where.partition("+")
        return cls(SIGNALS[name], line, float(later or 0))

    def hit(self) -> None:
        """Send the signal."""
        if self.later:
            timer = threading.Timer(self.later, os.kill, (os.getpid(), self.signal))
            timer.daemon = True
            timer.start()
        else:
            os.kill(os.getpid(), self.signal)


def run(points: str, words: list[str]) -> None:
    """Run the command line, and be hit."""
    waiting = [Point.parse(text) for text in points.split(",")]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores

    def reached(line: str) -> None:
        if waiting and waiting[0].line == line:
            waiting.pop(0).hit()

    _listen(reached)
    sys.argv = ["wharfinger", *words]
    main()


def _listen(reached: Callable[[str], None]) -> None:
    """Let `reached` hear of every point that the program comes to."""
    append, start, push = LocalHost.append, processes._process, Registry.push
    write, remove = LocalHost.write, LocalHost.remove

    def and_append(self: LocalHost, path: PurePosixPath, line: str, *, awaited: bool = True) -> None:
        append(self, path, line, awaited=awaited)
        facts = json.loads(line)
        reached(f"{facts['event']} {facts.get('verb', '')}".strip())

    def and_start(
        argv: Sequence[str], env: Mapping[str, str | Secret] | None, stdin: IO[bytes] | int, host: str
    ) -> subprocess.Popen[bytes]:
        process = start(argv, env, stdin, host)
        if tuple(argv[:2]) == ("docker", "build"):
            reached("build")
        return process

    def and_push(self: Registry, repository: str, tag: str, *, moved: Moved) -> str:
        def and_moved(done: int, total: int) -> None:
            moved(done, total)
            reached("push")

        return push(self, repository, tag, moved=and_moved)

    def and_write(self: LocalHost, files: Mapping[PurePosixPath, File], *, awaited: bool = True) -> None:
        write(self, files, awaited=awaited)
        for path in files:
            reached(f"write {path.name}")

    def and_remove(self: LocalHost, path: PurePosixPath) -> None:
        remove(self, path)
        reached(f"remove {path.name}")

    LocalHost.append = and_append  # type: ignore[method-assign]
    LocalHost.write = and_write  # type: ignore[method-assign]
    LocalHost.remove = and_remove  # type: ignore[method-assign]
    processes._process = and_start
    Registry.push = and_push  # type: ignore[method-assign]


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
