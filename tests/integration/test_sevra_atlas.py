"""The worked stack, as issue and README promise it: a copy of sevra-atlas from the first deploy to a rollback."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.integration.deployments import REPOSITORY, Answer, Deployment, docker

from wharfinger import dotenv, stock_images
from wharfinger.commands import sandbox
from wharfinger.hosts.local import LocalHost

RCLONE = "rclone/rclone:1.75.2"
STACK = REPOSITORY / "stacks" / "sevra-atlas"
# The smallest JPEG that image libraries open: one grey pixel.
PIXEL = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb004300" + "01" * 64 + "ffc0000b080001000101011100"
    "ffc40014000100000000000000000000000000000009ffc40014100100000000000000000000000000000000"
    "ffda0008010100003f00549fffd9"
)
JSON = {"Accept": "application/json"}


@dataclass
class Member:
    """Somebody who is signed in."""

    atlas: Deployment
    headers: dict[str, str] = field(default_factory=dict)

    def post(self, path: str, form: dict[str, str]) -> Answer:
        """Send a form."""
        body = urllib.parse.urlencode(form).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self.atlas.request(path, method="POST", body=body, headers={**kind, **JSON, **self.headers})
        if cookie := answer.headers.get("Set-Cookie"):
            self.headers["Cookie"] = cookie.partition(";")[0]
        return answer

    def upload(self, path: str, content: bytes) -> Answer:
        """Send a photo as a browser's form does."""
        body = (
            b'--edge\r\nContent-Disposition: form-data; name="photo"; filename="p.jpg"\r\n'
            b"Content-Type: image/jpeg\r\n\r\n" + content + b"\r\n--edge--\r\n"
        )
        kind = {"Content-Type": "multipart/form-data; boundary=edge"}
        return self.atlas.request(path, method="POST", body=body, headers={**kind, **JSON, **self.headers})


