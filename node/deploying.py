"""Our contracts on a network that has none: a test token where there is no BTT, and over it the vault that cheques are
drawn on, and the market and the registry of rented storage."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from eth_abi.abi import encode

from config.errors import ConfigError
from config.networks import Network
from config.settings import RailSettings
from contracts.loader import load
from node.rails import adapter
from wallet.address import Address
from wallet.chains.abi import MARKET, NOBODY, REGISTRY, TOKEN, VAULT
from wallet.chains.base import Call, ChainAdapter, ChainError, Fee
from wallet.keys import PrivateKey
from wallet.outbox import MemoryOutboxStore, Outbox

DEADLINE = 600.0
"""Seconds to finality: BTTC takes some minutes."""

SETTINGS: Mapping[str, str] = {
    TOKEN: "token",
    VAULT: "vault",
    MARKET: "storage_market",
    REGISTRY: "host_registry",
}
"""Contract → the setting of [rail] that names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What new contracts are made with, for ever; amounts in token units.

    `notice_period`: seconds before a deposit may leave the vault, and a host's stake the registry. `challenge_bond`:
    what a challenge costs who loses it, more than the fee of an answer. `answer_period`: seconds for that answer.
    `min_stake`: what a host puts down to be listed.
    """

    notice_period: int
    challenge_bond: int
    answer_period: int
    min_stake: int


@dataclass(frozen=True, slots=True)
class Deployed:
    """One contract: its name, address, transaction, its block, and what it cost in native units."""

    contract: str
    address: Address
    transaction: bytes
    block: int
    fee: int


class Deployer:
    """One key on one network, apart from any node. `confirm(call, fee)` is asked before each transaction is signed."""

    def __init__(
        self, network: Network, chosen: RailSettings, key: PrivateKey, confirm: Callable[[Call, Fee], None]
    ) -> None:
        self._network = network
        self._key = key
        self._confirm = confirm
        self._known = {
            contract: Address.parse(text)
            for contract, setting in SETTINGS.items()
            if (text := getattr(chosen, setting) or getattr(network, setting))
        }
        # Nothing of a vault is asked before there is one.
        self.chain: ChainAdapter = adapter(network, chosen, NOBODY, self._known.get(TOKEN, NOBODY))

    async def deploy(self, parameters: Parameters, *, test_token: bool) -> Sequence[Deployed]:
        """Each contract that neither the network nor the settings name; all of them over a new test token.

        Raises `ConfigError`, also where nothing is missing, `ChainError` and `TimeoutError`.
        """
        network = self._network
        if test_token and network.kind == "main":
            raise ConfigError("a test token anybody can mint has no place on a main network")
        if TOKEN not in self._known and not test_token:
            raise ConfigError(
                f"no token is known on {network.name}: name one with --token, or make one with --test-token"
            )
        missing = [name for name in (VAULT, MARKET, REGISTRY) if test_token or name not in self._known]
        if not missing:
            raise ConfigError(f"{network.name} has all contracts: remove from [rail.{network.name}] what to make anew")
        made = []
        try:
            await self.chain.start()
            if test_token:
                arguments = encode(["string", "string"], ["BitTorrent (test)", "BTT"])
                made.append(await self._make(TOKEN, arguments))
            token = made[0].address if made else self._known[TOKEN]
            made += [await self._make(name, _arguments(name, token, parameters)) for name in missing]
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
        return Deployed(name, receipt.contract, receipt.hash, receipt.block, receipt.fee_paid)


def _arguments(name: str, token: Address, parameters: Parameters) -> bytes:
    """A constructor's: the token first."""
    values = {
        VAULT: (parameters.notice_period,),
        MARKET: (parameters.challenge_bond, parameters.answer_period),
        REGISTRY: (parameters.min_stake, parameters.notice_period),
    }[name]
    return encode(["address", *("uint256" for _ in values)], [token.raw, *values])
