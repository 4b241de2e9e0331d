"""Certificates on a server: put in place in one act, got through certbot, and told of."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.examples import LAYOUT, sevra
from tests.recording import RecordingEngine, RecordingHost, container, server

from wharfinger.edge_certificates import EdgeCertificates, served
from wharfinger.errors import InvalidInput, NotReady, StepFailed
from wharfinger.local_ca import Authority
from wharfinger.model.tls import Tls, wish
from wharfinger.rendering.host_site import render_host_site
from wharfinger.rendering.templates import Templates

NOW = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
DOMAINS = ("atlas.example.com",)
ACME = wish(Tls.model_validate({"acme": {}}), "sevra-atlas-local", DOMAINS)
ORDER = LAYOUT.renewal / "orders" / f"{ACME.name}.json"


def of(host: RecordingHost) -> EdgeCertificates:
    engine = RecordingEngine(container("wharfinger-edge-renewal", "certbot"), calls=host.calls)
    return EdgeCertificates(host, server(host, engine).edge, LAYOUT)


def site(name: str) -> bytes:
    return f"server {{\n    ssl_certificate certs/{name}/fullchain.pem;\n}}\n".encode()


def reloads(host: RecordingHost) -> list[str]:
    return ["test" if "-t" in argv else "reload" for argv in host.commands if "nginx" in argv]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[bytes, bytes]:
    """A certificate and its key."""
    return Authority(tmp_path).issue(DOMAINS, NOW)


def test_a_pair_is_put_in_place_by_one_link_and_its_key_is_its_owners(pair: tuple[bytes, bytes]) -> None:
    host = RecordingHost()
    of(host).put("mine", *pair)
    target = host.links[LAYOUT.certs / "mine"]
    assert target.startswith(".store/mine/")
    assert host.files[LAYOUT.certs / target / "privkey.pem"].mode == 0o600
    assert host.read(LAYOUT.chain("mine")) == pair[0]
    assert reloads(host) == [], "no site serves with it"


def test_stapling_is_on_where_the_certificate_names_who_is_to_be_asked(tmp_path: Path) -> None:
    host, (chain, key) = RecordingHost(), with_responder(tmp_path)
    of(host).put("mine", chain, key)
    assert host.read(LAYOUT.certs / "mine" / "stapling.conf") == b"ssl_stapling on;\n"


def with_responder(folder: Path) -> tuple[bytes, bytes]:
    """Return a certificate that says where is told of its revocation."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import AuthorityInformationAccessOID

    chain, pem = Authority(folder).issue(DOMAINS, NOW)
    old, key = x509.load_pem_x509_certificate(chain), serialization.load_pem_private_key(pem, None)
    asked = x509.AccessDescription(
        AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://ocsp.example.com")
    )
    made = (
        x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), old.serial_number)
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
        .add_extension(x509.AuthorityInformationAccess([asked]), critical=False)
        .sign(key, hashes.SHA256())  # type: ignore[arg-type]
    )
    return made.public_bytes(serialization.Encoding.PEM), pem


def test_nginx_takes_up_what_a_site_serves_with(pair: tuple[bytes, bytes]) -> None:
    host = RecordingHost({LAYOUT.site: site("mine")})
    of(host).put("mine", *pair)
    assert reloads(host) == ["test", "reload"]


def test_what_nginx_refuses_goes_and_the_old_one_is_back(pair: tuple[bytes, bytes]) -> None:
    host = RecordingHost({LAYOUT.site: site("mine")})
    host.links[LAYOUT.certs / "mine"] = ".store/mine/old"
    host.answer("nginx", "-t", status=1, stderr="key values mismatch")
    with pytest.raises(InvalidInput) as told:
        of(host).put("mine", *pair)
    assert host.links[LAYOUT.certs / "mine"] == ".store/mine/old"
    assert told.value.details == ("key values mismatch",)
    assert reloads(host) == ["test"]


def test_a_folder_made_by_hand_is_not_replaced(pair: tuple[bytes, bytes]) -> None:
    host = RecordingHost({LAYOUT.certs / "mine" / "fullchain.pem": b"theirs"})
    with pytest.raises(InvalidInput, match="made by hand"):
        of(host).put("mine", *pair)
    assert host.read(LAYOUT.chain("mine")) == b"theirs"


def answered(changed: bool, problem: dict[str, Any] | None = None) -> str:
    return json.dumps({"changed": changed, "problem": problem}) + "\n"


@pytest.mark.parametrize(
    ("changed", "mentioned", "expected"), [(True, True, ["test", "reload"]), (True, False, []), (False, True, [])]
)
def test_nginx_is_reloaded_only_for_a_new_certificate_that_a_site_serves_with(
    changed: bool, mentioned: bool, expected: list[str]
) -> None:
    host = RecordingHost({LAYOUT.site: site(ACME.name)} if mentioned else {})
    host.answer("renew.py", stdout=answered(changed))
    host.answer("/edge/renewal/renew.py", stdout=answered(changed))
    assert of(host).obtain(ACME, b"{}", None) == changed
    assert reloads(host) == expected


