"""Deploys behind a server's own Nginx, staging and production side by side, beside a site that is not ours."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.deployments import PEBBLE, Deployment, docker
from tests.integration.own_nginx import OwnNginx, own_nginx
from tests.ports import free_ports

ENVIRONMENTS = """\
environments:
  staging:
    server: local
    domain: staging.{name}.localhost
    edge: &edge
      kind: host
      bind: 127.0.0.1
      http_port: {http}
      command: [docker, exec, {container}, nginx]
    ports: {{web: [{ports[0]}, {ports[1]}], postgres: {ports[2]}}}
  production:
    server: local
    domain: {name}.localhost
    edge:
      <<: *edge
      routes: [{{domain: legacy.{name}.localhost, to: "127.0.0.1:{http}"}}]
    ports: {{web: [{ports[3]}, {ports[4]}], postgres: {ports[5]}}}
"""


@pytest.fixture(scope="module")
def made(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """A pebble whose edge is the server's own Nginx, yet to be deployed."""
    deployment = make_deployment(PEBBLE)
    path = deployment.folder / "stack.yaml"
    text = path.read_text(encoding="utf-8").partition("environments:\n")[0]
    facts = {"name": deployment.name, "http": deployment.http_port, "container": f"{deployment.name}-own-nginx"}
    path.write_text(text + ENVIRONMENTS.format(**facts, ports=free_ports(6)), encoding="utf-8")
    return deployment


@pytest.fixture(scope="module")
def nginx(made: Deployment) -> Iterator[OwnNginx]:
    """The server's own Nginx, which includes our folder."""
    root = made.project / "server"
    with own_nginx(f"{made.name}-own-nginx", made.http_port, root, included=root / "edge" / "host-sites") as running:
        yield running


@pytest.fixture(scope="module")
def pebble(made: Deployment, nginx: OwnNginx) -> Deployment:
    """The pebble, deployed to both."""
    made.wharfinger("deploy", "--env", "staging")
    made.wharfinger("promote", "--from", "staging", "--to", "production", "--yes")
    return made


def version(nginx: OwnNginx, domain: str) -> str:
    status, body = nginx.get(domain)
    assert status == 200, body
    return str(json.loads(body)["version"])


def test_both_environments_and_what_was_there_before_are_served(pebble: Deployment, nginx: OwnNginx) -> None:
    assert nginx.get(f"staging.{pebble.name}.localhost")[0] == 200
    assert nginx.get(f"{pebble.name}.localhost")[0] == 200
    assert nginx.get("odoo.example.com") == (200, "a legacy of odoo.example.com\n")
    assert not docker("ps", "--all", "--quiet", "--filter", f"name={pebble.edge}"), "no edge of ours runs"
    health = json.loads(pebble.wharfinger("health", "--env", "production", "--json").stdout)
    assert health["healthy"], health
    table = json.loads(pebble.wharfinger("ports", "--json").stdout)
    listening = {entry["what"] for entry in table if entry["environment"].endswith("production") and entry["listening"]}
    assert {"edge http", "postgres"} < listening


@pytest.mark.long
def test_a_deploy_switches_without_a_failed_request_and_goes_back_without_one(
    pebble: Deployment, nginx: OwnNginx
) -> None:
    domain, stop = f"staging.{pebble.name}.localhost", threading.Event()
    seen: list[int | OSError] = []

    def ask() -> None:
        while not stop.is_set():
            for name in (domain, "odoo.example.com"):
                try:
                    seen.append(nginx.get(name)[0])
                except OSError as error:
                    seen.append(error)

    foreign = nginx.foreign.read_bytes()
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        with pebble.edited("app.py", 'VERSION = "one"', 'VERSION = "two"'):
            pebble.wharfinger("deploy", "--env", "staging")
        assert version(nginx, domain) == "two"
        pebble.wharfinger("rollback", "--env", "staging")
        assert version(nginx, domain) == "one"
    finally:
        stop.set()
        asking.join()
    assert len(seen) > 100
    assert set(seen) == {200}
    assert nginx.foreign.read_bytes() == foreign
    assert version(nginx, f"{pebble.name}.localhost") == "one", "production is untouched"


