"""Stand-ins for official images, built from Debian packages by the Dockerfiles in images/."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from wharfinger import assets, debian_base
from wharfinger.builds.building import ca_certificates
from wharfinger.commands import images as commands
from wharfinger.errors import BuildFailed, CommandFailed
from wharfinger.hosts import Host

STOCK: Final = (
    "nginx:1.30",
    "postgres:17",
    "postgres:15",
    "redis:8",
    "registry:2",
    "python:3.13-slim",
    "node:24-slim",
    "certbot/certbot:v4.0.0",
)
"""The official images that a stack may need and that have a stand-in."""

TRIAL: Final = (
    "ghcr.io/letsencrypt/pebble:2.6.0",
    "ghcr.io/letsencrypt/pebble-challtestsrv:2.6.0",
    "rclone/rclone:1.75.2",
)
"""Those that only the sandbox and the tests need."""

SERVERS: Final = (
    "wharfinger/server:13",
    "wharfinger/server:12",
    "wharfinger/server:13-bare",
    "wharfinger/server:12-bare",
)
"""The sandbox's servers, which stand in for no image of a hub."""

BASES: Final = ("debian:trixie-slim", "debian:forky-slim", "debian:bookworm-slim")
"""What the stand-ins are built on."""

_ARGUMENTS: Final[Mapping[str, Mapping[str, str]]] = {
    "postgres:15": {"BASE": "debian:bookworm-slim", "MAJOR": "15"},
    "wharfinger/server:12": {"BASE": "debian:bookworm-slim", "KIND": "nginx"},
    "wharfinger/server:13-bare": {"KIND": "bare"},
    "wharfinger/server:12-bare": {"BASE": "debian:bookworm-slim", "KIND": "bare"},
}
"""What a stand-in's Dockerfile, which it shares with others, is told besides."""

_KNOWN: Final = frozenset((*STOCK, *TRIAL, *SERVERS, *BASES))

Progress = Callable[[str, str], None]
"""Hears the name of an image and a line about what happens to it; called from several threads."""

_AT_ONCE: Final = 2
_BUILD_SECONDS: Final = 1800.0
_PROXIES: Final = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def label(name: str) -> str:
    """Return what identifies a stand-in's content: it changes with any file of it or of its base.

    Empty where there is no stand-in of that name.
    """
    if name not in _KNOWN:
        return ""
    digest = hashlib.sha256(name.encode())
    if name not in BASES:
        digest.update(label(base(name)).encode())
    for argument, value in sorted(_ARGUMENTS.get(name, {}).items()):
        digest.update(f"\0{argument}={value}".encode())
    folder = _folder(name)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def base(name: str) -> str:
    """Return the image that the stand-in for a stock image is built on."""
    chosen = _ARGUMENTS.get(name, {}).get("BASE")
    lines = (_folder(name) / "Dockerfile").read_text(encoding="utf-8").splitlines()
    default = next((line.partition("=")[2] for line in lines if line.startswith("ARG BASE=")), None)
    return chosen or default or next(line.split()[1] for line in lines if line.startswith("FROM "))


def _folder(name: str) -> Path:
    """Return the folder that is called as the image is, without its registry, account and tag."""
    return assets.folder("images") / name.rpartition("/")[2].partition(":")[0]


def build(host: Host, names: Iterable[str], *, cache: bool, progress: Progress, environ: Mapping[str, str]) -> None:
    """Build these stand-ins, two at once: the bases, then what needs them. Raises NotReady, BuildFailed."""

    def build_one(name: str) -> None:
        try:
            _build(host, name, cache=cache, progress=progress, environ=environ)
        except CommandFailed as failure:
            raise BuildFailed(
                f"the stand-in for {name} does not build",
                fix="see whether `apt-get update` works here, then run `invoke images.build`",
                details=failure.details,
            ) from failure

    names = tuple(names)
    at_once(build_one, [name for name in names if name in BASES])
    at_once(build_one, [name for name in names if name not in BASES])


def _build(host: Host, name: str, *, cache: bool, progress: Progress, environ: Mapping[str, str]) -> None:
    def note(line: str) -> None:
        progress(name, line)

    def note_build(line: str) -> None:
        text = commands.build_progress(line)
        if text is not None:
            note(text)

    def docker_build(context: Path) -> None:
        proxies = {proxy: environ[proxy] for proxy in _PROXIES if proxy in environ}
        values = proxies | dict(_ARGUMENTS.get(name, {}))
        argv = commands.build(
            name,
            str(context),
            label=label(name),
            arguments=tuple(values),
            secrets=ca_certificates(environ),
            cache=cache,
        )
        host.run(argv, timeout=_BUILD_SECONDS, env=values, on_line=note_build)

    if name in BASES:
        suite = name.partition(":")[2].removesuffix("-slim")
        with debian_base.context(host, suite, _folder(name), environ, note) as context:
            docker_build(context)
    else:
        docker_build(_folder(name))


def at_once(act: Callable[[str], None], names: Sequence[str]) -> None:
    """Act on every name, two at a time; the first failure is raised once all that began have ended."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures = [pool.submit(act, name) for name in names]
        try:
            for future in futures:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)
