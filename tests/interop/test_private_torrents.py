"""Private trackers count on three things: true ratio figures, no other source of peers (BEP 27), and nothing new in the
announce. Speed changes none of them: the same download is told to the tracker in the same words with Speed on and off.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from node.bencode import decode
from node.engine.libtorrent import LibtorrentEngine
from node.ports.engine import CreateTorrent, EngineSettings, TorrentFormat
from tests.adversaries.raw import EXTENDED, RawPeer
from tests.e2e.stage import DEADLINE, PRICE, StageNode, host_for, make_file, stage
from tests.interop.tracker import Announce, recording_tracker
from wallet.amount import MIB, cost

SIZE = 6 * MIB + 321
SLOW = {"download_limit": '"2 MB"'}
"""So that there is something left to pay for when the bid is in."""
OFF = {"sell": "false", "buy": "false"}
LSD = ("239.192.152.143", 6771)
"""Where peers look for each other on a local network (BEP 14)."""
HANDSHAKE = 0
"""The extended message that is the handshake (BEP 10)."""


def torrent_of(path: Path, *, private: bool, tracker: str = "") -> tuple[bytes, str]:
    """The torrent file, and the info-hash of its version 1."""
    engine = LibtorrentEngine(EngineSettings(listen=()))
    request = CreateTorrent(
        path=path,
        piece_length=128 * 1024,
        format=TorrentFormat.V1,
        trackers=(tracker,) if tracker else (),
        private=private,
    )
    data = asyncio.run(engine.create(request))
    info = engine.inspect(data)
    assert info.private == private
    assert info.v1 is not None
    return data, info.v1


@dataclass(frozen=True, slots=True)
class Told:
    """What the tracker heard of one download, and what the seeder metered."""

    seeder: list[Announce]
    leecher: list[Announce]
    metered: int

    @property
    def everything(self) -> list[Announce]:
        return [*self.seeder, *self.leecher]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, Told]:
    """The same private download, paid with Speed on, and with Speed off."""
    return {name: download(tmp_path_factory.mktemp(name), worker_id, speed=name == "on") for name in ("on", "off")}


def download(folder: Path, worker: str, *, speed: bool) -> Told:
    make_file(folder / "share" / "f.bin", SIZE, 9)
    seeder_host, leecher_host = host_for(worker, 2), host_for(worker, 3)
    with recording_tracker() as tracker, stage(folder, chain=speed) as made:
        torrent, _ = torrent_of(folder / "share" / "f.bin", private=True, tracker=tracker.url)
        seeder = made.node("seller", seeder_host, speed={"buy": "false"} if speed else OFF)
        leecher = made.node("payer", leecher_host, node=SLOW, speed={"sell": "false"} if speed else OFF)
        for node in (seeder, leecher):
            if speed:
                made.fund(node)
            node.start()
        if speed:
            leecher.call("POST", "/v1/vault/deposit", {"amount": str(cost(4 * SIZE, PRICE))})
        name = seeder.add(torrent, seed=True, save_path=str(folder / "share"))["id"]
        terms: dict[str, Any] = {"max_price": str(PRICE)} if speed else {}
        leecher.add(torrent, peers=[seeder.peer], **terms)
        leecher.wait(f"/v1/torrents/{name}", lambda t: t["state"] == "seeding" and t["settled"], "complete")
        metered = seeder.account("payer")["metered"]
        for node in (leecher, seeder):
            node.stop()  # says good-bye to the tracker
        return Told(tracker.by(seeder_host), tracker.by(leecher_host), metered)


@pytest.mark.parametrize("speed", ["on", "off"])
def test_ratio_figures_are_the_true_byte_counts_with_speed_on_as_with_speed_off(
    told: dict[str, Told], speed: str
) -> None:
    found = told[speed]
    assert (found.metered > 0) == (speed == "on")
    assert [announce.figures for announce in found.seeder] == [("started", 0, 0, 0), ("stopped", SIZE, 0, 0)]
    assert [announce.figures for announce in found.leecher] == [
        ("started", 0, 0, SIZE),
        ("completed", 0, SIZE, 0),
        ("stopped", 0, SIZE, 0),
    ]


def test_speed_adds_nothing_to_an_announce(told: dict[str, Told]) -> None:
    on, off = ([(a.event, a.keys, a.headers) for a in told[speed].everything] for speed in ("on", "off"))
    assert on == off
    assert {"info_hash", "peer_id", "port", "uploaded", "downloaded", "left", "compact"} <= on[0][1]


async def extensions(node: StageNode, info_hash: str, local: str) -> set[str]:
    """What the node's extension handshake offers on a torrent, by name (BEP 10)."""
    host, port = node.peer
    peer = await RawPeer.connect(host, port, bytes.fromhex(info_hash), local)
    try:
        async with asyncio.timeout(DEADLINE):
            while (payload := await peer.frames()) is not None:
                if payload[:2] == bytes((EXTENDED, HANDSHAKE)):
                    handshake = decode(payload[2:])
                    assert isinstance(handshake, dict)
                    offered = handshake[b"m"]
                    assert isinstance(offered, dict)
                    return {bytes(name).decode() for name in offered}
    finally:
        await peer.close()
    raise AssertionError("the node hung up before its extension handshake")


