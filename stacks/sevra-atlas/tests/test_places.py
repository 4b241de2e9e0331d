"""What makes a place."""

from __future__ import annotations

import pytest

from sevra_atlas.places import NewPlace, PlaceError, make_slug

GOOD = {
    "name": "Fox Well",
    "region": "Lower Sevra",
    "story": "Water, always cold.  ",
    "latitude": "45.5",
    "longitude": "6",
}


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Fox Well", "fox-well"), ("  Élan -- vital! ", "elan-vital"), ("Ärger/../x", "arger-x"), ("山", "place")],
)
def test_a_slug_is_plain(name: str, slug: str) -> None:
    assert make_slug(name) == slug


def test_a_good_form_makes_a_place() -> None:
    form = {**GOOD, "story": "Water, always cold, even in August."}
    assert NewPlace.from_form(form) == NewPlace("Fox Well", "Lower Sevra", form["story"], 45.5, 6.0)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(PlaceError) as caught:
        NewPlace.from_form({"name": "x", "latitude": "91", "longitude": "nan", "story": "\0" * 30})
    assert [problem.split()[0] for problem in caught.value.problems] == [
        "name", "region", "story", "latitude", "longitude",
    ]  # fmt: skip
