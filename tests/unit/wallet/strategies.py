"""What the wallet's property tests draw from."""

from __future__ import annotations

from hypothesis import strategies as st

from wallet.address import Address
from wallet.amount import MAX_AMOUNT, Token
from wallet.keys import CURVE_ORDER, PrivateKey

uint256 = st.one_of(
    st.integers(0, MAX_AMOUNT),
    st.sampled_from([0, 1, 2**64, 10**18, 2**128 - 1, MAX_AMOUNT - 1, MAX_AMOUNT]),
)
addresses = st.binary(min_size=20, max_size=20).map(Address)
digests = st.binary(min_size=32, max_size=32)
private_keys = st.integers(1, CURVE_ORDER - 1).map(lambda number: PrivateKey(number.to_bytes(32, "big")))
_symbols = st.from_regex(r"[A-Za-z][A-Za-z0-9]{1,3}", fullmatch=True).filter(lambda symbol: symbol.lower() != "unit")
tokens = st.builds(Token, _symbols, st.integers(0, 77))
