"""The site for a server's own Nginx against the one that we keep; Nginx itself reads it, at the place that it names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path, PurePosixPath
from typing import Final

from tests.examples import sevra

from wharfinger.model.release import Layout, Live, Target
from wharfinger.rendering.host_site import main_file, render_host_site
from wharfinger.rendering.live import live_default
from wharfinger.rendering.templates import Templates

GOLDEN: Final = Path(__file__).parent / "host-site.conf"
ROOT: Final = PurePosixPath("/srv/wharfinger")
LAYOUT: Final = Layout(ROOT, Target("sevra-atlas", "staging"), ROOT / "edge" / "host-sites")


def rendered() -> str:
    stack = sevra(
        site={
            "routes": [
                {"path": "/", "service": "api"},
                {"path": "/live/", "service": "api", "streaming": True, "timeout": "1h"},
                {"path": "/admin/", "service": "worker", "upload_limit": "200m"},
            ],
            "headers": {"X-Frame-Options": None, "X-Own": 'a "b" \\;{}#'},
            "snippet": "location = /robots.txt {\n    return 200 'none';\n}\n",
        },
        environments={
            "staging": {
                "server": "local",
                "domain": "staging.example.com",
                "aliases": ["www.staging.example.com"],
                "edge": {"kind": "host", "routes": [{"domain": "odoo.example.com", "to": "127.0.0.1:8069"}]},
                "ports": {"api": [3001, 3101], "worker": [3002, 3102], "postgres": 5433},
            }
        },
    )
    return render_host_site(stack, "staging", layout=LAYOUT, templates=Templates.of())


def test_it_is_written_as_we_keep_it() -> None:
    """`UPDATE_GOLDEN=1 pytest tests/golden` writes the file anew; read the diff before you commit it."""
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(rendered(), encoding="utf-8")
    assert rendered() == GOLDEN.read_text(encoding="utf-8")


def test_nginx_reads_it(tmp_path: Path) -> None:
    (tmp_path / "sites").mkdir()
    site = tmp_path / "sites" / LAYOUT.target.name
    site.with_suffix(".conf").write_text(rendered(), encoding="utf-8")
    site.with_suffix(".live").write_text(live_default(Live("blue", "20261120143000")), encoding="utf-8")
    (tmp_path / "host.conf").write_text(main_file(LAYOUT), encoding="utf-8")
    mounts = ("--volume", f"{tmp_path}/sites:{LAYOUT.sites}:ro", "--volume", f"{tmp_path}/host.conf:/host.conf:ro")
    argv = ("docker", "run", "--rm", "--network", "none", *mounts, "--entrypoint", "nginx", "nginx:1.30", "-t", "-c")
    done = subprocess.run((*argv, "/host.conf"), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
