"""The market's rounds over a stand-in engine: who is told what, and what the engine is told of whom."""

from __future__ import annotations

import pytest

from node.ports.engine import PeerId
from tests.unit.services.hall import CAPACITY, RESERVE, Hall
from wallet.keys import PrivateKey


async def test_winners_pay_the_highest_losing_price_and_weigh_what_they_were_granted() -> None:
    hall = Hall()
    hall.payer(1, 5000, 10_000_000)
    hall.payer(2, 3000, 8_000_000)
    hall.free(11)
    hall.free(12)
    await hall.rounds()
    latest = hall.market.latest
    assert latest.granted == {1: 10_000_000, 2: 6_000_000}
    assert (latest.clearing, latest.for_sale, latest.sold) == (3000, 16_000_000, 16_000_000)
    assert [(peer, clear.price, clear.rate) for peer, clear in hall.engine.messages] == [
        (1, 3000, 10_000_000),
        (2, 3000, 6_000_000),
    ]
    weights = {peer: policy.priority for peer, policy in hall.engine.policies.items()}
    total = sum(weights.values())
    for peer, rate in {1: 10_000_000, 2: 6_000_000, 11: 2_000_000, 12: 2_000_000}.items():
        assert weights[peer] / total == pytest.approx(rate / CAPACITY, rel=0.01)
    assert all(hall.engine.policies[peer].reserved == (peer < 10) for peer in weights)


async def test_a_bid_that_gets_nothing_is_served_free_until_it_wins() -> None:
    hall = Hall()
    high, low = hall.payer(1, 5000), hall.payer(2, 3000)
    await hall.rounds()
    assert (high.state.value, low.state.value) == ("priced", "outbid")
    assert hall.market.latest.granted == {1: 16_000_000}
    hall.bid(low, PrivateKey(b"\x02" * 32), 6000, 0)
    await hall.rounds()
    assert (high.state.value, low.state.value) == ("outbid", "priced")
    assert hall.market.latest.clearing == 5000


async def test_a_buyer_that_has_all_it_wanted_neither_sets_the_price_nor_keeps_a_share() -> None:
    hall = Hall()
    hall.payer(1, 5000)
    hall.payer(2, 3000)
    await hall.rounds()
    assert hall.market.latest.granted == {1: 16_000_000}
    hall.engine.taking[1] = 0  # complete: no longer interested
    await hall.rounds()
    assert (hall.market.latest.granted, hall.market.latest.clearing) == ({2: 16_000_000}, RESERVE)
    peer, clear = hall.engine.messages[-1]
    assert (peer, clear.price, clear.rate) == (2, RESERVE, 16_000_000)
    hall.engine.taking[1] = CAPACITY
    await hall.rounds()
    assert hall.market.latest.granted == {1: 16_000_000}


async def test_an_unchanged_round_says_nothing_to_anybody() -> None:
    hall = Hall()
    hall.payer(1, 5000, 10_000_000)
    hall.payer(2, 3000, 8_000_000)
    hall.free(11)
    await hall.rounds(3)
    calls, messages = hall.engine.calls, len(hall.engine.messages)
    await hall.rounds(5)
    assert (hall.engine.calls, len(hall.engine.messages)) == (calls, messages)
    assert hall.market.latest.number == 8


async def test_what_free_peers_leave_goes_to_the_payers_and_nothing_stays_idle() -> None:
    hall = Hall()
    hall.payer(1, 5000)
    hall.free(11, 500_000)
    await hall.rounds(8)
    targets = hall.market.latest.targets
    assert targets[PeerId(1)] > 19_000_000
    assert sum(targets.values()) <= CAPACITY


async def test_what_the_highest_bidder_cannot_take_is_sold_to_the_next() -> None:
    hall = Hall()
    hall.payer(1, 5000)
    hall.payer(2, 3000)
    hall.engine.taking[1] = 4_000_000
    await hall.rounds()
    assert hall.market.latest.granted == {1: 16_000_000}
    await hall.rounds(6)
    granted = hall.market.latest.granted
    assert 4_000_000 <= granted[PeerId(1)] <= 5_000_000
    assert granted[PeerId(1)] + granted[PeerId(2)] == 16_000_000
    assert hall.market.latest.clearing == 3000


async def test_without_payers_the_engine_is_left_to_itself() -> None:
    hall = Hall()
    for peer in (11, 12, 13):
        hall.free(peer)
    await hall.rounds(3)
    assert hall.engine.policies == {}


async def test_without_an_upload_limit_there_is_no_auction_and_payers_are_served_at_the_reserve() -> None:
    hall = Hall(capacity=0)
    seller = hall.payer(1, 5000)
    await hall.market.run()  # ends at once
    assert hall.market.latest.number == 0
    assert seller.state.value == "priced"
    assert hall.engine.messages == []


async def test_a_payer_that_gets_less_than_its_part_is_given_a_larger_weight() -> None:
    hall = Hall()
    hall.payer(1, 5000, 10_000_000)
    hall.payer(2, 3000, 8_000_000)
    hall.free(11)
    await hall.rounds()
    before = {peer: policy.priority for peer, policy in hall.engine.policies.items()}
    hall.engine.taking[2] = 5_700_000  # 95 % of what it was granted
    await hall.rounds(8)
    after = {peer: policy.priority for peer, policy in hall.engine.policies.items()}
    assert after[2] / after[1] > 1.02 * before[2] / before[1]


async def test_free_peers_have_one_weight_whatever_each_of_them_got() -> None:
    hall = Hall()
    hall.payer(1, 5000)
    hall.free(11)
    hall.free(12, 1_900_000)
    hall.free(13, 1_800_000)
    for _ in range(6):
        await hall.rounds()
        assert len({hall.engine.policies[peer].priority for peer in (11, 12, 13)}) == 1


async def test_a_round_tells_how_long_it_took() -> None:
    hall = Hall()
    hall.payer(1, 5000)
    ticks = iter(range(1000))
    hall.clock.now = lambda: 100.0 + next(ticks) / 1000  # type: ignore[method-assign]  # every look takes 1 ms
    await hall.market.hold()
    assert 0 < hall.market.latest.took < 0.05
