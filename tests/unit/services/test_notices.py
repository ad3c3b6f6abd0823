"""What the watcher sees of the vault's events, whatever reorganisations and restarts do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.ports.store import Account, ChainCursor, Line
from node.services import notices
from tests.unit.services.till import AMPLE, CHEAP, FEE, FINALITY, ME, Till, payer
from wallet.chains.base import Block, Call, ChainAnswerError
from wallet.keys import PrivateKey


@pytest.fixture
async def till(tmp_path: Path) -> AsyncIterator[Till]:
    till = await Till(tmp_path).open()
    yield till
    await till.close()


async def coverage(till: Till, key: PrivateKey) -> int:
    return (await till.vault.standing(till.rail, key.address)).reachable


# --- news -----------------------------------------------------------------------------------------------------------


async def test_a_notice_of_withdrawal_wakes_settlement_at_once(till: Till) -> None:
    key = await till.covered(2 * FEE)
    await till.watcher.look()
    running = asyncio.create_task(till.settlement.run())
    await till.round_ended()
    assert await till.tokens() == 0
    await till.act(key, till.chain.give_notice(AMPLE))
    await till.watcher.look()
    await till.round_ended()
    assert await till.tokens() == 2 * FEE
    await till.settlement.close()
    assert running.done()


def calls(till: Till) -> list[Call]:
    other = payer(9).address
    return [
        till.chain.give_notice(AMPLE),
        till.chain.lock(other, AMPLE // 2),
        till.chain.authorise(other, 5),
        till.chain.revoke(other),
        till.chain.request_unlock(other),
        till.chain.cancel_notice(),
    ]


async def test_whatever_a_payer_does_in_the_vault_refreshes_its_coverage(till: Till) -> None:
    key = await till.covered(CHEAP)
    await coverage(till, key)
    await till.watcher.look()
    for call in calls(till):
        await till.act(key, call)
        asked: list[str] = []
        till.chain.hook = asked.append
        await till.watcher.look()
        till.chain.hook = lambda question: None
        assert "available" in asked, call.method


async def test_coverage_follows_a_lock_for_somebody_else_without_waiting_for_its_age(till: Till) -> None:
    key = await till.covered(CHEAP)
    assert await coverage(till, key) == AMPLE
    await till.act(key, till.chain.lock(payer(9).address, AMPLE - 7))
    assert await coverage(till, key) == AMPLE
    await till.watcher.look()
    assert await coverage(till, key) == 7


async def test_strangers_events_ask_for_nothing(till: Till) -> None:
    await till.watcher.look()
    await till.deposit(payer(5), AMPLE)
    asked: list[str] = []
    till.chain.hook = asked.append
    await till.watcher.look()
    assert not {"available", "payer_state"} & set(asked)


async def test_no_question_but_the_head_is_asked_while_no_block_comes(till: Till) -> None:
    await till.watcher.look()
    asked: list[str] = []
    till.chain.hook = asked.append
    await till.watcher.look()
    assert asked == ["head"]


# --- reorganisations ------------------------------------------------------------------------------------------------


async def test_what_a_reorganisation_takes_away_is_news_too(till: Till) -> None:
    key = await till.covered(CHEAP)
    await till.watcher.look()
    await till.act(key, till.chain.lock(payer(9).address, AMPLE - 7))
    await till.watcher.look()
    assert await coverage(till, key) == 7
    till.chain.reorg(1, forget=True)
    till.chain.mine(2)
    await till.watcher.look()
    assert await coverage(till, key) == AMPLE


async def test_a_payout_in_a_block_that_is_taken_back_was_never_final(till: Till) -> None:
    key = payer()
    await till.deposit(key, AMPLE)
    cheque = await till.hold(key, CHEAP)
    await till.watcher.look()
    await till.act(payer(8), till.chain.cash([cheque], ME))
    await till.watcher.look()
    figures = await till.figures()
    assert (figures.pending, figures.cashed, figures.final) == (0, CHEAP, 0)
    till.chain.reorg(1, forget=True)
    till.chain.mine(1 + FINALITY + 1)
    await till.watcher.look()
    figures = await till.figures()
    assert (figures.pending, figures.cashed, figures.final) == (CHEAP, 0, 0)


async def test_a_payout_that_moves_to_another_block_is_booked_once_from_the_final_one(till: Till) -> None:
    key = payer()
    await till.deposit(key, AMPLE)
    cheque = await till.hold(key, CHEAP)
    receipt = await till.act(payer(8), till.chain.cash([cheque], ME))
    await till.watcher.look()
    till.chain.reorg(1)
    till.chain.mine(1)
    moved = await till.chain.receipt(receipt.hash)
    assert moved is not None
    assert moved.block_hash != receipt.block_hash
    till.chain.mine(FINALITY)
    await till.watcher.look()
    till.chain.mine()
    await till.watcher.look()
    (payout,) = (await till.earnings.history()).payouts
    assert (payout.transaction, payout.block, payout.amount) == (receipt.hash.hex(), moved.block, CHEAP)


# --- the cursor -----------------------------------------------------------------------------------------------------


async def test_the_cursor_is_the_newest_final_block_and_survives_a_restart(till: Till) -> None:
    till.chain.mine(10)
    await till.watcher.look()
    final = await till.chain.final()
    till.chain.mine(4)
    await till.watcher.look()
    later = await till.chain.final()
    assert await till.store.cursor(till.rail) == ChainCursor(till.rail, later.number, later.hash)
    till.restart()
    asked: list[str] = []
    till.chain.hook = asked.append
    await till.watcher.look()
    assert asked.count("events") == 1
    assert final.number < later.number


async def test_a_gap_after_downtime_is_read_in_bounded_durable_steps(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    await till.watcher.look()
    key = payer()
    await till.deposit(key, AMPLE)
    cheque = await till.hold(key, CHEAP)
    await till.act(payer(8), till.chain.cash([cheque], ME))
    till.chain.mine(100)
    monkeypatch.setattr(notices, "STEP", 10)
    spans: list[tuple[int, int]] = []
    events = till.chain.events

    async def bounded(first: int, last: int) -> object:
        spans.append((first, last))
        if len(spans) == 4:
            raise TimeoutError
        return await events(first, last)

    monkeypatch.setattr(till.chain, "events", bounded)
    with pytest.raises(TimeoutError):
        await till.watcher.look()
    till.restart()
    await till.watcher.look()
    assert all(last - first < 10 for first, last in spans)
    assert spans[4] == spans[3]
    assert (await till.figures()).final == CHEAP


async def test_a_chain_that_forgot_the_cursors_block_is_read_again_from_further_back(till: Till) -> None:
    key = payer()
    await till.deposit(key, AMPLE)
    cheque = await till.hold(key, CHEAP)
    await till.act(payer(8), till.chain.cash([cheque], ME))
    till.chain.mine(FINALITY)
    final = await till.chain.final()
    await till.store.save_cursor(ChainCursor(till.rail, final.number, b"\0" * 32))
    await till.watcher.look()
    assert (await till.figures()).final == CHEAP


async def test_a_server_that_lags_behind_changes_nothing(till: Till) -> None:
    till.chain.mine(10)
    await till.watcher.look()
    cursor = await till.store.cursor(till.rail)
    till.chain.reorg(8)
    await till.watcher.look()
    assert await till.store.cursor(till.rail) == cursor


async def test_a_gap_is_not_skipped_where_another_server_answers_that_knows_less(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = payer()
    await till.deposit(key, AMPLE)
    cheque = await till.hold(key, CHEAP)
    await till.act(payer(8), till.chain.cash([cheque], ME))
    till.chain.mine(FINALITY)
    final = till.chain.final

    async def lagging(number: int | None = None) -> Block:
        return await final(None if number is None else 0)

    with monkeypatch.context() as behind:
        behind.setattr(till.chain, "final", lagging)
        behind.setattr(notices, "STEP", 1)
        with pytest.raises(ChainAnswerError):
            await till.watcher.look()
    await till.watcher.look()
    assert (await till.figures()).final == CHEAP


# --- booking --------------------------------------------------------------------------------------------------------


async def test_a_cheque_that_somebody_else_hands_in_for_us_is_booked_without_a_fee(till: Till) -> None:
    key = payer()
    await till.deposit(key, AMPLE)
    cheque = await till.hold(key, CHEAP)
    await till.act(payer(8), till.chain.cash([cheque], None))
    till.chain.mine(FINALITY)
    await till.watcher.look()
    balances = await till.store.balances()
    assert balances[Line(till.rail, "", Account.VAULT)] == CHEAP
    assert Line(till.rail, "", Account.FEES) not in balances
    assert (await till.earnings.history()).payouts[0].fee == 0


async def test_our_own_transaction_is_booked_once_whoever_sees_it_first(till: Till) -> None:
    await till.covered(CHEAP)
    till.after_block = till.watcher.look
    await till.settlement.step()
    till.chain.mine(FINALITY)
    await till.watcher.look()
    (payout,) = (await till.earnings.history()).payouts
    assert (payout.amount, payout.fee) == (CHEAP, FEE)
    assert (await till.store.balances())[Line(till.rail, "", Account.FEES)] == FEE


async def test_it_ends_when_closed(till: Till) -> None:
    running = asyncio.create_task(till.watcher.run())
    await till.round_ended()
    await till.watcher.close()
    assert running.done()
