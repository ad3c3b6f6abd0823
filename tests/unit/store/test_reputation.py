"""What the port promises about reputations: figures come back, records go, the payouts behind them come in order."""

from __future__ import annotations

from dataclasses import replace

from node.ports.reputation import ReputationStore
from node.ports.store import Cashed, CashReceipt
from node.speed.reputation import MAX_TALLY, Changes, Key, Snapshot
from node.store import SqlStore
from tests.unit.store.kit import ME, NOW, RAIL, partner

RECORD = Snapshot(
    rail=RAIL,
    address=partner(1),
    delivered=MAX_TALLY,
    bought=1,
    paid=2,
    failed=3,
    bounced=4,
    overcounted=5,
    unpaid=6,
    stops=7,
    step=8,
    met_at=NOW,
    bounces=9,
    barred_until=2**40,
)


def test_the_adapter_implements_the_port(store: SqlStore) -> None:
    ports: tuple[ReputationStore] = (store,)  # mypy looks at the signatures
    assert all(ports)


async def test_records_are_replaced_and_removed_together_with_the_number_judged(store: SqlStore) -> None:
    other = replace(RECORD, address=partner(2))
    await store.save_reputations(Changes((RECORD, other), (Key(RAIL, partner(3)),)), 0)
    assert sorted(await store.reputations(), key=lambda kept: kept.address) == [RECORD, other]
    assert await store.judged() == 0
    newer = replace(RECORD, delivered=0)
    await store.save_reputations(Changes((newer,), (Key(RAIL, partner(2)),)), 5)
    assert await store.reputations() == [newer]
    assert await store.judged() == 5


async def test_payouts_after_a_number_come_oldest_first(store: SqlStore) -> None:
    for number in (1, 2, 3):
        cashed = Cashed(partner(number), ME, paid_out=0, bounced=number)
        await store.mark_cashed(CashReceipt(rail=RAIL, transaction=f"t{number}", cashed=[cashed], now=NOW))
    found = await store.payouts_after(1, limit=5)
    assert [(payout.number, payout.payer) for payout in found] == [(2, partner(2)), (3, partner(3))]
    assert [payout.number for payout in await store.payouts_after(0, limit=2)] == [1, 2]
