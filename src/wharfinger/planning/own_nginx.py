"""What a server lacks whose own Nginx is the edge, decided from what there is on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from wharfinger.commands import setup as commands
from wharfinger.planning.setup import Change, Found


def plan_own_nginx(found: Found, command: tuple[str, ...], *, user: str, sites: str) -> Iterator[Change]:
    """Yield what has to be done, in order, so that a user may deploy sites into a folder that Nginx includes.

    `command` is how the stack file calls it. One that is called in another way than by its name, with sudo or without,
    is left to whoever runs it.
    """
    by_sudo = command[0] == "sudo"
    is_package = PurePosixPath(command[-1]).name == "nginx" and (len(command) == 1 or by_sudo)
    wanted = ("curl", "openssl", *(("nginx",) if is_package else ()), *(("sudo",) if by_sudo else ()))
    missing = [name for name in wanted if not found[name]]
    if missing:
        yield Change(f"install {' '.join(missing)}", commands.install(missing))
    if not is_package:
        return
    if found["includes"] in {"", "0"}:
        yield Change(f"let Nginx include {sites}/*.conf", commands.include_sites(sites))
    if by_sudo and user != "root" and not found["may-reload"]:
        yield Change(f"let {user} test and reload Nginx, and nothing else of it", commands.let_reload(user))
    if not found["nginx-runs"] or (found["systemd"] == "yes" and found["nginx-enabled"] != "enabled"):
        yield Change("start Nginx, now and at boot", commands.start_nginx())
