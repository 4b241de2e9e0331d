"""Certificates of a site: got from a real ACME server, renewed, refused; one's own; and those of a local CA."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import ssl
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.faults import killing
from tests.integration.acme import AcmeServer, acme_server, edge_address, wait_until
from tests.integration.deployments import PEBBLE, Deployment, docker

from wharfinger import stock_images
from wharfinger.hosts.local import LocalHost
from wharfinger.local_ca import Authority
from wharfinger.stand_ins import TRIAL

OPS = "ops@example.com"


@pytest.fixture(scope="session", autouse=True)
def _with_an_acme_server(stock: None) -> None:
    """Let the engine hold what only tests need."""
    stock_images.ensure(LocalHost(), TRIAL, say=print, progress=lambda *_: None)


@dataclass(frozen=True)
class Secured:
    """A deployment whose certificates come from an ACME server of its own."""

    pebble: Deployment
    acme: AcmeServer

    def with_tls(self, *aliases: str) -> str:
        """Return the lines of an environment that ask for a certificate."""
        tls = f"{{acme: {{email: {OPS}, directory: '{self.acme.directory}', ca: acme-ca.pem}}}}"
        also = f"    aliases: [{', '.join(aliases)}]\n" if aliases else ""
        return f"    domain: {self.pebble.domain}\n{also}    tls: {tls}\n"

    @property
    def certificate(self) -> dict[str, Any]:
        """The one that `certs.status` shows."""
        shown = json.loads(self.pebble.wharfinger("certs.status", "--env", "local", "--json").stdout)
        (one,) = shown
        return dict(one)


def answer(deployment: Deployment, path: str, authorities: str) -> tuple[int, bytes, str]:
    """Ask a site over TLS, as a visitor who trusts these CAs; return status, body and the certificate's serial."""
    context = ssl.create_default_context(cadata=authorities)
    raw = socket.create_connection(("127.0.0.1", deployment.https_port), 10)
    connection = http.client.HTTPConnection(deployment.domain, deployment.https_port, timeout=10)
    connection.sock = secure = context.wrap_socket(raw, server_hostname=deployment.domain)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        facts: Any = secure.getpeercert()
        return response.status, response.read(), facts["serialNumber"].lstrip("0")
    finally:
        connection.close()


def workers(deployment: Deployment) -> list[str]:
    """Return the process ids of Nginx' workers: others after every reload."""
    lines = docker("top", f"{deployment.edge}-nginx-1", "-o", "pid,args").splitlines()
    return sorted(line.split()[0] for line in lines if "worker process" in line and "shutting down" not in line)


@contextmanager
def asked_all_the_while(deployment: Deployment) -> Iterator[list[int | str]]:
    """Ask a site over plain HTTP, on a connection each, as long as the block runs; yield what was answered."""
    answered: list[int | str] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.02):
            try:
                answered.append(deployment.request("/").status)
            except (OSError, http.client.HTTPException) as error:
                answered.append(repr(error))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answered
    finally:
        ended.set()
        thread.join()


@pytest.fixture(scope="module")
def secured(
    make_deployment: Callable[[Path], Deployment], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secured]:
    """A deployment that has served plain HTTP so far, and an ACME server that finds it."""
    pebble = make_deployment(PEBBLE)
    pebble.deploy()
    with acme_server(pebble, tmp_path_factory.mktemp("acme")) as acme:
        (pebble.folder / "acme-ca.pem").write_text(acme.authorities.read_text())
        acme.lead(pebble.domain, edge_address(pebble))
        yield Secured(pebble, acme)


