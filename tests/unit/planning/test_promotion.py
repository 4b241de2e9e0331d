"""What may be promoted, and how a promotion is told."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.examples import IMAGES, LAYOUT, sevra
from tests.recording import tier
from tests.unit.planning.situations import NEW, OLD, STACK, release, serving, wanted

from wharfinger.errors import InvalidInput, UsageError, WharfingerError
from wharfinger.facts import Observed
from wharfinger.hosts import File
from wharfinger.model.run import CutOff
from wharfinger.planning.deploy import plan_deploy
from wharfinger.planning.promotion import (
    Candidate,
    as_promotion,
    by_digest,
    choose,
    refuse_idle,
    refuse_moved,
    refuse_old,
    sections_that_differ,
    taken_over,
)

IMAGE = IMAGES["app"]
DIGEST = "sha256:" + "cd" * 32


def staging(**changes: Any) -> Observed:
    return dataclasses.replace(serving(wanted()), **changes)


def test_what_serves_and_was_verified_is_promoted() -> None:
    assert choose(staging(), "staging", None).id == OLD
    assert choose(staging(), "staging", OLD).id == OLD


@pytest.mark.parametrize(
    ("observed", "named", "kind", "told"),
    [
        (staging(current=None), None, UsageError, "nothing is deployed in staging"),
        (staging(), NEW, UsageError, f"staging runs release {OLD}, not {NEW}"),
        (staging(releases=(release(OLD, succeeded=None),)), None, WharfingerError, "was never verified"),
        (staging(cut_off=(CutOff("x.jsonl", "deploy", "ann", "", (), (), ()),)), None, WharfingerError, "was cut off"),
    ],
)
def test_what_may_not_be_promoted_is_refused_with_a_mend(
    observed: Observed, named: str | None, kind: type[WharfingerError], told: str
) -> None:
    with pytest.raises(kind) as caught:
        choose(observed, "staging", named)
    assert told in caught.value.problem
    assert "staging" in caught.value.fix or OLD in caught.value.fix


def test_a_verification_ages() -> None:
    refuse_old(release(OLD), 3600, 7200)
    with pytest.raises(WharfingerError, match=r"was verified 8 days ago; `deploy\.promote_within` allows 7 days"):
        refuse_old(release(OLD), 8 * 86400, 7 * 86400)


def test_what_does_not_run_proves_nothing() -> None:
    expected = {"api": 1, "worker": 1}
    refuse_idle(release(OLD), STACK, staging(), expected)
    with pytest.raises(WharfingerError) as caught:
        refuse_idle(release(OLD), STACK, staging(tiers={}), expected)
    assert "api: 0 of 1 containers are healthy" in caught.value.details


@pytest.mark.parametrize(
    ("image", "image_id", "told"),
    [(IMAGE, "sha256:" + "99" * 32, "by now"), ("app:other", DIGEST, "runs app:other, not")],
)
def test_a_tag_that_moved_is_found(image: str, image_id: str, told: str) -> None:
    known = {IMAGE: DIGEST}
    well = staging(tiers={OLD: tuple(tier(OLD, "api", image=IMAGE, image_id=DIGEST))})
    refuse_moved(release(OLD), STACK, well, known)
    moved = staging(tiers={OLD: tuple(tier(OLD, "api", image=image, image_id=image_id))})
    with pytest.raises(WharfingerError) as caught:
        refuse_moved(release(OLD), STACK, moved, known)
    assert told in caught.value.details[0]


@pytest.mark.parametrize(
    ("reference", "names", "found"),
    [
        ("nginx:1.30", ("nginx:1.30", f"nginx@{DIGEST}"), f"nginx@{DIGEST}"),
        ("docker.io/library/nginx", (f"nginx@{DIGEST}",), f"nginx@{DIGEST}"),
        ("localhost:5000/a/b:1", (f"other/b@{DIGEST}", f"localhost:5000/a/b@{DIGEST}"), f"localhost:5000/a/b@{DIGEST}"),
        ("localhost:5000/b", (f"localhost:5000/b@{DIGEST}",), f"localhost:5000/b@{DIGEST}"),
        (f"a@{DIGEST}", (), f"a@{DIGEST}"),
        ("made-here:1", ("made-here:1",), "made-here:1"),
    ],
)
def test_an_image_is_pinned_by_its_own_repository(reference: str, names: tuple[str, ...], found: str) -> None:
    assert by_digest(reference, names) == found


def test_what_was_verified_goes_into_the_environments_of_today() -> None:
    verified = sevra(deploy={"keep": 2})
    here = sevra(deploy={"keep": 9}, environments={"production": {"server": "local", "domain": "example.com"}})

    taken = taken_over(verified, here)

    assert taken.deploy.keep == 2
    assert set(taken.environments) == {"production"}
    assert sections_that_differ(verified, here) == ("deploy",)


def test_what_an_environment_says_of_a_variable_is_promoted_as_it_stands() -> None:
    folder = {
        "meaning": "x",
        "form": "pattern",
        "pattern": "[a-z/]+",
        "required": False,
        "environments": {"staging": {"default": "atlas/staging"}},
    }
    stack = sevra(env={**sevra().model_dump(by_alias=True, exclude_unset=True)["env"], "FOLDER": folder})
    assert taken_over(stack, stack).env.within("staging")["FOLDER"].default == "atlas/staging"


def test_environments_that_no_longer_fit_are_told() -> None:
    scaled = {"production": {"server": "local", "domain": "example.com", "scale": {"api": 2}}}
    plain = {"local": {"server": "local", "domain": "localhost"}}
    verified = sevra(services={"web": {"image": "app", "port": 1}}, site=None, environments=plain)
    with pytest.raises(InvalidInput) as caught:
        taken_over(verified, sevra(environments=scaled))
    assert "no service named api" in caught.value.details[0]


def test_a_promotion_tells_images_variables_and_migrations_and_never_values() -> None:
    new = f"repo/app@{DIGEST}"
    files = {"compose.yaml": File(b"services: {}\n"), ".env": File(b"COLOUR=s3cret\nKEPT=1\nTOKEN=n3w\n", 0o600)}
    want = wanted(images={"app": new}, files=files, revision="0123456789abcdef-dirty")
    observed = serving(want, files={LAYOUT.current / ".env": b"WHARFINGER_SLOT=blue\nQUEUE=old\nKEPT=1\nTOKEN=0ld\n"})
    candidate = Candidate(STACK, release(OLD, environment="staging"), {"app": new})

    plan = as_promotion(plan_deploy(want, observed, LAYOUT), candidate, want, observed, LAYOUT, ("migrations: none",))

    assert plan.action == "promote"
    assert plan.reasons == (f"what staging verified as release {OLD}",)
    assert plan.details == (
        "image app: abababababab -> cdcdcdcdcdcd (0123456789ab-dirty)",
        "variables, new: COLOUR",
        "variables, gone: QUEUE",
        "variables, changed: TOKEN",
        "migrations: none",
    )
