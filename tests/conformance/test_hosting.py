"""A host against the compiled contracts on both devnets: what it earns is what the market pays, to the unit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from node.ports.store import Account, Line
from node.services.escrow import Escrow, EscrowError, Held
from node.services.host.contracts import Contracts
from node.services.host.host import Host
from node.services.host.market import ChainFees, ChainMarket
from node.services.host.presence import Presence, PresenceError
from node.services.host.terms import HostTerms
from node.services.settlement import Settlement, SettlementSettings
from node.services.storagebooks import StorageBooks
from node.storage.lifecycle import State
from node.storage.messages import Proposal, VoucherCall
from node.storage.terms import Wish, offer
from node.store import SqlStore, open_store
from node.volumes import DiskVolumes
from tests.conformance.storage_kit import (
    AUDITOR,
    BENCHES,
    BOND,
    EPOCH,
    FUNDS,
    HOST,
    RENTER,
    SHARD,
    StorageBench,
    storage_bench,
)
from tests.unit.hosting.kit import Clock, FakeEngine, FreeFees
from tests.unit.volumes.kit import open_volumes
from wallet.outbox import Outbox
from wallet.storage.directory import Directory
from wallet.storage_terms import StorageContract, Voucher, sign, verify

TERMS = HostTerms(storage_price=5 * 10**23, epoch_length=EPOCH, min_epochs=1, max_epochs=10)
EPOCHS = 3


class HostOnChain:
    """A host with its settlement; its clock is the chain's, and whoever waits for a block makes one."""

    def __init__(self, bench: StorageBench, store: SqlStore, volumes: DiskVolumes, contracts: Contracts) -> None:
        self.bench = bench
        self.clock = Clock()
        self.engine = FakeEngine()
        self.store = store

        async def next_block(seconds: float) -> None:
            await bench.bench.mine()

        outbox = Outbox(store, bench.chain, HOST, wall=self.clock.wall, sleep=next_block, poll=1.0)
        self.settlement = Settlement(
            SettlementSettings(auto=False),
            store=store,
            intents=store,
            chain=bench.chain,
            key=HOST,
            wall=self.clock.wall,
            outbox=outbox,
        )
        self.host = Host(
            contracts,
            TERMS,
            ChainMarket(bench.market, bench.chain),
            volumes=volumes,
            engine=self.engine,
            transactions=self.settlement,
            intents=store,
            fees=FreeFees(),  # what everybody has here is less than one fee
            key=HOST,
            clock=self.clock,
            random=Random(1),
        )
        self.settlement.also_book.append(self.host.claims.book)

    async def rounds(self, times: int = 3) -> None:
        for _ in range(times):
            self.clock.time = float((await self.bench.chain.head()).timestamp)
            await self.host.step()
            await self.host.join()
            # What was read is final some blocks later.
            await self.bench.bench.mine(3)

    async def go_to(self, contract: StorageContract, epoch: int, part: float) -> None:
        await self.bench.go_to(contract.epoch_start(epoch) + int(part * contract.epoch_length))
        await self.rounds()

    async def rented(self) -> StorageContract:
        self.clock.time = float((await self.bench.chain.head()).timestamp)
        quote = await self.host.tables.quote()
        wish = Wish(SHARD.root, SHARD.length, RENTER.address, self.clock.wall() + 900, EPOCHS, 1, AUDITOR.address)
        contract = offer(quote.table, wish)
        self.engine.swarm[contract.root.hex()] = SHARD.data
        market = self.bench.market.market
        proposal = Proposal(market, contract, sign(market, contract, RENTER), ("127.0.0.1:6881",))
        consent = await self.host.propose(RENTER.address, proposal)
        verify(market, contract, consent.signature, HOST.address)
        await self.bench.send(self.bench.calls.open(contract, (proposal.signature, consent.signature)))
        await self.rounds(4)
        return contract

    def state(self, contract: StorageContract) -> State:
        record = self.host.contracts.get(self.bench.id(contract))
        assert record is not None
        return record.state


