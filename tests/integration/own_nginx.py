"""A server's own Nginx for tests: Debian 12's, in a container that shares this machine's network and its paths."""

from __future__ import annotations

import http.client
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.integration.deployments import docker

IMAGE: Final = "wharfinger-test/own-nginx:1.22"
_FOREIGN: Final = """\
server {{
    listen 127.0.0.1:{port};
    server_name {domain};
    location / {{
        return 200 "a legacy of {domain}\\n";
    }}
}}
"""


@dataclass(frozen=True)
class OwnNginx:
    """An Nginx that runs without Wharfinger, and serves a site of its own."""

    container: str
    port: int
    folder: Path
    """Its conf.d."""

    @property
    def command(self) -> tuple[str, ...]:
        """How it is called."""
        return ("docker", "exec", self.container, "nginx")

    @property
    def foreign(self) -> Path:
        """The file of a site that is not ours."""
        return self.folder / "odoo.conf"

    def get(self, domain: str, path: str = "/", *, source: str = "127.0.0.1") -> tuple[int, str]:
        """Ask for a path of a site, as somebody at `source`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10, source_address=(source, 0))
        try:
            connection.request("GET", path, headers={"Host": domain})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


@contextmanager
def own_nginx(name: str, port: int, root: Path, *, included: Path | None) -> Iterator[OwnNginx]:
    """Run one whose sites may lie under `root`; `included` is a folder of them that its configuration includes."""
    proxies = [name for name in ("http_proxy", "https_proxy", "no_proxy") if name in os.environ]
    arguments = [word for proxy in proxies for word in ("--build-arg", proxy)]
    docker("build", "--quiet", "--tag", IMAGE, *arguments, str(Path(__file__).parent / "host_nginx"))
    folder = root / "conf.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "odoo.conf").write_text(_FOREIGN.format(port=port, domain="odoo.example.com"), encoding="utf-8")
    if included is not None:
        included.mkdir(parents=True, exist_ok=True)
        (folder / "wharfinger.conf").write_text(f"include {included}/*.conf;\n", encoding="utf-8")
    mounts = ("--volume", f"{root}:{root}", "--volume", f"{folder}:/etc/nginx/conf.d")
    docker("run", "--detach", "--name", name, "--network", "host", *mounts, IMAGE, "nginx", "-g", "daemon off;")
    made = OwnNginx(name, port, folder)
    try:
        _await(made)
        yield made
    finally:
        subprocess.run(("docker", "rm", "--force", "--volumes", name), capture_output=True, check=False, timeout=60)
        subprocess.run(("docker", "image", "rm", IMAGE), capture_output=True, check=False, timeout=60)


def _await(nginx: OwnNginx) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            assert nginx.get("odoo.example.com")[0] == 200
            return
        except OSError:
            assert time.monotonic() < deadline, docker("logs", nginx.container)
            time.sleep(0.05)
