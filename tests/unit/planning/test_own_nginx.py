"""What a server lacks whose own Nginx is the edge; what is there, and who runs it otherwise, is left alone."""

from __future__ import annotations

import pytest
from tests.unit.planning.test_setup import READY

from wharfinger.planning.own_nginx import plan_own_nginx
from wharfinger.planning.setup import Found

BY_SUDO = ("sudo", "-n", "nginx")
SITES = "/srv/wharfinger/edge/host-sites"
TOOLS = {name: f"/usr/bin/{name}" for name in ("nginx", "curl", "openssl", "sudo")}
RUNS = TOOLS | {"includes": "1", "may-reload": "yes", "nginx-runs": "812 813", "nginx-enabled": "enabled"}


def titles(facts: dict[str, str], command: tuple[str, ...] = BY_SUDO, *, user: str = "deploy") -> list[str]:
    return [change.title for change in plan_own_nginx(Found(READY | facts, "vps1"), command, user=user, sites=SITES)]


def test_a_server_without_one_gets_everything() -> None:
    assert titles({}) == [
        "install curl openssl nginx sudo",
        f"let Nginx include {SITES}/*.conf",
        "let deploy test and reload Nginx, and nothing else of it",
        "start Nginx, now and at boot",
    ]


def test_one_that_includes_our_sites_already_needs_nothing() -> None:
    assert titles(RUNS) == []


@pytest.mark.parametrize(
    ("facts", "change"),
    [
        ({"curl": ""}, "install curl"),
        ({"includes": "0"}, f"let Nginx include {SITES}/*.conf"),
        ({"may-reload": ""}, "let deploy test and reload Nginx, and nothing else of it"),
        ({"nginx-runs": ""}, "start Nginx, now and at boot"),
        ({"nginx-enabled": "disabled"}, "start Nginx, now and at boot"),
    ],
)
def test_only_what_is_missing_is_done(facts: dict[str, str], change: str) -> None:
    assert titles(RUNS | facts) == [change]


def test_without_an_init_system_it_only_has_to_run() -> None:
    assert titles(RUNS | {"systemd": "", "nginx-enabled": ""}) == []


def test_root_and_who_calls_it_without_sudo_need_no_leave() -> None:
    assert titles(RUNS | {"may-reload": ""}, user="root") == []
    assert titles(RUNS | {"may-reload": "", "sudo": ""}, ("nginx",)) == []


def test_one_that_runs_otherwise_is_left_to_who_runs_it() -> None:
    assert titles({}, ("docker", "exec", "proxy", "nginx")) == ["install curl openssl"]
