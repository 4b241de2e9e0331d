"""Wharfinger's own command line, whose connection or process is hit at chosen points of its journal.

    python -m tests.integration.ssh.hitting "cut:started StartApp" deploy --env staging

`cut` kills the process that holds the SSH connection, `kill` this one, `away` only says that this is another machine.
Nothing in the program knows of it: the one method that appends to a journal is called as always, and once the line is
on the server's disk the hit follows.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path, PurePosixPath

from wharfinger.cli import main
from wharfinger.hosts.remote import RemoteHost


def _master() -> int:
    """Return the process that holds the connection whose socket lies in this operator's folder."""
    sockets = [
        path
        for path in Path(os.environ["XDG_RUNTIME_DIR"]).glob("wharfinger-*/*")
        if not path.suffix and path.is_socket()
    ]
    asked = [("ssh", "-o", f"ControlPath={path}", "-O", "check", "anywhere") for path in sockets]
    said = [subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10).stderr for argv in asked]
    (master,) = (int(text.partition("pid=")[2].partition(")")[0]) for text in said if "pid=" in text)
    return master


def run(point: str, words: list[str]) -> None:
    """Run the command line, and hit."""
    what, _, where = point.partition(":")
    append = RemoteHost.append
    hit: list[str] = []

    def and_hit(self: RemoteHost, path: PurePosixPath, line: str, *, awaited: bool = True) -> None:
        append(self, path, line, awaited=awaited)
        facts = json.loads(line)
        if not hit and where == f"{facts['event']} {facts.get('verb', '')}".strip():
            hit.append(where)
            assert self.is_reached()  # so that the line is on disk there
            os.kill(os.getpid() if what == "kill" else _master(), signal.SIGKILL)

    if what == "away":
        socket.gethostname = lambda: "another-machine"
    RemoteHost.append = and_hit  # type: ignore[method-assign]
    sys.argv = ["wharfinger", *words]
    main()


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
