"""A site's Nginx file against the one that we keep, and against the Nginx that will serve it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from wharfinger import assets
from wharfinger.model.environment import Environment
from wharfinger.model.release import Live
from wharfinger.model.site import Site
from wharfinger.model.tls import Tls, Wish
from wharfinger.rendering.live import live_default
from wharfinger.rendering.routes import SERVER_ITSELF, render_routes
from wharfinger.rendering.site import render_site
from wharfinger.rendering.templates import Templates

GOLDEN: Final = Path(__file__).parent
IMAGE: Final = "nginx:1.30"
NAME: Final = "sevra-atlas-staging"
CONFIGURATION: Final = "/etc/nginx/wharfinger/nginx.conf"

PLAIN: Final[dict[str, Any]] = {"routes": [{"path": "/", "service": "api"}]}
FULL: Final[dict[str, Any]] = {
    "routes": [
        {"path": "/", "service": "api"},
        {"path": "/admin/", "service": "worker", "timeout": "1h"},
        {"path": "/films/", "service": "api", "upload_limit": "2g", "streaming": True},
    ],
    "health": "/health",
    "cache": {"ttl": "2s", "stale": "1m", "session_cookies": ["session", "__Host-sid"], "size": "128m"},
    "upload_limit": "20m",
    "headers": {
        "Content-Security-Policy": "default-src 'self'",
        "X-Frame-Options": None,
        "X-Own": 'a "b" \\;{}#',
    },
    "timeouts": {"connect": "1500ms", "read": "1m30s"},
    "snippet": "location = /robots.txt {\n    return 200 'none';\n}\n",
}
CASES: Final[dict[str, tuple[dict[str, Any], Tls | None]]] = {
    "site.conf": (PLAIN, None),
    "site-full.conf": (FULL, Tls(certificate="example.com", https_port=8443, hsts="8760h")),
    "site-uncached.conf": ({**PLAIN, "cache": {"enabled": False}}, None),
}
FILES: Final = (*CASES, "routes.conf")


ROUTES: Final[dict[str, Any]] = {
    "server": "deploy@vps1.example.com",
    "domain": "example.com",
    "edge": {
        "routes": [
            {"domain": "odoo.example.com", "to": "127.0.0.1:8069", "tls": {"acme": {}, "hsts": "8760h"}},
            {"domain": "wiki.example.com", "to": "wiki.internal:8080", "upload_limit": "1g", "timeout": "5m"},
            {"domain": "old.example.com", "to": "192.0.2.7:80"},
        ]
    },
}


def rendered(case: str) -> str:
    if case == "routes.conf":
        environment = Environment.model_validate(ROUTES)
        wishes = [Wish("example.com", ("odoo.example.com",), Tls.model_validate({"acme": {}}))]
        return render_routes(environment, wishes, version=(1, 30, 0), templates=Templates.of()) or ""
    section, tls = CASES[case]
    return render_site(
        Site.model_validate(section),
        environment_name=NAME,
        ports={"api": 3000, "worker": 3001},
        domains=("example.com", "www.example.com"),
        tls=tls,
        version=(1, 30, 0),
        templates=Templates.of(),
    )


@pytest.mark.parametrize("case", FILES)
def test_a_site_is_written_as_we_keep_it(case: str) -> None:
    """`UPDATE_GOLDEN=1 pytest tests/golden` writes the files anew; read the diff before you commit it."""
    path = GOLDEN / case
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(rendered(case))

    assert rendered(case) == path.read_text()


@pytest.mark.parametrize("case", FILES)
def test_the_nginx_that_will_serve_it_accepts_it_with_no_word(case: str, tmp_path: Path) -> None:
    """Neither slot runs anywhere, and nothing is mounted but the folder itself and one for the control socket."""
    edge = tmp_path / "edge"
    shutil.copytree(assets.folder("nginx"), edge)
    (edge / "sites").mkdir()
    (edge / "sites" / f"{NAME}.conf").write_text(rendered(case))
    (edge / "sites" / f"{NAME}.live").write_text(live_default(Live("blue", "20261120143000")))
    (edge / "certs" / "example.com").mkdir(parents=True)
    itself = ("--add-host", f"{SERVER_ITSELF}:127.0.0.1")
    mount = ("-v", f"{edge}:/etc/nginx/wharfinger")
    _run("docker", "run", "--rm", *mount, "--entrypoint", "openssl", IMAGE, *_CERTIFICATE)

    tested = _run(
        "docker",
        "run",
        "--rm",
        *itself,
        *_SOCKETS,
        *mount,
        "--entrypoint",
        "nginx",
        IMAGE,
        "-t",
        "-q",
        "-c",
        CONFIGURATION,
    )

    assert tested.stderr == ""


_SOCKETS: Final = ("--tmpfs", "/run/wharfinger")
_CERTIFICATE: Final = (
    *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
    *("-subj", "/CN=example.com", "-addext", "subjectAltName=DNS:example.com"),
    *("-keyout", "/etc/nginx/wharfinger/certs/example.com/privkey.pem"),
    *("-out", "/etc/nginx/wharfinger/certs/example.com/fullchain.pem"),
)


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done
