"""Leaving contracts before their end, because the owner wants their disk back.

Theory. There are two ways out of a contract that runs. A hand-over is free: the renter lets go, once another host keeps
the shard. An exit needs nobody, and costs half of the collateral's share of the epochs that are not served. So the wish
is told to the renter first, and only from `exit_at` on, if the owner agreed to the price, the market is told
(`duties`). Until either has taken effect the contract binds as before: the shard is served, audits are answered, epochs
are proved.

The wish is a durable mark on the contract and nothing else, so it can be taken back as long as nothing was signed. A
renewal that has not begun is called off with the contract before it. The price falls with every epoch: what the owner
was shown is the most it can be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from node.ports.clock import Clock
from node.ports.storage import HostedContract
from node.ports.volumes import Volumes
from node.services.host.contracts import Contracts
from node.services.host.duties import may_exit, serves
from node.services.host.errors import WishError
from node.storage.lifecycle import LOCKED


@dataclass(frozen=True, slots=True)
class Departure:
    """What leaving a contract means. `alone`: whether it can be left without its renter; if so, at `exit_at` at the
    earliest it costs `fee` token units at most, and the shard is kept to Unix second `until`; else to its end."""

    record: HostedContract
    alone: bool
    fee: int
    until: int


@dataclass(frozen=True, slots=True)
class Which:
    """Shards of the owner's choice: of the contract whose id begins so, of a volume, or all."""

    contract: str = ""
    volume: str = ""
    every: bool = False


class Leaving:
    """One per rail."""

    def __init__(self, contracts: Contracts, clock: Clock) -> None:
        self._contracts = contracts
        self._clock = clock
        self.on_change: Callable[[bytes], object] = lambda contract_id: None

    def named(self, beginning: str) -> Iterator[HostedContract]:
        """The contracts that run whose id, in hex, begins so."""
        return (record for record in self._contracts.live() if record.id.hex().startswith(beginning.lower()))

    def plan(self, roots: Collection[bytes], exit_at: int) -> list[Departure]:
        """What it means to give these shards up, alone from Unix second `exit_at` on; 0: never alone."""
        live = [record for record in self._contracts.live() if record.contract.root in roots]
        return [self._departure(record, exit_at) for record in live]

    def _departure(self, record: HostedContract, exit_at: int) -> Departure:
        contract, now = record.contract, self._clock.wall()
        if now < contract.start:
            return Departure(record, True, 0, now)
        moment = max(now, exit_at)
        if not exit_at or record.state not in LOCKED or not may_exit(contract, record.epochs, moment):
            return Departure(record, False, 0, contract.epoch_start(record.epochs))
        epochs = serves(contract, moment)
        return Departure(record, True, contract.exit_fee(epochs), contract.epoch_start(epochs))

    async def ask(self, departures: Sequence[Departure], exit_at: int) -> None:
        """The owner wants out of these. Asked again, a new `exit_at` counts. Raises `StoreError`."""
        for departure in departures:
            record = departure.record
            await self._contracts.change(record.id, leaving=record.leaving or self._clock.wall(), exit_at=exit_at)
            self.on_change(record.id)

    async def stay(self, roots: Collection[bytes]) -> list[HostedContract]:
        """The owner keeps them after all; what has happened stays so. Returns those that change.

        Raises `StoreError`.
        """
        wished = [record for record in self._contracts.live() if record.leaving and record.contract.root in roots]
        for record in wished:
            await self._contracts.change(record.id, leaving=0, exit_at=0)
            self.on_change(record.id)
        return wished

    def until(self, contract_id: bytes) -> int:
        """For the renter: Unix second until which we ask to be relieved; 0 where we stay, or have said when we go."""
        record = self._contracts.get(contract_id)
        if record is None or not record.leaving or not record.live or record.epochs < record.contract.epochs:
            return 0
        return record.exit_at or record.contract.end


class Departures:
    """The owner's wishes on all rails of a node. `rails`: by name."""

    def __init__(self, rails: Mapping[str, Leaving], volumes: Volumes) -> None:
        self._rails = rails
        self._volumes = volumes

    async def plan(self, which: Which, exit_at: int) -> Mapping[str, list[Departure]]:
        """By rail: what giving these shards up means. Raises `WishError`, `VolumeError`."""
        roots = await self._roots(which)
        return {rail: leaving.plan(roots, exit_at) for rail, leaving in self._rails.items()}

    async def leave(self, which: Which, exit_at: int, most: Mapping[str, int]) -> Mapping[str, list[Departure]]:
        """Give them up; a volume that is left takes nothing new. `most`: by rail, the fees that the owner agreed to.

        Raises `WishError` where they are more now, `VolumeError`, `StoreError`.
        """
        plan = await self.plan(which, exit_at)
        for rail, departures in plan.items():
            cost = sum(departure.fee for departure in departures)
            if cost > most.get(rail, 0):
                raise WishError(f"leaving costs up to {cost} units on {rail}, more than was agreed to")
        for volume in await self._volumes.volumes():
            if which.every or volume.id == which.volume:
                await self._volumes.drain(volume.id)
        for rail, departures in plan.items():
            await self._rails[rail].ask(departures, exit_at)
        return plan

    async def stay(self, which: Which) -> Mapping[str, list[HostedContract]]:
        """Keep them after all; a drained volume stays drained. Raises `WishError`, `VolumeError`, `StoreError`."""
        roots = await self._roots(which)
        return {rail: await leaving.stay(roots) for rail, leaving in self._rails.items()}

    async def _roots(self, which: Which) -> set[bytes]:
        if sum((bool(which.contract), bool(which.volume), which.every)) != 1:
            raise WishError("name a contract, a volume, or all")
        if which.volume:
            if which.volume not in {volume.id for volume in await self._volumes.volumes()}:
                raise WishError(f"there is no volume {which.volume[:40]!r}")
            return {root for root, place in await self._volumes.shards() if place.volume == which.volume}
        found = {record.contract.root for leaving in self._rails.values() for record in leaving.named(which.contract)}
        if which.contract and len(found) != 1:
            problem = "several contracts begin" if found else "no contract that runs begins"
            raise WishError(f"{problem} with {which.contract[:64]!r}")
        return found
