"""The server's end of a connection: it does there what `LocalHost` does, for the operator at the other end.

This runs on the server, on its own Python and without anything installed: only the standard library is imported
here and in what this imports (a test sees to it). The process lives as long as the connection. When that ends, or
nothing was heard for a minute, it ends at once, as a run on the server itself does that is killed: whatever it has
started goes on or not, and the next run recovers from the journal.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from subprocess import Popen
from typing import Any, BinaryIO, Final

from wharfinger.errors import WharfingerError
from wharfinger.hosts import containers, operator, processes, wire
from wharfinger.hosts.local import LocalHost

SILENCE: Final = 60.0
"""After how many seconds without a word from the operator the connection counts as lost."""

OPERATIONS: Final = frozenset(
    {
        *("run", "run_to_file", "ask", "left_running", "read", "read_all", "read_in", "write", "create", "remove_if"),
        *("append", "assign", "make_folder", "link", "link_target", "names_in", "remove", "free_bytes", "has_ended"),
    }
)
"""What an operator may ask for: the operations of `Host`; besides `ping`, `end` and those of the engine."""

_OF_THE_ENGINE: Final = frozenset({"answered", "inspected"})

_TOLD: Final = frozenset({"run"})
_STARTING: Final = frozenset({"run", "run_to_file"})
_DOCKER: Final = "/var/run/docker.sock"


class Service:
    """Answers requests until the connection ends."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO, *, name: str) -> None:
        self._requests = requests
        self._answers = answers
        self._name = name
        self._writing = threading.Lock()
        self._heard = time.monotonic()
        self._running: dict[int, Popen[bytes]] = {}
        self._cancelled: set[int] = set()
        self._failed: tuple[int, BaseException] | None = None

    def serve(self) -> None:
        """Answer until nothing comes any more."""
        threading.Thread(target=self._watch, daemon=True).start()
        self._answer({"hello": _hello()})
        for line in self._requests:
            self._heard = time.monotonic()
            message = wire.load(line)
            if "cancel" in message:
                self._cancel(message["cancel"])
            elif message.get("deferred"):  # in order, before anything that comes later begins
                self._do(message)
            else:
                threading.Thread(target=self._do, args=(message,), daemon=True).start()

    def _do(self, message: Mapping[str, Any]) -> None:
        number = message["id"]
        if self._failed is not None and self._failed[0] > message["seen"]:
            self._answer({"id": number, "error": self._failed[1], "of": self._failed[0]})
            return
        try:
            result = self._result(number, message["operation"], message["args"], message["named"])
        except BaseException as error:
            if message.get("deferred"):
                self._failed = (number, error)
            else:
                self._answer({"id": number, "error": error})
        else:
            if not message.get("deferred"):
                self._answer({"id": number, "result": result})
        finally:
            self._running.pop(number, None)

    def _result(self, number: int, operation: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if operation == "ping":
            return None
        if operation == "end":
            return operator.end(*args)
        if operation in _OF_THE_ENGINE:
            return getattr(containers, operation)(*args, host=self._name)
        if operation not in OPERATIONS:
            raise WharfingerError(f"{self._name}: `{operation}` is not an operation of a host")
        host = LocalHost(self._name, begun=lambda process: self._begun(number, process))
        if operation in _TOLD and named.pop("told", False):
            named["on_line"] = lambda line: self._answer({"id": number, "line": line})
        return getattr(host, operation)(*args, **named)

    def _begun(self, number: int, process: Popen[bytes]) -> None:
        self._running[number] = process
        if number in self._cancelled:
            processes.kill(process)

    def _cancel(self, number: int) -> None:
        self._cancelled.add(number)
        process = self._running.get(number)
        if process is not None:
            processes.kill(process)

    def _answer(self, message: Mapping[str, Any]) -> None:
        line = wire.dump(message)
        with self._writing:
            try:
                self._answers.write(line)
                self._answers.flush()
            except OSError:
                os._exit(1)

    def _watch(self) -> None:
        while time.monotonic() - self._heard < SILENCE:
            time.sleep(SILENCE / 12)
        os._exit(1)


def _hello() -> dict[str, Any]:
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    sockets = (_DOCKER, f"{runtime}/docker.sock")  # the second is that of an engine without root
    found = next((path for path in sockets if Path(path).exists()), None)
    return {
        "operator": operator.current(),
        "docker": found,
        "docker_may": found is not None and os.access(found, os.R_OK | os.W_OK),
        "home": PurePosixPath(Path.home()),
    }


def main(name: str) -> None:
    """Serve on standard input and output until the operator is gone."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not get among the answers
    try:
        Service(sys.stdin.buffer, answers, name=name).serve()
    finally:
        os._exit(0)
