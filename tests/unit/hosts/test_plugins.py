"""Compose is begun without `docker` where that begins the same, and by `docker` where that is not certain."""

from __future__ import annotations

from pathlib import Path

import pytest

from wharfinger.hosts import plugins

UP = ("docker", "compose", "--project-name", "atlas", "up")


def executable(path: Path, content: bytes = b"\x7fELF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a `docker` and one plugin that the system has."""
    executable(tmp_path / "bin" / "docker")
    executable(tmp_path / "system" / "docker-compose")
    monkeypatch.setattr(plugins, "_FOLDERS", (tmp_path / "none", tmp_path / "system"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    return tmp_path


def test_compose_is_begun_where_docker_would_find_it(machine: Path) -> None:
    found = str(machine / "system" / "docker-compose")

    assert plugins.direct(UP) == (found, "--project-name", "atlas", "up")


def test_the_users_own_comes_first(machine: Path) -> None:
    own = executable(machine / "config" / "cli-plugins" / "docker-compose")

    assert plugins.direct(UP)[0] == str(own)


@pytest.mark.parametrize("argv", [("docker", "ps"), ("docker",), ("nginx", "compose"), ("docker", "run", "compose")])
def test_other_commands_stay_as_they_are(machine: Path, argv: tuple[str, ...]) -> None:
    assert plugins.direct(argv) == argv


def test_what_stands_in_for_docker_is_asked(machine: Path) -> None:
    executable(machine / "bin" / "docker", b'#!/bin/sh\nexec podman "$@"\n')

    assert plugins.direct(UP) == UP


def test_folders_that_only_docker_knows_are_left_to_it(machine: Path) -> None:
    (machine / "config").mkdir()
    (machine / "config" / "config.json").write_text('{"cliPluginsExtraDirs": ["/opt/plugins"]}')

    assert plugins.direct(UP) == UP


@pytest.mark.parametrize("missing", ["bin/docker", "system/docker-compose"])
def test_what_is_not_there_is_left_to_docker_to_say(machine: Path, missing: str) -> None:
    (machine / missing).unlink()

    assert plugins.direct(UP) == UP


def test_a_plugin_that_is_not_executable_is_passed_over(machine: Path) -> None:
    executable(machine / "config" / "cli-plugins" / "docker-compose").chmod(0o644)

    assert plugins.direct(UP)[0] == str(machine / "system" / "docker-compose")
