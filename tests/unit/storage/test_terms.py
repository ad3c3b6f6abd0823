"""Terms' promises: no contract pays less than the table, and every refusal has its reason."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.storage.errors import TermsError
from node.storage.terms import (
    DAY,
    MAX_LEAD,
    MAX_VALIDITY,
    MIN_LEAD,
    Wish,
    collateral_for,
    epochs_for,
    offer,
    price_per_epoch,
    validate_offer,
)
from tests.unit.storage.samples import AUDITOR, HOST, NOW, RENTER, STRANGER, table
from wallet.amount import GIB
from wallet.storage_terms import NOBODY

WISH = Wish(b"\x11" * 32, 100 * 2**20, RENTER.address, NOW + DAY, 30, 0, AUDITOR.address)


@given(st.integers(1, 2**50), st.integers(0, 2**128), st.integers(1, 2**32 - 1))
def test_an_epoch_costs_the_exact_price_rounded_up(length: int, price: int, seconds: int) -> None:
    exact = Fraction(length, GIB) * Fraction(seconds, DAY) * price
    assert exact <= price_per_epoch(length, price, seconds) < exact + 1


def test_a_gibibyte_for_a_day_costs_the_price_itself() -> None:
    assert price_per_epoch(GIB, 10**15, DAY) == 10**15
    assert price_per_epoch(1, 1, 1) == 1
    assert collateral_for(1001, 150) == 1502


@given(st.integers(1, 10**9), st.integers(1, 10**6))
def test_epochs_cover_the_term(seconds: int, length: int) -> None:
    epochs = epochs_for(seconds, length)
    assert (epochs - 1) * length < seconds <= epochs * length


@given(st.integers(1, 2**40), st.integers(0, 10**24), st.integers(2, 250), st.integers(0, 10_000))
def test_what_a_renter_offers_by_the_table_its_host_accepts(length: int, price: int, epochs: int, percent: int) -> None:
    terms = table(storage_price=price, collateral_percent=percent)
    contract = offer(terms, replace(WISH, length=length, epochs=epochs))
    validate_offer(contract, terms, NOW)
    assert contract.escrow == epochs * price_per_epoch(length, price, DAY)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"host": STRANGER.address}, "names another host"),
        ({"payee": STRANGER.address}, "instead of"),
        ({"renter": HOST.address}, "same account"),
        ({"renter": NOBODY}, "no renter"),
        ({"auditor": HOST.address}, "audit itself"),
        ({"epoch_length": DAY - 1}, f"lasts {DAY} s"),
        ({"epochs": 1}, "at least 2"),
        ({"epochs": 251}, "at most 250"),
        ({"price_per_epoch": 1}, "the table asks for"),
        ({"collateral": 10**30}, "asks for a collateral"),
        ({"length": 2**40 + 1, "price_per_epoch": 10**20}, "are free"),
        ({"start": NOW + MIN_LEAD - 1}, "too late"),
        ({"start": NOW + MAX_LEAD + 1}, "too early"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_an_offer_against_the_table_is_refused_with_its_reason(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(TermsError, match=reason) as raised:
        validate_offer(replace(offer(table(), WISH), **change), table(), NOW)
    assert "\n" not in str(raised.value)


def test_a_renewal_starts_where_its_contract_ends_and_needs_no_new_space() -> None:
    full = table(free=0)
    end = NOW + 40 * DAY
    contract = offer(full, replace(WISH, start=end))
    with pytest.raises(TermsError, match="are free"):
        validate_offer(contract, full, NOW)
    validate_offer(contract, full, NOW, renews=end)
    with pytest.raises(TermsError, match="a renewal starts at"):
        validate_offer(contract, full, NOW, renews=end + 1)
    with pytest.raises(TermsError, match="too late"):
        validate_offer(contract, replace(full, until=end + DAY), end, renews=end)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"until": NOW}, "expired 0 s ago"),
        ({"until": NOW + 2 * MAX_VALIDITY}, "at most"),
        ({"min_epochs": 251}, "above its longest"),
        ({"min_epochs": 0}, "min_epochs is 0"),
        ({"max_epochs": 257}, "max_epochs is 257"),
        ({"storage_price": -1}, "storage_price is -1"),
        ({"collateral_percent": 10_001}, "collateral_percent"),
        ({"epoch_length": 0}, "epoch_length"),
        ({"free": 2**63}, "free"),
        ({"payee": NOBODY}, "must be accounts"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_bad_price_table_is_refused_with_its_reason(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(TermsError, match=reason):
        replace(table(), **change).validate(NOW)


def test_what_no_contract_can_hold_is_not_offered() -> None:
    with pytest.raises(TermsError, match="out of 0 to"):
        offer(table(storage_price=2**256 - 1), WISH)
    with pytest.raises(TermsError, match="length"):
        offer(table(), replace(WISH, length=0))
