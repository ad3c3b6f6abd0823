"""A full disk fails the call at hand, and nothing else."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from node.ports.store import DiskFullError
from node.store import SqlStore, open_store
from tests.unit.store.kit import ME, RAIL, issue, issued, partner, torrent


@pytest.fixture
def connections() -> Iterator[list[Any]]:
    """The driver's connections, in the order in which they are made: the writer's is the first."""
    made: list[Any] = []

    def connected(connection: Any, record: object) -> None:
        made.append(connection)

    event.listen(Engine, "connect", connected)
    yield made
    event.remove(Engine, "connect", connected)


async def test_what_does_not_fit_fails_whole_and_works_again_with_space(tmp_path: Path, connections: list[Any]) -> None:
    store = await open_store(tmp_path / "node.db", tmp_path / "mark")
    await store.issue_cheque(issue(10, amount=10))
    writer = connections[0]
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(DiskFullError) as caught:
        await store.save_torrent(torrent(1, resume=bytes(2**20)))
    assert "\n" not in str(caught.value)
    await store.issue_cheque(issue(11, amount=1))
    assert await store.torrents() == []
    writer.execute("PRAGMA max_page_count=1000000")
    await store.save_torrent(torrent(1, resume=bytes(2**20)))
    assert len(await store.torrents()) == 1
    await store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all space; returns what to delete to have it back."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(512)):
            pass
    assert shutil.disk_usage(folder).free == 0
    return filler


async def issue_until_refused(store: SqlStore, cumulative: int) -> int:
    """Pay, unit by unit: a part of a page or of the log may still be free. Returns the highest durable cheque."""
    for higher in range(cumulative + 1, cumulative + 10_000):
        try:
            await store.issue_cheque(issue(higher, amount=1))
        except DiskFullError:
            return higher - 1
    raise AssertionError("the disk is not full")


async def test_on_a_disk_that_is_really_full(small_disk: Path) -> None:
    store = await open_store(small_disk / "node.db", small_disk / "mark")
    await store.issue_cheque(issue(10, amount=10))
    filler = fill(small_disk)
    durable = await issue_until_refused(store, 10)
    assert await store.issued(RAIL, ME, partner(1)) == issued(durable)

    filler.unlink()
    await store.issue_cheque(issue(durable + 1, amount=1))
    await store.close()
    store = await open_store(small_disk / "node.db", small_disk / "mark")
    assert await store.issued(RAIL, ME, partner(1)) == issued(durable + 1)
    await store.close()


async def test_a_full_disk_at_the_start_is_told_as_such(small_disk: Path) -> None:
    filler = fill(small_disk)
    with pytest.raises(DiskFullError):
        await open_store(small_disk / "node.db", small_disk / "mark")
    filler.unlink()
    await (await open_store(small_disk / "node.db", small_disk / "mark")).close()
