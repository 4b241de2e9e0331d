"""When a deploy asks for a certificate, and when it does not."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.examples import LAYOUT
from tests.recording import container
from tests.unit.planning.situations import OLD, empty, serving, wanted

from wharfinger.facts import Observed
from wharfinger.local_ca import Authority
from wharfinger.model.run import CutOff
from wharfinger.model.tls import Tls, Wish, wish
from wharfinger.planning import Plan
from wharfinger.planning.deploy import plan_deploy
from wharfinger.planning.recovery import plan_recovery
from wharfinger.planning.wanted import Certificates, Wanted

NOW = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
DOMAINS = ("atlas.example.com",)
ACME = wish(Tls.model_validate({"acme": {"email": "ops@example.com"}}), "sevra-atlas-local", DOMAINS)
LOCAL = wish(Tls(local=True), "sevra-atlas-local", DOMAINS)
RENEWAL = {"compose.yaml": b"services: {}\n"}


def want(one: Wish, **changes: Any) -> Wanted:
    files = RENEWAL if one.tls.acme is not None else {}
    facts: dict[str, Any] = {"wishes": (one,), "renewal_files": files, "site": one.name, "local_ca": "/ca"}
    return dataclasses.replace(wanted(), certificates=Certificates(**(facts | changes)))


def on_server(
    want: Wanted, *, chain: bytes | None = None, renewal: bool = True, trust: str | None = None, **changes: Any
) -> Observed:
    """Return a server on which OLD serves, with this certificate."""
    name = want.certificates.wishes[0].name
    files = {LAYOUT.chain(name): chain, **{LAYOUT.renewal / file: content for file, content in RENEWAL.items()}}
    seen = serving(want, files={LAYOUT.routes: None, **files})
    held = (container("wharfinger-edge-renewal", "certbot"),) if renewal else ()
    return dataclasses.replace(seen, renewal=held, trust=trust, clock=NOW, **changes)


def verbs(plan: Plan) -> list[str]:
    return [type(step).__name__ for step in plan.steps]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A CA of a test's own."""
    return Authority(tmp_path / "ca")


def test_a_first_deploy_has_its_certificate_before_anything_starts() -> None:
    one = want(ACME)
    plan = plan_deploy(one, dataclasses.replace(empty(one), clock=NOW), LAYOUT)
    order = verbs(plan)
    assert order.index("StartEdge") < order.index("StartRenewal") < order.index("ObtainCertificate")
    assert order.index("ObtainCertificate") < min(order.index(verb) for verb in ("StartData", "StartApp", "PutSite"))


def test_a_certificate_that_is_good_is_not_asked_for_again(authority: Authority) -> None:
    one = want(ACME)
    chain, _ = authority.issue(DOMAINS, NOW)
    assert plan_deploy(one, on_server(one, chain=chain), LAYOUT).steps == ()


def test_one_that_ends_soon_is_left_to_its_renewal(authority: Authority) -> None:
    one = want(ACME)
    chain, _ = authority.issue(DOMAINS, NOW - timedelta(days=390))
    assert plan_deploy(one, on_server(one, chain=chain), LAYOUT).steps == ()


@pytest.mark.parametrize(("age", "names", "why"), [(0, ("b.example.com",), "other names"), (400, DOMAINS, "ended on")])
def test_one_that_cannot_serve_is_asked_for_and_no_release_is_made(
    authority: Authority, age: int, names: tuple[str, ...], why: str
) -> None:
    one = want(ACME)
    chain, _ = authority.issue(names, NOW - timedelta(days=age))
    plan = plan_deploy(one, on_server(one, chain=chain), LAYOUT)
    assert verbs(plan) == ["ObtainCertificate"]
    assert plan.release == OLD
    assert why in plan.reasons[0]


def test_a_renewal_that_does_not_run_is_started(authority: Authority) -> None:
    one = want(ACME)
    chain, _ = authority.issue(DOMAINS, NOW)
    plan = plan_deploy(one, on_server(one, chain=chain, renewal=False), LAYOUT)
    assert verbs(plan) == ["StartRenewal"]


def test_a_local_certificate_is_issued_anew_before_it_ends_or_when_the_ca_is_another(
    authority: Authority, tmp_path: Path
) -> None:
    root = authority.ensure(NOW - timedelta(days=390))
    one = want(LOCAL, authorities={LOCAL.name: root.encode()})

    def planned(chain: bytes) -> list[str]:
        return verbs(plan_deploy(one, on_server(one, chain=chain, trust=root), LAYOUT))

    assert planned(authority.issue(DOMAINS, NOW)[0]) == []
    assert planned(authority.issue(DOMAINS, NOW - timedelta(days=390))[0]) == ["IssueCertificate"]
    assert planned(Authority(tmp_path / "other").issue(DOMAINS, NOW)[0]) == ["IssueCertificate"]


def test_what_the_site_is_verified_with_trusts_the_ca_to_be(authority: Authority) -> None:
    root = authority.ensure(NOW)
    one = want(LOCAL, authorities={LOCAL.name: root.encode()})
    plan = plan_deploy(one, dataclasses.replace(empty(one), clock=NOW), LAYOUT)
    (verify,) = (step for step in plan.steps if type(step).__name__ == "Verify")
    assert verify.address.trust == root  # type: ignore[attr-defined]
    assert "PutTrust" in verbs(plan)
    assert "CERTIFICATE" not in repr(plan), "the journal need not hold it"


# Foreign routes


def with_routes(content: bytes | None) -> Wanted:
    return dataclasses.replace(wanted(), routes=content)


def test_changed_routes_need_no_release_and_are_shown() -> None:
    one = with_routes(b"server { listen 80; }\n")
    plan = plan_deploy(one, serving(one, files={LAYOUT.routes: b"server {}\n"}), LAYOUT)
    assert verbs(plan) == ["PutRoutes"]
    assert plan.reasons == ("foreign routes changed",)
    assert "+server { listen 80; }" in plan.changes


def test_routes_that_are_there_are_left_alone() -> None:
    one = with_routes(b"server {}\n")
    assert plan_deploy(one, serving(one, files={LAYOUT.routes: b"server {}\n"}), LAYOUT).steps == ()


def test_routes_that_are_no_longer_named_go() -> None:
    one = with_routes(None)
    (step,) = plan_deploy(one, serving(one, files={LAYOUT.routes: b"server {}\n"}), LAYOUT).steps
    assert step.title == "remove the foreign routes"


def cut_off(*begun: str, done: tuple[str, ...] = ()) -> CutOff:
    return CutOff("x.jsonl", "deploy", "ann@laptop", "2026-11-20T14:00:00Z", (), begun, done)


def test_routes_that_were_cut_off_half_way_are_put_back_and_tested_anew() -> None:
    one = with_routes(b"server {}\n")
    seen = dataclasses.replace(serving(one, files={LAYOUT.routes: b"server {}\n"}), cut_off=(cut_off("PutRoutes"),))
    assert "SettleRoutes" in verbs(plan_recovery(seen, LAYOUT))
    order = verbs(plan_deploy(one, seen, LAYOUT))
    assert order.index("SettleRoutes") < order.index("PutRoutes")


def test_a_run_that_was_cut_off_in_a_certificate_leaves_nothing_to_be_put_right_but_its_journal() -> None:
    seen = dataclasses.replace(serving(wanted()), cut_off=(cut_off("StartRenewal", "ObtainCertificate"),))
    assert verbs(plan_recovery(seen, LAYOUT)) == ["EndRun", "CloseJournal"]
