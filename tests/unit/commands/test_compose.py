"""The argument lists of `docker compose`."""

from __future__ import annotations

from wharfinger.commands import compose

APP = ("docker", "compose", "--progress", "plain", "--project-name", "atlas-local-1")
FILE = ("--file", "/srv/compose.yaml")


def test_up_neither_pulls_builds_nor_waits() -> None:
    """What starts is exactly what was pulled by digest."""
    assert compose.up("atlas-local-1", "/srv/compose.yaml") == (
        *(*APP, *FILE, "up", "--detach", "--no-build", "--pull", "never"),
    )


def test_up_of_the_data_tier_recreates_nothing() -> None:
    """A running database stays the container that it is."""
    argv = compose.up("atlas-local-1", "/srv/compose.yaml", services=["postgres"], recreate=False)

    assert argv[-2:] == ("--no-recreate", "postgres")


def test_a_one_off_has_a_name_of_its_own_and_goes_away() -> None:
    """A second migration beside the first fails on the name."""
    assert compose.run_once("atlas-local-1", "/srv/compose.yaml", "migrate") == (
        *(*APP, *FILE, "run", "--rm", "--no-deps", "--no-TTY", "--name", "atlas-local-1-migrate", "migrate"),
    )


def test_down_keeps_volumes_unless_told() -> None:
    """Removing volumes is asked for by name."""
    assert compose.down("atlas-local-1", stop_within=10) == (
        *APP,
        "down",
        "--remove-orphans",
        "--timeout",
        "10",
    )
    assert compose.down("atlas-local-1", volumes=True) == (*APP, "down", "--remove-orphans", "--volumes")


def test_stop_keeps_the_containers() -> None:
    """Some services, or all of them, with the time that each service's file gives."""
    assert compose.stop("atlas-local-1", "/srv/compose.yaml") == (*APP, *FILE, "stop")
    assert compose.stop("atlas-local-1", "/srv/compose.yaml", services=["api"], stop_within=0) == (
        *(*APP, *FILE, "stop", "--timeout", "0", "api"),
    )


def test_listing_and_logs() -> None:
    """Structured where it is read by us, plain where it is read by a person."""
    assert compose.ps("atlas-local-1") == (*APP, "ps", "--all", "--no-trunc", "--format", "json")
    plain = ("docker", "compose", "--ansi", "never", "--project-name", "atlas-local-1")
    assert compose.logs("atlas-local-1") == (*plain, "logs", "--no-color")
    assert compose.logs("atlas-local-1", services=["api"], lines=5, since="1h", follow=True) == (
        *(*plain, "logs", "--no-color", "--tail", "5", "--since", "1h", "--follow", "api"),
    )


def test_config_prints_nothing() -> None:
    """What Compose would print holds the values of the variables."""
    assert compose.config("/b/compose.yaml") == (
        *("docker", "compose", "--file", "/b/compose.yaml", "config", "--quiet"),
    )
