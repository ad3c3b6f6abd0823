"""The way a node goes: facts through the EVM adapter, cashing through the outbox, over JSON-RPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import web

from node.devnet.chain import Chain
from node.devnet.evm_rpc import EvmRpc
from node.devnet.thread import ChainThread
from tests.contracts.bench import START, Contract, key
from tests.contracts.btfs_bench import BtfsBench
from wallet.amount import BTT
from wallet.btfs import wire
from wallet.btfs.book import Book
from wallet.btfs.chain import BtfsVaults, cash, paid
from wallet.btfs.desk import ReceivingDesk
from wallet.btfs.errors import BrokenVaultError
from wallet.btfs.wire import SignedBtfsCheque
from wallet.chains.assets import Asset, AssetKind
from wallet.chains.evm import EvmChain, EvmSettings
from wallet.cheque import Rail
from wallet.outbox import IntentFailedError, MemoryOutboxStore, Outbox

RENTER, HOST, PURSE = (key(number) for number in range(21, 24))


@dataclass
class Node:
    """A host's node: its adapter, outbox and desk; the chain's own thread for what others do."""

    thread: ChainThread[Chain]
    bench: BtfsBench
    vault: Contract
    chain: EvmChain
    outbox: Outbox
    desk: ReceivingDesk

    async def receive(self, signed: SignedBtfsCheque) -> int:
        return (await self.desk.receive(wire.encode(signed, self.bench.wbtt.address)))[1]


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    benches: list[tuple[BtfsBench, Contract]] = []

    def make() -> Chain:
        bench = BtfsBench()
        vault = bench.deploy(RENTER)
        bench.fund(vault, 1000)
        bench.fund(vault, 1000, bench.usdd)
        benches.append((bench, vault))
        return bench.chain

    thread = await ChainThread.open(make)
    [(bench, vault)] = benches
    runner = web.AppRunner(EvmRpc(thread).application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    rail = Rail("eip155:199", 199, vault.address)  # no ChequeVault is involved

    async def next_block(_seconds: float) -> None:
        await thread.run(lambda chain: chain.mine())

    async def keep(_signed: SignedBtfsCheque, _gain: int) -> None:
        pass

    try:
        async with EvmChain(EvmSettings(rail, BTT, bench.wbtt.address, (url,), finality=2)) as chain:
            vaults = BtfsVaults(chain, bench.factory.address, bench.wbtt.address)
            outbox = Outbox(MemoryOutboxStore(), chain, HOST, wall=lambda: START, sleep=next_block)
            desk = ReceivingDesk(bench.terms(HOST), vaults, Book(), keep)
            yield Node(thread, bench, vault, chain, outbox, desk)
    finally:
        await runner.cleanup()
        await thread.close()


@pytest.mark.parametrize("token", [False, True], ids=["WBTT", "token"])
async def test_a_received_cheque_is_cashed_by_the_outbox(node: Node, token: bool) -> None:
    kind = node.bench.usdd if token else None
    for cumulative, gain in ((300, 300), (1000, 700)):
        signed = node.bench.cheque(node.vault, RENTER, HOST, cumulative, kind)
        assert await node.receive(signed) == gain
        intent = await node.outbox.submit(f"btfs {cumulative}", cash(signed, PURSE.address))
        _, receipt = await node.outbox.finish(intent, deadline=60)
        asset = Asset(AssetKind.TOKEN, BTT, (kind or node.bench.wbtt).address)
        moved = await node.chain.transfers(asset, PURSE.address, receipt.block, receipt.block)
        assert paid(signed.cheque, receipt, moved) == gain
        assert await node.thread.run(lambda _: node.bench.wallet(PURSE, kind)) == cumulative


async def test_a_cheque_whose_money_is_gone_fails_before_it_costs_a_fee(node: Node) -> None:
    signed = node.bench.cheque(node.vault, RENTER, HOST, 1000)
    await node.receive(signed)
    await node.thread.run(lambda _: node.vault.send(RENTER, "withdraw", 1))
    intent = await node.outbox.submit("btfs", cash(signed, PURSE.address))
    with pytest.raises(IntentFailedError, match="Vault: insufficient fund"):
        await node.outbox.finish(intent, deadline=60)
    assert await node.thread.run(lambda chain: chain.nonce(HOST.address.raw)) == 0


async def test_a_vault_that_answers_nonsense_is_its_payers_fault(node: Node) -> None:
    token = node.bench.usdd.address  # answers no question of vaults
    vault = await node.thread.run(lambda _: node.bench.deploy_any(RENTER, token, b""))
    signed = node.bench.cheque(Contract("BtfsTokenVaultDouble", node.bench.chain, vault), RENTER, HOST, 1)
    with pytest.raises(BrokenVaultError, match="does not answer"):
        await node.receive(signed)
