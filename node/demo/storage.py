"""The storage story: the same file on six hosts on each rail, three of which fail, and what becomes of it.

    stored ─→ audited, paid ─→ two hosts die, the disk of a third rots ─→ audits find it ─→ rebuilt, on spares
                                                                               └─→ challenged on chain ─→ slashed
    restored on another machine, from manifest and seed ─→ the term runs out ─→ settled ─→ everybody's books

Nodes, disks, transactions and signatures are real. Only the local chains' clocks are moved on, from one audit to the
next, and every node follows them. Both rails go through the story together, with the same hosts and renter.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from secrets import token_bytes
from typing import Any

from rich.console import Console

from node.demo.files import sha256
from node.demo.processes import DemoError, Node, Process
from node.demo.rails import DemoRail
from node.demo.storage_bill import cents
from node.demo.storage_books import StorageBooks
from node.demo.storage_nodes import CPUS, Host, settle_host, settle_in, together
from node.demo.storage_reading import host_books, paid_epochs, read_chain, storage_books
from node.demo.storage_time import Clocks, next_audits
from node.storage.erasure import StripeLayout
from node.storage.sealing import SealLayout
from node.storage.terms import DAY
from wallet import keystore
from wallet.address import Address
from wallet.amount import GIB, format_amount, format_size, parse_amount
from wallet.keys import new_mnemonic

K, N, SPARES = 3, 6, 3
HOUR = 3600
EPOCHS = 4
EPOCH = DAY // EPOCHS
PER_EPOCH = parse_amount("100 BTT")
"""What hosts ask for an epoch of one shard, whatever the file's size: far above what a transaction costs."""
COLLATERAL = parse_amount("5000 BTT")
"""A host's deposit in the market."""
ROOM = 64 << 20
"""What a host's quota has beyond all shards it could get."""
AFTER = 60
"""Seconds after which everybody agrees that a moment has passed."""
LOOK = 61
"""Seconds within which a host looks at each of its contracts."""
POLL = 0.1
STALLED = 2.5
"""Seconds of waiting, here, until the clocks are first moved on by `LOOK`, where that helps."""
PATIENCE, SLOWEST = 180.0, 1_000_000
"""Seconds, and bytes of the file per second on top, that anything may take."""
RUNNING = ("active", "challenged")
VOID = ("cancelled", "lapsed")
"""Offers that came to nothing; others took their place."""

Lease = dict[str, Any]
"""A contract, as the renter's node shows it."""


@dataclass(slots=True)
class Tenancy:
    """What is stored on one rail. `wallet_before`: the renter's tokens."""

    rail: DemoRail
    id: str
    wallet_before: int
    restored: str = ""


