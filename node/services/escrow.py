"""Our money in a storage market and a registry of hosts, whoever put it there: the renter's, the host's, or both.

A market has one balance for each key; contracts lock parts of it and let them go. What is free is the owner's to take
home at any moment, on any node: also where nothing is rented out, or not any more.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.ports.store import Store
from node.services.settlement import Done, Settlement
from wallet.address import Address
from wallet.chains.base import Call
from wallet.errors import WalletError
from wallet.ledger import Account
from wallet.storage.chain import HostRegistry, StorageMarket


class EscrowError(WalletError):
    """The owner asks for what is not there."""

    hint = "`bttnode escrow` shows what is"


@dataclass(frozen=True, slots=True)
class Held:
    """Token units. `free`: can be taken home; `locked`: in contracts and bonds, by our books of final events; `stake`:
    in the registry, 0 where there is none; `stake_from`: the Unix second from which it can be reclaimed, None for a
    host that is listed or was never there."""

    free: int
    locked: int
    stake: int
    stake_from: int | None


class Escrow:
    """One per rail. Calls are taken to their final receipts; the same `key` again is the same transaction.

    All raise `ChainError`, `TimeoutError`, `StoreError`.
    """

    def __init__(
        self,
        market: StorageMarket,
        registry: HostRegistry | None,
        settlement: Settlement,
        *,
        store: Store,
        own: Address,
        rail: str,
    ) -> None:
        self._market = market
        self._registry = registry
        self._settlement = settlement
        self._store = store
        self._own = own
        self._rail = rail

    async def held(self) -> Held:
        """What is there now."""
        books = await self._store.balances()
        locked = sum(
            units for line, units in books.items() if (line.rail, line.account) == (self._rail, Account.LOCKED)
        )
        free = await self._market.balance(self._own)
        if self._registry is None:
            return Held(free, locked, 0, None)
        stake = await self._registry.stake(self._own)
        return Held(free, locked, stake.amount, stake.leaves_at)

    async def deposit(self, amount: int, *, key: str) -> Done:
        """From the wallet into the market, where contracts can lock it."""
        await self._market.ensure()
        calls = self._market.calls
        if await self._market.allowance(self._own) < amount:
            await self.perform("approve", key, calls.approve(amount))
        return await self.perform("deposit", key, calls.deposit(amount))

    async def withdraw(self, amount: int | None, *, key: str) -> Done:
        """What is not locked, from the market into the wallet; None: all of it. Raises `EscrowError` for none."""
        units = await self._market.balance(self._own) if amount is None else amount
        if not units:
            raise EscrowError("nothing is free in the market")
        return await self.perform("withdraw", key, self._market.calls.withdraw(units, self._own))

    async def reclaim(self, *, key: str) -> Done:
        """The stake of a host that left the list, when its notice is over, into the wallet.

        Raises `EscrowError` where there is none, or it is still listed.
        """
        stake = None if self._registry is None else await self._registry.stake(self._own)
        if self._registry is None or stake is None or not stake.amount:
            raise EscrowError("no stake of ours is in the list of hosts")
        if stake.leaves_at is None:
            raise EscrowError("our stake holds our place in the list of hosts: `bttnode host leave` first")
        return await self.perform("reclaim", key, self._registry.calls.withdraw(self._own))

    async def perform(self, what: str, key: str, call: Call) -> Done:
        """Take one of these calls to its end."""
        return await self._settlement.perform(f"escrow-{what}:{key}", call)
