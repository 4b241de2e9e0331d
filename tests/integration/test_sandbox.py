"""The sandbox: two servers with engines of their own, up within half a minute and gone without a trace."""

from __future__ import annotations

import ssl
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration import sandboxes
from tests.integration.deployments import docker
from tests.integration.sandboxes import TestSandbox

from wharfinger import certificates, dotenv

SERVERS = ("vps1", "vps2")
UP_WITHIN = 30.0


def test_everything_of_it_is_up_and_said_so(sandbox: TestSandbox) -> None:
    found = sandbox.status()
    assert found["up"] is True
    states = {service["service"]: service["state"] for service in found["services"]}
    assert states == {
        **dict.fromkeys(("vps1", "vps2", "bare"), "healthy"),
        **dict.fromkeys(("acme", "names", "registry", "s3"), "running"),
    }


def test_the_second_server_has_an_nginx_of_its_own_with_certificates_of_a_ca_that_is_written_down(
    sandbox: TestSandbox,
) -> None:
    assert "Welcome to nginx!" in sandbox.ssh("vps2", "curl --silent http://127.0.0.1/")
    chain = sandbox.ssh("root@vps2", "cat /etc/letsencrypt/live/zenkar.example.com/fullchain.pem").encode()
    assert certificates.is_signed_by(chain, sandbox.ssh_config.with_name("vps2-ca.pem").read_bytes())


@pytest.mark.parametrize("server", SERVERS)
def test_ssh_leads_in_and_containers_run_there(sandbox: TestSandbox, server: str) -> None:
    assert sandbox.ssh(server, "hostname") == server
    assert sandbox.ssh(server, "id -un; id -nG") == "deploy\ndeploy docker"
    ran = sandbox.ssh(server, "docker run --rm --network bridge nginx:1.30 cat /etc/nginx/conf.d/default.conf")
    assert "listen 80" in ran
    assert sandbox.ssh(server, "docker version --format '{{.Server.Version}} {{.Server.Os}}'").startswith("26.")
    assert sandbox.ssh(server, "docker info --format '{{.Driver}}'") == "overlay2"


def test_the_servers_are_debian_13_and_12(sandbox: TestSandbox) -> None:
    found = [sandbox.ssh(server, ". /etc/os-release; echo $VERSION_ID") for server in SERVERS]
    assert found == ["13", "12"]


def test_engines_are_apart(sandbox: TestSandbox) -> None:
    identities = {sandbox.ssh(server, "docker info --format '{{.ID}}'") for server in SERVERS}
    assert len({*identities, docker("info", "--format", "{{.ID}}")}) == 3


def test_containers_there_find_the_acme_server_and_a_bucket_that_only_its_key_opens(sandbox: TestSandbox) -> None:
    values = dotenv.parse(sandbox.ssh_config.with_name("values.env").read_text(encoding="utf-8"))
    put = (
        f'url = "{values["S3_ENDPOINT"]}/{values["S3_BUCKET"]}/hello.txt"',
        'request = "PUT"',
        'data = "hello"',
        f'aws-sigv4 = "aws:amz:{values["S3_REGION"]}:s3"',
        'write-out = "%{http_code}\\n"',
        "silent",
    )
    key = values["S3_ACCESS_KEY_ID"]
    lines = (
        *('url = "https://acme:14000/dir"', "insecure", "silent"),
        *("next", *put, f'user = "{key}:{values["S3_SECRET_ACCESS_KEY"]}"'),
        *("next", *put, f'user = "{key}:another"'),
    )
    sandbox.ssh("vps1", "docker network create look")
    try:
        asked = "docker run --rm --interactive --network look nginx:1.30 curl --config -"
        answers = sandbox.ssh("vps1", asked, stdin="\n".join(lines))
    finally:
        sandbox.ssh("vps1", "docker network rm look")
    assert "newOrder" in answers
    kept, _, refused = answers.partition("200\n")
    assert "<Error>" not in kept
    assert "SignatureDoesNotMatch" in refused


def test_the_acme_server_is_trusted_by_the_file_that_was_written(sandbox: TestSandbox) -> None:
    (port,) = (each["ports"]["14000"] for each in sandbox.status()["services"] if each["service"] == "acme")
    trusted = ssl.create_default_context(cafile=str(sandbox.ssh_config.with_name("acme-ca.pem")))
    with urllib.request.urlopen(f"https://127.0.0.1:{port}/dir", timeout=10, context=trusted) as answer:
        assert answer.status == 200


def test_its_secrets_are_the_users_alone(sandbox: TestSandbox) -> None:
    folder = sandbox.ssh_config.parent
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert {modes[name] for name in ("id_ed25519", "ssh_config", "known_hosts", "values.env")} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_up_again_leaves_what_runs(sandbox: TestSandbox) -> None:
    label = f"label=com.docker.compose.project={sandbox.compose_project}"
    before = docker("ps", "--quiet", "--no-trunc", "--filter", label)
    sandbox.wharfinger("sandbox.up", "--name", sandbox.name)
    assert docker("ps", "--quiet", "--no-trunc", "--filter", label) == before


def test_another_checkouts_sandbox_is_left_alone(sandbox: TestSandbox, tmp_path: Path) -> None:
    other = sandboxes.make(tmp_path / "other", sandbox.name)
    for verb in ("sandbox.up", "sandbox.down"):
        assert "runs already, for" in other.wharfinger(verb, "--name", sandbox.name, status=2).stderr
    assert sandbox.status()["up"] is True


def test_a_dry_run_starts_nothing(sandbox: TestSandbox, tmp_path: Path) -> None:
    other = sandboxes.make(tmp_path / "other", f"{sandbox.name}-dry")
    other.wharfinger("--dry", "sandbox.up", "--name", other.name)
    assert other.left() == []
    assert other.status()["up"] is False


def test_what_is_not_up_is_down_already(tmp_path: Path) -> None:
    other = sandboxes.make(tmp_path / "other", "never-up")
    assert "there is no" in other.wharfinger("sandbox.down", "--name", "never-up").stderr


def test_a_name_that_docker_would_not_take_is_refused(tmp_path: Path) -> None:
    other = sandboxes.make(tmp_path / "other", "x")
    other.wharfinger("sandbox.up", "--name", "Not/This", status=2)


@pytest.fixture
def second(sandbox: TestSandbox, tmp_path: Path) -> Iterator[TestSandbox]:
    made = sandboxes.make(tmp_path / "second", f"{sandbox.name}-2")
    yield made
    made.wharfinger("sandbox.down", "--name", made.name)
    assert made.left() == []


@pytest.mark.long
def test_two_run_beside_each_other_and_start_in_half_a_minute(sandbox: TestSandbox, second: TestSandbox) -> None:
    began = time.monotonic()
    second.wharfinger("sandbox.up", "--name", second.name)
    took = time.monotonic() - began
    assert took <= UP_WITHIN, f"{took:.1f} s"
    second.ssh("vps1", "docker volume create only-here")
    assert sandbox.ssh("vps1", "docker volume ls --quiet") == ""
    second.wharfinger("sandbox.down", "--name", second.name)
    assert second.left() == []
    assert sandbox.status()["up"] is True
    assert sandbox.ssh("vps1", "true") == ""
