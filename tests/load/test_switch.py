"""A deploy and a rollback under every shape of load at once: the short, faithful version of `nox -s bench`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from benchmarks.clients import Address, Http
from benchmarks.contenders import APP, Wharfinger, timed
from benchmarks.load import SHAPES
from benchmarks.report import HONEST, Load, Shown, now
from tests.integration.deployments import Deployment

RATE = 40.0


@pytest.fixture(scope="module")
def subject(make_deployment: Callable[[Path], Deployment]) -> Wharfinger:
    """The app of the benchmarks, two replicas of `v0`, with the image of `v1` built."""
    made = Wharfinger(make_deployment(APP))
    made.build("v1")
    made.put("v0")
    return made


def test_a_deploy_and_a_rollback_lose_no_request_of_any_kind(subject: Wharfinger) -> None:
    with ExitStack() as stack:
        loads = {
            shape: stack.enter_context(Load(subject.http_port, subject.domain, shape, rate=RATE, seconds=300))
            for shape in SHAPES
        }
        shown = [Shown(now(), "v0")]
        shown.append(timed(lambda: subject.put("v1")).shows("v1"))
        shown.append(timed(subject.back).shows("v0"))
        reports = {shape: load.finish() for shape, load in loads.items()}

    for shape, report in reports.items():
        assert len(report.samples) > 100, shape
        assert not report.problems, (shape, report.problems)
        assert report.wrong(shown) == 0, shape
        if report.own_lateness <= HONEST:  # else the machine was too busy for its clock to mean anything
            assert report.late == 0, shape
    kinds = {sample.kind for report in reports.values() for sample in report.samples}
    assert kinds == {"kept", "alone", "slow", "upload", "stream", "echo"}


@pytest.mark.long
def test_an_upload_that_outlasts_the_old_tier_arrives_at_the_new_one(subject: Wharfinger) -> None:
    """Nginx is still taking it in while the tier that it was meant for is retired: no connection holds that tier."""
    address = Address("127.0.0.1", subject.http_port, subject.domain)
    deploy = threading.Thread(target=subject.put, args=("v1",))

    async def upload() -> tuple[str, bool]:
        sending = asyncio.create_task(Http(address).upload("/upload", 25.0))
        await asyncio.sleep(0.5)
        deploy.start()
        version = await sending
        return version, deploy.is_alive()

    version, still_deploying = asyncio.run(upload())
    deploy.join()
    assert version == "v1" or still_deploying, (
        "on a machine so slow that the deploy outlasts it, the old one may answer"
    )
    subject.back()


@pytest.mark.long
def test_scaling_down_and_up_loses_no_upload(subject: Wharfinger) -> None:
    """An upload that Nginx still takes in has no connection yet to the replica that it was meant for."""
    with Load(subject.http_port, subject.domain, "uploads", rate=400, seconds=300) as load:
        for count in (3, 2, 3, 2):
            subject.scale(count)
        report = load.finish()
    uploads = [sample for sample in report.samples if sample.kind in {"upload", "stream"}]
    assert len(uploads) > 50
    assert not report.problems, report.problems
