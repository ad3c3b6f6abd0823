"""What a storage network's money did, by the chain's own account, and whether everybody's books say the same.

The chain is asked for balances and events, never a node; then the nodes' records and books are held against that.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from node.ports.store import Account, Line
from node.services.storagebooks import StorageBooks
from node.store import open_store
from tests.conformance.benches import evm_settings
from tests.e2e.stage import Stage, StageNode
from wallet.address import Address
from wallet.chains.evm import EvmChain
from wallet.storage.chain import HostRegistry, StorageMarket
from wallet.storage.events import (
    Answered,
    Challenged,
    Deposited,
    Ended,
    MarketEvent,
    Opened,
    Proved,
    Settled,
    Status,
    Withdrawn,
)
from wallet.storage.records import ContractRecord

BLOCKS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Purse:
    """Token units of one party. `stake`: in the registry; `sent`: transactions, by its nonce."""

    wallet: int
    market: int
    stake: int
    sent: int

    @property
    def all(self) -> int:
        return self.wallet + self.market + self.stake


@dataclass(frozen=True, slots=True)
class ChainBooks:
    """The chain at one moment. `locked`: what the market holds beyond all balances of the parties."""

    purses: Mapping[Address, Purse]
    locked: int
    events: Sequence[MarketEvent]
    records: Mapping[bytes, ContractRecord]

    def of(self, node: StageNode) -> Purse:
        return self.purses[Address.parse(node.address)]

    @property
    def opened(self) -> Mapping[bytes, Opened]:
        return {event.id: event for event in self.events if isinstance(event, Opened)}

    def paid(self, contract: bytes) -> int:
        """Units that went to a contract's payee for epochs."""
        return sum(
            event.amount for event in self.events if isinstance(event, (Settled, Proved)) and event.id == contract
        )

    def check_events(self) -> None:
        """Each contract begins and ends once, pays what its bits say, and everything that was locked is free again."""
        opened = self.opened
        for kind in (Opened, Ended):
            counted = Counter(event.id for event in self.events if isinstance(event, kind))
            assert set(counted) >= set(opened), "a contract has not ended"
            assert set(counted.values()) == {1}
        for event in self.events:
            if not isinstance(event, Ended) or event.id not in opened:
                continue
            terms, paid = opened[event.id].terms, self.paid(event.id)
            assert paid == self.records[event.id].paid.bit_count() * terms.price_per_epoch
            assert paid + event.to_renter + event.to_host == terms.escrow + terms.collateral
        assert self.locked == 0

    def check_purses(self, before: ChainBooks) -> None:
        """Everybody's money has changed by exactly what the events say, and none came or went."""
        change = dict.fromkeys(self.purses, 0)
        bonds: dict[bytes, tuple[Address, int]] = {}
        for event in self.events:
            match event:
                case Opened(_, terms):
                    change[terms.renter] -= terms.escrow
                    change[terms.host] -= terms.collateral
                case Settled(_, payee, _, _, amount) | Proved(_, payee, _, _, amount):
                    change[payee] += amount
                case Ended(contract, _, to_renter, to_host) if contract in self.opened:
                    terms = self.opened[contract].terms
                    change[terms.renter] += to_renter
                    change[terms.host] += to_host
                case Challenged(contract, challenger, _, _):
                    bonds[contract] = (challenger, 0)
                case Answered(contract, payee, _, bond):
                    change[bonds[contract][0]] -= bond
                    change[payee] += bond
                case _:
                    pass
        assert {who: purse.all - before.purses[who].all for who, purse in self.purses.items()} == change
        assert sum(change.values()) == 0

    def deposited(self, node: StageNode) -> int:
        return self._moved(node, Deposited)

    def withdrawn(self, node: StageNode) -> int:
        return self._moved(node, Withdrawn)

    def _moved(self, node: StageNode, kind: type[Deposited | Withdrawn]) -> int:
        own = Address.parse(node.address)
        return sum(event.amount for event in self.events if isinstance(event, kind) and event.account == own)


def read(made: Stage, nodes: Sequence[StageNode]) -> ChainBooks:
    """Everything of these parties, from the first block to the last."""
    return asyncio.run(_read(made, [Address.parse(node.address) for node in nodes]))