@pytest.mark.parametrize(
    ("kind", "mend"),
    [("dns", "A or AAAA record"), ("rateLimited", "wait as long"), ("connection", "port 80"), ("other", "mend what")],
)
def test_a_refusal_says_why_and_leaves_no_order(kind: str, mend: str) -> None:
    host = RecordingHost()
    problem = {"kinds": [kind], "lines": ["Detail: no such host"]}
    host.answer("/edge/renewal/renew.py", status=1, stdout=answered(False, problem))
    with pytest.raises(StepFailed) as told:
        of(host).obtain(ACME, b"{}", b"ca")
    assert kind in told.value.problem
    assert told.value.details == ("Detail: no such host",)
    assert mend in told.value.fix
    assert not [path for path in host.files if LAYOUT.renewal in path.parents]


def test_a_refused_renewal_keeps_its_order() -> None:
    host = RecordingHost({ORDER: b"{}"})
    host.answer("/edge/renewal/renew.py", status=1, stdout=answered(False, {"kinds": [], "lines": []}))
    with pytest.raises(StepFailed):
        of(host).obtain(ACME, b"{}", None)
    assert ORDER in host.files


def test_a_certbot_that_says_nothing_is_told_of() -> None:
    host = RecordingHost()
    host.answer("/edge/renewal/renew.py", status=125, stderr="no such container")
    with pytest.raises(StepFailed, match="does not answer"):
        of(host).obtain(ACME, b"{}", None)


def test_what_serves_is_what_the_sites_name_with_what_its_renewal_says(pair: tuple[bytes, bytes]) -> None:
    state = {"at": 1_795_000_000, "failures": 3, "problem": {"kinds": ["dns"], "lines": ["no such host"]}}
    host = RecordingHost(
        {
            LAYOUT.site: site("mine"),
            LAYOUT.routes: site("gone"),
            LAYOUT.chain("mine"): pair[0],
            LAYOUT.renewal / "states" / "mine.json": json.dumps(state).encode(),
        }
    )
    mine, gone = served(host, LAYOUT)
    assert (mine.name, mine.failures, mine.problem) == ("mine", 3, ("no such host",))
    assert mine.warning(NOW) is None, "it is good for a year"
    late = datetime(2027, 12, 10, tzinfo=UTC)
    told = mine.warning(late) or ""
    assert "its renewal has failed 3 times" in told
    assert told.endswith("no such host")
    assert mine.facts(late)["days_left"] == 12
    assert "none that can be read" in (gone.warning(NOW) or "")


def on_own_nginx(**edge: Any) -> RecordingHost:
    """A server whose own Nginx serves a site and a route with certificates of their own."""
    route = {"domain": "odoo.example.com", "to": "127.0.0.1:8069", "tls": {"certificate": "odoo"}}
    environment = {
        "server": "local",
        "domain": "atlas.example.com",
        "tls": {"certificate": "/etc/letsencrypt/live/atlas.example.com"},
        "edge": {"kind": "host", "routes": [route], **edge},
        "ports": {"api": [3000, 3100], "worker": [3001, 3101]},
    }
    stack = sevra(environments={"local": environment})
    text = render_host_site(stack, "local", layout=LAYOUT, templates=Templates.of())
    return RecordingHost({LAYOUT.site: text.encode()})


@pytest.mark.parametrize(("age", "told"), [(0, None), (380, "in 17 days"), (400, "browsers refuse the site")])
def test_the_servers_own_nginx_is_asked_what_it_serves_with(tmp_path: Path, age: int, told: str | None) -> None:
    """Its files are often root's alone, and tell nothing of what Nginx has loaded."""
    host = on_own_nginx()
    chain, _ = Authority(tmp_path).issue(DOMAINS, NOW - timedelta(days=age))
    host.answer("-servername", "atlas.example.com", stdout=f"CONNECTED(00000003)\n---\n{chain.decode()}---\n")
    host.answer("-servername", "odoo.example.com", stdout="CONNECTED(00000003)\n---\nno peer certificate available\n")

    own, route = served(host, LAYOUT)

    assert own.name == "/etc/letsencrypt/live/atlas.example.com"
    assert own.certificate is not None
    assert own.certificate.domains == DOMAINS
    assert (own.warning(NOW) is None) == (told is None)
    assert (told or "") in (own.warning(NOW) or "")
    assert route.warning(NOW) == f"certificate {LAYOUT.certs}/odoo: Nginx shows none for odoo.example.com"
    assert ("openssl", "s_client", "-connect", "127.0.0.1:443", "-servername", "atlas.example.com") in host.commands


def test_it_is_asked_where_it_listens() -> None:
    host = on_own_nginx(bind="10.0.0.5", https_port=8443)
    host.answer("openssl", error=NotReady("recorder: there is no openssl"))
    told = [one.warning(NOW) or "" for one in served(host, LAYOUT)]
    assert [argv[3] for argv in host.commands] == ["10.0.0.5:8443"] * 2
    assert all(one.endswith(": recorder: there is no openssl") for one in told)
