"""Whatever is stored comes back exactly, through the renter and its hosts, with as many of them gone as may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.ports.renting import Stage
from node.services.renter.keeper import StoreRequest
from tests.unit.packing.kit import make_tree, snapshot
from tests.unit.renter.kit import World

KIB, MIB = 1 << 10, 1 << 20
SIZES = [0, 1, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, MIB - 1, MIB, MIB + 1]
K, N = 3, 6


async def stored(world: World, path: Path, *, public: bool = False) -> str:
    """Store it and wait until hosts have it; returns the id."""
    made = await world.renter.store(StoreRequest(path=path, k=K, n=N, days=1, public=public))
    await world.until(lambda: world.store.kept[made.id].stage is Stage.KEPT)
    return made.id


async def returned(world: World, path: Path, out: Path, *, public: bool = False) -> None:
    """Store it, lose the first hosts, restore it, and compare."""
    name = await stored(world, path, public=public)
    for host in world.hosts[: N - K]:
        host.alive = False
    await world.renter.restore(name, out)
    assert snapshot(out) == snapshot(path)


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize("size", SIZES)
async def test_a_file_of_any_size_comes_back_from_the_last_hosts(size: int, public: bool, tmp_path: Path) -> None:
    make_tree(tmp_path, {"film.mkv": size})
    await returned(World(tmp_path / "world", N), tmp_path / "film.mkv", tmp_path / "again.mkv", public=public)


async def test_a_folder_comes_back_with_its_names_empty_files_and_empty_folders(tmp_path: Path) -> None:
    names = {"ünïcødé/日本語/😀.bin": 40_000, "空": 0, "cafe\u0301": 1, "é/empty": 0, "nothing/below": None, "-rf": 3}
    folder = make_tree(tmp_path / "Bücher", names)
    await returned(World(tmp_path / "world", N), folder, tmp_path / "again")


async def test_ten_thousand_small_files_come_back(tmp_path: Path) -> None:
    folder = make_tree(tmp_path / "many", {f"{at % 100:02}/{at:05}.txt": at % 50 for at in range(10_000)})
    await returned(World(tmp_path / "world", N), folder, tmp_path / "again")


@pytest.mark.parametrize("where", ["", "inner/"])
async def test_a_symbolic_link_is_refused_by_name_until_it_is_gone(where: str, tmp_path: Path) -> None:
    world = World(tmp_path / "world", N)
    folder = make_tree(tmp_path / "folder", {"inner/fine": 10})
    link = folder / f"{where}link"
    link.symlink_to("fine")
    made = await world.renter.store(StoreRequest(path=folder, k=K, n=N, days=1))
    await world.turn(times=2)
    note = world.store.kept[made.id].note
    assert note.startswith(f"{link} is a symbolic link: only files and folders are stored: ")
    assert world.store.kept[made.id].stage is Stage.PACKING
    assert not world.carrier.seeding
    link.unlink()
    await world.until(lambda: world.store.kept[made.id].stage is Stage.KEPT)
    assert world.store.kept[made.id].note == ""
