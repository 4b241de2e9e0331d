"""The keys by which servers are known: what a server offers, and what the user's known_hosts files say of it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from wharfinger.commands import ssh as commands
from wharfinger.commands.ssh import Way

_WITHIN: Final = 30.0


class Standing(Enum):
    """What is known of the key that a server offers."""

    UNREACHED = "unreached"
    """No key came: nothing answers as an SSH server does."""
    UNKNOWN = "unknown"
    CHANGED = "changed"
    """Another key of the same type is known: the server was set up anew, or something else answers in its place."""
    KNOWN = "known"


@dataclass(frozen=True, slots=True)
class Offered:
    """What a server offers."""

    standing: Standing
    line: str = ""
    """The key, as a line of known_hosts."""
    fingerprint: str = ""
    """As ssh shows it: `SHA256:…`, and the type of the key."""
    files: tuple[str, ...] = ()
    """The user's known_hosts files, the one to write to first."""

    @property
    def name(self) -> str:
        """The name that known_hosts has for the server."""
        return self.line.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class HostKeys:
    """The keys of one server, seen from this machine."""

    way: Way

    def offered(self) -> Offered:
        """Ask the server, by the way on which ssh reaches it, and hold its key against those that are known."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "offered"
            _output(commands.offered_key(self.way, str(file)))
            line = file.read_text(encoding="utf-8").strip().splitlines()[0] if file.exists() else ""
            if not line:
                return Offered(Standing.UNREACHED)
            _, fingerprint, *_, kind = _output(commands.fingerprints(str(file))).split()
        files = self._files()
        return Offered(self._standing(line, files), line, f"{fingerprint} {kind}", files[0])

    def accept(self, offered: Offered) -> str:
        """Write an offered key into the user's known_hosts, in the place of any other; return where."""
        file = Path(offered.files[0]).expanduser()
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if offered.standing is Standing.CHANGED:
            for each in offered.files:
                if Path(each).expanduser().exists():
                    _output(commands.forget_keys(offered.name, str(Path(each).expanduser())))
        held = file.read_text(encoding="utf-8") if file.exists() else ""
        gap = "" if held.endswith("\n") or not held else "\n"
        with file.open("a", encoding="utf-8") as known:
            known.write(f"{gap}{offered.line}\n")
        return str(file)

    def resolved(self, setting: str) -> str:
        """Return what ssh_config says for the server; empty where it says nothing."""
        for line in _output(commands.resolve(self.way)).splitlines():
            name, _, value = line.partition(" ")
            if name == setting:
                return value
        return ""

    def _files(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the user's files, and the system's."""
        user = tuple(self.resolved("userknownhostsfile").split()) or ("~/.ssh/known_hosts",)
        return user, tuple(self.resolved("globalknownhostsfile").split())

    def _standing(self, line: str, files: tuple[tuple[str, ...], tuple[str, ...]]) -> Standing:
        name, kind, key = line.split()[:3]
        known = [
            held.split()
            for file in (*files[0], *files[1])
            if Path(file).expanduser().is_file()
            for held in _output(commands.known_keys(name, str(Path(file).expanduser()))).splitlines()
            if held and not held.startswith("#")
        ]
        keys = [fields for fields in known if not fields[0].startswith("@")]
        if any(fields[1:3] == [kind, key] for fields in keys):
            return Standing.KNOWN
        if any(fields[1] == kind for fields in keys):
            return Standing.CHANGED
        return Standing.KNOWN if known else Standing.UNKNOWN  # by a key of another type, or by an authority


def _output(argv: Sequence[str]) -> str:
    """Return what a command prints, whatever its exit status."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_WITHIN, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout
