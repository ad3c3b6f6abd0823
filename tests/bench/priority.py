"""Two payers with different bids and two free peers on one seeder capped at 20 MB/s: who gets what, and how soon.

Real processes over loopback. Shares are counts of bytes the seeder has sent to each peer, averaged over 10 s, against
what the seeder's auction says it has granted. Then the lower bidder raises its bid, and the time is taken until its
rate over a second is within a tenth of the new grant.
"""

from __future__ import annotations

import base64
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.demo.processes import Node
from node.demo.run import Demo
from tests.bench.engine import make_file
from tests.bench.harness import Result, Row
from tests.bench.paid_vs_unpaid import call
from wallet.amount import parse_price

CAPACITY = 20_000_000
SIZE = 1 << 30
SETTLE_SECONDS, WINDOW = 10.0, 10.0
REACTION_LIMIT = 10.0
CHANGE_SECONDS = 2.0
"""A changed bid has this long to take effect; shares are measured after it."""
POLL = 0.1
SECOND = 1.0
BIDS = {"payer-high": (parse_price("9000 BTT/GiB"), 10_000_000), "payer-low": (parse_price("4000 BTT/GiB"), 9_000_000)}
"""Highest price, and wanted rate: together more than what is for sale, so that the lower bid gets what is left."""
RAISED = parse_price("12000 BTT/GiB")


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes sent to each leecher, and what the auction grants it, at a moment."""

    at: float
    sent: dict[str, int]
    granted: dict[str, int]


class Stage(Demo):
    """The cast: a capped seeder, and leechers that know nobody but it."""

    def prepare(self) -> tuple[Node, dict[str, Node], bytes]:
        self._start_services()
        seeder = self._node("seeder", 2, ("bttc",), sell=True, buy=False, upload=CAPACITY)
        leechers = {name: self._node(name, 3 + i, ("bttc",), buy=True) for i, name in enumerate(BIDS)}
        leechers |= {name: self._node(name, 5 + i, ("bttc",), buy=False) for i, name in enumerate(("free-1", "free-2"))}
        for node in (seeder, *leechers.values()):
            node.up(self.folder)
            self.processes.append(node.running)
        for name in BIDS:
            leechers[name].cli("vault", "deposit", "900000 BTT")
        torrent = self.folder / "bench.torrent"
        seeder.cli("create", str(self.file), "-o", str(torrent))
        seeder.cli("add", str(torrent), "--seed", "-o", str(self.file.parent))
        return seeder, leechers, torrent.read_bytes()


def _sample(seeder: Node, hosts: dict[str, str]) -> Sample:
    rows: list[dict[str, Any]] = call(seeder, "GET", "/v1/peers")
    by_name = {hosts[row["host"]]: row for row in rows if row["host"] in hosts}
    return Sample(
        time.monotonic(),
        {name: int(row["sent"]) for name, row in by_name.items()},
        {name: int(row["granted"]) for name, row in by_name.items()},
    )


def _rates(first: Sample, last: Sample) -> dict[str, float]:
    seconds = last.at - first.at
    return {name: (count - first.sent.get(name, 0)) / seconds for name, count in last.sent.items()}


def _measure(seeder: Node, hosts: dict[str, str]) -> tuple[dict[str, float], dict[str, int]]:
    first = _sample(seeder, hosts)
    time.sleep(WINDOW)
    last = _sample(seeder, hosts)
    return _rates(first, last), last.granted


def _reaction(seeder: Node, hosts: dict[str, str], name: str, granted_before: int) -> float:
    """Seconds from now until the peer has had a second at its new rate; the grant must have changed."""
    started = time.monotonic()
    samples = [_sample(seeder, hosts)]
    while time.monotonic() - started < REACTION_LIMIT:
        time.sleep(POLL)
        samples.append(_sample(seeder, hosts))
        recent = [sample for sample in samples if samples[-1].at - sample.at <= SECOND]
        if recent[0] is samples[0]:
            continue  # not a whole second yet
        granted = samples[-1].granted.get(name, 0)
        rate = _rates(recent[0], samples[-1]).get(name, 0.0)
        if granted > granted_before and abs(rate - granted) <= granted / 10:
            return recent[0].at - started  # the second at the new rate began here
    return REACTION_LIMIT


def run(tell: Callable[[str], None], pairs: int) -> Result:
    from rich.console import Console  # only to satisfy the stage

    del pairs  # one run is twenty seconds of steady state on both sides of a change
    folder = Path(tempfile.mkdtemp(prefix="bttnode-bench-"))
    stage = Stage(folder / "bench.bin", folder, Console(quiet=True))
    try:
        tell(f"  making {SIZE >> 20} MiB, starting the processes")
        make_file(stage.file, SIZE)
        seeder, leechers, torrent = stage.prepare()
        hosts = {f"127.0.0.{3 + i}": name for i, name in enumerate(leechers)}
        data = base64.b64encode(torrent).decode()
        names = {}
        for name, node in leechers.items():
            price, rate = BIDS.get(name, (0, 0))
            body = {"torrent": data, "max_price": str(price), "rate": rate, "peers": [["127.0.0.2", seeder.peer_port]]}
            names[name] = call(node, "POST", "/v1/torrents", body)["id"]
        time.sleep(SETTLE_SECONDS)
        tell("  steady state")
        before, granted = _measure(seeder, hosts)
        tell("  the lower bid is raised above the higher one")
        terms = {"max_price": str(RAISED), "rate": BIDS["payer-low"][1]}
        call(leechers["payer-low"], "POST", f"/v1/torrents/{names['payer-low']}/terms", terms)
        reaction = _reaction(seeder, hosts, "payer-low", granted["payer-low"])
        time.sleep(max(0.0, CHANGE_SECONDS - reaction))
        after, granted_after = _measure(seeder, hosts)
        market = call(seeder, "GET", "/v1/market")
    finally:
        stage.stop()
        shutil.rmtree(folder, ignore_errors=True)
    rows, deviations = [], []
    for title, rates, grants in (("before", before, granted), ("after", after, granted_after)):
        for name in BIDS:
            rows += [
                Row(f"{title}: {name} got", "MB/s", [rates[name] / 1e6]),
                Row(f"{title}: {name} was granted", "MB/s", [grants[name] / 1e6]),
            ]
            deviations.append(abs(rates[name] - grants[name]) / grants[name] if grants[name] else 1.0)
        free = sum(rates[name] for name in rates if name not in BIDS)
        share = CAPACITY - sum(grants[name] for name in BIDS)
        rows += [
            Row(f"{title}: free peers together got", "MB/s", [free / 1e6]),
            Row(f"{title}: not sold", "MB/s", [share / 1e6]),
        ]
        deviations.append(max(0.0, share - free) / share)
    rows.append(Row("the raised bid took effect after", "s", [reaction]))
    return Result(
        "priority",
        rows,
        max(deviations),
        "largest relative deviation from the allocation <= 0.02; a changed bid effective within 2 s",
        (f"clearing price in the end {int(market['clearing']) * 1024 / 10**18:g} BTT/GiB, round {market['round']}",),
    )
