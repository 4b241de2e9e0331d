"""Foreign routes as Nginx reads them."""

from __future__ import annotations

from typing import Any

import pytest

from wharfinger.model.environment import Environment
from wharfinger.model.tls import Wish
from wharfinger.rendering.routes import listens, render_routes
from wharfinger.rendering.templates import Templates


def render(*routes: dict[str, Any]) -> str | None:
    environment = Environment.model_validate(
        {"server": "vps1", "domain": "shop.example.com", "edge": {"routes": list(routes), "https_port": 8443}}
    )
    wishes = [Wish(f"{one.domain}-1", (one.domain,), one.tls) for one in environment.edge.routes if one.tls is not None]
    return render_routes(environment, wishes, version=(1, 30, 0), templates=Templates.of())


def test_without_routes_there_is_no_file() -> None:
    assert render() is None


@pytest.mark.parametrize("to", ["127.0.0.1:8069", "localhost:8069", "127.0.0.9:8069"])
def test_loopback_is_the_server_and_not_the_container(to: str) -> None:
    assert "proxy_pass http://host.docker.internal:8069;" in (render({"domain": "odoo.example.com", "to": to}) or "")


def test_an_address_is_passed_on_to_as_it_is() -> None:
    assert "proxy_pass http://192.0.2.7:80;" in (render({"domain": "a.example.com", "to": "192.0.2.7:80"}) or "")


def test_a_name_is_looked_up_as_requests_come_so_that_it_cannot_keep_nginx_from_starting() -> None:
    text = render({"domain": "a.example.com", "to": "wiki.example.com:80"}) or ""
    assert "set $wharfinger_upstream wiki.example.com:80;" in text
    assert "proxy_pass http://$wharfinger_upstream;" in text


def test_with_tls_plain_http_is_sent_on_but_for_acme() -> None:
    text = render({"domain": "a.example.com", "to": "192.0.2.7:80", "tls": {"acme": {}, "hsts": "1h"}}) or ""
    plain, secure = text.split("listen 443 ssl;")
    assert "return 308 https://a.example.com:8443$request_uri;" in plain
    assert "snippets/acme.conf" in plain
    assert "ssl_certificate certs/a.example.com-1/fullchain.pem;" in secure
    assert 'Strict-Transport-Security "max-age=3600"' in secure


@pytest.mark.parametrize(
    ("version", "lines"),
    [
        ((1, 30, 0), ("listen 443 ssl;", "http2 on;")),
        ((1, 25, 1), ("listen 443 ssl;", "http2 on;")),
        ((1, 25, 0), ("listen 443 ssl http2;",)),
        ((1, 22, 1), ("listen 443 ssl http2;",)),
    ],
)
def test_http2_is_said_as_the_nginx_that_serves_reads_it(version: tuple[int, ...], lines: tuple[str, ...]) -> None:
    assert listens(version) == lines
