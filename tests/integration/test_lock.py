"""The deploy lock between real processes on a real file system."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from dataclasses import asdict, replace
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path, PurePosixPath

import pytest

from wharfinger.errors import LockHeld
from wharfinger.hosts import operator
from wharfinger.hosts.local import LocalHost
from wharfinger.lock import deploy_lock
from wharfinger.model.release import Layout, Target

RACERS = 8
SPAWN = multiprocessing.get_context("spawn")


def layout_in(folder: Path) -> Layout:
    return Layout(PurePosixPath(folder), Target("sevra-atlas", "local"))


def stale(folder: Path) -> None:
    """Leave the lock of a process of this machine that has ended."""
    gone = replace(operator.current(), started="0")
    path = Path(layout_in(folder).lock)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**asdict(gone), "since": "long ago"}))


def race(folder: Path, rounds: int, start: Barrier, told: Queue[tuple[str, object]]) -> None:
    """Try for the lock at the same moment as all others, once a round, and tell what came of it."""
    layout = layout_in(folder)
    for number in range(rounds):
        start.wait(60)
        if os.getpid() % RACERS == 0:
            time.sleep(0.0005)  # who comes late finds the lock in another state
        try:
            with deploy_lock(LocalHost(), layout, operator.current(), since=str(number)):
                marker = Path(folder, "inside")
                marker.mkdir()  # fails if another is inside too
                told.put(("won", os.getpid()))
                start.wait(60)  # everybody has tried
                marker.rmdir()
        except LockHeld as error:
            told.put(("lost", error.problem))
            start.wait(60)
        except FileExistsError:
            told.put(("two inside", None))
            start.wait(60)
        start.wait(60)
        told.put(("round", number))
        if start.wait(60) == 0:
            stale(folder)
        start.wait(60)


@pytest.mark.parametrize("begins_stale", [False, True], ids=["no lock", "a stale lock"])
def test_of_many_processes_one_wins_and_the_others_learn_its_name(tmp_path: Path, begins_stale: bool) -> None:
    rounds = 1 if not begins_stale else 40
    if begins_stale:
        stale(tmp_path)
    start, told = SPAWN.Barrier(RACERS), SPAWN.Queue()
    racers = [SPAWN.Process(target=race, args=(tmp_path, rounds, start, told), daemon=True) for _ in range(RACERS)]
    for racer in racers:
        racer.start()
    heard = [told.get(timeout=60) for _ in range(rounds * RACERS * 2)]
    for racer in racers:
        racer.join(60)

    won = [fact for what, fact in heard if what == "won"]
    lost = [str(fact) for what, fact in heard if what == "lost"]
    assert (len(won), len(lost)) == (rounds, rounds * (RACERS - 1))
    named = [problem for problem in lost if any(f"(process {pid})" in problem for pid in won)]
    passed_by = [problem for problem in lost if "again and again" in problem]
    assert len(named) + len(passed_by) == len(lost)
    if not begins_stale:
        assert not passed_by


def hold_and_die(folder: Path) -> None:
    with deploy_lock(LocalHost(), layout_in(folder), operator.current(), since="before"):
        os._exit(9)  # as a SIGKILL: nothing is cleaned up


def test_a_killed_deploy_does_not_block_the_next(tmp_path: Path) -> None:
    killed = SPAWN.Process(target=hold_and_die, args=(tmp_path,))
    killed.start()
    stat = Path(f"/proc/{killed.pid}/stat")
    while stat.read_text().rpartition(")")[2].split()[0] != "Z":  # not reaped yet, but it has ended
        time.sleep(0.01)
    lock = Path(layout_in(tmp_path).lock)
    assert json.loads(lock.read_text())["pid"] == killed.pid

    with deploy_lock(LocalHost(), layout_in(tmp_path), operator.current(), since="after"):
        assert json.loads(lock.read_text())["since"] == "after"

    assert not lock.parent.exists()
    killed.join()