@pytest.fixture(scope="module")
def atlas(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """A deployed copy of sevra-atlas."""
    made = make_deployment(STACK)
    made.wharfinger("env.generate", "--env", "local")
    made.edit(
        ".env.local",
        "#PUBLIC_URL=http://sevra-atlas.localhost:8080",
        f"PUBLIC_URL=http://{made.domain}:{made.http_port}",
    )
    made.deploy()
    return made


@pytest.fixture(scope="module")
def uploaded(atlas: Deployment) -> dict[str, Any]:
    """What the atlas answered to an upload of a signed-in member."""
    return upload(Member(atlas))


def upload(member: Member, photo: bytes = PIXEL) -> dict[str, Any]:
    """Sign somebody up, who adds a place and a photo; return what the atlas answered to the photo."""
    form = {"name": "Ida", "email": f"{secrets.token_hex(4)}@example.com", "password": "a long enough passphrase"}
    assert member.post("/sign-up", form).status == 303
    place = {
        "name": "Fox Well",
        "region": "Lower Sevra",
        "story": "Water, always cold, even in August.",
        "latitude": "45.4",
        "longitude": "6.5",
    }
    added = member.post("/places", place)
    assert added.status == 201, added.body
    answer = member.upload(f"/places/{added.json()['slug']}/photos", photo)
    assert answer.status == 202, answer.body
    found: dict[str, Any] = answer.json()
    return {**found, "place": added.json()["slug"]}


def test_it_serves_with_its_database_connected(atlas: Deployment) -> None:
    health = atlas.request("/health").json()
    assert {"status", "timestamp", "database", "version"} == set(health)
    assert (health["status"], health["database"]) == ("healthy", "connected")
    assert len(atlas.request("/api/places?limit=2000").body) > 500_000


def test_an_uploaded_image_comes_back(atlas: Deployment, uploaded: dict[str, Any]) -> None:
    assert atlas.request(uploaded["url"]).body == PIXEL


def test_a_queued_job_is_done_by_the_worker(atlas: Deployment, uploaded: dict[str, Any]) -> None:
    deadline = time.monotonic() + 30
    while (job := atlas.request(uploaded["job_url"]).json())["state"] not in {"done", "failed"}:
        assert time.monotonic() < deadline, job
        time.sleep(0.1)
    assert job["state"] == "done"


def test_anonymous_pages_are_cached_at_the_edge_and_private_ones_never(atlas: Deployment) -> None:
    pages = [atlas.request("/search?q=cached-once").headers.get("X-Cache") for _ in range(5)]
    assert "HIT" in pages
    assert atlas.request("/health").headers.get("X-Cache") in {None, "BYPASS"}


def test_an_edited_line_is_served_with_all_data_and_a_rollback_undoes_it(
    atlas: Deployment, uploaded: dict[str, Any]
) -> None:
    title = re.compile(r"<h1>(.*?)</h1>")
    first = title.findall(atlas.request("/").body.decode())
    with atlas.edited("sevra_atlas/templates/home.html", "<h1>", "<h1>Edited: "):
        atlas.deploy()
    time.sleep(1.1)  # the micro-cache may show a page for its second, though never one of another release
    assert title.findall(atlas.request("/").body.decode()) == [f"Edited: {first[0]}"]
    assert atlas.request(uploaded["url"]).body == PIXEL
    assert atlas.request(f"/places/{uploaded['place']}").status == 200

    atlas.wharfinger("rollback", "--env", "local")
    assert title.findall(atlas.request("/").body.decode()) == first
    assert atlas.request(uploaded["url"]).body == PIXEL
    assert atlas.request(f"/places/{uploaded['place']}").status == 200


@pytest.fixture
def bucket(atlas: Deployment) -> Iterator[dict[str, str]]:
    """The variables of an S3 server's bucket; the server is in the edge's network, as one on the internet might be."""
    values = dotenv.parse(sandbox.values("key-of-tests", secrets.token_hex(20)))
    name = f"{atlas.name}-s3"
    keys = f'"{values["S3_ACCESS_KEY_ID"]},{values["S3_SECRET_ACCESS_KEY"]}"'
    stock_images.ensure(LocalHost(), (RCLONE,), say=print, progress=lambda *_: None)
    place = ("--network", atlas.edge, "--network-alias", "s3", "--volume", "/data/media", "--env", "RCLONE_AUTH_KEY")
    argv = ("docker", "run", "--detach", "--name", name, *place, RCLONE, "serve", "s3", "--addr", ":9000", "/data")
    subprocess.run(argv, env={**os.environ, "RCLONE_AUTH_KEY": keys}, capture_output=True, timeout=60, check=True)
    try:
        yield values
    finally:
        docker("rm", "--force", "--volumes", name)


@pytest.mark.long
def test_with_a_bucket_uploads_are_kept_there_and_in_no_volume(atlas: Deployment, bucket: dict[str, str]) -> None:
    env_file = atlas.folder / ".env.local"
    env_file.write_text(env_file.read_text(encoding="utf-8") + dotenv.dump(bucket), encoding="utf-8")
    before = sorted((atlas.server / "shared" / "uploads").iterdir())
    atlas.deploy()
    another = PIXEL + b"another"
    found = upload(Member(atlas), another)
    assert atlas.request(found["url"]).body == another
    kept = docker("exec", f"{atlas.name}-s3", "ls", "/data/media")
    assert found["photo"] in kept
    assert sorted((atlas.server / "shared" / "uploads").iterdir()) == before


def test_what_was_rendered_is_accepted_without_wharfinger(atlas: Deployment) -> None:
    atlas.wharfinger("render", "--env", "local")
    build = atlas.project / "build" / atlas.name / "local"
    for name in ("compose.yaml", "data.yaml"):
        docker("compose", "--file", str(build / name), "config", "--quiet")
    docker(
        *("run", "--rm", "--network", "none", "--tmpfs", "/run/wharfinger"),
        *("--volume", f"{build}/edge:/etc/nginx/wharfinger:ro"),
        *("--entrypoint", "nginx", "nginx:1.30", "-t", "-c", "/etc/nginx/wharfinger/nginx.conf"),
    )
    assert atlas.wharfinger("render", "--env", "local", "--check").status == 0
    with atlas.edited("stack.yaml", "  upload_limit: 12m", "  upload_limit: 13m"):
        assert "upload_limit" not in atlas.wharfinger("render", "--env", "local", "--check", status=1).stdout
        assert "+    client_max_body_size 13m;" in atlas.wharfinger("render", "--env", "local", "--diff").stdout


def test_no_secret_is_shown_anywhere(atlas: Deployment) -> None:
    """The values are only in the containers' own environment and in files of mode 0600."""
    text = (atlas.folder / ".env.local").read_text(encoding="utf-8")
    values = re.findall(r"^(?:POSTGRES_PASSWORD|SESSION_SECRET|S3_SECRET_ACCESS_KEY)=(\S+)", text, re.MULTILINE)
    assert len(values) >= 2
    for path in (atlas.project / "server").rglob("*"):
        if path.is_file() and path.stat().st_mode & 0o077:
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in values), path
    outputs = [
        atlas.deploy("--plan").stderr,
        atlas.wharfinger("logs", "--env", "local").stdout,
        atlas.wharfinger("env.check", "--env", "local", "--json").stdout,
        *(docker("history", "--no-trunc", image) for image in images(atlas)),
    ]
    assert not [secret for secret in values if any(secret in output for output in outputs)]


def images(deployment: Deployment) -> set[str]:
    """Return the images that a deployment's app tier runs."""
    return {service["image"] for service in deployment.status()["services"] if "@" in service["image"]}