async def _read(made: Stage, parties: Sequence[Address]) -> ChainBooks:
    found = made.chain
    async with EvmChain(evm_settings(found["url"], found["token"], found["vault"])) as chain:
        market = StorageMarket(chain, Address.parse(found["storage_market"]))
        registry = HostRegistry(chain, Address.parse(found["host_registry"]))
        head = (await chain.head()).number
        events: list[MarketEvent] = []
        for first in range(0, head + 1, BLOCKS_AT_ONCE):
            last = min(head, first + BLOCKS_AT_ONCE - 1)
            events += [happened.event for happened in await market.events(first, last)]
        balances = await market.balances(*parties)
        purses = {
            party: Purse(
                await chain.token_balance(party),
                balance,
                (await registry.stake(party)).amount,
                int(made.rpc("eth_getTransactionCount", party.evm, "latest"), 16),
            )
            for party, balance in zip(parties, balances, strict=True)
        }
        held = await chain.token_balance(market.address)
        ids = [event.id for event in events if isinstance(event, Opened)]
        records = dict(zip(ids, await market.records(ids), strict=True))
        return ChainBooks(purses, held - sum(balances), events, records)


def check_intents(node: StageNode, sent: int) -> None:
    """A stopped node's outbox: everything has come to its end, and the chain has as many transactions as it knows."""
    with closing(sqlite3.connect(f"file:{node.home / 'node.db'}?mode=ro", uri=True)) as database:
        rows = list(database.execute("SELECT key, state, nonce FROM intents ORDER BY number"))
    open_ones = [(key, state) for key, state, _ in rows if state not in ("final", "failed")]
    assert not open_ones, f"{node.name}: {open_ones}"
    nonces = [nonce for _, _, nonce in rows if nonce is not None]
    assert sorted(nonces) == list(range(sent)), f"{node.name}: {rows}"


def check_journals(made: Stage, nodes: Sequence[StageNode], before: ChainBooks, after: ChainBooks) -> None:
    """Stopped nodes' journals, brought up to the last final block by the node's own part: as much in the market as the
    market says, and as much gained or lost as the chain saw."""
    for node in nodes:
        figures = asyncio.run(_journal(made, node))
        assert figures[Account.MARKET] == after.of(node).market
        assert figures[Account.LOCKED] == 0
        gained = -figures[Account.STORAGE_INCOME] - figures[Account.STORAGE_EXPENSE]
        assert gained == after.of(node).all - before.of(node).all


async def _journal(made: Stage, node: StageNode) -> Mapping[Account, int]:
    found = made.chain
    settings = replace(evm_settings(found["url"], found["token"], found["vault"]), finality=0)
    store = await open_store(node.home / "node.db", None)
    try:
        async with EvmChain(settings) as chain:
            market = StorageMarket(chain, Address.parse(found["storage_market"]))
            own = Address.parse(node.address)
            await StorageBooks(market, chain, store=store, own=own, since=0, wall=lambda: 0).look()
        balances = await store.balances()
        return {account: balances.get(Line(settings.rail.id, "", account), 0) for account in Account}
    finally:
        await store.close()


def check_host(node: StageNode, chain: ChainBooks) -> None:
    """A host's books on every contract of its own say what the market says."""
    own = Address.parse(node.address)
    theirs = {contract: opened for contract, opened in chain.opened.items() if opened.terms.host == own}
    lines = {bytes.fromhex(line["id"]): line for line in node.get("/v1/host/contracts")}
    for contract, opened in theirs.items():
        line, record = lines[contract], chain.records[contract]
        money = line["money"]
        assert int(money["claimed"]) == int(money["earned"]) == chain.paid(contract), line
        assert line["paid"] == record.paid.bit_count()
        assert int(money["at_stake"]) == int(money["expected"]) == 0
        assert int(money["lost"]) == (opened.terms.collateral if record.status is Status.FAILED else 0)
    won = sum(event.bond for event in chain.events if isinstance(event, Answered) and event.id in theirs)
    (total,) = (each["money"] for each in node.get("/v1/host"))
    assert int(total["claimed"]) == sum(map(chain.paid, theirs))
    assert int(total["bonds"]) == won
