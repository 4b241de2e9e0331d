"""Rendering and planning stay fast, and grow no faster than the stack."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from tests.examples import LAYOUT, RELEASE, sevra
from tests.recording import data_tier, edge_container, tier
from tests.unit.planning.situations import OLD, release

from wharfinger.facts import Observed
from wharfinger.hosts import File
from wharfinger.model.release import Live
from wharfinger.model.stack import Stack
from wharfinger.planning.deploy import plan_deploy
from wharfinger.planning.wanted import Wanted, paths_written
from wharfinger.rendering.release import render

BUDGET: Final = 2.0
"""Seconds for 200 services."""
ROUNDS: Final = 3
HERE: Final = Path(__file__).parent


def stack_of(services: int) -> Stack:
    """Return a stack of so many services, each with a route, a mount and variables."""
    names = [f"service{number}" for number in range(services)]
    described: dict[str, Any] = {
        name: {
            "image": "app",
            "port": 3000,
            "healthcheck": {"test": ["check", name]},
            "environment": {f"FIXED_{n}": str(n) for n in range(5)},
            "mounts": [{"source": "uploads", "target": "/uploads"}],
        }
        for name in names
    }
    return sevra(
        services=described,
        site={"routes": [{"path": f"/{name}/", "service": name} for name in names]},
        environments={"local": {"server": "local", "domain": "localhost"}},
        env={f"KEY_{name.upper()}": {"meaning": "A value.", "services": [name]} for name in names},
    )


def render_and_plan(stack: Stack) -> None:
    images = {"app": f"127.0.0.1:5000/app@sha256:{'cd' * 32}"}
    rendered = render(
        stack, "local", release=RELEASE, images=images, layout=LAYOUT, engine_version=(26, 1), project=HERE
    )
    values = "".join(f"{name}=value\n" for name in stack.env).encode()
    wanted = Wanted(
        stack=stack,
        environment=stack.environments["local"],
        release=release(RELEASE, images=images, fingerprint="other", env_checksum="other"),
        files={name: File(text.encode()) for name, text in rendered.app.items()} | {".env": File(values)},
        data_files={name: File(text.encode()) for name, text in rendered.data.items()},
        edge_files=rendered.edge,
        site=(rendered.site or "").encode(),
    )
    held = dict.fromkeys(paths_written(wanted, LAYOUT), b"")
    held |= {LAYOUT.current / name: file.content for name, file in wanted.files.items()}
    observed = Observed(
        releases=(*(release(str(20260101000000 + number)) for number in range(50)), release(OLD)),
        current=OLD,
        live=Live("blue", OLD),
        tiers={OLD: tuple(tier(OLD, *stack.services))},
        data=tuple(data_tier(*stack.data)),
        edge=(edge_container(),),
        files=held,
        ports_taken=frozenset(),
        free_bytes=1 << 40,
    )

    assert plan_deploy(wanted, observed, LAYOUT).steps


def seconds_for(services: int) -> float:
    """Return the processor's time for one stack, the best of a few: other work on the machine does not count."""
    stack = stack_of(services)
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        render_and_plan(stack)
        taken.append(time.process_time() - began)
    return min(taken)


def test_two_hundred_services_are_rendered_and_planned_in_time_and_the_work_grows_with_them() -> None:
    render_and_plan(stack_of(2))  # what is loaded once counts for neither

    hundred, two_hundred = seconds_for(100), seconds_for(200)

    assert two_hundred <= BUDGET
    assert two_hundred <= 3 * hundred, f"{two_hundred:.2f} s for 200 services, {hundred:.2f} s for 100"