def test_the_first_certificate_comes_in_one_deploy_and_without_a_gap(secured: Secured) -> None:
    pebble = secured.pebble
    pebble.edit("stack.yaml", f"    domain: {pebble.domain}\n", secured.with_tls())
    assert f"obtain the certificate of {pebble.domain}" in pebble.deploy("--plan").stderr
    assert not (pebble.edge_folder / "renewal").exists(), "a plan changes nothing"

    with asked_all_the_while(pebble) as answered:
        pebble.deploy()

    assert set(answered) == {200, 308}, "plain HTTP served, then was sent on"
    status, body, _ = answer(pebble, "/", secured.acme.authorities.read_text())
    assert (status, json.loads(body)["version"]) == (200, "one")
    assert pebble.request("/").headers["Location"] == f"https://{pebble.domain}:{pebble.https_port}/"
    found = secured.certificate
    assert found["domains"] == [pebble.domain]
    assert found["warning"] is None
    assert found["days_left"] in {88, 89, 90}


def test_keys_are_their_owners_and_no_journal_holds_them(secured: Secured) -> None:
    edge = secured.pebble.edge_folder
    keys = [*edge.glob("certs/*/privkey.pem"), *edge.glob("renewal/letsencrypt/accounts/**/private_key.json")]
    assert len(keys) == 2
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in keys)
    assert stat.S_IMODE((edge / "renewal" / "letsencrypt").stat().st_mode) == 0o700
    journals = "".join(path.read_text() for path in (secured.pebble.server / "journal").iterdir())
    assert "ObtainCertificate" in journals
    assert "PRIVATE KEY" not in journals


def test_what_renews_them_keeps_all_in_the_folder_of_the_edge(secured: Secured) -> None:
    """A volume of its image would stay behind it for ever."""
    container = f"{secured.pebble.edge}-renewal-certbot-1"
    assert set(docker("inspect", "--format", "{{range .Mounts}}{{.Type}} {{end}}", container).split()) == {"bind"}


def test_further_deploys_order_nothing(secured: Secured) -> None:
    pebble, before = secured.pebble, secured.certificate["serial"]
    orders = docker("logs", secured.acme.name).count("new-order")
    assert "already up to date" in pebble.deploy().stderr
    with pebble.edited("app.py", 'VERSION = "one"', 'VERSION = "two"'):
        assert "obtain the certificate" not in pebble.deploy().stderr
        status, body, serial = answer(pebble, "/", secured.acme.authorities.read_text())
    assert (status, json.loads(body)["version"]) == (200, "two")
    assert int(serial, 16) == int(before, 16)
    assert docker("logs", secured.acme.name).count("new-order") == orders


def test_a_renewal_reloads_nginx_only_where_there_is_a_new_certificate(secured: Secured) -> None:
    pebble, before, serving = secured.pebble, secured.certificate["serial"], workers(secured.pebble)

    assert "not due" in pebble.wharfinger("certs.renew", "--env", "local").stderr
    assert secured.certificate["serial"] == before
    assert workers(pebble) == serving

    pebble.wharfinger("certs.renew", "--env", "local", "--force")
    assert secured.certificate["serial"] != before
    wait_until(lambda: workers(pebble) != serving)
    _, _, serial = answer(pebble, "/", secured.acme.authorities.read_text())
    assert int(serial, 16) == int(secured.certificate["serial"], 16)


@pytest.mark.parametrize(
    ("alias", "kind", "mend"),
    [
        ("blocked.localhost", "rejectedIdentifier", "correct `domain` and `aliases`"),
        pytest.param("nowhere.localhost", "connection", "let its DNS lead here", marks=pytest.mark.long),
    ],
)
def test_a_refusal_ends_the_deploy_before_anything_is_touched(
    secured: Secured, alias: str, kind: str, mend: str
) -> None:
    pebble, release, before = secured.pebble, secured.pebble.status()["release"], secured.certificate["serial"]
    containers = docker("ps", "--quiet", "--filter", f"name={pebble.name}-local").split()

    with pebble.edited("stack.yaml", secured.with_tls(), secured.with_tls(alias)):
        ran = pebble.deploy(status=7)

    assert kind in ran.stderr
    assert alias in ran.stderr
    assert mend in ran.stderr
    assert pebble.status()["release"] == release
    assert docker("ps", "--quiet", "--filter", f"name={pebble.name}-local").split() == containers
    assert secured.certificate["serial"] == before
    assert answer(pebble, "/", secured.acme.authorities.read_text())[0] == 200
    assert len(list((pebble.edge_folder / "renewal" / "orders").glob("*.json"))) == 1


