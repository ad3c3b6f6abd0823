"""A party's books of `StorageMarket`: what each event moves between its accounts. Pure.

Theory
------
The market's own figures are balances and what contracts have locked, so the books have an account for each: `MARKET` is
what we may withdraw or lock, `LOCKED` what contracts of ours hold. Every event moves money between these two, into them
from the wallet, or out of them as an expense; an event of strangers moves nothing. Read in order from the market's
first block, final blocks only, the two accounts equal what the market says of us, to the unit:

    Deposited            MARKET ← WALLET             Withdrawn     WALLET ← MARKET
    Opened, Challenged   LOCKED ← MARKET             our escrow, our collateral, our bond
    Settled, Proved      EXPENSE ← LOCKED            the renter's side of an epoch
                         MARKET ← INCOME             the payee's
    Answered             EXPENSE ← LOCKED, MARKET ← INCOME          the same for a bond
    Exiting, Ended       MARKET ← LOCKED             what was not used comes back
                         EXPENSE ← LOCKED, MARKET ← INCOME          collateral that is lost, and who gets it

The events tell what moved, not what is left, so a `Position` per contract remembers that. It begins when a renter signs
an offer, before any block knows of it: what is promised may be locked by whoever has the signature, and a spending
limit has to count it from then on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wallet.address import Address
from wallet.ledger import Account
from wallet.storage.events import (
    Answered,
    Challenged,
    Deposited,
    Ended,
    Exiting,
    MarketEvent,
    Opened,
    Proved,
    Settled,
    Withdrawn,
)
from wallet.storage_terms import StorageContract

DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Our money in one contract, in token units. `day`: UTC day on which we promised.

    `promised`: what an offer that we signed may still lock; `escrow`, `collateral`, `bond`: locked now; `spent`: what
    of our escrow and bonds went to others.
    """

    id: bytes
    rail: str
    day: int
    terms: StorageContract
    promised: int = 0
    escrow: int = 0
    collateral: int = 0
    bond: int = 0
    spent: int = 0

    @property
    def committed(self) -> int:
        """What counts against a renter's limits."""
        return self.promised + self.escrow + self.bond + self.spent

    @property
    def locked(self) -> int:
        return self.escrow + self.collateral + self.bond


@dataclass(frozen=True, slots=True)
class Move:
    """`amount`, at least 1 unit, goes from account `credit` to account `debit`."""

    debit: Account
    credit: Account
    amount: int
    memo: str


Followed = tuple[Position | None, Sequence[Move]]


@dataclass(frozen=True, slots=True)
class MarketBooks:
    """Of account `own` in a market on `rail` whose challenges cost `bond`."""

    own: Address
    rail: str
    bond: int

    def follow(self, position: Position | None, event: MarketEvent) -> Followed:
        """The position after an event of its contract, and what the event moved. `position` None: there is none yet.

        Events have to come in the market's order, each once.
        """
        if isinstance(event, Deposited | Withdrawn):
            return None, _real(self._transferred(event))
        if isinstance(event, Opened):
            after, moves = self._opened(position, event)
        elif position is None:
            return None, ()
        else:
            after, moves = self._moved(position, event)
        return after, _real(moves)

    def _transferred(self, event: Deposited | Withdrawn) -> Sequence[Move]:
        deposited = isinstance(event, Deposited)
        wallet = event.source if isinstance(event, Deposited) else event.to
        inside = Account.MARKET if event.account == self.own else Account.EQUITY
        outside = Account.WALLET if wallet == self.own else Account.EQUITY
        if inside is outside:  # somebody else's money
            return ()
        if deposited:
            return (Move(inside, outside, event.amount, "deposited in the storage market"),)
        return (Move(outside, inside, event.amount, "withdrawn from the storage market"),)

    def _opened(self, position: Position | None, event: Opened) -> Followed:
        terms = event.terms
        if self.own not in (terms.renter, terms.host, terms.payee, terms.auditor):
            return None, ()
        escrow = terms.escrow if terms.renter == self.own else 0
        collateral = terms.collateral if terms.host == self.own else 0
        # One that we hear of by its opening was promised by another installation, shortly before its start.
        position = position or Position(id=event.id, rail=self.rail, day=terms.start // DAY, terms=terms)
        return replace(position, promised=0, escrow=escrow, collateral=collateral), (
            Move(Account.LOCKED, Account.MARKET, escrow, "storage escrow locked"),
            Move(Account.LOCKED, Account.MARKET, collateral, "storage collateral locked"),
        )

    def _moved(self, held: Position, event: MarketEvent) -> Followed:
        rents, hosts = held.terms.renter == self.own, held.terms.host == self.own
        match event:
            case Settled() | Proved():
                paid = event.amount if rents else 0
                return replace(held, escrow=held.escrow - paid, spent=held.spent + paid), (
                    Move(Account.STORAGE_EXPENSE, Account.LOCKED, paid, "storage paid"),
                    *self._income(event.payee, event.amount, "storage paid"),
                )
            case Challenged():
                bond = self.bond if event.challenger == self.own else 0
                return replace(held, bond=bond), (Move(Account.LOCKED, Account.MARKET, bond, "storage bond locked"),)
            case Answered():
                return replace(held, bond=0, spent=held.spent + held.bond), (
                    Move(Account.STORAGE_EXPENSE, Account.LOCKED, held.bond, "storage bond lost: answered"),
                    *self._income(event.payee, event.bond, "storage challenge answered"),
                )
            case Exiting():
                refund, fee = (event.refund if rents else 0), (event.fee if hosts else 0)
                return replace(held, escrow=held.escrow - refund, collateral=held.collateral - fee), (
                    Move(Account.MARKET, Account.LOCKED, refund, "storage escrow back: the host leaves"),
                    Move(Account.STORAGE_EXPENSE, Account.LOCKED, fee, "storage collateral lost: left early"),
                    *self._income(held.terms.renter, event.fee, "storage collateral won: the host leaves"),
                )
            case Ended():
                return self._ended(held, event, rents=rents, hosts=hosts)
        return held, ()

    def _ended(self, held: Position, event: Ended, *, rents: bool, hosts: bool) -> Followed:
        back = event.to_host if hosts else 0
        won = event.to_renter - held.escrow if rents else 0
        return replace(held, promised=0, escrow=0, collateral=0, bond=0), (
            Move(Account.MARKET, Account.LOCKED, held.bond, "storage bond back"),
            Move(Account.MARKET, Account.LOCKED, held.escrow, "storage escrow back"),
            Move(Account.MARKET, Account.LOCKED, back, "storage collateral back"),
            Move(Account.STORAGE_EXPENSE, Account.LOCKED, held.collateral - back, "storage collateral lost"),
            Move(Account.MARKET, Account.STORAGE_INCOME, won, "storage collateral won"),
        )

    def _income(self, account: Address, amount: int, memo: str) -> Sequence[Move]:
        return (Move(Account.MARKET, Account.STORAGE_INCOME, amount, memo),) if account == self.own else ()


def _real(moves: Sequence[Move]) -> Sequence[Move]:
    return tuple(move for move in moves if move.amount)
