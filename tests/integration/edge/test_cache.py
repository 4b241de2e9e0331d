"""The micro-cache: what it keeps, for whom, and how long anybody waits for it."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.integration.edge.rig import GREEN, Edge, fresh, wait_until

from wharfinger.model.release import Live


def test_what_anonymous_visitors_get_is_cached(edge: Edge) -> None:
    page = fresh()
    first, second, head = edge.get(page), edge.get(page), edge.get(page, method="HEAD")

    assert (first.cache, second.cache, head.cache) == ("MISS", "HIT", "HIT")
    assert second.body == first.body


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Cookie": "session=1"}, id="session"),
        pytest.param({"Cookie": "a=b; session=1"}, id="session among others"),
        pytest.param({"Cookie": "session=; session=1"}, id="two sessions"),
        pytest.param({"Authorization": "Bearer x"}, id="authorization"),
    ],
)
def test_who_is_signed_in_neither_gets_nor_leaves_a_cached_answer(edge: Edge, headers: dict[str, str]) -> None:
    page = fresh()
    private = edge.get(page, headers=headers)
    public = edge.get(page)
    again = edge.get(page, headers=headers)

    assert (private.cache, public.cache, again.cache) == ("", "MISS", "")
    assert len({private.body, public.body, again.body}) == 3


@pytest.mark.parametrize("name", ["/private", "/no-store", "/cookie", "/events", "/health", "/streamed/a"])
def test_some_answers_are_never_kept(edge: Edge, name: str) -> None:
    page = fresh(name) if name != "/health" else name

    assert edge.get(page).body != edge.get(page).body
    assert edge.get(page).cache in ("", "MISS")


def test_a_post_is_never_answered_from_the_cache(edge: Edge) -> None:
    page = fresh()
    edge.get(page)

    assert edge.get(page, method="POST", body=b"four").body == "blue 4"


def test_a_cookie_that_is_no_session_does_not_matter(edge: Edge) -> None:
    page = fresh()
    edge.get(page)

    assert edge.get(page, headers={"Cookie": "theme=dark"}).cache == "HIT"


def test_an_answer_that_varies_is_kept_apart(edge: Edge) -> None:
    page = fresh("/varied")
    english = edge.get(page, headers={"Accept-Language": "en"})

    assert edge.get(page, headers={"Accept-Language": "sv"}).body != english.body
    assert edge.get(page, headers={"Accept-Language": "en"}).body == english.body


def test_an_old_answer_is_shown_at_once_while_a_new_one_is_fetched(edge: Edge) -> None:
    page = fresh("/slow/1")
    first = edge.get(page)
    time.sleep(2.1)  # the ttl of one second, which Nginx counts in whole ones
    began = time.monotonic()
    stale = edge.get(page)

    assert time.monotonic() - began < 0.8
    assert (stale.cache, stale.body) == ("STALE", first.body)
    wait_until(lambda: edge.get(page).body != first.body, within=3)


def test_a_switch_never_shows_what_the_old_release_answered(edge: Edge) -> None:
    page = fresh()
    assert edge.get(page).body == edge.get(page).body
    edge.switch(GREEN)
    assert edge.get(page).body.startswith("green ")
    edge.switch(Live("green", "20261120160000"))
    assert edge.get(page).cache == "MISS"


@pytest.mark.parametrize("seconds", [0.02, 0.3])
def test_a_cold_page_makes_nobody_wait_half_a_second(edge: Edge, seconds: float) -> None:
    """Without a bound, all but the first would take 500 ms: that is when Nginx looks again."""
    page = fresh(f"/slow/{seconds}")

    def ask(_: int) -> tuple[float, str]:
        began = time.monotonic()
        body = edge.get(page).body
        return time.monotonic() - began, body

    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(ask, range(16)))

    assert statistics.median(took for took, _ in answers) < 0.48
    if seconds < 0.05:
        assert len({body for _, body in answers}) == 1, "one asks, the others wait for what he gets"
