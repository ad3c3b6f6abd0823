"""The demo's two rails: a local chain each, read through the wallet's own adapters, apart from any node."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from config.networks import load_network
from config.settings import RailSettings
from node.demo.processes import DemoError, Process
from node.rails import OpenRail, open_rail
from wallet.address import Address

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DemoRail:
    """One devnet. `short` is what the demo's tables call it."""

    short: str
    network: str
    process: Process

    @classmethod
    def start(cls, short: str, folder: Path) -> DemoRail:
        """Raises `DemoError`."""
        arguments = ["node.devnet", "--rail", short, "--data-dir", str(folder / f"devnet-{short}"), "--port", "0"]
        rail = cls(short, f"devnet-{short}", Process.start(f"devnet-{short}", arguments, folder))
        rail.deployment(folder).write_text(json.dumps(rail.process.ready))
        return rail

    def deployment(self, folder: Path) -> Path:
        return folder / f"deployment-{self.short}.json"

    def fund(self, address: Address) -> None:
        """Play money for fees and deposits."""
        url, body = self.process.ready["url"], {"address": address.tron}
        if self.short == "tron":
            self._post(f"{url}/devnet/faucet", body)
        else:
            self._post(url, {"jsonrpc": "2.0", "id": 1, "method": "bttnode_faucet", "params": [address.evm]})

    @property
    def contracts(self) -> dict[str, str]:
        """Setting of [rail.NAME] → address."""
        return {name: self.process.ready[name] for name in ("token", "vault", "storage_market", "host_registry")}

    def open(self) -> OpenRail:
        chosen = RailSettings.model_validate({"endpoints": (self.process.ready["url"],), **self.contracts})
        return open_rail(load_network(self.network), chosen, ())

    def warp(self, seconds: int) -> None:
        """Move the chain's clock on; a block with the new time is there when this returns."""
        url = self.process.ready["url"]
        if self.short == "tron":
            self._post(f"{url}/devnet/time", {"seconds": seconds})
            self._post(f"{url}/devnet/mine", {})
        else:
            self._post(url, {"jsonrpc": "2.0", "id": 1, "method": "evm_increaseTime", "params": [seconds]})
            self._post(url, {"jsonrpc": "2.0", "id": 2, "method": "evm_mine", "params": []})

    def time(self) -> int:
        """Unix seconds of the latest block."""

        async def head(rail: OpenRail) -> int:
            return (await rail.chain.head()).timestamp

        return self.read(head)

    def wallet(self, owner: Address) -> int:
        """Settlement tokens in the wallet."""
        return self.read(lambda rail: rail.chain.token_balance(owner))

    def deposit(self, payer: Address) -> int:
        return self.read(lambda rail: rail.chain.payer_state(payer)).balance

    def paid_out(self, payer: Address, payee: Address) -> int:
        return self.read(lambda rail: rail.chain.paid_out(payer, payee))

    def read(self, ask: Callable[[OpenRail], Awaitable[T]]) -> T:
        """Ask the chain, by a connection of its own. Raises `ChainError`."""

        async def read() -> T:
            rail = self.open()
            try:
                return await ask(rail)
            finally:
                await rail.chain.close()

        return asyncio.run(read())

    def _post(self, url: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(  # noqa: S310 - the demo's own devnet on loopback
            url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - see above
            found = json.loads(answer.read())
        if fault := found.get("error") or found.get("Error"):
            raise DemoError(f"{self.network}: {fault}")
