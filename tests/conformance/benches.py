"""What a test may do to a chain, whichever it is: give money, make blocks, let time pass, take blocks back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
from eth_abi.abi import encode

from contracts.loader import load
from node.devnet.chain import ChainSettings
from node.devnet.deployment import Deployment
from node.devnet.server import DevnetServer, DevnetSettings
from tests.conformance.tron_bench import TronBench, tron_bench
from tests.interop.node import anvil
from wallet.address import Address
from wallet.amount import BTT
from wallet.chains.abi import call_data
from wallet.chains.base import ChainAdapter, SignedTx
from wallet.chains.evm import EvmChain, EvmSettings
from wallet.chains.fake import FakeChain
from wallet.chains.fake_tron import FakeTronChain
from wallet.cheque import Rail

FINALITY = 2
NOTICE = 3600
ANSWER = 500
"""Seconds to answer a challenge on the chain."""


class Bench(Protocol):
    """`max_fee`: the bound that the adapter was given, in native units. `asks_price`: whether nodes refuse less than
    they ask."""

    max_fee: int
    asks_price: bool

    @property
    def chain(self) -> ChainAdapter: ...

    async def fund(self, owner: Address, *, native: int = 0, token: int = 0) -> None: ...

    async def mine(self, blocks: int = 1) -> None: ...

    async def automine(self, on: bool) -> None: ...

    async def pass_time(self, seconds: int) -> None: ...

    async def snapshot(self) -> int: ...

    async def restore(self, snapshot: int) -> None:
        """Every block since is undone, and its transactions are forgotten."""


class FakeBench:
    """A chain in memory."""

    asks_price = True

    def __init__(self, kind: type[FakeChain | FakeTronChain]) -> None:
        self.max_fee = 10**18
        self.fake = kind(finality=FINALITY, notice_period=NOTICE, max_fee=self.max_fee)
        self.fake.automine = True

    @property
    def chain(self) -> ChainAdapter:
        return self.fake

    async def fund(self, owner: Address, *, native: int = 0, token: int = 0) -> None:
        self.fake.fund(owner, native=native, token=token)

    async def mine(self, blocks: int = 1) -> None:
        self.fake.mine(blocks)

    async def automine(self, on: bool) -> None:
        self.fake.automine = on

    async def pass_time(self, seconds: int) -> None:
        self.fake.pass_time(seconds)

    async def snapshot(self) -> int:
        return (await self.fake.head()).number

    async def restore(self, snapshot: int) -> None:
        self.fake.reorg((await self.fake.head()).number - snapshot, forget=True)


class Rpc:
    """Raw JSON-RPC, for what no client library has a name for."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def __call__(self, method: str, *parameters: object) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        async with self._session.post(self._url, json=body) as response:
            answer = await response.json()
        assert "error" not in answer, answer
        return answer["result"]


class EvmBench:
    """A development chain behind JSON-RPC, with the methods that all of them have."""

    max_fee = 10**24
    asks_price = True

    def __init__(self, chain: EvmChain, rpc: Rpc) -> None:
        self._chain = chain
        self._rpc = rpc

    @property
    def chain(self) -> ChainAdapter:
        return self._chain

    async def mine(self, blocks: int = 1) -> None:
        await self._rpc("anvil_mine", hex(blocks))

    async def automine(self, on: bool) -> None:
        await self._rpc("evm_setAutomine", on)

    async def pass_time(self, seconds: int) -> None:
        await self._rpc("evm_increaseTime", seconds)
        await self.mine()

    async def snapshot(self) -> int:
        return int(await self._rpc("evm_snapshot"), 16)

    async def restore(self, snapshot: int) -> None:
        assert await self._rpc("evm_revert", hex(snapshot))


class DevnetBench(EvmBench):
    """Our devnet: the compiled contracts on py-evm."""

    def __init__(self, chain: EvmChain, rpc: Rpc, deployment: Deployment) -> None:
        super().__init__(chain, rpc)
        self.deployment = deployment

    async def fund(self, owner: Address, *, native: int = 0, token: int = 0) -> None:
        await self._rpc("bttnode_faucet", owner.evm, hex(native), hex(token))


class AnvilChain(EvmChain):
    """The adapter on a node that mines only when told to.

    Left to itself anvil mines a moment after it has answered; these tests look at once.
    """

    automine = True

    def __init__(self, settings: EvmSettings, rpc: Rpc) -> None:
        super().__init__(settings)
        self._rpc = rpc

    async def broadcast(self, signed: SignedTx) -> None:
        await super().broadcast(signed)
        if self.automine:
            await self._rpc("anvil_mine")


