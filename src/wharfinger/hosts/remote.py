"""A host at the other end of a connection: `LocalHost`, asked from afar."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, Final

from wharfinger.errors import ConnectionLost, WharfingerError
from wharfinger.hosts import Completed, File, operator
from wharfinger.hosts.connection import Connection, Traffic
from wharfinger.hosts.operator import Operator
from wharfinger.secrets import Secret

_WITHIN: Final = 120.0
_MARGIN: Final = 60.0
_PING_WITHIN: Final = 40.0
_PAUSE: Final = 1.0


class RemoteHost:
    """A host whose operations go over a connection that `dial` makes, at once and again when it is lost.

    What only reads is asked once more over a new connection when the old one is lost, as long as nothing was changed
    over it: afterwards the process that serves it may hold the lock, and only who runs the plan can say what to do.
    """

    def __init__(self, name: str, dial: Callable[[Traffic], Connection]) -> None:
        self._name = name
        self._dial = dial
        self.traffic: Final = Traffic()
        self._dialled = self._dialling()
        self._changed = False
        self._unsure = False

    def _dialling(self) -> Future[Connection]:
        """Connect in the background: much can be done here until then."""
        with_one = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dial")
        dialled = with_one.submit(self._dial, self.traffic)
        with_one.shutdown(wait=False)
        return dialled

    @property
    def _connection(self) -> Connection:
        return self._dialled.result()

    @property
    def name(self) -> str:
        """How messages call it; see `Host.name`."""
        return self._name

    def _ask(self, operation: str, *args: Any, within: float = _WITHIN, **named: Any) -> Any:
        """Ask for what changes nothing."""
        try:
            return self._connection.call(operation, args, named, within=within)
        except ConnectionLost:
            if self._changed:
                raise
        self.reach_again(within=_PING_WITHIN)
        return self._connection.call(operation, args, named, within=within)

    def _do(
        self,
        operation: str,
        *args: Any,
        within: float = _WITHIN,
        on_line: Callable[[str], None] | None = None,
        **named: Any,
    ) -> Any:
        """Ask for what changes something."""
        self._changed, self._unsure = True, False
        return self._connection.call(operation, args, named, within=within, on_line=on_line)

    def _defer(self, operation: str, *args: Any, **named: Any) -> None:
        self._changed, self._unsure = True, True
        self._connection.defer(operation, args, named)

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        stdin: bytes = b"",
        stdin_path: PurePosixPath | None = None,
        env: Mapping[str, str | Secret] | None = None,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run a command; see `Host.run`."""
        done: Completed = self._do(
            "run",
            tuple(argv),
            timeout=timeout,
            stdin=stdin,
            stdin_path=stdin_path,
            env=env,
            check=check,
            on_line=on_line,
            within=timeout + _MARGIN,
        )
        return done

    def run_to_file(
        self, argv: Sequence[str], path: PurePosixPath, *, timeout: float, mode: int = 0o600
    ) -> tuple[int, str]:
        """Run a command into a file; see `Host.run_to_file`."""
        size, digest = self._do("run_to_file", tuple(argv), path, timeout=timeout, mode=mode, within=timeout + _MARGIN)
        return size, digest

    def ask(
        self, socket: PurePosixPath, method: str, path: str, body: bytes = b"", *, timeout: float
    ) -> tuple[int, str]:
        """Ask over a Unix socket there; see `Host.ask`."""
        ask = self._ask if method == "GET" else self._do
        status, text = ask("ask", socket, method, path, body, timeout=timeout, within=timeout + _MARGIN)
        return status, text

    def left_running(self, words: Sequence[tuple[str, ...]], *, within: float, end: bool = False) -> tuple[str, ...]:
        """Wait for processes; see `Host.left_running`."""
        named = {"within": within, "end": end}
        left: tuple[str, ...] = self._connection.call("left_running", (tuple(words),), named, within=within + _MARGIN)
        return left

    def attach(self, argv: Sequence[str], *, without: bytes = b"") -> int:  # noqa: ARG002 - see there
        """Refuse: a connection has no terminal; see `Host.attach`."""
        raise WharfingerError(f"{self.name}: `{' '.join(argv)}` needs a terminal, and this connection has none")

    def read(self, path: PurePosixPath) -> bytes | None:
        """Read a file; see `Host.read`."""
        content: bytes | None = self._ask("read", path)
        return content

    def read_all(self, paths: Iterable[PurePosixPath]) -> dict[PurePosixPath, bytes | None]:
        """Read files; see `Host.read_all`."""
        wanted = tuple(paths)
        held: dict[PurePosixPath, bytes | None] = self._ask("read_all", wanted) if wanted else {}
        return held

    def read_in(
        self, folder: PurePosixPath, name: str | None = None, *, last: int | None = None, unless: Sequence[bytes] = ()
    ) -> dict[str, bytes]:
        """Read what a folder holds; see `Host.read_in`."""
        held: dict[str, bytes] = self._ask("read_in", folder, name, last=last, unless=tuple(unless))
        return held

    def write(self, files: Mapping[PurePosixPath, File], *, awaited: bool = True) -> None:
        """Write files; see `Host.write`."""
        if files and awaited:
            self._do("write", files)
        elif files:
            self._defer("write", files)

    def create(self, path: PurePosixPath, file: File) -> bool:
        """Write a new file; see `Host.create`."""
        created: bool = self._do("create", path, file)
        return created

    def remove_if(self, path: PurePosixPath, content: bytes) -> None:
        """Remove a file of that content; see `Host.remove_if`."""
        self._do("remove_if", path, content)

    def append(self, path: PurePosixPath, line: str, *, awaited: bool = True) -> None:
        """Append a line, on disk before anything else happens there; see `Host.append`."""
        ask = self._do if awaited else self._defer
        ask("append", path, line)

    def assign(self, path: PurePosixPath, values: Mapping[str, str]) -> None:
        """Put lines into a file before anything else happens there; see `Host.assign`."""
        self._defer("assign", path, values)

    def make_folder(self, path: PurePosixPath, *, mode: int = 0o755, owner: int | None = None) -> None:
        """Make a folder before anything else happens there; see `Host.make_folder`."""
        self._defer("make_folder", path, mode=mode, owner=owner)

    def link(self, path: PurePosixPath, target: str) -> None:
        """Point a link; see `Host.link`."""
        self._do("link", path, target)

    def link_target(self, path: PurePosixPath) -> str | None:
        """Read a link; see `Host.link_target`."""
        target: str | None = self._ask("link_target", path)
        return target

    def names_in(self, folder: PurePosixPath) -> tuple[str, ...]:
        """List a folder; see `Host.names_in`."""
        names: tuple[str, ...] = self._ask("names_in", folder)
        return names

    def remove(self, path: PurePosixPath) -> None:
        """Remove a path; see `Host.remove`."""
        self._do("remove", path)

    def free_bytes(self, path: PurePosixPath) -> int:
        """Measure free space; see `Host.free_bytes`."""
        free: int = self._ask("free_bytes", path)
        return free

    def docker_url(self) -> str | None:
        """Return None; a connection alone leads to no engine."""
        return None

    def operator(self) -> Operator:
        """Return who is here, and what serves them there; see `Host.operator`."""
        there = self._connection.hello.operator
        return dataclasses.replace(operator.current(), pid=there.pid, started=there.started, by_way_of=there.machine)

    def has_ended(self, holder: Operator) -> bool:
        """Whether a process there has ended; see `Host.has_ended`."""
        ended: bool = self._ask("has_ended", holder)
        return ended

    @contextmanager
    def lend(self, port: int) -> Iterator[None]:
        """Refuse: see `Host.lend`."""
        raise WharfingerError(f"{self.name}: port {port} of this machine cannot be reached from there")
        yield

    def is_reached(self) -> bool:
        """Whether the connection still stands; see `Host.is_reached`."""
        try:
            self._connection.call("ping", within=_PING_WITHIN)
        except ConnectionLost:
            return False
        return True

    def reach_again(self, *, within: float) -> None:
        """Connect anew; see `Host.reach_again`."""
        deadline = time.monotonic() + within
        before = self._connection.hello.operator
        self._connection.close()
        while True:
            try:
                self._dialled = self._dialling()
                self._dialled.result()
                break
            except WharfingerError as error:
                if time.monotonic() + _PAUSE > deadline:
                    raise ConnectionLost(
                        f"{self.name}: the connection was lost, and there was no other within {within:g} s",
                        details=[error.problem],
                        fix="invoke recover, once the server answers",
                    ) from None
            time.sleep(_PAUSE)  # a network tells nobody that it is back
        self._changed = self._unsure = False
        self._connection.call("end", (dataclasses.replace(before, by_way_of=before.machine),), within=_WITHIN)

    def close(self) -> None:
        """End the connection, once all is done that was not waited for; raises what kept that from being done."""
        if self._dialled.cancel() or self._dialled.exception() is not None:
            return
        try:
            if self._unsure and not self._connection.is_lost:
                self._connection.call("ping", within=_WITHIN)
        finally:
            self._connection.close()
