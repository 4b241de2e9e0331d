"""Wharfinger's own command line, which writes down what it sent over SSH.

    python -m tests.integration.ssh.counting /tmp/counted.json deploy --env staging

The file holds `sessions` (commands that the server's shell ran), `asked` (operations of the host that were waited
for), `deferred` (how many were not), and `docker` (requests to the engine over its forwarded socket); what several
threads asked at once counts each.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import requests

from wharfinger.cli import main
from wharfinger.engine_api import EngineApi
from wharfinger.hosts.connection import Connection
from wharfinger.hosts.remote import RemoteHost


def run(file: Path, words: list[str]) -> None:
    """Run the command line, and write the file at its end."""
    asked: list[tuple[str, float, float, str]] = []
    docker: list[tuple[str, float, float, str]] = []
    hosts: list[RemoteHost] = []
    call, begin, send, ask = Connection.call, RemoteHost.__init__, requests.Session.send, EngineApi._ask

    def counted_call(self: Connection, operation: str, *args: Any, **named: Any) -> Any:
        at = time.monotonic()
        try:
            return call(self, operation, *args, **named)
        finally:
            what = f"{operation} {' '.join(map(str, args[0][0])) if operation == 'run' else args[:1]}"[:160]
            asked.append((what, at, time.monotonic(), threading.current_thread().name))

    def counted_begin(self: RemoteHost, *args: Any, **named: Any) -> None:
        hosts.append(self)
        begin(self, *args, **named)

    def counted_send(self: requests.Session, request: requests.PreparedRequest, **named: Any) -> requests.Response:
        at = time.monotonic()
        try:
            return send(self, request, **named)
        finally:
            what = f"{request.method} {request.path_url}"[:160]
            docker.append((what, at, time.monotonic(), threading.current_thread().name))

    def counted_ask(self: EngineApi, target: str) -> Any:
        at = time.monotonic()
        try:
            return ask(self, target)
        finally:
            if self._host != "local":
                docker.append((f"GET {target}"[:160], at, time.monotonic(), threading.current_thread().name))

    Connection.call = counted_call  # type: ignore[method-assign]
    RemoteHost.__init__ = counted_begin  # type: ignore[method-assign]
    requests.Session.send = counted_send  # type: ignore[method-assign]
    EngineApi._ask = counted_ask  # type: ignore[method-assign]
    sys.argv = ["wharfinger", *words]
    try:
        main()
    finally:
        traffic = hosts[0].traffic
        told = {"sessions": traffic.sessions, "deferred": traffic.deferred, "asked": asked, "docker": docker}
        file.write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2:])
