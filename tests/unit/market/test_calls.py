"""Every call is one of the compiled contract's functions, with these very arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

import pytest
from eth_abi.abi import decode
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.market.support import (
    MARKET,
    MARKET_CALLS,
    ME,
    REGISTRY,
    REGISTRY_CALLS,
    TERMS,
    TOKEN,
    YOU,
    addresses,
    amounts,
    contracts,
    hashes,
    proofs,
    signatures,
)
from wallet.address import Address
from wallet.chains import abi
from wallet.chains.base import Call
from wallet.storage.calls import BlockProof
from wallet.storage_terms import BLOCK, StorageContract

PAIR = st.tuples(signatures, signatures)
EPOCH = st.integers(0, 2**32 - 1)
URL = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=256)

MARKET_FUNCTIONS: Mapping[str, tuple[Callable[..., Call], tuple[st.SearchStrategy[Any], ...]]] = {
    "deposit": (MARKET_CALLS.deposit, (amounts,)),
    "depositFor": (MARKET_CALLS.deposit_for, (addresses, amounts)),
    "withdraw": (MARKET_CALLS.withdraw, (amounts, addresses)),
    "open": (MARKET_CALLS.open, (contracts(), PAIR)),
    "callOff": (MARKET_CALLS.call_off, (contracts(),)),
    "cancel": (MARKET_CALLS.cancel, (contracts(), EPOCH, PAIR)),
    "handOver": (MARKET_CALLS.hand_over, (contracts(), EPOCH, PAIR, contracts(), PAIR)),
    "exit": (MARKET_CALLS.exit, (contracts(),)),
    "close": (MARKET_CALLS.close, (contracts(),)),
    "settle": (MARKET_CALLS.settle, (contracts(), EPOCH, signatures)),
    "beginProof": (MARKET_CALLS.begin_proof, (contracts(),)),
    "prove": (MARKET_CALLS.prove, (contracts(), proofs)),
    "challenge": (MARKET_CALLS.challenge, (contracts(), st.integers(0, 2**36))),
    "answer": (MARKET_CALLS.answer, (contracts(), proofs)),
    "fail": (MARKET_CALLS.fail, (contracts(),)),
}
REGISTRY_FUNCTIONS: Mapping[str, tuple[Callable[..., Call], tuple[st.SearchStrategy[Any], ...]]] = {
    "register": (REGISTRY_CALLS.register, (amounts, addresses, URL, hashes)),
    "stake": (REGISTRY_CALLS.stake, (amounts,)),
    "announce": (REGISTRY_CALLS.announce, (addresses, URL, hashes)),
    "beginExit": (REGISTRY_CALLS.begin_exit, ()),
    "cancelExit": (REGISTRY_CALLS.cancel_exit, ()),
    "withdraw": (REGISTRY_CALLS.withdraw, (addresses,)),
}
READING = {
    "answerPeriod", "balance", "cancelDigest", "challengeBond", "chosen", "closableAt", "digest", "domainSeparator",
    "stateOf", "token", "voucherDigest", "MAX_ENDPOINT", "hostOf", "minStake", "noticePeriod",
}  # fmt: skip


def plain(value: Any) -> Any:
    """As eth_abi decodes it."""
    match value:
        case Address():
            return value.evm.lower()
        case StorageContract():
            return tuple(plain(getattr(value, item.name)) for item in fields(value))
        case tuple() | list():
            return tuple(map(plain, value))
        case _:
            return value


def flat(function: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """A builder's arguments as the function's: a proof is two, a pair of signatures too unless it is an array."""
    made: list[Any] = []
    for argument in arguments:
        if isinstance(argument, BlockProof):
            made += [argument.block, argument.path]
        elif isinstance(argument, tuple) and function != "handOver":
            made += argument
        else:
            made.append(argument)
    return tuple(made)


def test_there_is_a_call_for_everything_the_contracts_do() -> None:
    for contract, builders in ((abi.MARKET, MARKET_FUNCTIONS), (abi.REGISTRY, REGISTRY_FUNCTIONS)):
        assert set(abi.functions(contract)) - READING == set(builders)


@pytest.mark.parametrize("name", MARKET_FUNCTIONS)
@given(data=st.data())
def test_a_call_of_the_market_is_what_its_interface_says(name: str, data: st.DataObject) -> None:
    build, strategies = MARKET_FUNCTIONS[name]
    arguments = tuple(data.draw(strategy) for strategy in strategies)
    call = build(*arguments)
    function = abi.functions(abi.MARKET)[name]
    assert (call.to, call.value, call.method) == (MARKET.contract, 0, f"market.{name}")
    assert call.data[:4] == function.selector
    assert decode(function.types, call.data[4:], strict=True) == plain(flat(name, arguments))


@pytest.mark.parametrize("name", REGISTRY_FUNCTIONS)
@given(data=st.data())
def test_a_call_of_the_registry_is_what_its_interface_says(name: str, data: st.DataObject) -> None:
    build, strategies = REGISTRY_FUNCTIONS[name]
    arguments = tuple(data.draw(strategy) for strategy in strategies)
    call = build(*arguments)
    function = abi.functions(abi.REGISTRY)[name]
    assert (call.to, call.value, call.method) == (REGISTRY, 0, f"registry.{name}")
    assert call.data[:4] == function.selector
    assert decode(function.types, call.data[4:], strict=True) == plain(arguments)


@given(contracts())
def test_terms_travel_as_the_words_that_are_signed(terms: StorageContract) -> None:
    assert MARKET_CALLS.close(terms).data[4:] == terms.pack()


@pytest.mark.parametrize(
    ("call", "spender"),
    [(MARKET_CALLS.approve(7), MARKET.contract), (REGISTRY_CALLS.approve(7), REGISTRY)],
    ids=["market", "registry"],
)
def test_an_approval_goes_to_the_token_and_names_the_contract(call: Call, spender: Address) -> None:
    assert call.to == TOKEN
    assert call.data == abi.call_data("approve(address,uint256)", spender, 7)


def test_a_call_tells_the_user_what_it_does() -> None:
    assert MARKET_CALLS.deposit(15 * 10**17).text == "deposit 1.5 BTT in the storage market"
    assert MARKET_CALLS.settle(TERMS, 2, bytes(65)).text == f"settle a storage contract: 2 of 4 epochs to {YOU}"
    assert REGISTRY_CALLS.announce(ME, "https://me").text == "announce this host at https://me"


@pytest.mark.parametrize(
    ("block", "path", "words"),
    [(b"", [], "1 to 16384 bytes, not 0"), (bytes(BLOCK + 1), [], "not 16385"), (b"a", [bytes(31)], "32 bytes")],
)
def test_what_is_no_proof_is_refused_before_it_costs_a_fee(block: bytes, path: list[bytes], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BlockProof(block, path)


@pytest.mark.parametrize("url", ["", "x" * 257, "\u00e9" * 129, "https://a\nb"])
def test_an_endpoint_that_nobody_would_read_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="1 to 256 bytes"):
        REGISTRY_CALLS.announce(ME, url)


@pytest.mark.parametrize(
    "build",
    [
        partial(MARKET_CALLS.deposit, -1),
        partial(MARKET_CALLS.deposit, 2**256),
        partial(MARKET_CALLS.settle, TERMS, 2**32, bytes(65)),
        partial(REGISTRY_CALLS.announce, ME, "https://me", bytes(33)),
    ],
)
def test_what_a_function_cannot_take_is_a_value_error(build: Callable[[], Call]) -> None:
    with pytest.raises(ValueError, match="cannot take this"):
        build()
