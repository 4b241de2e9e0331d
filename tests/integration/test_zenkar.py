"""Zenkar from local to staging to production: three commands, behind a server's own Nginx, beside a legacy site.

First on this machine, then, as it is described, on a server of the sandbox.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration import sandboxes
from tests.integration.deployments import REPOSITORY, Deployment, docker, without
from tests.integration.own_nginx import OwnNginx, own_nginx
from tests.integration.sandboxes import TestSandbox
from tests.ports import free_ports

DOMAINS = ("staging.zenkar.example.com", "zenkar.example.com")


@pytest.fixture(scope="module")
def made(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """Zenkar as it is described, on ports and names that only this test has."""
    deployment = make_deployment(REPOSITORY / "stacks" / "zenkar")
    path = deployment.folder / "stack.yaml"
    text = without(path.read_text(encoding="utf-8"), "tls").replace("server: vps2", "server: local")
    lines, ports = text.splitlines(), iter(free_ports(11))
    edge = (
        f"    edge: {{kind: host, bind: 127.0.0.1, http_port: {next(ports)}, "
        f"command: [docker, exec, {deployment.name}-own-nginx, nginx]}}"
    )
    for number, line in enumerate(lines):
        name = line.strip().partition(":")[0]
        if line.endswith("zenkar.example.com"):
            lines[number] = f"{line}\n{edge}"
        elif name in {"backend", "frontend"} and line.startswith("      ") and "[" in line:
            lines[number] = f"      {name}: [{next(ports)}, {next(ports)}]"
        elif name == "db" and line.startswith("      "):
            lines[number] = f"      db: {next(ports)}"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return deployment


@pytest.fixture(scope="module")
def nginx(made: Deployment) -> Iterator[OwnNginx]:
    """The server's own Nginx, with the legacy site that it has served all along."""
    text = (made.folder / "stack.yaml").read_text(encoding="utf-8")
    port = int(text.partition("bind: 127.0.0.1, http_port: ")[2].partition(",")[0])
    root = made.project / "server"
    with own_nginx(f"{made.name}-own-nginx", port, root, included=root / "edge" / "host-sites") as running:
        yield running


@pytest.fixture(scope="module")
def zenkar(made: Deployment, nginx: OwnNginx) -> Deployment:
    """Zenkar in all three environments."""
    legacy = nginx.foreign.read_bytes()
    made.wharfinger("deploy", "--env", "local")
    made.wharfinger("deploy", "--env", "staging")
    ran = made.wharfinger("promote", "--from", "staging", "--to", "production", "--yes")
    assert "migrations: all of them, into new databases" in ran.stderr
    assert nginx.foreign.read_bytes() == legacy
    return made


def api(nginx: OwnNginx, domain: str, path: str) -> Any:
    status, body = nginx.get(domain, f"/api/{path}")
    assert status == 200, body
    return json.loads(body)


@pytest.mark.long
def test_every_environment_serves_the_built_frontend_and_the_api(zenkar: Deployment, nginx: OwnNginx) -> None:
    page = zenkar.request("/").body.decode()
    assert "<title>Zenkar</title>" in page
    script = page.partition('src="')[2].partition('"')[0]
    assert script.startswith("/assets/"), "Vite built it"
    assert "immutable" in zenkar.request(script).headers["Cache-Control"]
    assert zenkar.request("/api/health").json() == {"status": "healthy", "database": "connected"}
    for domain in DOMAINS:
        assert nginx.get(domain)[1] == page, "the same build everywhere"
        assert [car["plate"] for car in api(nginx, domain, "cars")] == ["ZK 100", "ZK 200"]
    assert nginx.get("odoo.example.com") == (200, "a legacy of odoo.example.com\n")


@pytest.mark.long
def test_production_runs_what_staging_verified(zenkar: Deployment) -> None:
    releases = [
        json.loads((zenkar.server.parent / name / "current/release.json").read_text(encoding="utf-8"))
        for name in ("staging", "production")
    ]
    assert releases[0]["images"] == releases[1]["images"]
    assert releases[1]["promoted"] == f"staging:{releases[0]['id']}"


