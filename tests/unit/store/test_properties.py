"""Any calls in any order, many of them in one commit: the store does what a plain model does."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from node.ports.store import AmountMismatchError, Cashed, CashReceipt, Spending
from node.store import SqlStore, open_store
from node.store.types import Amount256
from node.store.writer import MAX_BATCH
from tests.unit.store.kit import DAY, ME, NOW, RAIL, TORRENT, issue, issued, partner, received
from wallet.amount import MAX_AMOUNT
from wallet.errors import StaleChequeError

PARTNERS = (1, 2, 3)


@dataclass
class Model:
    """What the port promises, in the plainest words. An operation returns the error it expects, or its result."""

    issued: dict[int, int] = field(default_factory=dict)
    owed: dict[int, int] = field(default_factory=dict)
    received: dict[int, int] = field(default_factory=dict)
    earned: dict[int, int] = field(default_factory=dict)
    cashed: dict[int, int] = field(default_factory=dict)
    spent: int = 0
    spent_on: int = 0

    def issue(self, who: int, cumulative: int, amount: int) -> object:
        growth = cumulative - self.issued.get(who, 0)
        if growth <= 0:
            return StaleChequeError
        if growth != amount:
            return AmountMismatchError
        self.issued[who] = cumulative
        self.owed[who] = max(self.owed.get(who, 0), cumulative)
        self.spent += growth
        self.spent_on += growth
        return None

    def floor(self, who: int, cumulative: int) -> object:
        growth = max(0, cumulative - self.issued.get(who, 0))
        if growth:
            self.issued[who] = cumulative
            self.owed[who] = max(self.owed.get(who, 0), cumulative)
            self.spent += growth
        return growth

    def owe(self, who: int, owed: int) -> None:
        self.owed[who] = max(self.owed.get(who, 0), owed)

    def receive(self, who: int, cumulative: int, earned: int) -> object:
        growth = cumulative - self.received.get(who, 0)
        if growth <= 0:
            return StaleChequeError
        self.received[who] = cumulative
        self.earned[who] = max(self.earned.get(who, 0), earned)
        return growth

    def earn(self, who: int, earned: int) -> None:
        self.earned[who] = max(self.earned.get(who, 0), earned)

    def cash(self, who: int, paid_out: int) -> object:
        self.cashed[who] = max(self.cashed.get(who, 0), paid_out)
        return True


Call = tuple[Callable[[Model], object], Callable[[SqlStore], Coroutine[Any, Any, object]]]

who = st.sampled_from(PARTNERS)
# Small figures collide often; the largest ones must not overflow anything.
figure = st.one_of(st.integers(0, 12), st.just(MAX_AMOUNT))


def _cash(who: int, paid_out: int, number: int) -> Call:
    receipt = CashReceipt(rail=RAIL, transaction=str(number), cashed=[Cashed(partner(who), ME, paid_out)], now=NOW)
    return lambda model: model.cash(who, paid_out), lambda store: store.mark_cashed(receipt)


calls = st.one_of(
    st.builds(
        lambda who, cumulative, amount: (
            lambda model: model.issue(who, cumulative, amount),
            lambda store: store.issue_cheque(issue(cumulative, amount=amount, payee=who)),
        ),
        who,
        st.integers(0, 12),
        st.integers(1, 4),
    ),
    st.builds(
        lambda who, cumulative: (
            lambda model: model.floor(who, cumulative),
            lambda store: store.raise_issued_floor(issued(cumulative, payee=who)),
        ),
        who,
        st.integers(0, 12),
    ),
    st.builds(
        lambda who, owed: (
            lambda model: model.owe(who, owed),
            lambda store: store.save_owed(RAIL, ME, partner(who), owed),
        ),
        who,
        figure,
    ),
    st.builds(
        lambda who, cumulative, earned: (
            lambda model: model.receive(who, cumulative, earned),
            lambda store: store.receive_cheque(received(cumulative, payer=who, earned=earned)),
        ),
        who,
        figure,
        figure,
    ),
    st.builds(
        lambda who, earned: (
            lambda model: model.earn(who, earned),
            lambda store: store.save_earned(received(0, payer=who, earned=earned)),
        ),
        who,
        figure,
    ),
    st.builds(_cash, who, figure, st.uuids().map(int)),
)


async def _check(script: list[Call], max_batch: int, path: Path) -> None:
    model = Model()
    store = await open_store(path / "node.db", path / "mark", max_batch=max_batch)
    try:
        answers = await asyncio.gather(*(real(store) for _, real in script), return_exceptions=True)
    finally:
        await store.close()
    for answer, (expected, _) in zip(answers, script, strict=True):
        wanted = expected(model)
        assert (type(answer) if isinstance(answer, Exception) else answer) == wanted

    store = await open_store(path / "node.db", path / "mark")
    try:
        ours, theirs = await store.all_issued(), await store.all_received()
        assert {a.payee: a.cumulative for a in ours if a.cumulative} == _by_address(model.issued)
        assert {a.payee: a.owed for a in ours if a.owed} == _by_address(model.owed)
        assert {a.payer: a.cumulative for a in theirs if a.cumulative} == _by_address(model.received)
        assert {a.payer: a.earned for a in theirs if a.earned} == _by_address(model.earned)
        assert {a.payer: a.cashed for a in theirs if a.cashed} == _by_address(model.cashed)
        assert await store.spent(DAY) == Spending(model.spent, model.spent)
        assert await store.spent_on(TORRENT) == model.spent_on
        assert sum((await store.balances()).values()) == 0
    finally:
        await store.close()


def _by_address(figures: dict[int, int]) -> dict[object, int]:
    return {partner(who): figure for who, figure in figures.items() if figure}


@settings(max_examples=60, deadline=None)
@given(script=st.lists(calls, max_size=30), max_batch=st.sampled_from([1, 3, MAX_BATCH]))
def test_no_order_of_calls_makes_a_figure_shrink_or_the_books_drift(script: list[Call], max_batch: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_check(script, max_batch, Path(folder)))


amounts = st.integers(0, MAX_AMOUNT)


@given(amounts, amounts)
def test_stored_amounts_sort_as_numbers_do(first: int, second: int) -> None:
    column, dialect = Amount256(), sqlite.dialect()
    one, two = column.process_bind_param(first, dialect), column.process_bind_param(second, dialect)
    assert one is not None
    assert two is not None
    assert (one < two) == (first < second)
    assert column.process_result_value(one, dialect) == first
