"""The demo's story: a seeder who sells, two leechers who pay, one on each rail, and one who does not pay."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from node.demo.books import Books
from node.demo.processes import DemoError, Node, Process
from node.demo.rails import DemoRail
from wallet.address import Address
from wallet.amount import format_amount, format_price, format_size, parse_amount, parse_price

PRICE = parse_price("2000 BTT/GiB")
BUDGET = parse_amount("20000 BTT")
DEPOSIT = parse_amount("50000 BTT")
RAILS = ("bttc", "tron")
CONTENTION_SECONDS = 12
"""The seeder's capacity is set so that all downloads together take about this long: without contention, priority would
have nothing to decide."""
MIN_CAPACITY = 20_000_000
POLL = 0.1
TIMEOUT = 1800.0
SETTLE_TIMEOUT = 60.0


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


@dataclass(slots=True)
class Demo:
    """One run in one folder."""

    file: Path
    folder: Path
    console: Console
    processes: list[Process] = field(default_factory=list)
    rails: dict[str, DemoRail] = field(default_factory=dict)
    tracker: str = ""

    def run(self) -> dict[str, Any]:
        """Returns the report; its `reconciled` says whether all is well. Raises `DemoError`."""
        size = self.file.stat().st_size
        if size == 0:
            raise DemoError(f"{self.file} is empty: there is nothing to sell")
        self._check_space(size)
        self.console.print(f"file       {self.file} ({format_size(size)})")
        digest = _sha256(self.file)
        self.console.print(f"sha-256    {digest}")
        self._start_services()
        capacity = max(MIN_CAPACITY, (1 + len(RAILS)) * size // CONTENTION_SECONDS)
        seeder = self._node("seeder", 2, RAILS, sell=True, buy=False, upload=capacity)
        leechers = [self._node(f"payer-{short}", 3 + i, (short,), buy=True) for i, short in enumerate(RAILS)]
        free = self._node("free", 3 + len(RAILS), RAILS, buy=False)
        for node in (seeder, *leechers, free):
            node.up(self.folder)
            self.processes.append(node.running)
        payers = [self._deposit(node, seeder, short) for node, short in zip(leechers, RAILS, strict=True)]
        torrent = self._seed(seeder)
        seconds = self._race(seeder, [*leechers, free], torrent)
        return self._reckon(digest, torrent, seeder, payers, free, seconds)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()

    # --- setting the stage -------------------------------------------------------------------------------------------

    def _check_space(self, size: int) -> None:
        needed = (2 + len(RAILS)) * size + (256 << 20)
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise DemoError(
                f"{self.folder} has {format_size(free)} free, the demo needs {format_size(needed)}: "
                "set TMPDIR to a larger disk"
            )

    def _start_services(self) -> None:
        for short in RAILS:
            rail = DemoRail.start(short, self.folder)
            self.processes.append(rail.process)
            self.rails[short] = rail
            found = rail.process.ready
            self.console.print(f"{short:11}{found['url']}, vault {found['vault']}")
        tracker = Process.start("tracker", ["node.tracker", "--port", "0"], self.folder)
        self.processes.append(tracker)
        self.tracker = tracker.ready["url"]
        self.console.print(f"tracker    {self.tracker}")

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

    def _seed(self, seeder: Node) -> str:
        torrent = self.folder / "demo.torrent"
        made = seeder.cli("create", str(self.file.absolute()), "-o", str(torrent), "--tracker", self.tracker)
        seeder.cli("add", str(torrent), "--seed", "-o", str(self.file.absolute().parent))
        return str(made["id"])

    # --- the race ----------------------------------------------------------------------------------------------------

    def _race(self, seeder: Node, leechers: list[Node], torrent: str) -> dict[str, float]:
        """Seconds until each leecher has the whole file."""
        file, peer = str(self.folder / "demo.torrent"), f"127.0.0.2:{seeder.peer_port}"
        started = time.monotonic()
        for node in leechers:
            terms = (
                () if node.name == "free" else ("--max-price", format_price(2 * PRICE), "--budget", f"{BUDGET} units")
            )
            node.cli("add", file, *terms, "--peer", peer)
        seconds: dict[str, float] = {}
        columns = (TextColumn("{task.description:10}"), BarColumn(), DownloadColumn(binary_units=True))
        with Progress(*columns, TransferSpeedColumn(), TextColumn("{task.fields[note]}"), console=self.console) as bars:
            size = self.file.stat().st_size
            tasks = {node.name: bars.add_task(node.name, total=size, note="") for node in leechers}
            while len(seconds) < len(tasks):
                for node in (node for node in leechers if node.name not in seconds):
                    self._check_processes()
                    found = _api(node, f"/v1/torrents/{torrent}")
                    note = f"paid {format_amount(int(found['spent']))}" if node.name != "free" else "pays nothing"
                    bars.update(tasks[node.name], completed=found["done_bytes"], note=note)
                    if found["state"] == "error":
                        raise DemoError(f"{node.name}: {found['error']}")
                    if found["state"] == "seeding":
                        seconds[node.name] = round(time.monotonic() - started, 3)
                if time.monotonic() - started > TIMEOUT:
                    raise DemoError(f"not complete after {TIMEOUT:g} s")
                time.sleep(POLL)
        return seconds

    def _check_processes(self) -> None:
        for process in self.processes:
            process.check()

    # --- the reckoning -----------------------------------------------------------------------------------------------

    def _reckon(
        self, digest: str, torrent: str, seeder: Node, payers: list[Payer], free: Node, seconds: Mapping[str, float]
    ) -> dict[str, Any]:
        for payer in payers:
            self._await_settled(payer.node, torrent)
        settled = {row["rail"]: row for row in seeder.cli("settle")["rails"]}
        rows = [self._row(digest, seeder, payer, settled[payer.rail.network]) for payer in payers]
        faults = [f"{row['payer']}: {fault}" for row in rows for fault in row["faults"]]
        copy = self._copy(free)
        if copy != digest:
            faults.append("the copy of free differs from the file")
        return {
            "file": str(self.file),
            "file_sha256": digest,
            "price_per_mib": str(PRICE),
            "rails": rows,
            "free_copy": copy,
            "seconds": dict(seconds),
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
            copies={payer.node.name: self._copy(payer.node)},
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

    def _copy(self, node: Node) -> str:
        return _sha256(node.home / "downloads" / self.file.name)

    def _await_settled(self, payer: Node, torrent: str) -> None:
        deadline = time.monotonic() + SETTLE_TIMEOUT
        while not _api(payer, f"/v1/torrents/{torrent}")["settled"]:
            if time.monotonic() > deadline:
                raise DemoError("the seller has not acknowledged the last cheque")
            time.sleep(POLL)


@contextlib.contextmanager
def stopping(demo: Demo) -> Iterator[None]:
    try:
        yield
    finally:
        demo.stop()


def _api(node: Node, path: str) -> Any:
    """The node's API without the cost of a new process: the live display polls it."""
    url = json.loads((node.home / "api.json").read_text())["url"]
    token = (node.home / "api-token").read_text().strip()
    request = urllib.request.Request(  # noqa: S310 - the demo's own node on loopback
        url + path, headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - see above
        return json.loads(answer.read())


def _account(node: Node, other: Node, chain: str, role: str) -> dict[str, Any]:
    nothing = {"metered": "0", "cheques": "0", "cashed": "0", "bytes": 0}
    wanted = (other.address, role, chain)
    rows = node.cli("accounts")
    return next((row for row in rows if (row["address"], row["role"], row["rail"]) == wanted), nothing)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
