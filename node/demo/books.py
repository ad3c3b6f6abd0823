"""The demo's reconciliation: what each side says, what the chain says, and whether it is all the same.

Pure, so that a test can tamper with any figure and see the demo fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Amounts in token units. Each figure comes from where its name says, none is derived from another."""

    file_sha256: str
    copies: Mapping[str, str]
    """Leecher → SHA-256 of its copy."""
    owed: int
    """By the payer's books."""
    paid: int
    """The payer's highest cheque."""
    earned: int
    """By the seller's meter."""
    received: int
    """The highest cheque the seller holds."""
    cashed: int
    """By the seller's books, from final receipts."""
    paid_out: int
    """By the vault contract."""
    seller_balance_before: int
    seller_balance_after: int
    payer_deposit_before: int
    payer_deposit_after: int

    def faults(self) -> list[str]:
        """Every disagreement, one line each; empty: reconciled to the unit."""
        faults = [
            f"the copy of {name} differs from the file"
            for name, digest in self.copies.items()
            if digest != self.file_sha256
        ]
        reference = self.owed
        figures = {
            "the payer's cheque": self.paid,
            "the seller's meter": self.earned,
            "the cheque the seller holds": self.received,
            "what the seller's books call cashed": self.cashed,
            "what the vault paid out": self.paid_out,
            "the growth of the seller's wallet": self.seller_balance_after - self.seller_balance_before,
            "the decline of the payer's deposit": self.payer_deposit_before - self.payer_deposit_after,
        }
        faults += [
            f"{name} is {value}, but the payer owes {reference}"
            for name, value in figures.items()
            if value != reference
        ]
        return faults
