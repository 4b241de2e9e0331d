"""The deploy lock of one environment: one winner, and losers learn who holds it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from wharfinger.commands import compose
from wharfinger.errors import ConnectionLost, LockHeld
from wharfinger.hosts import File, Host
from wharfinger.hosts.operator import Operator
from wharfinger.model.release import Layout

_ATTEMPTS: Final = 5
_SETTLED_WITHIN: Final = 15.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, and since when (ISO 8601 in UTC)."""

    operator: Operator
    since: str

    def __str__(self) -> str:
        return f"{self.operator} (process {self.operator.pid}) has been deploying since {self.since}"


@contextmanager
def deploy_lock(host: Host, layout: Layout, operator: Operator, *, since: str) -> Iterator[bool]:
    """Hold the lock as long as the block runs; yield whether it was taken over from a process that has ended.

    Raises LockHeld with the holder's name. Where the host's connection is lost meanwhile its lock stays, and is stale.
    """
    taken_over = False
    content = json.dumps({**dataclasses.asdict(operator), "since": since}).encode()
    for _ in range(_ATTEMPTS):
        if host.create(layout.lock, File(content)):
            break
        settle(host, layout)
        taken_over = remove_stale(host, layout)
    else:
        raise LockHeld(f"{host.name}: others take the deploy lock again and again", fix="try again")
    try:
        yield taken_over
    except BaseException as error:
        if isinstance(error, ConnectionLost) and not host.is_reached():
            raise
        _let_go(host, layout, content)
        raise
    _let_go(host, layout, content)


def settle(host: Host, layout: Layout) -> None:
    """Return once the commands of a run that was killed have ended, or have had time to: a plan needs a still picture.

    Raises LockHeld where the run goes on.
    """
    if host.read(layout.lock) is None:
        return
    busy = deploying(host, layout)
    if busy is not None:
        remove_stale(host, layout)
    if host.read(layout.lock) is not None:
        releases = host.names_in(layout.releases)
        target = layout.target
        projects = (target.name, *(target.app_project(release) for release in releases))
        host.left_running(tuple(map(compose.words, projects)), within=_SETTLED_WITHIN)


def _let_go(host: Host, layout: Layout, content: bytes) -> None:
    try:
        host.remove_if(layout.lock, content)
    except OSError:  # of something before, which is told only now: the lock goes all the same
        host.remove_if(layout.lock, content)
        raise


def remove_stale(host: Host, layout: Layout) -> bool:
    """Remove the lock of a process that has ended; return whether there was one, raise LockHeld for any other lock."""
    held = host.read(layout.lock)
    if held is None:
        return False
    holder = _holder(host, layout, held)
    if not host.has_ended(holder.operator):
        raise LockHeld(
            f"{host.name}: {holder}",
            fix=f"wait for it; if that process is gone, remove {layout.lock}",
        )
    host.remove_if(layout.lock, held)
    return True


def deploying(host: Host, layout: Layout) -> Holder | None:
    """Return the other process that holds the lock; None where none does, or the one that did has ended."""
    held = host.read(layout.lock)
    try:
        holder = None if held is None else _holder(host, layout, held)
    except LockHeld:
        return Holder(Operator("somebody", "a place that the lock does not name", 0, ""), "nobody knows when")
    if holder is None or holder.operator == host.operator() or host.has_ended(holder.operator):
        return None
    return holder


def _holder(host: Host, layout: Layout, held: bytes) -> Holder:
    try:
        facts = json.loads(held)
        since = facts.pop("since")
        return Holder(Operator(**facts), since)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise LockHeld(
            f"{host.name}: {layout.lock} is held, and does not say by whom",
            fix=f"if nobody deploys, remove {layout.lock}",
        ) from None
