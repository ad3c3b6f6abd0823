"""Ordinary clients notice nothing: real Transmission and aria2 in a swarm with a paid seller.

Transmission takes no peer addresses on loopback from anybody, so our node calls the client, never the reverse. The
direction of a connection says nothing about the direction of the data.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node.engine.libtorrent import LibtorrentEngine
from node.ports.engine import CreateTorrent, EngineSettings, TorrentFormat
from tests.e2e.stage import PRICE, StageNode, host_for, make_file, stage
from wallet.amount import MIB, cost

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 6 * MIB + 321
DEADLINE = 60.0
POLL = 0.05

Command = Callable[[Path, Path, int], list[str]]


def transmission(torrent: Path, folder: Path, port: int) -> list[str]:
    config = str(folder.parent / f"{folder.name}-config")
    return ["transmission-cli", "-g", config, "-M", "-v", "-p", str(port), "-w", str(folder), str(torrent)]


def aria2(torrent: Path, folder: Path, port: int) -> list[str]:
    quiet = ["--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--summary-interval=0"]
    seeding = ["--seed-ratio=0.0", "--check-integrity=true", "--allow-overwrite=true"]
    return ["aria2c", *quiet, *seeding, f"--listen-port={port}", f"--dir={folder}", str(torrent)]


CLIENTS = [pytest.param(transmission, id="transmission"), pytest.param(aria2, id="aria2")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: Command, torrent: Path, folder: Path) -> Iterator[int]:
    """The client as a process; yields its peer port once something listens there."""
    port = free_port()
    arguments = command(torrent, folder, port)
    if shutil.which(arguments[0]) is None:
        pytest.skip(f"{arguments[0]} is not installed: ./run test installs it")
    with (folder.parent / f"{folder.name}.log").open("w") as log:
        client = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            end = time.monotonic() + DEADLINE
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert client.poll() is None, f"{arguments[0]} ended with {client.returncode}"
                assert time.monotonic() < end, f"{arguments[0]} does not listen"
                time.sleep(POLL)
            yield port
        finally:
            client.kill()
            client.wait(20)


def torrent_of(path: Path) -> bytes:
    engine = LibtorrentEngine(EngineSettings(listen=()))
    # Debian's Transmission 3.00 and aria2 1.36 know version 1 only.
    request = CreateTorrent(path=path, piece_length=128 * 1024, format=TorrentFormat.V1)
    return asyncio.run(engine.create(request))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def wait_for_copy(path: Path, wanted: str, node: StageNode, name: str, port: int) -> None:
    end = time.monotonic() + DEADLINE
    while digest(path) != wanted:
        assert time.monotonic() < end, f"{path} is not complete"
        node.call("POST", f"/v1/torrents/{name}/connect", {"host": "127.0.0.1", "port": port})
        time.sleep(POLL)


@pytest.mark.parametrize("client", CLIENTS)
def test_it_downloads_for_free_from_a_paid_seller_while_another_peer_pays(
    client: Command, tmp_path: Path, worker_id: str
) -> None:
    wanted = hashlib.sha256(make_file(tmp_path / "share" / "f.bin", SIZE, 7)).hexdigest()
    torrent = torrent_of(tmp_path / "share" / "f.bin")
    (tmp_path / "f.torrent").write_bytes(torrent)
    (tmp_path / "client").mkdir()
    with stage(tmp_path) as made, running(client, tmp_path / "f.torrent", tmp_path / "client") as port:
        seller = made.node("seller", host_for(worker_id, 2), speed={"buy": "false"})
        payer = made.node("payer", host_for(worker_id, 3), speed={"sell": "false"})
        for node in (seller, payer):
            made.fund(node)
            node.start()
        payer.call("POST", "/v1/vault/deposit", {"amount": str(cost(4 * SIZE, PRICE))})
        name = seller.add(torrent, seed=True, save_path=str(tmp_path / "share"))["id"]
        payer.add(torrent, max_price=str(PRICE), peers=[seller.peer])
        wait_for_copy(tmp_path / "client" / "f.bin", wanted, seller, name, port)
        payer.wait(f"/v1/torrents/{name}", lambda t: t["state"] == "seeding" and t["settled"], "paid and complete")
        earned = seller.account("payer")
        assert earned["metered"] == payer.account("payee")["cheques"]
        ordinary = [peer for peer in seller.get("/v1/peers") if not peer["speaks_btt"]]
        assert all(peer["earned"] == "0" and peer["selling"] == "" for peer in ordinary)


@pytest.mark.parametrize("client", CLIENTS)
def test_it_seeds_to_us(client: Command, tmp_path: Path, worker_id: str) -> None:
    wanted = hashlib.sha256(make_file(tmp_path / "client" / "f.bin", SIZE, 8)).hexdigest()
    torrent = torrent_of(tmp_path / "client" / "f.bin")
    (tmp_path / "f.torrent").write_bytes(torrent)
    with stage(tmp_path) as made, running(client, tmp_path / "f.torrent", tmp_path / "client") as port:
        node = made.node("payer", host_for(worker_id, 3))
        node.start()
        name = node.add(torrent, max_price=str(PRICE), peers=[["127.0.0.1", port]])["id"]
        wait_for_copy(node.home / "downloads" / "f.bin", wanted, node, name, port)
        assert node.account("payee")["cheques"] == 0
