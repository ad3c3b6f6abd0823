"""Shards between real engines, by root and length alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.engine.libtorrent import LibtorrentEngine
from node.ports.engine import EngineSettings, TorrentChecked
from node.ports.renting import TransferError
from node.services.renter.transfer import EngineCarrier
from node.storage.merkle import root_of
from node.storage.torrent import pieces
from tests.e2e.stage import host_for
from tests.unit.storage.test_merkle import bytes_of
from tests.unit.storage.test_torrent import tree_of

LENGTH = 300_000


class Carrier(EngineCarrier):
    """With its engine to look at. `added`: something was put into it."""

    engine: LibtorrentEngine
    added: asyncio.Event


@asynccontextmanager
async def carrier(host: str) -> AsyncIterator[tuple[Carrier, str]]:
    """A carrier whose engine listens on `host`, and where that is."""
    engine = LibtorrentEngine(
        EngineSettings(
            listen=(f"{host}:0",),
            outgoing_interface=host,
            dht=False,
            local_discovery=False,
            port_mapping=False,
            utp=False,
        )
    )
    made = Carrier(engine, lambda: [f"{host}:{engine.listen_port}"], look_every=0.05)
    made.engine, made.added = engine, asyncio.Event()

    async def pump() -> None:
        async for event in engine.events():
            made.handle(event)
            if isinstance(event, TorrentChecked):
                made.added.set()

    await engine.start()
    pumping = asyncio.create_task(pump())
    try:
        yield made, f"{host}:{engine.listen_port}"
    finally:
        await engine.close()
        await pumping


def shard(folder: Path, name: str = "shard") -> tuple[bytes, bytes]:
    """A staged shard with its tree: (root, bytes)."""
    data = bytes_of(name, LENGTH)
    root = root_of(data)
    folder.mkdir()
    (folder / root.hex()).write_bytes(data)
    (folder / f"{root.hex()}.tree").write_bytes(tree_of(data))
    return root, data


async def test_a_shard_is_fetched_from_whoever_seeds_it(tmp_path: Path, worker_id: str) -> None:
    root, data = shard(tmp_path / "have")
    (tmp_path / "want").mkdir()
    async with carrier(host_for(worker_id, 65)) as (have, at), carrier(host_for(worker_id, 66)) as (want, _):
        assert have.addresses == (at,)
        await have.seed(root, LENGTH, tmp_path / "have", [])
        await have.seed(root, LENGTH, tmp_path / "have", [])
        async with asyncio.timeout(60):
            path = await want.fetch(root, LENGTH, tmp_path / "want", [at], deadline=30)
            assert path.read_bytes() == data
            again = await want.fetch(root, LENGTH, tmp_path / "want", ["192.0.2.1:1"], deadline=30)
        assert again.read_bytes() == data
        await have.stop(root)
        await have.stop(root)


async def test_who_looks_for_us_where_we_were_is_called_on(tmp_path: Path, worker_id: str) -> None:
    root, data = shard(tmp_path / "have")
    (tmp_path / "want").mkdir()
    async with carrier(host_for(worker_id, 65)) as (have, _), carrier(host_for(worker_id, 66)) as (want, at):
        nobody = f"{host_for(worker_id, 65)}:1"
        fetching = asyncio.create_task(want.fetch(root, LENGTH, tmp_path / "want", [nobody], deadline=300))
        async with asyncio.timeout(60):
            while not fetching.done():
                await have.seed(root, LENGTH, tmp_path / "have", [at])
                await asyncio.sleep(0.05)
        assert (await fetching).read_bytes() == data


async def test_a_fetch_that_reaches_nobody_ends_long_before_its_deadline(tmp_path: Path, worker_id: str) -> None:
    root = root_of(b"nobody has it")
    async with carrier(host_for(worker_id, 67)) as (want, _):
        with pytest.raises(TransferError, match="cannot be reached"):
            await want.fetch(root, 13, tmp_path, [], deadline=0.2)


async def test_a_shard_that_is_not_there_is_not_offered(tmp_path: Path, worker_id: str) -> None:
    async with carrier(host_for(worker_id, 68)) as (have, _):
        with pytest.raises(TransferError, match="cannot be offered"):
            await have.seed(bytes(32), LENGTH, tmp_path, [])


async def test_a_piece_comes_from_whoever_serves_it_and_nothing_of_it_stays(tmp_path: Path, worker_id: str) -> None:
    root, _ = shard(tmp_path / "have")
    async with carrier(host_for(worker_id, 69)) as (have, at), carrier(host_for(worker_id, 70)) as (want, _):
        await have.seed(root, LENGTH, tmp_path / "have", [])
        with pytest.raises(TransferError, match="here already"):
            await have.fetch(root, LENGTH, tmp_path, [at], deadline=30)
        async with asyncio.timeout(60):
            assert await want.sample(root, LENGTH, pieces(LENGTH) - 1, tmp_path / "bits", [at], deadline=30)
            (seeding,) = await have.engine.statuses()
            assert seeding.uploaded <= seeding.piece_length
            assert not await have.sample(root, LENGTH, 0, tmp_path / "bits", [at], deadline=30)  # it has the shard
            assert await want.fetch(root, LENGTH, tmp_path, [at], deadline=30) == tmp_path / root.hex()
        await have.stop(root)
        async with asyncio.timeout(60):
            with pytest.raises(TransferError, match="nothing came|cannot be reached"):
                await want.sample(root, LENGTH, 0, tmp_path / "bits", [at], deadline=0.2)
    assert not any((tmp_path / "bits").rglob("*"))


async def test_a_piece_that_is_insisted_on_comes_from_the_other_although_we_offer_the_shard(
    tmp_path: Path, worker_id: str
) -> None:
    root, data = shard(tmp_path / "host")
    shard(tmp_path / "renter")
    (tmp_path / "third").mkdir()
    async with (
        carrier(host_for(worker_id, 73)) as (host, at),
        carrier(host_for(worker_id, 74)) as (renter, here),
        carrier(host_for(worker_id, 75)) as (third, _),
    ):
        await host.seed(root, LENGTH, tmp_path / "host", [])
        await renter.seed(root, LENGTH, tmp_path / "renter", [])
        bits = tmp_path / "bits"
        async with asyncio.timeout(60):
            assert not await renter.sample(root, LENGTH, 3, bits, [at], deadline=30)
            assert await renter.sample(root, LENGTH, 3, bits, [at], deadline=30, insist=True)
            await host.stop(root)
            with pytest.raises(TransferError, match="nothing came|cannot be reached"):
                await renter.sample(root, LENGTH, 3, bits, [at], deadline=0.2, insist=True)
            path = await third.fetch(root, LENGTH, tmp_path / "third", [here], deadline=30)
        assert path.read_bytes() == data


async def test_who_wants_a_whole_shard_does_not_wait_for_a_piece_of_it(tmp_path: Path, worker_id: str) -> None:
    root, data = shard(tmp_path / "have")
    async with carrier(host_for(worker_id, 71)) as (have, at), carrier(host_for(worker_id, 72)) as (want, _):
        await have.seed(root, LENGTH, tmp_path / "have", [])
        piece = asyncio.create_task(want.sample(root, LENGTH, 0, tmp_path / "bits", ["127.0.0.1:9"], deadline=600))
        await want.added.wait()
        async with asyncio.timeout(60):
            path = await want.fetch(root, LENGTH, tmp_path, [at], deadline=30)
            assert not await piece
        assert path.read_bytes() == data
