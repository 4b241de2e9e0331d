"""The gazetteer: the 2,400 small places of the valley that nobody has written a story about yet."""

from __future__ import annotations

from itertools import product

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import insert

revision = "0004"
down_revision = "0003"

FIRST = (
    "Upper", "Lower", "Old", "New", "Hidden", "Broken", "Quiet", "Windy", "Grey", "White",
    "Black", "Red", "Hollow", "Lonely", "Crooked", "Frozen", "Sunken", "Distant", "Little", "Great",
)  # fmt: skip
SECOND = (
    "Heron", "Chestnut", "Miller's", "Shepherd's", "Bell", "Stone", "Otter", "Larch", "Ferry", "Salt", "Fox", "Candle",
)  # fmt: skip
THIRD = ("Bridge", "Well", "Meadow", "Crossing", "Barn", "Chapel", "Ford", "Tower", "Terrace", "Rock")
REGIONS = ("High Sevra", "Middle Sevra", "Lower Sevra", "Sevra Town", "East Ridge", "West Ridge")
ORDINALS = ("second", "third", "fourth", "fifth", "sixth", "seventh", "last")
SENTENCES = (
    "It stands a little apart from the road, where the river bends for the {} time above the village.",
    "The map of 1834 gives it another name, which the people living nearby have never agreed to use.",
    "In spring the meltwater comes up to the wall; three lines cut into the stone remember the highest years.",
    "Whoever passes adds a pebble to the heap, and whoever is in a hurry adds two.",
    "A bench, a spring that runs all summer, and a view down to the long bridge on clear days.",
    "The key hangs with the neighbours, who like to be asked about the winter when the bells were hidden here.",
    "Surveyed on foot for the gazetteer; its story still waits for somebody to write it down.",
)

gazetteer = sa.table(
    "places", *(sa.column(name) for name in ("slug", "name", "region", "story", "latitude", "longitude"))
)  # fmt: skip


def rows() -> list[dict[str, object]]:
    """Return the places, the same ones every time, strewn over the valley."""
    made: list[dict[str, object]] = []
    for number, (first, second, third) in enumerate(product(FIRST, SECOND, THIRD)):
        name = f"{first} {second} {third}"
        sentences = (SENTENCES[(number + step) % len(SENTENCES)] for step in (0, 2, 4, 6))
        made.append(
            {
                "slug": name.lower().replace("'", "").replace(" ", "-"),
                "name": name,
                "region": REGIONS[number % len(REGIONS)],
                "story": " ".join(sentences).format(ORDINALS[number // 10 % len(ORDINALS)]),
                "latitude": round(45.44 + (number * 37 % 2400) / 12000, 4),
                "longitude": round(6.51 + (number * 101 % 2400) / 5000, 4),
            }
        )
    return made


def upgrade() -> None:
    """Write the places down, except where somebody has added one under the same name already."""
    op.get_bind().execute(insert(gazetteer).on_conflict_do_nothing(), rows())


def downgrade() -> None:
    """Remove those that nobody has changed; a place with a photo stays."""
    slugs = [row["slug"] for row in rows()]
    op.get_bind().execute(
        sa.text(
            "DELETE FROM places WHERE slug = ANY(:slugs) AND added_by IS NULL"
            " AND NOT EXISTS (SELECT FROM photos WHERE place_id = places.id)"
        ),
        {"slugs": slugs},
    )
