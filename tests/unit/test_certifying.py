"""What a deploy learns of certificates, and what the tasks on them say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.examples import LAYOUT, sevra
from tests.recording import Heard, RecordingEngine, RecordingHost, container, server

from wharfinger import certifying, connecting, local_ca
from wharfinger.connecting import Server
from wharfinger.errors import InvalidInput, UsageError, WharfingerError
from wharfinger.hosts import File
from wharfinger.local_ca import Authority
from wharfinger.project import Place

NOW = datetime.now(UTC)
DOMAIN = "atlas.example.com"


def place(tls: dict[str, Any] | None, folder: Path = Path("/p")) -> Place:
    environment = {"server": "local", "domain": DOMAIN} | ({"tls": tls} if tls else {})
    return Place(folder, folder, sevra(environments={"local": environment}), "local")


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The user's own CA, in a folder of the test's own."""
    made = Authority(tmp_path / "ca")
    monkeypatch.setattr(local_ca, "of_user", lambda: made)
    return made


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> RecordingHost:
    """The server; its renewal runs."""
    made = RecordingHost()

    @contextmanager
    def connect(_: Place) -> Iterator[Server]:
        yield server(made, RecordingEngine(container("wharfinger-edge-renewal", "certbot"), calls=made.calls))

    @contextmanager
    def connect_all(place: Place) -> Iterator[tuple[Server, ...]]:
        with connect(place) as one:
            yield (one,)

    monkeypatch.setattr(certifying, "connect", connect)
    for module in (certifying, connecting):
        monkeypatch.setattr(module, "connect_all", connect_all)
    return made


def pair_in(folder: Path, authority: Authority, domain: str = DOMAIN, *, age: int = 0) -> str:
    folder.mkdir(exist_ok=True)
    chain, key = authority.issue((domain,), NOW - timedelta(days=age))
    (folder / "fullchain.pem").write_bytes(chain)
    (folder / "privkey.pem").write_bytes(key)
    return str(folder)


def test_plain_http_needs_nothing(authority: Authority) -> None:
    assert certifying.wanted(place(None), touch=True).wishes == ()
    assert not authority.folder.exists()


def test_a_plan_makes_no_ca_and_a_deploy_does(authority: Authority) -> None:
    planned = certifying.wanted(place({"local": True}), touch=False)
    assert planned.trust is None
    assert not authority.folder.exists()
    deployed = certifying.wanted(place({"local": True}), touch=True)
    assert deployed.trust == authority.certificate()
    assert deployed.renewal_files == {}


def test_an_acme_server_of_the_public_needs_no_further_trust(authority: Authority) -> None:
    found = certifying.wanted(place({"acme": {}}), touch=True)
    assert found.trust is None
    assert set(found.renewal_files) == {".env", "compose.yaml", "renew.py"}
    assert not authority.folder.exists()


def test_a_private_one_brings_its_cas_or_is_refused(authority: Authority, tmp_path: Path) -> None:
    asked = place({"acme": {"ca": "ca.pem"}}, tmp_path)
    with pytest.raises(InvalidInput, match="`ca` names no PEM file"):
        certifying.wanted(asked, touch=True)
    (tmp_path / "ca.pem").write_text(Authority(tmp_path / "theirs").ensure(NOW))
    assert certifying.wanted(asked, touch=True).trust == (tmp_path / "ca.pem").read_text()


@pytest.mark.parametrize("edge", ["container", "host"])
def test_an_own_one_that_no_public_ca_signed_brings_its_cas_too(
    authority: Authority, tmp_path: Path, edge: str
) -> None:
    ca = Authority(tmp_path / "theirs").ensure(NOW)
    (tmp_path / "ca.pem").write_text(ca)
    environment = {"server": "vps2", "domain": DOMAIN, "edge": edge, "tls": {"certificate": "own", "ca": "ca.pem"}}
    environment |= {"ports": {"api": [3000, 3100], "worker": [3001, 3101]}} if edge == "host" else {}
    asked = Place(tmp_path, tmp_path, sevra(environments={"production": environment}), "production")
    assert certifying.wanted(asked, touch=True).trust == ca
    (tmp_path / "ca.pem").unlink()
    with pytest.raises(InvalidInput, match="`ca` names no PEM file"):
        certifying.wanted(asked, touch=True)


