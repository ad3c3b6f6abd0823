"""Whether cashing pays: the decision alone, from what the chain said a moment ago.

Theory
------
A cheque grows until it is cashed, and each transaction costs a fee, so waiting makes cashing cheaper; but what stands
behind a cheque is a deposit that its payer can spend elsewhere or withdraw. Hence two reasons to cash:

    cheap        the fee is a small share of the payout;
    endangered   the deposit, without what is under notice of withdrawal, covers what the payer owes us less than
                 `SAFETY` times. Then cash if the payout exceeds the fee at all.

A cheque that nothing covers is held back: trying would cost a fee and bounce. So is one that brings less than its part
of the fee. Fees are paid in the chain's own coin and are weighed at `rate`, the value of one native unit in token
units. Where nobody has set a rate nothing can be called cheap; endangered cheques are then cashed once per
`RESCUE_EVERY`. Shares are exact fractions, and a fee is rounded up when it becomes token units.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from node.ports.store import ReceivedCheque
from wallet.address import Address
from wallet.chains.base import Fee

SAFETY = 2
RESCUE_EVERY = 86_400
"""Seconds: the vault's notice period. Without a rate, a cheque of dust under notice must not cost a fee each time."""

WOULD_BOUNCE = "it would bounce: the deposit covers nothing of it"
DUST = "it brings less than its part of the fee"


@dataclass(frozen=True, slots=True)
class PlannedCheque:
    """A cheque beside what the chain says of it; amounts in token units.

    `uncashed`: what the vault has not paid of it yet. `available`: what it could draw now. `notice`: what its payer
    wants to withdraw, 0 for nothing. `note`: why it is held back.
    """

    cheque: ReceivedCheque
    uncashed: int
    available: int
    notice: int = 0
    note: str = ""

    @property
    def payer(self) -> Address:
        return self.cheque.payer

    @property
    def cumulative(self) -> int:
        return self.cheque.cumulative

    @property
    def payout(self) -> int:
        """What cashing it now would bring."""
        return min(self.uncashed, self.available)

    @property
    def bounces(self) -> int:
        """What would not be covered."""
        return self.uncashed - self.payout

    @property
    def endangered(self) -> bool:
        return self.payout > 0 and max(0, self.available - self.notice) < SAFETY * self.uncashed


@dataclass(frozen=True, slots=True)
class Batch:
    """One transaction: `fee` at most, in native units, and its value in token units; None where not known."""

    cheques: tuple[PlannedCheque, ...]
    fee: int | None
    fee_value: int | None
    worth_it: bool
    why: str

    @property
    def value(self) -> int:
        """What it would bring, in token units."""
        return sum(cheque.payout for cheque in self.cheques)

    @property
    def fee_share(self) -> Fraction | None:
        """The fee as a share of the payout; None where the two cannot be compared."""
        return None if self.fee_value is None else Fraction(self.fee_value, self.value)


@dataclass(frozen=True, slots=True)
class Plan:
    """What cashing now would do, in this order, and which cheques it would leave out."""

    batches: tuple[Batch, ...] = ()
    held_back: tuple[PlannedCheque, ...] = ()
    why: str = ""

    @property
    def cheques(self) -> tuple[PlannedCheque, ...]:
        """All that would be cashed."""
        return tuple(cheque for batch in self.batches for cheque in batch.cheques)

    @property
    def value(self) -> int:
        return sum(batch.value for batch in self.batches)

    @property
    def bounces(self) -> int:
        """What is not covered, of all cheques with something left to cash."""
        return sum(cheque.bounces for cheque in (*self.cheques, *self.held_back))

    @property
    def fee(self) -> int:
        """Native units, of the batches whose fee is known."""
        return sum(batch.fee or 0 for batch in self.batches)

    @property
    def fee_value(self) -> int | None:
        """`fee` in token units; None where no rate is known."""
        known = [batch.fee_value for batch in self.batches if batch.fee_value is not None]
        return sum(known) if len(known) == len(self.batches) else None

    @property
    def fee_share(self) -> Fraction | None:
        return Fraction(self.fee_value, self.value) if self.fee_value is not None and self.value else None

    @property
    def worth_it(self) -> bool:
        """Whether the node would cash any of it by itself."""
        return any(batch.worth_it for batch in self.batches)


@dataclass(frozen=True, slots=True)
class Terms:
    """`permille`: the largest share of the payout that a fee may take, in thousandths. `native`, `token`: symbols."""

    permille: int
    rate: Fraction | None
    native: str
    token: str

    def fee_value(self, fee: Fee) -> int | None:
        """Token units, rounded up."""
        return None if self.rate is None else ceil(fee.total * self.rate)


def judge(
    cheques: Sequence[PlannedCheque], fee: Fee, terms: Terms, *, rescued: Collection[Address] = frozenset()
) -> Batch:
    """Whether to cash these in one transaction: it is cheap, or all of them are endangered.

    `rescued`: payers whose cheques were cashed within `RESCUE_EVERY`, which matters where no rate is known.
    """
    value = sum(cheque.payout for cheque in cheques)
    fee_value = terms.fee_value(fee)
    endangered = all(cheque.endangered for cheque in cheques)
    if fee_value is None:
        worth_it = endangered and not any(cheque.payer in rescued for cheque in cheques)
        unknown = f"what one {terms.native} is worth in {terms.token} is not known: set fee_rate to cash when it pays"
        why = f"{_danger(cheques)}, whatever the fee: {unknown}" if worth_it else unknown
    elif fee_value * 1000 <= value * terms.permille:
        worth_it, why = True, f"the fee is {percent(fee_value, value)} of the payout"
    elif fee_value >= value:
        worth_it, why = False, "the fee would take all of the payout"
    elif endangered:
        worth_it, why = True, f"{_danger(cheques)}, and the fee is {percent(fee_value, value)} of the payout"
    else:
        limit = percent(terms.permille, 1000)
        worth_it, why = False, f"the fee is {percent(fee_value, value)} of the payout; it pays at {limit}"
    return Batch(tuple(cheques), fee.total, fee_value, worth_it, why)


def without_dust(cheques: Sequence[PlannedCheque], fee_value: int | None) -> list[PlannedCheque]:
    """The cheques that bring at least an equal part of the fee; all of them where none does, or it is not known."""
    if fee_value is None:
        return list(cheques)
    return [cheque for cheque in cheques if cheque.payout * len(cheques) >= fee_value] or list(cheques)


def percent(part: int, whole: int) -> str:
    """With two digits, rounded up: 0.01 % is the least that is said of something."""
    hundredths = -(-part * 10_000 // whole)
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def _danger(cheques: Sequence[PlannedCheque]) -> str:
    notices = sum(cheque.notice > 0 for cheque in cheques)
    if notices:
        return f"notice of withdrawal was given by {notices} of the payers"
    return f"the deposits of {len(cheques)} of the payers hardly cover what they owe"
