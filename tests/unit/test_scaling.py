"""What `scale` takes for counts, and what it refuses."""

from __future__ import annotations

import pytest

from wharfinger.errors import UsageError
from wharfinger.scaling import counts_from


@pytest.mark.parametrize(
    ("text", "counts"),
    [("api=3", {"api": 3}), ("api=3,worker=2", {"api": 3, "worker": 2}), ("api=1, w=64", {"api": 1, "w": 64})],
)
def test_counts_are_read(text: str, counts: dict[str, int]) -> None:
    assert counts_from(text) == counts


@pytest.mark.parametrize(
    "text", ["", "api", "api=", "=3", "api=0", "api=65", "api=-1", "api=1.5", "api=3,", "api=\u0663"]
)
def test_what_is_no_count_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="SERVICE=COUNT") as caught:
        counts_from(text)
    assert "api=3" in caught.value.fix
