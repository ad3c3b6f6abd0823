"""One running node: its parts, started and stopped in the right order.

Start: lock and open the store, open the ports, give the engine its torrents, open the API last, when everything
answers. Stop is the reverse. The one reader of engine events is here; it hands each event to the services in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from node.ports.engine import Engine
from node.ports.store import Store
from node.services.billing import Billing
from node.services.btfs import Btfs
from node.services.chaintime import ChainTime
from node.services.earnings import Earnings
from node.services.escrow import Escrow
from node.services.host.hosting import Hosting
from node.services.market import Market
from node.services.notices import Watcher
from node.services.payments import Payments
from node.services.renter.renting import Renting
from node.services.reputation import Reputations
from node.services.settlement import Settlement
from node.services.storagebooks import StorageBooks
from node.services.torrents import Torrents
from node.services.vault import VaultView
from node.services.wallet import Wallet
from wallet.storage.errors import WrongContractError

log = logging.getLogger(__name__)

TICK = 1.0
VAULT_EVERY = 60.0
"""Seconds between two looks at everybody; `node.services.notices` tells at once whose deposit has changed."""


class SystemClock:
    """The port `Clock` on the machine's clocks."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> int:
        return int(time.time())


@dataclass(slots=True)
class Daemon:
    """All parts of a node. Build it with `node.app.build`."""

    engine: Engine
    store: Store
    vault: VaultView
    torrents: Torrents
    payments: Payments
    market: Market
    settlements: Mapping[str, Settlement]
    """By the rail's name."""
    watchers: Sequence[Watcher]
    earnings: Earnings
    reputations: Reputations
    wallet: Wallet
    billing: Billing
    btfs: Mapping[str, Btfs] = field(default_factory=dict)
    """By the rail's name, where the rail has BTFS's vaults."""
    hosting: Hosting | None = None
    """Where the user rents out disk."""
    renting: Renting | None = None
    """Where a rail has a storage market and hosts."""
    chain_time: ChainTime | None = None
    """By which contracts on devnets run."""
    escrows: Mapping[str, Escrow] = field(default_factory=dict)
    """By the rail's name, where the rail has a storage market."""
    storage_books: Sequence[StorageBooks] = ()
    """One for each rail with a storage market."""
    check_contracts: Callable[[Callable[[str], object]], Coroutine[Any, Any, None]] | None = None
    """Tells what is wrong with contracts that the settings name, then ends."""
    faults: list[str] = field(default_factory=list)
    """The latest local faults, for the status page."""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _stopped: bool = False

    async def start(self) -> None:
        """Raises the parts' own errors (`ListenError`, `StoreError`, …); what was started is stopped again."""
        try:
            await self.engine.start()
            self._tasks.append(asyncio.create_task(self._pump(), name="events"))
            await self.vault.refresh()
            await self.torrents.start()
            if self.chain_time is not None:
                await self.chain_time.look()
                self._tasks.append(asyncio.create_task(self.chain_time.follow(), name="time"))
            if self.hosting is not None:
                await self.hosting.start()
                self._tasks.append(asyncio.create_task(self.hosting.run(), name="hosting"))
            self._tasks.append(asyncio.create_task(self._every(TICK, self._tick), name="tick"))
            self._tasks.append(asyncio.create_task(self._watch_vault(), name="vault"))
            self._tasks.append(asyncio.create_task(self.market.run(), name="market"))
            self._tasks.append(asyncio.create_task(self.reputations.run(), name="reputations"))
            for name, settlement in self.settlements.items():
                self._tasks.append(asyncio.create_task(settlement.run(), name=f"settlement {name}"))
            if self.renting is not None:
                await self.renting.start()
                self._tasks.append(asyncio.create_task(self.renting.run(), name="renting"))
            for watcher in self.watchers:
                self._tasks.append(asyncio.create_task(watcher.run(), name="notices"))
            if self.check_contracts is not None:
                checking = self.check_contracts(lambda fault: self.fault(WrongContractError(fault)))
                self._tasks.append(asyncio.create_task(checking, name="contracts"))
            for books in self.storage_books:
                self._tasks.append(asyncio.create_task(books.run(), name="storage books"))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Everything durable, then down. Safe to call at any time, also twice."""
        if self._stopped:
            return
        self._stopped = True
        for task in self._tasks[1:]:
            task.cancel()
        storage = [part.close for part in (self.hosting, self.renting) if part is not None]
        for step in (*storage, self.market.close, self.torrents.close, self.payments.close, self.engine.close):
            try:
                await step()
            except Exception:
                log.exception("while stopping")
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        chains = [purse.chain.close for purse in self.wallet.purses.values()]
        followers = [watcher.close for watcher in self.watchers] + [books.close for books in self.storage_books]
        rounds = [*followers, *(s.close for s in self.settlements.values())]
        for step in (*rounds, self.reputations.close, *chains, self.store.close):
            try:
                await step()
            except Exception:
                log.exception("while stopping")

    def fault(self, error: Exception) -> None:
        """Keep a local fault for the user."""
        self.faults.append(str(error))
        del self.faults[:-20]

    async def _pump(self) -> None:
        async for event in self.engine.events():
            try:
                # Payments first: it must see bytes and marks before anybody can act on the same event.
                self.payments.handle(event)
                self.torrents.handle(event)
                for part in (self.hosting, self.renting):
                    if part is not None:
                        part.handle(event)
            except Exception as error:
                log.exception("event %s", type(event).__name__)
                self.fault(error)

    def _tick(self) -> None:
        self.payments.tick()
        self.torrents.tick()

    async def _every(self, seconds: float, work: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                work()
            except Exception as error:
                log.exception("timer")
                self.fault(error)

    async def _watch_vault(self) -> None:
        while True:
            await asyncio.sleep(VAULT_EVERY)
            await self.vault.refresh()