async def test_a_private_torrent_offers_no_peer_exchange_and_speed_brings_none(tmp_path: Path, worker_id: str) -> None:
    make_file(tmp_path / "share" / "private.bin", MIB, 1)
    make_file(tmp_path / "share" / "public.bin", MIB, 2)
    offered: dict[tuple[str, str], set[str]] = {}
    with stage(tmp_path, chain=False) as made:
        nodes = {
            "on": made.node("on", host_for(worker_id, 2)),
            "off": made.node("off", host_for(worker_id, 3), speed=OFF),
        }
        for file in ("private", "public"):
            path = tmp_path / "share" / f"{file}.bin"
            torrent, info_hash = await asyncio.to_thread(torrent_of, path, private=file == "private")
            for speed, node in nodes.items():
                if node.process is None:
                    node.start()
                name = node.add(torrent, seed=True, save_path=str(tmp_path / "share"))["id"]
                node.wait(f"/v1/torrents/{name}", lambda t: t["state"] == "seeding", "checked")
                offered[speed, file] = await extensions(node, info_hash, host_for(worker_id, 9))
    for speed in nodes:
        assert "ut_pex" in offered[speed, "public"]
        assert "ut_pex" not in offered[speed, "private"]
    for file in ("private", "public"):
        assert offered["on", file] - offered["off", file] == {"btt_speed"}
        assert offered["off", file] <= offered["on", file]


@contextmanager
def local_network() -> Iterator[socket.socket]:
    """A socket that hears what is announced to the local network, here the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        heard.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        try:
            heard.bind(LSD)
            member = socket.inet_aton(LSD[0]) + socket.inet_aton("127.0.0.1")
            heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            heard.settimeout(1.0)
            probe = f"probe of {os.getpid()}".encode()
            heard.sendto(probe, LSD)
            while heard.recv(2000) != probe:
                pass
        except OSError as error:
            pytest.skip(f"no multicast on the loopback interface: {error}")
        heard.settimeout(DEADLINE)
        yield heard


def announced(datagram: bytes) -> set[str]:
    """The info-hashes in a `BT-SEARCH` (BEP 14)."""
    fields = [line.partition(":") for line in datagram.decode("ascii", "replace").splitlines()]
    return {value.strip().lower() for name, _, value in fields if name.lower() == "infohash"}


def test_a_private_torrent_is_not_announced_to_the_local_network(tmp_path: Path, worker_id: str) -> None:
    names = {}
    with local_network() as heard, stage(tmp_path, chain=False) as made:
        host = host_for(worker_id, 2)
        node = made.node("seller", host, node={"local_discovery": "true"})
        node.start()
        # Every worker hears every other, so its files are its own. What is not to be heard is there first, so that it
        # would be heard before the last two.
        for number, file in enumerate(("private", "public", "last")):
            make_file(tmp_path / "share" / file, MIB, 8 * int(host.split(".")[2]) + number)
            torrent, info_hash = torrent_of(tmp_path / "share" / file, private=file == "private")
            names[info_hash] = file
            node.add(torrent, seed=True, save_path=str(tmp_path / "share"))
        found: set[str] = set()
        end = time.monotonic() + DEADLINE
        while not {"public", "last"} <= found:
            assert time.monotonic() < end, "the public torrents are not announced"
            found |= {names[info_hash] for info_hash in announced(heard.recv(2000)) & names.keys()}
    assert found == {"public", "last"}
