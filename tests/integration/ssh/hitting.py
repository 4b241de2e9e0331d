"""Wharfinger's own command line, whose connection or process is hit at chosen points of its journal.

    python -m tests.integration.ssh.hitting "cut:started StartApp" deploy --env staging

`cut` kills the process that holds the SSH connection, `kill` this one, `int` presses Ctrl-C a moment later (for which
this one needs a process group of its own), `fail` lets the step fail, `away` only says that this is another machine. Of
several servers, `cut:started StartApp@vps2` means that line in the journal of that one. Nothing in the program knows of
it: the one method that appends to a journal is called as always, and once the line is on the server's disk the hit
follows.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import PurePosixPath

from wharfinger.cli import main
from wharfinger.errors import WharfingerError
from wharfinger.hosts.remote import RemoteHost
from wharfinger.hosts.ssh import SshHost

_PRESSED_AFTER = 0.2


def _master(host: RemoteHost) -> int:
    """Return the process that holds the connection to a server."""
    assert isinstance(host, SshHost)
    argv = ("ssh", "-o", f"ControlPath={host._way.control}", "-O", "check", "anywhere")
    said = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10).stderr
    return int(said.partition("pid=")[2].partition(")")[0])


def run(point: str, words: list[str]) -> None:
    """Run the command line, and hit."""
    what, _, line_hit = point.partition(":")
    where, _, server = line_hit.partition("@")
    append = RemoteHost.append
    hit: list[str] = []

    def and_hit(self: RemoteHost, path: PurePosixPath, line: str, *, awaited: bool = True) -> None:
        append(self, path, line, awaited=awaited)
        facts = json.loads(line)
        meant = server in ("", self.name) and where == f"{facts['event']} {facts.get('verb', '')}".strip()
        if not hit and meant:
            hit.append(where)
            assert self.is_reached()  # so that the line is on disk there
            if what == "fail":
                raise WharfingerError("it was hit")
            if what == "int":  # a terminal tells every process of the group
                threading.Timer(_PRESSED_AFTER, os.killpg, (os.getpgrp(), signal.SIGINT)).start()
                return
            os.kill(os.getpid() if what == "kill" else _master(self), signal.SIGKILL)

    if what == "away":
        socket.gethostname = lambda: "another-machine"
    RemoteHost.append = and_hit  # type: ignore[method-assign]
    sys.argv = ["wharfinger", *words]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell begins in the background ignores it
    main()


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
