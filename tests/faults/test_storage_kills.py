"""`kill -9` in the middle of storing, audits, restore, forgetting, repair, settlement and withdrawal, between real
processes: nothing is lost, nothing is paid twice, and everybody goes on where it was.

Two objects on five hosts, through a whole term: one is forgotten in its first epoch; of the other one shard is lost for
good and made again. Then chain, nodes and disks are compared. The suite takes one seed; for more, and more strikes in
each phase:

    BTTNODE_KILL_SEEDS=0-19 BTTNODE_KILL_STRIKES=3 ./run test tests/faults/test_storage_kills.py
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from tests.e2e.stage import StageNode, make_file
from tests.e2e.storage_stage import store
from tests.faults import storage_books
from tests.faults.storage_books import ChainBooks
from tests.faults.storage_kills import Phase, Reaper, schedule
from tests.faults.storage_network import EPOCH, Network, Restores, Withdrawals, audits_over, network
from wallet.storage.events import Status

SIZES = {"first.bin": 6_000_001, "nothing": 0, "second.bin": 70_001}
NOTE = 300_001
TERM = {"k": 2, "n": 3, "days": 1, "renew": False}
STRIKES = int(os.environ.get("BTTNODE_KILL_STRIKES", "1"))
AFTER_END = 60
"""Seconds, for clocks that differ."""
MOST_SILENCE = 2
"""Epochs after which a renter on a devnet gives a silent host up."""


def seeds() -> range:
    first, _, last = os.environ.get("BTTNODE_KILL_SEEDS", "0").partition("-")
    return range(int(first), int(last or first) + 1)


@dataclass
class Term:
    """One object's life on a network where processes die. Each step is one phase; `before`: the money at its start."""

    net: Network
    reaper: Reaper
    random: Random
    folder: Path
    before: ChainBooks
    stored: str = ""
    note: str = ""
    victims: list[StageNode] = field(default_factory=list)
    """Who loses its shard."""

    def store(self) -> None:
        net = self.net
        self.stored = store(net.owner, self.folder / "letters", **TERM)
        self.note = store(net.owner, self.folder / "note", **TERM)
        self.reaper.through(Phase.STORE, lambda: net.kept(self.stored) and net.kept(self.note))
        net.check_shards()

    def audit(self) -> None:
        self.net.next_audits()
        self.reaper.through(Phase.AUDIT, self.net.audited)
        self.net.check_shards()

    def restore(self) -> None:
        """What stands at a place where a restore was to go is whole, or nothing."""
        life = self.random.uniform(0.5, 2.0)
        restores = Restores(self.net.owner, self.reaper, self.stored, self.folder, life)
        try:
            self.reaper.through(Phase.RESTORE, restores.done)
        finally:
            restores.close()
        letters = contents(self.folder / "letters")
        assert contents(restores.outs[-1]) == letters
        assert all(contents(out) == letters for out in restores.outs if out.exists())

    def forget(self) -> None:
        self.net.owner.call("POST", f"/v1/storage/{self.note}/forget")
        self.reaper.through(Phase.FORGET, lambda: not self.net.known(self.note))

    def repair(self) -> None:
        """A host dies for good, or its disk loses the shard."""
        net = self.net
        holders = {row["host"] for row in net.object(self.stored)["contracts"] if row["state"] == "active"}
        victim = self.random.choice([host for host in net.hosts if host.address in holders])
        active = [each for each in victim.get("/v1/host/contracts") if each["state"] == "active"]
        line = max(active, key=lambda each: int(each["length"]))
        heard = audits_over(line, net.now)
        net.lost[victim] = line
        self.victims.append(victim)
        if self.random.random() < 0.5:
            self.reaper.lose(victim)
        else:
            (shard,) = (victim.home / "disk").rglob(line["root"])
            shard.unlink()

        def repaired() -> bool:
            rows = net.object(self.stored)["contracts"]
            (row,) = (row for row in rows if (row["host"], row["until"]) == (victim.address, line["end"]))
            if row["missed"] and net.kept(self.stored):
                return True
            if row["missed"] < MOST_SILENCE and heard + row["missed"] >= audits_over(line, net.now) and net.audited():
                net.next_audits()
            return False

        self.reaper.through(Phase.REPAIR, repaired)
        net.check_shards()

    def settle(self) -> None:
        net = self.net
        while net.next_audits():
            self.reaper.until(net.audited, "an epoch's audits")
        end = max(line["end"] for line in net.contracts())
        net.to(end + AFTER_END)
        self.reaper.through(Phase.SETTLE, net.settled)
        # What was not claimed for an epoch is the renter's again, who ends the contract of the lost host.
        net.to(end + EPOCH + AFTER_END)
        self.reaper.bring_back()
        net.lost.clear()
        self.reaper.until(lambda: net.ended(self.stored), "everybody sees that it is over")

    def withdraw(self) -> None:
        net = self.net
        chain = storage_books.read(net.made, net.parties)
        amounts = {host: chain.of(host).market for host in net.hosts}
        withdrawals = Withdrawals(amounts)
        try:
            self.reaper.through(Phase.WITHDRAW, withdrawals.done)
        finally:
            withdrawals.close()
        chain = storage_books.read(net.made, net.parties)
        assert {host: chain.withdrawn(host) for host in net.hosts} == amounts
        assert not any(chain.of(host).market for host in net.hosts)

    def reconcile(self) -> None:
        """Chain, nodes and disks, when all is over."""
        net = self.net
        chain = storage_books.read(net.made, net.parties)
        chain.check_events()
        chain.check_purses(self.before)
        for host in net.hosts:
            storage_books.check_host(host, chain)
            for volume in host.get("/v1/host/volumes"):
                assert volume["shards"] == volume["used"] == volume["reserved"] == 0
        unpaid = {host.address for host in self.victims}
        for contract, opened in chain.opened.items():
            if chain.records[contract].status is Status.COMPLETED and opened.terms.host.evm not in unpaid:
                assert chain.paid(contract) == opened.terms.escrow, "who kept its shard was paid for all of the term"
        each = net.object(self.stored)
        assert int(each["locked"]) == 0
        offered = sum(opened.terms.escrow for opened in chain.opened.values())
        offered += sum(int(row["escrow"]) for row in each["contracts"] if row["state"] == "lapsed")
        assert chain.deposited(net.owner) <= offered
        net.owner.call("POST", f"/v1/storage/{self.stored}/forget")
        self.reaper.until(lambda: not net.known(self.stored), "it is off the list")
        for node in net.parties:
            node.stop()
            storage_books.check_intents(node, chain.of(node).sent)
        storage_books.check_journals(net.made, net.parties, self.before, chain)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", seeds())
def test_kills_at_any_time_lose_nothing_and_pay_nothing_twice(tmp_path: Path, worker_id: str, seed: int) -> None:
    for number, (name, size) in enumerate(SIZES.items()):
        make_file(tmp_path / "letters" / name, size, seed + number)
    make_file(tmp_path / "note", NOTE, seed)
    with network(tmp_path, worker_id) as net:
        reaper = Reaper(net.parties, schedule(seed, [host.name for host in net.hosts], STRIKES))
        before = storage_books.read(net.made, net.parties)
        term = Term(net, reaper, Random(seed), tmp_path, before)
        for step in (
            term.store, term.audit, term.restore, term.forget, term.repair, term.settle, term.withdraw, term.reconcile,
        ):  # fmt: skip
            step()
