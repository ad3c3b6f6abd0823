"""Cheating buyers against a real seller over sockets: what each can take without paying, at most.

`credit` is the newcomer's credit, 1 MiB, and `w(x)` the price of x bytes, rounded up. A loss is what was sold on credit
and is covered by no cheque that can be cashed; what anybody gets for nothing is no loss.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from node.speed.credit import CreditPolicy
from node.speed.errors import StopCode
from node.speed.messages import Ask, Bid, ChequeMessage, Clear, Receipt, Stop
from node.speed.seller import MAX_USELESS
from tests.adversaries.buyers import BLOCK, BLOCKS, ScriptedBuyer, fresh_key, signed_bid
from tests.adversaries.victim import PRICE, Victim, victim
from wallet.amount import cost
from wallet.cheque import Cheque, Rail, sign_cheque
from wallet.keys import PrivateKey

CREDIT = CreditPolicy().newcomer
WORTH = cost(CREDIT, PRICE)
QUARTER = CREDIT // 4


async def drawn_by_all(seller: Victim, thieves: list[PrivateKey]) -> int:
    """Each takes what it can get, and leaves; returns the priced bytes all of them took."""
    taken = 0
    for key in thieves:
        thief = await ScriptedBuyer.meet(seller, key)
        thief.peer.tell(signed_bid(thief.ask, thief.rail, thief.key))
        while isinstance(answer := await thief.until(Clear, Stop, Receipt), Receipt) and answer.credit:
            pass
        await thief.take(BLOCKS)
        taken += thief.meter.bytes
        await thief.close()
        await seller.until(lambda: not seller.payments.trades.open, "the thief is gone")
    return taken


@pytest.mark.parametrize(("identities", "risked"), [(1, 1), (3, 1)])
async def test_who_takes_credit_and_vanishes_takes_one_credit_per_prefix(
    tmp_path: Path, worker_id: str, identities: int, risked: int
) -> None:
    """Loss <= risked x w(credit): how many credits so many newcomers, all of one /24, can take together."""
    async with victim(tmp_path, worker_id, sells=True) as seller:
        thieves = [fresh_key() for _ in range(identities)]
        for thief in thieves:
            await seller.deposit(thief)
        taken = await drawn_by_all(seller, thieves)
        assert 0 < taken <= risked * CREDIT
        assert 0 < seller.unpaid() <= risked * WORTH


async def test_who_comes_back_with_the_same_key_takes_one_credit_in_all(tmp_path: Path, worker_id: str) -> None:
    """Loss <= w(credit), however often it comes."""
    async with victim(tmp_path, worker_id, sells=True) as seller:
        thief = fresh_key()
        await seller.deposit(thief)
        taken = await drawn_by_all(seller, [thief] * 4)
        assert 0 < taken <= CREDIT
        assert seller.unpaid() <= WORTH


async def test_who_stays_and_never_pays_is_served_free_after_one_credit(tmp_path: Path, worker_id: str) -> None:
    """Loss <= w(credit); what follows is free service, at the price of 0."""
    async with victim(tmp_path, worker_id, sells=True) as seller:
        thief = await ScriptedBuyer.meet(seller)
        await thief.bid()
        await thief.take(BLOCKS)
        seller.later(seller.payments.settings.stall_timeout + 1)
        assert (await thief.until(Clear)).price == 0
        await thief.take(8)
        assert thief.meter.mark > thief.meter.bytes
        assert seller.unpaid() == thief.meter.amount <= WORTH


async def test_what_one_connection_pays_does_not_make_the_same_key_free_on_another(
    tmp_path: Path, worker_id: str
) -> None:
    """Loss <= w(credit + paid): both connections draw on one window."""
    async with victim(tmp_path, worker_id, sells=True) as seller:
        payer = await ScriptedBuyer.meet(seller)
        rider = await ScriptedBuyer.meet(seller, payer.key)
        for connection in (payer, rider):
            await connection.bid()
        await payer.take(QUARTER // BLOCK)
        paid = payer.meter.amount
        payer.pay(paid)
        await payer.receipt(paid)
        for connection in (rider, payer, rider):
            await connection.take(BLOCKS)
        assert seller.unpaid() == payer.meter.amount + rider.meter.amount - paid <= cost(CREDIT + QUARTER, PRICE)


async def test_who_lowers_its_bid_while_served_still_owes_what_it_took(tmp_path: Path, worker_id: str) -> None:
    """Loss <= w(credit), and 0 when it pays: the lower bid counts from its mark on."""
    async with victim(tmp_path, worker_id, sells=True) as seller:
        buyer = await ScriptedBuyer.meet(seller)
        await buyer.bid()
        await buyer.take(QUARTER // BLOCK)
        buyer.peer.tell(signed_bid(buyer.ask, buyer.rail, buyer.key, PRICE - 1))
        assert (await buyer.until(Stop)).code is StopCode.BELOW_RESERVE
        assert (await buyer.until(Clear)).price == 0
        await buyer.take(4)
        assert buyer.meter.mark > buyer.meter.bytes
        assert seller.unpaid() == buyer.meter.amount == cost(buyer.meter.bytes, PRICE) <= WORTH
        buyer.pay(buyer.meter.amount)
        await buyer.receipt(buyer.meter.amount)
        assert seller.unpaid() == 0


# --- bids that are not the bidder's ----------------------------------------------------------------------------------


def for_another_seller(ask: Ask, rail: Rail, key: PrivateKey) -> Bid:
    return signed_bid(replace(ask, payee=key.address), rail, key)


def for_another_connection(ask: Ask, rail: Rail, key: PrivateKey) -> Bid:
    return signed_bid(replace(ask, nonce=bytes(32)), rail, key)


def in_anothers_name(ask: Ask, rail: Rail, key: PrivateKey) -> Bid:
    return replace(signed_bid(ask, rail, fresh_key()), payer=key.address)


def raised_after_signing(ask: Ask, rail: Rail, key: PrivateKey) -> Bid:
    return replace(signed_bid(ask, rail, key), price=2 * PRICE)


@pytest.mark.parametrize("forge", [for_another_seller, for_another_connection, in_anothers_name, raised_after_signing])
async def test_a_bid_signed_for_anything_else_buys_nothing(
    tmp_path: Path, worker_id: str, forge: Callable[[Ask, Rail, PrivateKey], Bid]
) -> None:
    """Loss = 0, for the seller and for the payer it names."""
    async with victim(tmp_path, worker_id, sells=True) as seller:
        thief = await ScriptedBuyer.meet(seller)
        thief.peer.tell(forge(thief.ask, thief.rail, thief.key))
        assert await thief.stopped() is StopCode.BAD_SIGNATURE
        assert seller.unpaid() == thief.meter.amount == 0
        assert seller.payments.trades.sellers == {}


async def test_another_payers_bid_replayed_uses_none_of_its_credit(tmp_path: Path, worker_id: str) -> None:
    """Loss = 0 for the payer: its whole credit is left."""
    async with victim(tmp_path, worker_id, sells=True) as seller:
        payer = await ScriptedBuyer.meet(seller)
        recorded = signed_bid(payer.ask, payer.rail, payer.key)
        payer.peer.tell(recorded)
        await payer.until(Clear)
        thief = await ScriptedBuyer.meet(seller)
        thief.peer.tell(recorded)
        assert await thief.stopped() is StopCode.BAD_SIGNATURE
        assert seller.unpaid() == 0
        assert await payer.take(CREDIT // BLOCK) == CREDIT


# --- cheques that are not worth what they say ------------------------------------------------------------------------


async def test_a_cheque_that_is_replayed_or_shrunk_takes_nothing_back(tmp_path: Path, worker_id: str) -> None:
    """Loss = 0 of what was paid; w(credit) of what was not."""
    async with victim(tmp_path, worker_id, sells=True) as seller:
        thief = await ScriptedBuyer.meet(seller)
        await thief.bid()
        for _ in range(2):
            await thief.take(QUARTER // BLOCK)
            thief.pay(thief.meter.amount)
            await thief.receipt(thief.meter.amount)
        highest = thief.meter.amount
        for stale in (highest, highest // 2, 0, highest - 1):
            thief.pay(stale)
            assert (await thief.receipt(0)).cumulative == highest
        await thief.take(BLOCKS)
        assert seller.unpaid() == thief.meter.amount - highest <= cost(CREDIT + 2 * QUARTER, PRICE)
        (held,) = await seller.store.all_received()
        assert held.cumulative == highest


async def test_a_payer_whose_database_went_back_in_time_is_shown_its_highest_cheque(
    tmp_path: Path, worker_id: str
) -> None:
    """Loss = 0: the receipt on the next connection carries the payer's own signature."""
    async with victim(tmp_path, worker_id, sells=True) as seller:
        thief = await ScriptedBuyer.meet(seller)
        await thief.bid()
        await thief.take(QUARTER // BLOCK)
        paid = thief.meter.amount
        thief.pay(paid)
        await thief.receipt(paid)
        await thief.close()
        again = await ScriptedBuyer.meet(seller, thief.key)
        await again.bid()
        again.pay(1)
        receipt = await again.receipt(0)
        assert (receipt.cumulative, receipt.signature) == (paid, again.cheque(paid).signature)
        assert seller.unpaid() == 0


async def test_stale_cheques_in_a_flood_end_the_connection(tmp_path: Path, worker_id: str) -> None:
    """Loss <= MAX_USELESS receipts."""
    async with victim(tmp_path, worker_id, sells=True) as seller:
        thief = await ScriptedBuyer.meet(seller)
        await thief.bid()
        for _ in range(MAX_USELESS):
            thief.pay(0)
            await thief.receipt(0)
        thief.pay(0)
        assert await thief.stopped() is StopCode.STALE_CHEQUE


def by_another_key(thief: ScriptedBuyer) -> ChequeMessage:
    return thief.cheque(thief.meter.amount, fresh_key())


def to_another_payee(thief: ScriptedBuyer) -> ChequeMessage:
    cheque = Cheque(thief.key.address, thief.key.address, thief.meter.amount)
    return replace(thief.cheque(thief.meter.amount), signature=sign_cheque(thief.rail, cheque, thief.key).signature)


def grown_after_signing(thief: ScriptedBuyer) -> ChequeMessage:
    return replace(thief.cheque(1), cumulative=thief.meter.amount)


@pytest.mark.parametrize("forge", [by_another_key, to_another_payee, grown_after_signing])
async def test_a_cheque_that_nobody_signed_for_us_counts_nothing(
    tmp_path: Path, worker_id: str, forge: Callable[[ScriptedBuyer], ChequeMessage]
) -> None:
    """Loss <= w(credit)."""
    async with victim(tmp_path, worker_id, sells=True) as seller:
        thief = await ScriptedBuyer.meet(seller)
        await thief.bid()
        await thief.take(BLOCKS)
        thief.peer.tell(forge(thief))
        assert await thief.stopped() is StopCode.BAD_SIGNATURE
        assert await seller.store.all_received() == []
        assert 0 < seller.unpaid() == thief.meter.amount <= WORTH


async def spent_elsewhere(seller: Victim, key: PrivateKey, amount: int) -> None:
    """An accomplice cashes a cheque over everything first."""
    accomplice = fresh_key()
    signed = sign_cheque(seller.chain.rail, Cheque(key.address, accomplice.address, amount), key)
    await seller.act(accomplice, seller.chain.cash([signed], accomplice.address))


async def withdrawn(seller: Victim, key: PrivateKey, amount: int) -> None:
    """The day of notice passes before the seller cashes."""
    await seller.act(key, seller.chain.give_notice(amount))
    seller.chain.pass_time(2 * 24 * 3600)
    await seller.act(key, seller.chain.withdraw(key.address))


@pytest.mark.parametrize("spend", [spent_elsewhere, withdrawn])
async def test_a_cheque_that_bounces_costs_what_the_vault_lost_since_it_was_last_looked_at(
    tmp_path: Path, worker_id: str, spend: Callable[[Victim, PrivateKey, int], Awaitable[None]]
) -> None:
    """Loss <= coverage last known - coverage now; from the news on nothing more is sold to this payer."""
    deposit = 3 * WORTH // 4
    async with victim(tmp_path, worker_id, sells=True) as seller:
        thief = await ScriptedBuyer.meet(seller, deposit=deposit)
        await thief.bid()
        await thief.take(QUARTER // BLOCK)
        thief.pay(thief.meter.amount)
        await thief.receipt(thief.meter.amount)
        await spend(seller, thief.key, deposit)
        assert await thief.take(QUARTER // BLOCK) == QUARTER, "the seller has not heard yet"
        lost = thief.meter.amount
        assert await seller.chain.available(thief.key.address, thief.ask.payee) == 0
        await seller.chain_speaks(thief.key.address)
        thief.pay(lost)  # as worthless as the one before
        await thief.receipt(lost)
        await thief.take(BLOCKS)
        assert thief.heard[-1:] == [Clear(0, 0, 0, 1)]
        assert any(isinstance(message, Stop) and message.code is StopCode.INSOLVENT for message in thief.heard)
        again = await ScriptedBuyer.meet(seller, thief.key)
        again.peer.tell(signed_bid(again.ask, again.rail, again.key))
        assert (await again.until(Stop)).code is StopCode.INSOLVENT
        assert again.meter.amount == 0
        assert thief.meter.amount == lost <= deposit
        assert sum(account.earned for account in seller.payments.trades.sellers.values()) == lost
