"""The `site` section of a stack file."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from wharfinger.model.site import Site

ROUTES = [{"path": "/", "service": "api"}]


def test_only_routes_are_required() -> None:
    site = Site.model_validate({"routes": ROUTES})

    assert site.health == "/health"
    assert site.cache.enabled
    assert site.upload_limit == "12m"


@pytest.mark.parametrize(
    "section",
    [
        pytest.param({"routes": []}, id="no route"),
        pytest.param({"routes": [*ROUTES, {"path": "/", "service": "worker"}]}, id="two routes for one path"),
        pytest.param({"routes": [{"path": "admin", "service": "api"}]}, id="a path without its slash"),
        pytest.param({"routes": [{"path": "/a;b", "service": "api"}]}, id="a path that ends the directive"),
        pytest.param({"routes": [{"path": "/a b", "service": "api"}]}, id="a path of two words"),
        pytest.param({"routes": [{"path": "/$host", "service": "api"}]}, id="a path that names a variable"),
        pytest.param({"routes": ROUTES, "health": "/h {"}, id="a health path that opens a block"),
        pytest.param({"routes": ROUTES, "headers": {"X-A": "$host"}}, id="a header that names a variable"),
        pytest.param({"routes": ROUTES, "headers": {"X-A": "a\nX-B: b"}}, id="a header of two lines"),
        pytest.param({"routes": ROUTES, "headers": {"X A": "a"}}, id="a header's name with a space"),
        pytest.param({"routes": ROUTES, "headers": {"X-A": ""}}, id="an empty header"),
        pytest.param({"routes": ROUTES, "cache": {"ttl": "500ms"}}, id="a ttl that Nginx cannot count"),
        pytest.param({"routes": ROUTES, "cache": {"ttl": "0s"}}, id="no ttl"),
        pytest.param({"routes": ROUTES, "cache": {"session_cookies": ["a=b"]}}, id="no cookie's name"),
        pytest.param({"routes": ROUTES, "upload_limit": "lots"}, id="no size"),
        pytest.param({"routes": ROUTES, "timeout": {"read": "5s"}}, id="an unknown key"),
    ],
)
def test_what_nginx_would_misread_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Site.model_validate(section)