class AnvilBench(EvmBench):
    """Foundry's node: the same compiled contracts on an EVM that is not ours."""

    asks_price = False

    def __init__(self, chain: AnvilChain, rpc: Rpc, minter: AnvilAccount, token: str) -> None:
        super().__init__(chain, rpc)
        self._anvil, self._minter, self._token = chain, minter, token

    async def fund(self, owner: Address, *, native: int = 0, token: int = 0) -> None:
        has = int(await self._rpc("eth_getBalance", owner.evm, "latest"), 16)
        await self._rpc("anvil_setBalance", owner.evm, hex(has + native))
        await self._minter.send(call_data("mint(address,uint256)", owner, token), self._token)

    async def automine(self, on: bool) -> None:
        self._anvil.automine = on


@dataclass(frozen=True)
class AnvilAccount:
    """One that anvil itself signs for."""

    rpc: Rpc
    address: str

    async def send(self, data: bytes, to: str | None = None) -> Any:
        """The receipt of a transaction that did what it should."""
        price = await self.rpc("eth_gasPrice")
        transaction = {"from": self.address, "to": to, "data": f"0x{data.hex()}", "gasPrice": price}
        sent = await self.rpc("eth_sendTransaction", transaction)
        await self.rpc("anvil_mine")
        receipt = await self.rpc("eth_getTransactionReceipt", sent)
        assert receipt["status"] == "0x1"
        return receipt

    async def deploy(self, contract: str, *arguments: tuple[str, object]) -> str:
        """The address of a new contract. `arguments` of its constructor: ABI type and value."""
        types, values = zip(*arguments, strict=True)
        receipt = await self.send(load(contract).bytecode + encode(types, values))
        return str(receipt["contractAddress"])


@asynccontextmanager
async def fake_bench() -> AsyncIterator[Bench]:
    yield FakeBench(FakeChain)


@asynccontextmanager
async def fake_tron_bench() -> AsyncIterator[Bench]:
    yield FakeBench(FakeTronChain)


@asynccontextmanager
async def devnet_bench() -> AsyncIterator[DevnetBench]:
    server = DevnetServer(DevnetSettings(block_time=0, notice_period=NOTICE, answer_period=ANSWER))
    found = await server.start()
    try:
        async with (
            EvmChain(evm_settings(found.url, found.token, found.vault)) as chain,
            aiohttp.ClientSession() as session,
        ):
            yield DevnetBench(chain, Rpc(session, found.url), found)
    finally:
        await server.close()


@asynccontextmanager
async def anvil_bench() -> AsyncIterator[Bench]:
    price = str(ChainSettings().gas_price)
    options = ("--chain-id", "199", "--hardfork", "berlin", "--gas-price", price, "--accounts", "1", "--no-mining")
    async with anvil(*options) as url, aiohttp.ClientSession() as session:
        rpc = Rpc(session, url)
        (address,) = await rpc("eth_accounts")
        await rpc("anvil_setBalance", address, hex(10**30))
        minter = AnvilAccount(rpc, address)
        token = await minter.deploy("TestBTT", ("string", "BitTorrent (anvil)"), ("string", "BTT"))
        vault = await minter.deploy("ChequeVault", ("address", token), ("uint256", NOTICE))
        chain = AnvilChain(evm_settings(url, token, vault), rpc)
        async with chain:
            yield AnvilBench(chain, rpc, minter, token)


def evm_settings(url: str, token: str, vault: str) -> EvmSettings:
    return EvmSettings(
        rail=Rail("eip155:199", 199, Address.parse(vault), BTT),
        native=BTT,
        token=Address.parse(token),
        endpoints=(url,),
        finality=FINALITY,
        max_fee=EvmBench.max_fee,
    )


@asynccontextmanager
async def tron_devnet_bench() -> AsyncIterator[TronBench]:
    async with tron_bench(finality=FINALITY, notice=NOTICE, answer=ANSWER) as bench:
        yield bench


WITH_NONCES = {"fake": fake_bench, "devnet": devnet_bench, "anvil": anvil_bench}
WITH_EXPIRY = {"fake-tron": fake_tron_bench, "tron": tron_devnet_bench}
BENCHES = WITH_NONCES | WITH_EXPIRY
