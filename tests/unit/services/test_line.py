"""A measured capacity in the market: a modelled line behind the engine's limit, and a second per round."""

from __future__ import annotations

import pytest

from node.speed.capacity import PAUSE, CapacityPolicy
from tests.unit.services.hall import CAPACITY, Hall

LINE = 3_000_000
START = CapacityPolicy().start


def measured() -> Hall:
    hall = Hall(capacity=None)
    hall.engine.limit = START
    return hall


async def test_the_limit_finds_the_line_and_rests_below_it() -> None:
    hall = measured()
    hall.free(11)
    hall.free(12)
    await hall.rounds(60, LINE)
    limits = []
    for _ in range(4 * PAUSE):
        await hall.rounds(1, LINE)
        assert hall.engine.limit == hall.market.line.limit
        limits.append(hall.market.line.limit)
    assert max(limits) < LINE * 5 // 4
    assert min(limits) > LINE * 3 // 4
    below = sum(limit <= LINE for limit in limits)
    assert below > 0.85 * len(limits)


async def test_the_auction_sells_the_measured_capacity() -> None:
    hall = measured()
    hall.payer(1, 5000)
    hall.free(11)
    await hall.rounds(60, LINE)
    latest = hall.market.latest
    assert latest.capacity == hall.market.line.limit
    assert latest.sold == latest.for_sale == pytest.approx(0.8 * latest.capacity, rel=0.001)
    assert 0.75 * LINE < latest.capacity < 1.25 * LINE


async def test_a_faster_line_is_found_without_being_told() -> None:
    hall = measured()
    hall.free(11)
    hall.free(12)
    await hall.rounds(60, LINE)
    await hall.rounds(2 * PAUSE, 4 * LINE)
    assert hall.market.line.limit > 2 * LINE


async def test_without_anybody_who_waits_the_limit_stays() -> None:
    hall = measured()
    await hall.rounds(30, LINE)
    assert (hall.market.line.limit, hall.market.line.congestions) == (START, 0)


async def test_a_payer_that_owes_a_cheque_is_no_sign_of_a_slow_line() -> None:
    hall = measured()
    seller = hall.payer(1, 5000)
    await hall.rounds(10, LINE)
    seller.message_sent(1, 0, hall.now)
    seller.bytes_sent(2**20, hall.now)
    seller.stalled(hall.now)
    assert seller.deadline() is not None
    await hall.rounds(10, 0)
    assert hall.market.line.congestions == 0


async def test_a_few_slow_peers_hold_the_limit_down_for_a_while_only() -> None:
    hall = measured()
    hall.free(11, 500_000)
    await hall.rounds(60)
    assert 300_000 < hall.market.line.limit < 700_000
    hall.free(12)
    await hall.rounds(2 * PAUSE, LINE)
    assert hall.market.line.limit > LINE * 3 // 4


async def test_a_configured_capacity_is_never_measured() -> None:
    hall = Hall()
    hall.free(11)
    await hall.rounds(30, LINE)
    assert (hall.market.line.limit, hall.engine.limit) == (CAPACITY, 0)
