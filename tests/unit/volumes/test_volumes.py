"""Volumes: room is never promised twice, what is promised survives, and a folder that is not a volume is left alone."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ports.volumes import (
    BadVolumeError,
    NoRoomError,
    UnknownShardError,
    UnknownVolumeError,
    VolumeBusyError,
    VolumeFaultError,
    VolumeInfo,
    VolumeState,
    choose,
)
from node.storage.merkle import TreeLayout
from node.volumes import volume as volume_module
from node.volumes.volume import MARKER
from tests.unit.volumes.kit import MIB, fill, names, open_volumes, plug_in, root_of, unplug


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


async def test_what_is_promised_and_what_is_kept_survive_a_restart(home: Path, disk: Path) -> None:
    volumes = open_volumes(home)
    await volumes.add(disk, 100 * MIB)
    promised = await volumes.reserve(root_of(1), 5 * MIB)
    kept = await volumes.reserve(root_of(2), 3 * MIB)
    await fill(volumes, kept)
    before = (await volumes.volumes())[0]

    again = open_volumes(home)
    after = (await again.volumes())[0]
    assert after == before
    assert (after.used, after.reserved) == (3 * MIB + TreeLayout(3 * MIB).size, 5 * MIB + TreeLayout(5 * MIB).size)
    assert await again.place(root_of(1)) == promised
    assert (await again.place(root_of(2))).whole


async def test_room_is_bounded_by_quota_and_by_the_disk(home: Path, disk: Path) -> None:
    volumes = open_volumes(home, free=lambda _: 10 * MIB, guard=2 * MIB)
    assert (await volumes.add(disk, 100 * MIB)).room == 8 * MIB
    assert (await volumes.resize((await volumes.volumes())[0].id, 5 * MIB)).room == 5 * MIB
    with pytest.raises(NoRoomError, match="no volume has"):
        await volumes.reserve(root_of(1), 5 * MIB)  # the tree does not fit beside it
    await volumes.reserve(root_of(1), 4 * MIB)
    with pytest.raises(NoRoomError):
        await volumes.reserve(root_of(2), MIB)


async def test_reserving_again_is_the_same_promise(home: Path, disk: Path) -> None:
    volumes = open_volumes(home)
    await volumes.add(disk, 10 * MIB)
    first = await volumes.reserve(root_of(1), 4 * MIB)
    assert await volumes.reserve(root_of(1), 4 * MIB) == first
    with pytest.raises(VolumeFaultError, match="bytes, not"):
        await volumes.reserve(root_of(1), 3 * MIB)
    assert (await volumes.volumes())[0].shards == 1


async def test_a_shard_that_is_not_whole_is_not_called_so(home: Path, disk: Path) -> None:
    volumes = open_volumes(home)
    await volumes.add(disk, 10 * MIB)
    place = await volumes.reserve(root_of(1), MIB)
    place.shard.write_bytes(b"short")
    await volumes.write_tree(root_of(1), b"tree")
    with pytest.raises(VolumeFaultError, match="5 bytes and should have"):
        await volumes.complete(root_of(1))


async def test_ranges_are_read_in_full_or_not_at_all(home: Path, disk: Path) -> None:
    volumes = open_volumes(home)
    await volumes.add(disk, 10 * MIB)
    place = await volumes.reserve(root_of(1), MIB)
    await fill(volumes, place)
    data = place.shard.read_bytes()
    assert await volumes.read(root_of(1), [(0, 16), (1000, 16384)]) == [data[:16], data[1000:17384]]
    assert await volumes.read(root_of(1), [(0, 4)], tree=True) == [b"tree"]
    with pytest.raises(VolumeFaultError, match="ends at byte"):
        await volumes.read(root_of(1), [(MIB - 1, 2)])


async def test_a_read_that_fails_makes_the_volume_sick_until_the_user_has_seen_to_it(home: Path, disk: Path) -> None:
    volumes = open_volumes(home)
    info = await volumes.add(disk, 10 * MIB)
    place = await volumes.reserve(root_of(1), MIB)
    await fill(volumes, place)
    os.truncate(place.shard, 10)
    with pytest.raises(VolumeFaultError):
        await volumes.read(root_of(1), [(0, 16384)])
    sick = (await volumes.volumes())[0]
    assert (sick.state, sick.room) == (VolumeState.SICK, 0)
    with pytest.raises(NoRoomError):
        await volumes.reserve(root_of(2), MIB)
    assert (await volumes.trust(info.id)).state is VolumeState.ONLINE


async def test_an_unplugged_disk_is_missing_and_comes_back_with_its_shards(home: Path, disk: Path) -> None:
    volumes = open_volumes(home)
    await volumes.add(disk, 10 * MIB)
    place = await volumes.reserve(root_of(1), MIB)
    await fill(volumes, place)
    unplug(disk)
    gone = (await volumes.volumes())[0]
    assert (gone.state, gone.room) == (VolumeState.MISSING, 0)
    assert "mounted" in gone.reason
    with pytest.raises(VolumeFaultError, match="cannot be read"):
        await volumes.place(root_of(1))
    assert names(disk) == []  # nothing is written where the volume is not
    plug_in(disk)
    assert (await volumes.volumes())[0].state is VolumeState.ONLINE
    assert (await volumes.place(root_of(1))).whole


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (errno.EROFS, VolumeState.READ_ONLY),
        (errno.EACCES, VolumeState.READ_ONLY),
        (errno.EIO, VolumeState.SICK),
    ],
)
async def test_a_disk_that_refuses_writes_takes_nothing_and_says_why(
    home: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, code: int, state: VolumeState
) -> None:
    volumes = open_volumes(home)
    await volumes.add(disk, 10 * MIB)
    place = await volumes.reserve(root_of(1), MIB)
    await fill(volumes, place)

    def refuse(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(volume_module, "write_whole", refuse)
    info = (await volumes.volumes())[0]
    assert (info.state, info.room) == (state, 0)
    assert os.strerror(code) in info.reason
    if state is VolumeState.READ_ONLY:
        assert (await volumes.place(root_of(1))).whole  # still served


async def test_a_full_disk_takes_nothing_and_is_not_sick(
    home: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes = open_volumes(home)
    await volumes.add(disk, 10 * MIB)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(volume_module, "write_whole", full)
        info = (await volumes.volumes())[0]
        assert (info.state, info.room) == (VolumeState.ONLINE, 0)
        assert "full" in info.reason
    assert (await volumes.volumes())[0].room > 0


async def test_a_disk_that_hangs_holds_up_nobody_else(home: Path, tmp_path: Path) -> None:
    hung, released = threading.Event(), threading.Event()
    stuck = tmp_path / "stuck"

    def free(path: Path) -> int:
        if path == stuck and hung.is_set():
            released.wait(30)
        return 100 * MIB

    for name in ("stuck", "fine"):
        (tmp_path / name).mkdir()
    volumes = open_volumes(home, free=free, deadline=0.2)
    for name in ("stuck", "fine"):
        await volumes.add(tmp_path / name, 10 * MIB)
    hung.set()
    try:
        assert {info.path: info.state for info in await volumes.volumes()} == {
            stuck: VolumeState.SICK,
            tmp_path / "fine": VolumeState.ONLINE,
        }
        assert (await volumes.reserve(root_of(1), MIB)).folder.is_relative_to(tmp_path / "fine")
    finally:
        hung.clear()
        released.set()
    volumes.close()


async def test_a_drained_volume_serves_and_takes_nothing(home: Path, disk: Path) -> None:
    volumes = open_volumes(home)
    info = await volumes.add(disk, 10 * MIB)
    await fill(volumes, await volumes.reserve(root_of(1), MIB))
    assert (await volumes.drain(info.id)).state is VolumeState.DRAINING
    with pytest.raises(NoRoomError):
        await volumes.reserve(root_of(2), MIB)
    assert (await volumes.place(root_of(1))).whole
    with pytest.raises(VolumeBusyError, match="holds 1 shards"):
        await volumes.remove(info.id)
    assert (await open_volumes(home).volumes())[0].state is VolumeState.DRAINING
    await volumes.discard(root_of(1))
    await volumes.remove(info.id)
    assert names(disk) == []
    assert list(await open_volumes(home).volumes()) == []


async def test_a_smaller_quota_takes_no_shard_away(home: Path, disk: Path) -> None:
    volumes = open_volumes(home)
    info = await volumes.add(disk, 10 * MIB)
    await fill(volumes, await volumes.reserve(root_of(1), 4 * MIB))
    smaller = await volumes.resize(info.id, MIB)
    assert (smaller.room, smaller.shards) == (0, 1)
    assert (await volumes.place(root_of(1))).shard.exists()


@pytest.mark.parametrize("case", ["missing", "file", "not empty", "inside", "around", "copy", "damaged", "newer"])
async def test_a_folder_that_cannot_be_a_volume_is_refused_and_left_as_it_is(
    home: Path, disk: Path, tmp_path: Path, case: str
) -> None:
    volumes = open_volumes(home)
    await volumes.add(disk, 10 * MIB)
    path = tmp_path / "other"
    if case == "file":
        path.write_bytes(b"")
    elif case == "inside":
        path = disk / "inside"
        path.mkdir()
    elif case == "around":
        path = tmp_path
    elif case != "missing":
        path.mkdir()
        content = {
            "not empty": b"photo",
            "copy": (disk / MARKER).read_bytes(),
            "damaged": b"{",
            "newer": b'{"format": 2}',
        }[case]
        (path / ("holiday.jpg" if case == "not empty" else MARKER)).write_bytes(content)
    before = sorted(path.rglob("*")) if path.is_dir() else None
    with pytest.raises(BadVolumeError):
        await volumes.add(path, MIB)
    assert (sorted(path.rglob("*")) if path.is_dir() else None) == before
    assert len(await volumes.volumes()) == 1


async def test_files_of_others_in_a_volume_are_neither_counted_nor_deleted(home: Path, disk: Path) -> None:
    volumes = open_volumes(home)
    info = await volumes.add(disk, 10 * MIB)
    await fill(volumes, await volumes.reserve(root_of(1), MIB))
    folder = (await volumes.place(root_of(1))).folder
    for name in ("notes.json", f"{'00' * 32}.json"):
        (folder / name).write_text("{}")
    (folder / f"{root_of(9).hex()}.json").write_text('{"length": "many", "whole": true}')
    again = open_volumes(home)
    assert (await again.volumes())[0].shards == 1
    await again.discard(root_of(1))
    assert (folder / "notes.json").exists()
    with pytest.raises(UnknownShardError):
        await again.place(root_of(1))
    with pytest.raises(UnknownVolumeError):
        await again.drain("nope")
    assert info.id == (await again.volumes())[0].id


def _info(number: int, room: int) -> VolumeInfo:
    return VolumeInfo(
        id=str(number), path=Path("/"), quota=room, used=0, reserved=0, unwritten=0, on_disk=room, guard=0, shards=0,
        state=VolumeState.ONLINE,
    )  # fmt: skip


def test_what_is_free_is_what_the_system_says(disk: Path) -> None:
    found = os.statvfs(disk)
    assert 0 < volume_module.disk_free(disk) <= found.f_bfree * found.f_frsize


@given(st.lists(st.integers(0, 100), max_size=8), st.integers(1, 100))
def test_a_shard_goes_where_it_fits_and_most_is_left(rooms: list[int], need: int) -> None:
    chosen = choose([_info(i, room) for i, room in enumerate(rooms)], need)
    fitting = [room for room in rooms if room >= need]
    assert (chosen.room if chosen else None) == max(fitting, default=None)
