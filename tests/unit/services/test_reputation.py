"""What a node remembers of those it trades with: over restarts, through crashes, and the payer of a bounced cheque."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from node.ports.store import Cashed, CashReceipt, StoreError
from node.services.reputation import Reputations
from node.speed.errors import Action, RemoteFaultError, StopCode
from node.speed.reputation import BAR_SECONDS, NEUTRAL, Deed
from tests.unit.services.till import AMPLE, CHEAP, ME, Till, payer
from wallet.amount import GIB, MIB

PAYER = payer(1).address
SELLER = payer(9).address


@pytest.fixture
async def till(tmp_path: Path) -> AsyncIterator[Till]:
    till = await Till(tmp_path).open()
    yield till
    await till.close()


async def opened(till: Till) -> Reputations:
    """After a start: whatever is in the store."""
    found = await Reputations.open(till.store, wall=till.wall)
    till.settlement.on_booked.append(found.judge)
    return found


async def book(till: Till, name: str, *, paid_out: int, bounced: int) -> None:
    """A final receipt, as the books take it."""
    cashed = Cashed(PAYER, ME, paid_out=paid_out, bounced=bounced)
    await till.store.mark_cashed(CashReceipt(rail=till.rail, transaction=name, cashed=[cashed], now=till.wall()))


async def test_a_cheque_that_bounces_at_the_vault_bars_its_payer_before_the_receipt_is_reported(till: Till) -> None:
    found = await opened(till)
    told: list[object] = []
    found.on_barred = lambda rail, who: told.append((rail, who))
    key = await till.covered(CHEAP)
    plan = await till.settlement.plan()
    await till.act(key, till.chain.lock(SELLER, AMPLE - CHEAP // 2))  # between our look and our transaction
    await till.settlement.cash(plan)
    assert told == [(till.rail, PAYER)]
    assert found.barred_until(till.rail, PAYER) == till.wall() + BAR_SECONDS
    assert (found.bounces(till.rail, PAYER), found.score(till.rail, PAYER)) == (1, 0)
    again = await opened(till)
    assert again.barred_until(till.rail, PAYER) == found.barred_until(till.rail, PAYER)


async def test_a_bounce_that_was_booked_before_a_crash_is_judged_at_the_start_and_once(till: Till) -> None:
    await till.hold(payer(1), 100)
    await book(till, "a", paid_out=40, bounced=60)
    for _ in range(3):
        found = await opened(till)
        await found.judge()
        assert found.bounces(till.rail, PAYER) == 1
    assert found.barred_until(till.rail, PAYER) is not None


async def test_a_cheque_that_is_paid_in_full_after_all_lets_its_payer_in(till: Till) -> None:
    await till.hold(payer(1), 100)
    found = await opened(till)
    told: list[object] = []
    found.on_barred = lambda *who: told.append(who)
    await book(till, "a", paid_out=40, bounced=60)
    await book(till, "b", paid_out=100, bounced=0)
    await found.judge()
    for known in (found, await opened(till)):
        assert known.barred_until(till.rail, PAYER) is None
        assert known.bounces(till.rail, PAYER) == 1
    assert told == []


async def test_deeds_are_there_after_a_restart_and_have_faded_as_if_there_had_been_none(till: Till) -> None:
    found = await opened(till)
    found.note(till.rail, SELLER, Deed.DELIVERED, GIB)
    found.fault(till.rail, SELLER, RemoteFaultError("?", action=Action.DISCONNECT, code=StopCode.MALFORMED))
    found.note(till.rail, PAYER, Deed.BOUGHT, 0)  # nothing happened: no record
    await found.close()
    till.now += 40 * 86_400
    again = await opened(till)
    assert again.standings() == found.standings()
    (standing,) = again.standings()
    assert (standing.sells_to_us, standing.pays_us) == (True, False)
    assert 0 < standing.tallies.delivered < GIB
    assert NEUTRAL < standing.score == again.score(till.rail, SELLER)


async def test_a_fault_counts_what_was_charged_and_never_came_and_a_harmless_one_nothing(till: Till) -> None:
    found = await opened(till)
    harmless = RemoteFaultError("late", action=Action.IGNORE, code=StopCode.BYE)
    found.fault(till.rail, SELLER, harmless)
    assert found.standings() == []
    found.fault(
        till.rail,
        SELLER,
        RemoteFaultError("more", action=Action.STOP_TRADE, code=StopCode.ACCOUNTS_DIFFER, overcounted=MIB),
    )
    (standing,) = found.standings()
    assert (standing.tallies.stops, standing.tallies.overcounted) == (1, MIB)


async def test_what_could_not_be_saved_is_saved_the_next_time(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await opened(till)
    found.note(till.rail, SELLER, Deed.DELIVERED, GIB)
    with monkeypatch.context() as full:
        full.setattr(till.store, "save_reputations", AsyncMock(side_effect=StoreError("the disk is full")))
        with pytest.raises(StoreError):
            await found.save()
    assert (await opened(till)).standings() == []
    await found.save()
    assert (await opened(till)).standings() == found.standings()
