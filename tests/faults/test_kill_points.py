"""A run that is ended at any point: what serves meanwhile, what recovery says, and that nothing is left of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults import killing
from tests.faults.killing import change, current, patient, points, recovered, serves
from tests.integration.deployments import PEBBLE, Deployment, docker

BEFORE = ("UploadRelease", "Pull", "BackUp", "Migrate", "StartApp", "PutSite", "Switch", "Verify", "Record")
REDEPLOY = (*BEFORE, "Retire", "Prune")
ROLLBACK = ("Pull", "StartApp", "PutSite", "Switch", "Verify", "Record", "Retire")
FIRST = ("UploadRelease", "Pull", "StartEdge", "StartData", *BEFORE[2:])
MIDDLE = ("Pull+0.01", "BackUp+0.15", "Migrate+0.2", "StartApp+0.2", "StartApp+0.6", "Verify+0.01", "Retire+0.2")
TABLE = ("psql", "-U", "postgres", "-Atc")


@pytest.fixture(scope="module")
def pebble(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """A deployed pebble with a row in its database, and an earlier release to go back to."""
    made = patient(make_deployment(PEBBLE))
    made.edit("stack.yaml", "  cache: {enabled: false}", "  cache: {enabled: false}\n  upload_limit: 1m")
    made.deploy()
    docker("exec", f"{made.name}-local-postgres", *TABLE, "create table pebbles as select 'granite' as kind")
    change(made)
    made.deploy()
    return made


def row_is_there(deployment: Deployment) -> bool:
    return docker("exec", f"{deployment.name}-local-postgres", *TABLE, "select kind from pebbles") == "granite"


@pytest.mark.parametrize(
    "point",
    points(
        REDEPLOY,
        ("started BackUp+0.15", "started StartApp", "done Switch", "done Record"),
        middle=MIDDLE,
    ),
)
def test_a_killed_redeploy_is_reverted_or_finished_without_a_failed_request(pebble: Deployment, point: str) -> None:
    before, release = serves(pebble), current(pebble)
    after = change(pebble)
    with killing.visitors(pebble) as seen:
        killed = killing.hit(pebble, f"kill:{point}", "deploy", "--env", "local")
        assert killed.returncode == -9, killed.stderr
        assert "was cut off" in pebble.wharfinger("status", "--env", "local").stderr
        committed = current(pebble) != release
        recovered(pebble, "finished" if committed else "reverted")
    assert seen.failures == []
    assert serves(pebble) == (after if committed else before)
    assert set(seen.versions) <= {before, after}
    assert (current(pebble) != release) == committed
    with killing.visitors(pebble) as seen:
        pebble.deploy()
    assert (seen.failures, serves(pebble), row_is_there(pebble)) == ([], after, True)


@pytest.mark.long
@pytest.mark.parametrize("point", points(ROLLBACK, ("done PutSite",), middle=("StartApp+0.3",)))
def test_a_killed_rollback_is_reverted_or_finished_without_a_failed_request(pebble: Deployment, point: str) -> None:
    before, release = serves(pebble), current(pebble)
    with killing.visitors(pebble) as seen:
        killed = killing.hit(pebble, f"kill:{point}", "rollback", "--env", "local")
        assert killed.returncode == -9, killed.stderr
        committed = current(pebble) != release
        recovered(pebble, "finished" if committed else "reverted")
        assert (serves(pebble) != before) == committed
        pebble.deploy()
    assert (seen.failures, serves(pebble), row_is_there(pebble)) == ([], before, True)
    change(pebble)
    pebble.deploy()


def test_the_next_deploy_recovers_by_itself(pebble: Deployment) -> None:
    after = change(pebble)
    with killing.visitors(pebble) as seen:
        assert killing.hit(pebble, "kill:done Switch", "deploy", "--env", "local").returncode == -9
        assert "was cut off in Switch, and is reverted" in pebble.deploy().stderr
    assert (seen.failures, serves(pebble)) == ([], after)
    assert killing.remains(pebble, release=current(pebble)) == []


@pytest.mark.long
def test_the_next_rollback_recovers_by_itself(pebble: Deployment) -> None:
    before = serves(pebble)
    change(pebble)
    with killing.visitors(pebble) as seen:
        assert killing.hit(pebble, "kill:done PutSite", "deploy", "--env", "local").returncode == -9
        assert "and is reverted" in pebble.wharfinger("rollback", "--env", "local").stderr
    assert seen.failures == []
    assert serves(pebble) != before
    assert killing.remains(pebble, release=current(pebble)) == []
    pebble.deploy()


@pytest.mark.parametrize("name", ["int", *(pytest.param(name, marks=pytest.mark.long) for name in ("hup", "term"))])
@pytest.mark.parametrize(
    "point", points(("BackUp", "Switch"), ("started StartApp+0.2",), middle=("StartApp+0.2", "BackUp+0.15"))
)
def test_one_ctrl_c_or_lost_terminal_compensates(pebble: Deployment, name: str, point: str) -> None:
    before, release = serves(pebble), current(pebble)
    change(pebble)
    # A terminal that is closed is told of twice, by the kernel and by the shell.
    twice = f",{name}:failed {point.partition(' ')[2].partition('+')[0]}" if name == "hup" and "+" in point else ""
    with killing.visitors(pebble) as seen:
        ended = killing.hit(pebble, f"{name}:{point}{twice}", "deploy", "--env", "local")
    assert ended.returncode == 130, ended.stderr
    assert killing.journal(pebble)[-1]["outcome"] == "reverted"
    assert (seen.failures, serves(pebble), current(pebble)) == ([], before, release)
    assert killing.remains(pebble, release=release) == []


def test_a_terminal_that_is_closed_ends_in_what_was_before(pebble: Deployment) -> None:
    before, release = serves(pebble), current(pebble)
    change(pebble)
    with killing.visitors(pebble) as seen:
        killing.in_a_terminal_closed_at(pebble, "StartApp", "deploy", "--env", "local")
    assert killing.journal(pebble)[-1]["outcome"] == "reverted"
    assert (seen.failures, serves(pebble), current(pebble)) == ([], before, release)
    assert killing.remains(pebble, release=release) == []


@pytest.mark.parametrize("second", ["undone StartApp", pytest.param("undone BackUp", marks=pytest.mark.long)])
def test_a_second_ctrl_c_stops_at_once_and_the_journal_says_so(pebble: Deployment, second: str) -> None:
    before = serves(pebble)
    change(pebble)
    with killing.visitors(pebble) as seen:
        ended = killing.hit(pebble, f"int:started StartApp+0.2,int:{second}", "deploy", "--env", "local")
        assert ended.returncode == 130, ended.stderr
        assert "invoke recover" in ended.stderr
        assert killing.journal(pebble)[-1]["event"] == "abandoned"
        recovered(pebble, "reverted")
    assert (seen.failures, serves(pebble)) == ([], before)


@pytest.mark.long
def test_a_recovery_that_is_killed_is_recovered(pebble: Deployment) -> None:
    before = serves(pebble)
    change(pebble)
    with killing.visitors(pebble) as seen:
        assert killing.hit(pebble, "kill:done Switch", "deploy", "--env", "local").returncode == -9
        assert killing.hit(pebble, "kill:done Switch", "recover", "--env", "local").returncode == -9
        recovered(pebble, "reverted")
    assert (seen.failures, serves(pebble)) == ([], before)


@pytest.mark.long
def test_a_plan_of_recovery_changes_nothing(pebble: Deployment) -> None:
    change(pebble)
    assert killing.hit(pebble, "kill:done StartApp", "deploy", "--env", "local").returncode == -9
    files = sorted(pebble.server.rglob("*"))
    assert "close its journal: reverted" in pebble.wharfinger("recover", "--env", "local", "--plan").stderr
    assert sorted(pebble.server.rglob("*")) == files
    recovered(pebble, "reverted")


@pytest.fixture(scope="module")
def fresh(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """A pebble that was never deployed."""
    return patient(make_deployment(PEBBLE))


@pytest.mark.long
@pytest.mark.parametrize("point", points(FIRST, ("started StartData+0.3", "done Switch"), middle=("StartData+0.3",)))
def test_a_killed_first_deploy_leaves_nothing_but_its_data(fresh: Deployment, point: str) -> None:
    killed = killing.hit(fresh, f"kill:{point}", "deploy", "--env", "local")
    assert killed.returncode == -9, killed.stderr
    committed = (fresh.server / "current").is_symlink()
    if committed:
        recovered(fresh, "finished")
        assert serves(fresh) == "one"
    else:
        assert "and is reverted" in fresh.wharfinger("recover", "--env", "local").stderr
        assert killing.remains(fresh, release=None) == []
        assert "nothing to recover" in fresh.wharfinger("recover", "--env", "local").stderr
    fresh.deploy()
    assert serves(fresh) == "one"
    fresh.wharfinger("down", "--env", "local", "--volumes", "--yes")


@pytest.mark.long
def test_a_first_deploy_that_was_killed_is_taken_up_by_the_next(fresh: Deployment) -> None:
    assert killing.hit(fresh, "kill:done Switch", "deploy", "--env", "local").returncode == -9
    with killing.visitors(fresh) as seen:
        fresh.deploy()
    assert seen.failures == []
    assert killing.remains(fresh, release=current(fresh)) == []
