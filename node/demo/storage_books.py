"""The reconciliation of rented storage: what the market's log, its balances and every node say must be the same.

Pure, so that a test can tamper with any figure and see the demo fail. Theory: money in the market is in somebody's
balance or locked in a contract. A contract that has ended has given all of it back, escrow and collateral, as pay, to
the renter or to the host; so when all have ended, every balance follows from deposits, pay, bonds and collateral that
was lost, and all balances together are the tokens that the market holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from wallet.address import Address
from wallet.storage.events import Answered, Deposited, Ended, MarketEvent, Opened, Proved, Settled, Status
from wallet.storage_terms import StorageContract

ENDED_WELL = "completed"
"""The state of a contract that ran its term, as nodes call it."""


@dataclass(slots=True)
class Lease:
    """A contract by the market's log, in token units. `paid`: for epochs; `bonds`: of challenges that were answered;
    `to_renter`, `to_host`: released at its end. `status` stays `ACTIVE` until then."""

    terms: StorageContract
    status: Status = Status.ACTIVE
    paid: int = 0
    bonds: int = 0
    to_renter: int = 0
    to_host: int = 0

    @property
    def lost(self) -> int:
        """Collateral that went to the renter."""
        return self.terms.collateral - self.to_host if self.status is Status.FAILED else 0


@dataclass(slots=True)
class MarketLog:
    """All that has happened in a market. `put_in`: account → what was deposited for it."""

    leases: dict[bytes, Lease] = field(default_factory=dict)
    put_in: dict[Address, int] = field(default_factory=dict)

    @classmethod
    def read(cls, events: Iterable[MarketEvent]) -> MarketLog:
        """Of all events of the market, from its first block on."""
        log = cls()
        for event in events:
            match event:
                case Deposited(account, _, amount):
                    log.put_in[account] = log.put_in.get(account, 0) + amount
                case Opened(name, terms):
                    log.leases[name] = Lease(terms)
                case Settled(name) | Proved(name):
                    log.leases[name].paid += event.amount
                case Answered(name):
                    log.leases[name].bonds += event.bond
                case Ended(name, status, to_renter, to_host) if name in log.leases:
                    lease = log.leases[name]
                    lease.status, lease.to_renter, lease.to_host = status, to_renter, to_host
                case _:  # nothing in the demo withdraws, exits or hands over; the balances would not add up
                    pass
        return log

    def of(self, host: Address) -> list[Lease]:
        return [lease for lease in self.leases.values() if lease.terms.host == host]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostBooks:
    """One host. From the log: what it `put_in`, was `paid`, won as `bonds` and `lost`; by the market's books: its
    `balance`; and what its node says."""

    name: str
    put_in: int
    paid: int
    bonds: int
    lost: int
    balance: int
    says_paid: int
    says_bonds: int
    says_lost: int

    def faults(self) -> Iterable[str]:
        due = self.put_in + self.paid + self.bonds - self.lost
        if self.balance != due:
            yield f"the market holds {self.balance} for {self.name}, but should hold {due}"
        for name in ("paid", "bonds", "lost"):
            said, logged = getattr(self, f"says_{name}"), getattr(self, name)
            if said != logged:
                yield f"{self.name} says {name} {said}, the market's log says {logged}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseBooks:
    """One contract that was opened. `paid`, `to_renter`, `to_host`, `ended_well`: by the log; `says_paid`: by the
    renter's node. Where a contract failed, that may be what it vouched for, which is void if it was not handed in."""

    name: str
    escrow: int
    collateral: int
    paid: int
    to_renter: int
    to_host: int
    ended_well: bool
    says_paid: int
    says_state: str

    def faults(self) -> Iterable[str]:
        locked, released = self.escrow + self.collateral, self.paid + self.to_renter + self.to_host
        if locked != released:
            yield f"{self.name} locked {locked}, and released {released}"
        if (self.says_state == ENDED_WELL) != self.ended_well:
            yield f"{self.name} is {self.says_state} for the renter, and not for the market"
        if self.says_paid < self.paid or (self.ended_well and self.says_paid != self.paid):
            yield f"{self.name} paid {self.says_paid} for the renter, and {self.paid} by the market's log"


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageBooks:
    """One rail, in token units. Each figure comes from where its name says, none is derived from another."""

    file_sha256: str
    restored_sha256: str
    wallet_before: int
    """The renter's, in its wallet, before anything was stored."""
    wallet_after: int
    put_in: int
    """By the renter, by the market's log."""
    balance: int
    """The renter's in the market: what was not spent, and can be withdrawn."""
    market_tokens: int
    """By the token contract."""
    leases: tuple[LeaseBooks, ...]
    hosts: tuple[HostBooks, ...]

    @property
    def paid(self) -> int:
        """To all hosts."""
        return sum(host.paid for host in self.hosts)

    @property
    def lost(self) -> int:
        """Collateral of all hosts."""
        return sum(host.lost for host in self.hosts)

    def faults(self) -> list[str]:
        """Every disagreement, one line each; empty: reconciled to the unit."""
        faults = [fault for lease in self.leases for fault in lease.faults()]
        faults += [fault for host in self.hosts for fault in host.faults()]
        if self.restored_sha256 != self.file_sha256:
            faults.append("the restored file differs from the one that was stored")
        bonds = sum(host.bonds for host in self.hosts)
        # What is put on either side comes from different places.
        equal = {
            "the decline of the renter's wallet, and its deposits": (
                self.wallet_before - self.wallet_after,
                self.put_in,
            ),
            "the renter's deposits less what is left of them, and what hosts got less what they lost": (
                self.put_in - self.balance,
                self.paid + bonds - self.lost,
            ),
            "what contracts paid, and what hosts got": (sum(lease.paid for lease in self.leases), self.paid),
            "the tokens that the market holds, and everybody's balances": (
                self.market_tokens,
                self.balance + sum(host.balance for host in self.hosts),
            ),
            "those tokens, and all deposits": (
                self.market_tokens,
                self.put_in + sum(host.put_in for host in self.hosts),
            ),
        }
        faults += [f"{name} differ: {one} and {other}" for name, (one, other) in equal.items() if one != other]
        return faults
