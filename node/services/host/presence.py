"""A host's presence on chain: its entry in the list of hosts. Its collateral is in the rail's `Escrow`.

Each call is taken to its final receipt; the same `key` again is the same transaction.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from node.services.escrow import Escrow
from node.services.settlement import Done
from wallet.address import Address
from wallet.errors import WalletError
from wallet.storage.chain import HostRegistry


class PresenceError(WalletError):
    """The owner asks for what cannot be."""

    hint = "bttnode host --help"


class Presence:
    """One per rail. All raise `ChainError`, `TimeoutError`, `StoreError`."""

    def __init__(self, escrow: Escrow, registry: HostRegistry | None, own: Address) -> None:
        self.escrow = escrow
        self._registry = registry
        self._own = own

    async def announce(self, url: str, stake: int | None, *, key: str) -> Done:
        """Tell renters where this node is. The first time it takes a stake, None: the least that the registry takes.

        Raises `PresenceError` for a URL that is none, and where the rail has no registry.
        """
        registry = self._listed()
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise PresenceError(f"{url[:80]!r} is no URL of a node: write it like http://host.example:6882")
        staked = (await registry.stake(self._own)).amount
        least = (await registry.check()).min_stake
        missing = max(0, (least if stake is None else stake) - staked)
        if not missing:
            return await self.escrow.perform("announce", key, registry.calls.announce(self._own, url))
        if await registry.allowance(self._own) < missing:
            await self.escrow.perform("approve", key, registry.calls.approve(missing))
        return await self.escrow.perform("announce", key, registry.calls.register(missing, self._own, url))

    async def leave(self, *, key: str) -> Done:
        """Off the list of hosts; the stake can be withdrawn after the registry's notice period."""
        return await self.escrow.perform("leave", key, self._listed().calls.begin_exit())

    def _listed(self) -> HostRegistry:
        if self._registry is None:
            raise PresenceError("no list of hosts is known on this rail: set [rail.NAME] host_registry")
        return self._registry
