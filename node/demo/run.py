"""The demo's first story: a seeder who sells, two leechers who pay, one on each rail, and one who does not pay.

First everybody gets the file. Then the seeder's line becomes too small for two, and each payer races the one who does
not pay for a second file (`node.demo.race`). At last the seeder cashes, and all books must agree. The second story, on
the same chains, is rented storage (`node.demo.storage`).
"""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from node.demo.books import Books
from node.demo.chart import Watch, title
from node.demo.files import generate, sha256
from node.demo.processes import DemoError, Node, Process
from node.demo.race import CAPACITY, SEED, SIZE, Lane, Race, follow
from node.demo.rails import DemoRail
from node.demo.storage import StorageStory
from node.demo.storage_nodes import together
from node.volumes.pool import GUARD
from wallet.address import Address
from wallet.amount import format_amount, format_price, format_size, parse_amount, parse_price

PRICE = parse_price("2000 BTT/GiB")
BUDGET = parse_amount("20000 BTT")
DEPOSIT = parse_amount("50000 BTT")
RAILS = ("bttc", "tron")
POLL = 0.1
TIMEOUT = 1800.0
SETTLE_TIMEOUT = 60.0
STORED = 6
"""How often a rented file lies on the disk, at most: twice with the hosts, half on the spares, and while it is sent,
repaired or restored as often again."""


@dataclass(frozen=True, slots=True)
class Payer:
    """A leecher who pays, the rail it pays on, and the balances before the download."""

    node: Node
    rail: DemoRail
    seller_before: int
    deposit_before: int

    @property
    def address(self) -> Address:
        return Address.parse(self.node.address)


@dataclass(frozen=True, slots=True)
class Share:
    """A file of the seeder's: where it is, what its copies must hash to, and its torrent.

    `name`: what the demo calls it, also the folder of its copies: a user's file may have any name.
    """

    name: str
    file: Path
    sha256: str
    size: int
    torrent: Path
    id: str


