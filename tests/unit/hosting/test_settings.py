"""What the owner writes in config.toml is what renters are quoted."""

from __future__ import annotations

import pytest

from config.errors import ConfigError
from config.settings import parse_settings
from node.hosting import host_terms
from wallet.amount import MAX_AMOUNT, MAX_SIZE

BTT = 10**18


@pytest.mark.parametrize("price", ["3 BTT/GiB/day", "3 BTT / GiB / day", "3 BTT", "3"])
def test_a_price_is_per_gib_and_day(price: str) -> None:
    assert host_terms(parse_settings(f'[storage]\nprice = "{price}"').storage).storage_price == 3 * BTT


@pytest.mark.parametrize(
    "line",
    ['price = "3 BTT/MiB/day"', 'price = "3 BTT/GiB"', "price = 3", "min_epochs = 9\nmax_epochs = 8", "epoch = 5"],
)
def test_what_means_something_else_is_refused(line: str) -> None:
    with pytest.raises(ConfigError):
        parse_settings(f"[storage]\n{line}")


def test_no_limit_is_no_limit() -> None:
    terms = host_terms(parse_settings("").storage)
    assert (terms.max_collateral, terms.per_renter) == (MAX_AMOUNT, MAX_SIZE)
    terms = host_terms(parse_settings('[storage]\nmax_collateral = "5 BTT"\nper_renter = "1 GiB"').storage)
    assert (terms.max_collateral, terms.per_renter) == (5 * BTT, 2**30)
