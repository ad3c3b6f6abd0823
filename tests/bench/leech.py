"""One download in a process of its own: `python -m tests.bench.leech ENGINE TORRENT FOLDER HOST PORT`.

ENGINE is `ours` (node.engine.libtorrent) or `wheel` (PyPI's libtorrent). Prints one JSON line with seconds and CPU
seconds from the first connection attempt to the last verified piece.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path


async def ours(torrent: bytes, folder: Path, host: str, port: int) -> None:
    from node.engine.libtorrent import LibtorrentEngine  # this side's own engine only
    from node.ports.engine import AddTorrent, EngineSettings
    from node.ports.events import TorrentFinished

    engine = LibtorrentEngine(
        EngineSettings(
            listen=("127.0.0.9:0",),
            outgoing_interface="127.0.0.9",
            dht=False,
            local_discovery=False,
            port_mapping=False,
            utp=False,
            encryption=False,
            hello=b"d1:vi1ee",
        )
    )
    await engine.start()
    started = clock()
    await engine.add(AddTorrent(save_path=folder, torrent=torrent, peers=[(host, port)]))
    async for event in engine.events():
        if isinstance(event, TorrentFinished):
            break
    report(started)
    await engine.close()


def wheel(torrent: bytes, folder: Path, host: str, port: int) -> None:
    import libtorrent as lt  # the reference side

    session = lt.session(
        {
            "listen_interfaces": "127.0.0.9:0",
            "outgoing_interfaces": "127.0.0.9",
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
            "in_enc_policy": 2,
            "out_enc_policy": 2,
            "alert_mask": lt.alert.category_t.status_notification,
        }
    )
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(torrent)
    params.save_path = str(folder)
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    started = clock()
    handle = session.add_torrent(params)
    handle.connect_peer((host, port))
    while True:
        session.wait_for_alert(1000)
        if any(isinstance(alert, lt.torrent_finished_alert) for alert in session.pop_alerts()):
            break
    report(started)


def clock() -> tuple[float, float]:
    times = os.times()
    return time.monotonic(), times.user + times.system


def report(started: tuple[float, float]) -> None:
    wall, cpu = clock()
    print(json.dumps({"seconds": wall - started[0], "cpu": cpu - started[1]}), flush=True)


def main() -> None:
    engine, torrent, folder, host, port = sys.argv[1:]
    data = Path(torrent).read_bytes()
    if engine == "ours":
        asyncio.run(ours(data, Path(folder), host, int(port)))
    else:
        wheel(data, Path(folder), host, int(port))


main()
