"""This machine as a host."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Final

from wharfinger.errors import CommandFailed, WharfingerError
from wharfinger.hosts import Completed, File, leftover, operator, processes, unix_http
from wharfinger.hosts.files import assigned, fsync_folder, write_atomically
from wharfinger.hosts.operator import Operator
from wharfinger.secrets import Secret

_ATTEMPTS: Final = 5


class LocalHost:
    """The machine that Wharfinger itself runs on, without SSH."""

    def __init__(self, name: str = "local", *, begun: processes.Begun = processes.unheard) -> None:
        self._name = name
        self._begun = begun

    @property
    def name(self) -> str:
        """How messages call it; see `Host.name`."""
        return self._name

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
        done = processes.run(
            argv,
            timeout=timeout,
            stdin=stdin,
            stdin_path=stdin_path,
            env=env,
            on_line=on_line,
            host=self.name,
            begun=self._begun,
        )
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
                size, digest = processes.copy_output(argv, file, timeout=timeout, host=self.name, begun=self._begun)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(target)
            fsync_folder(target.parent)
        finally:
            partial.unlink(missing_ok=True)
        return size, digest

    def ask(
        self, socket: PurePosixPath, method: str, path: str, body: bytes = b"", *, timeout: float
    ) -> tuple[int, str]:
        """Ask over a Unix socket; see `Host.ask`."""
        return unix_http.ask(socket, method, path, body, timeout=timeout, host=self.name)

    def left_running(self, words: Sequence[tuple[str, ...]], *, within: float, end: bool = False) -> tuple[str, ...]:
        """Wait for processes; see `Host.left_running`."""
        return leftover.outwait(words, within=within, end=end)

    def attach(self, argv: Sequence[str], *, without: bytes = b"") -> int:
        """Run a command on the terminal; see `Host.attach`."""
        try:
            return processes.attach(argv, without=without)
        except KeyboardInterrupt:
            return 130

    def read(self, path: PurePosixPath) -> bytes | None:
        """Read a file; see `Host.read`."""
        try:
            return Path(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_all(self, paths: Iterable[PurePosixPath]) -> dict[PurePosixPath, bytes | None]:
        """Read files; see `Host.read_all`."""
        return {path: self.read(path) for path in paths}

    def read_in(
        self, folder: PurePosixPath, name: str | None = None, *, last: int | None = None, unless: Sequence[bytes] = ()
    ) -> dict[str, bytes]:
        """Read what a folder holds; see `Host.read_in`."""
        names = self.names_in(folder)[-last:] if last else self.names_in(folder)
        held = {each: self._read_file(folder / each / name if name else folder / each) for each in names}
        return {
            each: content
            for each, content in held.items()
            if content is not None and not any(each in content for each in unless)
        }

    def _read_file(self, path: PurePosixPath) -> bytes | None:
        try:
            return self.read(path)
        except IsADirectoryError:
            return None

    def write(self, files: Mapping[PurePosixPath, File], *, awaited: bool = True) -> None:  # noqa: ARG002 - always is
        """Write files; see `Host.write`."""
        for path, file in files.items():
            with self._naming(path):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                write_atomically(Path(path), file.content, file.mode)

    def create(self, path: PurePosixPath, file: File) -> bool:
        """Write a new file; see `Host.create`."""
        complete = Path(path).with_name(f".{path.name}.{os.getpid()}")
        with self._naming(path):
            _write_into_new(complete, file)
        try:
            os.link(complete, path)
        except FileExistsError:
            return False
        finally:
            complete.unlink()
        fsync_folder(Path(path).parent)
        return True

    def remove_if(self, path: PurePosixPath, content: bytes) -> None:
        """Remove a file of that content; see `Host.remove_if`."""
        parent = Path(path).parent
        try:
            folder = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # gone with the file, by another process
            return
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # it goes with this process, so it never has to be taken over itself
            if self.read(path) == content:
                Path(path).unlink()
                os.fsync(folder)
                with suppress(OSError):  # not empty, or not ours to remove
                    parent.rmdir()
                    parent.parent.rmdir()
        finally:
            os.close(folder)

    def append(self, path: PurePosixPath, line: str, *, awaited: bool = True) -> None:  # noqa: ARG002 - always is
        """Append a line; see `Host.append`."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"{line}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def assign(self, path: PurePosixPath, values: Mapping[str, str]) -> None:
        """Put lines into a file; see `Host.assign`."""
        self.write({path: File(assigned(self.read(path) or b"", values), 0o600)})

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

    def operator(self) -> Operator:
        """Return who runs this process; see `Host.operator`."""
        return operator.current()

    def has_ended(self, holder: Operator) -> bool:
        """Whether a process has ended; see `Host.has_ended`."""
        return operator.is_gone(holder)

    @contextmanager
    def lend(self, port: int) -> Iterator[None]:  # noqa: ARG002 - it is there
        """Do nothing: it is this machine's own port; see `Host.lend`."""
        yield

    def is_reached(self) -> bool:
        """Return True: nothing lies between."""
        return True

    def reach_again(self, *, within: float) -> None:
        """Do nothing: nothing lies between."""

    @contextmanager
    def _naming(self, path: PurePosixPath) -> Iterator[None]:
        """Say of a failed write which file it was, and where to look."""
        try:
            yield
        except OSError as error:
            raise WharfingerError(
                f"{self.name}: {path} was not written: {error.strerror}",
                fix=f"df -h {path.parent} shows what room there is, and ls -l who may write",
            ) from error


def _write_into_new(path: Path, file: File, attempts: int = _ATTEMPTS) -> None:
    """Write a file into a folder that may have to be made, and may vanish meanwhile with another's last file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, file.content, file.mode)
    except FileNotFoundError:
        if attempts == 1:
            raise
        _write_into_new(path, file, attempts - 1)
