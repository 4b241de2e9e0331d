"""The command that builds an image, and the meaning of what it prints; nothing here runs it."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

TREE: Final = "org.wharfinger.tree"
"""Label of an image: the hash of what it was built from."""
REVISION: Final = "org.opencontainers.image.revision"
"""Label of an image: the git commit that it was built from, `-dirty` where files differed from it."""

_TAIL: Final = 20


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a build secret is read from: a variable of the command's environment, or a file."""

    id: str
    env: str | None = None
    file: str | None = None


def build(
    context: str,
    *,
    tag: str,
    dockerfile: str,
    target: str | None = None,
    platform: str | None = None,
    args: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    secrets: Sequence[SecretSource] = (),
    no_cache: bool = False,
) -> tuple[str, ...]:
    """Build an image with BuildKit and give it to the engine under `tag`.

    `docker build` is buildx's own command on the engine's own builder: another builder that a person may have
    chosen (`docker buildx use`) would not see base images that only the engine has.
    """
    options = [
        *(("--target", target) if target else ()),
        *(("--platform", platform) if platform else ()),
        *_each("--build-arg", (f"{name}={value}" for name, value in sorted((args or {}).items()))),
        *_each("--label", (f"{name}={value}" for name, value in sorted((labels or {}).items()))),
        *_each("--secret", map(secret_option, secrets)),
        *(("--no-cache",) if no_cache else ()),
    ]
    # Without attestations the image is one manifest, whose digest the engine and the registry agree on.
    return (
        *("docker", "build", "--load", "--progress=rawjson", "--provenance=false"),
        *("--tag", tag, "--file", dockerfile, *options, context),
    )


def _each(option: str, values: Iterable[str]) -> Iterator[str]:
    for value in values:
        yield from (option, value)


def secret_option(secret: SecretSource) -> str:
    """Return a build secret as the value of `--secret`."""
    source = f"env={secret.env}" if secret.env is not None else f"src={secret.file}"
    if any(character in source for character in ',"\n'):  # the flag is read as a line of CSV
        doubled = source.replace('"', '""')
        source = f'"{doubled}"'
    return f"id={secret.id},{source}"


@dataclass(slots=True)
class BuildLog:
    """What a build reports on standard error (`--progress=rawjson`), read line by line.

    These are JSON documents, one a line (newer buildx) or indented over several (0.13), and then words.
    """

    completed: int = 0
    """Steps of the Dockerfile that are done, or were done before."""
    current: str = ""
    """The step that began last."""
    failed: str = ""
    """The step that failed, if one did."""
    error: str = ""
    """Why it failed."""
    _names: dict[str, str] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)
    _logs: dict[str, deque[str]] = field(default_factory=dict)
    _failed: str = ""
    _words: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL))
    _document: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Steps that are known so far."""
        return len(self._names)

    def feed(self, line: str) -> None:
        """Read one line."""
        if not self._document and not line.startswith("{"):
            if line.strip():
                self._words.append(line.rstrip())
            return
        self._document.append(line)
        if line.rstrip() == "}" or len(self._document) == 1:
            self._read("\n".join(self._document))

    def tail(self) -> tuple[str, ...]:
        """Return the failed step's last lines, else the last words of the command itself."""
        return tuple(self._logs.get(self._failed, ())) or tuple(self._words)

    def _read(self, document: str) -> None:
        try:
            report: dict[str, Any] = json.loads(document)
        except ValueError:
            if len(self._document) > 1:  # else its other lines are still to come
                self._document.clear()
            return
        self._document.clear()
        for vertex in report.get("vertexes") or ():
            self._read_vertex(vertex)
        for log in report.get("logs") or ():
            text = base64.b64decode(log.get("data") or "").decode(errors="replace")
            lines = self._logs.setdefault(log["vertex"], deque(maxlen=_TAIL))
            # A progress bar draws over itself: what it showed last is what counts.
            lines.extend(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n") if line.strip())

    def _read_vertex(self, vertex: Mapping[str, Any]) -> None:
        digest, name = vertex["digest"], " ".join(vertex["name"].split())
        if name.startswith("[internal]"):
            return
        self._names[digest] = name
        if vertex.get("error"):
            self.failed, self.error, self._failed = name, vertex["error"], digest
        elif vertex.get("completed"):
            self._done.add(digest)
        elif vertex.get("started"):
            self._done.discard(digest)
            self.current = name
        self.completed = len(self._done)
