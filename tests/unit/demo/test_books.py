"""The demo's promise: a wrong figure anywhere makes it fail."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from node.demo.books import Books

GOOD = Books(
    file_sha256="ab" * 32,
    copies={"payer": "ab" * 32, "free": "ab" * 32},
    owed=777,
    paid=777,
    earned=777,
    received=777,
    cashed=777,
    paid_out=777,
    seller_balance_before=1000,
    seller_balance_after=1777,
    payer_deposit_before=5000,
    payer_deposit_after=4223,
)


def test_books_that_agree_have_no_faults() -> None:
    assert GOOD.faults() == []


@pytest.mark.parametrize("by", [1, -1])
@pytest.mark.parametrize("name", [field.name for field in fields(Books) if field.type == "int"])
def test_one_unit_off_in_any_figure_is_a_fault(name: str, by: int) -> None:
    assert replace(GOOD, **{name: getattr(GOOD, name) + by}).faults()


@pytest.mark.parametrize("name", ["payer", "free"])
def test_a_copy_that_differs_is_a_fault(name: str) -> None:
    assert replace(GOOD, copies={**GOOD.copies, name: "cd" * 32}).faults()
