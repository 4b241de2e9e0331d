"""A server of the project's sandbox needs no settings; any other is reached by the user's own ssh_config."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tests.examples import sevra

from wharfinger.commands import sandbox
from wharfinger.connecting import way_of
from wharfinger.model.environment import Environment
from wharfinger.project import Place


@pytest.fixture(autouse=True)
def _no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHARFINGER_SSH_CONFIG", raising=False)


def place(project: Path, server: str) -> Place:
    stack = sevra().model_copy(
        update={"environments": {"staging": Environment(servers=(server,), domain="a.example.com")}}
    )
    return Place(project, project / "stacks" / "a", stack, "staging")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "build" / "sandbox"
    folder.mkdir(parents=True)
    config = sandbox.ssh_config({"vps1": ("192.0.2.7", 22)}, folder / "id", folder / "known")
    (folder / "ssh_config").write_text(config, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("server", ["vps1", "root@vps1"])
def test_the_sandbox_leads_to_its_own_servers(project: Path, server: str) -> None:
    assert way_of(place(project, server)).config == str(project / "build" / "sandbox" / "ssh_config")


def test_the_sandbox_leads_nowhere_else(project: Path) -> None:
    assert way_of(place(project, "vps1.example.com")).config is None


def test_without_a_sandbox_the_users_own_settings_hold(tmp_path: Path) -> None:
    assert way_of(place(tmp_path, "vps1")).config is None


def test_the_users_choice_goes_before_the_sandbox(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHARFINGER_SSH_CONFIG", "/home/ann/ssh_config")
    assert way_of(place(project, "vps1")).config == "/home/ann/ssh_config"


def test_another_login_is_another_connection(project: Path) -> None:
    usual, root = way_of(place(project, "vps1")), way_of(place(project, "vps1"), login="root")
    assert root.destination == "root@vps1"
    assert root.control != usual.control
    assert dataclasses.replace(root, destination="vps1", control=usual.control) == usual
