"""Processes of this machine: fed, read, and ended with all that they started when their time is up."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Final

from wharfinger.errors import CommandFailed, NotReady
from wharfinger.hosts import Completed, plugins
from wharfinger.secrets import Secret

_PASSED_ON: Final = (
    "PATH",
    "HOME",
    "USER",
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
)
_CHUNK: Final = 1 << 20

Begun = Callable[[subprocess.Popen[bytes]], None]
"""Hears of a process that was started, so that it can be ended before its time is up."""


def unheard(_process: subprocess.Popen[bytes]) -> None:
    """Hear of a process, and do nothing."""


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes = b"",
    stdin_path: PurePosixPath | None = None,
    env: Mapping[str, str | Secret] | None = None,
    on_line: Callable[[str], None] | None = None,
    host: str = "local",
    begun: Begun = unheard,
) -> Completed:
    """Run a command to its end, whatever its exit status; see `Host.run`. `host` is what errors call this machine."""
    process = _started(argv, env, stdin_path, host=host)
    begun(process)
    stdout: list[bytes] = []
    lines: list[str] = []
    streams = (
        _Stream(process.stdin, lambda stream: _feed(stream, stdin)),
        _Stream(process.stdout, lambda stream: stdout.append(stream.read())),
        _Stream(process.stderr, lambda stream: _read_lines(stream, lines, on_line)),
    )
    _finish(process, streams, argv, timeout, host)
    return Completed(tuple(argv), process.returncode, b"".join(stdout).decode(errors="replace"), "".join(lines))


def copy_output(
    argv: Sequence[str], file: IO[bytes], *, timeout: float, host: str = "local", begun: Begun = unheard
) -> tuple[int, str]:
    """Copy a command's output into a file; return its size and SHA-256, or raise CommandFailed."""
    process = _started(argv, None, host=host)
    begun(process)
    lines: list[str] = []
    reader = _Stream(process.stderr, lambda stream: _read_lines(stream, lines, None))
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        kill(process)

    watchdog = threading.Timer(timeout, expire)
    watchdog.start()
    try:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
        process.stdin.close()
        size, digest = _copy(process.stdout, file)
        process.wait()
        reader.join(timeout)
    except BaseException:
        kill(process)
        raise
    finally:
        watchdog.cancel()
    if expired.is_set() or process.returncode != 0:
        why = f"no end after {timeout:g} s" if expired.is_set() else "".join(lines)
        raise CommandFailed(argv, process.returncode, why, host=host)
    return size, digest


def attach(argv: Sequence[str], *, without: bytes, environ: Mapping[str, str] | None = None) -> int:
    """Run a command on the user's own terminal, and return its exit status; `without` is left out of its output.

    `environ` is its whole environment (None: the minimal one).
    """
    environment = _environment(None) if environ is None else dict(environ)
    if not without:
        return subprocess.run(tuple(argv), env=environment, check=False).returncode
    with subprocess.Popen(tuple(argv), env=environment, stdout=subprocess.PIPE) as process:
        for line in process.stdout or ():
            sys.stdout.buffer.write(line.replace(without, b""))
            sys.stdout.buffer.flush()
    return process.returncode


def _started(
    argv: Sequence[str],
    env: Mapping[str, str | Secret] | None,
    stdin_path: PurePosixPath | None = None,
    *,
    host: str,
) -> subprocess.Popen[bytes]:
    if stdin_path is not None:
        with Path(stdin_path).open("rb") as file:
            return _process(argv, env, file, host)
    return _process(argv, env, subprocess.PIPE, host)


def _process(
    argv: Sequence[str], env: Mapping[str, str | Secret] | None, stdin: IO[bytes] | int, host: str
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            plugins.direct(argv),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(env),
            process_group=0,  # so that what it starts ends with it
        )
    except FileNotFoundError:
        raise NotReady(f"{host}: `{argv[0]}` is not installed", fix="invoke doctor says what to install") from None


def _environment(added: Mapping[str, str | Secret] | None) -> dict[str, str]:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    revealed = {name: str(value) if isinstance(value, str) else value.reveal() for name, value in (added or {}).items()}
    return environment | revealed


class _Stream(threading.Thread):
    """A pipe to or from a process, worked at in the background and closed at its end."""

    def __init__(self, pipe: IO[bytes] | None, work: Callable[[IO[bytes]], object]) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self._work = work
        self.start()

    def run(self) -> None:
        if self._pipe is not None:  # else the process reads a file by itself
            with self._pipe:
                self._work(self._pipe)


def _feed(stream: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), stream:  # it did not want it; its status says whether that matters
        stream.write(data)


def _finish(
    process: subprocess.Popen[bytes],
    streams: Sequence[threading.Thread],
    argv: Sequence[str],
    timeout: float,
    host: str,
) -> None:
    """Wait until a process has ended and closed its output; end it, and all that it started, when the time is up."""
    deadline = time.monotonic() + timeout
    try:
        for stream in streams:
            stream.join(max(0.0, deadline - time.monotonic()))
        process.wait(max(0.0, deadline - time.monotonic()))
        if not any(stream.is_alive() for stream in streams):
            return
    except subprocess.TimeoutExpired:
        pass
    except BaseException:
        kill(process)
        raise
    kill(process)
    raise CommandFailed(argv, process.returncode, f"no end after {timeout:g} s", host=host)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started in its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read_lines(stream: IO[bytes], lines: list[str], on_line: Callable[[str], None] | None) -> None:
    for raw in stream:
        line = raw.decode(errors="replace")
        lines.append(line)
        if on_line is not None:
            on_line(line.rstrip("\n"))


def _copy(source: IO[bytes], file: IO[bytes]) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    with source:
        while chunk := source.read(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()
