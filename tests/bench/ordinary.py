"""Ordinary swarms stay ordinary: the same download from our seeder with Speed on and with Speed off, in turns.

Transmission, aria2 and our own node, which pays nothing, each fetch the same file from two seeders that differ in
`[speed]` alone. No upload limit and nothing for sale to anybody: what is compared is what the machinery costs those who
do not use it. Time runs from the first block that our seeder sends until the client itself says that it is complete:
Transmission thinks only every ten seconds about whom it is interested in. Our seeder calls the clients, because
Transmission takes no addresses on loopback from anybody. The headline is the worst ratio.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from node.engine.libtorrent import LibtorrentEngine
from node.ports.engine import CreateTorrent, EngineSettings, TorrentFormat
from tests.bench.engine import make_file
from tests.bench.harness import Result, Row, Side, in_turns, median_ratio
from tests.e2e.stage import StageNode, host_for, stage
from tests.interop.test_ordinary_clients import Command, aria2, running, transmission

PAIRS = 5
SIZE = 256 << 20
PIECE = 256 * 1024
POLL, CALL_AGAIN = 0.01, 0.25
TIMEOUT = 300.0
ONE_HOST = {"one_connection_per_ip": "false"}
"""All clients are behind one address here; told apart by port, each can be called at once."""
OFF = {"sell": "false", "buy": "false"}
SPEED: dict[str, dict[str, str]] = {"on": {}, "off": OFF}


def transmission_then(script: Path) -> Command:
    return _with(transmission, "--finish", str(script))


def aria2_then(script: Path) -> Command:
    return _with(aria2, f"--on-bt-download-complete={script}")


def _with(command: Command, *options: str) -> Command:
    def full(torrent: Path, folder: Path, port: int) -> list[str]:
        program, *rest = command(torrent, folder, port)
        return [program, *options, *rest]

    return full


CLIENTS: dict[str, Callable[[Path], Command]] = {"Transmission": transmission_then, "aria2": aria2_then}


def by_client(then: Callable[[Path], Command], seeder: StageNode, name: str, torrent: Path) -> Side:
    """A download by a program of its own. It runs a script when it is complete, which leaves a mark."""

    def uploaded() -> int:
        return int(seeder.get(f"/v1/torrents/{name}")["uploaded"])

    def once() -> float:
        with tempfile.TemporaryDirectory(prefix="bttnode-ordinary-") as made:
            folder, mark, script = Path(made) / "client", Path(made) / "complete", Path(made) / "complete.sh"
            folder.mkdir()
            script.write_text(f"#!/bin/sh\n: > '{mark}'\n")
            script.chmod(0o700)
            before, started, called = uploaded(), 0.0, 0.0
            end = time.monotonic() + TIMEOUT
            with running(then(script), torrent, folder) as port:
                while not mark.exists():
                    now = time.monotonic()
                    if now > end:
                        raise RuntimeError(f"not complete after {TIMEOUT:g} s")
                    if not started and uploaded() > before:
                        started = now
                    if not started and now - called > CALL_AGAIN:  # it may not have been ready for us
                        seeder.call("POST", f"/v1/torrents/{name}/connect", {"host": "127.0.0.1", "port": port})
                        called = now
                    time.sleep(POLL)
                return SIZE / 1e6 / (time.monotonic() - started)

    return once


def by_node(leecher: StageNode, seeder: StageNode, name: str, torrent: Path) -> Side:
    """A download by our own node, which pays nothing."""

    def once() -> float:
        started = time.monotonic()
        leecher.add(torrent.read_bytes(), peers=[seeder.peer], max_price="0")
        leecher.wait(f"/v1/torrents/{name}", lambda found: found["state"] == "seeding", "complete", TIMEOUT)
        seconds = time.monotonic() - started
        leecher.call("DELETE", f"/v1/torrents/{name}?files=1")
        return SIZE / 1e6 / seconds

    return once


def run(tell: Callable[[str], None], pairs: int) -> Result:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bttnode-bench-")))
        file, torrent = folder / "share" / "bench.bin", folder / "bench.torrent"
        tell(f"  making {SIZE >> 20} MiB, starting the processes")
        file.parent.mkdir()
        make_file(file, SIZE)
        # Version 1 only: Debian's Transmission 3.00 and aria2 1.36 know no other.
        request = CreateTorrent(path=file, piece_length=PIECE, format=TorrentFormat.V1)
        torrent.write_bytes(asyncio.run(LibtorrentEngine(EngineSettings(listen=())).create(request)))
        made = stack.enter_context(stage(folder))
        sides: dict[tuple[str, str], Side] = {}
        for number, (speed, settings) in enumerate(SPEED.items()):
            seeder = made.node(f"seeder-{speed}", host_for("", 2 + number), node=ONE_HOST, speed=settings)
            leecher = made.node(f"leecher-{speed}", host_for("", 4 + number), speed=settings)
            for node in (seeder, leecher):
                node.start()
            name = seeder.add(torrent.read_bytes(), seed=True, save_path=str(file.parent))["id"]
            for client, then in CLIENTS.items():
                sides[client, speed] = by_client(then, seeder, name, torrent)
            sides["our node", speed] = by_node(leecher, seeder, name, torrent)
        order = sorted(sides, key=lambda side: side[0])  # a client's two sides one after the other
        rates = dict(zip(order, in_turns([sides[side] for side in order], pairs or PAIRS, tell), strict=True))
    clients = list(dict.fromkeys(client for client, _ in order))
    ratios = {client: median_ratio(rates[client, "on"], rates[client, "off"]) for client in clients}
    return Result(
        "ordinary",
        [Row(f"{client}, Speed {speed}", "MB/s", rates[client, speed]) for client, speed in order],
        min(ratios.values()),
        "worst client's rate with Speed on / off >= 0.95",
        [f"{client}: on / off {ratio:.3f}" for client, ratio in ratios.items()],
    )
