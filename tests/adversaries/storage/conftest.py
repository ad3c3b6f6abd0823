"""The compiled market on a chain in memory (`bench`, with a contract in it: `terms`), and a host with a disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contracts.storage.conftest import bench, shared, terms
from tests.unit.hosting.kit import Bench

__all__ = ["bench", "shared", "terms"]


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Bench]:
    """The node's host over a market in memory."""
    made = await Bench(tmp_path).open()
    yield made
    await made.close()
