"""Terms, bindings and logs for tests."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import encode
from hypothesis import strategies as st

from contracts.loader import load
from wallet.address import Address
from wallet.amount import BTT
from wallet.chains.reading import Log
from wallet.keys import keccak256
from wallet.storage.calls import BlockProof, MarketCalls, RegistryCalls
from wallet.storage_terms import BLOCK, MAX_EPOCHS, MAX_LENGTH, MAX_PRICE, MAX_TERM, NOBODY, Market, StorageContract

MARKET = Market(199, Address(b"\x33" * 20))
REGISTRY = Address(b"\x44" * 20)
TOKEN = Address(b"\x22" * 20)
ME, YOU = Address(b"\x01" * 20), Address(b"\x02" * 20)
MARKET_CALLS = MarketCalls(MARKET.contract, TOKEN, BTT, str)
REGISTRY_CALLS = RegistryCalls(REGISTRY, TOKEN, BTT, str)
TERMS = StorageContract(b"\x05" * 32, 3 * BLOCK, ME, YOU, YOU, NOBODY, 10_000, 4, 1000, 10, 61, 7)

addresses = st.binary(min_size=20, max_size=20).map(Address)
hashes = st.binary(min_size=32, max_size=32)
amounts = st.integers(0, 2**256 - 1)
signatures = st.binary(min_size=65, max_size=65)
proofs = st.builds(BlockProof, st.binary(min_size=1, max_size=200), st.lists(hashes, max_size=36))


@st.composite
def contracts(draw: st.DrawFn) -> StorageContract:
    """Any terms that a market would open some day."""
    epochs = draw(st.integers(1, MAX_EPOCHS))
    return StorageContract(
        root=draw(hashes),
        length=draw(st.integers(1, MAX_LENGTH)),
        renter=draw(addresses),
        host=draw(addresses),
        payee=draw(addresses.filter(lambda payee: payee != NOBODY)),
        auditor=draw(addresses),
        start=draw(st.integers(0, 2**64 - 1)),
        epochs=epochs,
        epoch_length=draw(st.integers(1, MAX_TERM // epochs)),
        price_per_epoch=draw(st.integers(0, MAX_PRICE)),
        collateral=draw(st.integers(0, MAX_PRICE)),
        nonce=draw(amounts),
    )


def entry(contract: str, event: str) -> Any:
    """An event in the compiled interface."""
    return next(item for item in load(contract).abi if item["type"] == "event" and item["name"] == event)


def log_of(contract: str, event: str, *values: Any, address: Address | None = None) -> Log:
    """What the contract would write, by a general encoder; `values` in the order of the Solidity source."""
    inputs = entry(contract, event)["inputs"]
    signature = f"{event}({','.join(item['type'] for item in inputs)})"
    pairs = list(zip(inputs, (v.raw if isinstance(v, Address) else v for v in values), strict=True))
    topics = [encode([item["type"]], [value]) for item, value in pairs if item["indexed"]]
    rest = [(item["type"], value) for item, value in pairs if not item["indexed"]]
    data = encode([kind for kind, _ in rest], [value for _, value in rest])
    own = MARKET.contract if contract == "StorageMarket" else REGISTRY
    return Log(address or own, (keccak256(signature.encode()), *topics), data)
