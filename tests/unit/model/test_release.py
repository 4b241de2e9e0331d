"""The names and places of releases: one stack's never mean another's."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharfinger.model.release import Layout, Live, Release, Target, other_slot

TARGET = Target("sevra-atlas", "staging")
LAYOUT = Layout(PurePosixPath("/srv/wharfinger"), TARGET)
ID = "20261120143000"


def test_the_free_slot_is_always_the_other_one() -> None:
    assert (other_slot("blue"), other_slot("green"), other_slot(None)) == ("green", "blue", "blue")


@pytest.mark.parametrize("text", [f"blue:{ID}", f"green:{ID}", f" green:{ID}\n"])
def test_what_the_edge_says_is_read_and_said_again(text: str) -> None:
    live = Live.parse(text)

    assert live is not None
    assert str(live) == text.strip()


@pytest.mark.parametrize(
    "text", ["", "blue", "blue:", f"red:{ID}", f":{ID}", f"blue:{ID}1", "blue:2026", f"blue:x{ID}", f"{ID}:blue"]
)
def test_anything_else_that_the_edge_says_is_nothing(text: str) -> None:
    assert Live.parse(text) is None


@given(text=st.text(max_size=24))
def test_no_answer_of_the_edge_can_break_the_reader(text: str) -> None:
    live = Live.parse(text)

    assert live is None or str(live) == text.strip()


def test_everything_of_an_environment_is_named_after_it() -> None:
    assert TARGET.name == "sevra-atlas-staging"
    assert TARGET.data_network == "sevra-atlas-staging-data"
    assert TARGET.app_project(ID) == f"sevra-atlas-staging-{ID}"
    assert TARGET.alias("green", "api") == "sevra-atlas-staging-green-api"


@pytest.mark.parametrize(
    ("project", "release"),
    [
        (f"sevra-atlas-staging-{ID}", ID),
        ("sevra-atlas-staging", None),  # the data tier
        ("sevra-atlas-staging-data", None),
        (f"sevra-atlas-staging-{ID}0", None),
        (f"sevra-atlas-production-{ID}", None),
        (f"other-sevra-atlas-staging-{ID}", None),
        (ID, None),
        ("", None),
    ],
)
def test_a_compose_project_is_known_as_an_app_tier_of_this_environment_only(project: str, release: str | None) -> None:
    assert TARGET.release_of(project) == release


@given(release=st.from_regex(r"[0-9]{14}", fullmatch=True))
def test_every_release_is_found_again_by_its_project(release: str) -> None:
    assert TARGET.release_of(TARGET.app_project(release)) == release


def test_everything_of_an_environment_lies_where_the_architecture_says() -> None:
    home = "/srv/wharfinger/sevra-atlas/staging"

    assert {
        name: str(getattr(LAYOUT, name)) for name in ("home", "current", "shared", "backups", "journal", "lock")
    } == {
        "home": home,
        "current": f"{home}/current",
        "shared": f"{home}/shared",
        "backups": f"{home}/backups",
        "journal": f"{home}/journal",
        "lock": f"{home}/lock",
    }
    assert str(LAYOUT.release(ID)) == f"{home}/releases/{ID}"
    assert str(LAYOUT.site) == "/srv/wharfinger/edge/sites/sevra-atlas-staging.conf"
    assert str(LAYOUT.live) == "/srv/wharfinger/edge/sites/sevra-atlas-staging.live"


def test_a_record_reads_back_as_it_was_written() -> None:
    record = Release(
        id=ID,
        stack="sevra-atlas",
        environment="staging",
        created="2026-11-20T14:30:00.000+00:00",
        by="åsa@laptop",
        revision="abc-dirty",
        images={"app": "x@sha256:1"},
        services=("api", "worker"),
        fingerprint="f",
        env_checksum="e",
        slot="green",
    )

    assert Release.model_validate_json(record.model_dump_json()) == record
