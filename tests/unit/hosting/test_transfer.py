"""A host and a renter with real engines: the shard travels, is checked, and is served on after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.engine.libtorrent import LibtorrentEngine
from node.ports.engine import AddTorrent
from node.ports.events import TorrentFinished
from node.services.host.intake import torrent_id
from node.storage import torrent
from node.storage.lifecycle import State
from tests.e2e.stage import host_for
from tests.unit.engine.test_shards import make
from tests.unit.hosting.kit import Bench
from tests.unit.storage.samples import RENTER, Kept

SHARD = Kept(3 << 20)


@pytest.fixture
async def engines(worker_id: str) -> AsyncIterator[tuple[LibtorrentEngine, LibtorrentEngine]]:
    """The renter's, and the host's."""
    renter, host = make(host_for(worker_id, 65)), make(host_for(worker_id, 66))
    await renter.start()
    await host.start()
    yield renter, host
    await host.close()
    await renter.close()


async def test_a_shard_travels_from_renter_to_host_and_back(
    bench: Bench, engines: tuple[LibtorrentEngine, LibtorrentEngine], tmp_path: Path, worker_id: str
) -> None:
    renter, engine = engines
    bench.real = engine
    await bench.restart()
    offered = await bench.offered(SHARD)
    contract, name = offered.contract, offered.contract.root.hex()
    staging, restored = tmp_path / "staging", tmp_path / "restored"
    staging.mkdir()
    (staging / name).write_bytes(SHARD.data)
    span = torrent.piece_layer(contract.length)
    assert span is not None
    seed = torrent.torrent(contract.root, contract.length, SHARD.tree[span.offset : span.offset + span.length])
    await renter.add(AddTorrent(save_path=staging, torrent=seed, seed_mode=True))
    peers = (f"{host_for(worker_id, 65)}:{renter.listen_port}",)
    await bench.host.propose(RENTER.address, replace(offered, peers=peers))
    bench.market.open(contract)
    async with asyncio.timeout(60):
        await bench.round(1)
        async for event in engine.events():
            bench.host.handle(event)
            if isinstance(event, TorrentFinished):
                break
        await bench.round()
        assert bench.record(contract).state is State.ACTIVE
        await bench.challenge(contract)
        # The host is restarted; the renter has lost everything and fetches its shard from the host.
        await engine.remove(torrent_id(contract.root, contract.length))
        await bench.restart()
        await bench.round()
        found = torrent_id(contract.root, contract.length)
        await renter.remove(found)
        await renter.add(
            AddTorrent(
                save_path=restored,
                torrent=torrent.torrent(contract.root, contract.length),
                peers=[(host_for(worker_id, 66), engine.listen_port)],
            )
        )
        async for _ in renter.events():
            if (await renter.status(found)).done_bytes == contract.length:
                break
    assert await asyncio.to_thread((restored / name).read_bytes) == SHARD.data
