"""The Debian mirror that this machine's own apt is set up with, read from its source lists.

Pure: the caller reads the files. Both forms that apt knows are understood: one-line (`*.list`) and deb822
(`*.sources`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

_SUITES: Final = frozenset(
    ("oldstable", "stable", "testing", "unstable", "sid", "bullseye", "bookworm", "trixie", "forky", "duke")
)
_ONE_LINE: Final = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s*(?P<components>.*)")
_KEYS: Final = "debian-archive"


@dataclass(frozen=True, slots=True)
class Source:
    """One archive of binary packages, in one suite."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""
    """Path or content of the key that must have signed it; empty for the keys that apt trusts by default."""


def read_one_line(text: str) -> tuple[Source, ...]:
    """Return the sources of packages in a `*.list` file; whatever else stands there is passed over."""
    return tuple(_from_lines(text.splitlines()))


def _from_lines(lines: Iterable[str]) -> Iterator[Source]:
    for line in lines:
        match = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if match is None:
            continue
        options = dict(option.partition("=")[::2] for option in (match["options"] or "").split())
        yield Source(match["uri"], match["suite"], tuple(match["components"].split()), options.get("signed-by", ""))


def read_deb822(text: str) -> tuple[Source, ...]:
    """Return the sources of packages in a `*.sources` file; disabled and incomplete ones are passed over."""
    return tuple(source for stanza in re.split(r"\n[ \t]*\n", text) for source in _from_stanza(stanza))


def _from_stanza(stanza: str) -> Iterator[Source]:
    fields = _fields(stanza)
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in {
        "no",
        "false",
    }:
        return
    for uri in fields.get("uris", "").split():
        for suite in fields.get("suites", "").split():
            components = tuple(fields.get("components", "").split())
            yield Source(uri, suite, components, fields.get("signed-by", ""))


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace() and name:
            fields[name] += f"\n{line.strip()}"
            continue
        name, _, value = line.partition(":")
        name = name.strip().lower()
        fields[name] = value.strip()
    return fields


def debian_mirror(sources: Iterable[Source]) -> str | None:
    """Return the address of the Debian archive among these sources; None where there is none.

    Third parties publish archives with Debian's suite names too. They bring keys of their own, so what counts
    is an archive signed by Debian's keys, else one that names no keys and is called after Debian, as older
    lists have it.
    """
    return _best(source for source in sources if source.suite in _SUITES)


def security_mirror(sources: Iterable[Source]) -> str | None:
    """Return the address of Debian's security archive among these sources; None where there is none."""
    return _best(source for source in sources if source.suite.endswith("-security"))


def _best(sources: Iterable[Source]) -> str | None:
    own, unnamed = [], []
    for source in sources:
        if "main" not in source.components or not source.uri.startswith(("http:", "https:")):
            continue
        if _KEYS in source.signed_by:
            own.append(source.uri)
        elif not source.signed_by and "debian" in source.uri:
            unnamed.append(source.uri)
    return next(iter(own + unnamed), None)
