"""A deploy over SSH is nearly as quick as one on this machine, and as clean under load."""

from __future__ import annotations

import dataclasses
import re
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from benchmarks.report import HONEST, Load, Report, Shown, now
from tests.integration.deployments import PEBBLE, REPOSITORY, Deployment
from tests.integration.ssh.conftest import stage
from tests.integration.ssh.servers import SshServer

BENCHED = REPOSITORY / "benchmarks" / "app"
ROUNDS = 5
DEPLOYS = 10
RATES = {"kept": 400.0, "alone": 60.0, "uploads": 40.0}
"""Requests a second of each shape, 500 together; a handshake costs this machine more than an answer."""


def put(deployment: Deployment, version: str) -> float:
    """Deploy a version; return the seconds that it takes."""
    path = deployment.folder / "app.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r'^VERSION = ".*"$', f'VERSION = "{version}"', text, flags=re.MULTILINE), encoding="utf-8")
    began = time.monotonic()
    deployment.deploy("--yes")
    return time.monotonic() - began


@pytest.mark.long
def test_it_takes_at_most_1_6_times_as_long_as_on_this_machine(
    staged: Deployment, make_deployment: Callable[[Path], Deployment]
) -> None:
    here = make_deployment(PEBBLE)
    for each in (here, staged):
        put(each, "zero")
    # In turn, since the machine's own speed drifts; both run on the same engine.
    ratios = [1 / put(here, f"v{number}") * put(staged, f"v{number}") for number in range(ROUNDS)]
    assert statistics.median(ratios) <= 1.6, ratios


@pytest.fixture(scope="module")
def secured(
    vps: SshServer, make_deployment: Callable[[Path], Deployment], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Deployment, Path]]:
    """The benchmarks' app on the server, with a certificate of a CA of its own, and that CA."""
    data = tmp_path_factory.mktemp("data")
    staged = stage(make_deployment(BENCHED), vps)
    environ = {**staged.environ, "XDG_DATA_HOME": str(data)}
    staged = dataclasses.replace(staged, domain="secured.localhost", environ=environ)
    plain, over_tls = "    domain: localhost\n", "    domain: secured.localhost\n    address: 127.0.0.1\n"
    staged.edit("stack.yaml", plain, f"{over_tls}    tls: {{local: true}}\n")
    yield staged, data / "wharfinger-ca" / "ca.pem"
    staged.remove()


@pytest.mark.long
def test_ten_deploys_through_tls_lose_no_request_of_any_kind(secured: tuple[Deployment, Path]) -> None:
    staged, ca = secured
    put(staged, "v0")
    with ExitStack() as stack:
        loads = {
            shape: stack.enter_context(
                Load(staged.https_port, staged.domain, shape, rate=RATES[shape], seconds=600, ca=str(ca))
            )
            for shape in RATES
        }
        shown = [Shown(now(), "v0")]
        for number in range(1, DEPLOYS + 1):
            put(staged, f"v{number}")
            shown.append(Shown(now(), f"v{number}"))
        reports: dict[str, Report] = {shape: load.finish() for shape, load in loads.items()}
    for shape, report in reports.items():
        assert len(report.samples) > 1000, shape
        assert not report.problems, (shape, report.problems)
        assert report.wrong(shown) == 0, shape
        if report.own_lateness <= HONEST:  # else the machine was too busy for its clock to mean anything
            assert report.late == 0, shape
