"""Proving rendered files before anything else happens: the real Compose, and the Nginx that will serve them."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from wharfinger import local_ca
from wharfinger.commands import compose
from wharfinger.errors import CommandFailed, InvalidInput
from wharfinger.hosts import File
from wharfinger.hosts.files import one_at_a_time
from wharfinger.hosts.local import LocalHost
from wharfinger.rendering.release import HOST_MAIN
from wharfinger.rendering.routes import SERVER_ITSELF

EDGE_IMAGE: Final = "nginx:1.30"
_TIMEOUT: Final = 60.0
_CHECKED: Final = ".checked"
_CERTIFICATE: Final = re.compile(rb"^\s*ssl_certificate certs/([^/;\s]+)/", re.MULTILINE)
_TAG: Final = re.compile(rb":tree-[0-9a-f]{16}\b")


def write_and_check(files: Mapping[str, bytes], folder: Path) -> None:
    """Write rendered files into `folder`, and only them, then let Compose and Nginx read them.

    What has passed once is not checked again. Runs from one checkout wait for each other here: each would take the
    others' half-written files for what is not to be there. Raises InvalidInput with the tool's own words.
    """
    with one_at_a_time(folder):
        _write_and_check(files, folder)


def _write_and_check(files: Mapping[str, bytes], folder: Path) -> None:
    write(files, folder)
    digest = _digest(files)
    marker = folder / _CHECKED
    if marker.is_file() and marker.read_text(encoding="utf-8") == digest:
        return
    for name in ("compose.yaml", "data.yaml"):
        if name in files:
            _check_compose(folder / name)
    if "edge/nginx.conf" in files:
        _check_nginx(folder / "edge", _certificates(files))
    if HOST_MAIN in files:
        _check_host_site(folder / "edge", files[HOST_MAIN].decode())
    LocalHost().write({PurePosixPath(marker): File(digest.encode())})


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Make a folder hold exactly these files."""
    host = LocalHost()
    for path in differing(files, folder):
        if path not in files:
            host.remove(PurePosixPath(folder / path))
    changed = {name: content for name, content in files.items() if _held(folder / name) != content}
    host.write({PurePosixPath(folder / name): File(content) for name, content in changed.items()})


def differing(files: Mapping[str, bytes], folder: Path) -> tuple[str, ...]:
    """Return the names of files that a folder lacks, holds with other content, or should not hold."""
    held = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != _CHECKED}
    names = sorted(held | set(files))
    return tuple(name for name in names if _held(folder / name) != files.get(name))


def _held(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(EDGE_IMAGE.encode())
    for name in sorted(files):
        # Another build of an image has another tag, and no tag of ours makes a good file a bad one.
        content = _TAG.sub(b":tree", files[name])
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()


def _check_compose(path: Path) -> None:
    try:
        LocalHost().run(compose.config(str(path)), timeout=_TIMEOUT)
    except CommandFailed as error:
        lines = [line for line in error.details if "variable is not set" not in line]
        raise InvalidInput(
            f"{path}: Compose refuses it",
            details=lines,
            fix="correct stack.yaml, or the template in your templates/",
        ) from None


def _certificates(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the certificates that rendered sites serve with, and which lie on the server only."""
    sites = b"\n".join(content for name, content in files.items() if name.startswith("edge/sites/"))
    return tuple(dict.fromkeys(name.decode() for name in _CERTIFICATE.findall(sites)))


def _check_nginx(folder: Path, certificates: tuple[str, ...]) -> None:
    (folder / "certs").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="wharfinger-certs-") as stand_ins:
        for name in certificates:
            _stand_in(Path(stand_ins) / name)
        mounts = (
            *("--volume", f"{folder.resolve()}:/etc/nginx/wharfinger:ro"),
            *("--volume", f"{stand_ins}:/etc/nginx/wharfinger/certs:ro"),
        )
        _test_nginx(folder, mounts, "/etc/nginx/wharfinger/nginx.conf")


def _stand_in(folder: Path) -> None:
    """Put a certificate there which nobody trusts, and which goes once Nginx has read it."""
    from datetime import UTC, datetime

    folder.mkdir()
    chain, key = local_ca.Authority(folder / "ca").issue(("localhost",), datetime.now(UTC))
    (folder / "fullchain.pem").write_bytes(chain)
    (folder / "privkey.pem").write_bytes(key)


def _check_host_site(folder: Path, main: str) -> None:
    """Let Nginx read a site of the server's own Nginx where it will lie; certificates are only there, not here."""
    if any("ssl_certificate" in path.read_text(encoding="utf-8") for path in folder.glob("sites/*.conf")):
        return
    sites = main.partition("include ")[2].partition("/*.conf;")[0]
    mounts = (
        *("--volume", f"{folder.resolve()}/sites:{sites}:ro"),
        *("--volume", f"{folder.resolve()}:/etc/nginx/wharfinger:ro"),
    )
    _test_nginx(folder, mounts, "/etc/nginx/wharfinger/host.conf")


def _test_nginx(folder: Path, mounts: tuple[str, ...], main: str) -> None:
    argv = (
        *("docker", "run", "--rm", "--pull", "never", "--network", "none", "--read-only"),
        *("--add-host", f"{SERVER_ITSELF}:127.0.0.1"),
        *("--tmpfs", "/run", "--tmpfs", "/run/wharfinger", "--tmpfs", "/var/cache/nginx", "--tmpfs", "/var/log/nginx"),
        *(*mounts, "--entrypoint", "nginx", EDGE_IMAGE),
        *("-t", "-q", "-c", main),
    )
    try:
        LocalHost().run(argv, timeout=_TIMEOUT)
    except CommandFailed as error:
        raise InvalidInput(
            f"{folder}: Nginx refuses it",
            details=error.details,
            fix="correct `site` (and `site.snippet`) in stack.yaml, or the template in your templates/",
        ) from None
