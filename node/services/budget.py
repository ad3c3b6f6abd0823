"""The user's spend limits, as they stand now: what is durable in the store plus what is on its way there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from node.ports.clock import Clock
from node.ports.engine import PeerId, TorrentId
from node.ports.store import Store, TorrentRecord
from node.services.vault import VaultView
from node.speed.bidder import Cap, NoBid, Plan, Purse
from wallet.errors import LimitError
from wallet.limits import SpendLimits, Spent

DAY = 86_400


@dataclass(frozen=True, slots=True)
class TorrentTerms:
    """What the user set for one torrent; None = the node's default, or no own budget.

    `rate` in bytes per second, 0 = as much as there is. `strategy` by name, empty = the node's default. `started`,
    `deadline` in Unix seconds.
    """

    max_price: int | None = None
    budget: int | None = None
    rate: int = 0
    strategy: str = ""
    started: int = 0
    deadline: int | None = None

    @classmethod
    def of(cls, record: TorrentRecord) -> TorrentTerms:
        return cls(record.max_price, record.budget, record.rate, record.strategy, record.added_at, record.deadline)


class Budget:
    """Plans bids within the user's caps and the vault's deposit. `on_the_way` is owed but not signed yet."""

    def __init__(self, caps: SpendLimits, *, store: Store, vault: VaultView, clock: Clock) -> None:
        self.caps = caps
        self.terms: dict[TorrentId, TorrentTerms] = {}
        self._store = store
        self._vault = vault
        self._clock = clock
        self._purse = Purse()
        self._on_the_way: dict[TorrentId, int] = {}
        self._used: dict[PeerId, int] = {}
        self._apart = 0
        """Units of cheques that are for no torrent and not durable yet."""

    async def plan(
        self,
        peer: PeerId,
        torrent: TorrentId,
        *,
        rail: str,
        reserve: int,
        used: int,
        default_price: int,
        share: int | None = None,
    ) -> Plan | NoBid:
        """The bid for connection `peer`, or why there is none. The deposit is that of the rail; limits are for all.

        `share`: what this seller is to get of the budget, at most.
        """
        terms = self.terms.get(torrent, TorrentTerms())
        everywhere, this_torrent = await self._limits(torrent)
        everything = sum(self._on_the_way.values())
        funds = self._vault.free(rail)
        if funds is None:
            return NoBid("the vault's deposit is not known: the chain cannot be reached", final=False)
        if funds - everything <= 0:
            return NoBid("the vault is empty: `bttnode vault deposit` to pay for speed", final=False)
        everywhere.append(Cap("deposit in the vault", funds, everything))
        price = default_price if terms.max_price is None else terms.max_price
        return self._purse.plan(
            peer,
            torrent,
            reserve=reserve,
            max_price=price,
            used=used,
            everywhere=everywhere,
            this_torrent=this_torrent,
            share=share,
        )

    async def unspent(self, torrent: TorrentId) -> int | None:
        """Units that the user's limits still leave for this torrent, whoever holds parts of them; None: no limit."""
        everywhere, this_torrent = await self._limits(torrent)
        return min((cap.left for cap in (*everywhere, *this_torrent)), default=None)

    def on_the_way(self, torrent: TorrentId) -> int:
        """Units owed for this torrent that no durable cheque covers yet."""
        return self._on_the_way.get(torrent, 0)

    async def _limits(self, torrent: TorrentId) -> tuple[list[Cap], list[Cap]]:
        """The user's limits for everything, and those for this torrent alone."""
        terms = self.terms.get(torrent, TorrentTerms())
        apart = self._apart
        spent = await self._store.spent(self._clock.wall() // DAY)
        spent_here = await self._store.spent_on(torrent)
        everything = sum(self._on_the_way.values())
        everywhere, this_torrent = [], []
        if self.caps.total is not None:
            everywhere.append(Cap("total budget", self.caps.total, spent.total + apart + everything))
        if self.caps.per_day is not None:
            everywhere.append(Cap("budget for today", self.caps.per_day, spent.today + apart + everything))
        budgets = [budget for budget in (terms.budget, self.caps.per_torrent) if budget is not None]
        if budgets:
            this_torrent.append(Cap("budget for this torrent", min(budgets), spent_here + self.on_the_way(torrent)))
        return everywhere, this_torrent

    async def authorise(self, growth: Mapping[TorrentId, int]) -> None:
        """The last check, before a cheque is signed: growth by torrent against what is durable. Raises `LimitError`.

        Bids keep within the limits by themselves; this holds whatever they promised.
        """
        everything = self._apart
        spending = await self._store.spent(self._clock.wall() // DAY)
        for torrent, amount in growth.items():
            terms = self.terms.get(torrent, TorrentTerms())
            budgets = [b for b in (terms.budget, self.caps.per_torrent) if b is not None]
            limits = replace(self.caps, per_torrent=min(budgets) if budgets else None)
            spent = Spent(
                torrent=await self._store.spent_on(torrent),
                today=spending.today + everything,
                total=spending.total + everything,
            )
            allowance = limits.check(spent, amount)
            if allowance.binding is not None:
                raise LimitError(f"a cheque would exceed your {allowance.binding.value} limit", allowance.binding)
            everything += amount

    @asynccontextmanager
    async def apart(self, amount: int) -> AsyncIterator[None]:
        """While a cheque over `amount` that is for no torrent is made durable: nobody else may spend that.

        What is owed for torrents already goes first. Raises `LimitError` before the body runs.
        """
        # Taken before the store is asked: what becomes durable meanwhile counts twice for a moment, never not at all.
        taken = sum(self._on_the_way.values()) + self._apart
        self._apart += amount
        try:
            spent = await self._store.spent(self._clock.wall() // DAY)
            limits = replace(self.caps, per_torrent=None)
            allowance = limits.check(Spent(today=spent.today + taken, total=spent.total + taken), amount)
            if allowance.binding is not None:
                raise LimitError(f"the cheque would exceed your {allowance.binding.value} limit", allowance.binding)
            yield
        finally:
            self._apart -= amount

    def spent(self, peer: PeerId, torrent: TorrentId, amount: int) -> bool:
        """Connection `peer` owes `amount` more; says whether its bid should be renewed."""
        self._on_the_way[torrent] = self._on_the_way.get(torrent, 0) + amount
        self._used[peer] = self._used.get(peer, 0) + amount
        return self._purse.spend(peer, self._used[peer])

    def committed(self, spent: Mapping[TorrentId, int]) -> None:
        """These debts need nothing more: a cheque over them is durable and the store counts it, or they cancel out."""
        for torrent, amount in spent.items():
            left = self._on_the_way.get(torrent, 0) - amount
            if left > 0:
                self._on_the_way[torrent] = left
            else:
                self._on_the_way.pop(torrent, None)

    def withdraw(self, peer: PeerId) -> None:
        """This connection has stopped, and costs nothing any more: others may have what it held."""
        self._purse.release(peer)

    def returned(self, debts: Mapping[TorrentId, int]) -> None:
        """What counted as `committed` is to be paid by cheque after all."""
        for torrent, amount in debts.items():
            self._on_the_way[torrent] = self._on_the_way.get(torrent, 0) + amount

    def release(self, peer: PeerId) -> None:
        """The connection is gone and nothing on it can become payable any more."""
        self._used.pop(peer, None)
        self._purse.release(peer)
