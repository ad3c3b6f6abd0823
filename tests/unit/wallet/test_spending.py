"""What leaves the wallet is read out of the calls themselves, and held against the user's limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet.address import Address
from wallet.amount import BTT, Token
from wallet.chains.assets import Asset, AssetKind
from wallet.chains.base import Call
from wallet.chains.calls import VaultCalls
from wallet.cheque import Rail
from wallet.errors import LimitError
from wallet.spending import Holdings, Outflow, TransferLimits

TRX = Token("TRX", 6)
OWN, OTHER, VAULT, TOKEN, USDT = (Address(bytes([n]) * 20) for n in range(1, 6))
RAIL = Rail("tron:0x2b6653dc", 0x2B6653DC, VAULT, BTT)
COIN = Asset(AssetKind.NATIVE, TRX)
BTT_TOKEN = Asset(AssetKind.TOKEN, BTT, TOKEN, wraps_native=True)
OLD = Asset(AssetKind.TRC10, Token("BTTOLD", 6), number=1002000)
HOLDINGS = Holdings(OWN, (COIN, BTT_TOKEN, OLD), VAULT, BTT)
CALLS = VaultCalls(RAIL, TRX, TOKEN)


@pytest.mark.parametrize("asset", HOLDINGS.assets, ids=lambda asset: asset.token.symbol)
@given(amount=st.integers(1, 2**62))
def test_a_transfer_of_any_asset_is_seen_as_what_it_is(asset: Asset, amount: int) -> None:
    assert HOLDINGS.outflow(CALLS.transfer(asset, OTHER, amount)) == Outflow(asset.token, amount, OTHER)
    assert HOLDINGS.outflow(CALLS.transfer(asset, OWN, amount)) is None


@pytest.mark.parametrize(
    "call",
    [
        CALLS.deposit(5),
        CALLS.deposit_for(OWN, 5),
        CALLS.approve(5),
        CALLS.withdraw(OWN),
        CALLS.wrap(BTT_TOKEN, 5),
        CALLS.unwrap(BTT_TOKEN, 5),
        CALLS.cash([], OWN),
        CALLS.lock(OTHER, 5),
        CALLS.transfer(COIN, OTHER, 0),
    ],
    ids=lambda call: call.method,
)
def test_what_stays_ours_is_no_outflow(call: Call) -> None:
    assert HOLDINGS.outflow(call) is None


def test_a_deposit_for_somebody_else_is_theirs_from_then_on() -> None:
    assert HOLDINGS.outflow(CALLS.deposit_for(OTHER, 5)) == Outflow(BTT, 5, OTHER)


def test_a_token_nobody_configured_is_not_counted_as_another() -> None:
    unknown = Asset(AssetKind.TOKEN, Token("USDT", 6), USDT)
    assert HOLDINGS.outflow(CALLS.transfer(unknown, OTHER, 5)) is None


def test_an_asset_is_found_by_its_symbol_in_any_case() -> None:
    assert HOLDINGS.find("bttold") == OLD
    assert HOLDINGS.find("USDT") is None


@given(
    wanted=st.integers(1, 100),
    one=st.none() | st.integers(0, 100),
    day=st.none() | st.integers(0, 200),
    earlier=st.lists(st.tuples(st.sampled_from([TRX, BTT]), st.integers(1, 50)), max_size=6),
)
def test_a_transfer_passes_exactly_when_it_is_within_both_limits(
    wanted: int, one: int | None, day: int | None, earlier: list[tuple[Token, int]]
) -> None:
    limits = TransferLimits({} if one is None else {"TRX": one}, {} if day is None else {"TRX": day})
    today = [Outflow(token, amount, OTHER) for token, amount in earlier]
    spent = sum(amount for token, amount in earlier if token == TRX)
    allowed = (one is None or wanted <= one) and (day is None or spent + wanted <= day)
    if allowed:
        limits.check(Outflow(TRX, wanted, OTHER), today)
    else:
        with pytest.raises(LimitError, match=r"raise \[wallet\] (per_transfer|per_day)"):
            limits.check(Outflow(TRX, wanted, OTHER), today)


def test_an_address_of_the_other_kind_of_network_is_refused_whatever_key_it_is() -> None:
    assert Address.parse_on(OTHER.tron, tron=True) == Address.parse_on(OTHER.evm, tron=False) == OTHER
    assert Address.parse_on(OTHER.tron_hex, tron=True) == OTHER
    with pytest.raises(ValueError, match="is an EVM address, and this network is TRON"):
        Address.parse_on(OTHER.evm, tron=True)
    with pytest.raises(ValueError, match="is a TRON address, and this network is an EVM chain"):
        Address.parse_on(OTHER.tron, tron=False)
