"""What the verbs on certificates do to a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.examples import LAYOUT, sevra
from tests.recording import RecordingHost, run_step, world

from wharfinger import certificates
from wharfinger.errors import StepFailed
from wharfinger.local_ca import Authority
from wharfinger.model.tls import Tls, wish
from wharfinger.rendering.renewal import order_of, renewal_files
from wharfinger.steps import Step, recorded
from wharfinger.steps.certificates import IssueCertificate, ObtainCertificate, PutTrust, StartRenewal
from wharfinger.steps.edge import PutRoutes

STACK = sevra()
DOMAINS = ("atlas.example.com",)
ACME = wish(Tls.model_validate({"acme": {"email": "ops@example.com", "ca": "ca.pem"}}), "sevra-atlas-local", DOMAINS)
OBTAIN = ObtainCertificate(ACME.name, DOMAINS, "https://acme.example.com/dir", ACME, order_of(ACME), b"s3cret")
EVERY_STEP: tuple[Step, ...] = (
    StartRenewal({"x": b"s3cret"}),
    OBTAIN,
    IssueCertificate("x", DOMAINS, "/ca"),
    PutTrust("s3cret", None),
    PutRoutes(DOMAINS, b"s3cret"),
)


@pytest.mark.parametrize("step", EVERY_STEP, ids=lambda step: type(step).__name__)
def test_a_journal_holds_no_file(step: Step) -> None:
    assert "s3cret" not in json.dumps(recorded(step))


def test_the_renewal_is_started_from_files_of_its_own() -> None:
    host = RecordingHost()
    run_step(StartRenewal(renewal_files("wharfinger-edge")), world(STACK, host))
    assert b"RENEWAL_PROJECT=wharfinger-edge-renewal\n" in (host.read(LAYOUT.renewal / ".env") or b"")
    assert {"compose.yaml", "renew.py", "orders", "states", ".env"} == set(host.names_in(LAYOUT.renewal))
    (up,) = host.commands
    assert up[up.index("--project-name") + 1] == "wharfinger-edge-renewal"


def test_a_certificate_is_ordered_with_its_names_and_the_cas_of_a_private_server() -> None:
    host = RecordingHost()
    host.answer("/edge/renewal/renew.py", stdout='{"changed": true, "problem": null}\n')
    run_step(OBTAIN, world(STACK, host))
    orders = LAYOUT.renewal / "orders"
    assert json.loads(host.read(orders / f"{ACME.name}.json") or b"") == {
        "domains": ["atlas.example.com"],
        "directory": "https://acme-v02.api.letsencrypt.org/directory",
        "email": "ops@example.com",
        "ca": True,
    }
    assert host.read(orders / f"{ACME.name}.ca.pem") == b"s3cret"


def test_what_was_got_is_kept_when_the_deploy_fails() -> None:
    host = RecordingHost()
    host.answer("/edge/renewal/renew.py", stdout='{"changed": true, "problem": null}\n')
    run_step(OBTAIN, world(STACK, host))
    before = dict(host.files)
    OBTAIN.undo(world(STACK, host))
    assert host.files == before


def test_a_refusal_fails_the_step() -> None:
    host = RecordingHost()
    refused = json.dumps({"changed": False, "problem": {"kinds": ["rateLimited"], "lines": ["too many certificates"]}})
    host.answer("/edge/renewal/renew.py", status=1, stdout=refused)
    with pytest.raises(StepFailed) as told:
        run_step(OBTAIN, world(STACK, host))
    assert "rateLimited" in told.value.problem
    assert "staging" in told.value.fix


def test_a_local_certificate_is_signed_here_and_put_there(tmp_path: Path) -> None:
    host = RecordingHost()
    run_step(IssueCertificate("x", DOMAINS, str(tmp_path / "ca")), world(STACK, host))
    chain = host.read(LAYOUT.chain("x")) or b""
    held = certificates.read(chain)
    assert held is not None
    assert held.domains == DOMAINS
    assert certificates.is_signed_by(chain, (Authority(tmp_path / "ca").certificate() or "").encode())
    assert not [path for path, file in host.files.items() if b"PRIVATE KEY" in file.content and file.mode != 0o600]
    assert (Authority(tmp_path / "ca").certificate() or "").encode() not in chain


def test_trust_comes_goes_and_comes_back() -> None:
    host = RecordingHost()
    step = PutTrust("root", None)
    run_step(step, world(STACK, host))
    assert host.read(LAYOUT.trust) == b"root"
    run_step(PutTrust(None, "root"), world(STACK, host))
    assert host.read(LAYOUT.trust) is None
    PutTrust(None, "root").undo(world(STACK, host))
    assert host.read(LAYOUT.trust) == b"root"
    step.undo(world(STACK, host))
    assert host.read(LAYOUT.trust) is None


def test_routes_that_are_in_place_stay_when_the_deploy_fails() -> None:
    host = RecordingHost({LAYOUT.routes: b"old"})
    step = PutRoutes(DOMAINS, b"new")
    run_step(step, world(STACK, host))
    step.undo(world(STACK, host))
    assert host.read(LAYOUT.routes) == b"new"
