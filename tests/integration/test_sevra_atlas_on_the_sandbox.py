"""sevra-atlas on the sandbox as it is described: what is uploaded is kept in a bucket, apart in every environment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration import sandboxes
from tests.integration.deployments import REPOSITORY, Deployment, docker
from tests.integration.sandboxes import TestSandbox

STAGING, PRODUCTION = "staging.sevra-atlas.example.com", "sevra-atlas.example.com"
JSON = ("--header", "Accept: application/json")
PLACE = {
    "name": "Fox Well",
    "region": "Lower Sevra",
    "story": "Water, always cold, even in August.",
    "latitude": "45.4",
    "longitude": "6.5",
}
JOINING = {"name": "Ida", "email": "ida@example.com", "password": "a long enough passphrase"}


@pytest.fixture
def atlas(make_deployment: Callable[[Path], Deployment]) -> Deployment:
    """sevra-atlas with its staging and production as they are described, under another name."""
    return sandboxes.described(make_deployment, REPOSITORY / "stacks" / "sevra-atlas")


@pytest.fixture
def servers(atlas: Deployment) -> Iterator[TestSandbox]:
    """A sandbox that its project takes for the usual one."""
    with sandboxes.usual(atlas) as sandbox:
        yield sandbox


def get(servers: TestSandbox, domain: str, path: str, *words: str) -> bytes:
    return servers.curl("vps1", "acme-ca.pem", domain, path, *words)


def upload(servers: TestSandbox, photo: Path) -> dict[str, Any]:
    """Sign up at staging, add a place and a photo of it; return what the atlas answered."""
    jar = ("--cookie-jar", str(photo.with_suffix(".jar")), "--cookie", str(photo.with_suffix(".jar")))

    def form(fields: dict[str, str]) -> tuple[str, ...]:
        return tuple(word for name, value in fields.items() for word in ("--data-urlencode", f"{name}={value}"))

    get(servers, STAGING, "/sign-up", *jar, *form(JOINING))
    slug = json.loads(get(servers, STAGING, "/places", *jar, *JSON, *form(PLACE)))["slug"]
    answer = get(servers, STAGING, f"/places/{slug}/photos", *jar, *JSON, "--form", f"photo=@{photo}")
    found: dict[str, Any] = json.loads(answer)
    return found


@pytest.mark.long
def test_an_upload_comes_back_from_the_bucket_through_a_deploy_and_a_rollback(
    atlas: Deployment, servers: TestSandbox, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"\x89PNG\r\n\x1a\n" + b"kept as it is")
    atlas.wharfinger("deploy", "--env", "staging")
    url = upload(servers, photo)["url"]
    kept = f"/data/media/sevra-atlas/staging/{Path(url).name}"

    def comes_back() -> bool:
        return get(servers, STAGING, url) == photo.read_bytes()

    assert comes_back()
    docker("exec", f"{servers.compose_project}-s3-1", "test", "-s", kept)
    assert servers.ssh("vps1", f"ls -A /srv/wharfinger/{atlas.name}/staging/shared/uploads") == ""
    with atlas.edited("sevra_atlas/templates/home.html", "<h1>", "<h1>Edited: "):
        atlas.wharfinger("deploy", "--env", "staging")
    assert comes_back()
    atlas.wharfinger("promote", "--from", "staging", "--to", "production", "--yes")
    atlas.wharfinger("rollback", "--env", "staging")
    assert comes_back()
    missing = get(servers, PRODUCTION, url, "--no-fail", "--output", "/dev/null", "--write-out", "%{http_code}")
    assert missing == b"404", "production has a folder of its own"
