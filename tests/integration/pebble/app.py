"""The smallest app that a deploy can be tried on: it answers with its version, and fails as it is told to."""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VERSION = "one"
MODE = "good"  # tests write another version and mode here


class Handler(BaseHTTPRequestHandler):
    """Answers every GET with the version."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        if self.path == "/health":
            healthy = MODE != "sick"
            body = json.dumps({"status": "healthy" if healthy else "sick", "version": VERSION}).encode()
            self.send_response(200 if healthy else 503)
        else:
            if MODE == "mortal" and self.headers["User-Agent"] == "wharfinger":  # it dies of being verified
                print("a pebble fell on me", file=sys.stderr, flush=True)
                os._exit(9)
            if MODE == "tired":
                time.sleep(0.4)
            if MODE == "noisy":
                print("ERROR no such pebble", file=sys.stderr, flush=True)
            body = json.dumps({"version": VERSION, "greeting": os.environ.get("GREETING")}).encode()
            self.send_response(200 if MODE != "wrong" else 500)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)
        if MODE == "brief" and self.path != "/health":  # it answers once
            print("cannot hold the quarry", file=sys.stderr, flush=True)
            os._exit(3)

    def do_POST(self) -> None:
        """Answer with what was sent."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201 if self.headers.get("X-Smoke") else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def schedule() -> int:
    """Note when this scheduler begins and ends."""
    if MODE == "unscheduled":
        return 3

    def note(what: str) -> None:
        with Path("/turns/turns").open("a", encoding="utf-8") as turns:
            turns.write(f"{what}-{VERSION}\n")

    def end(*_: object) -> None:
        note("end")
        sys.exit(0)

    note("begin")
    signal.signal(signal.SIGTERM, end)
    while True:
        time.sleep(1)


def main() -> int:  # noqa: PLR0911 - a role each
    """Migrate, work, say whether work is done, or serve."""
    if sys.argv[1:] == ["migrate"]:
        print("applying 0001_pebbles", flush=True)
        if MODE == "unmigratable":
            print("column pebbles.colour does not exist", file=sys.stderr)
            return 1
        if MODE == "endless":
            time.sleep(3600)
        return 0
    if sys.argv[1:] == ["at-head"]:
        print("0001_pebbles is not applied" if MODE == "behind" else "at head")
        return 1 if MODE == "behind" else 0
    if sys.argv[1:] == ["schedule"]:
        return schedule()
    if sys.argv[1:] == ["seed"]:
        print("sowing pebbles")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if sys.argv[1:] == ["works"]:
        return MODE == "lame"
    if sys.argv[1:] == ["worker"]:
        if MODE == "lame":
            print("the queue is full of sand", flush=True)
        time.sleep(3600)
    if MODE == "crash":
        print("cannot open the quarry", file=sys.stderr)
        return 3
    server = ThreadingHTTPServer(("", 3000), Handler)
    if MODE == "slow":
        time.sleep(3600)
    server.serve_forever()
    return 0


sys.exit(main())
