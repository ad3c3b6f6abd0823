"""A full disk on the renter's side is told in one line, leaves nothing half-done, and stops nothing for good."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from node.packing import room
from node.packing.errors import FullError
from node.ports.renting import Stage
from node.services.renter.keeper import StoreRequest
from tests.unit.packing.kit import make_tree, snapshot
from tests.unit.renter.kit import World

FILES = {"a": 3 << 20, "b/c": 70_000}
MIB = 1 << 20


def leave(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(room, "disk_free", lambda folder: free)


async def ask(world: World, tmp_path: Path) -> str:
    request = StoreRequest(path=make_tree(tmp_path / "source", FILES), k=3, n=6, days=10)
    return (await world.renter.store(request)).id


def staged(world: World, name: str) -> list[Path]:
    return list((world.base / "renter" / "staging" / name).iterdir())


async def test_storing_waits_for_room_and_says_how_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, 6)
    name = await ask(world, tmp_path)
    with monkeypatch.context() as patched:
        leave(patched, 69 * MIB)
        await world.turn(times=3)
        note = world.store.kept[name].note
        assert note.startswith("70.2 MiB are needed on the disk of ")
        assert f"staging/{name}, and 69.0 MiB are free: make room" in note
        assert not staged(world, name)
    await world.until(lambda: world.store.kept[name].stage is Stage.KEPT)
    assert world.store.kept[name].note == ""


async def test_a_disk_that_fills_up_while_packing_stops_nothing_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, 6)
    name = await ask(world, tmp_path)

    def full(descriptor: int, data: memoryview, *where: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        await world.turn(times=2)
        assert "is full (No space left on device): make room" in world.store.kept[name].note
        assert not staged(world, name)
    await world.until(lambda: world.store.kept[name].stage is Stage.KEPT)


async def test_a_full_disk_keeps_no_folder_from_being_made_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, 6)
    name = await ask(world, tmp_path)
    real = Path.mkdir

    def full(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if "staging" in self.parts:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        real(self, mode, parents, exist_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", full)
        await world.turn(times=2)
        assert "is full (No space left on device)" in world.store.kept[name].note
    await world.until(lambda: world.store.kept[name].stage is Stage.KEPT)


async def test_restoring_asks_for_room_before_it_fetches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, 6)
    name = await ask(world, tmp_path)
    await world.until(lambda: world.store.kept[name].stage is Stage.KEPT)
    with monkeypatch.context() as patched:
        leave(patched, 70 * MIB)
        with pytest.raises(FullError, match=r"70\.2 MiB are needed on the disk of .* 70\.0 MiB are free"):
            await world.renter.restore(name, tmp_path / "back")
    assert not world.carrier.fetched
    assert not (world.base / "renter" / "restoring").exists()
    await world.renter.restore(name, tmp_path / "back")
    assert snapshot(tmp_path / "back") == snapshot(tmp_path / "source")


async def test_what_was_fetched_before_needs_no_room_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, 6)
    name = await ask(world, tmp_path)
    await world.until(lambda: world.store.kept[name].stage is Stage.KEPT)
    make_tree(tmp_path, {"back": 0})  # found out when all has been fetched
    with pytest.raises(Exception, match="exists"):
        await world.renter.restore(name, tmp_path / "back")
    fetched = len(world.carrier.fetched)
    (tmp_path / "back").unlink()
    leave(monkeypatch, 68 * MIB)
    await world.renter.restore(name, tmp_path / "back")
    assert len(world.carrier.fetched) == fetched + 3  # the carrier sees that they are there


async def test_repair_waits_for_room_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, 9)
    name = await ask(world, tmp_path)
    await world.until(lambda: world.store.kept[name].stage is Stage.KEPT)
    rentals = await world.store.rentals(name)
    lost = [world.holder(rental.terms.root) for rental in rentals[:3]]
    with monkeypatch.context() as patched:
        leave(patched, 65 * MIB)
        for host in lost:
            host.alive = False
        await world.until(lambda: "needed on the disk" in world.store.kept[name].note, seconds=3600, most=400)
        assert not world.carrier.fetched
    before = len(world.store.contracts)
    await world.until(lambda: len(world.store.contracts) > before, seconds=600)
    await world.renter.restore(name, tmp_path / "back")
    assert snapshot(tmp_path / "back") == snapshot(tmp_path / "source")
