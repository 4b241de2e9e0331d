"""What a server lacks before it can be deployed to, decided from what there is on it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from wharfinger.commands import setup as commands
from wharfinger.errors import InvalidInput, NotReady

OLDEST_ENGINE: Final = 25
"""The first that knows `start_interval`, by which a new release is found healthy at once."""

_LOG: Final = {"max-size": "10m", "max-file": "5"}
_DEBIAN_12: Final = re.compile(r"\b(bookworm|oldstable)\b")
_PACKAGES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "debian": {"engine": ("docker.io", "iptables"), "client": ("docker-cli",), "compose": ("docker-compose",)},
    "ubuntu": {"engine": ("docker.io", "iptables"), "client": ("docker.io",), "compose": ("docker-compose-v2",)},
    "docker-ce": {"client": ("docker-ce-cli",), "compose": ("docker-compose-plugin",)},
}
_FROM_TRIXIE: Final = frozenset(("docker.io", "docker-cli", "docker-compose"))


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do on a server, as root."""

    title: str
    argv: tuple[str, ...] = field(repr=False)
    stdin: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """What `commands.setup.look` found on a server."""

    facts: Mapping[str, str]
    name: str
    """How messages call the server."""

    def __getitem__(self, name: str) -> str:
        return self.facts.get(name, "")

    @property
    def family(self) -> str:
        """Whose package names hold: `debian`, `ubuntu`, `docker-ce`, or nothing that is known here."""
        if self["docker-ce"] == "installed":
            return "docker-ce"
        words = self["system"].split()
        return next((each for each in ("ubuntu", "debian") if each in words), "")

    @property
    def engine(self) -> int | None:
        """The engine's major version; None where there is none."""
        found = re.search(r"version (\d+)\.", self["engine"])
        return int(found[1]) if found else None

    @property
    def is_old(self) -> bool:
        """Whether the engine that is installed, or the one that runs, is older than what is needed."""
        running = re.match(r"\d+", self["answers"])
        majors = (self.engine, int(running[0]) if running else None)
        return any(major is not None and major < OLDEST_ENGINE for major in majors)

    @property
    def sources(self) -> dict[str, str]:
        """The files of apt's sources."""
        return {name.removeprefix("apt:"): text for name, text in self.facts.items() if name.startswith("apt:")}


def plan_setup(found: Found, *, user: str, folder: str) -> tuple[Change, ...]:
    """Return what has to be done, in order; nothing where all is there.

    Raises NotReady where that cannot be done from here, and InvalidInput for a daemon.json that nobody can read.
    """
    if found["root"] not in {"direct", "sudo"}:
        raise NotReady(
            f"{found.name}: {found['login'] or 'this user'} is neither root nor may become it without a password",
            fix="--login root (or a user who may `sudo`): only setting up needs it, deploying does not",
        )
    return (
        *_packages(found),
        *_user(found, user),
        *_daemon(found),
        *_engine(found),
        *_folder(found, user, folder),
    )


def already_there(found: Found, *, user: str, folder: str) -> tuple[str, ...]:
    """Return what needs no change, in words."""
    lines = []
    if found.engine is not None and found.engine >= OLDEST_ENGINE:
        lines.append(f"Docker Engine {found['answers'] or found.engine}")
    if found["compose"].startswith(("2", "v2", "3", "4", "5")):
        lines.append(f"Compose {found['compose']}")
    if found["python"]:
        lines.append(f"Python {found['python']}")
    if "docker" in found["groups"].split():
        lines.append(f"{user} in the group docker")
    if found["daemon"] and not tuple(_daemon(found)):
        lines.append("log rotation, and containers that outlive the engine")
    if not tuple(_folder(found, user, folder)):
        lines.append(folder)
    return tuple(lines)


def _packages(found: Found) -> Iterator[Change]:
    parts = tuple(_missing(found))
    if not parts:
        return
    if not found.family:
        raise NotReady(
            f"{found.name}: {found['called'] or 'this system'} lacks {', '.join(parts)}",
            fix="install that there by hand; this is done for you on Debian 12 and 13 and Ubuntu 24.04 only",
        )
    if "engine" in parts and found.family == "docker-ce":
        raise NotReady(
            f"{found.name}: Docker Engine {found.engine} is older than {OLDEST_ENGINE}",
            fix="there, as root: apt-get update && apt-get install docker-ce",
        )
    known = _PACKAGES[found.family]
    names = [name for part in parts for name in known.get(part, (part,))]
    if found["codename"] == "bookworm" and found.family == "debian":
        if any(name in _FROM_TRIXIE for name in names):
            yield from _suite(found)
        names = [f"{name}/trixie" if name in _FROM_TRIXIE else name for name in names]
    yield Change(f"install {' '.join(dict.fromkeys(names))}", commands.install(tuple(dict.fromkeys(names))))


