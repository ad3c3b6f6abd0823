"""Integer money and sizes with units.

An amount is an `int` in the token's smallest unit; the token stands beside it. Text goes in and out exactly: no float
ever touches an amount. Prices are units per MiB (2^20 bytes), rounded *up* where a text does not divide evenly, because
a price is a promise to pay at least that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from wallet.errors import AmountError, quoted

KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40
MAX_AMOUNT = 2**256 - 1
MAX_DECIMALS = 77
"""As many as keep one whole token inside 256 bits."""
MAX_SIZE = 2**63 - 1
MAX_TEXT = 200

_UNITS = ("unit", "units")
_NAME = r"[A-Za-z][A-Za-z0-9]{0,15}"
_SYMBOL = re.compile(rf"{_NAME}\Z")
_NUMBER = re.compile(r"([0-9]{1,90})(?:\.([0-9]{1,90}))?\Z|\.([0-9]{1,90})\Z")
_AMOUNT = re.compile(rf"\s*([0-9._,]+)\s*({_NAME})?\s*\Z")
_PRICE = re.compile(rf"\s*([0-9._,]+)\s*({_NAME})?\s*(?:(?:/|per)\s*([A-Za-z]+))?\s*\Z")
_SIZE = re.compile(r"\s*([0-9._,]+)\s*([A-Za-z]*)\s*(?:/\s*s)?\s*\Z")


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its symbol (1 to 16 letters and digits), and how many decimals one whole token has (0 to 77).

    Raises `AmountError` for others: their amounts could not be written and read back.
    """

    symbol: str
    decimals: int

    def __post_init__(self) -> None:
        if not _SYMBOL.match(self.symbol) or self.symbol.lower() in _UNITS:
            raise AmountError(f"{quoted(self.symbol)} is not a token symbol: expected letters and digits, such as BTT")
        if not 0 <= self.decimals <= MAX_DECIMALS:
            raise AmountError(f"{self.symbol}: a token has 0 to {MAX_DECIMALS} decimals, not {self.decimals}")


BTT = Token("BTT", 18)

_SIZES = {
    "": 1, "b": 1,
    "k": KIB, "kb": 10**3, "kib": KIB,
    "m": MIB, "mb": 10**6, "mib": MIB,
    "g": GIB, "gb": 10**9, "gib": GIB,
    "t": TIB, "tb": 10**12, "tib": TIB,
}  # fmt: skip


def _fraction(text: str) -> tuple[int, int]:
    """A decimal numeral as (numerator, number of decimals)."""
    match = _NUMBER.match(text)
    if match is None:
        raise AmountError(f"{quoted(text)} is not a number: write digits and at most one point, such as 1.5")
    whole, decimals, bare = match.groups()
    decimals = decimals or bare or ""
    return int((whole or "0") + decimals), len(decimals)


def parse_amount(text: str, token: Token = BTT) -> int:
    """'1.5', '1.5 BTT' or '1500 units' → units. Exact; raises `AmountError` rather than rounding."""
    match = _AMOUNT.match(text) if len(text) <= MAX_TEXT else None
    if match is None:
        raise AmountError(f"{quoted(text)} is not an amount: write it like 1.5 {token.symbol} or 1500 units")
    number, unit = match.groups()
    numerator, decimals = _fraction(number)
    if unit is not None and unit.lower() in _UNITS:
        if decimals:
            raise AmountError(f"{quoted(text)}: units are whole numbers, write the amount in {token.symbol} instead")
        return checked_amount(numerator)
    _expect(unit, token)
    if decimals > token.decimals:
        raise AmountError(
            f"{quoted(text)} has {decimals} decimals, but {token.symbol} has {token.decimals}: write fewer digits"
        )
    whole: int = 10 ** (token.decimals - decimals)
    return checked_amount(numerator * whole)


def _expect(symbol: str | None, token: Token) -> None:
    if symbol is not None and symbol.upper() != token.symbol.upper():
        raise AmountError(f"{quoted(symbol)} is not the token expected here: write {token.symbol}")


def checked_amount(value: int) -> int:
    """The value itself if it fits uint256; raises `AmountError` otherwise."""
    if not 0 <= value <= MAX_AMOUNT:
        raise AmountError("the amount is out of range: 0 to 2^256 - 1 units are possible")
    return value


def format_amount(value: int, token: Token = BTT) -> str:
    """Units → '1.5 BTT'. Exact, no exponent, no trailing zeros; `parse_amount` reads it back."""
    sign, value = ("-", -value) if value < 0 else ("", value)  # balances may be negative, amounts never are
    whole, rest = divmod(value, 10**token.decimals)
    decimals = f"{rest:0{token.decimals}d}".rstrip("0") if rest else ""
    return f"{sign}{whole}{'.' + decimals if decimals else ''} {token.symbol}"


def parse_price(text: str, token: Token = BTT) -> int:
    """'5/GiB', '0.01 BTT/MiB' or '0.01' (per MiB) → units per MiB, rounded up."""
    match = _PRICE.match(text) if len(text) <= MAX_TEXT else None
    if match is None:
        raise AmountError(f"{quoted(text)} is not a price: write it like 5 {token.symbol}/GiB or 0.01/MiB")
    number, symbol, per = match.groups()
    _expect(symbol, token)
    size = _SIZES.get(per.lower()) if per else MIB
    if size is None:
        raise AmountError(f"{quoted(per)} is not a size: write MiB, GiB or TiB")
    numerator, decimals = _fraction(number)
    return checked_amount(-(-numerator * 10**token.decimals * MIB // (10**decimals * size)))


def format_price(per_mib: int, token: Token = BTT) -> str:
    """Units per MiB → '5 BTT/GiB' (exact: a GiB is a whole number of MiB)."""
    return f"{format_amount(per_mib * 1024, token)}/GiB"


def cost(size: int, price: int) -> int:
    """What `size` bytes cost at `price` units per MiB, rounded up: ceil(size x price / 2^20)."""
    return -(-size * price // MIB)


def parse_size(text: str) -> int:
    """'20M', '1 MiB', '20 MB/s' → bytes (per second). M and MiB are 2^20, MB is 10^6. Raises `AmountError`."""
    match = _SIZE.match(text) if len(text) <= MAX_TEXT else None
    unit = _SIZES.get(match.group(2).lower()) if match else None
    if match is None or unit is None:
        raise AmountError(f"{quoted(text)} is not a size: write it like 64 MiB, 20 MB or 20M")
    numerator, decimals = _fraction(match.group(1))
    scale: int = 10**decimals
    value, rest = divmod(numerator * unit, scale)
    if rest or value > MAX_SIZE:
        raise AmountError(f"{quoted(text)} is not a whole number of bytes below 2^63: write it like 64 MiB")
    return value


def format_size(size: int) -> str:
    """Bytes → '1.5 MiB', for people: two digits after the point at most."""
    for unit, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            whole, hundredths = divmod(size * 100 // unit, 100)
            return f"{whole}.{hundredths:02d}".rstrip("0").rstrip(".") + f" {name}"
    return f"{size} B"
