"""Money in and out of text: exact, bounded, and refused in one clear line."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wallet.strategies import tokens, uint256
from tests.unit.wallet.support import complaint
from wallet.amount import (
    BTT,
    MAX_AMOUNT,
    MAX_SIZE,
    MIB,
    Token,
    cost,
    format_amount,
    format_price,
    format_size,
    parse_amount,
    parse_price,
    parse_size,
)
from wallet.errors import AmountError

TRX = Token("TRX", 6)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("1.5 BTT", 1_500_000_000_000_000_000),
        ("1.5", 1_500_000_000_000_000_000),
        ("  1.5btt ", 1_500_000_000_000_000_000),
        ("0.1", 100_000_000_000_000_000),
        (".5", 500_000_000_000_000_000),
        ("0", 0),
        ("007", 7 * 10**18),
        ("1500000 units", 1_500_000),
        ("1 unit", 1),
        ("0.000000000000000001", 1),
        (f"{MAX_AMOUNT} units", MAX_AMOUNT),
        ("9007199254740993.000000000000000001", 9007199254740993000000000000000001),  # no float can hold it
    ],
)
def test_an_amount_is_read_exactly(text: str, units: int) -> None:
    assert parse_amount(text) == units


@pytest.mark.parametrize(
    ("units", "text"),
    [
        (0, "0 BTT"),
        (1, "0.000000000000000001 BTT"),
        (10**18, "1 BTT"),
        (1_500_000_000_000_000_000, "1.5 BTT"),
        (10**30, "1000000000000 BTT"),
        (-(10**17), "-0.1 BTT"),
    ],
)
def test_an_amount_is_written_in_full_without_exponent_or_padding(units: int, text: str) -> None:
    assert format_amount(units) == text


@given(uint256, tokens)
def test_what_is_written_reads_back_to_the_unit(units: int, token: Token) -> None:
    assert parse_amount(format_amount(units, token), token) == units
    assert parse_amount(f"{units} units", token) == units


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "write it like"),
        ("BTT", "write it like"),
        ("-1 BTT", "write it like"),
        ("+1", "write it like"),
        ("1e18", "write BTT"),
        ("1,5", "at most one point"),
        ("1_000", "at most one point"),
        ("1.2.3", "at most one point"),
        ("1.", "at most one point"),
        (".", "at most one point"),
        ("nan", "write it like"),
        ("٣", "write it like"),
        ("1 TRX", "write BTT"),
        ("1.5 units", "write the amount in BTT"),
        ("0.0000000000000000001", "write fewer digits"),
        (f"{MAX_AMOUNT + 1} units", "are possible"),
        ("1" + "0" * 60, "are possible"),
        ("1" * 5000, "write it like"),
        ("1\nBTT\n\x1b[2J", "write it like"),
    ],
)
def test_what_is_not_an_amount_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(AmountError) as raised:
        parse_amount(text)
    message = str(raised.value)
    assert hint in message
    assert message.isprintable()
    assert len(message) < 200


@given(st.text(max_size=250))
def test_any_text_is_either_read_or_refused_in_one_line(text: str) -> None:
    assert complaint(AmountError, lambda: parse_amount(text)).isprintable()
    assert complaint(AmountError, lambda: parse_price(text)).isprintable()
    assert complaint(AmountError, lambda: parse_size(text)).isprintable()


@pytest.mark.parametrize(
    ("text", "per_mib"),
    [
        ("0.01", 10**16),
        ("0.01/MiB", 10**16),
        ("0.01 BTT/MiB", 10**16),
        ("0.01 BTT per MiB", 10**16),
        ("5/GiB", 4_882_812_500_000_000),
        ("5 btt / gib", 4_882_812_500_000_000),
        ("0.000000000000000001/GiB", 1),
        ("1/TiB", 953_674_316_407),
        ("0", 0),
    ],
)
def test_a_price_is_read_as_units_per_mib(text: str, per_mib: int) -> None:
    assert parse_price(text) == per_mib


@given(st.integers(0, 10**30), st.integers(0, 18), st.sampled_from([("MiB", 1), ("GiB", 1024), ("TiB", 1024**2)]))
def test_a_price_that_does_not_divide_is_rounded_up_by_less_than_a_unit(
    digits: int, decimals: int, per: tuple[str, int]
) -> None:
    name, mebibytes = per
    wanted = Fraction(digits, 10**decimals)
    text = format_amount(digits, Token("BTT", decimals)).removesuffix(" BTT")
    assert 0 <= parse_price(f"{text}/{name}") - wanted * 10**18 / mebibytes < 1


@given(st.integers(0, MAX_AMOUNT), tokens)
def test_a_price_that_is_written_reads_back_to_the_unit(per_mib: int, token: Token) -> None:
    assert parse_price(format_price(per_mib, token), token) == per_mib


@pytest.mark.parametrize("text", ["", "free", "5/parsec", "5 TRX/GiB", "-5/GiB", "5/", "1,5/GiB", "9" * 70 + "/B"])
def test_what_is_not_a_price_is_refused(text: str) -> None:
    with pytest.raises(AmountError):
        parse_price(text)


@given(st.integers(0, 2**63 - 1), uint256)
def test_a_cost_is_the_exact_quotient_rounded_up(size: int, price: int) -> None:
    exact = Fraction(size * price, MIB)
    assert exact <= cost(size, price) < exact + 1


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 10**24))
def test_paying_in_parts_costs_at_most_one_unit_more_a_part(first: int, second: int, price: int) -> None:
    parts = cost(first, price) + cost(second, price)
    assert cost(first + second, price) <= parts <= cost(first + second, price) + 1


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("20M", 20 * 2**20),
        ("1 MiB", 2**20),
        ("20 MB/s", 20_000_000),
        ("4GiB", 2**32),
        ("1.5 k", 1536),
        ("0.5TiB", 2**39),
        ("17", 17),
        (str(MAX_SIZE), MAX_SIZE),
    ],
)
def test_a_size_is_read_in_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "1 XB", "-1", "0.3 B", "1.0000001 KiB", str(MAX_SIZE + 1), "1,5M"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(AmountError):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (2**50, "1024 TiB")]
)
def test_a_size_is_written_for_people(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(0, MAX_SIZE))
def test_a_written_size_is_never_above_the_size_and_within_a_percent(size: int) -> None:
    written = parse_size_of(format_size(size))
    assert written <= size
    assert 100 * (size - written) <= size


def parse_size_of(text: str) -> Fraction:
    """`format_size` cuts digits, so what it writes need not be whole bytes."""
    number, unit = text.split()
    return Fraction(number) * parse_size(f"1 {unit}")


def test_tokens_with_other_decimals_keep_their_own_units() -> None:
    assert parse_amount("1.5 TRX", TRX) == 1_500_000
    assert format_amount(1, TRX) == "0.000001 TRX"
    assert parse_amount("7", Token("NFT", 0)) == 7


@pytest.mark.parametrize(
    ("symbol", "decimals"), [("", 18), ("B T", 18), ("units", 6), ("1INCH", 18), ("X", 78), ("X", -1)]
)
def test_a_token_whose_amounts_could_not_be_read_back_is_refused(symbol: str, decimals: int) -> None:
    with pytest.raises(AmountError):
        Token(symbol, decimals)


def test_the_default_token_is_btt() -> None:
    assert (BTT.symbol, BTT.decimals) == ("BTT", 18)
