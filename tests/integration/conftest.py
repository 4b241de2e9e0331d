"""What every integration test needs."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _with_stock_images(stock: None) -> None:
    """Let the engine hold the stock images before any test asks for one."""
