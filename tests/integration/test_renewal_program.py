"""The program that renews certificates, with a certbot that does as it is told."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from wharfinger import assets
from wharfinger.local_ca import Authority

NAME = "shop-production-1a2b3c4d"
DOMAINS = ("shop.example.com",)
CERTBOT = """#!/bin/sh
echo "$@" >>"$FAKE/asked"
while [ $# -gt 0 ]; do [ "$1" = --config-dir ] && config=$2; [ "$1" = --logs-dir ] && logs=$2; shift; done
mkdir -p "$logs"
if [ -e "$FAKE/problem" ]; then
    echo "{\\"type\\": \\"urn:ietf:params:acme:error:badNonce\\"}" >"$logs/letsencrypt.log"
    cat "$FAKE/problem" >>"$logs/letsencrypt.log"
    echo "Saving debug log to somewhere" >&2
    echo "An unexpected error occurred: too many certificates already issued" >&2
    exit 1
fi
mkdir -p "$config/live/NAME"
cp "$FAKE/fullchain.pem" "$FAKE/privkey.pem" "$config/live/NAME/"
"""


class Renewal:
    """The program on an edge's folder of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.edge, self.fake = folder / "edge", folder / "fake"
        self.authority = Authority(folder / "ca")
        for name in ("certs", "sites", "acme", "renewal/orders"):
            (self.edge / name).mkdir(parents=True)
        (self.fake / "bin").mkdir(parents=True)
        certbot = self.fake / "bin" / "certbot"
        certbot.write_text(CERTBOT.replace("NAME", NAME))
        certbot.chmod(0o755)
        monkeypatch.setenv("PATH", f"{certbot.parent}:{os.environ['PATH']}")
        monkeypatch.setenv("FAKE", str(self.fake))
        self.program = self._load(monkeypatch)
        order = {"domains": DOMAINS, "directory": "https://acme.example.com/dir", "email": None, "ca": True}
        (self.edge / "renewal" / "orders" / f"{NAME}.json").write_text(json.dumps(order))
        self.give()

    def _load(self, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
        spec = importlib.util.spec_from_file_location("renew", assets.folder("compose") / "renew.py")
        assert spec is not None
        assert spec.loader is not None
        program = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(program)
        for name, path in {
            "EDGE": self.edge,
            "CERTS": self.edge / "certs",
            "ORDERS": self.edge / "renewal" / "orders",
            "STATES": self.edge / "renewal" / "states",
            "CERTBOT": self.edge / "renewal" / "letsencrypt",
        }.items():
            monkeypatch.setattr(program, name, path)
        return program

    def give(self, *, key_of_another: bool = False) -> bytes:
        """Let certbot have a new certificate; return its chain."""
        chain, key = self.authority.issue(DOMAINS, datetime.now(UTC) - timedelta(days=1))
        if key_of_another:
            _, key = self.authority.issue(DOMAINS, datetime.now(UTC))
        (self.fake / "fullchain.pem").write_bytes(chain)
        (self.fake / "privkey.pem").write_bytes(key)
        return chain

    def refuse(self, kind: str) -> None:
        """Let the ACME server refuse from now on."""
        (self.fake / "problem").write_text(json.dumps({"type": f"urn:ietf:params:acme:error:{kind}"}))

    @property
    def served(self) -> bytes:
        """What Nginx would read."""
        return (self.edge / "certs" / NAME / "fullchain.pem").read_bytes()

    @property
    def state(self) -> dict[str, Any]:
        """What came of the last try."""
        found: dict[str, Any] = json.loads((self.edge / "renewal" / "states" / f"{NAME}.json").read_text())
        return found


@pytest.fixture
def renewal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Renewal:
    """One order, and a certbot that fills it."""
    return Renewal(tmp_path, monkeypatch)


def test_a_certificate_is_put_in_place_whole_and_only_where_it_is_new(renewal: Renewal) -> None:
    assert renewal.program.renew(NAME) == (True, None)
    first = (renewal.edge / "certs" / NAME).resolve()
    assert (renewal.edge / "certs" / NAME).is_symlink()
    assert stat.S_IMODE((first / "privkey.pem").stat().st_mode) == 0o600
    assert not (first / "stapling.conf").exists()

    assert renewal.program.renew(NAME) == (False, None)
    assert (renewal.edge / "certs" / NAME).resolve() == first

    newer = renewal.give()
    assert renewal.program.renew(NAME) == (True, None)
    assert renewal.served == newer
    assert first.is_dir(), "Nginx may be reading it"
    for _ in range(3):
        renewal.give()
        renewal.program.renew(NAME)
    assert len(list(first.parent.iterdir())) == 2


def test_certbot_is_told_all_it_needs_and_is_not_made_to_order_what_is_not_due(renewal: Renewal) -> None:
    renewal.program.renew(NAME)
    renewal.program.renew(NAME, force=True)
    plain, forced = (renewal.fake / "asked").read_text().splitlines()
    assert "--keep-until-expiring" in plain
    assert "--force-renewal" in forced
    for words in ("--server https://acme.example.com/dir", "--domain shop.example.com", "--non-interactive"):
        assert words in plain


@pytest.mark.parametrize("kind", ["rateLimited", "unauthorized", "connection", "serverInternal"])
def test_a_refusal_keeps_the_certificate_and_names_its_kind(renewal: Renewal, kind: str) -> None:
    renewal.program.renew(NAME)
    before = renewal.served
    renewal.give()
    renewal.refuse(kind)

    changed, problem = renewal.program.renew(NAME)

    assert not changed
    assert problem["kinds"] == [kind], "what certbot itself tries again is no refusal"
    assert problem["lines"] == ["An unexpected error occurred: too many certificates already issued"]
    assert renewal.served == before
    assert renewal.state["failures"] == 1


def test_after_failures_it_waits_ever_longer_and_up_to_a_day(renewal: Renewal) -> None:
    renewal.refuse("connection")
    pauses = []
    for _ in range(7):
        renewal.program.renew(NAME)
        pauses.append(renewal.state["next"] - renewal.state["at"])
    assert pauses[0] <= 3600
    assert all(longer > shorter for shorter, longer in itertools.pairwise(pauses[:5]))
    assert pauses[-1] <= 86400

    (renewal.fake / "problem").unlink()
    renewal.program.renew(NAME)
    assert renewal.state["failures"] == 0


def test_a_pair_that_does_not_fit_is_never_put_in_place(renewal: Renewal) -> None:
    renewal.program.renew(NAME)
    before = renewal.served
    renewal.give(key_of_another=True)
    changed, problem = renewal.program.renew(NAME)
    assert not changed
    assert "SSLError" in problem["lines"][0]
    assert renewal.served == before


def test_only_what_a_site_serves_with_is_renewed_and_only_when_it_is_time(renewal: Renewal) -> None:
    program, now = renewal.program, datetime.now(UTC).timestamp()
    assert list(program.due(now)) == []
    site = renewal.edge / "sites" / "shop-production.conf"
    site.write_text(f"ssl_certificate certs/{NAME}/fullchain.pem;")
    assert list(program.due(now)) == [NAME]
    program.renew(NAME)
    assert list(program.due(now)) == []
    assert list(program.due(now + 86400)) == [NAME]
