"""The native engine survives Python: objects may die in any order, with transfers under way, closed or not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.stage import host_for

PROGRAM = """
import asyncio, gc, sys
from pathlib import Path
from node.engine.libtorrent import LibtorrentEngine
from node.ports.engine import AddTorrent, CreateTorrent, EngineSettings
from node.ports.events import PeerHello

folder, host, other, way = Path(sys.argv[1]), *sys.argv[2:5]

def make(host):
    return LibtorrentEngine(EngineSettings(listen=(f"{host}:0",), outgoing_interface=host, dht=False,
        local_discovery=False, port_mapping=False, utp=False, upload_limit=2_000_000, hello=b"d1:vi1ee"))

async def main():
    (folder / "f.bin").write_bytes(bytes(range(256)) * 40_000)
    seeder, leecher = make(host), make(other)
    await seeder.start(); await leecher.start()
    torrent = await seeder.create(CreateTorrent(path=folder / "f.bin"))
    await seeder.add(AddTorrent(save_path=folder, torrent=torrent, seed_mode=True))
    await leecher.add(AddTorrent(save_path=folder / "copy", torrent=torrent, peers=[(host, seeder.listen_port)]))
    async for event in seeder.events():
        if isinstance(event, PeerHello):
            seeder.send(event.peer, b"hello", 1)
            seeder.set_allowance(event.peer, 1_000_000)
            break
    if way == "close seeder":
        await seeder.close(); del seeder; gc.collect()
    elif way == "close leecher":
        await leecher.close(); await seeder.close()
    elif way == "drop both":
        del seeder, leecher; gc.collect()
    elif way == "drop session":
        native = seeder._session; del seeder; gc.collect(); del native; gc.collect()
    elif way == "close together":
        await asyncio.gather(seeder.close(), leecher.close(), seeder.close())

asyncio.run(main())
print("survived", flush=True)
"""


@pytest.mark.parametrize(
    "way", ["close seeder", "close leecher", "drop both", "drop session", "close together", "just leave"]
)
def test_no_order_of_death_crashes_or_hangs(way: str, tmp_path: Path, worker_id: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), host_for(worker_id, 61), host_for(worker_id, 62), way],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=dict(os.environ),
    )
    assert (done.returncode, done.stdout.strip()) == (0, "survived"), done.stderr
