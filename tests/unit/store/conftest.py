"""One open store, with group commit and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.store import SqlStore, open_store
from node.store.writer import MAX_BATCH


@pytest.fixture(params=[MAX_BATCH, 1], ids=["group", "single"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = await open_store(tmp_path / "node.db", tmp_path / "keys" / "mark", max_batch=request.param)
    yield opened
    await opened.close()
