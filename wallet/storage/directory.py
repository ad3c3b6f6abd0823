"""The hosts of a registry, folded out of its events: who is listed, where, and with what stake.

The log is public and anybody may write into it for a stake, so the directory is bounded: what is found first stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wallet.address import Address
from wallet.storage.events import Announced, ExitBegun, ExitCancelled, RegistryEvent, Staked, StakeWithdrawn

MAX_HOSTS = 10_000


@dataclass(frozen=True, slots=True)
class HostEntry:
    """What a host says of itself. `endpoint` is its own words: empty where they are none (see `Announced`).

    `leaves_at`: Unix seconds, for a host that is not listed any more; `announced`: the block of its announcement.
    """

    host: Address
    stake: int = 0
    signer: Address | None = None
    endpoint: str = ""
    price_table: bytes = bytes(32)
    announced: int = 0
    leaves_at: int | None = None

    @property
    def listed(self) -> bool:
        return self.leaves_at is None and bool(self.endpoint)


class Directory:
    """Give it every event of the registry in its order (`HostRegistry.events`), final ones only."""

    def __init__(self, most: int = MAX_HOSTS) -> None:
        self._most = most
        self._hosts: dict[Address, HostEntry] = {}

    def apply(self, event: RegistryEvent, block: int) -> None:
        known = self._hosts.get(event.host)
        if known is None and len(self._hosts) >= self._most:
            return
        entry = known or HostEntry(event.host)
        match event:
            case Staked():
                entry = replace(entry, stake=event.total)
            case Announced():
                entry = replace(
                    entry,
                    signer=event.signer,
                    endpoint=event.endpoint,
                    price_table=event.price_table,
                    announced=block,
                )
            case ExitBegun():
                entry = replace(entry, leaves_at=event.leaves_at)
            case ExitCancelled():
                entry = replace(entry, leaves_at=None)
            case StakeWithdrawn():
                self._hosts.pop(event.host, None)
                return
        self._hosts[event.host] = entry

    def get(self, host: Address) -> HostEntry | None:
        return self._hosts.get(host)

    def listed(self) -> tuple[HostEntry, ...]:
        """Those that want to be asked, in the order in which they came."""
        return tuple(entry for entry in self._hosts.values() if entry.listed)
