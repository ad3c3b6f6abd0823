"""Two nodes that swarm on each other pay the difference, and nothing else, whatever happens to their connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.engine import memory
from node.ports.engine import TorrentId
from node.ports.store import ReceivedCheque
from node.speed.messages import ChequeMessage, Message, Net
from node.speed.netting import PATIENCE
from tests.unit.services.swappers import WORTH, Swap, Swapper
from wallet.address import Address


@pytest.fixture
async def swap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Swap]:
    monkeypatch.setattr(memory, "BLOCKS_PER_STEP", 1)
    swap = Swap(tmp_path)
    await swap.open()
    yield swap
    await swap.close()
    assert swap.one.faults == swap.other.faults == []


async def trade(swap: Swap, name: str, *, size: int, first: int) -> TorrentId:
    torrent = await swap.torrent(name, size, first=first)
    await swap.connect(torrent)
    await swap.until(lambda: swap.complete(torrent), "complete")
    await swap.until(lambda: swap.settled(torrent), "settled")
    return torrent


async def test_halves_of_a_torrent_are_exchanged_without_a_cheque_and_shown_as_netted(swap: Swap) -> None:
    torrent = await trade(swap, "t", size=6, first=3)
    for side, other in swap.both:
        assert (side.cheques, await side.signed()) == (0, 0)
        assert side.position(other).owed == 3 * WORTH
        assert side.payments.netted(torrent) == 3 * WORTH
        assert await side.store.spent_on(torrent) == 0
        assert await side.store.balances() == {}, "nothing was paid, so nothing is in the books"


async def test_of_unequal_parts_only_the_difference_is_paid(swap: Swap) -> None:
    torrent = await trade(swap, "t", size=6, first=5)
    assert await swap.one.signed() == 0
    assert await swap.other.signed() == await swap.other.store.spent_on(torrent) == 4 * WORTH
    assert swap.other.payments.netted(torrent) == WORTH
    stored = await swap.other.stored(swap.one)
    assert (stored.payable, stored.receivable) == (WORTH, WORTH), "a restart must not take it for paid"


async def test_a_pledge_leaves_only_when_what_it_rests_on_is_durable(
    swap: Swap, monkeypatch: pytest.MonkeyPatch
) -> None:
    pledges = 0
    for side, other in swap.both:
        durable = watch(side, monkeypatch)

        def check(net: Net, side: Swapper = side, other: Swapper = other, durable: dict[str, int] = durable) -> None:
            nonlocal pledges
            pledges += 1
            position = side.position(other)
            assert durable["owed"] - position.issued >= net.amount
            assert durable["earned"] - position.held >= net.amount

        side.engine.before_pledge = check
    await trade(swap, "t", size=6, first=4)
    assert pledges > 2


def watch(side: Swapper, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The figures whose saving has returned."""
    durable = {"owed": 0, "earned": 0}
    save_owed, save_earned = side.store.save_owed, side.store.save_earned

    async def spy_owed(rail: str, payer: Address, payee: Address, owed: int) -> None:
        await save_owed(rail, payer, payee, owed)
        durable["owed"] = max(durable["owed"], owed)

    async def spy_earned(account: ReceivedCheque) -> None:
        await save_earned(account)
        durable["earned"] = max(durable["earned"], account.earned - account.forgiven)

    monkeypatch.setattr(side.store, "save_owed", spy_owed)
    monkeypatch.setattr(side.store, "save_earned", spy_earned)
    return durable


async def test_after_a_restart_what_had_cancelled_is_neither_paid_nor_forgiven(swap: Swap) -> None:
    await trade(swap, "a", size=4, first=2)
    for side, _ in swap.both:
        await side.close()
    for side, _ in swap.both:
        await side.open()
    torrent = await trade(swap, "b", size=4, first=1)
    assert await swap.other.signed() == 0
    assert await swap.one.signed() == 2 * WORTH
    assert swap.one.position(swap.other).owed == 5 * WORTH
    assert swap.settled(torrent)
    for side, other in swap.both:
        assert side.payments.trades.sellers[side.key_of(other)].forgiven == 0


async def test_a_crash_forgets_nothing_that_a_pledge_rests_on(swap: Swap) -> None:
    torrent = await swap.torrent("a", 6, first=3)
    await swap.connect(torrent)
    await swap.until(lambda: swap.one.position(swap.other).owed > WORTH, "half way")
    pledged = max(message.amount for message in swap.one.engine.said if isinstance(message, Net))
    await swap.one.crash()
    before = swap.other.position(swap.one)
    await swap.one.open()
    found = await swap.one.stored(swap.other)
    assert min(found.payable, found.receivable) >= pledged > 0
    await trade(swap, "b", size=4, first=2)
    forgotten = max(before.owed - found.earned, before.earned - found.owed)
    assert forgotten <= WORTH
    for side, _ in swap.both:
        assert await side.signed() <= forgotten + WORTH // 4, "at most what the crash took, and a quantum"


async def test_pledges_move_to_another_connection_when_theirs_breaks(swap: Swap) -> None:
    first = await swap.torrent("a", 4, first=2)
    second = await swap.torrent("b", 4, first=2)
    await swap.connect(first)
    await swap.connect(second)
    await swap.until(lambda: swap.complete(first), "first")
    for link in [link for link in swap.swarm.links if link.torrent == first]:
        swap.swarm.cut(link, "gone")
    await swap.until(lambda: swap.complete(second), "second")
    await swap.until(lambda: swap.settled(second), "settled")
    for side, _ in swap.both:
        assert await side.signed() == 0


async def test_a_peer_that_knows_no_pledges_is_paid_in_full(swap: Swap) -> None:
    swap.other.engine.drop = lambda message: isinstance(message, Net)
    torrent = await swap.torrent("t", 4, first=2)
    await swap.connect(torrent)

    def done() -> bool:
        swap.later(PATIENCE / 40)
        return swap.complete(torrent) and swap.settled(torrent)

    await swap.until(done, "paid")
    assert await swap.one.signed() == 2 * WORTH
    assert swap.one.payments.netted(torrent) == 0


async def test_who_pledges_and_never_pays_takes_no_more_than_the_window(swap: Swap) -> None:
    def no_cheques(message: Message) -> bool:
        return isinstance(message, ChequeMessage)

    swap.other.engine.drop = no_cheques
    torrent = await swap.torrent("t", 8, first=7)
    await swap.connect(torrent)
    seller = next(iter(swap.one.payments.trades.open.values())).seller
    assert seller is not None
    await swap.until(lambda: seller.deadline() is not None, "the thief is at its limit")
    taken = swap.one.position(swap.other)
    assert taken.exposure <= WORTH
    assert taken.earned <= 2 * WORTH < 7 * WORTH, "what it gave, and one window"
    assert taken.held == 0
