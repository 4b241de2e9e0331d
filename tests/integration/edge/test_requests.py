"""What becomes of a request and its answer on their way through the edge."""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import socket
import ssl

import pytest
from tests.integration.edge.rig import (
    BLUE,
    IN_CONTAINER,
    NAME,
    SIGNED_IN,
    Edge,
    fresh,
    run,
    wait_until,
    write_site,
)

from wharfinger.model.tls import Tls


def test_a_websocket_passes_through(edge: Edge) -> None:
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as client:
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        client.sendall(
            "GET /ws HTTP/1.1\r\nHost: atlas.test\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        stream = client.makefile("rb")
        assert stream.readline().startswith(b"HTTP/1.1 101")
        while stream.readline().strip():
            pass
        client.sendall(bytes((0x81, 0x85)) + b"\0\0\0\0" + b"hello")
        assert stream.read(7) == b"\x81\x05hello"


def test_nothing_but_a_websocket_is_upgraded(edge: Edge) -> None:
    got = json.loads(edge.get("/headers", headers={"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings"}).body)

    assert "upgrade" not in got
    assert "connection" not in got


def test_an_upload_below_the_limit_passes_and_one_above_gets_413(edge: Edge) -> None:
    mega = 2**20

    assert edge.get("/upload", method="POST", body=bytes(11 * mega)).body == f"blue {11 * mega}"
    assert edge.get("/streamed/upload", method="POST", body=bytes(11 * mega)).body == f"blue {11 * mega}"
    too_large = edge.folder.parent / "too-large"
    too_large.write_bytes(bytes(13 * mega))
    refused = run(
        *("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", f"@{too_large}"),
        *("-H", "Host: atlas.test", f"http://127.0.0.1:{edge.port}/upload"),
        check=False,
    )
    assert refused.stdout == "413"


def test_a_large_listing_arrives_whole_and_compressed(edge: Edge) -> None:
    assert len(json.loads(edge.get(fresh("/large"), headers=SIGNED_IN).body)) == 100_000
    assert len(json.loads(edge.get(fresh("/large")).body)) == 100_000


def test_what_a_client_claims_about_itself_does_not_reach_the_service(edge: Edge) -> None:
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Prefix": "/evil",
        "X-Real-IP": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "X-Request-ID": "two words\x7f",
        "Proxy": "http://evil.test",
        **SIGNED_IN,
    }
    got = json.loads(edge.get("/headers", host="atlas.test:8080", headers=forged).body)

    assert got["host"] == got["x-forwarded-host"] == "atlas.test:8080"
    assert got["x-forwarded-proto"] == "http"
    assert got["x-forwarded-for"] == got["x-real-ip"] != "6.6.6.6"
    assert len(got["x-request-id"]) == 32
    assert not {"forwarded", "proxy", "x-forwarded-prefix"} & got.keys()


def test_a_request_keeps_one_id_in_service_answer_and_log(edge: Edge) -> None:
    mine = f"trace-{secrets.token_hex(8)}"
    kept = edge.get("/headers?token=hidden", headers={"X-Request-ID": mine, **SIGNED_IN})
    made = edge.get("/request-id", headers=SIGNED_IN)

    assert kept.headers["x-request-id"] == json.loads(kept.body)["x-request-id"] == mine
    assert len(made.headers["x-request-id"]) == 32
    wait_until(lambda: mine in {entry["id"] for entry in edge.log()})
    entry = next(entry for entry in edge.log() if entry["id"] == mine)
    assert entry["slot"] == "blue"
    assert entry["release"] == BLUE.release
    assert entry["site"] == NAME
    assert entry["path"] == "/headers"
    assert entry["status"] == 200
    assert float(str(entry["upstream_seconds"])) >= 0
    assert "hidden" not in json.dumps(edge.log())
    assert not [entry for entry in edge.log() if entry["path"] == "/health" and entry["status"] == 200]


def test_security_headers_stand_on_every_answer_once(edge: Edge) -> None:
    for answer in (
        edge.get("/"),
        edge.get("/health"),
        edge.get("/.well-known/acme-challenge/none"),
    ):
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["server"] == "nginx"
    assert edge.get("/csp", headers=SIGNED_IN).headers["content-security-policy"] == "default-src 'none'"
    assert edge.get(fresh("/csp")).headers["content-security-policy"] == "default-src 'none'"


def test_an_unknown_host_gets_no_answer(edge: Edge) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        edge.get("/", host="unknown.test")
    with (
        socket.create_connection(("127.0.0.1", edge.https_port), timeout=10) as plain,
        pytest.raises(ssl.SSLError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname="unknown.test")


def test_an_acme_challenge_is_answered_from_its_folder(edge: Edge) -> None:
    challenges = edge.folder / "acme" / ".well-known" / "acme-challenge"
    (challenges / "token").write_text("token.key")

    answer = edge.get("/.well-known/acme-challenge/token")
    assert (answer.status, answer.body) == (200, "token.key")
    assert edge.get("/.well-known/acme-challenge/none").status == 404


def test_a_site_with_tls_speaks_http2_and_sends_plain_http_on(edge: Edge) -> None:
    certificate = edge.folder / "certs" / "speedy.test"
    certificate.mkdir()
    run(
        *("docker", "run", "--rm", "-v", f"{certificate}:/out", "--entrypoint", "openssl", "nginx:1.30"),
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-subj", "/CN=speedy.test", "-addext", "subjectAltName=DNS:speedy.test"),
        *("-keyout", "/out/privkey.pem", "-out", "/out/fullchain.pem"),
    )
    tls = Tls(certificate="speedy.test", https_port=8443, hsts="1h")
    write_site(edge.folder, "speedy-test", "speedy.test", BLUE, tls)
    edge.exec("nginx", "-t", "-q", "-c", f"{IN_CONTAINER}/nginx.conf")
    edge.reload()

    plain = edge.get("/a?b=c", host="speedy.test", method="POST", body=b"")
    assert (plain.status, plain.headers["location"]) == (308, "https://speedy.test:8443/a?b=c")
    assert edge.get("/.well-known/acme-challenge/none", host="speedy.test").status == 404
    port = edge.https_port
    secure = run(
        *("curl", "-si", "--http2", "--cacert", str(certificate / "fullchain.pem")),
        *("--resolve", f"speedy.test:{port}:127.0.0.1", f"https://speedy.test:{port}/"),
    ).stdout
    assert secure.startswith("HTTP/2 502")  # nothing runs in either slot of this second site
    assert "strict-transport-security: max-age=3600" in secure
