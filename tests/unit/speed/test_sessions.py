"""The two sessions, joined in memory: what buyer and seller can rely on, whatever the other side or the timing does."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from node.speed.buyer import BID_UNREAD, BuyerAccount, BuyerState
from node.speed.credit import CreditPolicy, SellerAccount
from node.speed.errors import StopCode
from node.speed.messages import Bid, ChequeMessage, Clear, Receipt
from node.speed.outputs import Send, SetAllowance
from node.speed.seller import BLOCK, MAX_USELESS, SellerState
from tests.unit.speed.pair import PAYEE_KEY, PAYER_KEY, PRICE, RAIL, Pair
from wallet.address import Address
from wallet.amount import MIB, cost
from wallet.cheque import Cheque, Rail, bid_digest, sign_cheque


def codes(pair: Pair) -> list[StopCode]:
    return [notice.code for notice in pair.notices]


def test_a_whole_download_is_paid_to_the_unit() -> None:
    pair = Pair()
    pair.open()
    size = 40 * MIB + 12345
    assert pair.download(size) == size
    pair.finish()
    priced = pair.seller.meter.bytes
    assert priced == size
    assert pair.account.earned == cost(size, PRICE) == pair.buyer_account.owed
    assert pair.account.accepted == pair.buyer_account.issued == pair.account.earned
    assert pair.buyer_account.settled
    assert pair.notices == []


def test_cheques_only_grow_and_each_is_durable_before_it_is_sent() -> None:
    pair = Pair(hold_store=True)
    pair.open()
    for _ in range(200):
        pair.send_block()
        pair.carry()
        assert all(not isinstance(m, ChequeMessage) or m.cumulative in pair.issued for m in pair.to_seller)
        pair.mono += 0.01
        if len(pair.waiting) > 1 or pair.stalled:
            pair.release_store()
            pair.carry()
    assert pair.issued == sorted(set(pair.issued))
    assert pair.stored == sorted(set(pair.stored))
    assert set(pair.stored) <= set(pair.issued)


def test_a_payer_that_never_pays_gets_no_more_than_the_newcomers_credit() -> None:
    pair = Pair()
    pair.open()
    while pair.send_block():
        pass
    assert pair.account.unpaid <= cost(MIB, PRICE)
    assert pair.sent <= MIB


def test_at_the_credit_limit_service_stops_and_resumes_with_the_cheque() -> None:
    pair = Pair()
    pair.open()
    while pair.send_block():
        pass
    stuck, bound = pair.sent, pair.allowance
    assert bound is not None
    assert stuck + BLOCK > bound
    pair.carry()
    assert pair.send_block()
    assert pair.sent > stuck


def test_a_payer_that_stays_silent_at_the_limit_goes_back_to_free_service() -> None:
    pair = Pair()
    pair.open()
    while pair.send_block():
        pass
    assert pair.seller.deadline() is not None
    pair.mono += 11
    pair.run_seller(pair.seller.timer(pair.now))
    assert pair.seller.state.name == SellerState.SUSPENDED.name
    assert pair.allowance is None
    owed = pair.account.earned
    assert pair.send_block()
    assert pair.account.earned == owed
    # The cheque that comes after all buys priced service again.
    pair.carry()
    assert pair.seller.state.name == SellerState.PRICED.name
    assert pair.seller.meter.price == PRICE


def test_a_piece_larger_than_the_credit_does_not_deadlock() -> None:
    pair = Pair(piece_length=8 * MIB)
    pair.open()
    pair.download(16 * MIB)
    assert pair.stalled
    pair.mono += 11
    pair.run_seller(pair.seller.timer(pair.now))
    pair.carry()
    pair.download(7 * MIB)
    assert pair.account.accepted > 0, "the first piece passed and its priced part was paid"
    assert pair.seller.state.name == SellerState.PRICED.name


def test_a_failed_piece_is_never_paid_and_costs_the_seller_credit() -> None:
    pair = Pair()
    pair.open()
    pair.download(3 * MIB)
    paid = pair.buyer_account.owed
    for _ in range(4):
        pair.send_block()
    lengths = []
    while pair.to_buyer:
        item = pair.to_buyer.popleft()
        if isinstance(item, int):
            lengths.append(item)
            pair.received += item
            pair.buyer.bytes_received(999, item)
    assert pair.buyer.piece_failed(999) == sum(lengths) > 0
    pair.run_buyer(pair.buyer.settle(pair.now))
    pair.carry()
    assert pair.buyer_account.owed == paid
    assert pair.account.unpaid >= cost(sum(lengths), PRICE) - 1


def test_unrequested_blocks_are_never_paid() -> None:
    pair = Pair()
    pair.open()
    pair.sent += 5 * BLOCK
    pair.seller.bytes_sent(pair.sent, pair.now)
    pair.buyer.bytes_received(0, 5 * BLOCK, unrequested=5 * BLOCK)
    pair.received += 5 * BLOCK
    pair.buyer.piece_passed(0)
    pair.buyer.finish()
    pair.run_buyer(pair.buyer.settle(pair.now))
    assert pair.buyer_account.owed == 0


def test_the_budget_for_a_connection_is_used_to_the_last_block_and_then_service_is_free() -> None:
    ceiling = cost(5 * MIB, PRICE) + 7
    pair = Pair(ceiling=ceiling)
    pair.open()
    pair.download(20 * MIB)
    # The engine stalls at the ceiling once; the clear at price 0 lifts the bound.
    pair.download(20 * MIB)
    pair.finish()
    assert ceiling - cost(BLOCK, PRICE) < pair.buyer_account.issued <= ceiling
    assert pair.account.earned == pair.account.accepted == pair.buyer_account.issued
    assert StopCode.BUDGET in codes(pair)
    assert pair.seller.meter.price == 0
    assert pair.received >= 20 * MIB


def test_a_renewed_bid_with_a_higher_ceiling_buys_again() -> None:
    pair = Pair(ceiling=cost(2 * MIB, PRICE))
    pair.open()
    pair.download(6 * MIB)
    pair.download(MIB)
    assert pair.seller.state.name == SellerState.FREE.name
    pair.ceiling = cost(4 * MIB, PRICE)
    pair.make_bid()
    pair.carry()
    assert pair.seller.state.name == SellerState.PRICED.name
    pair.download(6 * MIB)
    pair.finish()
    assert cost(4 * MIB - BLOCK, PRICE) <= pair.buyer_account.issued <= pair.ceiling


def test_an_empty_vault_buys_nothing_and_says_why() -> None:
    pair = Pair(coverage=0)
    pair.open()
    assert StopCode.INSOLVENT in codes(pair)
    assert pair.download(3 * MIB) == 3 * MIB
    assert pair.account.earned == 0


def test_a_vault_that_runs_dry_ends_priced_service_at_the_last_covered_byte() -> None:
    pair = Pair(coverage=cost(4 * MIB, PRICE))
    pair.open()
    pair.download(10 * MIB)
    pair.download(10 * MIB)
    pair.finish()
    assert pair.account.earned <= cost(4 * MIB, PRICE)
    assert pair.account.accepted == pair.account.earned
    assert StopCode.INSOLVENT in codes(pair)


def test_a_bid_below_the_reserve_stays_free() -> None:
    pair = Pair(bid_price=PRICE - 1)
    pair.open()
    assert StopCode.BELOW_RESERVE in codes(pair)
    assert pair.download(2 * MIB) == 2 * MIB
    assert pair.account.earned == 0


def test_a_bid_in_another_payers_name_is_refused() -> None:
    pair = Pair()
    pair.run_seller(pair.seller.start(pair.now))
    pair.to_buyer.clear()
    stranger = bid_digest(RAIL, PAYEE_KEY.address, PAYEE_KEY.address, PRICE, bytes(32))
    pair.to_seller.append(
        Bid(RAIL.id, PAYEE_KEY.address, PRICE, 0, pair.wall + 9, None, PAYER_KEY.sign_digest(stranger))
    )
    pair.carry()
    assert StopCode.BAD_SIGNATURE in codes(pair)
    assert pair.seller.meter.price == 0


def test_a_replayed_bid_of_an_earlier_connection_is_refused() -> None:
    pair = Pair()
    pair.seller.nonce = b"\1" * 32
    pair.run_seller(pair.seller.start(pair.now))
    old = bid_digest(RAIL, PAYER_KEY.address, PAYEE_KEY.address, PRICE, bytes(32))
    pair.to_buyer.clear()
    pair.to_seller.append(Bid(RAIL.id, PAYER_KEY.address, PRICE, 0, pair.wall + 9, None, PAYER_KEY.sign_digest(old)))
    pair.carry()
    assert StopCode.BAD_SIGNATURE in codes(pair)


def test_a_forged_cheque_ends_the_trade() -> None:
    pair = Pair()
    pair.open()
    pair.download(2 * MIB)
    accepted = pair.account.accepted
    pair.to_seller.append(ChequeMessage(RAIL.id, PAYER_KEY.address, accepted + 10**18, b"\x11" * 64 + b"\x1b"))
    pair.carry()
    assert StopCode.BAD_SIGNATURE in codes(pair)
    assert pair.account.accepted == accepted
    assert pair.seller.meter.price == 0


def test_replayed_and_shrunk_cheques_change_nothing_and_a_flood_of_them_disconnects() -> None:
    pair = Pair()
    pair.open()
    pair.download(4 * MIB)
    accepted = pair.account.accepted
    first = pair.issued[0]
    old = sign_cheque(RAIL, Cheque(PAYER_KEY.address, PAYEE_KEY.address, first), PAYER_KEY)
    for _ in range(MAX_USELESS):
        pair.to_seller.append(ChequeMessage(RAIL.id, PAYER_KEY.address, first, old.signature))
        pair.carry()
    assert pair.account.accepted == accepted
    assert pair.notices == []
    pair.to_seller.append(ChequeMessage(RAIL.id, PAYER_KEY.address, first, old.signature))
    pair.carry()
    assert StopCode.STALE_CHEQUE in codes(pair)


def test_a_flood_of_bids_is_cut_off() -> None:
    pair = Pair()
    pair.open()
    for _ in range(40):
        pair.make_bid()
    pair.carry()
    assert StopCode.MALFORMED in codes(pair)


def test_the_buyer_never_accepts_a_price_above_its_bid() -> None:
    pair = Pair()
    pair.open()
    pair.download(2 * MIB)
    pair.to_buyer.append(Clear(PRICE + 1, 0, 99))
    pair.carry()
    owed = pair.buyer_account.owed
    assert StopCode.PRICE_TOO_HIGH in codes(pair)
    assert pair.buyer.state.name == BuyerState.STOPPED.name
    pair.download(4 * MIB)
    pair.finish()
    assert pair.buyer_account.owed <= owed + cost(pair.piece_length, PRICE)


def test_a_price_without_a_bid_is_refused() -> None:
    pair = Pair()
    pair.to_buyer.append(Clear(1, 0, 1))
    pair.carry()
    assert StopCode.PRICE_TOO_HIGH in codes(pair)


def test_an_over_counting_seller_is_found_out_by_its_receipt() -> None:
    pair = Pair()
    pair.open()
    pair.download(2 * MIB)
    truth = pair.seller._receipt()
    pair.to_buyer.append(
        Receipt(
            truth.rail,
            truth.cumulative,
            truth.signature,
            truth.mark,
            truth.priced + 1,
            truth.amount + 1,
            truth.credit,
        )
    )
    pair.carry()
    assert StopCode.ACCOUNTS_DIFFER in codes(pair)
    owed = pair.buyer_account.owed
    pair.download(4 * MIB)
    pair.finish()
    assert pair.buyer_account.owed == owed


def test_a_payer_with_an_old_database_learns_its_highest_cheque_from_its_own_signature() -> None:
    signed = sign_cheque(RAIL, Cheque(PAYER_KEY.address, PAYEE_KEY.address, 5 * 10**18), PAYER_KEY)
    known = SellerAccount(CreditPolicy(), earned=5 * 10**18, accepted=5 * 10**18, signature=signed.signature)
    pair = Pair(seller_account=known, buyer_account=BuyerAccount(issued=10**18))
    pair.open()
    assert pair.floors == [5 * 10**18]
    pair.download(4 * MIB)
    pair.finish()
    assert min(pair.issued) > 5 * 10**18
    assert pair.account.accepted == 5 * 10**18 + cost(4 * MIB, PRICE)


def test_a_restored_database_pays_again_once_the_payee_has_shown_its_receipt() -> None:
    signed = sign_cheque(RAIL, Cheque(PAYER_KEY.address, PAYEE_KEY.address, 10**18), PAYER_KEY)
    known = SellerAccount(CreditPolicy(), earned=10**18, accepted=10**18, signature=signed.signature)
    account = BuyerAccount(issued=10**18, signature=signed.signature, unproven=True)
    pair = Pair(seller_account=known, buyer_account=account)
    pair.open()
    assert pair.floors == [10**18]
    pair.download(4 * MIB)
    pair.finish()
    assert pair.account.accepted == 10**18 + cost(4 * MIB, PRICE)


def test_a_seller_that_invents_a_higher_cheque_is_not_believed() -> None:
    known = SellerAccount(CreditPolicy(), earned=5 * 10**18, accepted=5 * 10**18, signature=b"\x22" * 64 + b"\x1c")
    pair = Pair(seller_account=known)
    pair.open()
    assert StopCode.ACCOUNTS_DIFFER in codes(pair)
    assert pair.floors == []
    assert pair.buyer_account.issued == 0


def test_a_cheque_that_never_arrived_is_sent_again_on_the_next_connection() -> None:
    signed = sign_cheque(RAIL, Cheque(PAYER_KEY.address, PAYEE_KEY.address, 3 * 10**18), PAYER_KEY)
    account = BuyerAccount(issued=3 * 10**18, signature=signed.signature)
    pair = Pair(buyer_account=account, seller_account=SellerAccount(CreditPolicy(), earned=3 * 10**18))
    pair.open()
    assert pair.account.accepted == 3 * 10**18
    assert pair.buyer_account.settled


def test_old_debts_are_paid_when_the_seller_is_met_again() -> None:
    pair = Pair(buyer_account=BuyerAccount(owed=777), seller_account=SellerAccount(CreditPolicy(), earned=777))
    pair.open()
    assert pair.account.accepted == 777


def test_two_sides_without_a_common_rail_stay_ordinary_peers() -> None:
    pair = Pair()
    pair.buyer.rails = {"eip155:1029": Rail("eip155:1029", 1029, RAIL.vault, RAIL.token)}
    pair.open()
    assert StopCode.UNKNOWN_RAIL in codes(pair)
    assert pair.download(2 * MIB) == 2 * MIB
    assert pair.account.earned == 0


def test_the_same_chain_with_another_vault_is_no_common_rail() -> None:
    pair = Pair()
    pair.buyer.rails = {RAIL.id: Rail(RAIL.id, 199, Address(bytes(20)), RAIL.token)}
    pair.open()
    assert StopCode.UNKNOWN_RAIL in codes(pair)


def test_a_bid_that_expires_ends_priced_service() -> None:
    pair = Pair()
    pair.open()
    pair.download(2 * MIB)
    pair.wall += 7200
    pair.run_seller(pair.seller.timer(pair.now))
    assert StopCode.EXPIRED in codes(pair)
    pair.carry()
    assert pair.seller.meter.price == 0
    assert pair.buyer.meter.price == 0


def test_the_allowance_is_in_force_before_the_price_is_announced() -> None:
    pair = Pair()
    outputs = pair.seller.start(pair.now)
    pair.run_seller(outputs)
    pair.carry()
    pair.seller.state = SellerState.SUSPENDED
    pair.seller._price_asked = 0
    pair.seller.meter.set_price(0, pair.sent)
    order = [type(o) for o in pair.seller._clear(PRICE)]
    assert order.index(SetAllowance) < order.index(Send)


ACTIONS = st.lists(
    st.sampled_from(["block", "to_buyer", "to_seller", "store", "tick", "timer", "bid"]), min_size=20, max_size=400
)


def rounds(pair: Pair, price: int, number: int, rate: int = 1000) -> None:
    pair.run_seller(pair.seller.cleared(price, rate, number, pair.now))


def test_each_round_marks_its_price_in_the_stream_and_both_sides_count_the_same() -> None:
    pair = Pair(bid_price=5 * PRICE)
    pair.open()
    owed = 0
    for number, price in enumerate((3 * PRICE, 3 * PRICE, 2 * PRICE, 5 * PRICE), 1):
        rounds(pair, price, number)
        assert pair.download(3 * MIB) == 3 * MIB
        owed += cost(3 * MIB, price)
    pair.finish()
    assert pair.seller.meter.amount == pair.buyer.meter.amount == owed
    assert pair.account.accepted == owed
    assert pair.notices == []


def test_a_bid_that_loses_a_round_is_served_free_and_wins_a_later_one_without_a_word() -> None:
    pair = Pair(bid_price=2 * PRICE)
    pair.open()
    pair.download(MIB)
    rounds(pair, 3 * PRICE, 1)
    assert pair.seller.state.value == "outbid"
    assert pair.download(5 * MIB) == 5 * MIB
    assert pair.allowance is None
    rounds(pair, 2 * PRICE, 2)
    assert pair.seller.state.value == "priced"
    pair.download(MIB)
    pair.finish()
    assert pair.account.earned == cost(MIB, PRICE) + cost(MIB, 2 * PRICE) == pair.buyer_account.owed
    assert pair.notices == []


def test_a_renewed_bid_above_the_price_of_the_round_is_served_at_once() -> None:
    pair = Pair(bid_price=2 * PRICE)
    pair.open()
    rounds(pair, 3 * PRICE, 1)
    pair.bid_price = 4 * PRICE
    pair.make_bid()
    pair.carry()
    assert pair.seller.state.value == "priced"
    assert pair.seller.meter.price == 3 * PRICE


def test_a_clear_that_crosses_a_lower_bid_on_its_way_is_no_dispute() -> None:
    pair = Pair(bid_price=4 * PRICE)
    pair.open()
    rounds(pair, 3 * PRICE, 1)  # under way to the buyer,
    pair.bid_price = 2 * PRICE
    pair.make_bid()  # who bids less before it arrives
    pair.send_block()
    pair.carry()
    assert not pair.buyer.disputed
    assert pair.seller.state.value == "outbid"
    assert pair.seller.meter.amount == pair.buyer.meter.amount == cost(BLOCK, 3 * PRICE)


def test_a_seller_that_will_not_read_a_lower_bid_is_not_paid_the_old_price_for_long() -> None:
    pair = Pair(bid_price=4 * PRICE)
    pair.open()
    pair.bid_price = 2 * PRICE
    pair.make_bid()
    pair.to_seller.clear()  # the seller acts as if it had not come
    disputed = []
    for number, price in enumerate((3 * PRICE, 4 * PRICE), 1):
        rounds(pair, price, number)
        pair.step_to_buyer()
        disputed.append(pair.buyer.disputed)
        pair.mono += BID_UNREAD + 1
    assert disputed == [False, True]
    assert codes(pair) == [StopCode.PRICE_TOO_HIGH]


@settings(max_examples=60, deadline=None)
@given(ACTIONS)
def test_under_any_interleaving_accounts_agree_and_losses_stay_within_credit(actions: list[str]) -> None:
    pair = Pair(hold_store=True, piece_length=64 * 1024)
    pair.run_seller(pair.seller.start(pair.now))
    for action in actions:
        match action:
            case "block":
                for _ in range(8):
                    pair.send_block()
            case "to_buyer":
                for _ in range(8):
                    pair.step_to_buyer()
            case "to_seller":
                pair.step_to_seller()
            case "store":
                pair.release_store()
            case "tick":
                pair.mono += 0.1
                pair.run_buyer(pair.buyer.settle(pair.now))
            case "timer":
                pair.mono += 1
                pair.run_seller(pair.seller.timer(pair.now))
            case "bid":
                if pair.buyer.ask is not None and pair.buyer.state is BuyerState.BIDDING:
                    pair.make_bid()
        assert pair.account.unpaid <= cost(MIB, PRICE) + pair.account.accepted
        assert pair.account.accepted <= pair.buyer_account.issued <= pair.buyer_account.owed
        assert pair.buyer_account.owed <= pair.account.earned
    # Let everything come to rest: the end is exact whatever happened on the way.
    pair.hold_store = False
    for _ in range(3):
        while pair.release_store():
            pass
        pair.carry()
        pair.finish()
    assert StopCode.ACCOUNTS_DIFFER not in codes(pair)
    assert pair.account.earned == pair.account.accepted == pair.buyer_account.issued == pair.buyer_account.owed
