"""5 GiB through the renter and its hosts on a real disk: exact, and in 256 MiB of memory from end to end.

Hosts take shards by hard links, so that the disk holds the source, the shards (twice its size) and the copy: 20 GiB.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path

import pytest

from node.ports.renting import Stage
from node.services.renter.keeper import StoreRequest
from tests.bench.harness import forget_peak, peak_mib
from tests.unit.renter.kit import World

SIZE = 5 << 30
MEMORY = 256
"""MiB."""
NEEDED = 21 << 30


@contextmanager
def measured(what: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Seconds and peak memory of what is done inside, which must stay below `MEMORY`: the interpreter and all."""
    forget_peak()
    started = time.perf_counter()
    yield
    spent = time.perf_counter() - started
    peak = peak_mib()
    tell(f"{what}: {spent:.1f} s, {SIZE / spent / 1e6:.0f} MB/s, peak memory {peak:.0f} MiB")
    assert peak <= MEMORY


def digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return file_digest(file, "sha256").digest()


@pytest.mark.timeout(1800)
async def test_five_gib_come_back_from_the_last_three_of_six_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.disk_usage(tmp_path).free < NEEDED:
        pytest.skip(f"{tmp_path} has less than {NEEDED >> 30} GiB free")

    def tell(line: str) -> None:
        with capsys.disabled():
            print(f"\n  {line}", end="", flush=True)

    def link(source: Path, target: Path) -> Path:
        os.link(source, target)
        return target

    monkeypatch.setattr(shutil, "copyfile", link)
    source, out = tmp_path / "source", tmp_path / "back"
    generator = random.Random(5)
    with source.open("wb") as file:
        for _ in range(SIZE >> 20):
            file.write(generator.randbytes(1 << 20))
    world = World(tmp_path / "world", 6)
    try:
        with measured("pack", tell):
            stored = await world.renter.store(StoreRequest(path=source, k=3, n=6, days=1))
            await world.until(lambda: world.store.kept[stored.id].stage is not Stage.PACKING)
        with measured("place and audit", tell):
            await world.until(lambda: world.store.kept[stored.id].stage is Stage.KEPT)
        for host in world.hosts[:3]:
            host.alive = False
        with measured("restore", tell):
            await world.renter.restore(stored.id, out)
        assert out.stat().st_size == SIZE
        assert digest(out) == digest(source)
    finally:
        # pytest keeps the folders of the latest runs.
        for path in (source, out, tmp_path / "world"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
