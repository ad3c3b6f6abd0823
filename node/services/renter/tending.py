"""What one object needs, step by step: packed, placed, delivered, labelled, repaired, renewed, forgotten.

`step` looks at the records and the staging folder and does what is next; it may be called at any time and after any
crash. Packing and repair take long, so they run beside it, one per object, and `step` comes back to their results.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace

from node.packing.errors import PackingError
from node.packing.pack import Keys, pack
from node.packing.room import writing
from node.packing.scan import scan
from node.ports.clock import Clock
from node.ports.peerapi import PeerApiError
from node.ports.renting import MarketError, MarketRefusedError, Rental, RenterStore, ShardCarrier, Stage, StoredObject
from node.services.renter.contracts import Contracts
from node.services.renter.decisions import failed, to_free, to_place, to_renew
from node.services.renter.errors import HostError, RestoreError
from node.services.renter.labelling import Labelling
from node.services.renter.placing import UNOPENED, Placing
from node.services.renter.policy import Policy
from node.services.renter.repairing import Repairing
from node.services.renter.staging import Staging
from node.services.renter.together import together
from node.storage.lifecycle import ENDS
from node.storage.manifest import Manifest
from node.storage.repair import Urgency
from node.storage.sealing import KEY_BYTES
from wallet.address import Address
from wallet.errors import LimitError

log = logging.getLogger(__name__)

AFTER_FAULT = 2
"""`Policy.retry`s until a packing or repair that failed is tried again: it may have read much for nothing."""
ENDED = "all its contracts have ended, hosts may have deleted it: store it again, and `bttnode forget` this one"
OVER = "its term is over, hosts may delete it: `bttnode forget` takes it off the list"


@dataclass(slots=True)
class _Work:
    """A long task of one object. Its result: a manifest, or "", or what went wrong in one line."""

    task: asyncio.Task[Manifest | str]
    stop: bool = False


class Tending:
    """Looks after the objects of one rail. `wrapping`: the wallet's key that wraps objects' keys; `changed` hears when
    the next step can be taken at once."""

    def __init__(
        self,
        *,
        store: RenterStore,
        staging: Staging,
        carrier: ShardCarrier,
        contracts: Contracts,
        placing: Placing,
        repairing: Repairing,
        labelling: Labelling,
        clock: Clock,
        policy: Policy,
        wrapping: bytes,
        nonce: Callable[[int], bytes],
        changed: Callable[[], None],
    ) -> None:
        self._changed = changed
        self._store = store
        self._staging = staging
        self._carrier = carrier
        self._contracts = contracts
        self._placing = placing
        self._repairing = repairing
        self._labelling = labelling
        self._clock = clock
        self._policy = policy
        self._wrapping = wrapping
        self._nonce = nonce
        self._work: dict[str, _Work] = {}
        self._next_offer: dict[str, float] = {}
        self._next_work: dict[str, float] = {}
        self._unaffordable: dict[str, str] = {}
        """Object → which limit forbids to renew it."""

    async def close(self) -> None:
        """Stop long tasks; what they have not finished is begun anew at the next start."""
        for work in self._work.values():
            work.stop = True
            work.task.cancel()
        await asyncio.gather(*(work.task for work in self._work.values()), return_exceptions=True)
        self._work.clear()
        await self._labelling.close()

    async def settle(self) -> None:
        """Wait for the long tasks that are under way."""
        await asyncio.gather(*(work.task for work in self._work.values()), return_exceptions=True)
        await self._labelling.settle()

    async def step(self, stored: StoredObject) -> None:
        """Do what this object needs now."""
        work = self._work.get(stored.id)
        if work is not None and work.task.done():
            del self._work[stored.id]
            stored, work = await self._finished(stored, work.task.result()), None
        if stored.stage is Stage.FORGOTTEN:
            if work is not None:
                work.stop = True
            else:
                await self._forget(stored)
        elif stored.stage is Stage.PACKING:
            if work is None:
                self._start(stored, lambda work: self._pack(stored, work))
        else:
            await self._keep(stored, Manifest.decode(stored.manifest), busy=work is not None)

    async def _finished(self, stored: StoredObject, outcome: Manifest | str) -> StoredObject:
        """Take over what a long task has brought: here, as the user may have changed the record meanwhile."""
        if isinstance(outcome, str):
            if outcome:
                self._next_work[stored.id] = self._clock.now() + AFTER_FAULT * self._policy.retry
                stored = replace(stored, note=outcome)
                await self._store.save_object(stored)
            return stored
        if stored.stage is Stage.PACKING:
            stored = replace(stored, stage=Stage.PLACING, manifest=outcome.encode(), note="")
            await self._store.save_object(stored)
        return stored

    def _start(self, stored: StoredObject, job: Callable[[_Work], Coroutine[None, None, Manifest | str]]) -> None:
        if self._clock.now() < self._next_work.get(stored.id, 0.0):
            return

        async def run() -> Manifest | str:
            try:
                with writing(self._staging.base):
                    return await job(self._work[stored.id])
            except (PackingError, RestoreError) as error:
                return f"{error}: {error.hint}"
            finally:
                self._changed()

        self._work[stored.id] = _Work(asyncio.create_task(run()))

    async def _note(self, object_id: str, note: str) -> None:
        """Tell the user; only what changes is written."""
        for stored in await self._store.objects():
            if stored.id == object_id and stored.note != note:
                await self._store.save_object(replace(stored, note=note))

    # --- packing -----------------------------------------------------------------------------------------------------

    async def _pack(self, stored: StoredObject, work: _Work) -> Manifest:
        folder = self._staging.empty(stored.id)
        keys = None if stored.public else Keys(self._nonce(KEY_BYTES), self._wrapping)

        def run() -> Manifest:
            return pack(
                scan(stored.path),
                folder,
                k=stored.k,
                n=stored.n,
                keys=keys,
                created=stored.created,
                cancelled=lambda: work.stop,
            )

        return await asyncio.to_thread(run)

    # --- keeping -----------------------------------------------------------------------------------------------------

    async def _keep(self, stored: StoredObject, manifest: Manifest, *, busy: bool) -> None:
        rentals, unfunded = await self._advance(stored)
        await self._contracts.learn_paid(rentals)
        said = await self._labelling.tend(stored, manifest, rentals)
        staged = self._staging.staged(stored.id, manifest)
        if not busy:
            staged -= await self._free(stored, manifest, rentals, staged)
        if stored.stage is Stage.PLACING and not staged:
            await self._store.save_object(replace(stored, stage=Stage.KEPT, note=""))
            return
        if not stored.renew and self._clock.wall() >= stored.until:
            await self._note(stored.id, OVER)
            return
        note = stored.note
        if missing := to_place(rentals, staged, self._policy):
            note = await self._offer(stored, manifest, missing, rentals)
        elif not busy and self._clock.now() >= self._next_work.get(stored.id, 0.0):
            note = self._repair(stored, manifest, rentals, staged)
        if stored.renew:
            note = await self._renew(stored, manifest, rentals) or note
        await self._note(stored.id, unfunded or note or self._unaffordable.get(stored.id, "") or said)

    async def _advance(self, stored: StoredObject) -> tuple[list[Rental], str]:
        """Every contract's next step: money first, then all of them together; and why there is no money."""
        rentals = await self._store.rentals(stored.id)
        folder = self._staging.folder(stored.id)
        if any(rental.state in UNOPENED and not rental.dropped for rental in rentals):
            try:
                await self._placing.fund(stored.rail)
            except MarketRefusedError as error:
                return list(rentals), f"the money for its contracts is not in the market: {error}"
            except MarketError as error:
                return list(rentals), f"the money for its contracts cannot be put into the market now: {error}"
        after = await together(self._contracts.advance(rental, folder) for rental in rentals)
        if after != list(rentals):
            self._changed()
        return after, ""

    async def _offer(
        self, stored: StoredObject, manifest: Manifest, shards: set[int], rentals: Sequence[Rental]
    ) -> str:
        """New offers, not more often than every `retry` seconds; returns what to tell the user."""
        if self._clock.now() < self._next_offer.get(stored.id, 0.0):
            return stored.note
        self._next_offer[stored.id] = self._clock.now() + self._policy.retry
        placed = await self._placing.place(stored, manifest, shards, self._avoided(rentals))
        if placed.rentals:
            self._changed()
        return placed.note

    def _avoided(self, rentals: Sequence[Rental]) -> dict[Address, str]:
        """Hosts that failed this object, and for a while those that declined, or agreed and did not keep to it: host →
        why."""
        now, policy = self._clock.wall(), self._policy

        def since(rental: Rental) -> int:
            # When it was asked; of one that agreed, when it should have had the shard.
            start = rental.terms.start
            return start if rental.host_signature else start - policy.start_after(rental.terms.length)

        def why(rental: Rental) -> str:
            if rental.convicted:
                return "answered an audit wrongly"
            if failed(rental, policy):
                return "did not keep a shard of it"
            if rental.host_signature:
                return "had a shard of it until lately"
            return self._contracts.declined.get(rental.terms.host, "declined")

        return {
            rental.terms.host: why(rental)
            for rental in rentals
            if failed(rental, policy)
            or (
                (rental.dropped or rental.state in ENDS)
                and rental.id not in self._contracts.requoted
                and now < since(rental) + policy.avoid
            )
        }

    async def _free(
        self, stored: StoredObject, manifest: Manifest, rentals: Sequence[Rental], staged: set[int]
    ) -> set[int]:
        """Let go of staged shards that hosts have; returns which."""
        done = to_free(rentals, staged, self._policy)
        # Shards may be equal (of one data shard, or of zeros in a public object): then they are one file.
        roots = {manifest.shards[number].root for number in done}
        roots -= {manifest.shards[number].root for number in staged - done}
        for root in roots:
            await self._carrier.stop(root)
        self._staging.free(stored.id, roots)
        return {number for number in done if manifest.shards[number].root in roots}

    def _repair(self, stored: StoredObject, manifest: Manifest, rentals: Sequence[Rental], staged: set[int]) -> str:
        """Begin what the object needs, if anything; returns what to tell the user."""
        plan = self._repairing.plan(manifest, rentals, staged, self._clock.wall())
        if not plan.rebuild and not plan.copy:
            if plan.urgency is Urgency.GONE and rentals and all(rental.state in ENDS for rental in rentals):
                return ENDED
            return plan.reason if plan.urgency is Urgency.GONE and manifest.shards else ""
        log.info("repair of %s: %s", stored.id, plan.reason)
        folder = self._staging.folder(stored.id)

        async def repair(work: _Work) -> str:
            await self._repairing.repair(manifest, plan, rentals, folder)
            return ""

        self._start(stored, repair)
        return f"in repair: {plan.reason}"

    async def _renew(self, stored: StoredObject, manifest: Manifest, rentals: Sequence[Rental]) -> str:
        """Offer follow-up contracts where it is time; returns why a host gets none."""
        note = ""
        for rental in to_renew(rentals, self._clock.wall(), self._policy):
            key = rental.id.hex()
            if self._clock.now() < self._next_offer.get(key, 0.0):
                continue
            self._next_offer[key] = self._clock.now() + self._policy.retry
            try:
                await self._placing.renew(stored, manifest, rental)
                self._unaffordable.pop(stored.id, None)
            except LimitError as error:
                self._unaffordable[stored.id] = f"not renewed: {error}"
            except PeerApiError as error:
                log.info("renewal with %s: %s", rental.url, error)
            except HostError as error:
                note = f"not renewed: {error}: its shard goes to another host"
                log.warning("%s: %s", stored.id, note)
                await self._store.save_rental(replace(rental, leaves=rental.terms.end))
        return note

    # --- forgetting --------------------------------------------------------------------------------------------------

    async def _forget(self, stored: StoredObject) -> None:
        rentals = await self._store.rentals(stored.id)
        for rental in rentals:
            await self._carrier.stop(rental.terms.root)
            if not rental.dropped and rental.state not in ENDS:
                await self._store.save_rental(replace(rental, dropped=True))
        after, unfunded = await self._advance(stored)
        await self._note(stored.id, unfunded)
        if stored.manifest:
            await self._labelling.tend(stored, Manifest.decode(stored.manifest), after)
        self._staging.remove(stored.id)
        if all(rental.state in ENDS for rental in after):
            await self._store.remove_object(stored.id)
