"""The receiver's verdict: what counts adds up, what does not is refused for its own reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wallet.strategies import addresses, uint256
from wallet.address import Address
from wallet.btfs.errors import (
    BouncedBeforeError,
    NotGrowingError,
    RefusedError,
    TooLittleError,
    UncoveredError,
    UnknownVaultError,
    WrongBeneficiaryError,
    WrongSignerError,
    WrongTokenError,
)
from wallet.btfs.receiver import Terms, VaultFacts, judge, sift
from wallet.btfs.wire import SignedBtfsCheque
from wallet.cheque import BtfsCheque
from wallet.errors import BadSignatureError, StaleChequeError
from wallet.keys import PrivateKey

ISSUER, STRANGER = PrivateKey(b"\x01" * 32), PrivateKey(b"\x02" * 32)
HOST, VAULT, WBTT, USDD = (Address(bytes((number,)) * 20) for number in range(0xA0, 0xA4))
TERMS = Terms(199, HOST, WBTT, frozenset({USDD}))
FACTS = VaultFacts(ISSUER.address, WBTT, balance=1000, paid_out=0, bounced=False)

amounts = st.integers(0, 30) | uint256


def signed(
    amount: int, token: Address | None = None, *, to: Address = HOST, by: PrivateKey = ISSUER
) -> SignedBtfsCheque:
    cheque = BtfsCheque(VAULT, to, amount, token)
    return SignedBtfsCheque(cheque, cheque.sign(199, by))


@given(st.sampled_from([None, USDD]), amounts, amounts, amounts, amounts, st.integers(1, 9))
def test_a_cheque_counts_exactly_if_it_grows_enough_and_is_covered(
    token: Address | None, amount: int, held: int, paid_out: int, balance: int, owed: int
) -> None:
    facts = replace(FACTS, balance=balance, paid_out=paid_out)
    gain = amount - max(held, paid_out)
    refusal = (
        NotGrowingError
        if gain <= 0
        else TooLittleError
        if gain < owed
        else UncoveredError
        if balance < amount - paid_out
        else None
    )
    if refusal is None:
        assert judge(TERMS, signed(amount, token), facts, held, owed) == gain
    else:
        with pytest.raises(refusal):
            judge(TERMS, signed(amount, token), facts, held, owed)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20), st.integers(0, 1000))
def test_gains_add_up_to_what_can_be_cashed(amounts: list[int], paid_out: int) -> None:
    facts, held, earned = replace(FACTS, paid_out=paid_out), 0, 0
    for amount in amounts:
        try:
            earned += judge(TERMS, signed(amount), facts, held)
        except NotGrowingError:
            continue
        held = amount
    assert earned == max(0, held - paid_out)


@pytest.mark.parametrize(
    ("error", "cheque", "facts"),
    [
        (WrongBeneficiaryError, signed(5, to=VAULT), FACTS),
        (WrongTokenError, signed(5, VAULT), FACTS),
        (WrongTokenError, signed(5, WBTT), FACTS),
        (NotGrowingError, signed(3), FACTS),
        (UnknownVaultError, signed(5), None),
        (WrongSignerError, signed(5, by=STRANGER), FACTS),
        (WrongSignerError, SignedBtfsCheque(signed(5).cheque, bytes(65)), FACTS),
        (WrongSignerError, SignedBtfsCheque(signed(5).cheque, b""), FACTS),
        (WrongTokenError, signed(5), replace(FACTS, wbtt=USDD)),
        (NotGrowingError, signed(5), replace(FACTS, paid_out=5)),
        (TooLittleError, signed(4), FACTS),
        (BouncedBeforeError, signed(5), replace(FACTS, bounced=True)),
        (UncoveredError, signed(5), replace(FACTS, balance=4)),
    ],
)
def test_each_refusal_has_its_reason(
    error: type[RefusedError], cheque: SignedBtfsCheque, facts: VaultFacts | None
) -> None:
    with pytest.raises(error) as raised:
        judge(TERMS, cheque, facts, held=3, owed=2)
    assert type(raised.value) is error
    assert str(raised.value).isprintable()


def test_refusals_are_also_what_other_code_catches() -> None:
    assert issubclass(NotGrowingError, StaleChequeError)
    assert issubclass(WrongSignerError, BadSignatureError)


def test_wbtt_is_no_other_token_even_if_the_terms_list_it() -> None:
    with pytest.raises(WrongTokenError):
        sift(replace(TERMS, tokens=frozenset({WBTT})), signed(5, WBTT), 0)


@given(addresses, uint256)
def test_sifting_stops_only_what_judging_would_stop(to: Address, amount: int) -> None:
    try:
        sift(TERMS, signed(amount, to=to), 0)
    except RefusedError as error:
        with pytest.raises(type(error)):
            judge(TERMS, signed(amount, to=to), FACTS, 0)
