"""Calls, events and refusals are the compiled contracts' own."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from contracts.loader import load
from wallet.address import Address
from wallet.amount import BTT
from wallet.chains import abi
from wallet.chains.base import BouncedCheque, CashedCheque, Rejection
from wallet.chains.calls import VaultCalls
from wallet.cheque import Cheque, Rail, sign_cheque
from wallet.keys import PrivateKey, compact_signature

KEY = PrivateKey(b"\x46" * 32)
ME, YOU = KEY.address, Address(b"\x02" * 20)
RAIL = Rail("eip155:199", 199, Address(b"\x11" * 20), BTT)
CALLS = VaultCalls(RAIL, BTT, Address(b"\x22" * 20))
CHEQUE = sign_cheque(RAIL, Cheque(ME, YOU, 5), KEY)
WORDS = st.binary(max_size=200)

VAULT_CALLS = [
    CALLS.deposit(1),
    CALLS.deposit_for(ME, 1),
    CALLS.give_notice(1),
    CALLS.cancel_notice(),
    CALLS.withdraw(ME),
    CALLS.lock(YOU, 1),
    CALLS.request_unlock(YOU),
    CALLS.unlock(YOU),
    CALLS.authorise(YOU, 1),
    CALLS.revoke(YOU),
    CALLS.cash([CHEQUE], YOU),
]


def words(*values: int | Address) -> bytes:
    return b"".join(v.to_bytes(32, "big") if isinstance(v, int) else v.raw.rjust(32, b"\0") for v in values)


@pytest.mark.parametrize("call", VAULT_CALLS, ids=lambda call: call.method)
def test_every_call_is_a_function_of_the_vault(call: Any) -> None:
    function = abi.functions(abi.VAULT)[call.method]
    assert call.to == RAIL.vault
    assert call.data[:4] == function.selector
    decode(function.types, call.data[4:], strict=True)


@pytest.mark.parametrize("call", [CALLS.approve(7), CALLS.transfer_token(YOU, 7)], ids=lambda call: call.method)
def test_every_token_call_is_a_function_of_erc20(call: Any) -> None:
    function = abi.functions(abi.TOKEN)[call.method]
    assert call.to == CALLS.token
    assert call.data == function.selector + encode(function.types, decode(function.types, call.data[4:]))


def test_a_call_tells_the_user_what_it_does() -> None:
    assert CALLS.deposit(15 * 10**17).text == "deposit 1.5 BTT"
    assert CALLS.cash([CHEQUE, CHEQUE], None).text == "cash 2 cheques to the balance in the vault"
    assert CALLS.cash([CHEQUE], YOU).text == f"cash 1 cheque to {YOU}"


def test_cashing_hands_in_the_signed_cheques() -> None:
    (rows, recipient) = decode(abi.functions(abi.VAULT)["cashMany"].types, CALLS.cash([CHEQUE], YOU).data[4:])
    assert rows == (((ME.evm.lower(), YOU.evm.lower(), 5), *compact_signature(CHEQUE.signature)),)
    assert recipient == YOU.evm.lower()


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1))
def test_call_data_is_what_a_general_encoder_makes(first: int, second: int) -> None:
    signature = "f(uint256,address,uint256)"
    expected = keccak(text=signature)[:4] + encode(["uint256", "address", "uint256"], [first, YOU.raw, second])
    assert abi.call_data(signature, first, YOU, second) == expected
    assert abi.call_data(signature, first, YOU.evm, second) == expected


@given(st.lists(st.integers(0, 2**256 - 1), min_size=3, max_size=3))
def test_a_cashed_event_is_read_from_its_log(numbers: list[int]) -> None:
    topics = [keccak(text="Cashed(address,address,address,uint256,uint256)"), words(ME), words(YOU)]
    event = abi.decode_event(topics, words(YOU, *numbers[:2]))
    assert event == CashedCheque(ME, YOU, YOU, numbers[0], numbers[1])
    topics = [keccak(text="Bounced(address,address,uint256,uint256,uint256)"), words(ME), words(YOU)]
    assert abi.decode_event(topics, words(*numbers)) == BouncedCheque(ME, YOU, *numbers)


def test_every_event_of_the_vault_is_read_and_written() -> None:
    for entry in load(abi.VAULT).abi:
        if entry["type"] == "event":
            kinds = [field["type"] for field in entry["inputs"]]
            indexed = sum(bool(field["indexed"]) for field in entry["inputs"])
            topic = keccak(text=f"{entry['name']}({','.join(kinds)})")
            values = [words(1)] * len(kinds)
            log = (topic, *values[:indexed]), b"".join(values[indexed:])
            event = abi.decode_event(*log)
            assert event is not None
            assert abi.encode_event(event) == log


def test_foreign_logs_are_none() -> None:
    assert abi.decode_event([], b"") is None
    assert abi.decode_event([keccak(text="Transfer(address,address,uint256)"), words(ME), words(YOU)], words(1)) is None


@pytest.mark.parametrize(
    ("topics", "data"),
    [
        ([], words(1)),
        ([words(ME)], words(1)),
        ([words(ME), words(YOU)], words(1)[:-1]),
        ([words(ME), b"short"], words(1)),
        ([words(2**200), words(YOU)], words(1)),
    ],
)
def test_broken_logs_are_errors(topics: list[bytes], data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        abi.decode_event([keccak(text="Deposited(address,address,uint256)"), *topics], data)


def test_refusals_are_told_in_words() -> None:
    assert abi.revert_reason(abi.selector("NotCovered(uint256,uint256)") + words(3, 9)) == (
        "9 units wanted, 3 are free in the vault"
    )
    assert abi.revert_reason(abi.selector("ChequeRejected(uint8)") + words(Rejection.NOTHING_NEW)) == (
        "the cheque is rejected: nothing new"
    )
    text = encode(["string"], ["paused\nby owner"])
    assert abi.revert_reason(abi.selector("Error(string)") + text) == "paused?by owner"
    assert abi.revert_reason(b"") == "it gave no reason"


@given(st.sampled_from([*abi.errors(), b"", b"\1\2\3\4"]), WORDS)
def test_any_refusal_gives_one_line(selector: bytes, data: bytes) -> None:
    text = abi.revert_reason(selector + data)
    assert text.isprintable()
    assert len(text) < 1000