@pytest.fixture(params=sorted(BENCHES))
async def host(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[HostOnChain]:
    volumes = open_volumes(tmp_path)
    (tmp_path / "disk").mkdir()
    await volumes.add(tmp_path / "disk", 1 << 30)
    async with storage_bench(request.param) as bench:
        store = await open_store(tmp_path / "node.db", None)
        contracts = await Contracts.open(store, bench.chain.rail.id, bench.market.address)
        made = HostOnChain(bench, store, volumes, contracts)
        yield made
        await made.host.close()
        await store.close()
    volumes.close()


async def test_a_host_proves_answers_and_settles_and_its_books_agree_with_the_market(host: HostOnChain) -> None:
    bench = host.bench
    contract = await host.rented()
    assert host.state(contract) is State.ACTIVE
    await host.go_to(contract, 0, 0.1)
    await bench.send(bench.calls.challenge(contract, 3), AUDITOR)
    await host.go_to(contract, 0, 0.3)
    assert host.state(contract) is State.ACTIVE
    await host.go_to(contract, 1, 0.3)  # the renter was silent in the first epoch
    await host.go_to(contract, 2, 0.1)
    proved = host.host.contracts.get(bench.id(contract))
    assert proved is not None
    assert proved.paid == 0b001
    voucher = Voucher(bench.id(contract), EPOCHS)
    await host.host.vouchers.take(RENTER.address, VoucherCall(voucher, sign(bench.market.market, voucher, RENTER)))
    await host.go_to(contract, 2, 0.5)
    for part in (0.1, 0.2, 0.3):  # paid, closed, and both of them final
        await host.go_to(contract, EPOCHS, part)
    record = host.host.contracts.get(bench.id(contract))
    assert record is not None
    assert (record.state, record.claimed, record.bonds) == (State.COMPLETED, contract.escrow, BOND)
    assert await bench.market.balance(HOST.address) == FUNDS + contract.escrow + BOND
    journal = StorageBooks(bench.market, bench.chain, store=host.store, own=HOST.address, since=0, wall=host.clock.wall)
    await journal.look()
    books = await host.store.balances()
    assert books[Line(bench.chain.rail.id, "", Account.MARKET)] == FUNDS + contract.escrow + BOND
    assert books[Line(bench.chain.rail.id, "", Account.STORAGE_INCOME)] == -(contract.escrow + BOND)
    assert not host.engine.torrents


async def test_what_is_not_opened_in_time_cannot_be_opened_any_more(host: HostOnChain) -> None:
    bench = host.bench
    host.clock.time = float((await bench.chain.head()).timestamp)
    quote = await host.host.tables.quote()
    wish = Wish(SHARD.root, SHARD.length, RENTER.address, host.clock.wall() + 900, EPOCHS, 1)
    contract, market = offer(quote.table, wish), bench.market.market
    proposal = Proposal(market, contract, sign(market, contract, RENTER), ())
    await host.host.propose(RENTER.address, proposal)
    await bench.go_to(contract.start - 200)
    await host.rounds()
    assert host.state(contract) is State.CANCELLED
    assert await bench.market.balance(HOST.address) == FUNDS


async def test_fees_are_told_in_token_units_where_the_rate_is_known(host: HostOnChain) -> None:
    chain = host.bench.chain
    call = host.bench.calls.approve(1)
    expected = (await chain.estimate(call, HOST.address)).total
    assert await ChainFees(chain, HOST.address, Fraction(3, 2)).fee(call) == -(-expected * 3 // 2)
    unknown = None if chain.native != chain.rail.token else expected
    assert await ChainFees(chain, HOST.address, None).fee(call) == unknown


async def test_a_host_puts_money_in_announces_itself_and_leaves(host: HostOnChain) -> None:
    bench, own = host.bench, HOST.address
    await bench.bench.fund(own, token=200 * 10**18)
    escrow = Escrow(bench.market, bench.registry, host.settlement, store=host.store, own=own, rail=bench.chain.rail.id)
    presence = Presence(escrow, bench.registry, own)
    await escrow.deposit(5, key="a")
    await escrow.deposit(5, key="a")
    assert await bench.market.balance(own) == FUNDS + 5, "the same key is the same transaction"
    await escrow.withdraw(5, key="b")
    assert (await escrow.held()).free == FUNDS
    await escrow.withdraw(None, key="c")
    assert await escrow.held() == Held(0, 0, 0, None)
    with pytest.raises(EscrowError, match="nothing is free"):
        await escrow.withdraw(None, key="d")
    with pytest.raises(EscrowError, match="no stake"):
        await escrow.reclaim(key="e")
    least = (await bench.registry.check()).min_stake
    for number, url in enumerate(("http://host.example:6882", "https://elsewhere.example")):
        await presence.announce(url, None, key=f"c{number}")
        directory = Directory()
        head = (await bench.chain.head()).number
        for happened in await bench.registry.events(max(0, head - 100), head):
            directory.apply(happened.event, happened.block)
        (entry,) = directory.listed()
        assert (entry.endpoint, (await bench.registry.stake(own)).amount) == (url, least)
    with pytest.raises(PresenceError, match="no URL"):
        await presence.announce("host.example", None, key="d")
    with pytest.raises(EscrowError, match="host leave"):
        await escrow.reclaim(key="f")
    await presence.leave(key="g")
    held = await escrow.held()
    assert held.stake == least
    assert held.stake_from is not None
    await bench.go_to(held.stake_from + 1)
    await escrow.reclaim(key="h")
    assert (await escrow.held()).stake == 0
