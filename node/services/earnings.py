"""What payers have signed to us, and what has become of it: pending, cashed, final, bounced.

    pending   cheques held, nothing more has happened
    cashed    paid out in a block that a reorganisation may still take back
    final     paid out for good: the sum of the payouts in `history`, each with its transaction
    bounced   what the vault did not cover when the cheque was last cashed; final if it is covered and cashed one day

For each payer the four add up to the cheques received, and what is not final is what the double-entry books show as
`asset:cheques_held`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from node.ports.store import Account, Line, Payout, ReceivedCheque, Store
from wallet.address import Address

MAX_PAGE = 1_000


class PaidInBlocks(Protocol):
    """`node.services.notices.Watcher`."""

    def paid_in_blocks(self, payer: Address) -> int: ...


@dataclass(frozen=True, slots=True)
class Figures:
    """Amounts in token units. `received`: the other four together."""

    pending: int = 0
    cashed: int = 0
    final: int = 0
    bounced: int = 0

    @property
    def received(self) -> int:
        return self.pending + self.cashed + self.final + self.bounced

    @classmethod
    def of(cls, account: ReceivedCheque, paid_in_blocks: int) -> Figures:
        """One payer's. `paid_in_blocks`: the vault's cumulative payout in all blocks known, final or not."""
        uncashed = account.uncashed
        cashed = min(uncashed, max(0, paid_in_blocks - account.cashed))
        bounced = min(account.bounced, uncashed - cashed)
        return cls(uncashed - cashed - bounced, cashed, account.cashed, bounced)

    @classmethod
    def total(cls, parts: Iterable[Figures]) -> Figures:
        every = list(parts)
        return cls(
            pending=sum(part.pending for part in every),
            cashed=sum(part.cashed for part in every),
            final=sum(part.final for part in every),
            bounced=sum(part.bounced for part in every),
        )


@dataclass(frozen=True, slots=True)
class PayerEarnings:
    """One payer's account. `bounced_at`: when a cheque of it last bounced, Unix seconds."""

    payer: Address
    figures: Figures
    bounced_at: int | None


@dataclass(frozen=True, slots=True)
class RailEarnings:
    """One rail; the largest payers first. `held_in_books`: what the journal says of the cheques held, in token units;
    it equals `figures.received - figures.final`, but for cheques that came between two looks."""

    rail: str
    figures: Figures
    payers: tuple[PayerEarnings, ...]
    held_in_books: int


@dataclass(frozen=True, slots=True)
class Page:
    """Payouts, the newest first. `before`: ask with this for the next page; None: there is none."""

    payouts: tuple[Payout, ...]
    before: int | None


class Earnings:
    """One per node. `watchers`: by rail id; a rail without one has had cheques and is not configured any more."""

    def __init__(self, store: Store, *, own: Address, watchers: Mapping[str, PaidInBlocks]) -> None:
        self._store = store
        self._own = own
        self._watchers = watchers

    async def report(self) -> tuple[RailEarnings, ...]:
        """All rails with any cheques, by name."""
        by_rail: defaultdict[str, list[PayerEarnings]] = defaultdict(list)
        for account in await self._store.all_received():
            if account.payee == self._own:
                watcher = self._watchers.get(account.rail)
                figures = Figures.of(account, watcher.paid_in_blocks(account.payer) if watcher else 0)
                by_rail[account.rail].append(PayerEarnings(account.payer, figures, account.bounced_at))
        balances = await self._store.balances()
        return tuple(
            RailEarnings(
                rail=rail,
                figures=Figures.total(line.figures for line in lines),
                payers=_largest_first(lines),
                held_in_books=balances.get(Line(rail, "", Account.CHEQUES_HELD), 0),
            )
            for rail, lines in sorted(by_rail.items())
        )

    async def history(
        self, *, rail: str | None = None, payer: Address | None = None, before: int | None = None, limit: int = 100
    ) -> Page:
        """What final receipts say, cheque by cheque; at most `MAX_PAGE` at once."""
        limit = max(1, min(limit, MAX_PAGE))
        found = await self._store.payouts(rail=rail, payer=payer, before=before, limit=limit + 1)
        page = tuple(found[:limit])
        return Page(page, page[-1].number if len(found) > limit else None)


def _largest_first(lines: Sequence[PayerEarnings]) -> tuple[PayerEarnings, ...]:
    return tuple(sorted(lines, key=lambda line: (-line.figures.received, line.payer)))
