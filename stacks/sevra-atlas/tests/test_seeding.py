"""The seed role fills up, and never twice."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT, query


def test_seeding_fills_up_to_the_count(database: str) -> None:
    for wanted, expected in (("6000", 6000), ("6000", 6000), ("100", 6000), ("9001", 9001)):
        subprocess.run(
            (sys.executable, "-m", "sevra_atlas", "seed", wanted),
            cwd=ROOT, env={"DATABASE_URL": database}, check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        assert query(database, "SELECT count(*) FROM places")[0][0] == expected
