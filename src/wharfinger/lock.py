"""The deploy lock of one environment: one winner, and losers learn who holds it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Final

from wharfinger.errors import LockHeld
from wharfinger.hosts import File, Host
from wharfinger.hosts.operator import Operator, is_gone
from wharfinger.model.release import Layout

_ATTEMPTS: Final = 5


@contextmanager
def deploy_lock(host: Host, layout: Layout, operator: Operator, *, since: str) -> Iterator[None]:
    """Hold the lock as long as the block runs.

    Raises LockHeld with the holder's name. A lock whose process is known to have ended is taken over.
    """
    content = json.dumps({**dataclasses.asdict(operator), "since": since}).encode()
    for _ in range(_ATTEMPTS):
        if host.create(layout.lock, File(content)):
            break
        _refuse_unless_stale(host, layout)
    else:
        raise LockHeld(
            f"{host.name}: others are taking over the deploy lock",
            fix=f"try again; if nobody deploys, remove {_turn(layout)}",
        )
    try:
        yield
    finally:
        if host.read(layout.lock) == content:
            host.remove(layout.lock)


def _refuse_unless_stale(host: Host, layout: Layout) -> None:
    """Remove the lock of a process that has ended; raise LockHeld for any other."""
    held = host.read(layout.lock)
    if held is None:
        return
    try:
        facts = json.loads(held)
        since = facts.pop("since")
        holder = Operator(**facts)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise LockHeld(
            f"{host.name}: {layout.lock} is held, and does not say by whom",
            fix=f"if nobody deploys, remove {layout.lock}",
        ) from None
    if is_gone(holder):
        _remove_stale(host, layout, held)
        return
    raise LockHeld(
        f"{host.name}: {holder} (process {holder.pid}) has been deploying since {since}",
        fix=f"wait for it; if that process is gone, remove {layout.lock}",
    )


def _remove_stale(host: Host, layout: Layout, held: bytes) -> None:
    """Remove a lock with that content, one process at a time.

    Else a second one that found the same stale lock could remove the lock that the first has taken meanwhile.
    """
    if not host.create(_turn(layout), File(b"")):
        return
    try:
        if host.read(layout.lock) == held:
            host.remove(layout.lock)
    finally:
        host.remove(_turn(layout))


def _turn(layout: Layout) -> PurePosixPath:
    return layout.lock.with_name("lock.stale")
