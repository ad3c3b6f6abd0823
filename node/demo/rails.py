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
from wallet.chains.base import ChainAdapter

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

    def open(self) -> OpenRail:
        found = self.process.ready
        contracts = {name: found[name] for name in ("token", "vault", "storage_market", "host_registry")}
        chosen = RailSettings(endpoints=(found["url"],), **contracts)
        return open_rail(load_network(self.network), chosen, ())

    def wallet(self, owner: Address) -> int:
        """Settlement tokens in the wallet."""
        return self._read(lambda chain: chain.token_balance(owner))

    def deposit(self, payer: Address) -> int:
        return self._read(lambda chain: chain.payer_state(payer)).balance

    def paid_out(self, payer: Address, payee: Address) -> int:
        return self._read(lambda chain: chain.paid_out(payer, payee))

    def _read(self, ask: Callable[[ChainAdapter], Awaitable[T]]) -> T:
        async def read() -> T:
            chain = self.open().chain
            try:
                return await ask(chain)
            finally:
                await chain.close()

        return asyncio.run(read())

    def _post(self, url: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(  # noqa: S310 - the demo's own devnet on loopback
            url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - see above
            found = json.loads(answer.read())
        if fault := found.get("error") or found.get("Error"):
            raise DemoError(f"{self.network}: {fault}")
