"""The storage story's nodes: hosts that rent out disk, and renters, at loopback addresses of their own.

Their key files are made with a cheap scrypt: they guard play money, and a dozen nodes would stretch passwords for
seconds.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes
from typing import Any, TypeVar

from config.settings import sample
from node.demo.processes import PASSWORD, Node
from node.demo.rails import DemoRail
from wallet import keystore
from wallet.address import Address
from wallet.amount import BTT, format_amount
from wallet.storage_terms import BLOCK

SCRYPT_N = 2**12
CPUS = os.cpu_count() or 1
WAITING = 32
"""Threads for work that waits for receipts."""

A = TypeVar("A")
B = TypeVar("B")


def together(work: Callable[[A], B], each: Iterable[A], most: int = WAITING) -> list[B]:
    """Do this for each, up to `most` at a time."""
    with ThreadPoolExecutor(most) as pool:
        return list(pool.map(work, each))


@dataclass(slots=True)
class Host:
    """A node that rents out disk on several rails. `url`: where renters find it."""

    node: Node
    url: str
    rails: Sequence[DemoRail]

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def address(self) -> Address:
        return Address.parse(self.node.address)

    @property
    def disk(self) -> Path:
        """Its volume."""
        return self.node.home / "disk"

    def add_disk(self, quota: int) -> None:
        self.disk.mkdir()
        self.node.call("POST", "/v1/host/volumes", {"path": str(self.disk), "quota": quota})

    def put_in(self, rail: DemoRail, amount: int) -> None:
        """Into the market, for collateral."""
        self.node.call("POST", "/v1/host/deposit", {"rail": rail.network, "amount": str(amount)})

    def announce(self, rail: DemoRail) -> None:
        """From now on renters find it."""
        self.node.call("POST", "/v1/host/announce", {"rail": rail.network, "url": self.url})

    def contracts(self) -> list[dict[str, Any]]:
        """On all rails, as its node lists them."""
        found: list[dict[str, Any]] = self.node.call("GET", "/v1/host/contracts")
        return found

    def why(self) -> list[str]:
        """What it says is wrong, on all rails."""
        return [reason for line in self.node.call("GET", "/v1/host") for reason in line["why"]]

    def rot(self) -> None:
        """Change one byte in every block of all shards on its disk, behind its back."""
        for row in self.contracts():
            with (self.disk / "shards" / row["root"][:2] / row["root"]).open("r+b") as file:
                for offset in range(0, row["length"], BLOCK):
                    file.seek(offset)
                    (byte,) = file.read(1)
                    file.seek(offset)
                    file.write(bytes([byte ^ 0xFF]))


def settle_in(
    name: str, folder: Path, at: str, rails: Sequence[DemoRail], secret: keystore.Secret, storage: dict[str, str]
) -> Node:
    """A node's folder with its key and settings, as `bttnode init` makes it. `storage`: of that section, as TOML."""
    node = Node(name, folder / name)
    node.home.mkdir(mode=0o700)
    node.address = keystore.create(node.home / "keystore.json", secret, PASSWORD, scrypt_n=SCRYPT_N).evm
    alone = dict.fromkeys(("dht", "local_discovery", "port_mapping", "utp", "pex"), "false")
    sections = {
        "node": {"listen": json.dumps([f"{at}:0"]), "outgoing": json.dumps(at), **alone},
        "storage": storage,
        "api": {"port": "0"},
    }
    for rail in rails:
        contracts = {key: json.dumps(address) for key, address in rail.contracts.items()}
        sections[f"rail.{rail.network}"] = {"endpoints": json.dumps([rail.process.ready["url"]]), **contracts}
    (node.home / "config.toml").write_text(sample(sections))
    return node


def settle_host(name: str, folder: Path, at: str, rails: Sequence[DemoRail], *, price: int, epoch: int) -> Host:
    """A host that is not up yet. `price`: units per GiB and day; `epoch` in seconds."""
    with socket.socket() as probe:
        probe.bind((at, 0))
        listen = f"{at}:{probe.getsockname()[1]}"
    storage = {
        "host": "true",
        "listen": json.dumps([listen]),
        "price": json.dumps(f"{format_amount(price, BTT)}/GiB/day"),
        "epoch": str(epoch),
    }
    secret = keystore.Secret(private_key=token_bytes(32))
    return Host(settle_in(name, folder, at, rails, secret, storage), f"http://{listen}", rails)
