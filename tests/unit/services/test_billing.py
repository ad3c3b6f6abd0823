"""A bill adds up: what the store has, what connections have added, once each; paid is what durable cheques say."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.ports.engine import Engine, TorrentState, TorrentStatus
from node.ports.store import TorrentRecord
from node.services.billing import Billing
from node.services.budget import Budget, TorrentTerms
from node.services.history import keep
from node.services.trades import BuyerBook, Trade
from node.services.vault import VaultView
from node.speed.buyer import BuyerAccount
from node.store import SqlStore, open_store
from tests.unit.services.test_choosing import PAYER, PRICE, TORRENT, Floor
from wallet.amount import MIB, cost
from wallet.limits import SpendLimits

SIZE = 64 * MIB


class Still:
    """Stands for an engine whose torrent has everything."""

    done = SIZE
    metadata = True

    async def status(self, torrent: str) -> TorrentStatus:
        return TorrentStatus(
            id=TORRENT, name="t", state=TorrentState.SEEDING, save_path=Path("/"), total_bytes=SIZE,
            done_bytes=self.done, progress=1.0, download_rate=0, upload_rate=0, downloaded=0, uploaded=0, peers=0,
            seeds=0, has_metadata=self.metadata,
        )  # fmt: skip


@dataclass
class Desk:
    floor: Floor
    store: SqlStore
    budget: Budget
    billing: Billing
    engine: Still

    def deliver(self, trade: Trade, piece: int, length: int) -> None:
        """A piece comes at the price in force, and passes."""
        assert trade.buyer is not None
        assert trade.buyer_key is not None
        book = self.floor.trades.buyers[trade.buyer_key]
        before = book.account.owed
        trade.buyer.bytes_received(piece, length)
        trade.buyer.piece_passed(piece)
        trade.buyer.settle(self.floor.now)
        self.budget.spent(trade.peer, TORRENT, book.account.owed - before)

    async def leave(self, trade: Trade) -> None:
        trade.gone = True
        if trade.buyer is not None:
            trade.buyer.closed()
        self.floor.trades.close(trade.peer)
        await keep(self.store, self.floor.trades, trade, PAYER.address, 1)

    def seller(self, peer: int, price: int) -> Trade:
        trade = self.floor.seller(peer, price=price)
        assert trade.buyer is not None
        assert trade.buyer_key is not None
        self.floor.trades.buyers[trade.buyer_key] = BuyerBook(trade.buyer.account or BuyerAccount())
        return trade


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    floor, engine = Floor(), Still()
    store = await open_store(folder / "node.db", None)
    vault = VaultView({}, store=store, own=PAYER.address, now=floor.clock.now)
    budget = Budget(SpendLimits(), store=store, vault=vault, clock=floor.clock)
    port = cast("Engine", engine)
    billing = Billing(port, store, floor.trades, budget, floor.judging.barred, floor.clock, default_price=PRICE)
    try:
        yield Desk(floor, store, budget, billing, engine)
    finally:
        await store.close()


@settings(max_examples=6, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2 * MIB), st.booleans()), max_size=12),
    st.lists(st.integers(1, 10 * PRICE), min_size=3, max_size=3),
)
async def test_every_byte_and_unit_is_billed_once_wherever_it_is_kept(
    parts: list[tuple[int, int, bool]], prices: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with desk(Path(folder)) as made:
            trades = {peer: made.seller(peer, prices[peer - 1]) for peer in (1, 2, 3)}
            lengths = dict.fromkeys(trades, 0)
            for piece, (peer, length, record) in enumerate(parts):
                made.deliver(trades[peer], piece, length)
                lengths[peer] += length
                if record:
                    await keep(made.store, made.floor.trades, trades[peer], PAYER.address, 1)
            owed = sum(cost(length, prices[peer - 1]) for peer, length in lengths.items())
            for leaves in (None, *trades.values()):
                if leaves is not None:
                    await made.leave(leaves)
                found = await made.billing.account(TORRENT)
                assert found.bill.bytes == sum(lengths.values())
                assert found.bill.bytes + found.bill.free_bytes == SIZE
                assert found.bill.amount == found.paid + found.due == owed
            assert made.floor.trades.closing == {}


@pytest.mark.parametrize("rate", [0, MIB])
async def test_an_estimate_knows_its_limits_and_what_it_does_not_know(tmp_path: Path, rate: int) -> None:
    async with desk(tmp_path) as made:
        made.engine.done = 0
        budget = cost(SIZE, PRICE) // 2
        record = TorrentRecord(
            id=TORRENT, name="t", save_path=Path("/"), magnet="magnet:", added_at=0, max_price=2 * PRICE,
            budget=budget, rate=rate, deadline=made.floor.clock.wall() + 128,
        )  # fmt: skip
        made.budget.terms[TORRENT] = TorrentTerms.of(record)
        nobody = await made.billing.outlook(record)
        assert (nobody.estimate.sellers, nobody.estimate.cost_low, nobody.estimate.cost_high) == (0, None, budget)
        assert (nobody.wanted_rate, nobody.wanted_ms) == ((MIB, 64_000) if rate else (MIB // 2, 128_000))
        assert not nobody.estimate.covered
        made.floor.seller(1, reserve=PRICE // 4)
        made.floor.seller(2, reserve=3 * PRICE)
        known = await made.billing.outlook(record)
        assert (known.estimate.sellers, known.estimate.cost_low) == (1, cost(SIZE, PRICE // 4))
        made.engine.metadata = False
        assert (await made.billing.outlook(record)).size is None
