"""Types of single settings: text as a user writes it in the file becomes a checked value.

Amounts and prices are text with a unit, never bare numbers: `per_day = 100` could mean 100 BTT or 100 of its smallest
units, a difference of 10^18. Sizes may be bare numbers, which are bytes. Every refusal is a `ValueError` with one line.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from wallet.address import Address
from wallet.amount import BTT, parse_amount, parse_price, parse_size

AUTO = "auto"

_HOST_AND_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[\w.-]+):([0-9]{1,5})")


def _money(parse: Callable[[str], int], example: str) -> Callable[[object], object]:
    def read(value: object) -> object:
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, bool) or value not in (0, None):
            raise ValueError(f'write it in quotes with its unit, such as "{example}"')
        return value

    return read


def _storage_price(text: str) -> int:
    amount, *units = (part.strip() for part in text.split("/"))
    if units and [unit.lower() for unit in units] != ["gib", "day"]:
        raise ValueError('write it per GiB and day, such as "10 BTT/GiB/day"')
    return parse_amount(amount, BTT)


def _size(value: object) -> object:
    return parse_size(value) if isinstance(value, str) else value


def _auto_is_none(value: object) -> object:
    return None if value == AUTO else value


def _empty_is_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _listen(text: str) -> str:
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None or int(match.group(1)) > 65535:
        raise ValueError('write it as HOST:PORT, such as "0.0.0.0:6881" or "[::]:6881"')
    return text


def _ip_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError('write an IP address, such as "192.0.2.1"') from None


def _amount_with_symbol(text: str) -> str:
    # How many decimals the token has, only the wallet knows: here only the form is checked.
    if not re.fullmatch(r"\s*[0-9][0-9_,.]*\s*[A-Za-z][A-Za-z0-9]{0,15}\s*", text):
        raise ValueError('write an amount with its token, such as "100 BTT"')
    return text


def _url(text: str) -> str:
    # Its text is kept out of the error: it may hold an API key.
    if not re.fullmatch(r"https?://[!-~]+", text) or not urlsplit(text).hostname:
        raise ValueError("an endpoint is not a URL: write it like https://host/path")
    return text


def _contract(text: str) -> str:
    if text:
        Address.parse(text)
    return text


Size = Annotated[int, BeforeValidator(_size), Field(ge=0, lt=2**63)]
"""Bytes, or bytes per second: 1048576, "1 MiB", "20 MB/s"."""

Capacity = Annotated[Size | None, BeforeValidator(_auto_is_none)]
"""Bytes per second as in `Size`; None where they are to be measured, which the file says with "auto"."""

Price = Annotated[int, BeforeValidator(_money(parse_price, "2000 BTT/GiB"))]
"""Units per MiB, rounded up: "2000 BTT/GiB"."""

StoragePrice = Annotated[int, BeforeValidator(_money(_storage_price, "10 BTT/GiB/day"))]
"""Units per GiB and day: "10 BTT/GiB/day"."""

Budget = Annotated[
    int | None,
    BeforeValidator(_money(lambda text: parse_amount(text, BTT), "100 BTT")),
    BeforeValidator(_empty_is_none),
]
"""Units: "100 BTT"; None where there is no such limit, which the file says with ""."""

Amounts = Annotated[tuple[Annotated[str, AfterValidator(_amount_with_symbol)], ...], Field(strict=False, max_length=32)]
"""Amounts with their tokens: ["100 BTT", "50 TRX"]."""

Listen = Annotated[tuple[Annotated[str, AfterValidator(_listen)], ...], Field(strict=False, max_length=64)]
"""Addresses to listen on, HOST:PORT each."""

IpAddress = Annotated[str, AfterValidator(_ip_address)]
"""An IP address as text, in its usual form."""

Urls = Annotated[tuple[Annotated[str, AfterValidator(_url)], ...], Field(strict=False, max_length=16)]
"""HTTP endpoints."""

Contract = Annotated[str, AfterValidator(_contract)]
"""A contract's address as text, EVM or TRON; empty: the profile's."""
