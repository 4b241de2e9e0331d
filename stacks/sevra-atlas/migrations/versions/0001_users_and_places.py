"""Users and places, with the twelve places that the founders wrote down."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

FOUNDING_PLACES = [
    ("sevra-spring", "Sevra Spring", "High Sevra", 45.6121, 6.8742,
     "The river begins as a sound under boulders; you hear it for an hour before you see any water at all."),
    ("the-long-bridge", "The Long Bridge", "Middle Sevra", 45.5517, 6.7310,
     "Eleven arches, four of them older than the flood of 1781; the other seven were rebuilt from its stones."),
    ("orlan-mill", "Orlan Mill", "Middle Sevra", 45.5433, 6.7188,
     "The last mill on the river to grind chestnuts. Its wheel still turns on the first Sunday of October."),
    ("saint-veil", "Saint Veil", "High Sevra", 45.6034, 6.8451,
     "A chapel the size of a cupboard, built by two shepherds who did not speak to each other for thirty years."),
    ("the-lantern-stairs", "The Lantern Stairs", "Sevra Town", 45.5126, 6.6572,
     "Two hundred and nine steps between the harbour and the upper town, each lit by the family that lives beside it."),
    ("marrow-lake", "Marrow Lake", "High Sevra", 45.6308, 6.9017,
     "Frozen from November to May, and so clear in between that boats seem to hang over the bottom."),
    ("the-salt-road", "The Salt Road", "East Ridge", 45.5871, 6.9533,
     "Mule hooves have worn it two hands deep into the rock; tax was paid at the bend where the toll house was."),
    ("ferry-of-anse", "The Ferry of Anse", "Lower Sevra", 45.4702, 6.5914,
     "Pulled across by hand along a cable, whenever somebody rings the bell and the ferryman has finished his soup."),
    ("glass-orchard", "Glass Orchard", "Lower Sevra", 45.4655, 6.5760,
     "Pear trees under old greenhouse panes; on still nights the cooling glass rings like a far-off herd."),
    ("wolf-gate", "Wolf Gate", "East Ridge", 45.5964, 6.9702,
     "A gap in the ridge where the wind never stops. The gate itself went for firewood in the winter of 1944."),
    ("sevra-market", "Sevra Market", "Sevra Town", 45.5109, 6.6545,
     "Every Thursday since 1392, plague years excepted. Cheese on the north side, gossip on the south."),
    ("the-mouth", "The Mouth", "Lower Sevra", 45.4488, 6.5201,
     "The Sevra meets the great river here; for half a mile the two run side by side, green and grey, unmixed."),
]  # fmt: skip


def upgrade() -> None:
    """Make both tables and write down the founding places."""
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=False, unique=True),
        sa.Column("password", sa.Text, nullable=False, comment="scrypt$cost$block$lanes$salt$hash"),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("email = lower(email)", name="users_email_lower"),
    )
    places = op.create_table(
        "places",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("slug", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("story", sa.Text, nullable=False),
        sa.Column("latitude", sa.Double, nullable=False),
        sa.Column("longitude", sa.Double, nullable=False),
        sa.Column("added_by", sa.BigInteger, sa.ForeignKey("users.id", ondelete="SET NULL"), index=True),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("latitude BETWEEN -90 AND 90", name="places_latitude"),
        sa.CheckConstraint("longitude BETWEEN -180 AND 180", name="places_longitude"),
    )
    columns = ("slug", "name", "region", "latitude", "longitude", "story")
    op.bulk_insert(places, [dict(zip(columns, row, strict=True)) for row in FOUNDING_PLACES])


def downgrade() -> None:
    """Remove both tables."""
    op.drop_table("places")
    op.drop_table("users")
