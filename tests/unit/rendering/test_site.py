"""The Nginx file of a site: what is decided, seen in what is written."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharfinger.errors import InvalidInput
from wharfinger.model.release import Live
from wharfinger.model.site import Site
from wharfinger.model.tls import Tls
from wharfinger.rendering.live import live_default
from wharfinger.rendering.site import DEFAULT_HEADERS, render_site, site_view
from wharfinger.rendering.templates import Templates

ROUTES = ({"path": "/", "service": "api"}, {"path": "/admin/", "service": "worker"})
PORTS = {"api": 3000, "worker": 3001}
NAME = "sevra-atlas-local"


def render(*, tls: Tls | None = None, version: tuple[int, ...] = (1, 30, 0), name: str = NAME, **section: Any) -> str:
    return render_site(
        Site.model_validate({"routes": ROUTES, **section}),
        environment_name=name,
        ports=PORTS,
        domains=("example.com", "www.example.com"),
        tls=tls,
        version=version,
        templates=Templates.of(),
    )


def block(text: str, opening: str) -> str:
    """The block that begins with the line `opening`, up to its closing brace."""
    match = re.search(rf"^( *){re.escape(opening)} {{\n(.*?)^\1}}$", text, re.MULTILINE | re.DOTALL)
    assert match, f"no {opening}"
    return match[2]


def test_every_service_has_a_group_in_both_slots_whether_routed_or_not() -> None:
    text = render(routes=[{"path": "/", "service": "api"}])

    groups = re.findall(r"^upstream (\S+) ", text, re.MULTILINE)
    assert groups == [f"{NAME}-{slot}-{service}" for service in PORTS for slot in ("blue", "green")]
    assert f"server {NAME}-green-worker:3001 resolve" in block(text, f"upstream {NAME}-green-worker")


def test_which_slot_a_request_goes_to_is_decided_when_it_comes() -> None:
    text = render()

    for path, service in {"/": "api", "/admin/": "worker"}.items():
        location = block(text, f"location {path}")
        assert f"set $wharfinger_service {service};" in location
        assert f"set $wharfinger_port {PORTS[service]};" in location
        assert f"set $wharfinger_group {NAME}-$wharfinger_tier-$wharfinger_service$wharfinger_at;" in location
    assert "blue" not in text.split("server {", 1)[1]


def test_where_a_name_for_each_release_would_be_too_long_all_goes_by_the_groups() -> None:
    """NAME-green-RELEASE-SERVICE has to be one label of at most 63 characters."""
    longest = "a" * (63 - len("-green-20261120143000-worker"))

    for name, goes_by_name in ((longest, True), (f"{longest}a", False)):
        text = render(name=name)
        assert ("/by-name/" in text) is goes_by_name
        assert ("$wharfinger_at;" in text) is goes_by_name
        assert (f"set $wharfinger_group {name}-$wharfinger_slot-$wharfinger_service;" in text) is not goes_by_name


@pytest.mark.parametrize(
    ("health", "service"), [("/health", "api"), ("/admin/health", "worker"), ("/administer", "api")]
)
def test_health_goes_where_its_longest_route_leads_uncached_and_unlogged(health: str, service: str) -> None:
    location = block(render(health=health), f"location = {health}")

    assert f"set $wharfinger_service {service};" in location
    assert "set $wharfinger_quiet 1;" in location
    assert "proxy_cache off;" in location


def test_a_health_path_below_no_route_is_nowhere() -> None:
    assert "location = /health" not in render(routes=[{"path": "/api/", "service": "api"}])


def test_a_route_has_limits_of_its_own() -> None:
    routes = [
        {"path": "/", "service": "api"},
        {"path": "/films/", "service": "api", "upload_limit": "2g", "timeout": "1h30m", "streaming": True},
    ]
    text = render(routes=routes)

    films = block(text, "location /films/")
    assert "client_max_body_size 2048m;" in films
    assert "proxy_read_timeout 5400s;" in films
    assert "proxy_request_buffering off;" in films
    assert "proxy_cache off;" in films
    assert "@again" not in films  # its body may be gone by then
    assert "client_max_body_size" not in block(text, "location /")
    assert "@again" in block(text, "location /")


def test_without_a_cache_there_is_no_trace_of_one() -> None:
    text = render(cache={"enabled": False}, routes=[{"path": "/", "service": "api", "streaming": True}])

    assert "proxy_cache" not in text
    assert "X-Cache" not in text
    assert "cache.conf" not in text


@pytest.mark.parametrize(
    ("cookies", "header", "signed_in"),
    [
        (["session"], "session=1", True),
        (["session"], "theme=dark; session=1", True),
        (["session"], "theme=dark;session=1", True),
        (["session"], "session=; session=1", True),
        (["session"], "theme=dark", False),
        (["session"], "mysession=1", False),
        (["session"], "theme=session", False),
        (["session", "__Host-sid"], "__Host-sid=1", True),
        (["a.b"], "aXb=1", False),
        (["a.b"], "a.b=1", True),
        ([], "theme=dark", True),
        ([], "", False),
    ],
)
def test_whose_cookies_keep_away_from_the_cache(cookies: list[str], header: str, signed_in: bool) -> None:
    site = Site.model_validate({"routes": ROUTES, "cache": {"session_cookies": cookies}})
    view = site_view(site, environment_name=NAME, ports=PORTS, domains=("a",), tls=None)

    assert view.cache is not None
    pattern = view.cache.signed_in.removeprefix('"~').removesuffix('"').replace("\\\\", "\\")
    assert bool(re.search(pattern, header)) is signed_in


def test_headers_are_merged_over_the_default_ones_in_any_case() -> None:
    text = render(headers={"x-frame-options": "DENY", "Referrer-Policy": None, "X-Own": 'a "b" \\'})

    assert re.findall(r"^ +add_header (\S+)", text, re.MULTILINE) == [
        "X-Request-ID",
        "X-Cache",
        "Content-Security-Policy",
        "Permissions-Policy",
        "X-Content-Type-Options",
        "x-frame-options",
        "X-Own",
    ]
    variable = "$sevra_atlas_local_x_frame_options"
    assert '"" "DENY";' in block(text, f"map $upstream_http_x_frame_options {variable}")
    assert r'"" "a \"b\" \\";' in text


def test_no_header_is_added_where_it_would_hide_the_others() -> None:
    inside = re.findall(r"^    location .*?^    }$", render(), re.MULTILINE | re.DOTALL)

    assert inside
    assert not any("add_header" in location for location in inside)


def test_plain_http_is_one_server_without_tls() -> None:
    text = render()

    assert "listen 80;" in text
    assert "443" not in text
    assert "Strict-Transport-Security" not in text


def test_with_tls_plain_http_is_sent_on_except_for_acme() -> None:
    text = render(tls=Tls(certificate="example.com", https_port=8443, hsts="8760h"))
    redirect, secure = text.split("\nserver {\n")[2:]

    assert "include snippets/acme.conf;" in redirect
    assert "return 308 https://$host:8443$request_uri;" in redirect
    assert "proxy_pass" not in redirect
    assert "listen 443 ssl;" in secure
    assert "http2 on;" in secure
    assert "ssl_certificate certs/example.com/fullchain.pem;" in secure
    assert "add_header Strict-Transport-Security" in secure
    assert '"" "max-age=31536000";' in text


def test_the_usual_https_port_is_not_spelt_out() -> None:
    assert "return 308 https://$host$request_uri;" in render(tls=Tls(certificate="example.com"))


def test_a_snippet_stands_in_the_server_block() -> None:
    text = render(snippet="location = /robots.txt {\n    return 200;\n}\n")

    assert text.endswith("    location = /robots.txt {\n        return 200;\n    }\n}\n")


def test_an_nginx_without_what_a_site_needs_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"1\.26\.3"):
        render(version=(1, 26, 3))


def test_the_same_site_gives_the_same_text() -> None:
    assert render() == render()


def test_the_live_default_is_what_nginx_reads_at_its_start() -> None:
    assert live_default(Live("green", "20261120143000")) == ('set $wharfinger_default "green:20261120143000";\n')
    assert live_default(None) == 'set $wharfinger_default "";\n'


@given(st.text(st.characters(exclude_characters="$", exclude_categories=("C", "Z")), min_size=1))
def test_any_header_value_is_one_quoted_nginx_word(value: str) -> None:
    site = Site.model_validate({"routes": ROUTES, "headers": {"X-Own": value}})
    view = site_view(site, environment_name=NAME, ports=PORTS, domains=("a",), tls=None)

    written = next(header.value for header in view.headers if header.name == "X-Own")
    assert re.fullmatch(r'"(?:[^"\\]|\\["\\])*"', written)
    assert re.sub(r"\\(.)", r"\1", written[1:-1]) == value


def test_variables_of_two_sites_never_share_a_name() -> None:
    names = ("a-b", "a_b", "a-b_c", "a_b-c")
    site = Site.model_validate({"routes": ROUTES})
    views = [site_view(site, environment_name=n, ports=PORTS, domains=("a",), tls=None) for n in names]

    assert len({view.variable for view in views}) == len(names)
    assert len(views[0].headers) == len(DEFAULT_HEADERS)
