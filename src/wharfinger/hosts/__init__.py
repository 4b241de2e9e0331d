"""Where commands run and files lie: one protocol for this machine and for servers over SSH.

The modules of this package are the only callers of subprocess in the project (with the registry's HTTP client
and the Docker SDK in `engine.py`, the only ones that reach the world at all). Operations are coarse, so that a
host over SSH needs few round trips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from wharfinger.hosts.operator import Operator
from wharfinger.secrets import Secret


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command left behind: its exit status and its output, decoded as UTF-8."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class File:
    """The content and mode of one file to be written."""

    content: bytes
    mode: int = 0o644


class Host(Protocol):
    """A machine that holds releases and runs Docker."""

    @property
    def name(self) -> str:
        """How messages call it: `local`, or its SSH destination."""

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
        """Run a command and return what it left.

        It reads `stdin`, or the file of this host at `stdin_path`, which must exist and may be of any size.
        `env` is added to a minimal environment, never to the operator's own. `on_line` is called with each line of
        standard error as it comes. Raises CommandFailed on a non-zero status unless `check` is false, and on a
        time-out after ending the command.
        """

    def run_to_file(
        self, argv: Sequence[str], path: PurePosixPath, *, timeout: float, mode: int = 0o600
    ) -> tuple[int, str]:
        """Run a command with its standard output going into a new file; return the bytes and their SHA-256.

        The file appears only when the command has exited 0 and its bytes are on disk. Raises CommandFailed.
        """

    def ask(
        self, socket: PurePosixPath, method: str, path: str, body: bytes = b"", *, timeout: float
    ) -> tuple[int, str]:
        """Ask who listens on a Unix socket by HTTP; return the status and text of the answer.

        GET must change nothing there. Raises NotReady where nobody answers, within so many seconds.
        """

    def left_running(self, words: Sequence[tuple[str, ...]], *, within: float, end: bool = False) -> tuple[str, ...]:
        """Wait `within` seconds for processes in whose argv some of `words` follow each other.

        Return the command lines of those that run on. With `end` they are killed after that, each with its process
        group.
        """

    def attach(self, argv: Sequence[str], *, without: bytes = b"") -> int:
        """Run a command on the user's own terminal, for as long as it takes; return its exit status.

        `without` is left out of each line of its output, which then is no terminal to it.
        """

    def read(self, path: PurePosixPath) -> bytes | None:
        """Return a file's content, or None where there is none."""

    def read_all(self, paths: Iterable[PurePosixPath]) -> dict[PurePosixPath, bytes | None]:
        """Return the content of files, None for each that there is not."""

    def read_in(
        self, folder: PurePosixPath, name: str | None = None, *, last: int | None = None, unless: Sequence[bytes] = ()
    ) -> dict[str, bytes]:
        """Return the files in a folder by name; with `name`, the file so called in each of its folders.

        They come sorted; with `last` only so many of the last ones are looked at. Those that hold any of
        `unless` are left out.
        """

    def write(self, files: Mapping[PurePosixPath, File], *, awaited: bool = True) -> None:
        """Write files, each atomically and durably, making folders as needed.

        Where it is not `awaited`, a failure may be told by what is asked of this host next, which is then not done.
        Raises WharfingerError naming the file that was not written, which is then what it was before.
        """

    def create(self, path: PurePosixPath, file: File) -> bool:
        """Write a file that must not exist yet; return False, and change nothing, where it does."""

    def remove_if(self, path: PurePosixPath, content: bytes) -> None:
        """Remove a file that holds exactly that, one process at a time; another content stays.

        The folder goes with its last file, and the one around it where that is empty then.
        """

    def append(self, path: PurePosixPath, line: str, *, awaited: bool = True) -> None:
        """Append a line durably; `awaited` as with `write`."""

    def assign(self, path: PurePosixPath, values: Mapping[str, str]) -> None:
        """Let a file begin with NAME=VALUE lines, in place of those it has of these names; its owner alone may read it.

        A failure may be told by what is asked of this host next, which is then not done.
        """

    def make_folder(self, path: PurePosixPath, *, mode: int = 0o755, owner: int | None = None) -> None:
        """Make a folder and its parents where missing; a new folder gets the mode and, if possible, the owner."""

    def link(self, path: PurePosixPath, target: str) -> None:
        """Point a symbolic link somewhere in one atomic act."""

    def link_target(self, path: PurePosixPath) -> str | None:
        """Return where a symbolic link points, or None where there is none."""

    def names_in(self, folder: PurePosixPath) -> tuple[str, ...]:
        """Return the sorted names in a folder; none where it does not exist."""

    def remove(self, path: PurePosixPath) -> None:
        """Remove a file, link or folder with all it holds; nothing happens where there is none."""

    def free_bytes(self, path: PurePosixPath) -> int:
        """Return the free space of the file system that holds (or will hold) a path."""

    def operator(self) -> Operator:
        """Return who acts on this host, and the process of it by which: its end is the end of the run."""

    def has_ended(self, holder: Operator) -> bool:
        """Whether the process of an operator is known to have ended."""

    def lend(self, port: int) -> AbstractContextManager[None]:
        """Let this host reach a port of the operator's loopback as its own, as long as the block runs."""

    def is_reached(self) -> bool:
        """Whether the host still answers, on the connection on which it did before."""

    def reach_again(self, *, within: float) -> None:
        """Connect anew, and end what served the lost connection; raises ConnectionLost after so many seconds."""

    def docker_url(self) -> str | None:
        """Return the engine's address for the Docker SDK; None for this machine's own default."""