def chain_of(folder: Path, domains: tuple[str, ...], *, at: datetime | None = None) -> Path:
    """Write a certificate and its key, issued at a time, into a new folder."""
    chain, key = Authority(folder / "ca").issue(domains, at or datetime.now(UTC))
    made = folder / hashlib.sha256(chain).hexdigest()[:8]
    made.mkdir()
    (made / "fullchain.pem").write_bytes(chain)
    (made / "privkey.pem").write_bytes(key)
    return made


@pytest.mark.long
def test_a_certificate_that_ended_is_told_of_and_the_next_deploy_mends_it(secured: Secured, tmp_path: Path) -> None:
    pebble = secured.pebble
    expired = chain_of(tmp_path, (pebble.domain,), at=datetime.now(UTC) - timedelta(days=400))
    served = (pebble.edge_folder / "certs" / secured.certificate["name"]).resolve()
    (served / "fullchain.pem").write_bytes((expired / "fullchain.pem").read_bytes())

    assert "browsers refuse the site" in pebble.wharfinger("status", "--env", "local").stderr
    assert secured.certificate["days_left"] < 0
    health = json.loads(pebble.wharfinger("health", "--env", "local", "--json", status=1).stdout)
    assert [one["healthy"] for one in health["findings"] if one["kind"] == "certificate"] == [False]
    assert "certs.renew" in pebble.wharfinger("doctor", "--env", "local", status=4).stdout

    ran = pebble.deploy()
    assert "the certificate ended on" in ran.stderr
    assert secured.certificate["warning"] is None
    assert pebble.wharfinger("health", "--env", "local").status == 0


@pytest.mark.long
@pytest.mark.parametrize(
    "point",
    [
        "started ObtainCertificate+0.5",
        "started StartRenewal",
        "done ObtainCertificate",
        "done PutSite",
    ],
)
def test_a_run_that_is_killed_amid_certificates_is_put_right(secured: Secured, point: str) -> None:
    pebble, acme, release = secured.pebble, secured.acme, secured.pebble.status()["release"]
    alias = f"{point.replace(' ', '-').replace('+', '-').replace('.', '-').lower()}.localhost"
    acme.lead(alias, edge_address(pebble))
    if "StartRenewal" in point:
        docker("rm", "--force", f"{pebble.edge}-renewal-certbot-1")
    with pebble.edited("stack.yaml", secured.with_tls(), secured.with_tls(alias)):
        assert killing.hit(pebble, f"kill:{point}", "deploy", "--env", "local").returncode == -9
        assert answer(pebble, "/", acme.authorities.read_text())[0] == 200
        assert "and is reverted" in pebble.wharfinger("recover", "--env", "local").stderr
        assert pebble.status()["release"] == release
        assert secured.certificate["domains"] == [pebble.domain]
        assert answer(pebble, "/", acme.authorities.read_text())[0] == 200
        pebble.deploy()
        assert secured.certificate["domains"] == [pebble.domain, alias]
    pebble.deploy()
    assert secured.certificate["domains"] == [pebble.domain]


@pytest.mark.long
def test_ones_own_certificate_is_checked_before_it_is_used(secured: Secured, tmp_path: Path) -> None:
    pebble = secured.pebble
    other = chain_of(tmp_path, ("other.example.com",))
    with pebble.edited(
        "stack.yaml", secured.with_tls(), f"    domain: {pebble.domain}\n    tls: {{certificate: own}}\n"
    ):
        ran = pebble.deploy(status=3)
        assert "fullchain.pem is missing" in ran.stderr
        assert "certs.put" in ran.stderr
        refused = pebble.wharfinger("certs.put", "--env", "local", "--folder", str(other), status=3)
        assert f"it is for other.example.com, not for {pebble.domain}" in refused.stderr
        assert not (pebble.edge_folder / "certs" / "own").exists()
        assert answer(pebble, "/", secured.acme.authorities.read_text())[0] == 200


