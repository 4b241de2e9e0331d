"""Files that are either the old one or the new one, whole, whatever happens in between."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path


def write_atomically(path: Path, data: bytes, mode: int) -> None:
    """Replace the file by `data`: temp → fsync → rename → fsync of the folder.

    `mode` holds from the first byte on; the owner stays who it was. The folder must exist. A symbolic link
    stays, and what it points at is replaced. Raises OSError, and then leaves the old file as it was.
    """
    target = path.resolve()
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _keep_owner(file.fileno(), target)
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    fsync_folder(target.parent)


def assigned(content: bytes, values: Mapping[str, str]) -> bytes:
    """Return a file's content with NAME=VALUE lines at its beginning, and without others of these names."""
    names = {name.encode() for name in values}
    kept = [line for line in content.splitlines(keepends=True) if line.partition(b"=")[0] not in names]
    return b"".join([*(f"{name}={value}\n".encode() for name, value in values.items()), *kept])


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Keep every other process that asks for the same folder waiting as long as the block runs, or this process does.

    The folder is made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def fsync_folder(folder: Path) -> None:
    """Make what was created, renamed or removed in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keep_owner(descriptor: int, target: Path) -> None:
    """Give the new file to the old one's owner: root, by way of sudo, must not take a user's file away."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        old, new = target.stat(), os.fstat(descriptor)
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            os.fchown(descriptor, old.st_uid, old.st_gid)
