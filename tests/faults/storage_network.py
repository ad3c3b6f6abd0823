"""Hosts and a renter on a devnet whose clock a test moves on, and users who try again until they are answered."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

from node.demo.processes import PASSWORD
from node.storage.lifecycle import LOCKED
from tests.e2e.stage import Stage, StageNode, stage
from tests.e2e.storage_stage import renter, storage_hosts
from tests.faults.storage_kills import Reaper

EPOCH = 21_600
"""Four in a day, which is the shortest term."""
HOSTS = 5
"""Of which an object takes three. Who is away during an audit is replaced, too, if another one is lost already."""
STORAGE = {"epoch": str(EPOCH), "price": '"100000 BTT/GiB/day"'}
"""Dear, so that settling is worth its fee."""
SLOW = {"node": {"upload_limit": '"8 MB"'}}
"""So that a restore takes long enough to be killed in."""
BLOCK_TIME = 0.2
BEFORE_END = 100
"""Seconds before the end of an epoch when all of its audits are due, and can still be answered."""
RUNNING = frozenset(str(state) for state in LOCKED)


class Network:
    """`lost`: hosts that have lost their shard, or their life, with that contract: nothing is expected of them."""

    def __init__(self, made: Stage, hosts: Sequence[StageNode], owner: StageNode) -> None:
        self.made = made
        self.hosts = hosts
        self.owner = owner
        self.lost: dict[StageNode, dict[str, Any]] = {}
        self._mined = 0.0

    @property
    def parties(self) -> list[StageNode]:
        return [*self.hosts, self.owner]

    # --- time --------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Unix second of the newest block."""
        return int(self.made.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def to(self, moment: int) -> None:
        """The chain's clock goes on to this Unix second, if that is not past."""
        if moment > self.now:
            self.made.rpc("evm_setNextBlockTimestamp", hex(moment))
            self.made.rpc("evm_mine")

    def pulse(self) -> None:
        """A block every second: on a chain that people use they never cease to come, and what is final needs them."""
        if time.monotonic() >= self._mined + 1:
            self._mined = time.monotonic()
            self.made.rpc("evm_mine")

    def next_audits(self) -> bool:
        """On to where the next audits are due; False when no contract has an epoch left."""
        now = self.now
        due = [
            line["start"] + (over + 1) * EPOCH - BEFORE_END
            for line in (*self._running(), *self.lost.values())
            if (over := audits_over(line, now)) < line["epochs"]
        ]
        if due:
            # Contracts of one round may have begun some seconds apart: one step for all of them.
            self.to(max(moment for moment in due if moment < min(due) + BEFORE_END // 2))
        return bool(due)

    def audited(self) -> bool:
        """Whether the hosts have a voucher for every epoch whose audits are over. An audit that the epoch's end has
        overtaken is made up for by the next one, to which time goes on."""
        self.pulse()
        now = self.now
        late = [line for line in self._running() if line["voucher"] < audits_over(line, now)]
        if late and all(now >= line["start"] + audits_over(line, now) * EPOCH for line in late):
            self.next_audits()
        return not late

    # --- what is kept ------------------------------------------------------------------------------------------------

    def contracts(self) -> list[dict[str, Any]]:
        """As the hosts see them that are not lost."""
        return [line for host in self.hosts if host not in self.lost for line in host.get("/v1/host/contracts")]

    def _running(self) -> list[dict[str, Any]]:
        return [line for line in self.contracts() if line["state"] in RUNNING]

    def object(self, stored: str) -> Any:
        return self.owner.get(f"/v1/storage/{stored}")

    def known(self, stored: str) -> bool:
        return any(each["id"] == stored for each in self.owner.get("/v1/storage")["objects"])

    def kept(self, stored: str) -> bool:
        each = self.object(stored)
        return bool(each["stage"] == "kept" and each["good"] == each["n"])

    def settled(self) -> bool:
        """Whether the hosts have seen all their contracts end, with everything paid that was earned."""
        self.pulse()
        lines = self.contracts()
        paid = all(line["money"]["earned"] == line["money"]["claimed"] for line in lines)
        return paid and not any(line["state"] in RUNNING for line in lines)

    def ended(self, stored: str) -> bool:
        """Whether the renter has seen it, too."""
        return self.settled() and not any(row["state"] in RUNNING for row in self.object(stored)["contracts"])

    def check_shards(self) -> None:
        """On the disk of every host, whole, is what its running contracts are about."""
        for host in self.hosts:
            for line in host.get("/v1/host/contracts") if host not in self.lost else ():
                if line["state"] == "active":
                    (shard,) = (host.home / "disk").rglob(line["root"])
                    assert shard.stat().st_size == line["length"]


def audits_over(line: dict[str, Any], now: int) -> int:
    """In how many epochs of a contract audits have come due."""
    return int(max(0, min(line["epochs"], (now + BEFORE_END - line["start"]) // EPOCH)))


@contextmanager
def network(folder: Path, worker: str) -> Iterator[Network]:
    """Everybody listens on a new port after each start, as if its address at home had changed."""
    with stage(folder, block_time=BLOCK_TIME) as made:
        hosts = storage_hosts(made, HOSTS, worker, storage=STORAGE, settings=SLOW)
        yield Network(made, hosts, renter(made, worker))


class Restores:
    """`bttnode restore` to a new place again and again, until one has ended well that no kill disturbed. The first
    command is killed itself, `life` seconds after its start."""

    def __init__(self, owner: StageNode, reaper: Reaper, stored: str, folder: Path, life: float) -> None:
        self._arguments = ["--home", str(owner.home), "restore", stored, "-o"]
        self._reaper = reaper
        self._folder = folder
        self._die_at = time.monotonic() + life
        self._process: subprocess.Popen[bytes] | None = None
        self._kills = 0
        self.outs: list[Path] = []

    def done(self) -> bool:
        process = self._process or self._start()
        if len(self.outs) == 1 and time.monotonic() >= self._die_at:
            process.kill()
        code = process.poll()
        if code is None:
            return False
        self._process = None
        return code == 0 and self._kills == self._reaper.kills

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        self._kills = self._reaper.kills
        self.outs.append(self._folder / f"back{len(self.outs)}")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "node.cli", *self._arguments, str(self.outs[-1])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "BTTNODE_PASSWORD": PASSWORD},
        )
        return self._process


class Withdrawals:
    """Hosts' money home, asked for until there is an answer and always under one key, as a careful script does it.
    `amounts`: token units."""

    def __init__(self, amounts: dict[StageNode, int]) -> None:
        self._left = dict(amounts)
        self._pool = ThreadPoolExecutor()
        self._asked: dict[StageNode, Future[Any]] = {}

    def done(self) -> bool:
        for host, amount in list(self._left.items()):
            asked = self._asked.get(host)
            if asked is None:
                body = {"amount": str(amount)}
                self._asked[host] = self._pool.submit(host.call, "POST", "/v1/host/withdraw", body, key="home")
            elif asked.done():
                del self._asked[host]
                try:
                    asked.result()
                    del self._left[host]
                except urllib.error.HTTPError:
                    raise  # an answer, and not the one we want
                except (OSError, HTTPException):
                    pass  # killed meanwhile: asked again
        return not self._left

    def close(self) -> None:
        self._pool.shutdown()
