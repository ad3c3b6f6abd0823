"""The renter's way to the market: money that is on its way is not sent again."""

from __future__ import annotations

from pathlib import Path

from node.services.renter.chainmarket import DEPOSIT, ChainMarket
from node.store import open_store
from tests.adversaries.storage.stage import PartyClock, settlement_of
from tests.conformance.storage_kit import FUNDS, RENTER, storage_bench
from wallet.intents import Intent


async def test_a_deposit_that_a_crash_has_interrupted_is_in_the_balance(tmp_path: Path) -> None:
    """Who offers anew after a restart sees what is missing, and would put in again what is durable and not yet sent."""
    async with storage_bench("devnet") as bench:
        store = await open_store(tmp_path / "node.db", None)
        settlement = settlement_of(bench, store, RENTER, PartyClock())
        market = ChainMarket(bench.market, bench.chain, settlement, store, RENTER.address)
        await bench.send(bench.calls.approve(10**30))
        for key, amount in (("lost", 7), ("more than there is", 10**29)):
            call = bench.calls.deposit(amount)
            await store.save_intent(
                Intent(key=f"{DEPOSIT}{key}", rail=bench.chain.rail.id, sender=RENTER.address, call=call)
            )
        assert await market.balance() == FUNDS + 7
        assert await market.balance() == FUNDS + 7
        assert not await store.open_intents()
        await store.close()
