"""What every integration test needs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration import sandboxes
from tests.integration.sandboxes import TestSandbox


@pytest.fixture(scope="session", autouse=True)
def _with_stock_images(stock: None) -> None:
    """Let the engine hold the stock images before any test asks for one."""


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory, worker_id: str, testrun_uid: str) -> Iterator[TestSandbox]:
    """A sandbox with a bare server too; it is up as long as any worker's tests need it."""
    base = tmp_path_factory.getbasetemp()
    with sandboxes.shared(base if worker_id == "master" else base.parent, f"t{testrun_uid[:8]}") as shared:
        yield shared