def test_an_own_certificate_that_cannot_serve_is_refused_with_all_reasons(
    authority: Authority, host: RecordingHost
) -> None:
    asked = place({"certificate": "own"})
    with pytest.raises(InvalidInput) as told:
        certifying.refuse_unfit(asked, host, LAYOUT)
    assert told.value.details == (
        f"{LAYOUT.certs}/own: fullchain.pem is missing",
        f"{LAYOUT.certs}/own: privkey.pem is missing",
    )
    assert "certs.put" in told.value.fix
    for domain, fits in (("b.example.com", False), (DOMAIN, True)):
        chain, key = authority.issue((domain,), NOW)
        host.files.clear()
        host.write({LAYOUT.chain("own"): File(chain), LAYOUT.certs / "own" / "privkey.pem": File(key)})
        if fits:
            certifying.refuse_unfit(asked, host, LAYOUT)
        else:
            with pytest.raises(InvalidInput, match="cannot serve"):
                certifying.refuse_unfit(asked, host, LAYOUT)


def test_a_certificate_is_put_once_it_was_checked(authority: Authority, host: RecordingHost, tmp_path: Path) -> None:
    asked, heard = place({"certificate": "own"}), Heard()
    for folder in (pair_in(tmp_path / "a", authority, "b.example.com"), pair_in(tmp_path / "b", authority, age=400)):
        with pytest.raises(InvalidInput):
            certifying.put(asked, heard.console, folder, dry=False)
    assert host.calls == []
    good = pair_in(tmp_path / "c", authority)
    certifying.put(asked, heard.console, good, dry=True)
    assert host.calls == []
    certifying.put(asked, heard.console, good, dry=False)
    assert host.read(LAYOUT.chain("own")) == (tmp_path / "c" / "fullchain.pem").read_bytes()
    assert f"own holds the certificate of {DOMAIN}" in heard.said


@pytest.mark.parametrize("tls", [None, {"local": True}, {"acme": {}}])
def test_nothing_is_put_where_none_is_named(
    tls: dict[str, Any] | None, authority: Authority, host: RecordingHost
) -> None:
    with pytest.raises(UsageError, match="names no certificate of your own"):
        certifying.put(place(tls), Heard().console, "/nowhere", dry=False)


def test_a_renewal_says_what_came_of_it(host: RecordingHost) -> None:
    for changed, said in ((True, "renewed"), (False, "not due")):
        host.answer("/edge/renewal/renew.py", stdout=json.dumps({"changed": changed, "problem": None}))
        heard = Heard()
        certifying.renew(place({"acme": {}}), heard.console, force=False, dry=False)
        assert said in heard.said


def test_without_acme_there_is_nothing_to_renew(host: RecordingHost) -> None:
    with pytest.raises(UsageError, match="no certificate of an ACME server"):
        certifying.renew(place({"certificate": "own"}), Heard().console, force=False, dry=False)


def test_a_renewal_that_does_not_run_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def connect(_: Place) -> Iterator[Server]:
        yield server()

    monkeypatch.setattr(certifying, "connect", connect)
    with pytest.raises(WharfingerError, match="does not run"):
        certifying.renew(place({"acme": {}}), Heard().console, force=False, dry=False)


def test_the_ca_is_trusted_only_where_the_user_agrees(authority: Authority) -> None:
    with pytest.raises(UsageError, match="no local CA yet"):
        certifying.trust(Heard().console, assume_yes=False, dry=False)
    authority.ensure(NOW)
    heard = Heard()
    certifying.trust(heard.console, assume_yes=False, dry=True)
    assert f"--cacert {authority.path}" in heard.said
