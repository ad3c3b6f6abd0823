"""Our contracts on a network that has none: a test token where there is no BTT, and the cheque vault over it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eth_abi.abi import encode

from config.errors import ConfigError
from config.networks import Network
from config.settings import RailSettings
from contracts.loader import load
from node.rails import adapter
from wallet.address import Address
from wallet.chains.abi import NOBODY
from wallet.chains.base import Call, ChainAdapter, ChainError, Fee
from wallet.keys import PrivateKey
from wallet.outbox import MemoryOutboxStore, Outbox

NOTICE_PERIOD = 86_400
DEADLINE = 600.0
"""Seconds to finality: BTTC takes some minutes."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """One contract: its name, address, transaction and what it cost in native units."""

    contract: str
    address: Address
    transaction: bytes
    fee: int


class Deployer:
    """One key on one network, apart from any node. `confirm(call, fee)` is asked before each transaction is signed."""

    def __init__(
        self, network: Network, chosen: RailSettings, key: PrivateKey, confirm: Callable[[Call, Fee], None]
    ) -> None:
        self._network = network
        self._key = key
        self._confirm = confirm
        token = chosen.token or network.token
        self.token = Address.parse(token) if token else None
        # Nothing of a vault is asked before there is one.
        self.chain: ChainAdapter = adapter(network, chosen, NOBODY, self.token or NOBODY)

    async def deploy(self, *, test_token: bool, notice_period: int = NOTICE_PERIOD) -> Sequence[Deployed]:
        """The vault, after a test token where one is wanted. Raises `ConfigError`, `ChainError`, `TimeoutError`."""
        if test_token and self._network.kind == "main":
            raise ConfigError("a test token anybody can mint has no place on a main network")
        if self.token is None and not test_token:
            raise ConfigError(
                f"no token is known on {self._network.name}: name one with --token, or make one with --test-token"
            )
        made = []
        try:
            await self.chain.start()
            token = self.token
            if test_token or token is None:
                arguments = encode(["string", "string"], ["BitTorrent (test)", "BTT"])
                made.append(await self._make("TestBTT", arguments))
                token = made[-1].address
            arguments = encode(["address", "uint256"], [token.raw, notice_period])
            made.append(await self._make("ChequeVault", arguments))
        finally:
            await self.chain.close()
        return made

    async def _make(self, name: str, arguments: bytes) -> Deployed:
        call = self.chain.deploy(name, load(name).bytecode + arguments)
        self._confirm(call, await self.chain.estimate(call, self._key.address))
        outbox = Outbox(MemoryOutboxStore(), self.chain, self._key, wall=lambda: int(time.time()))
        _, receipt = await outbox.finish(await outbox.submit(f"deploy:{name}", call), deadline=DEADLINE)
        if receipt.contract is None:
            raise ChainError(f"the network does not say where it put {name}: see transaction {receipt.hash.hex()}")
        return Deployed(name, receipt.contract, receipt.hash, receipt.fee_paid)