@dataclass(slots=True)
class Demo:
    """One run in one folder. `shorts`: the rails, each with a payer of its own; `race_size` in bytes, `line`, the
    seeder's in the races, in bytes per second."""

    file: Path
    folder: Path
    console: Console
    shorts: tuple[str, ...] = RAILS
    race_size: int = SIZE
    line: int = CAPACITY
    store: bool = True
    """Whether the second story is told."""
    processes: list[Process] = field(default_factory=list)
    rails: dict[str, DemoRail] = field(default_factory=dict)
    tracker: str = ""
    races: list[Race] = field(default_factory=list)
    copies: dict[str, str] = field(default_factory=dict)
    """Node → SHA-256 of its copy of the file."""
    faults: list[str] = field(default_factory=list)
    """What is wrong beside the books."""

    def run(self) -> dict[str, Any]:
        """Returns the report; its `reconciled` says whether all is well. Raises `DemoError`."""
        size = self.file.stat().st_size
        if size == 0:
            raise DemoError(f"{self.file} is empty: there is nothing to sell")
        self._check_space(size)
        digest = sha256(self.file)
        self.console.print(f"file       {self.file} ({format_size(size)})")
        self.console.print(f"sha-256    {digest}")
        self._start_services()
        seeder = self._node("seeder", 2, self.shorts, sell=True, buy=False)
        leechers = [self._node(f"payer-{short}", 3 + i, (short,), buy=True) for i, short in enumerate(self.shorts)]
        free = self._node("free", 3 + len(self.shorts), self.shorts, buy=False)
        for node in (seeder, *leechers, free):
            self._up(node)
        payers = [self._deposit(node, seeder, short) for node, short in zip(leechers, self.shorts, strict=True)]
        share = self._seed(seeder, "sale", self.file, digest, "--tracker", self.tracker)
        seconds = self._sell(seeder, payers, free, share)
        self._races(seeder, payers, free)
        found = self._reckon(share, seeder, payers, seconds)
        if self.store:
            together(self._down, (seeder, free, *(payer.node for payer in payers)))
            self._rent(found, digest)
        return found

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()

    # --- setting the stage -------------------------------------------------------------------------------------------

    def _check_space(self, size: int) -> None:
        needed = (2 + len(self.shorts)) * size + (512 << 20)
        if self.store:
            needed += STORED * len(self.shorts) * size + GUARD
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise DemoError(
                f"{self.folder} has {format_size(free)} free, the demo needs {format_size(needed)}: "
                "set TMPDIR to a larger disk"
            )

    def _start_services(self) -> None:
        for short in self.shorts:
            rail = DemoRail.start(short, self.folder)
            self.processes.append(rail.process)
            self.rails[short] = rail
            found = rail.process.ready
            self.console.print(f"{short:11}{found['url']}, vault {found['vault']}")
        tracker = Process.start("tracker", ["node.tracker", "--port", "0"], self.folder)
        self.processes.append(tracker)
        self.tracker = tracker.ready["url"]
        self.console.print(f"tracker    {self.tracker}")

    def _up(self, node: Node) -> None:
        node.up(self.folder)
        self.processes.append(node.running)

    def _node(
        self, name: str, number: int, rails: tuple[str, ...], *, sell: bool = False, buy: bool, upload: int = 0
    ) -> Node:
        node = Node(name, self.folder / name)
        host = f"127.0.0.{number}"
        settings = {
            "node.outgoing": json.dumps(host),
            "node.dht": "false",
            "node.local_discovery": "false",
            "node.port_mapping": "false",
            "node.utp": "false",
            "node.pex": "false",
            "speed.sell": json.dumps(sell),
            "speed.buy": json.dumps(buy),
            "settlement.auto": "false",
        }
        made = node.cli(
            "init",
            *(argument for short in rails for argument in ("--deployment", str(self._deployment(short)))),
            *("--listen", f"{host}:0", "--api-port", "0"),
            *("--upload-limit", str(upload), "--reserve-price", format_price(PRICE)),
            *(argument for key, value in settings.items() for argument in ("--set", f"{key}={value}")),
        )
        node.address = made["address"]
        for short in rails:
            self.rails[short].fund(Address.parse(node.address))
        return node

    def _deployment(self, short: str) -> Path:
        return self.rails[short].deployment(self.folder)

    def _deposit(self, node: Node, seeder: Node, short: str) -> Payer:
        rail = self.rails[short]
        node.cli("vault", "deposit", f"{DEPOSIT} units")
        payer, seller = Address.parse(node.address), Address.parse(seeder.address)
        return Payer(node, rail, rail.wallet(seller), rail.deposit(payer))

    def _seed(self, seeder: Node, name: str, file: Path, digest: str, *options: str) -> Share:
        torrent = self.folder / f"{name}.torrent"
        made = seeder.cli("create", str(file.absolute()), "-o", str(torrent), *options)
        seeder.cli("add", str(torrent), "--seed", "-o", str(file.absolute().parent))
        return Share(name, file, digest, file.stat().st_size, torrent, str(made["id"]))

    def _down(self, node: Node) -> None:
        node.running.stop()
        self.processes.remove(node.running)

    # --- the sale ----------------------------------------------------------------------------------------------------

    def _sell(self, seeder: Node, payers: list[Payer], free: Node, share: Share) -> dict[str, float]:
        """Everybody gets the file, as fast as this machine can. Seconds until each has the whole of it."""
        started = time.monotonic()
        nodes = {node.name: node for node in (*(payer.node for payer in payers), free)}
        for node in nodes.values():
            self._add(node, seeder, share, pays=node is not free)
        seconds: dict[str, float] = {}
        columns = (TextColumn("{task.description:10}"), BarColumn(), DownloadColumn(binary_units=True))
        with Progress(*columns, TransferSpeedColumn(), TextColumn("{task.fields[note]}"), console=self.console) as bars:
            tasks = {name: bars.add_task(name, total=share.size, note="") for name in nodes}
            while len(seconds) < len(nodes):
                for name in nodes.keys() - seconds.keys():
                    self._check_processes()
                    found = nodes[name].call("GET", f"/v1/torrents/{share.id}")
                    note = "pays nothing" if name == free.name else f"paid {format_amount(int(found['spent']))}"
                    bars.update(tasks[name], completed=found["done_bytes"], note=note)
                    if found["state"] == "error":
                        raise DemoError(f"{name}: {found['error']}")
                    if found["state"] == "seeding":
                        seconds[name] = round(time.monotonic() - started, 3)
                if time.monotonic() - started > TIMEOUT:
                    raise DemoError(f"not complete after {TIMEOUT:g} s")
                time.sleep(POLL)
        for payer in payers:
            self._settle(payer, share)
        for node in nodes.values():
            self._compare(node, share)
        return {name: seconds[name] for name in nodes}

    # --- the races ---------------------------------------------------------------------------------------------------

    def _races(self, seeder: Node, payers: list[Payer], free: Node) -> None:
        """The seeder comes back with a line that is too small for two, and each payer races the one who does not."""
        self._down(seeder)
        seeder.configure("upload_limit", str(self.line))
        self._up(seeder)
        file = self.folder / "race.bin"
        generate(file, self.race_size, SEED)
        share = self._seed(seeder, "race", file, sha256(file))
        for payer in payers:
            self.races.append(self._race(seeder, payer, free, share))

    def _race(self, seeder: Node, payer: Payer, free: Node, share: Share) -> Race:
        """The free peer's copy is taken away afterwards, for the next race."""
        payer_lane, free_lane = Lane(payer.node.name, True, share.size), Lane(free.name, False, share.size)
        race = Race(payer.rail.network, payer_lane, free_lane, share.size, self.line)
        chain = str(payer.rail.process.ready["chain"])
        before = _account(payer.node, seeder, chain, "payee")
        self.console.print(f"\nrace on {race.rail}: {title(race)}")
        for node in (payer.node, free):
            self._add(node, seeder, share, pays=node is payer.node)
        with Watch(self.console) as watch:
            follow(race, (payer.node, free), share.id, watch, self._check_processes)
        self.console.print(race.verdict)
        self._settle(payer, share)
        after = _account(payer.node, seeder, chain, "payee")
        race.payer.spent = int(after["metered"]) - int(before["metered"])
        race.payer.bought = after["bytes"] - before["bytes"]
        for node in (payer.node, free):
            self._compare(node, share)
        free.call("DELETE", f"/v1/torrents/{share.id}?files=1")
        return race

    def _add(self, node: Node, seeder: Node, share: Share, *, pays: bool) -> None:
        body: dict[str, Any] = {
            "torrent": base64.b64encode(share.torrent.read_bytes()).decode(),
            "save_path": str((node.home / share.name).absolute()),
            "peers": [["127.0.0.2", seeder.peer_port]],
        }
        if pays:
            body |= {"max_price": str(2 * PRICE), "budget": str(BUDGET)}
        node.call("POST", "/v1/torrents", body)

    def _settle(self, payer: Payer, share: Share) -> None:
        """Wait for the receipt of the last cheque."""
        deadline = time.monotonic() + SETTLE_TIMEOUT
        while not payer.node.call("GET", f"/v1/torrents/{share.id}")["settled"]:
            if time.monotonic() > deadline:
                raise DemoError("the seller has not acknowledged the last cheque")
            time.sleep(POLL)

    def _compare(self, node: Node, share: Share) -> None:
        copy = sha256(node.home / share.name / share.file.name)
        if share.name == "sale":
            self.copies[node.name] = copy
        if copy != share.sha256:
            self.faults.append(f"{node.name}: its copy of {share.file.name} differs")

    def _check_processes(self) -> None:
        for process in self.processes:
            process.check()

    # --- the second story --------------------------------------------------------------------------------------------

    def _rent(self, found: dict[str, Any], digest: str) -> None:
        """Adds to the report."""
        self.console.print("\nrented storage: the same file on strangers' machines, some of which fail")
        folder, rails = self.folder / "storage", list(self.rails.values())
        told = StorageStory(self.file, digest, folder, self.console, rails, self.processes).run()
        found["storage"] = told
        found["faults"] += [f"storage on {row['rail']}: {fault}" for row in told["rails"] for fault in row["faults"]]
        found["reconciled"] = not found["faults"]

    # --- the reckoning -----------------------------------------------------------------------------------------------

    def _reckon(self, share: Share, seeder: Node, payers: list[Payer], seconds: dict[str, float]) -> dict[str, Any]:
        settled = {row["rail"]: row for row in seeder.cli("settle")["rails"]}
        rows = [self._row(share.sha256, seeder, payer, settled[payer.rail.network]) for payer in payers]
        faults = [*self.faults, *(f"{row['payer']}: {fault}" for row in rows for fault in row["faults"])]
        return {
            "file": str(self.file),
            "file_sha256": share.sha256,
            "price_per_mib": str(PRICE),
            "rails": rows,
            "free_copy": self.copies["free"],
            "races": [race.report() for race in self.races],
            "seconds": seconds,
            "reconciled": not faults,
            "faults": faults,
        }

    def _row(self, digest: str, seeder: Node, payer: Payer, settled: dict[str, Any]) -> dict[str, Any]:
        """One payer's books against the seller's and the chain's."""
        rail, seller = payer.rail, Address.parse(seeder.address)
        chain = str(rail.process.ready["chain"])
        owes, earns = _account(payer.node, seeder, chain, "payee"), _account(seeder, payer.node, chain, "payer")
        books = Books(
            file_sha256=digest,
            copies={payer.node.name: self.copies[payer.node.name]},
            owed=int(owes["metered"]),
            paid=int(owes["cheques"]),
            earned=int(earns["metered"]),
            received=int(earns["cheques"]),
            cashed=int(earns["cashed"]),
            paid_out=rail.paid_out(payer.address, seller),
            seller_balance_before=payer.seller_before,
            seller_balance_after=rail.wallet(seller),
            payer_deposit_before=payer.deposit_before,
            payer_deposit_after=rail.deposit(payer.address),
        )
        done = settled["transactions"]
        figures = {name: str(value) if isinstance(value, int) else value for name, value in asdict(books).items()}
        return {
            "rail": rail.network,
            "payer": payer.node.name,
            "bytes_paid": earns["bytes"],
            **figures,
            "fee": str(sum(int(transaction["fee"]) for transaction in done)),
            "fee_symbol": settled["fee_symbol"],
            "fee_decimals": settled["fee_decimals"],
            "transactions": [transaction["hash"] for transaction in done],
            "faults": books.faults(),
        }


@contextlib.contextmanager
def stopping(demo: Demo) -> Iterator[None]:
    try:
        yield
    finally:
        demo.stop()


def _account(node: Node, other: Node, chain: str, role: str) -> dict[str, Any]:
    nothing = {"metered": "0", "cheques": "0", "cashed": "0", "bytes": 0}
    wanted = (other.address, role, chain)
    rows = node.call("GET", "/v1/accounts")
    return next((row for row in rows if (row["address"], row["role"], row["rail"]) == wanted), nothing)
