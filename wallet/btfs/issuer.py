"""Which BTFS cheques we issue: pure, after go-btfs's `Issue`.

A vault reserves nothing, so an honest issuer counts for itself: all it has promised and not yet paid must be covered by
what the vault holds now. Whoever promises more has cheques that bounce.
"""

from __future__ import annotations

from wallet.address import Address
from wallet.btfs.book import Book
from wallet.btfs.errors import IssueError, NotOurVaultError, OverdrawnError
from wallet.btfs.receiver import VaultFacts
from wallet.cheque import BtfsCheque


def available(book: Book, facts: VaultFacts, total_paid_out: int, vault: Address, token: Address | None = None) -> int:
    """Units a vault of ours can still promise; never below 0. `total_paid_out`: to everybody so far, of this token."""
    promised = max(0, book.total(vault, token) - total_paid_out)
    return max(0, facts.balance - promised)


def draw(
    book: Book,
    facts: VaultFacts | None,
    total_paid_out: int,
    *,
    issuer: Address,
    vault: Address,
    beneficiary: Address,
    amount: int,
    token: Address | None = None,
) -> BtfsCheque:
    """The cheque, not yet signed, that pays the beneficiary `amount` more.

    `facts` is None for a vault the factory does not know; `facts.paid_out` is what this beneficiary was paid. Raises an
    `IssueError`, and `ChequeError` where the sum does not fit 256 bits.
    """
    if amount <= 0:
        raise IssueError(f"a cheque adds at least 1 unit, not {amount}")
    if facts is None:
        raise NotOurVaultError(f"BTFS's factory has not deployed a vault at {vault}: nobody would take its cheques")
    if facts.issuer != issuer:
        raise NotOurVaultError(f"the vault {vault} takes cheques signed by {facts.issuer}, not by {issuer}")
    left = available(book, facts, total_paid_out, vault, token)
    if amount > left:
        raise OverdrawnError(f"the vault can promise {left} units more, {amount} are wanted: send tokens to {vault}")
    # With lost books the chain still tells what was paid; a cheque that starts below that would be worth nothing.
    return BtfsCheque(
        vault, beneficiary, max(book.cumulative(vault, beneficiary, token), facts.paid_out) + amount, token
    )
