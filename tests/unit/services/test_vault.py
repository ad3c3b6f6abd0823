"""What the node believes of vaults while chains are slow, away, or differ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.services.vault import MAX_AGE, STALE_AGE, VaultView
from tests.unit.services.till import AMPLE, CHEAP, ME, Till, payer
from wallet.address import Address
from wallet.chains.base import ChainUnreachableError
from wallet.chains.fake import FakeChain
from wallet.cheque import Cheque, sign_cheque
from wallet.solvency import Funds


@pytest.fixture
async def till(tmp_path: Path) -> AsyncIterator[Till]:
    till = await Till(tmp_path).open()
    yield till
    await till.close()


def away(question: str) -> None:
    raise ChainUnreachableError("nobody answered")


async def test_one_rail_that_is_away_does_not_hide_the_other(till: Till) -> None:
    other = FakeChain(chain_id=1029)
    other.hook = away
    view = VaultView({other.rail.id: other, till.rail: till.chain}, store=till.store, own=ME, now=lambda: till.now)
    await view.refresh()
    assert (view.free(till.rail), view.free(other.rail.id)) == (0, None)
    assert view.fault == "nobody answered"
    other.hook = lambda question: None
    await view.refresh()
    assert view.fault is None


async def test_a_changed_deposit_is_asked_for_even_if_the_chain_was_away_when_it_changed(till: Till) -> None:
    key = await till.covered(CHEAP)
    assert (await till.vault.standing(till.rail, key.address)).reachable == AMPLE
    await till.act(key, till.chain.lock(payer(9).address, AMPLE - 7))
    till.chain.hook = away
    await till.vault.look_again(till.rail, {key.address})
    assert (await till.vault.standing(till.rail, key.address)).reachable == AMPLE
    till.chain.hook = lambda question: None
    assert (await till.vault.standing(till.rail, key.address)).reachable == 7


async def test_an_old_answer_serves_for_a_while_and_then_no_more(till: Till) -> None:
    key = await till.covered(CHEAP)
    await till.vault.standing(till.rail, key.address)
    till.chain.hook = away
    till.now += MAX_AGE
    assert (await till.vault.standing(till.rail, key.address)).reachable == AMPLE
    till.now += STALE_AGE
    with pytest.raises(ChainUnreachableError):
        await till.vault.standing(till.rail, key.address)


async def test_our_own_events_refresh_our_own_deposit(till: Till) -> None:
    till.chain.fund(ME, token=1000)
    await till.vault.refresh()
    await till.settlement.deposit(600, key="a")
    await till.watcher.look()
    assert till.vault.free(till.rail) == 600


# --- what a payer's cheques are worth --------------------------------------------------------------------------------


async def test_a_payers_standing_is_its_balance_less_notice_and_what_is_locked_for_others(till: Till) -> None:
    key = await till.covered(CHEAP, deposit=1000)
    await till.act(key, till.chain.lock(ME, 100))
    await till.act(key, till.chain.lock(payer(9).address, 200))
    await till.act(key, till.chain.give_notice(300))
    standing = await till.vault.standing(till.rail, key.address)
    assert standing.funds == Funds(balance=1000, locked_for_us=100, locked_for_others=200, notice=300)
    assert standing.reachable == 500


async def test_a_deposit_that_moves_while_it_is_looked_at_is_not_worth_more_than_before_or_after(till: Till) -> None:
    key, other = await till.covered(CHEAP, deposit=1000), payer(9)
    await till.act(key, till.chain.lock(ME, 100))
    elsewhere = sign_cheque(till.chain.rail, Cheque(key.address, other.address, 950), key)
    await till.act(other, till.chain.approve(0))  # it has coins for fees now
    fee = await till.chain.estimate(till.chain.cash([elsewhere], None), other.address)
    tx = await till.chain.prepare(till.chain.cash([elsewhere], None), other.address, 1, fee)
    await till.chain.broadcast(till.chain.sign(tx, other))

    def between(question: str) -> None:
        if question == "available":
            till.chain.mine()

    till.chain.hook = between
    assert (await till.vault.standing(till.rail, key.address)).reachable == 100


async def test_a_bounced_cheque_is_worth_nothing_until_it_is_paid_and_is_remembered_after(till: Till) -> None:
    key = await till.covered(CHEAP, deposit=CHEAP - 40)
    await till.settlement.cash(await till.settlement.plan())
    await till.deposit(key, 40 + 1000)
    standing = await till.vault.standing(till.rail, key.address)
    assert standing.reachable == 0
    assert standing.explain(CHEAP) == ("nothing: a cheque bounced and 0.00000000000000004 BTT of it is unpaid")
    await till.settlement.cash(await till.settlement.plan())
    await till.vault.look_again(till.rail, [key.address])
    assert (await till.vault.standing(till.rail, key.address)).reachable == 500
    till.vault.bounces = lambda rail, who: 2
    await till.vault.look_again(till.rail, [key.address])
    assert (await till.vault.standing(till.rail, key.address)).reachable == 250


async def test_while_its_events_are_followed_a_payer_is_asked_for_only_when_they_name_it(till: Till) -> None:
    key = await till.covered(CHEAP)
    await till.vault.standing(till.rail, key.address)
    await till.watcher.look()
    asked: list[str] = []
    for _ in range(5):
        till.now += MAX_AGE - 1
        till.chain.mine()
        await till.watcher.look()
        till.chain.hook = asked.append
        await till.vault.standing(till.rail, key.address)
        till.chain.hook = lambda question: None
    assert asked == []
    till.now += MAX_AGE
    till.chain.hook = asked.append
    await till.vault.standing(till.rail, key.address)
    assert "available" in asked


async def test_an_answer_that_comes_late_does_not_replace_a_newer_one(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await till.covered(CHEAP)
    asked, late = asyncio.Event(), asyncio.Event()
    answers = [AMPLE, 7]

    async def slow(who: Address, payee: Address) -> int:
        answer = answers.pop(0)
        asked.set()
        if answer != 7:
            await late.wait()
        return answer

    monkeypatch.setattr(till.chain, "available", slow)
    first = asyncio.create_task(till.vault.standing(till.rail, key.address))
    await asked.wait()
    assert (await till.vault.standing(till.rail, key.address)).reachable == 7
    late.set()
    assert (await first).reachable == 7
