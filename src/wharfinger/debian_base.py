"""A Debian base image made on this machine, where no hub can hand one out."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from wharfinger import apt_sources
from wharfinger.commands import images as commands
from wharfinger.errors import CommandFailed, NotReady
from wharfinger.hosts import Host

MIRROR: Final = "WHARFINGER_DEBIAN_MIRROR"
"""Variable that names a Debian mirror on a machine whose apt has none, such as Ubuntu's."""

_LISTS: Final = PurePosixPath("/etc/apt/sources.list.d")
_SCRIPT: Final = PurePosixPath("/usr/share/debootstrap/scripts/sid")
_KEYRING: Final = PurePosixPath("/usr/share/keyrings/debian-archive-keyring.gpg")
_RELEASED: Final = ("bookworm", "trixie")
"""The suites that the security archive serves."""

_BOOTSTRAP_SECONDS: Final = 900.0
_QUICK_SECONDS: Final = 300.0


@contextlib.contextmanager
def context(
    host: Host, suite: str, folder: Path, environ: Mapping[str, str], note: Callable[[str], None]
) -> Iterator[Path]:
    """Yield a build context for a suite's base: the files of `folder`, the bootstrapped system, apt sources.

    `note` hears a line about each thing that happens. Raises NotReady without root, debootstrap or a mirror,
    and CommandFailed.
    """
    root = _root(host)
    sources = _apt_sources(host)
    mirror = environ.get(MIRROR) or apt_sources.debian_mirror(sources)
    if mirror is None:
        raise NotReady(
            "no image hub answers, and this machine's apt sources name no Debian mirror to build from",
            fix=f"set {MIRROR} to the address of one, or let Docker reach its hub",
        )
    _need_debootstrap(host, root, note)
    # Not /tmp: it is often mounted without device files or programs, which a bootstrap needs.
    with tempfile.TemporaryDirectory(prefix="wharfinger-base-", dir="/var/tmp") as name:
        system, ready = Path(name, "system"), Path(name, "context")
        shutil.copytree(folder, ready)
        try:
            argv = commands.bootstrap(suite, str(system), mirror, root=root)
            host.run(argv, timeout=_BOOTSTRAP_SECONDS, env=_with_sbin(environ), on_line=note)
            note("packing the base system")
            pack = commands.pack(str(system), str(ready / "rootfs.tar"), root=root)
            host.run(pack, timeout=_QUICK_SECONDS)
        finally:
            host.run(commands.remove_folder(str(system), root=root), timeout=_QUICK_SECONDS, check=False)
        security = apt_sources.security_mirror(sources) if suite in _RELEASED else None
        (ready / "debian.list").write_text(_apt_list(suite, mirror, security), encoding="utf-8")
        yield ready


def _root(host: Host) -> tuple[str, ...]:
    """Return what makes a command run as root, without asking for a password amid a progress display."""
    if os.geteuid() == 0:
        return ()
    with contextlib.suppress(NotReady):
        sudo = ("sudo", "--non-interactive")
        if host.run((*sudo, "true"), timeout=10, check=False).status == 0:
            return sudo
    raise NotReady("building a Debian base needs root, for debootstrap", fix="run `sudo -v` first, or run this as root")


def _apt_sources(host: Host) -> tuple[apt_sources.Source, ...]:
    """Return all sources that apt on this machine reads."""
    found = [*apt_sources.read_one_line(_text(host, _LISTS.with_name("sources.list")))]
    for name in host.names_in(_LISTS):
        if name.endswith(".list"):
            found += apt_sources.read_one_line(_text(host, _LISTS / name))
        elif name.endswith(".sources"):
            found += apt_sources.read_deb822(_text(host, _LISTS / name))
    return tuple(_resolved(host, source) for source in found)


def _resolved(host: Host, source: apt_sources.Source) -> apt_sources.Source:
    """Replace `mirror+file:PATH`, which Debian's cloud images have, by the first mirror in that file."""
    path = source.uri.removeprefix("mirror+file:")
    if path == source.uri:
        return source
    first, *_ = _text(host, PurePosixPath(path)).split() or [source.uri]
    return dataclasses.replace(source, uri=first)


def _text(host: Host, path: PurePosixPath) -> str:
    return (host.read(path) or b"").decode(errors="replace")


def _need_debootstrap(host: Host, root: tuple[str, ...], note: Callable[[str], None]) -> None:
    if host.read(_SCRIPT) is not None and host.read(_KEYRING) is not None:
        return
    install = commands.install_debootstrap(root=root)
    note("installing debootstrap")
    try:
        for argv in install:
            host.run(argv, timeout=_QUICK_SECONDS)
    except CommandFailed as failure:
        raise NotReady(
            "debootstrap is not installed, and apt could not install it",
            fix=" && ".join(" ".join(argv) for argv in install),
            details=failure.details,
        ) from failure


def _with_sbin(environ: Mapping[str, str]) -> dict[str, str]:
    """Return a PATH that finds debootstrap, which Debian keeps where only root looks."""
    return {"PATH": f"{environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"}


def _apt_list(suite: str, mirror: str, security: str | None) -> str:
    lines = [f"deb {mirror} {suite} main"]
    if security is not None:
        lines.append(f"deb {security} {suite}-security main")
    return "\n".join(lines) + "\n"
