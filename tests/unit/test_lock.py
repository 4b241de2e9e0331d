"""One deploy at a time; who finds the lock taken learns by whom, and cannot take it away."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import PurePosixPath

import pytest
from tests.examples import LAYOUT
from tests.recording import RecordingHost

from wharfinger.commands import compose
from wharfinger.errors import LockHeld
from wharfinger.hosts import File
from wharfinger.hosts.operator import Operator, current
from wharfinger.lock import deploy_lock, deploying

SINCE = "2026-11-20T14:30:00.000+00:00"
ELSEWHERE = Operator("ann", "laptop", 4711, "123456")


def gone() -> Operator:
    """A process of this machine that has ended: its pid is another process's now."""
    return dataclasses.replace(current(), started="0")


def held_by(holder: Operator) -> bytes:
    return json.dumps({**dataclasses.asdict(holder), "since": SINCE}).encode()


@pytest.fixture
def host() -> RecordingHost:
    return RecordingHost()


def test_the_lock_says_who_holds_it_and_goes_with_the_block(host: RecordingHost) -> None:
    with deploy_lock(host, LAYOUT, current(), since=SINCE):
        held = json.loads(host.read(LAYOUT.lock) or b"")

    assert held == {**dataclasses.asdict(current()), "since": SINCE}
    assert held["pid"] == os.getpid()
    assert host.read(LAYOUT.lock) is None


def test_the_lock_goes_when_the_block_fails(host: RecordingHost) -> None:
    with pytest.raises(KeyboardInterrupt), deploy_lock(host, LAYOUT, current(), since=SINCE):
        raise KeyboardInterrupt

    assert host.read(LAYOUT.lock) is None


@pytest.mark.parametrize(
    "holder",
    [
        pytest.param(current(), id="a process that runs"),
        pytest.param(ELSEWHERE, id="another machine, whose processes nobody here can know"),
        pytest.param(dataclasses.replace(gone(), machine="laptop"), id="the same pid on another machine"),
    ],
)
def test_a_lock_that_is_held_is_refused_and_stays(host: RecordingHost, holder: Operator) -> None:
    host.files[LAYOUT.lock] = File(held_by(holder))

    with pytest.raises(LockHeld) as caught, deploy_lock(host, LAYOUT, current(), since="later"):
        pytest.fail("two hold the lock")

    assert caught.value.problem == f"recorder: {holder} (process {holder.pid}) has been deploying since {SINCE}"
    assert str(LAYOUT.lock) in caught.value.fix
    assert caught.value.exit_code == 6
    assert host.read(LAYOUT.lock) == held_by(holder)


def test_the_lock_of_a_process_that_has_ended_is_taken_over(host: RecordingHost) -> None:
    host.files[LAYOUT.lock] = File(held_by(gone()))

    with deploy_lock(host, LAYOUT, current(), since="later"):
        assert json.loads(host.read(LAYOUT.lock) or b"")["since"] == "later"

    assert host.files == {}


def test_it_is_not_taken_over_before_the_commands_of_that_process_have_ended() -> None:
    class Busy(RecordingHost):
        def left_running(
            self, words: Sequence[tuple[str, ...]], *, within: float, end: bool = False
        ) -> tuple[str, ...]:
            self.calls.append(("outwait", tuple(words), self.read(LAYOUT.lock)))
            return super().left_running(words, within=within, end=end)

    host = Busy({LAYOUT.lock: held_by(gone()), LAYOUT.release("20261120120000") / "release.json": b""})

    with deploy_lock(host, LAYOUT, current(), since="later"):
        pass

    names = (LAYOUT.target.name, LAYOUT.target.app_project("20261120120000"))
    words = tuple(map(compose.words, names))
    assert host.calls[:2] == [("outwait", words, held_by(gone())), ("remove", LAYOUT.lock)]


@pytest.mark.parametrize(
    "content",
    [b"", b"4711", b"null", b'"ann"', b"[]", b"{}", b'{"user": "ann"}', b"\xff", b"{", b'{"since": 1, "x": 2}'],
)
def test_a_lock_that_does_not_say_by_whom_is_never_taken(host: RecordingHost, content: bytes) -> None:
    host.files[LAYOUT.lock] = File(content)

    with pytest.raises(LockHeld, match="does not say by whom") as caught:
        deploy_lock(host, LAYOUT, current(), since=SINCE).__enter__()

    assert caught.value.fix == f"if nobody deploys, remove {LAYOUT.lock}"
    assert host.read(LAYOUT.lock) == content


def test_a_lock_that_became_another_ones_meanwhile_is_not_removed_at_the_end(host: RecordingHost) -> None:
    with deploy_lock(host, LAYOUT, current(), since=SINCE):
        host.files[LAYOUT.lock] = File(held_by(ELSEWHERE))

    assert host.read(LAYOUT.lock) == held_by(ELSEWHERE)


def test_a_lock_that_another_took_over_meanwhile_is_not_removed() -> None:
    """Two find the same stale lock; the slower one must not remove what the faster one has taken."""

    class Overtaken(RecordingHost):
        def remove_if(self, path: PurePosixPath, content: bytes) -> None:
            self.files[path] = File(held_by(ELSEWHERE))
            super().remove_if(path, content)

    host = Overtaken()
    host.files[LAYOUT.lock] = File(held_by(gone()))

    with pytest.raises(LockHeld, match="ann@laptop"):
        deploy_lock(host, LAYOUT, current(), since=SINCE).__enter__()

    assert host.read(LAYOUT.lock) == held_by(ELSEWHERE)


@pytest.mark.parametrize(("held", "who"), [(None, None), (held_by(gone()), None), (held_by(current()), None)])
def test_nobody_else_deploys_where_the_lock_is_free_stale_or_ours(
    host: RecordingHost, held: bytes | None, who: None
) -> None:
    if held is not None:
        host.files[LAYOUT.lock] = File(held)

    assert deploying(host, LAYOUT) is who


def test_who_deploys_is_told(host: RecordingHost) -> None:
    host.files[LAYOUT.lock] = File(held_by(ELSEWHERE))

    assert str(deploying(host, LAYOUT)) == f"ann@laptop (process 4711) has been deploying since {SINCE}"


def test_a_lock_that_is_released_just_now_is_taken() -> None:
    class Released(RecordingHost):
        """A host on which the holder is done between the first try and the look at its lock."""

        def create(self, path: object, file: File) -> bool:
            if not self.calls:
                self.calls.append(("refused",))
                return False
            return super().create(path, file)  # type: ignore[arg-type]

    host = Released()

    with deploy_lock(host, LAYOUT, current(), since=SINCE):
        assert host.read(LAYOUT.lock) is not None
