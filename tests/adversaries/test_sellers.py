"""Cheating sellers against a real buyer over sockets: what each can make it pay, at most.

`w(x)` is the price of x bytes at the buyer's bid, rounded up. A loss is what was signed, or is acknowledged
for the next cheque, beyond that price for bytes that were asked for and passed their hash.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from node.ports.engine import TorrentId
from node.services.budget import TorrentTerms
from node.services.judging import FIRST_BAR
from node.speed.buyer import BID_UNREAD
from node.speed.delivery import MIN_WINDOW_MS
from node.speed.errors import StopCode
from node.speed.messages import Clear
from node.speed.reputation import Tallies
from tests.adversaries.raw import Request
from tests.adversaries.sellers import BLOCK, CROOK, ScriptedSeller, junk
from tests.adversaries.victim import PIECE, PRICE, Victim, victim
from wallet.amount import MIB, cost
from wallet.keys import PrivateKey

HONEST = PrivateKey(b"\x48" * 32)

BLOCKS = PIECE // BLOCK
"""In one piece."""


async def test_the_scripted_seller_is_paid_to_the_unit_when_it_does_not_cheat(tmp_path: Path, worker_id: str) -> None:
    """Loss = 0. Else all other tests here could pass because nobody buys."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        seller = await ScriptedSeller.meet(buyer)
        seller.open()
        assert await seller.serve(len(buyer.data) // BLOCK) == len(buyer.data) // BLOCK
        await seller.paid(cost(len(buyer.data), PRICE))
        assert await seller.leave() == seller.held == cost(len(buyer.data), PRICE)


async def test_junk_is_never_paid(tmp_path: Path, worker_id: str) -> None:
    """Loss = 0: signed <= w(pieces that passed)."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        seller = await ScriptedSeller.meet(buyer)
        seller.open()
        served = await seller.serve(4 * BLOCKS, junk)
        await buyer.until(lambda: bool(buyer.failed), "a piece fails its hash")
        assert served >= BLOCKS
        assert seller.meter.amount > 0
        assert await seller.leave() == seller.held == 0
        assert buyer.memory() == Tallies(failed=len(buyer.failed))


async def test_junk_after_honest_pieces_costs_no_more_than_those(tmp_path: Path, worker_id: str) -> None:
    """Loss = 0: signed <= w(pieces that passed)."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        seller = await ScriptedSeller.meet(buyer)
        seller.open()
        bad: set[int] = set()

        def sometimes(request: Request, right: bytes) -> bytes:
            if seller.meter.mark >= 4 * PIECE:
                bad.add(request.piece)
            return bytes(len(right)) if request.piece in bad else right

        await seller.serve(8 * BLOCKS, sometimes)
        await buyer.until(lambda: bool(buyer.failed), "a piece fails its hash")
        signed = await seller.leave()
        passed = sum(map(len, buyer.payments.trades.verified.values()))
        assert 0 < signed <= cost(passed * PIECE, PRICE) < seller.meter.amount


async def test_over_counting_in_a_receipt_ends_the_trade(tmp_path: Path, worker_id: str) -> None:
    """Loss = 0: signed <= w(bytes received), and nothing after the false receipt."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        seller = await ScriptedSeller.meet(buyer)
        seller.open()
        await seller.serve(4 * BLOCKS)
        await seller.until(lambda: seller.held > 0)
        seller.receipt(priced=seller.meter.bytes + BLOCK, amount=seller.meter.amount + cost(BLOCK, PRICE))
        await seller.stopped(StopCode.ACCOUNTS_DIFFER)
        due = seller.meter.amount
        await seller.serve(4 * BLOCKS)
        assert 0 < await seller.leave() <= due
        memory = buyer.memory()
        assert (memory.overcounted, memory.stops) == (BLOCK, 1)
        assert memory.delivered > 0


async def test_a_price_raised_without_a_word_ends_the_trade(tmp_path: Path, worker_id: str) -> None:
    """Loss = 0: signed <= w(bytes received) at the price that was announced."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        seller = await ScriptedSeller.meet(buyer)
        seller.receipt()
        seller.price(PRICE // 2)
        seller.meter.set_price(PRICE, 0)
        await seller.serve(4 * BLOCKS)
        seller.receipt()
        await seller.stopped(StopCode.ACCOUNTS_DIFFER)
        assert await seller.leave() <= cost(4 * PIECE, PRICE // 2)


async def test_a_price_above_the_bid_is_never_paid(tmp_path: Path, worker_id: str) -> None:
    """Loss = 0: signed <= w(bytes before that clear)."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        seller = await ScriptedSeller.meet(buyer)
        seller.open()
        await seller.serve(2 * BLOCKS)
        agreed = seller.meter.amount
        seller.price(seller.bids[-1].price + 1)
        await seller.stopped(StopCode.PRICE_TOO_HIGH)
        await seller.serve(4 * BLOCKS)
        assert await seller.leave() <= agreed < seller.meter.amount


async def test_a_price_in_answer_to_a_bid_that_was_never_made_is_refused(tmp_path: Path, worker_id: str) -> None:
    """Loss = 0."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        seller = await ScriptedSeller.meet(buyer)
        seller.receipt()
        seller.price(PRICE, answers=99)
        await seller.stopped(StopCode.PRICE_TOO_HIGH)
        await seller.serve(4 * BLOCKS)
        assert await seller.leave() == 0


async def lower_the_bid(seller: ScriptedSeller) -> None:
    buyer = seller.buyer
    buyer.payments.set_terms(TorrentId(buyer.info_hash.hex()), TorrentTerms(max_price=PRICE // 2))
    made = len(seller.bids)
    await seller.until(lambda: len(seller.bids) > made)
    assert seller.bids[-1].price == PRICE // 2


async def test_a_lower_bid_that_is_not_read_ends_the_trade_when_the_old_price_is_set_again(
    tmp_path: Path, worker_id: str
) -> None:
    """Loss <= w(bytes received in BID_UNREAD seconds) at the old bid."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        seller = await ScriptedSeller.meet(buyer)
        seller.open()
        await seller.serve(2 * BLOCKS)
        await lower_the_bid(seller)
        seller.price(PRICE, answers=1)  # on its way when the bid was lowered, as far as the buyer can know
        await seller.serve(BLOCKS)
        await seller.counted()
        agreed = seller.meter.amount
        buyer.later(BID_UNREAD + 1)
        seller.price(PRICE, answers=1)
        await seller.stopped(StopCode.PRICE_TOO_HIGH)
        await seller.serve(2 * BLOCKS)
        assert await seller.leave() <= agreed


async def test_a_lower_bid_that_is_ignored_in_silence_ends_the_old_price(tmp_path: Path, worker_id: str) -> None:
    """Loss <= w(bytes received in BID_UNREAD seconds) at the old bid."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        seller = await ScriptedSeller.meet(buyer)
        seller.open()
        await seller.serve(2 * BLOCKS)
        await lower_the_bid(seller)
        await seller.counted()
        before = seller.meter.amount
        buyer.later(BID_UNREAD + 1)
        await seller.serve(8 * BLOCKS)
        assert await seller.leave() <= before + cost(8 * PIECE, PRICE // 2)


async def test_blocks_that_nobody_asked_for_are_never_paid(tmp_path: Path, worker_id: str) -> None:
    """Loss = 0: signed <= w(bytes asked for)."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        seller = await ScriptedSeller.meet(buyer)
        seller.open()
        await seller.until(lambda: len(seller.requests) >= 1)
        first = seller.requests[0]
        right = buyer.data[first.piece * PIECE :][:PIECE]
        await seller.serve(BLOCKS)
        for _ in range(8):
            seller.send(first, right[first.offset : first.offset + first.length])
        assert 0 < await seller.leave() <= cost(PIECE, PRICE)


async def test_withholding_after_payment_keeps_only_what_was_earned(tmp_path: Path, worker_id: str) -> None:
    """Loss = 0: nothing is paid before its piece has passed, so signed <= w(pieces that passed)."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        seller = await ScriptedSeller.meet(buyer)
        seller.open()
        await seller.serve(4 * BLOCKS)
        await seller.until(lambda: seller.held > 0)
        buyer.later(3600)
        signed = await seller.leave()
        passed = sum(map(len, buyer.payments.trades.verified.values()))
        assert 0 < signed <= cost(passed * PIECE, PRICE)


async def test_all_but_the_last_block_of_each_piece_earns_nothing(tmp_path: Path, worker_id: str) -> None:
    """Loss = 0: a piece is paid when it has passed."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        seller = await ScriptedSeller.meet(buyer)
        seller.open()
        for _ in range(2 * BLOCKS):
            await seller.until(lambda: any(r.offset != PIECE - BLOCK for r in seller.requests))
            while seller.requests and seller.requests[0].offset == PIECE - BLOCK:
                seller.requests.popleft()
            if seller.requests:
                await seller.serve(1)
        assert seller.meter.amount > 0
        assert await seller.leave() == 0


async def pass_time(buyer: Victim, seconds: int) -> None:
    """Second by second, each looked at as the node does."""
    for _ in range(seconds):
        buyer.later(1)
        await buyer.payments.carrier.drain()


async def test_a_bid_taken_and_not_served_costs_nothing_and_another_seller_completes_the_download(
    tmp_path: Path, worker_id: str
) -> None:
    """Loss = 0: the crook promises a rate, sends nothing and is paid nothing; it is stopped, and gets no bid again."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        crook = await ScriptedSeller.meet(buyer)
        crook.receipt()
        crook.price(PRICE, rate=10 * MIB)
        await crook.until(lambda: bool(crook.requests))
        await buyer.until(lambda: crook.session.granted > 0, "the buyer knows what was promised")
        await pass_time(buyer, MIN_WINDOW_MS // 1000 + 2)
        await crook.stopped(StopCode.BYE)
        trade = buyer.trade_of(crook.peer)
        assert trade.last_word is not None
        assert "delivered 0" in trade.last_word.text
        crook.price(0)

        honest = await ScriptedSeller.meet(buyer, key=HONEST)
        honest.open()
        assert await honest.serve(len(buyer.data) // BLOCK) == len(buyer.data) // BLOCK
        await honest.paid(cost(len(buyer.data), PRICE))
        await pass_time(buyer, 60)
        owed = {key[1]: book.account.owed for key, book in buyer.payments.trades.buyers.items()}
        assert owed == {CROOK.address: 0, HONEST.address: cost(len(buyer.data), PRICE)}
        assert (len(crook.bids), crook.cheques) == (1, [])


async def test_a_stopped_seller_is_tried_again_when_its_time_is_over(tmp_path: Path, worker_id: str) -> None:
    """It stays connected meanwhile: what it serves for nothing is welcome."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        crook = await ScriptedSeller.meet(buyer)
        crook.receipt()
        crook.price(PRICE, rate=10 * MIB)
        await crook.until(lambda: bool(crook.requests))
        await buyer.until(lambda: crook.session.granted > 0, "the buyer knows what was promised")
        await pass_time(buyer, MIN_WINDOW_MS // 1000 + 2)
        await crook.stopped(StopCode.BYE)
        crook.price(0)
        assert await crook.serve(4) == 4
        await pass_time(buyer, 20)
        assert (len(crook.bids), crook.gone) == (1, False)
        buyer.later(FIRST_BAR)
        await crook.until(lambda: len(crook.bids) == 2)
        assert crook.held == 0


async def test_a_seller_that_ran_out_of_wishes_is_not_stopped(tmp_path: Path, worker_id: str) -> None:
    """A download with nothing left to ask for is no seller's fault, however long it takes."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        seller = await ScriptedSeller.meet(buyer)
        seller.receipt()
        seller.price(PRICE, rate=100 * MIB)
        await seller.serve(len(buyer.data) // BLOCK)
        await seller.paid(cost(len(buyer.data), PRICE))
        await pass_time(buyer, 120)
        assert seller.stops == []


@pytest.mark.parametrize("shown", [0, 1])
async def test_a_lower_receipt_than_was_paid_lowers_only_its_own_claim(
    tmp_path: Path, worker_id: str, shown: int
) -> None:
    """Loss = 0: signed in all <= w(bytes received on both connections)."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        first = await ScriptedSeller.meet(buyer)
        first.open()
        await first.serve(4 * BLOCKS)
        await first.until(lambda: first.held > 0)
        paid = await first.leave()
        again = await ScriptedSeller.meet(buyer)
        again.receipt(cumulative=shown, signature=b"")
        again.price(PRICE)
        await again.serve(4 * BLOCKS)
        await again.paid(paid + 1)
        assert paid < await again.leave() <= first.meter.amount + again.meter.amount


@pytest.mark.parametrize("proof", ["none", "forged", "of a bid"])
async def test_a_cheque_that_was_never_signed_is_not_believed(tmp_path: Path, worker_id: str, proof: str) -> None:
    """Loss = 0: signed <= w(bytes received), and the floor stays where it was."""
    async with victim(tmp_path, worker_id, sells=False) as buyer:
        seller = await ScriptedSeller.meet(buyer)
        signature = {"none": b"", "forged": b"\x11" * 64 + b"\x1b", "of a bid": seller.bids[0].signature}[proof]
        seller.receipt(cumulative=10**24, signature=signature)
        await seller.stopped(StopCode.ACCOUNTS_DIFFER)
        seller.peer.tell(Clear(PRICE, 0, 1, 1))
        await seller.serve(2 * BLOCKS)
        assert await seller.leave() <= cost(2 * PIECE, PRICE)
