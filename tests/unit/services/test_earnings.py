"""Earnings say what receipts and books say."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.ports.store import Account, Line, ReceivedCheque
from node.services.booking import cashed_cheques, split
from node.services.earnings import Figures
from node.services.plan import percent
from tests.unit.services.till import AMPLE, CHEAP, FEE, FINALITY, ME, Till, payer
from wallet.chains.base import BouncedCheque, CashedCheque, VaultEvent

NOBODY = payer(7).address
AMOUNTS = st.integers(min_value=0, max_value=2**128)


@given(cumulative=AMOUNTS, cashed=AMOUNTS, bounced=AMOUNTS, in_blocks=AMOUNTS)
def test_the_four_figures_add_up_to_the_cheques_received(
    cumulative: int, cashed: int, bounced: int, in_blocks: int
) -> None:
    cashed = min(cashed, cumulative)
    account = ReceivedCheque(
        rail="r",
        payer=NOBODY,
        payee=ME,
        cumulative=cumulative,
        signature=b"",
        updated_at=0,
        cashed=cashed,
        bounced=bounced,
    )
    figures = Figures.of(account, in_blocks)
    assert figures.received == cumulative
    assert figures.final == cashed
    assert min(figures.pending, figures.cashed, figures.bounced) >= 0


@given(total=AMOUNTS, weights=st.lists(AMOUNTS, min_size=1).filter(any))
def test_a_fee_is_split_by_weight_and_nothing_of_it_is_lost(total: int, weights: list[int]) -> None:
    parts = split(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1


@pytest.mark.parametrize(
    ("part", "whole", "text"), [(1, 100, "1.00 %"), (1, 10**9, "0.01 %"), (0, 5, "0.00 %"), (3, 2, "150.00 %")]
)
def test_shares_are_rounded_up_for_people(part: int, whole: int, text: str) -> None:
    assert percent(part, whole) == text


def test_a_receipt_tells_the_vaults_payout_after_it_by_itself() -> None:
    one, two, three = (payer(number).address for number in (1, 2, 3))
    events: list[VaultEvent] = [
        CashedCheque(one, ME, ME, 100, 30),
        CashedCheque(two, ME, ME, 50, 10),
        BouncedCheque(two, ME, 50, 10, 25),
        BouncedCheque(three, ME, 9, 0, 9),
        CashedCheque(one, three, three, 999, 999),
    ]
    found = {c.payer: (c.paid_out, c.bounced, c.fee) for c in cashed_cheques(events, ME, 400)}
    assert found == {one: (100, 0, 300), two: (25, 25, 100), three: (0, 9, 0)}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["cheque", "cash", "deposit", "lock", "other", "block", "reorg", "look", "restart"]),
        st.integers(1, 3),
        st.integers(1, 3 * CHEAP),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
async def test_figures_receipts_and_books_agree_whatever_happens(steps: list[tuple[str, int, int]]) -> None:
    with TemporaryDirectory() as folder:
        till = await Till(Path(folder)).open()
        try:
            for number in (1, 2, 3):
                await till.covered(CHEAP, deposit=2 * CHEAP, number=number)
            for action, number, amount in steps:
                await step(till, action, number, amount)
                await check(till)
            till.chain.mine(FINALITY)
            await till.settlement.recover()
            await till.watcher.look()
            await check(till)
            chain = [await till.chain.paid_out(payer(number).address, ME) for number in (1, 2, 3)]
            assert (await till.figures()).final == sum(chain)
        finally:
            await till.close()


async def step(till: Till, action: str, number: int, amount: int) -> None:
    key = payer(number)
    stored = await till.store.received(till.rail, key.address, ME)
    assert stored is not None
    match action:
        case "cheque":
            await till.hold(key, stored.cumulative + amount)
        case "cash":
            await till.settlement.cash(await till.settlement.plan())
        case "deposit":
            await till.deposit(key, amount)
        case "lock":
            state = await till.chain.payer_state(key.address)
            if free := state.balance - state.locked:
                await till.act(key, till.chain.lock(payer(9).address, free))
        case "other":
            cheque = await till.hold(key, stored.cumulative + amount)
            await till.act(payer(8), till.chain.cash([cheque], ME))
        case "block":
            till.chain.mine()
        case "reorg":
            till.chain.reorg(1)
            till.chain.mine(2)
        case "look":
            await till.watcher.look()
        case "restart":
            till.restart()


async def check(till: Till) -> None:
    report = await till.earned()
    accounts = await till.store.all_received()
    assert report.figures.received == sum(account.cumulative for account in accounts)
    assert report.held_in_books == report.figures.received - report.figures.final
    payouts = (await till.earnings.history(limit=1000)).payouts
    assert sum(payout.amount for payout in payouts) == report.figures.final
    assert sum((await till.store.balances()).values()) == 0


async def test_each_cheque_of_a_batch_bears_its_part_of_the_fee(tmp_path: Path) -> None:
    till = await Till(tmp_path).open()
    await till.covered(CHEAP, number=1)
    await till.covered(3 * CHEAP, number=2)
    (done,) = await till.settlement.step()
    payouts = {payout.payer: payout for payout in (await till.earnings.history()).payouts}
    assert payouts[payer(1).address].fee == FEE // 4
    assert payouts[payer(2).address].fee == FEE * 3 // 4
    assert {payout.transaction for payout in payouts.values()} == {done.receipt.hash.hex()}
    assert {payout.block for payout in payouts.values()} == {done.receipt.block}
    await till.close()


async def test_history_comes_in_pages_newest_first(tmp_path: Path) -> None:
    till = await Till(tmp_path).open()
    for number in range(1, 6):
        await till.covered(CHEAP, deposit=AMPLE, number=number)
        await till.settlement.step()
    seen, before = [], None
    while True:
        page = await till.earnings.history(rail=till.rail, before=before, limit=2)
        seen += [payout.payer for payout in page.payouts]
        if (before := page.before) is None:
            break
    assert seen == [payer(number).address for number in range(5, 0, -1)]
    only = await till.earnings.history(payer=payer(3).address)
    assert [payout.payer for payout in only.payouts] == [payer(3).address]
    await till.close()


async def test_a_rail_that_is_not_configured_any_more_still_shows_what_it_earned(tmp_path: Path) -> None:
    till = await Till(tmp_path).open()
    await till.covered(CHEAP)
    till.earnings._watchers = {}
    assert (await till.figures()).pending == CHEAP
    assert (await till.store.balances())[Line(till.rail, "", Account.CHEQUES_HELD)] == CHEAP
    await till.close()
