"""The operator's end of a connection: requests go out, and each answer finds who waits for it."""

from __future__ import annotations

import contextlib
import itertools
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

from wharfinger.errors import ConnectionLost, NotReady
from wharfinger.hosts import shipping, wire
from wharfinger.hosts.operator import Operator

_HEARTBEAT: Final = 15.0
_CANCELLED_WITHIN: Final = 10.0
_ENDED_WITHIN: Final = 5.0
_LOST: Final[Mapping[str, Any]] = {"lost": True}


@dataclass(frozen=True, slots=True)
class Hello:
    """What a server says of itself when it begins to serve."""

    operator: Operator
    """Whom it serves as, and the process that serves."""
    docker: str | None
    """Where its engine's socket is; None where there is none."""
    docker_may: bool
    """Whether that may be opened."""


@dataclass(slots=True)
class Traffic:
    """What has gone over a connection, and those that it took the place of."""

    sessions: int = 0
    """How many SSH sessions were opened: commands that a shell of the server ran."""
    exchanges: int = 0
    """How many requests were sent whose answer was waited for."""
    deferred: int = 0
    """How many were sent without waiting."""


class NotServing(Exception):
    """What was started does not serve; `status` is its exit status and `python` the version that it tells, if any."""

    def __init__(self, status: int, python: str = "") -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.python = python
        self.said = ""
        """What it wrote on standard error."""


class Connection:
    """A process that serves at the other end of two pipes."""

    def __init__(self, process: subprocess.Popen[bytes], *, name: str, traffic: Traffic) -> None:
        """Begin to serve `process`'s Python; raises NotServing where it does not begin to."""
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
        self._process = process
        self._requests: IO[bytes] = process.stdin
        self._answers: IO[bytes] = process.stdout
        self._name = name
        self._traffic = traffic
        self._numbers = itertools.count(1)
        self._sending = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[Mapping[str, Any]]] = {}
        self._seen = 0
        self._lost = threading.Event()
        self.hello = self._greet()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        threading.Thread(target=self._beat, daemon=True).start()

    def _greet(self) -> Hello:
        try:
            with contextlib.suppress(OSError):
                self._requests.write(shipping.bootstrap(self._name))
                self._requests.flush()
            python = ""
            for line in self._answers:
                if line.startswith(shipping.MARK):
                    python = line.removeprefix(shipping.MARK).decode().strip()
                elif python:
                    return Hello(**{name: wire.load(line)["hello"][name] for name in Hello.__slots__})
            raise NotServing(self._process.wait(), python)
        except BaseException:
            self._end()
            self._answers.close()
            raise

    @property
    def is_lost(self) -> bool:
        """Whether nothing will come any more."""
        return self._lost.is_set()

    def call(
        self,
        operation: str,
        args: tuple[Any, ...] = (),
        named: Mapping[str, Any] | None = None,
        *,
        within: float,
        on_line: Callable[[str], None] | None = None,
    ) -> Any:
        """Let the server do something, and return what comes of it, or raise what it raises.

        Raises ConnectionLost where no answer comes, after `within` seconds at the latest. Ctrl-C ends a command
        there too.
        """
        answers: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        number = next(self._numbers)
        self._waiting[number] = answers
        self._traffic.exchanges += 1
        try:
            told = {"told": True} if on_line is not None else {}
            self._send(id=number, operation=operation, args=args, named={**(named or {}), **told})
            return self._outcome(answers, on_line, time.monotonic() + within)
        except BaseException as error:
            if not isinstance(error, Exception):
                self._cancel(number, answers)
            raise
        finally:
            del self._waiting[number]

    def _outcome(
        self,
        answers: queue.SimpleQueue[Mapping[str, Any]],
        on_line: Callable[[str], None] | None,
        deadline: float,
    ) -> Any:
        while True:
            try:
                answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self._lost.set()
                answer = _LOST
            if "line" in answer:
                if on_line is not None:
                    on_line(answer["line"])
            elif answer is _LOST:
                raise self.loss()
            elif "error" in answer:
                self._seen = max(self._seen, answer.get("of", 0))
                raise answer["error"]
            else:
                return answer["result"]

    def defer(self, operation: str, args: tuple[Any, ...], named: Mapping[str, Any] | None = None) -> None:
        """Let the server do something before anything that is asked later, and do not wait for it.

        Should it fail, whatever is asked next raises its error and is not done.
        """
        self._traffic.deferred += 1
        self._send(id=next(self._numbers), operation=operation, args=args, named=named or {}, deferred=True)

    def loss(self) -> ConnectionLost:
        """Return the error of a connection that is lost."""
        return ConnectionLost(f"{self._name}: the connection was lost", fix="invoke recover, once the server answers")

    def close(self) -> None:
        """End it; the server's end ends too."""
        self._end()
        self._listener.join(_ENDED_WITHIN)

    def _end(self) -> None:
        self._lost.set()
        with contextlib.suppress(OSError):
            self._requests.close()
        try:
            self._process.wait(_ENDED_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, **message: Any) -> None:
        if self.is_lost:
            raise self.loss()
        line = wire.dump({**message, "seen": self._seen})
        try:
            with self._sending:
                self._requests.write(line)
                self._requests.flush()
        except (OSError, ValueError):
            self._lost.set()
            raise self.loss() from None

    def _cancel(self, number: int, answers: queue.SimpleQueue[Mapping[str, Any]]) -> None:
        """Let the server end a command whose end nobody waits for any more, and wait until it has."""
        with contextlib.suppress(ConnectionLost, NotReady, queue.Empty):
            self._send(cancel=number)
            deadline = time.monotonic() + _CANCELLED_WITHIN
            while "line" in answers.get(timeout=max(0.0, deadline - time.monotonic())):
                pass

    def _listen(self) -> None:
        try:
            for line in self._answers:
                answer = wire.load(line)
                answers = self._waiting.get(answer["id"])
                if answers is not None:  # else nobody waits any more
                    answers.put(answer)
        except (OSError, ValueError, KeyError):
            pass  # what is no answer is no server of ours
        finally:
            self._lost.set()
            for answers in tuple(self._waiting.values()):
                answers.put(_LOST)
            self._answers.close()

    def _beat(self) -> None:
        """Tell the server again and again that somebody is there."""
        while not self._lost.wait(_HEARTBEAT):
            with contextlib.suppress(ConnectionLost):
                self._send(id=0, operation="ping", args=(), named={})
