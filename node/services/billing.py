"""What a download may cost, and what it did cost, from what is known and what is durable.

The pure part (`node.speed.bill`) computes; here is where its figures come from. *Paid* is what durable cheques say,
never what is on its way. A seller's line is what the store has recorded, and what connections have added since.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from node.ports.clock import Clock
from node.ports.engine import Engine, TorrentId
from node.ports.store import Direction, Store, TorrentRecord
from node.services.budget import Budget, TorrentTerms
from node.services.judging import Barred
from node.services.trades import Trades
from node.speed.bill import AskSeen, Bill, BillLine, Estimate, bill, estimate

MILLI = 1000


@dataclass(frozen=True, slots=True)
class Outlook:
    """An estimate and what it rests on. `size` None: a magnet whose metadata is not here yet.

    `max_price` in units per MiB. `wanted_rate` in bytes per second, as the user asked for it, or as the deadline needs
    it; 0: neither was given. `wanted_ms`: the time at that rate. `budget`: what the limits leave; None: no limit.
    """

    size: int | None
    estimate: Estimate
    max_price: int
    budget: int | None
    wanted_rate: int
    wanted_ms: int | None


@dataclass(frozen=True, slots=True)
class Account:
    """A bill and how far it is paid. `paid`: by durable cheques; `due`: acknowledged, without a cheque yet."""

    bill: Bill
    paid: int
    due: int


class Billing:
    """One per node. `default_price`: the highest price of torrents without one, units per MiB."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        trades: Trades,
        budget: Budget,
        barred: Barred,
        clock: Clock,
        *,
        default_price: int,
    ) -> None:
        self._engine = engine
        self._store = store
        self._trades = trades
        self._budget = budget
        self._barred = barred
        self._clock = clock
        self._default_price = default_price

    async def outlook(self, record: TorrentRecord) -> Outlook:
        """What is still missing of a torrent may cost this, within its terms. Raises `EngineError`."""
        status = await self._engine.status(record.id)
        terms = TorrentTerms.of(record)
        budget = await self._budget.unspent(record.id)
        max_price = self._default_price if terms.max_price is None else terms.max_price
        size = status.total_bytes - status.done_bytes if status.has_metadata else 0
        found = estimate(size, self._asks(record.id), max_price=max_price, budget=budget)
        rate = terms.rate
        if terms.deadline:
            left = terms.deadline - self._clock.wall()
            rate = max(rate, -(-size // left)) if left > 0 else rate
        return Outlook(
            size=size if status.has_metadata else None,
            estimate=found,
            max_price=max_price,
            budget=budget,
            wanted_rate=rate,
            wanted_ms=-(-size * MILLI // rate) if rate else None,
        )

    async def account(self, torrent: TorrentId) -> Account:
        """What sellers of this torrent have delivered and were paid. Raises `EngineError`, `StoreError`."""
        async with self._trades.recording:
            entries = [
                BillLine(row.counterparty.evm, row.rail, row.bytes, row.amount)
                for row in await self._store.transfers(torrent=torrent)
                if row.direction is Direction.RECEIVED
            ]
            paid = await self._store.spent_on(torrent)
            due = self._budget.on_the_way(torrent)
            entries += self._fresh(torrent)
        done = (await self._engine.status(torrent)).done_bytes
        made = bill(entries)
        return Account(replace(made, free_bytes=max(0, done - made.bytes)), paid, due)

    def _fresh(self, torrent: TorrentId) -> list[BillLine]:
        """What connections have brought that the store does not know yet."""
        return [
            BillLine(
                trade.buyer_key[1].evm,
                trade.buyer_key[0],
                trade.buyer.verifier.payable_bytes - trade.recorded_received[0],
                trade.buyer.counted - trade.recorded_received[1],
                trade.buyer.verifier.rejected,
            )
            for trade in self._trades.unrecorded(torrent)
            if trade.buyer is not None and trade.buyer_key is not None
        ]

    def _asks(self, torrent: TorrentId) -> list[AskSeen]:
        """What sellers take now. A granted rate is a promise of this moment, not of the whole download."""
        now, asks = self._clock.now(), []
        for trade in self._trades.by_torrent.get(torrent, {}).values():
            buyer = trade.buyer
            if buyer is None or buyer.ask is None or buyer.rail is None:
                continue
            if self._barred.find((buyer.rail.id, buyer.ask.payee), now) is None:
                asks.append(AskSeen(buyer.ask.reserve, buyer.granted or None))
        return asks
