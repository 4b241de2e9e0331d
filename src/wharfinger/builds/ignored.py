"""Files whose change is no reason to deploy: `deploy.ignore` of the stack file."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from wharfinger.commands import dockerignore
from wharfinger.commands.dockerignore import Ignore
from wharfinger.errors import InvalidInput

_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Ignored:
    """The paths, seen from the stack's folder, that do not count."""

    patterns: Ignore = field(default_factory=Ignore)

    @classmethod
    def read(cls, patterns: Sequence[str]) -> Ignored:
        """Read patterns as a `.gitignore` has them; raises InvalidInput for one that is none."""
        try:
            return cls(dockerignore.parse("\n".join(_anywhere(pattern) for pattern in patterns)))
        except ValueError as error:
            raise InvalidInput(f"deploy.ignore: {error}", fix="correct `deploy.ignore` in stack.yaml") from None

    def covers(self, path: str) -> bool:
        """Whether a path or a folder that it lies in is ignored; what lies outside the stack's folder never is."""
        clean = posixpath.normpath(path)
        marks: tuple[bool, ...] = ()
        for end in (index for index, letter in enumerate(f"{clean}/") if letter == "/"):
            marks = self.patterns.marks(clean[:end], marks)
        return not clean.startswith("../") and self.patterns.leaves_out(marks)

    def files(self, folder: Path) -> dict[str, str]:
        """Return every file below a folder that is ignored, with a short hash of what it holds.

        Hidden folders are not looked into, nor are folders that links lead to.
        """
        if not self.patterns.patterns:
            return {}
        paths = sorted(path for path in _below(folder) if self.covers(path))
        return {path: hashlib.sha256((folder / path).read_bytes()).hexdigest()[:_DIGITS] for path in paths}


def _anywhere(pattern: str) -> str:
    """Return a pattern of a `.gitignore` as a `.dockerignore` says it: without a slash it holds in any folder."""
    sign, bare = ("!", pattern[1:]) if pattern.startswith("!") else ("", pattern)
    return f"{sign}{bare}" if "/" in bare.rstrip("/") else f"{sign}**/{bare}"


def _below(folder: Path, within: str = "") -> Iterator[str]:
    try:
        entries = list(os.scandir(folder / within))
    except OSError:
        return  # what cannot be read is found out where it is needed
    for entry in entries:
        path = f"{within}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith("."):
                yield from _below(folder, f"{path}/")
        elif entry.is_file(follow_symlinks=False) and os.access(entry.path, os.R_OK):
            yield path