def test_what_is_for_wharfinger_itself_is_answered_to_this_machine_only(pebble: Deployment, nginx: OwnNginx) -> None:
    asked = f"{pebble.name}-staging.wharfinger.invalid"
    release = pebble.status("staging")["release"]
    assert nginx.get(asked, "/live")[1].endswith(f":{release}")
    assert nginx.get(asked, "/probe/blue/web/health", source="127.0.0.2")[0] == 404
    assert nginx.get(asked, "/live", source="127.0.0.2")[0] == 404


@pytest.mark.long
def test_a_release_that_fails_leaves_the_old_one_serving(pebble: Deployment, nginx: OwnNginx) -> None:
    sites = {path.name: path.read_bytes() for path in (pebble.edge_folder / "host-sites").iterdir()}
    with pebble.edited("app.py", 'MODE = "good"', 'MODE = "wrong"'):
        pebble.wharfinger("deploy", "--env", "staging", status=7)
    assert version(nginx, f"staging.{pebble.name}.localhost") == "one"
    assert {path.name: path.read_bytes() for path in (pebble.edge_folder / "host-sites").iterdir()} == sites


def test_a_site_that_nginx_refuses_is_put_back_byte_for_byte(pebble: Deployment, nginx: OwnNginx) -> None:
    """It passes the test of the newest Nginx, on the machine that deploys; the server's 1.22 knows no `http2 on`."""
    sites = {path.name: path.read_bytes() for path in (pebble.edge_folder / "host-sites").iterdir()}
    with pebble.edited("stack.yaml", "  cache: {enabled: false}", "  cache: {enabled: false}\n  snippet: http2 on;"):
        ran = pebble.wharfinger("deploy", "--env", "staging", status=7)
    assert "Nginx refuses the new configuration; the old one is back in place" in ran.stderr
    assert {path.name: path.read_bytes() for path in (pebble.edge_folder / "host-sites").iterdir()} == sites
    assert version(nginx, f"staging.{pebble.name}.localhost") == "one"


@pytest.mark.long
def test_an_nginx_that_does_not_include_our_sites_is_told_how(pebble: Deployment, nginx: OwnNginx) -> None:
    include = nginx.folder / "wharfinger.conf"
    before = include.read_bytes()
    include.unlink()
    try:
        with pebble.edited("stack.yaml", "  cache: {enabled: false}", "  cache: {enabled: false}\n  upload_limit: 3m"):
            ran = pebble.wharfinger("deploy", "--env", "staging", status=7)
    finally:
        include.write_bytes(before)
        docker("exec", nginx.container, "nginx", "-s", "reload")
    assert f"does not include {pebble.edge_folder}/host-sites/*.conf" in ran.stderr
    assert "> /etc/nginx/conf.d/wharfinger.conf" in ran.stderr


def test_scaling_what_is_published_is_refused(pebble: Deployment) -> None:
    ran = pebble.wharfinger("scale", "web=2", "--env", "staging", status=2)
    assert "which several replicas cannot share" in ran.stderr


def test_databases_are_apart(pebble: Deployment) -> None:
    for environment in ("staging", "production"):
        docker(
            *("exec", f"{pebble.name}-{environment}-postgres", "psql", "-U", "postgres", "-Atc"),
            f"create table {environment}_only (n int)",
        )
    tables = docker(
        *("exec", f"{pebble.name}-production-postgres", "psql", "-U", "postgres", "-Atc"),
        "select string_agg(tablename, ',') from pg_tables where schemaname = 'public'",
    )
    assert tables == "production_only"


@pytest.mark.long
def test_an_nginx_that_is_down_is_told_before_anything_starts(pebble: Deployment, nginx: OwnNginx) -> None:
    docker("stop", "--time", "5", nginx.container)
    try:
        with pebble.edited("app.py", 'VERSION = "one"', 'VERSION = "three"'):
            ran = pebble.wharfinger("deploy", "--env", "staging", status=4)
        assert "where its own Nginx is to answer" in ran.stderr
    finally:
        docker("start", nginx.container)
