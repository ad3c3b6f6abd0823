"""A host with 10,000 contracts: what it takes to start, to look at them all, and to answer an audit of each.

Store, volume, trees, signatures and answers are the node's own and lie on a disk; market and engine are the doubles of
the host's tests. Shards of 16 MiB are sparse: all their blocks but the last are zeros, so a tree differs from the next
one in one path, and the disk holds 0.8 GB. Every challenge asks for what a renter asks for (29 blocks: a loss of a
tenth is found with 95 %), one after the other; files are in the system's cache. The renter's side of the round is what
`Auditing.examine` takes beyond the answer: the challenge, the verdict, the evidence.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import cast
from unittest import mock

from node.ports.engine import AddTorrent, TorrentId
from node.ports.renting import Rental
from node.ports.storage import HostedContract
from node.services.host.host import Host
from node.services.renter.auditing import Auditing
from node.services.renter.hosts import Hosts
from node.services.renter.policy import Policy
from node.storage.audit import Challenge, Verdict
from node.storage.lifecycle import State
from node.storage.merkle import BLOCK, NODE, TreeLayout
from node.storage.messages import AnswerBody, ChallengeCall
from node.volumes.volume import Marker, Volume
from tests.bench.harness import Row, forget_peak, peak_mib
from tests.unit.hosting.kit import RAIL, Bench, FakeEngine
from tests.unit.storage.samples import HOST, MARKET, NOW, RENTER, contract
from wallet.storage_terms import StorageContract, sign

CONTRACTS = 10_000
LENGTH = 16 << 20
LAYOUT = TreeLayout(LENGTH)
UNITS = {
    "start": "s",
    "the first look: market, trees, torrents": "s",
    "a look when nothing has changed": "s",
    "one audit round": "s",
    "an answer of 29 blocks": "ms",
    "peak memory of the round": "MiB",
    "the renter's side of the round": "s",
}


def rows() -> list[Row]:
    """Measured in a process of its own: memory is part of it."""
    with tempfile.TemporaryDirectory(prefix="bttnode-bench-") as folder:
        arguments = [sys.executable, "-m", "tests.bench.hosting", folder]
        found = json.loads(subprocess.run(arguments, check=True, stdout=subprocess.PIPE, timeout=1200).stdout)
    return [Row(f"{CONTRACTS:,} contracts: {name}", unit, [found[name]]) for name, unit in UNITS.items()]


class Shards:
    """Zeros, and a number in the last block."""

    def __init__(self) -> None:
        self._levels = [sha256(bytes(BLOCK)).digest()]
        while len(self._levels) <= LAYOUT.depth:
            self._levels.append(sha256(self._levels[-1] * 2).digest())
        self._tree = bytearray().join(node * count for node, count in zip(self._levels, LAYOUT.counts, strict=True))

    def write(self, number: int, volume: Volume) -> bytes:
        """Put a whole shard on a volume; returns its root."""
        block = number.to_bytes(BLOCK, "big")
        node = sha256(block).digest()
        for level, end in enumerate(LAYOUT.starts[1:]):
            self._tree[end - NODE : end] = node
            root, node = node, sha256(self._levels[level] + node).digest()
        place = volume.reserve(root, LENGTH)
        with place.shard.open("wb") as shard:
            shard.seek(LENGTH - BLOCK)
            shard.write(block)
        volume.write_tree(root, bytes(self._tree))
        volume.complete(root)
        return root


def _no_sync(descriptor: int) -> None:
    pass


async def _prepare(bench: Bench) -> list[Rental]:
    """Contracts in the store, shards on the volume: as if all of them had been accepted and fetched."""
    (info,) = await bench.volumes.volumes()
    volume, shards, rentals = Volume(info.path, Marker(info.id, 1 << 60), guard=0), Shards(), []
    with mock.patch("os.fsync", _no_sync):  # a power cut during a benchmark loses nothing
        roots = [shards.write(number, volume) for number in range(CONTRACTS)]
    for number, root in enumerate(roots):
        terms = contract(root, LENGTH, start=NOW - 100, nonce=number)
        record = _hosted(terms)
        await bench.store.save_hosted(record)
        bench.market.open(terms)
        rentals.append(_rental(record))
    return rentals


def _hosted(terms: StorageContract) -> HostedContract:
    return HostedContract(
        id=terms.digest(MARKET),
        rail=RAIL,
        market=MARKET.contract,
        contract=terms,
        renter_signature=sign(MARKET, terms, RENTER),
        host_signature=sign(MARKET, terms, HOST),
        state=State.ACTIVE,
        whole=True,
        epochs=terms.epochs,
        created_at=NOW,
    )


def _rental(record: HostedContract) -> Rental:
    return Rental(
        id=record.id,
        object="object",
        shard=0,
        rail=RAIL,
        terms=record.contract,
        state=State.ACTIVE,
        url="http://127.0.0.1:1",
        network="",
        peers=(),
        download_price=0,
        renter_signature=record.renter_signature,
        host_signature=record.host_signature,
    )


class Engine(FakeEngine):
    """Keeps no torrents: how many bytes an engine needs for one is its own affair."""

    async def add(self, request: AddTorrent) -> TorrentId:
        found = await super().add(request)
        self.torrents[found] = replace(request, torrent=b"")
        return found


class Asked:
    """`Hosts` with one host and no network. `seconds`: what its answers took."""

    market = MARKET

    def __init__(self, host: Host) -> None:
        self._host = host
        self.seconds = 0.0

    async def challenge(self, rental: Rental, challenge: Challenge, signature: bytes) -> AnswerBody:
        started = time.perf_counter()
        body = await self._host.answers.answer(RENTER.address, ChallengeCall(challenge, signature))
        self.seconds += time.perf_counter() - started
        return body


async def _measure(folder: Path) -> dict[str, float]:
    bench = Bench(folder)
    bench.engine = Engine()
    await bench.open()
    rentals = await _prepare(bench)
    found = [_clock()]
    await bench.restart()
    found.append(_clock())
    for _ in range(2):
        await bench.host.step()
        await bench.host.join()
        found.append(_clock())
        bench.clock.time += 61  # the next look is due
    asked = Asked(bench.host)
    auditing = Auditing(cast(Hosts, asked), RENTER, bench.clock, Policy(), nonce=Random(3).randbytes)
    forget_peak()
    started = _clock()
    for rental in rentals:
        examined = await auditing.examine(rental)
        if examined.finding.verdict is not Verdict.PASSED:
            raise RuntimeError(f"an audit failed: {examined.finding.reason}")
    whole = _clock() - started
    values = [after - before for before, after in itertools.pairwise(found)]
    values += [asked.seconds, asked.seconds / CONTRACTS * 1000, peak_mib(), whole - asked.seconds]
    await bench.close()
    return dict(zip(UNITS, values, strict=True))


def _clock() -> float:
    return time.perf_counter()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure(Path(sys.argv[1])))))
