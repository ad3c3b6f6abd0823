"""The latest cheque per vault, beneficiary and token: all there is to remember of cumulative cheques.

Pure state, the same for cheques received and issued. What goes in must be durable first; `wallet.btfs.desk` keeps that
order. After a restart a book is filled from the cheques that were stored, in any order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from wallet.address import Address
from wallet.btfs.errors import BookFullError, NotGrowingError
from wallet.btfs.wire import SignedBtfsCheque

MAX_CHEQUES = 100_000
"""Entries in one book. Each stands for a vault that somebody paid to deploy and fund, or for somebody we paid."""


class Book:
    """Iterating gives the latest cheques. Token None stands for WBTT."""

    def __init__(self, cheques: Iterable[SignedBtfsCheque] = ()) -> None:
        self._latest: dict[tuple[Address, Address, Address | None], SignedBtfsCheque] = {}
        self._totals: Counter[tuple[Address, Address | None]] = Counter()
        for signed in sorted(cheques, key=lambda signed: signed.cheque.cumulative):
            self.put(signed)

    def __iter__(self) -> Iterator[SignedBtfsCheque]:
        return iter(list(self._latest.values()))

    def latest(self, vault: Address, beneficiary: Address, token: Address | None = None) -> SignedBtfsCheque | None:
        return self._latest.get((vault, beneficiary, token))

    def cumulative(self, vault: Address, beneficiary: Address, token: Address | None = None) -> int:
        """The latest cheque's amount, 0 where there is none."""
        found = self.latest(vault, beneficiary, token)
        return found.cheque.cumulative if found is not None else 0

    def total(self, vault: Address, token: Address | None = None) -> int:
        """The latest cheques drawn on a vault, of all beneficiaries together, cashed or not."""
        return self._totals[vault, token]

    def put(self, signed: SignedBtfsCheque) -> None:
        """Replace the lower cheque of the same kind. Raises `NotGrowingError` and `BookFullError`."""
        self.check(signed)
        cheque = signed.cheque
        self._totals[cheque.vault, cheque.token] += cheque.cumulative - self._before(signed)
        self._latest[cheque.vault, cheque.beneficiary, cheque.token] = signed

    def check(self, signed: SignedBtfsCheque) -> None:
        """Raises what `put` would."""
        before = self._before(signed)
        if signed.cheque.cumulative <= before:
            raise NotGrowingError(f"the book holds a cheque over {before} units already")
        if before == 0 and len(self._latest) >= MAX_CHEQUES:
            raise BookFullError(f"the book of BTFS cheques is full: {MAX_CHEQUES} entries")

    def _before(self, signed: SignedBtfsCheque) -> int:
        return self.cumulative(signed.cheque.vault, signed.cheque.beneficiary, signed.cheque.token)
