"""Cheating buyers against a real seller over sockets: what each can take without paying, at most.

`credit` is the newcomer's credit, 1 MiB; `w(x)` is the price of x bytes, rounded up.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from node.speed.credit import CreditPolicy
from tests.adversaries.buyers import BLOCK, ScriptedBuyer
from tests.adversaries.victim import PRICE, victim
from wallet.amount import MIB, cost

CREDIT = CreditPolicy().newcomer


@pytest.mark.parametrize("identities", [1, 3])
async def test_who_takes_credit_and_vanishes_takes_one_newcomers_credit_per_identity(
    tmp_path: Path, worker_id: str, identities: int
) -> None:
    """Loss <= identities x w(credit)."""
    async with victim(tmp_path, worker_id, sells=True) as seller:
        for _ in range(identities):
            thief = await ScriptedBuyer.meet(seller)
            await thief.bid()
            await thief.take(4 * MIB // BLOCK)
            assert 0 < thief.meter.bytes <= CREDIT
            await thief.close()
        await seller.until(lambda: not seller.payments.trades.open, "all thieves are gone")
        assert 0 < seller.unpaid() <= identities * cost(CREDIT, PRICE)