@dataclass(slots=True)
class StorageStory:
    """One run. `watched`: processes that must live; those started here are added."""

    file: Path
    digest: str
    folder: Path
    console: Console
    rails: Sequence[DemoRail]
    watched: list[Process]
    hosts: list[Host] = field(init=False)
    """The six that get the file."""
    spares: list[Host] = field(init=False)
    renter: Node = field(init=False)
    clocks: Clocks = field(init=False)
    secret: keystore.Secret = field(init=False)
    """The renter's twelve words."""
    tenancies: list[Tenancy] = field(default_factory=list)
    rotten: str = ""
    """What the host with the rotten disk says of it."""
    manifest_size: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Returns the report; its `reconciled` says whether all is well. Raises `DemoError`."""
        for name, act in (
            ("start", self._start),
            ("store", self._store),
            ("audit", self._keep),
            ("find", self._harm),
            ("repair", self._repair),
            ("slash", self._slash),
            ("restore", self._restore),
            ("settle", self._run_out),
        ):
            started = time.monotonic()
            with self.console.status(f"{name} …"):
                act()
            self.seconds[name] = round(time.monotonic() - started, 3)
        return self._report([self._reckon(tenancy) for tenancy in self.tenancies])

    # --- setting the stage -------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.folder.mkdir()
        self.clocks = Clocks(self.rails)
        self.secret = keystore.Secret(mnemonic=new_mnemonic(token_bytes(16)))
        self.renter = self._renter("renter", 1)
        everybody = [self._host(number) for number in range(1, N + SPARES + 1)]
        self.hosts, self.spares = everybody[:N], everybody[N:]
        for rail in self.rails:
            for address in (Address.parse(self.renter.address), *(host.address for host in everybody)):
                rail.fund(address)
        self._up(self.renter, *(host.node for host in everybody))
        self._say(
            "hosts", f"{N} and {SPARES} spare ones, each with a disk and {format_amount(COLLATERAL)} for collateral"
        )
        quota = len(self.rails) * self.file.stat().st_size + ROOM
        together(lambda host: host.add_disk(quota), everybody)
        together(lambda place: place[0].put_in(place[1], COLLATERAL), self._places(everybody))
        self._announce(self.hosts)
        # All of them are ready before the first offer goes out, so that the same six get it on every rail.
        self._until(lambda: not any("volume" in why for host in everybody for why in host.why()), "disks are seen")

    def _renter(self, name: str, number: int) -> Node:
        return settle_in(name, self.folder, f"127.0.1.{number}", self.rails, self.secret, {})

    def _host(self, number: int) -> Host:
        shard = StripeLayout(K, SealLayout(self.file.stat().st_size).sealed_length).shard_length
        price = -(-PER_EPOCH * EPOCHS * GIB // shard)
        at = f"127.0.1.{10 + number}"
        return settle_host(f"host-{number}", self.folder, at, self.rails, price=price, epoch=EPOCH)

    def _up(self, *nodes: Node) -> None:
        def up(node: Node) -> None:
            node.up(self.folder)
            self.watched.append(node.running)

        together(up, nodes, 2 * CPUS)

    # --- the story ---------------------------------------------------------------------------------------------------

    def _store(self) -> None:
        for rail in self.rails:
            body = {"path": str(self.file.absolute()), "k": K, "n": N, "days": 1, "renew": False, "rail": rail.network}
            before = rail.wallet(Address.parse(self.renter.address))
            made = self.renter.call("POST", "/v1/storage", body)
            self.tenancies.append(Tenancy(rail, str(made["id"]), before))
        self._all(lambda stored: stored["stage"] == "kept" and stored["good"] == N, f"{N} hosts have their shards")
        where = " and ".join(rail.short for rail in self.rails)
        self._say("stored", f"sealed, coded into {N} shards, any {K} of which restore it, and sent to them, on {where}")
        escrow = cents(int(self._leases()[0]["escrow"]))
        self._say("", f"for each shard {escrow} of rent and as much collateral, {EPOCHS} epochs of {EPOCH // HOUR} h")
        self._announce(self.spares)

    def _keep(self) -> None:
        self._say(
            "clock", "the chains' clocks are moved on by hand from here: a day passes in a minute, for every node"
        )
        self._reach(max(int(lease["until"]) for lease in self._leases()) - EPOCHS * EPOCH + AFTER)
        self._each(lambda lease: lease["state"] == "active", "contracts have begun")
        self._audits(lambda lease: int(lease["paid"]) > 0)
        self._say("audited", f"each host showed random blocks of its shard, and got a voucher for epoch 1 of {EPOCHS}")

    def _harm(self) -> None:
        *killed, rotting = self.harmed
        for host in killed:
            self.watched.remove(host.node.running)
            host.node.running.kill()
        self._say("killed", f"{_names(killed)} (kill -9)")
        rotting.rot()
        self._say("corrupted", f"{rotting.name}: one byte in each 16 KiB of its shards, behind its back")
        self._audits(lambda lease: self._sound(lease) or lease["missed"] > 0)
        reasons = [why for why in rotting.why() if "has changed on the disk" in why]
        self.rotten = reasons[0].partition(": ")[2] if reasons else ""
        self._say("found", f"by audit: {_names(killed)} cannot be reached, {rotting.name} gives no answer, because")
        self._say("", f"{self.rotten or 'no reason that it knows of'}")

    def _repair(self) -> None:
        self._all(lambda stored: stored["good"] == N, "lost shards are on the spares")
        self._say("repaired", f"the lost shards, rebuilt from the {K} others, onto {_names(self.spares)}")

    def _slash(self) -> None:
        self._audits(lambda lease: self._sound(lease) or lease["state"] != "active")
        self._say("challenged", "still no answer: each of the three must show a block of its shard on chain")
        rotting = self.harmed[-1]
        self._until(lambda: self._handed_in(rotting), f"{rotting.name} hands in its voucher", nudge=True)
        self._reach(self.clocks.now() + max(int(rail.process.ready["answer_period"]) for rail in self.rails) + AFTER)
        self._each(lambda lease: self._sound(lease) or lease["state"] == "failed", "the three are slashed")
        self._say(
            "slashed", f"none did, so the renter has their collateral; {rotting.name} handed its voucher in before"
        )

    def _restore(self) -> None:
        elsewhere = self._renter("elsewhere", 2)
        self._up(elsewhere)
        restores: list[str] = []
        for tenancy in self.tenancies:
            manifest = self.renter.call("GET", f"/v1/storage/{tenancy.id}/manifest")["manifest"]
            self.manifest_size = len(base64.b64decode(manifest))
            out = elsewhere.home / f"restored-{tenancy.rail.short}"
            started = elsewhere.call("POST", "/v1/restores", {"manifest": manifest, "out": str(out)})
            restores.append(f"/v1/restores/{started['number']}")

        def finished() -> bool:
            return all(elsewhere.call("GET", path)["finished"] for path in restores)

        self._until(finished, "it is restored")
        for tenancy, path in zip(self.tenancies, restores, strict=True):
            done = elsewhere.call("GET", path)
            if done["fault"]:
                raise DemoError(f"restore on {tenancy.rail.network}: {done['fault']}")
            tenancy.restored = sha256(Path(done["out"]))
        same = all(tenancy.restored == self.digest for tenancy in self.tenancies)
        source = f"a manifest of {format_size(self.manifest_size)} and the wallet's words"
        self._say("restored", f"on another machine, from {source}; SHA-256 is {'the same' if same else 'ANOTHER'}")
        elsewhere.running.stop()
        self.watched.remove(elsewhere.running)

    def _run_out(self) -> None:
        killed = [host.node for host in self.harmed[:-1]]
        self._up(*killed)
        self._audits(lambda lease: not self._sound(lease) or lease["paid"] == lease["escrow"], last=True)
        self._reach(max(int(lease["until"]) for lease in self._leases()) + AFTER)
        self._until(self._over, "all contracts have ended, for everybody", nudge=True)
        passed = f"{self.clocks.moved / HOUR:.0f} h by the chains' clocks"
        self._say("settled", f"after {passed} hosts cashed their vouchers and have their collateral back;")
        self._say("", f"{_names(self.harmed[:-1])} started again and found out what they have lost")

    def _handed_in(self, host: Host) -> bool:
        """Whether the market has paid something on each of its contracts."""
        ids = {
            rail.network: [row["id"] for row in host.contracts() if row["rail"] == rail.network] for rail in self.rails
        }
        return all(all(rail.read(lambda opened: paid_epochs(opened, ids[opened.name]))) for rail in self.rails)

    def _over(self) -> bool:
        hosts = (*self.hosts, *self.spares)
        return all(lease["state"] not in RUNNING for lease in self._leases()) and not any(
            line["contracts"] for host in hosts for line in host.node.call("GET", "/v1/host")
        )

    # --- the reckoning -----------------------------------------------------------------------------------------------

    def _reckon(self, tenancy: Tenancy) -> StorageBooks:
        everybody, renter = (*self.hosts, *self.spares), Address.parse(self.renter.address)
        accounts = [renter, *(host.address for host in everybody)]
        chain = tenancy.rail.read(lambda rail: read_chain(rail, accounts))
        return storage_books(
            digests=(self.digest, tenancy.restored),
            wallet=(tenancy.wallet_before, tenancy.rail.wallet(renter)),
            renter=renter,
            stored=self._stored(tenancy),
            chain=chain,
            hosts=tuple(host_books(host, tenancy.rail.network, chain) for host in everybody),
        )

    def _report(self, books: Sequence[StorageBooks]) -> dict[str, Any]:
        rails = [self._row(tenancy, book) for tenancy, book in zip(self.tenancies, books, strict=True)]
        return {
            "k": K,
            "n": N,
            "epochs": EPOCHS,
            "epoch_seconds": EPOCH,
            "killed": [host.name for host in self.harmed[:-1]],
            "corrupted": self.harmed[-1].name,
            "corrupted_says": self.rotten,
            "spares": [host.name for host in self.spares],
            "manifest_bytes": self.manifest_size,
            "clock_moved_seconds": self.clocks.moved,
            "rails": rails,
            "seconds": self.seconds,
            "reconciled": not any(row["faults"] for row in rails),
        }

    def _row(self, tenancy: Tenancy, books: StorageBooks) -> dict[str, Any]:
        leases = self._stored(tenancy)["contracts"]
        hosts = []
        for host, said in zip((*self.hosts, *self.spares), books.hosts, strict=True):
            theirs = [each for each in leases if each["host"] == host.node.address and each["state"] not in VOID]
            about = {key: theirs[-1][key] if theirs else None for key in ("id", "shard", "state")}
            hosts.append({**_texts(asdict(said)), "fate": self._fate(host), **about})
        figures = {key: value for key, value in asdict(books).items() if key not in ("hosts", "leases")}
        return {
            "rail": tenancy.rail.network,
            "object": tenancy.id,
            **_texts(figures),
            "paid": str(books.paid),
            "lost": str(books.lost),
            "hosts": hosts,
            "contracts": [_texts(asdict(lease)) for lease in books.leases],
            "faults": books.faults(),
        }

    def _fate(self, host: Host) -> str:
        if host in self.spares:
            return "a spare"
        if host in self.harmed:
            return "corrupted" if host is self.harmed[-1] else "killed"
        return "unharmed"

    # --- who and what ------------------------------------------------------------------------------------------------

    @property
    def harmed(self) -> list[Host]:
        """Two that are killed, and the one whose disk rots."""
        return self.hosts[:3]

    def _announce(self, hosts: Sequence[Host]) -> None:
        together(lambda place: place[0].announce(place[1]), self._places(hosts))

    def _places(self, hosts: Sequence[Host]) -> list[tuple[Host, DemoRail]]:
        return [(host, rail) for host in hosts for rail in self.rails]

    def _sound(self, lease: Lease) -> bool:
        return lease["host"] not in {host.node.address for host in self.harmed}

    def _stored(self, tenancy: Tenancy) -> dict[str, Any]:
        found: dict[str, Any] = self.renter.call("GET", f"/v1/storage/{tenancy.id}")
        return found

    def _leases(self) -> list[Lease]:
        """On all rails; without offers that came to nothing."""
        return [
            lease
            for tenancy in self.tenancies
            for lease in self._stored(tenancy)["contracts"]
            if lease["state"] not in VOID
        ]

    # --- time --------------------------------------------------------------------------------------------------------

    def _audits(self, heard: Callable[[Lease], bool], *, last: bool = False) -> None:
        """Move on to where the audits of the epoch that runs (`last`: of the last one) are due, and wait until these
        contracts are as wanted."""
        terms = {lease["id"]: int(lease["until"]) for lease in self._leases() if lease["state"] in RUNNING}
        reached: set[str] = set()

        def all_heard() -> bool:
            return all(heard(lease) for lease in self._leases() if lease["id"] in reached)

        for moment, due in next_audits(terms, EPOCHS * EPOCH if last else EPOCH, self.clocks.now()):
            self._reach(moment)
            reached.update(due)
            self._until(all_heard, "the audits of an epoch")

    def _reach(self, moment: int) -> None:
        before = self.clocks.moved
        self.clocks.reach(moment)
        if (moved := self.clocks.moved - before) >= HOUR:
            self._say("", f"… {moved // HOUR} h {moved % HOUR // 60} min later …", "dim")

    def _all(self, condition: Callable[[dict[str, Any]], bool], what: str) -> None:
        self._until(lambda: all(condition(self._stored(tenancy)) for tenancy in self.tenancies), what)

    def _each(self, condition: Callable[[Lease], bool], what: str) -> None:
        self._until(lambda: all(map(condition, self._leases())), what)

    def _until(self, condition: Callable[[], bool], what: str, *, nudge: bool = False) -> None:
        """Wait. `nudge`: move the clocks on by a minute now and then, for what somebody looks at every minute; ever
        more seldom, since a machine that is slow does not get faster by that."""
        started = time.monotonic()
        next_nudge, pause = started + STALLED, STALLED
        patience = PATIENCE + self.file.stat().st_size / SLOWEST
        while not condition():
            for process in self.watched:
                process.check()
            now = time.monotonic()
            if now - started > patience:
                notes = "; ".join(
                    f"{tenancy.rail.network}: {self._stored(tenancy)['note']}" for tenancy in self.tenancies
                )
                raise DemoError(f"not within {patience:.0f} s: {what} ({notes})")
            if nudge and now > next_nudge:
                self.clocks.move(LOOK)
                pause *= 1.5
                next_nudge = now + pause
            time.sleep(POLL)

    def _say(self, what: str, text: str, style: str | None = None) -> None:
        self.console.print(f"{what:11}{text}", style=style)


def _texts(figures: dict[str, Any]) -> dict[str, Any]:
    """Amounts as text, since JSON's numbers end at 2^53."""
    return {name: str(value) if type(value) is int else value for name, value in figures.items()}


def _names(hosts: Sequence[Host]) -> str:
    *others, last = (host.name for host in hosts)
    return f"{', '.join(others)} and {last}" if others else last
