"""Whom the edge answers: its sites, each for itself, and nobody else."""

from __future__ import annotations

import http.client
import socket
import ssl
from pathlib import Path, PurePosixPath

import pytest
from tests.integration.edge.rig import BLUE, IN_CONTAINER, NAME, SECURE, Edge, run, write_site

from wharfinger.edge import Edge as Ours
from wharfinger.engine import Engine
from wharfinger.errors import InvalidInput
from wharfinger.hosts.local import LocalHost
from wharfinger.model.release import Layout, Target
from wharfinger.model.tls import Tls

OTHER = "other-test"


def ours(edge: Edge, stack: str = "third") -> Ours:
    """Return the edge as a deploy of a stack uses it."""
    layout = Layout(PurePosixPath(edge.folder).parent, Target(stack, "test"))
    return Ours(LocalHost(), Engine(None, host="local"), layout, edge.project)


@pytest.fixture
def with_tls(edge: Edge) -> Edge:
    """The edge with a site that has a certificate."""
    (edge.folder / "certs" / "secure.test").mkdir(parents=True, exist_ok=True)
    words = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    pair = ("-keyout", f"{IN_CONTAINER}/certs/secure.test/privkey.pem")
    chain = ("-out", f"{IN_CONTAINER}/certs/secure.test/fullchain.pem", "-subj", "/CN=secure.test")
    mount = ("-v", f"{edge.folder}:{IN_CONTAINER}", "--entrypoint", "openssl", "nginx:1.30")
    run("docker", "run", "--rm", *mount, *words, *pair, *chain)
    write_site(edge.folder, SECURE, "secure.test", BLUE, Tls(certificate="secure.test"))
    edge.reload()
    return edge


@pytest.mark.parametrize("host", ["nobody.test", "127.0.0.1", "", "atlas.test.evil.test", "edge", NAME])
@pytest.mark.parametrize("path", ["/", "/health", "/.well-known/acme-challenge/none"])
def test_a_host_that_no_site_has_gets_no_answer_at_all(edge: Edge, host: str, path: str) -> None:
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        said = client.makefile("rb").read()
    # A request without a host is none: Nginx says so, and nothing of a site.
    assert said == b"" or (host == "" and said.startswith(b"HTTP/1.1 400"))


@pytest.mark.parametrize("host", ["nobody.test", None])
def test_a_handshake_for_a_host_that_no_site_has_is_refused(with_tls: Edge, host: str | None) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", with_tls.https_port), timeout=10) as client,
        pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name|handshake"),
    ):
        context.wrap_socket(client, server_hostname=host)


def test_an_acme_server_is_answered_before_there_is_a_site(edge: Edge) -> None:
    folder = edge.folder / "acme" / ".well-known" / "acme-challenge"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "token").write_text("proof")
    got = edge.get("/.well-known/acme-challenge/token", host="yet.nobody.test")
    assert (got.status, got.body) == (200, "proof")
    with pytest.raises(http.client.RemoteDisconnected):
        edge.get("/.well-known/acme-challenge/", host="yet.nobody.test")
    assert edge.get("/.well-known/acme-challenge/../../../nginx.conf", host="yet.nobody.test").status == 400


def test_a_site_that_would_break_the_whole_is_refused_and_two_others_serve_on(edge: Edge) -> None:
    write_site(edge.folder, OTHER, "other.test", BLUE)
    edge.reload()
    sites = edge.folder / "sites"
    before = {path.name: path.read_bytes() for path in sites.iterdir()}
    answers = [edge.get("/page", host=host).status for host in ("atlas.test", "other.test")]

    # What Nginx refuses, and what it would serve in another's place.
    broken = b"server {\n    listen 80;\n    server_name third.test;\n    proxy_pass http://nowhere;\n}\n"
    theirs = b"server {\n    listen 80;\n    server_name third.test other.test;\n    return 204;\n}\n"
    with pytest.raises(InvalidInput, match="Nginx refuses"):
        ours(edge).put_site(broken, BLUE)
    with pytest.raises(InvalidInput, match=r"other\.test"):
        ours(edge).put_site(theirs, BLUE)
    with pytest.raises(InvalidInput, match=r"other\.test"):
        ours(edge).put_routes(theirs)

    assert {path.name: path.read_bytes() for path in sites.iterdir()} == before
    assert [edge.get("/page", host=host).status for host in ("atlas.test", "other.test")] == answers
    edge.exec("nginx", "-t", "-c", f"{IN_CONTAINER}/nginx.conf")
    for name in (f"{OTHER}.conf", f"{OTHER}.live"):
        Path(sites / name).unlink()