@pytest.mark.long
def test_ones_own_certificate_serves_and_is_replaced_without_a_deploy(secured: Secured, tmp_path: Path) -> None:
    pebble = secured.pebble
    with pebble.edited(
        "stack.yaml", secured.with_tls(), f"    domain: {pebble.domain}\n    tls: {{certificate: own}}\n"
    ):
        good = chain_of(tmp_path, (pebble.domain, "www.example.com"))
        pebble.wharfinger("certs.put", "--env", "local", "--folder", str(good))
        # What this machine does not trust, a deploy cannot verify; so the CA is made known to it.
        trusted = tmp_path / "bundle.pem"
        trusted.write_text((tmp_path / "ca" / "ca.pem").read_text())
        pebble.deploy(environ={"SSL_CERT_FILE": str(trusted)})
        assert answer(pebble, "/", trusted.read_text())[0] == 200

        serving, newer = workers(pebble), chain_of(tmp_path, (pebble.domain,))
        pebble.wharfinger("certs.put", "--env", "local", "--folder", str(newer))
        wait_until(lambda: workers(pebble) != serving)
        (found,) = json.loads(pebble.wharfinger("certs.status", "--env", "local", "--json").stdout)
        assert int(answer(pebble, "/", trusted.read_text())[2], 16) == int(found["serial"], 16)


def test_a_local_ca_serves_tls_on_this_machine(secured: Secured, tmp_path: Path) -> None:
    pebble, environ = secured.pebble, {"XDG_DATA_HOME": str(tmp_path)}
    with pebble.edited("stack.yaml", secured.with_tls(), f"    domain: {pebble.domain}\n    tls: {{local: true}}\n"):
        pebble.deploy("--plan", environ=environ)
        assert not (tmp_path / "wharfinger-ca").exists()
        pebble.deploy(environ=environ)
        authority = tmp_path / "wharfinger-ca"
        assert stat.S_IMODE((authority / "ca.key").stat().st_mode) == 0o600
        assert answer(pebble, "/", (authority / "ca.pem").read_text())[0] == 200
        assert "already up to date" in pebble.deploy(environ=environ).stderr
        said = pebble.wharfinger("certs.trust", environ=environ, status=None)
        assert str(authority / "ca.pem") in said.stdout + said.stderr


@pytest.mark.long
def test_certificates_are_renewed_unattended(
    make_deployment: Callable[[Path], Deployment], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """They live for two minutes here, and are looked at every second."""
    pebble = make_deployment(PEBBLE)
    pebble.deploy()
    with acme_server(pebble, tmp_path_factory.mktemp("acme"), life=120) as acme:
        secured = Secured(pebble, acme)
        (pebble.folder / "acme-ca.pem").write_text(acme.authorities.read_text())
        acme.lead(pebble.domain, edge_address(pebble))
        pebble.edit("stack.yaml", f"    domain: {pebble.domain}\n", secured.with_tls())
        pebble.deploy()
        first = secured.certificate["serial"]
        renewal = pebble.edge_folder / "renewal"
        env = renewal / ".env"
        env.write_text(f"{env.read_text()}RENEWAL_SECONDS=1\n")
        docker(
            "compose", "--project-name", f"{pebble.edge}-renewal", "--file", str(renewal / "compose.yaml"), "up", "-d"
        )
        for state in (renewal / "states").iterdir():
            state.unlink()

        trusted = acme.authorities.read_text()
        wait_until(lambda: secured.certificate["serial"] != first, within=180)
        wait_until(lambda: int(answer(pebble, "/", trusted)[2], 16) != int(first, 16), within=60)

        docker("stop", acme.name)  # from here on nobody renews it
        wait_until(lambda: secured.certificate["renewal_failures"] > 0, within=180)
        # Of a life of two minutes, a warning is due in the last third only.
        wait_until(lambda: secured.certificate["warning"] is not None, within=180)
        assert "its renewal has failed" in pebble.wharfinger("status", "--env", "local").stderr
