"""Where certificates come from, as a stack file says."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.examples import sevra

from wharfinger.model.tls import LETS_ENCRYPT, Tls, wish

DOMAINS = ("a.example.com", "b.example.com")


@pytest.mark.parametrize(
    ("section", "source"),
    [({"certificate": "x"}, "own"), ({"acme": {}}, "acme"), ({"local": True}, "local")],
)
def test_one_source_makes_the_certificate(section: dict[str, Any], source: str) -> None:
    assert Tls.model_validate(section).source == source


@pytest.mark.parametrize(
    "section", [{}, {"local": False}, {"acme": {}, "local": True}, {"certificate": "x", "acme": {}}]
)
def test_none_or_two_sources_are_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="one of `certificate`, `acme` and `local: true`"):
        Tls.model_validate(section)


@pytest.mark.parametrize(
    "section",
    [
        {"certificate": "../keys"},
        {"certificate": "a/b"},
        {"certificate": "/etc/../keys"},
        {"certificate": "/etc/keys; include x"},
        {"acme": {}, "ca": "ca.pem"},
        {"acme": {"directory": "http://acme.example.com/dir"}},
        {"acme": {"email": "nobody"}},
        {"acme": {"directory": "https://acme.example.com/dir --hook"}},
    ],
)
def test_what_would_lead_elsewhere_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Tls.model_validate(section)


def test_lets_encrypt_is_asked_unless_another_is_named() -> None:
    tls = Tls.model_validate({"acme": {}})
    assert tls.acme is not None
    assert tls.acme.directory == LETS_ENCRYPT


def test_ones_own_certificate_keeps_its_name_and_others_have_one_for_each_set_of_domains_and_maker() -> None:
    assert wish(Tls(certificate="mine"), "shop-production", DOMAINS).name == "mine"
    acme, local = Tls.model_validate({"acme": {}}), Tls(local=True)
    made = [
        wish(acme, "shop-production", DOMAINS),
        wish(acme, "shop-production", DOMAINS[:1]),
        wish(local, "shop-production", DOMAINS),
        wish(acme, "shop-staging", DOMAINS),
    ]
    assert len({one.name for one in made}) == 4
    assert made[0].name.startswith("shop-production-")
    assert made[0] == wish(acme, "shop-production", DOMAINS)


def test_an_environment_needs_its_sites_certificate_and_those_of_its_routes() -> None:
    routes = [
        {"domain": "odoo.example.com", "to": "127.0.0.1:8069", "tls": {"acme": {}}},
        {"domain": "wiki.example.com", "to": "127.0.0.1:8070"},
    ]
    environment = {
        "server": "local",
        "domain": "atlas.example.com",
        "aliases": ["www.atlas.example.com"],
        "tls": {"acme": {}},
        "edge": {"routes": routes},
    }
    stack = sevra(environments={"local": environment})
    found = [one.domains for one in stack.certificates("local")]
    assert found == [("atlas.example.com", "www.atlas.example.com"), ("odoo.example.com",)]


def test_no_wildcard_is_asked_of_an_acme_server() -> None:
    environment = {"server": "local", "domain": "a.example.com", "aliases": ["*.example.com"], "tls": {"acme": {}}}
    with pytest.raises(ValidationError, match="one of your own"):
        sevra(environments={"local": environment})
    assert sevra(environments={"local": environment | {"tls": {"certificate": "wild"}}})


@pytest.mark.parametrize("alias", ["-x", "a b", "a;b", "*.*.example.com", "A.example.com"])
def test_an_alias_is_a_host_name(alias: str) -> None:
    with pytest.raises(ValidationError):
        sevra(environments={"local": {"server": "local", "domain": "a.example.com", "aliases": [alias]}})


@pytest.mark.parametrize("domain", ["atlas.example.com", "www.atlas.example.com", "odoo.example.com"])
def test_a_name_that_is_served_already_is_no_route(domain: str) -> None:
    routes = [{"domain": "odoo.example.com", "to": "127.0.0.1:8069"}, {"domain": domain, "to": "127.0.0.1:1"}]
    environment = {
        "server": "local",
        "domain": "atlas.example.com",
        "aliases": ["www.atlas.example.com"],
        "edge": {"routes": routes},
    }
    with pytest.raises(ValidationError, match="the site, or another route, has this name"):
        sevra(environments={"local": environment})


@pytest.mark.parametrize(("edge", "is_found"), [("host", True), ("container", False)])
def test_a_whole_path_is_for_the_servers_own_nginx_only(edge: str, is_found: bool) -> None:
    tls = {"certificate": "/etc/letsencrypt/live/a.example.com"}
    route = {"domain": "odoo.example.com", "to": "127.0.0.1:8069", "tls": tls}
    environment = {"server": "vps2", "domain": "a.example.com", "tls": tls, "edge": {"kind": edge, "routes": [route]}}
    environment |= {"ports": {"api": [3000, 3100], "worker": [3001, 3101]}} if is_found else {}
    if is_found:
        sevra(environments={"production": environment})
        return
    with pytest.raises(ValidationError, match=r"production\.edge\.routes\.0\.tls: only the server's own Nginx"):
        sevra(environments={"production": environment})
