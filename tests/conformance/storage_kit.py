"""A renter and a host with money on a devnet, and the storage contracts there as the node reaches them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

from tests.conformance.benches import DevnetBench, devnet_bench, tron_devnet_bench
from tests.conformance.kit import PAYEE, coin
from tests.conformance.tron_bench import TronBench
from tests.contracts.storage.bench import BLOCK, Shard
from wallet.address import Address
from wallet.chains.base import Call, Receipt
from wallet.keys import PrivateKey
from wallet.storage.calls import BlockProof, Signatures
from wallet.storage.chain import HostRegistry, StorageMarket
from wallet.storage.events import MarketEvent
from wallet.storage_terms import Cancel, StorageContract, Voucher, sign

RENTER, HOST, AUDITOR, SPARE = (PrivateKey(bytes([number]) * 32) for number in (41, 42, 43, 44))
SHARD = Shard(5 * BLOCK + 100)
EPOCH, EPOCHS, PRICE, COLLATERAL = 1000, 4, 10, 61
BOND = 10**18
"""A whole BTT: what the devnets' markets are made with."""
FUNDS = 2 * BOND
"""What everybody has in the market."""
BENCHES: Mapping[str, Callable[[], AbstractAsyncContextManager[DevnetBench | TronBench]]] = {
    "devnet": devnet_bench,
    "tron": tron_devnet_bench,
}


class StorageBench:
    """Storage on one devnet. `send` carries a call out; what it answers is the receipt."""

    def __init__(self, bench: DevnetBench | TronBench) -> None:
        self.bench = bench
        self.chain = bench.chain
        self.market = StorageMarket(bench.chain, Address.parse(bench.deployment.storage_market))
        self.registry = HostRegistry(bench.chain, Address.parse(bench.deployment.host_registry))
        self.calls = self.market.calls

    async def fund(self, owner: PrivateKey) -> None:
        """Coins for fees, and the same amount of tokens in the market and in the wallet."""
        await self.bench.fund(owner.address, native=10_000 * coin(self.bench), token=2 * FUNDS)
        await self.send(self.calls.approve(FUNDS), owner)
        await self.send(self.calls.deposit(FUNDS), owner)

    async def send(self, call: Call, sender: PrivateKey = RENTER) -> Receipt:
        """It must succeed."""
        chain = self.chain
        fee = await chain.estimate(call, sender.address)
        tx = await chain.prepare(call, sender.address, await chain.next_nonce(sender.address), fee)
        signed = chain.sign(tx, sender)
        await chain.broadcast(signed)
        receipt = await chain.receipt(signed.hash)
        assert receipt is not None
        assert receipt.ok, await chain.why_reverted(tx, receipt)
        return receipt

    async def do(self, call: Call, sender: PrivateKey = RENTER) -> tuple[MarketEvent, ...]:
        """What the call did in the market."""
        return self.market.happened(await self.send(call, sender))

    async def offer(self, **changes: Any) -> StorageContract:
        """Terms that start in 100 seconds."""
        start = (await self.chain.head()).timestamp + 100
        people = (RENTER.address, HOST.address, PAYEE.address, AUDITOR.address)
        plain = StorageContract(SHARD.root, SHARD.length, *people, start, EPOCHS, EPOCH, PRICE, COLLATERAL, 7)
        return replace(plain, **changes)

    async def opened(self, **changes: Any) -> StorageContract:
        terms = await self.offer(**changes)
        await self.send(self.calls.open(terms, self.signatures(terms)))
        return terms

    def id(self, terms: StorageContract) -> bytes:
        return terms.digest(self.market.market)

    def signatures(self, message: StorageContract | Cancel, host: PrivateKey = HOST) -> Signatures:
        """The renter's and the host's."""
        return sign(self.market.market, message, RENTER), sign(self.market.market, message, host)

    def voucher(self, terms: StorageContract, through: int, signer: PrivateKey = RENTER) -> bytes:
        return sign(self.market.market, Voucher(self.id(terms), through), signer)

    async def go_to(self, moment: int) -> None:
        """The head is this old, or some seconds older: devnets' clocks run on by themselves."""
        now = (await self.chain.head()).timestamp
        if now < moment:
            await self.bench.pass_time(moment - now)

    async def go_to_epoch(self, terms: StorageContract, epoch: int) -> None:
        await self.go_to(terms.epoch_start(epoch))

    async def balances(self) -> list[int]:
        """Renter, host, payee, auditor: what each has in the market beyond what it began with."""
        began = (FUNDS, FUNDS, 0, FUNDS)
        now = await self.market.balances(*(key.address for key in (RENTER, HOST, PAYEE, AUDITOR)))
        return [has - had for has, had in zip(now, began, strict=True)]


def proof(index: int) -> BlockProof:
    return BlockProof(*SHARD.proof(index))


@asynccontextmanager
async def storage_bench(name: str) -> AsyncIterator[StorageBench]:
    async with BENCHES[name]() as bench:
        made = StorageBench(bench)
        for key in (RENTER, HOST, AUDITOR, SPARE):
            await made.fund(key)
        yield made
