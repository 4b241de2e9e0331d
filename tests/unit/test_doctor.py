"""What `doctor` says of certificates and ports, and how each is mended."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from tests.examples import LAYOUT, sevra
from tests.recording import Heard, RecordingHost, server

from wharfinger import connecting, doctor, stock_images
from wharfinger.connecting import Server
from wharfinger.errors import NotReady
from wharfinger.local_ca import Authority
from wharfinger.project import Place

DOMAIN = "atlas.example.com"
OF_EDGE = b"ssl_certificate certs/mine/fullchain.pem;"
OF_OWN_NGINX = (
    b"    listen 443 ssl http2;\n    ssl_certificate /etc/letsencrypt/live/mine/fullchain.pem;\n"
    b"    server_name atlas.example.com;\n"
)
PORTS = {"api": [3000, 3100], "worker": [3001, 3101]}


def examined(monkeypatch: pytest.MonkeyPatch, host: RecordingHost, place: Place) -> list[dict[str, Any]]:
    """Return what is said of a host that has an engine and all stock images."""
    return examined_all(monkeypatch, place, host)


def examined_all(monkeypatch: pytest.MonkeyPatch, place: Place, *hosts: RecordingHost) -> list[dict[str, Any]]:
    """Return what is said of hosts of which each has an engine and all stock images."""
    for host in hosts:
        host.answer("docker", "version", stdout="26.1.5")
        host.answer("docker", "image", "inspect", stdout=f"{json.dumps(stock_images.STOCK)}\t\n")
        host.answer("docker", "info", stdout=json.dumps(datetime.now(UTC).isoformat()))

    @contextmanager
    def connect_all(place: Place) -> Iterator[tuple[Server, ...]]:
        made = [(host, server(host)) for host in hosts]
        yield tuple(Server(host, each.engine, each.edge, each.layout, place, here=host) for host, each in made)

    monkeypatch.setattr(connecting, "connect_all", connect_all)
    heard = Heard()
    with contextlib.suppress(NotReady):  # much else may be amiss in memory
        doctor.examine(place, heard.console, as_json=True)
    found: list[dict[str, Any]] = json.loads(heard.data)
    return found


class Away(RecordingHost):
    """A host that cannot be reached."""

    def free_bytes(self, path: PurePosixPath) -> int:  # noqa: ARG002 - as every host
        """Say so."""
        raise NotReady("web2: Connection refused", fix="see whether it is up")


def test_of_several_servers_one_that_is_away_is_told_of_and_the_others_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = sevra(environments={"local": {"server": "web1", "domain": DOMAIN}})
    on_both = stack.environments["local"].model_copy(update={"servers": ("web1", "web2")})
    stack = stack.model_copy(update={"environments": {"local": on_both}})
    place = Place(Path("/p"), Path("/p/stacks/sevra-atlas"), stack, "local")

    found = examined_all(monkeypatch, place, RecordingHost(), Away())

    assert [each for each in found if each["server"] == "web2"] == [
        {
            "server": "web2",
            "name": "server",
            "fine": False,
            "seen": "web2: Connection refused",
            "fix": "see whether it is up",
        }
    ]
    assert {"disk", "clock"} <= {each["name"] for each in found if each["server"] == "web1"}


@pytest.mark.parametrize(
    ("environment", "site", "mend"),
    [
        ({"tls": {"certificate": "mine"}}, OF_EDGE, "invoke certs.put --env local --folder FOLDER"),
        (
            {"edge": "host", "tls": {"certificate": "/etc/letsencrypt/live/mine"}, "ports": PORTS},
            OF_OWN_NGINX,
            "certbot",
        ),
    ],
)
@pytest.mark.parametrize(("age", "fine"), [(370, True), (380, False)])
def test_a_certificate_is_to_be_mended_from_three_weeks_before_its_end(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    environment: dict[str, Any],
    site: bytes,
    mend: str,
    age: int,
    fine: bool,
) -> None:
    chain, _ = Authority(tmp_path).issue((DOMAIN,), datetime.now(UTC) - timedelta(days=age))
    stack = sevra(environments={"local": {"server": "local", "domain": DOMAIN, **environment}})
    host = RecordingHost({LAYOUT.site: site, LAYOUT.chain("mine"): chain})
    host.answer("openssl", "s_client", stdout=chain.decode())

    looked = examined(monkeypatch, host, Place(tmp_path, tmp_path, stack, "local"))

    (found,) = (each for each in looked if each["name"] == "certificate")
    assert found["fine"] == fine
    assert (mend in found["fix"]) != fine


@pytest.mark.parametrize(("deployed", "ports"), [(False, {"port 80"}), (True, {"port 80", "port 443"})])
def test_the_servers_own_nginx_need_not_listen_for_https_before_our_site_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, deployed: bool, ports: set[str]
) -> None:
    environment = {
        "server": "vps1",
        "domain": DOMAIN,
        "edge": "host",
        "tls": {"certificate": "/c/mine"},
        "ports": PORTS,
    }
    stack = sevra(environments={"local": environment})
    host = RecordingHost()
    if deployed:
        host.links[LAYOUT.current] = "releases/20261120143000"

    looked = examined(monkeypatch, host, Place(tmp_path, tmp_path, stack, "local"))

    assert {each["name"] for each in looked if each["name"].startswith("port")} == ports
