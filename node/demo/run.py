"""The demo's story: a seeder who sells, a leecher who pays, a leecher who does not, one chain, one tracker."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.table import Table

from node.demo.books import Books
from node.demo.processes import DemoError, Node, Process
from wallet.amount import BTT, format_amount, format_price, format_size, parse_amount, parse_price
from wallet.chains.abi import call_data

PRICE = parse_price("2000 BTT/GiB")
BUDGET = parse_amount("20000 BTT")
DEPOSIT = parse_amount("50000 BTT")
CONTENTION_SECONDS = 12
"""The seeder's capacity is set so that both downloads together take about this long: without contention, priority
would have nothing to decide."""
MIN_CAPACITY = 20_000_000
POLL = 0.1
TIMEOUT = 1800.0
SETTLE_TIMEOUT = 60.0


@dataclass(slots=True)
class Demo:
    """One run in one folder."""

    file: Path
    folder: Path
    console: Console
    processes: list[Process] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    chain: dict[str, Any] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Returns the report; its `reconciled` says whether all is well. Raises `DemoError`."""
        size = self.file.stat().st_size
        if size == 0:
            raise DemoError(f"{self.file} is empty: there is nothing to sell")
        self._check_space(size)
        say = self.console.print
        say(f"file       {self.file} ({format_size(size)})")
        digest = _sha256(self.file)
        say(f"sha-256    {digest}")
        self._start_services()
        seeder = self._node("seeder", 2, sell=True, buy=False, upload=max(MIN_CAPACITY, 2 * size // CONTENTION_SECONDS))
        payer = self._node("payer", 3, sell=False, buy=True)
        free = self._node("free", 4, sell=False, buy=False)
        for node in (seeder, payer):
            self._fund(node)
        for node in (seeder, payer, free):
            node.up(self.folder)
            if node.process:
                self.processes.append(node.process)
        say(f"contracts  token {self.chain['token']}, vault {self.chain['vault']}")
        payer.cli("vault", "deposit", f"{DEPOSIT} units")
        before = self._balances(seeder, payer)
        torrent = self._seed(seeder)
        seconds = self._race(payer, free, torrent)
        return self._reckon(digest, torrent, seeder, payer, free, before, seconds)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()

    # --- setting the stage -------------------------------------------------------------------------------------------

    def _check_space(self, size: int) -> None:
        needed = 3 * size + (256 << 20)
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise DemoError(
                f"{self.folder} has {format_size(free)} free, the demo needs {format_size(needed)}: "
                "set TMPDIR to a larger disk"
            )

    def _start_services(self) -> None:
        devnet = Process.start(
            "devnet", ["node.devnet", "--data-dir", str(self.folder / "devnet"), "--port", "0"], self.folder
        )
        self.processes.append(devnet)
        self.chain = devnet.ready
        tracker = Process.start("tracker", ["node.tracker", "--port", "0"], self.folder)
        self.processes.append(tracker)
        (self.folder / "deployment.json").write_text(json.dumps(self.chain))
        self.console.print(f"chain      {self.chain['url']} (chain id {self.chain['chain_id']})")
        self.console.print(f"tracker    {tracker.ready['url']}")

    def _node(self, name: str, number: int, *, sell: bool, buy: bool, upload: int = 0) -> Node:
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
            *("--deployment", str(self.folder / "deployment.json"), "--listen", f"{host}:0", "--api-port", "0"),
            *("--upload-limit", str(upload), "--reserve-price", format_price(PRICE)),
            *(argument for key, value in settings.items() for argument in ("--set", f"{key}={value}")),
        )
        node.address = made["address"]
        self.nodes.append(node)
        return node

    def _fund(self, node: Node) -> None:
        self._rpc("bttnode_faucet", [node.address])

    def _seed(self, seeder: Node) -> str:
        tracker = self.processes[1].ready["url"]
        torrent = self.folder / "demo.torrent"
        made = seeder.cli("create", str(self.file.absolute()), "-o", str(torrent), "--tracker", tracker)
        seeder.cli("add", str(torrent), "--seed", "-o", str(self.file.absolute().parent))
        return str(made["id"])

    # --- the race ----------------------------------------------------------------------------------------------------

    def _race(self, payer: Node, free: Node, torrent: str) -> dict[str, float]:
        file = str(self.folder / "demo.torrent")
        seeder = f"127.0.0.2:{self.nodes[0].peer_port}"
        started = time.monotonic()
        payer.cli(
            *("add", file, "--max-price", format_price(2 * PRICE), "--budget", f"{BUDGET} units", "--peer", seeder)
        )
        free.cli("add", file, "--peer", seeder)
        seconds: dict[str, float] = {}
        columns = (TextColumn("{task.description:8}"), BarColumn(), DownloadColumn(binary_units=True))
        with Progress(*columns, TransferSpeedColumn(), TextColumn("{task.fields[note]}"), console=self.console) as bars:
            tasks: dict[str, TaskID] = {
                node.name: bars.add_task(node.name, total=self.file.stat().st_size, note="") for node in (payer, free)
            }
            while len(seconds) < len(tasks):
                for node in (payer, free):
                    self._check_processes()
                    if node.name in seconds:
                        continue
                    found = _api(node, f"/v1/torrents/{torrent}")
                    note = f"paid {format_amount(int(found['spent']))}" if node is payer else "pays nothing"
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
        self,
        digest: str,
        torrent: str,
        seeder: Node,
        payer: Node,
        free: Node,
        before: tuple[int, int],
        seconds: dict[str, float],
    ) -> dict[str, Any]:
        self._await_settled(payer, torrent)
        settled = seeder.cli("settle")
        transaction = settled["rails"][0].get("transaction")
        after = self._balances(seeder, payer)
        owes = _account(payer, seeder.address, "payee")
        earns = _account(seeder, payer.address, "payer")
        books = Books(
            file_sha256=digest,
            copies={node.name: _sha256(node.home / "downloads" / self.file.name) for node in (payer, free)},
            owed=int(owes["metered"]),
            paid=int(owes["cheques"]),
            earned=int(earns["metered"]),
            received=int(earns["cheques"]),
            cashed=int(earns["cashed"]),
            paid_out=self._view("paidOut(address,address)", payer.address, seeder.address),
            seller_balance_before=before[0],
            seller_balance_after=after[0],
            payer_deposit_before=before[1],
            payer_deposit_after=after[1],
        )
        faults = books.faults()
        gas = int(transaction["fee"]) if transaction else 0
        return {
            "file": str(self.file),
            "file_sha256": digest,
            "copies": dict(books.copies),
            "bytes_paid": earns["bytes"],
            "price_per_mib": str(PRICE),
            "owed": str(books.owed),
            "earned": str(books.earned),
            "paid": str(books.paid),
            "cashed": str(books.paid_out),
            "gas_fee": str(gas),
            "seller_balance_before": str(before[0]),
            "seller_balance_after": str(after[0]),
            "payer_deposit_before": str(before[1]),
            "payer_deposit_after": str(after[1]),
            "reconciled": not faults,
            "faults": faults,
            "seconds": seconds,
        }

    def _await_settled(self, payer: Node, torrent: str) -> None:
        deadline = time.monotonic() + SETTLE_TIMEOUT
        while not _api(payer, f"/v1/torrents/{torrent}")["settled"]:
            if time.monotonic() > deadline:
                raise DemoError("the seller has not acknowledged the last cheque")
            time.sleep(POLL)

    def _balances(self, seeder: Node, payer: Node) -> tuple[int, int]:
        """(the seller's wallet, the payer's deposit), read from the contracts."""
        wallet = self._call(self.chain["token"], "balanceOf(address)", seeder.address)
        return wallet, self._view("balance(address)", payer.address)

    def _view(self, signature: str, *arguments: str) -> int:
        return self._call(self.chain["vault"], signature, *arguments)

    def _call(self, contract: str, signature: str, *arguments: str) -> int:
        data = "0x" + call_data(signature, *arguments).hex()
        return int(self._rpc("eth_call", [{"to": contract, "data": data}, "latest"]), 16)

    def _rpc(self, method: str, params: list[Any]) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(  # noqa: S310 - the demo's own devnet on loopback
            self.chain["url"], data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - see above
            found = json.loads(answer.read())
        if "error" in found:
            raise DemoError(f"devnet: {found['error'].get('message', found['error'])}")
        return found["result"]


def report(console: Console, found: dict[str, Any]) -> None:
    """The table at the end."""
    table = Table("", "payer", "free", "seller", title="the bill", title_justify="left")
    amount = {key: format_amount(int(found[key]), BTT) for key in ("owed", "paid", "earned", "cashed", "gas_fee")}
    seconds = found["seconds"]
    table.add_row("seconds", f"{seconds['payer']:g}", f"{seconds['free']:g}", "")
    table.add_row("bytes paid for", f"{found['bytes_paid']:,}", "0", f"{found['bytes_paid']:,}")
    table.add_row("owed / earned", amount["owed"], "0", amount["earned"])
    table.add_row("paid by cheque", amount["paid"], "0", "")
    table.add_row("cashed on chain", "", "", amount["cashed"])
    table.add_row("gas fee", "", "", amount["gas_fee"])
    before, after = int(found["payer_deposit_before"]), int(found["payer_deposit_after"])
    table.add_row("deposit before", format_amount(before), "", "")
    table.add_row("deposit after", format_amount(after), "", "")
    table.add_row("wallet before", "", "", format_amount(int(found["seller_balance_before"])))
    table.add_row("wallet after", "", "", format_amount(int(found["seller_balance_after"])))
    copies = found["copies"]
    same = {name: "equal" if digest == found["file_sha256"] else "DIFFERENT" for name, digest in copies.items()}
    table.add_row("copy", same["payer"], same["free"], "")
    console.print(table)
    for fault in found["faults"]:
        console.print(f"[red]{fault}[/red]")
    verdict = "[green]reconciled to the unit[/green]" if found["reconciled"] else "[red]NOT reconciled[/red]"
    console.print(f"{verdict}: owed by payer = earned by seller = cashed on chain")


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


def _account(node: Node, address: str, role: str) -> dict[str, Any]:
    nothing = {"metered": "0", "cheques": "0", "cashed": "0", "bytes": 0}
    rows = node.cli("accounts")
    return next((row for row in rows if row["address"] == address and row["role"] == role), nothing)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