def _missing(found: Found) -> Iterator[str]:
    if not found["python"]:
        yield "python3"
    if found.engine is None or found.engine < OLDEST_ENGINE:
        yield "engine"
        yield "ca-certificates"
        yield "client"
    elif not found["client"]:
        yield "client"
    if not found["compose"] or found["compose"].lstrip("v").startswith("1."):
        yield "compose"


def _suite(found: Found) -> Iterator[Change]:
    """Debian 12 has Compose 1 and engine 20.10; those of Debian 13 run on it. The mirror is the server's own."""
    sources = found.sources
    if any(re.search(r"^(deb|Suites:)[^#]*\btrixie\b", text, re.MULTILINE) for text in sources.values()):
        return
    for file, text in sources.items():
        ending = file.rpartition(".")[2]
        stanza = _one_line(text) if ending == "list" else _deb822(text)
        if stanza:
            name = f"wharfinger-trixie.{ending}"
            yield Change(
                "let apt know Debian 13 too, for Docker only", commands.add_suite(name), f"{stanza}\n".encode()
            )
            return
    raise NotReady(
        f"{found.name}: no apt source there names Debian 12, so none for Debian 13 can be made of it",
        fix="add Debian's own archive to /etc/apt/sources.list.d there",
    )


def _one_line(text: str) -> str:
    lines = (line for line in text.splitlines() if re.match(r"deb\s", line) and " main" in line)
    fitting = (line for line in lines if re.search(r"\s(bookworm|oldstable)\s", line))
    return next((_DEBIAN_12.sub("trixie", line) for line in fitting), "")


def _deb822(text: str) -> str:
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = dict(re.findall(r"^(\S+):[ \t]*(.*)$", stanza, re.MULTILINE))
        named = {"bookworm", "oldstable"} & set(fields.get("Suites", "").split())
        if named and "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes") != "no":
            return re.sub(r"^Suites:.*$", "Suites: trixie", stanza, flags=re.MULTILINE).strip()
    return ""


def _user(found: Found, user: str) -> Iterator[Change]:
    if not found["user"]:
        yield Change(f"make the user {user}", commands.add_user(user))
    if user != "root" and "docker" not in found["groups"].split():
        yield Change(f"put {user} into the group docker", commands.join_docker(user))


def _daemon(found: Found) -> Iterator[Change]:
    held = _read_daemon(found)
    wanted = dict(held)
    if held.get("log-driver", "json-file") == "json-file":
        wanted |= {"log-driver": "json-file", "log-opts": {**_LOG, **held.get("log-opts", {})}}
    if found["swarm"] != "active":  # a swarm's engines restart their services themselves
        wanted.setdefault("live-restore", True)
    if wanted != held:
        content = json.dumps(wanted, indent=2) + "\n"
        new = ", ".join(name for name in wanted if wanted[name] != held.get(name))
        yield Change(f"set {new} in {commands.DAEMON_FILE}", commands.configure_engine(), content.encode())


def _read_daemon(found: Found) -> dict[str, Any]:
    try:
        held = json.loads(found["daemon"] or "{}")
    except ValueError:
        held = None
    if not isinstance(held, dict) or not isinstance(held.get("log-opts", {}), dict):
        raise InvalidInput(
            f"{found.name}: {commands.DAEMON_FILE} is no JSON object that Docker could read",
            fix=f"correct it there: dockerd --validate --config-file {commands.DAEMON_FILE}",
        )
    return held


def _engine(found: Found) -> Iterator[Change]:
    disabled = found["systemd"] == "yes" and found["enabled"] != "enabled"
    if not found["answers"] or found.is_old or disabled:
        yield Change("start Docker Engine, now and at boot", commands.start_engine())


def _folder(found: Found, user: str, folder: str) -> Iterator[Change]:
    owner, _, mode = found["folder"].partition(" ")
    if owner != user or not mode.startswith("7"):
        yield Change(f"make {folder} {user}'s own", commands.make_folder(folder, user))


def firewall_hints(found: Found, ports: Sequence[int]) -> tuple[str, ...]:
    """Return what to know and to do about the firewall; none of it is done."""
    listed = ", ".join(map(str, ports))
    lines = [f"open to the world: TCP {listed}; nothing else of a stack is published"]
    if found["ufw"].endswith("active") and "inactive" not in found["ufw"]:
        lines += [f"ufw allow {port}/tcp" for port in ports]
    elif found["nft"] not in {"", "0"}:
        lines.append(f"nft add rule inet filter input tcp dport {{ {listed} }} accept")
    return tuple(lines)
