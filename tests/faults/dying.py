"""Wharfinger's own command line in a process that is hit by signals at chosen points of its journal.

    python -m tests.faults.dying "kill:started StartApp" deploy --env local

Each point is SIGNAL:EVENT VERB[+SECONDS], several are separated by commas and come one after the other. The
signal hits in the moment after that line is on disk, or so many seconds later. Nothing in the program knows of
this: the one method that appends to files is called as always, and then the process sends itself the signal.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import PurePosixPath

from wharfinger.cli import main
from wharfinger.hosts.local import LocalHost

SIGNALS = {"kill": signal.SIGKILL, "int": signal.SIGINT, "hup": signal.SIGHUP, "term": signal.SIGTERM}


@dataclass(frozen=True)
class Point:
    """When which signal comes."""

    signal: signal.Signals
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
    append = LocalHost.append

    def and_hit(self: LocalHost, path: PurePosixPath, line: str, *, awaited: bool = True) -> None:
        append(self, path, line, awaited=awaited)
        facts = json.loads(line)
        if waiting and waiting[0].line == f"{facts['event']} {facts.get('verb', '')}".strip():
            waiting.pop(0).hit()

    LocalHost.append = and_hit  # type: ignore[method-assign]
    sys.argv = ["wharfinger", *words]
    main()


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
