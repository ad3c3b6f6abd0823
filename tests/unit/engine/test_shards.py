"""Shards travel between real engines: a host that knows root and length alone fetches the bytes, and no others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.engine.libtorrent import LibtorrentEngine
from node.ports.engine import AddTorrent, EngineSettings
from node.ports.events import TorrentFinished
from node.storage import torrent
from node.storage.merkle import root_of
from tests.e2e.stage import host_for
from tests.unit.storage.test_merkle import bytes_of
from tests.unit.storage.test_torrent import tree_of


def make(host: str) -> LibtorrentEngine:
    return LibtorrentEngine(
        EngineSettings(
            listen=(f"{host}:0",),
            outgoing_interface=host,
            dht=False,
            local_discovery=False,
            port_mapping=False,
            utp=False,
        )
    )


@pytest.mark.parametrize("length", [1, 40_000, 3 << 20])
async def test_a_host_fetches_a_shard_by_root_and_length(length: int, tmp_path: Path, worker_id: str) -> None:
    data = bytes_of("travel", length)
    root, tree = root_of(data), tree_of(data)
    have, want = tmp_path / "have", tmp_path / "want"
    have.mkdir()
    (have / root.hex()).write_bytes(data)
    span = torrent.piece_layer(length)
    layer = tree[span.offset : span.offset + span.length] if span else b""
    renter_at, host_at = host_for(worker_id, 63), host_for(worker_id, 64)
    renter, host = make(renter_at), make(host_at)
    await renter.start()
    await host.start()
    try:
        await renter.add(AddTorrent(save_path=have, torrent=torrent.torrent(root, length, layer), seed_mode=True))
        await host.add(
            AddTorrent(save_path=want, torrent=torrent.torrent(root, length), peers=[(renter_at, renter.listen_port)])
        )
        async with asyncio.timeout(60):
            async for event in host.events():
                if isinstance(event, TorrentFinished):
                    break
    finally:
        await host.close()
        await renter.close()
    assert (want / root.hex()).read_bytes() == data
