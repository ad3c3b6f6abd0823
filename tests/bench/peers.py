"""Two hundred peers on one capped seeder: what they cost it when all of them pay, and when none does.

The seeder is a real daemon with a real vault view on a devnet; the peers are light ones in a process of their own
(`tests.bench.payers`), and their deposits are on the chain. Sides run in turns, each with a fresh seeder, so that
memory that was freed in between hides nothing. What is measured is the seeder's process alone, in steady state.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from config.networks import load_network
from config.settings import RailSettings
from node.rails import OpenRail, open_rail
from tests.bench.engine import make_file
from tests.bench.harness import Result, Row, in_turns
from tests.bench.payers import Crowd, payer_key
from tests.e2e.stage import PRICE, Stage, StageNode, stage
from wallet.amount import format_price
from wallet.chains.base import Call, ChainAdapter
from wallet.keys import PrivateKey

PEERS = 200
PAIRS = 3
CAPACITY = 40_000_000
SIZE, PIECE = 64 << 20, 1 << 20
WINDOW = 15.0
POLL = 0.25
"""A quarter of a round: none is missed."""
READY_TIMEOUT = 120.0
DEMAND = 102
"""What all bids want together, in hundredths of what is for sale: the lowest one does not get all it wants."""
REBID = 10.0
ROUND_GOAL_MS = 5.0
FUNDER = PrivateKey(b"\x61" * 32)
NETWORK = "devnet-bttc"


@dataclass(slots=True)
class Figures:
    """One side's findings, a value for each run."""

    cpu_per_gib: list[float] = field(default_factory=list)
    cpu_per_peer: list[float] = field(default_factory=list)
    rss_per_peer: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    rounds: list[list[float]] = field(default_factory=list)

    def rows(self, side: str) -> list[Row]:
        """Without the warm-up, which is the first of each."""
        return [
            Row(f"{side}: seeder's CPU per GiB served", "s/GiB", self.cpu_per_gib[1:]),
            Row(f"{side}: seeder's CPU per peer", "ms/s", self.cpu_per_peer[1:]),
            Row(f"{side}: memory per peer", "KiB", self.rss_per_peer[1:]),
            Row(f"{side}: served", "MB/s", self.rate[1:]),
            Row(f"{side}: price round", "ms", self.round_times),
        ]

    @property
    def round_times(self) -> list[float]:
        """Milliseconds of each round."""
        return [took for run in self.rounds[1:] for took in run]


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, its threads included (proc(5))."""
    text = Path(f"/proc/{pid}/stat").read_text()
    values = text.rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


def _resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has no resident memory")


class Crew:
    """The process with the light peers; ended with the context."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child

    def ask(self) -> dict[str, int]:
        """Raises `RuntimeError` when the process has died."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write("\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError("the peers' process has died") from None
        if not (line := self._child.stdout.readline()):
            raise RuntimeError("the peers' process has died")
        found: dict[str, int] = json.loads(line)
        return found


@contextmanager
def _crew(crowd: Crowd) -> Iterator[Crew]:
    arguments = [sys.executable, "-m", "tests.bench.payers", json.dumps(asdict(crowd))]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield Crew(child)
        finally:
            child.kill()


# --- the stage ------------------------------------------------------------------------------------------------------


async def _do(chain: ChainAdapter, call: Call) -> None:
    fee = await chain.estimate(call, FUNDER.address)
    tx = await chain.prepare(call, FUNDER.address, await chain.next_nonce(FUNDER.address), fee)
    signed = chain.sign(tx, FUNDER)
    await chain.broadcast(signed)
    receipt = await chain.receipt(signed.hash)  # the devnet mines at once
    if receipt is None or not receipt.ok:
        raise RuntimeError(f"{call.text} failed")


def _rail(made: Stage) -> OpenRail:
    found = made.chain
    settings = RailSettings(endpoints=(found["url"],), token=found["token"], vault=found["vault"])
    return open_rail(load_network(NETWORK), settings, ())


def _fill_vaults(made: Stage) -> None:
    """One deposit for each payer, all out of one purse."""
    made.rpc("bttnode_faucet", FUNDER.address.evm)

    async def fill() -> None:
        chain = _rail(made).chain
        try:
            await chain.start()
            purse = await chain.token_balance(FUNDER.address)
            await _do(chain, chain.approve(purse))
            for index in range(PEERS):
                await _do(chain, chain.deposit_for(payer_key(index).address, purse // PEERS))
        finally:
            await chain.close()

    asyncio.run(fill())


def _seeder(made: Stage, name: str) -> StageNode:
    node = made.node(
        name,
        "127.0.0.2",
        node={
            "upload_limit": f'"{CAPACITY}"',
            "max_connections": str(2 * PEERS),
            "upload_slots": str(PEERS),
        },
        speed={"buy": "false", "reserve_price": json.dumps(format_price(PRICE))},
    )
    node.start()
    return node


def _crowd(made: Stage, seeder: StageNode, torrent: dict[str, Any], *, pays: bool) -> Crowd:
    for_sale = seeder.get("/v1/market")["for_sale"] or CAPACITY * 8 // 10
    rail = _rail(made).rail
    return Crowd(
        count=PEERS,
        pays=pays,
        host=seeder.host,
        port=seeder.peer[1],
        info_hash=torrent["id"],
        size=SIZE,
        piece=PIECE,
        chain_id=rail.chain_id,
        vault=rail.vault.evm,
        rail=rail.id,
        lowest=PRICE,
        highest=2 * PRICE,
        wanted=for_sale * DEMAND // 100 // PEERS,
        rebid=REBID,
    )


def _await_all(crew: Crew, *, pays: bool) -> None:
    """Until everybody is served, at a price where it pays."""
    deadline = time.monotonic() + READY_TIMEOUT
    while True:
        found = crew.ask()
        if found["served"] == PEERS and (not pays or found["priced"] >= PEERS * 95 // 100):
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"not all of {PEERS} peers are served after {READY_TIMEOUT:g} s: {found}")
        time.sleep(POLL)


def _measure(made: Stage, file: Path, name: str, figures: Figures, *, pays: bool) -> float:
    """One run with a fresh seeder; returns its CPU seconds per GiB."""
    seeder = _seeder(made, name)
    assert seeder.process is not None
    pid = seeder.process.child.pid
    try:
        torrent = file.parent / "peers.torrent"
        seeder.cli("create", str(file), "-o", str(torrent), "--piece", str(PIECE))
        added = seeder.add(torrent.read_bytes(), save_path=str(file.parent), seed=True)
        resident = _resident_kib(pid)
        with _crew(_crowd(made, seeder, added, pays=pays)) as crew:
            _await_all(crew, pays=pays)
            before, cpu, started = crew.ask(), _cpu_seconds(pid), time.monotonic()
            rounds: dict[int, float] = {}
            while time.monotonic() < started + WINDOW:
                market = seeder.get("/v1/market")
                rounds[market["round"]] = market["round_ms"]
                time.sleep(POLL)
            after, seconds = crew.ask(), time.monotonic() - started
            cpu = _cpu_seconds(pid) - cpu
            figures.rss_per_peer.append((_resident_kib(pid) - resident) / PEERS)
    finally:
        seeder.stop()
    served = after["received"] - before["received"]
    figures.cpu_per_gib.append(cpu * 2**30 / served)
    figures.cpu_per_peer.append(cpu * 1000 / seconds / PEERS)
    figures.rounds.append(list(rounds.values()))
    figures.rate.append(served / seconds / 1e6)
    return figures.cpu_per_gib[-1]


def run(tell: Callable[[str], None], pairs: int) -> Result:
    paid, unpaid = Figures(), Figures()
    with tempfile.TemporaryDirectory(prefix="bttnode-bench-") as name, stage(Path(name)) as made:
        file = Path(name) / "peers.bin"
        make_file(file, SIZE)
        tell(f"  {PEERS} deposits")
        _fill_vaults(made)
        turn = iter(range(1000))

        def side(figures: Figures, *, pays: bool) -> Callable[[], float]:
            return lambda: _measure(made, file, f"seeder-{next(turn)}", figures, pays=pays)

        in_turns([side(paid, pays=True), side(unpaid, pays=False)], pairs or PAIRS, tell)
    rows = [*paid.rows("paying"), *unpaid.rows("not paying")]
    extra = [a - b for a, b in zip(paid.cpu_per_gib[1:], unpaid.cpu_per_gib[1:], strict=True)]
    rows.append(Row("payments' part of the CPU per GiB", "s/GiB", extra))
    return Result(
        "peers",
        rows,
        statistics.median(paid.round_times),
        f"median price round of {PEERS} paying peers in ms <= {ROUND_GOAL_MS:g}",
        (
            f"capacity {CAPACITY / 1e6:g} MB/s; bids want {DEMAND} % of what is for sale, renewed every {REBID:g} s",
            "with nobody paying as many peers are served: the upload slots are as many as the peers",
        ),
    )
