"""Books keep the highest cheque of each kind, and issuing never promises more than the vault holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet.address import Address
from wallet.btfs import book as book_module
from wallet.btfs.book import Book
from wallet.btfs.errors import BookFullError, IssueError, NotGrowingError, NotOurVaultError, OverdrawnError
from wallet.btfs.issuer import available, draw
from wallet.btfs.receiver import VaultFacts
from wallet.btfs.wire import SignedBtfsCheque
from wallet.cheque import BtfsCheque
from wallet.errors import ChequeError

ALICE, BOB, VAULT, OTHER, TOKEN, ISSUER, WBTT = (Address(bytes((number,)) * 20) for number in range(1, 8))

cheques = st.builds(
    lambda *fields: SignedBtfsCheque(BtfsCheque(*fields), bytes(65)),
    st.sampled_from([VAULT, OTHER]),
    st.sampled_from([ALICE, BOB]),
    st.integers(0, 50),
    st.sampled_from([None, TOKEN]),
)


def entry(amount: int, beneficiary: Address = ALICE) -> SignedBtfsCheque:
    return SignedBtfsCheque(BtfsCheque(VAULT, beneficiary, amount), bytes(65))


@given(st.lists(cheques, max_size=30))
def test_a_book_holds_the_highest_of_each_kind_and_their_totals(history: list[SignedBtfsCheque]) -> None:
    book = Book()
    highest: dict[tuple[Address, Address, Address | None], int] = {}
    for signed in history:
        key = (signed.cheque.vault, signed.cheque.beneficiary, signed.cheque.token)
        if signed.cheque.cumulative > highest.get(key, 0):
            book.put(signed)
            highest[key] = signed.cheque.cumulative
        else:
            with pytest.raises(NotGrowingError):
                book.put(signed)
    assert {key: book.cumulative(*key) for key in highest} == highest
    for vault in (VAULT, OTHER):
        for token in (None, TOKEN):
            kind = [amount for (v, _, t), amount in highest.items() if (v, t) == (vault, token)]
            assert book.total(vault, token) == sum(kind)
    again = Book(reversed(list(book)))
    assert set(again) == set(book)


def test_a_full_book_still_takes_higher_cheques_of_those_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "MAX_CHEQUES", 1)
    book = Book([entry(1)])
    with pytest.raises(BookFullError, match="1 entries"):
        book.put(entry(1, BOB))
    book.put(entry(2))
    assert book.total(VAULT) == 2


@given(st.lists(st.tuples(st.sampled_from([ALICE, BOB]), st.integers(1, 60), st.booleans()), max_size=20))
def test_everything_promised_is_covered_whatever_was_cashed(history: list[tuple[Address, int, bool]]) -> None:
    book, balance, paid = Book(), 100, {ALICE: 0, BOB: 0}
    for beneficiary, amount, cashed in history:
        facts = VaultFacts(ISSUER, WBTT, balance, paid[beneficiary], False)
        left = available(book, facts, sum(paid.values()), VAULT)
        try:
            cheque = draw(
                book, facts, sum(paid.values()), issuer=ISSUER, vault=VAULT, beneficiary=beneficiary, amount=amount
            )
        except OverdrawnError:
            assert amount > left
            continue
        assert amount <= left
        book.put(SignedBtfsCheque(cheque, bytes(65)))
        if cashed:
            due = cheque.cumulative - paid[beneficiary]
            paid[beneficiary], balance = cheque.cumulative, balance - due
        assert balance >= sum(book.cumulative(VAULT, who) - paid[who] for who in paid)


@pytest.mark.parametrize(
    ("error", "facts", "amount"),
    [
        (NotOurVaultError, None, 1),
        (NotOurVaultError, VaultFacts(ALICE, WBTT, 9, 0, False), 1),
        (OverdrawnError, VaultFacts(ISSUER, WBTT, 9, 0, False), 10),
        (IssueError, VaultFacts(ISSUER, WBTT, 9, 0, False), 0),
        (IssueError, VaultFacts(ISSUER, WBTT, 9, 0, False), -1),
        (ChequeError, VaultFacts(ISSUER, WBTT, 9, 2**256 - 1, False), 1),
    ],
)
def test_what_must_not_be_issued_is_refused(error: type[ChequeError], facts: VaultFacts | None, amount: int) -> None:
    with pytest.raises(error) as raised:
        draw(Book(), facts, 0, issuer=ISSUER, vault=VAULT, beneficiary=BOB, amount=amount)
    assert type(raised.value) is error
