"""What an image is built from, as one hash: an unchanged tree need not be built again."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from wharfinger.builds.ignored import Ignored
from wharfinger.commands import dockerignore
from wharfinger.commands.dockerignore import Ignore
from wharfinger.errors import InvalidInput
from wharfinger.model.build import BuildSpec

_CHUNK: Final = 1 << 20
_NOTHING: Final = Ignored()


def tree_hash(stack_folder: Path, spec: BuildSpec, ignored: Ignored = _NOTHING) -> str:
    """Return the SHA-256 of all that decides how an image comes out, as 64 hex digits.

    That is the Dockerfile, the stage, the platform, the arguments, and every file that the build may copy:
    its path, content and executable bit, or where a link points. As in git, empty folders, owners and times
    do not count; nor do base images, which are looked at anew with `--no-cache`, nor files that are `ignored`,
    though the build may copy them. Raises InvalidInput where something cannot be read.
    """
    context = stack_folder / spec.context
    dockerfile = context / spec.dockerfile
    if not context.is_dir():
        raise InvalidInput(f"{context}: the build context is no folder", fix="correct `build` in stack.yaml")
    if not dockerfile.is_file():
        raise InvalidInput(f"{dockerfile}: there is no such Dockerfile", fix="correct `build` in stack.yaml")
    total = hashlib.sha256()
    for part in ("wharfinger 1", spec.target or "", spec.platform or "", *_args(spec)):
        _add(total, os.fsencode(part))
    _add(total, _content(dockerfile))
    for path in sorted(context_files(context, dockerfile), key=os.fsencode):
        if ignored.covers(f"{spec.context}/{path}"):
            continue
        kind, content = _entry(context / path)
        for field in (kind, os.fsencode(path), content):
            _add(total, field)
    return total.hexdigest()


def context_files(context: Path, dockerfile: Path) -> Iterator[str]:
    """Yield the paths, folders aside, that a build of this Dockerfile may copy; raises InvalidInput."""
    yield from _files(context, _ignore(context, dockerfile))


def _args(spec: BuildSpec) -> Iterator[str]:
    for name, value in sorted(spec.args.items()):
        yield f"{name}={value}"


def _add(total: hashlib._Hash, field: bytes) -> None:
    """Add a field with its length, so that no two lists of fields run together into the same bytes."""
    total.update(len(field).to_bytes(8, "big"))
    total.update(field)


def _ignore(context: Path, dockerfile: Path) -> Ignore:
    for file in (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore"):
        if file.is_file():
            try:
                return dockerignore.parse(file.read_text(encoding="utf-8", errors="surrogateescape"))
            except ValueError as error:
                raise InvalidInput(f"{file}: {error}", fix=f"correct {file.name}") from None
    return Ignore()


def _files(context: Path, ignore: Ignore, folder: str = "", above: tuple[bool, ...] = ()) -> Iterator[str]:
    try:
        entries = list(os.scandir(context / folder))
    except OSError as error:
        raise _unreadable(Path(error.filename), error) from None
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        marks = ignore.marks(path, above)
        left_out = ignore.leaves_out(marks)
        if entry.is_dir(follow_symlinks=False):
            if not left_out or ignore.may_keep_below(path):
                yield from _files(context, ignore, path, marks)
        elif not left_out:
            yield path


def _entry(path: Path) -> tuple[bytes, bytes]:
    """Return a file's kind and what stands for its content."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return b"link", os.fsencode(path.readlink())
    if stat.S_ISREG(mode):
        return b"executable" if mode & stat.S_IXUSR else b"file", _content(path)
    return b"special", b""  # a socket or pipe: to read it would wait for ever


def _content(path: Path) -> bytes:
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise _unreadable(path, error) from None
    return digest.digest()


def _unreadable(path: Path, error: OSError) -> InvalidInput:
    return InvalidInput(
        f"{path}: {error.strerror}", fix="make it readable, or name it in .dockerignore if no image needs it"
    )
