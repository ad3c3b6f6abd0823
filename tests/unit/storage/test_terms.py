"""Terms' promises: no contract pays less than the table, and every refusal has its reason."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.storage.audit import MAX_SAMPLE, regular_sample
from node.storage.errors import TermsError
from node.storage.terms import (
    DAY,
    MAX_LEAD,
    MAX_VALIDITY,
    MIN_LEAD,
    Wish,
    answered_blocks,
    audit_fee,
    audited_blocks,
    collateral_for,
    daily_rate,
    epochs_for,
    offer,
    price_per_epoch,
    storage_fee,
    upload_fee,
    validate_offer,
    within,
)
from tests.unit.storage.samples import AUDITOR, HOST, NOW, RENTER, STRANGER, table
from wallet.amount import GIB, MIB
from wallet.storage_terms import BLOCK, NOBODY

WISH = Wish(b"\x11" * 32, 100 * 2**20, RENTER.address, NOW + DAY, 30, 0, AUDITOR.address)


@given(st.integers(1, 2**50), st.integers(0, 2**128), st.integers(1, 2**32 - 1))
def test_storage_costs_the_exact_price_rounded_up(length: int, price: int, seconds: int) -> None:
    exact = Fraction(length, GIB) * Fraction(seconds, DAY) * price
    assert exact <= storage_fee(length, price, seconds) < exact + 1


@given(st.integers(1, 2**50), st.integers(0, 2**128), st.integers(1, 256))
def test_all_epochs_pay_the_upload_and_less_than_a_unit_each_more(length: int, price: int, epochs: int) -> None:
    exact = Fraction(length, MIB) * price
    assert exact <= epochs * upload_fee(length, price, epochs) < exact + epochs


@given(st.integers(1, 2**50), st.integers(0, 2**128), st.integers(1, 2))
def test_audits_cost_what_their_blocks_and_paths_do_as_a_download_rounded_up_once(
    length: int, price: int, askers: int
) -> None:
    blocks = -(-length // BLOCK)
    path = 32 * (blocks - 1).bit_length()
    exact = Fraction(askers * audited_blocks(length) * (BLOCK + path), MIB) * price
    assert exact <= audit_fee(length, price, askers) < exact + 1


@given(st.integers(1, 2**50))
def test_a_host_shows_more_than_is_paid_for_and_never_more_than_twice_that(length: int) -> None:
    assert audited_blocks(length) < answered_blocks(length) <= 2 * audited_blocks(length)
    assert regular_sample(-(-length // BLOCK)) <= min(29, -(-length // BLOCK)) <= MAX_SAMPLE


@given(
    st.integers(1, 2**40), st.integers(0, 10**24), st.integers(0, 10**24), st.integers(0, 10**24), st.integers(2, 250)
)
def test_a_price_is_the_sum_of_its_three_parts_and_a_renewal_pays_no_upload(
    length: int, storage: int, upload: int, download: int, epochs: int
) -> None:
    terms = replace(table(), storage_price=storage, upload_price=upload, download_price=download)
    first = price_per_epoch(terms, length, epochs, askers=2)
    again = price_per_epoch(terms, length, epochs, askers=2, uploaded=False)
    assert again == storage_fee(length, storage, DAY) + audit_fee(length, download, 2)
    assert first - again == upload_fee(length, upload, epochs)


@given(st.integers(1, 2**40), st.integers(0, 10**24), st.integers(1, 2**32 - 1))
def test_a_highest_price_admits_the_very_price_it_names_and_nothing_dearer(
    length: int, price: int, seconds: int
) -> None:
    asked = storage_fee(length, price, seconds)
    assert within(asked, length, seconds, price)
    assert not within(asked + 1, length, seconds, price)
    assert within(asked, length, seconds, daily_rate(asked, length, seconds))


def test_a_gibibyte_for_a_day_costs_the_price_itself() -> None:
    assert storage_fee(GIB, 10**15, DAY) == 10**15
    assert storage_fee(1, 1, 1) == 1
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
    assert contract.escrow == epochs * price_per_epoch(terms, length, epochs, askers=2)
    cheaper = replace(contract, price_per_epoch=contract.price_per_epoch - 1)
    with pytest.raises(TermsError, match="the table asks for"):
        validate_offer(cheaper, terms, NOW)


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
    contract = offer(full, replace(WISH, start=end, uploaded=False))
    with pytest.raises(TermsError, match="are free"):
        validate_offer(offer(full, replace(WISH, start=end)), full, NOW)
    with pytest.raises(TermsError, match="the table asks for"):
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
    for nothing in (replace(WISH, length=0), replace(WISH, epochs=0)):
        with pytest.raises(TermsError, match="nothing to keep"):
            offer(table(), nothing)
