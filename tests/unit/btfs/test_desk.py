"""Cheques count once and are durable first, whatever happens at the same time or goes wrong in between."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.btfs.support import FACTORY, HONEST, HOST, KEY, TOKEN, VAULT, WBTT, Scripted
from wallet.btfs import wire
from wallet.btfs.book import Book
from wallet.btfs.chain import BtfsVaults
from wallet.btfs.desk import IssuingDesk, ReceivingDesk
from wallet.btfs.errors import NotGrowingError, OverdrawnError
from wallet.btfs.receiver import Terms
from wallet.btfs.wire import SignedBtfsCheque
from wallet.cheque import BtfsCheque

PAID = 3
"""What the vault has paid the host according to the scripted answers; it holds 10 units more."""


class Store:
    """Keeps cheques as they go over the wire. `full`: the disk is."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.gains: list[int] = []
        self.full = False

    async def keep(self, signed: SignedBtfsCheque, gain: int) -> None:
        await asyncio.sleep(0)
        if self.full:
            raise OSError("no space left on device")
        self.kept.append(wire.encode(signed, WBTT))
        self.gains.append(gain)

    def book(self) -> Book:
        return Book(wire.decode(raw, WBTT) for raw in self.kept)


@pytest.fixture
def store() -> Store:
    return Store()


def receiving(store: Store) -> ReceivingDesk:
    vaults = BtfsVaults(Scripted(HONEST), FACTORY, WBTT)
    return ReceivingDesk(Terms(199, HOST, WBTT, frozenset({TOKEN})), vaults, store.book(), store.keep)


def issuing(store: Store) -> IssuingDesk:
    return IssuingDesk(199, VAULT, KEY, BtfsVaults(Scripted(HONEST), FACTORY, WBTT), store.book(), store.keep)


def raw(cumulative: int) -> bytes:
    cheque = BtfsCheque(VAULT, HOST, cumulative)
    return wire.encode(SignedBtfsCheque(cheque, cheque.sign(199, KEY)), WBTT)


async def test_a_cheque_that_arrives_twice_at_once_counts_once(store: Store) -> None:
    desk = receiving(store)
    found = await asyncio.gather(*(desk.receive(raw(5)) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in found] == [tuple, NotGrowingError, NotGrowingError]
    assert store.kept == [raw(5)]


async def test_cheques_that_overtake_each_other_count_for_what_they_add(store: Store) -> None:
    desk = receiving(store)
    found = await asyncio.gather(*(desk.receive(raw(amount)) for amount in (5, 9, 7, 13)), return_exceptions=True)
    assert sum(outcome[1] for outcome in found if isinstance(outcome, tuple)) == sum(store.gains) == 13 - PAID


async def test_a_cheque_that_was_not_stored_does_not_count_and_may_come_again(store: Store) -> None:
    desk = receiving(store)
    store.full = True
    with pytest.raises(OSError, match="no space"):
        await desk.receive(raw(5))
    store.full = False
    _, gain = await desk.receive(raw(5))
    assert gain == 5 - PAID


async def test_after_a_restart_the_same_cheque_counts_no_more(store: Store) -> None:
    await receiving(store).receive(raw(5))
    with pytest.raises(NotGrowingError):
        await receiving(store).receive(raw(5))


async def test_two_cheques_do_not_promise_the_same_money(store: Store) -> None:
    desk = issuing(store)
    found = await asyncio.gather(desk.issue(HOST, 6), desk.issue(HOST, 6), return_exceptions=True)
    assert [type(outcome) for outcome in found] == [SignedBtfsCheque, OverdrawnError]


async def test_a_promise_outlives_a_restart_and_a_failed_one_was_none(store: Store) -> None:
    store.full = True
    with pytest.raises(OSError, match="no space"):
        await issuing(store).issue(HOST, 6)
    store.full = False
    assert (await issuing(store).issue(HOST, 6)).cheque.cumulative == PAID + 6
    with pytest.raises(OverdrawnError, match="can promise 4 units"):
        await issuing(store).issue(HOST, 5)
    assert (await issuing(store).issue(HOST, 4)).cheque.cumulative == PAID + 10
    assert store.gains == [6, 4]