@pytest.mark.long
def test_staging_and_production_are_apart(zenkar: Deployment, nginx: OwnNginx) -> None:
    psql = ("psql", "--no-align", "--tuples-only", "--command")
    databases = {name: f"{zenkar.name}-{name}-db" for name in ("staging", "production")}
    insert = "insert into bookings (car, driver, starts, ends) values (1, 'Ann', '2099-01-05', '2099-01-06')"
    docker("exec", databases["staging"], *psql, insert)
    assert [one["driver"] for one in api(nginx, "staging.zenkar.example.com", "bookings")] == ["Ann"]
    assert api(nginx, "zenkar.example.com", "bookings") == []
    version = docker("exec", databases["production"], *psql, "show server_version")
    assert version.startswith("15.")
    table = json.loads(zenkar.wharfinger("ports", "--json").stdout)
    ours = [entry for entry in table if entry["what"].startswith(("backend", "frontend", "db"))]
    assert len({entry["port"] for entry in ours}) == len(ours) == 10


@pytest.fixture
def described(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """Zenkar's staging and production as they are described, under another name."""
    return sandboxes.described(make_deployment, REPOSITORY / "stacks" / "zenkar")


@pytest.fixture
def servers(described: Deployment) -> Iterator[TestSandbox]:
    """A sandbox that its project takes for the usual one."""
    with sandboxes.usual(described) as sandbox:
        yield sandbox


@pytest.mark.long
def test_it_runs_on_the_sandbox_in_three_commands_beside_what_was_there(
    described: Deployment, servers: TestSandbox
) -> None:
    own = "cat /etc/nginx/nginx.conf /etc/nginx/*.d/* /etc/nginx/sites-enabled/* | sha256sum"
    before = servers.ssh("root@vps2", own)
    described.wharfinger("deploy", "--env", "staging")
    described.wharfinger("promote", "--from", "staging", "--to", "production", "--yes")

    def get(domain: str, path: str = "/") -> str:
        return servers.curl("vps2", "vps2-ca.pem", domain, path).decode()

    for domain in DOMAINS:
        assert "<title>Zenkar</title>" in get(domain)
        assert json.loads(get(domain, "/api/health")) == {"status": "healthy", "database": "connected"}
    assert "Here before Wharfinger came" in get("odoo.zenkar.example.com")
    assert "Welcome to nginx!" in servers.ssh("vps2", "curl --silent http://127.0.0.1/"), "the server's default site"
    assert servers.ssh("root@vps2", own) == before

    table = json.loads(described.wharfinger("ports", "--json").stdout)
    there = {entry["port"]: entry for entry in table if entry["server"] == "vps2"}
    assert {3000, 3001, 3100, 3101, 5173, 5174, 5273, 5274, 5432, 5433} < set(there)
    assert there[8069]["what"] == "route to odoo.zenkar.example.com"
    assert all(there[port]["listening"] for port in (80, 443, 5432, 5433, 8069))
    assert not servers.ssh("vps2", "docker ps --quiet --filter name=wharfinger-edge"), "no edge in a container"
    assert "up to date" in described.wharfinger("deploy", "--env", "staging").stderr

    held = json.loads(described.wharfinger("certs.status", "--env", "production", "--json").stdout)
    shown = [(one["domains"], one["issuer"], one["days_left"]) for one in held]
    assert shown == [([domain], "vps2's CA", 59) for domain in ("zenkar.example.com", "odoo.zenkar.example.com")]
    looked = json.loads(described.wharfinger("doctor", "--env", "production", "--json").stdout)
    assert [each["fine"] for each in looked if each["name"] == "certificate"] == [True, True]


@pytest.mark.long
def test_who_deploys_there_may_test_and_reload_nginx_and_nothing_else(servers: TestSandbox) -> None:
    servers.ssh("vps2", "sudo -n nginx -T -q && sudo -n nginx -s reload")
    for more in ("nginx -c /tmp/mine.conf", "nginx -s stop", "true"):
        assert servers.ssh("vps2", f"sudo -n {more} 2>/dev/null || echo refused", check=False) == "refused"
