"""This machine as a host."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Final

from wharfinger.errors import CommandFailed, NotReady
from wharfinger.hosts import Completed, File
from wharfinger.hosts.files import fsync_folder, write_atomically
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


class LocalHost:
    """The machine that Wharfinger itself runs on, without SSH."""

    name: Final = "local"

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
        with _started(argv, env, stdin_path) as process:
            lines: list[str] = []
            reader = threading.Thread(target=_read_lines, args=(process.stderr, lines, on_line), daemon=True)
            reader.start()
            stdout = _communicate(process, argv, stdin, timeout)
            reader.join()
        done = Completed(tuple(argv), process.returncode, stdout.decode(errors="replace"), "".join(lines))
        if check and done.status != 0:
            raise CommandFailed(argv, done.status, done.stderr, host=self.name)
        return done

    def run_to_file(
        self, argv: Sequence[str], path: PurePosixPath, *, timeout: float, mode: int = 0o600
    ) -> tuple[int, str]:
        """Run a command into a file; see `Host.run_to_file`."""
        target = Path(path)
        partial = target.with_name(f".{target.name}.part")
        try:
            with open(partial, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                size, digest, status, stderr = _pipe(argv, file, timeout)
                file.flush()
                os.fsync(file.fileno())
            if status != 0:
                raise CommandFailed(argv, status, stderr, host=self.name)
            partial.rename(target)
            fsync_folder(target.parent)
        finally:
            partial.unlink(missing_ok=True)
        return size, digest

    def attach(self, argv: Sequence[str]) -> int:
        """Run a command on the terminal; see `Host.attach`."""
        try:
            return subprocess.run(tuple(argv), env=_environment(None), check=False).returncode
        except KeyboardInterrupt:
            return 130

    def read(self, path: PurePosixPath) -> bytes | None:
        """Read a file; see `Host.read`."""
        try:
            return Path(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, files: Mapping[PurePosixPath, File]) -> None:
        """Write files; see `Host.write`."""
        for path, file in files.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(Path(path), file.content, file.mode)

    def create(self, path: PurePosixPath, file: File) -> bool:
        """Write a new file; see `Host.create`."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        complete = Path(path).with_name(f".{path.name}.{os.getpid()}")
        write_atomically(complete, file.content, file.mode)
        try:
            os.link(complete, path)
        except FileExistsError:
            return False
        finally:
            complete.unlink()
        fsync_folder(Path(path).parent)
        return True

    def append(self, path: PurePosixPath, line: str) -> None:
        """Append a line; see `Host.append`."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"{line}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def make_folder(self, path: PurePosixPath, *, mode: int = 0o755, owner: int | None = None) -> None:
        """Make a folder; see `Host.make_folder`."""
        folder = Path(path)
        if folder.is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)
        if owner is not None:
            try:
                os.chown(folder, owner, owner)
            except PermissionError:
                folder.chmod(0o777)

    def link(self, path: PurePosixPath, target: str) -> None:
        """Point a link; see `Host.link`."""
        fresh = Path(path).with_name(f".{path.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.rename(path)
        fsync_folder(Path(path).parent)

    def link_target(self, path: PurePosixPath) -> str | None:
        """Read a link; see `Host.link_target`."""
        return str(Path(path).readlink()) if Path(path).is_symlink() else None

    def names_in(self, folder: PurePosixPath) -> tuple[str, ...]:
        """List a folder; see `Host.names_in`."""
        return tuple(sorted(entry.name for entry in Path(folder).iterdir())) if Path(folder).is_dir() else ()

    def remove(self, path: PurePosixPath) -> None:
        """Remove a path; see `Host.remove`."""
        if Path(path).is_dir() and not Path(path).is_symlink():
            shutil.rmtree(path)
        else:
            Path(path).unlink(missing_ok=True)

    def free_bytes(self, path: PurePosixPath) -> int:
        """Measure free space; see `Host.free_bytes`."""
        existing = Path(path)
        while not existing.exists():
            existing = existing.parent
        return shutil.disk_usage(existing).free

    def docker_url(self) -> str | None:
        """Return None: the Docker SDK's own default is this machine's."""
        return None


def _started(
    argv: Sequence[str], env: Mapping[str, str | Secret] | None, stdin_path: PurePosixPath | None = None
) -> subprocess.Popen[bytes]:
    if stdin_path is not None:
        with Path(stdin_path).open("rb") as file:
            return _process(argv, env, file)
    return _process(argv, env, subprocess.PIPE)


def _process(
    argv: Sequence[str], env: Mapping[str, str | Secret] | None, stdin: IO[bytes] | int
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            tuple(argv),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(env),
        )
    except FileNotFoundError:
        raise NotReady(f"local: `{argv[0]}` is not installed", fix="invoke doctor says what to install") from None


def _environment(added: Mapping[str, str | Secret] | None) -> dict[str, str]:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    revealed = {name: str(value) if isinstance(value, str) else value.reveal() for name, value in (added or {}).items()}
    return environment | revealed


def _communicate(process: subprocess.Popen[bytes], argv: Sequence[str], stdin: bytes, timeout: float) -> bytes:
    """Feed standard input and collect standard output, while another thread reads standard error."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    collected: list[bytes] = []
    output = process.stdout
    reader = threading.Thread(target=lambda: collected.append(output.read()), daemon=True)
    reader.start()
    if process.stdin is not None:  # else it reads a file by itself
        with contextlib.suppress(BrokenPipeError):  # it did not want it; its exit status says whether that matters
            process.stdin.write(stdin)
            process.stdin.close()
    _wait(process, argv, timeout)
    reader.join()
    return collected[0]


def _wait(process: subprocess.Popen[bytes], argv: Sequence[str], timeout: float) -> None:
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise CommandFailed(argv, process.returncode, f"no end after {timeout:g} s", host="local") from None
    except BaseException:
        process.kill()
        process.wait()
        raise


def _read_lines(stream: IO[bytes] | None, lines: list[str], on_line: Callable[[str], None] | None) -> None:
    for raw in stream or ():
        line = raw.decode(errors="replace")
        lines.append(line)
        if on_line is not None:
            on_line(line.rstrip("\n"))


def _pipe(argv: Sequence[str], file: IO[bytes], timeout: float) -> tuple[int, str, int, str]:
    """Copy a command's output into a file; return its size, SHA-256, exit status and standard error."""
    with _started(argv, None) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
        process.stdin.close()
        lines: list[str] = []
        reader = threading.Thread(target=_read_lines, args=(process.stderr, lines, None), daemon=True)
        reader.start()
        watchdog = threading.Timer(timeout, process.kill)
        watchdog.start()
        size, digest = 0, hashlib.sha256()
        try:
            while chunk := process.stdout.read(_CHUNK):
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
            watchdog.cancel()
            reader.join()
    return size, digest.hexdigest(), process.returncode, "".join(lines)
