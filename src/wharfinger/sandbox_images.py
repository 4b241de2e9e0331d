"""The images that the sandbox runs, and the stock images that its servers begin with."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

from wharfinger import assets, stand_ins, stock_images
from wharfinger.commands import compose
from wharfinger.commands import sandbox as commands
from wharfinger.engine import Engine
from wharfinger.hosts import Host

SEEDED: Final = ("nginx:1.30", "postgres:17", "redis:8", "certbot/certbot:v4.0.0")
"""What a new server's engine holds from the start."""

_SEED: Final = "wharfinger-sandbox-seed"
_SERVERS: Final = ("wharfinger/server:13", "wharfinger/server:12")
_BARE: Final = "wharfinger/server:13-bare"
_QUICK: Final = 60.0
_LONG: Final = 900.0


def ensure(host: Host, *, bare: bool, say: Callable[[str], None], note: Callable[[str], None]) -> str:
    """Make this machine's engine hold every image of a sandbox; return the volume that its servers begin with.

    Both are made once. Raises NotReady and BuildFailed.
    """
    servers = (*_SERVERS, _BARE) if bare else _SERVERS
    names = (*SEEDED, "registry:2", *stand_ins.TRIAL, *servers)
    source = stock_images.source_from(os.environ)
    stock_images.ensure(host, names, source=source, say=say, progress=lambda name, line: note(f"{name}: {line}"))
    identity = host.run(commands.identify((*SEEDED, _SERVERS[0])), timeout=_QUICK).stdout
    token = hashlib.sha256(identity.encode()).hexdigest()[:12]
    seed = f"{_SEED}-{token}"
    with _alone():
        engine = Engine(host.docker_url(), host=host.name)
        try:
            if f"{seed}\n" not in host.run(commands.seeds(), timeout=_QUICK).stdout or engine.project(seed):
                say(f"keeping {', '.join(SEEDED)} for every new server")
                _make(host, engine, seed, note)
        finally:
            engine.close()
    return seed


@contextmanager
def _alone() -> Iterator[None]:
    """Let one process of the user at a time make a seed."""
    path = Path(tempfile.gettempdir()) / f"wharfinger-{os.getuid()}-seed.lock"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(host: Host, engine: Engine, seed: str, note: Callable[[str], None]) -> None:
    """Let a server's engine take the images in; what one that was killed left behind goes first, and older seeds."""
    _remove(host, seed, *host.run(commands.seeds(), timeout=_QUICK).stdout.split())
    host.run(commands.make_seed(seed), timeout=_QUICK)
    try:
        file = str(assets.folder("compose") / "sandbox.yaml")
        unused = dict.fromkeys(("AUTHORIZED_KEYS", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"), "none")
        environ = {"SANDBOX_SEED": seed, **unused}
        host.run(compose.up(seed, file, services=("seeder",)), timeout=_LONG, env=environ)
        engine.wait_healthy(seed, {"seeder": 1}, timeout=_LONG, note=note)
        with tempfile.TemporaryDirectory(prefix="wharfinger-seed-", dir="/var/tmp") as folder:
            archive = PurePosixPath(folder, "images.tar")
            note("reading the images")
            host.run_to_file(commands.save_images(SEEDED), archive, timeout=_LONG)
            note("taking them in")
            host.run(commands.load_images(f"{seed}-seeder-1"), stdin_path=archive, timeout=_LONG)
        host.run(compose.down(seed, volumes=True), timeout=_QUICK)  # the seed itself is not the project's own
    except BaseException:
        _remove(host, seed)
        raise


def _remove(host: Host, seed: str, *others: str) -> None:
    host.run(compose.down(seed, volumes=True, stop_within=1), timeout=_QUICK, check=False)
    for volume in dict.fromkeys((seed, *others)):  # one that a sandbox uses stays
        host.run(commands.remove_volume(volume), timeout=_QUICK, check=False)
