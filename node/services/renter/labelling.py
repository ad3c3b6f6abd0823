"""Labels (`node.storage.label`) brought to the hosts, so that the wallet's seed alone finds an object again.

Which label a host should have follows from the object's record, and which one it has from what it confirmed; where
they differ, it is sent. So whatever changes the one or the other (a new contract, another term) needs no telling.
Before a label is sent, its number is durable with a mark that says so, and one that is there already is looked at. A
crash then costs a repetition, and a number higher than any of ours comes from another machine with the same seed.

Sending runs beside the steps of `Tending` and holds up nobody; a host that is away is asked again, ever more rarely.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from node.ports.clock import Clock
from node.ports.peerapi import PeerApiError
from node.ports.renting import Rental, RenterStore, SentLabel, Stage, StoredObject
from node.services.renter.errors import HostError
from node.services.renter.hosts import Hosts
from node.services.renter.policy import Policy
from node.services.renter.together import together
from node.storage.errors import LabelError
from node.storage.label import SALT, Label, Piece, cut, open_piece, seal
from node.storage.lifecycle import LOCKED
from node.storage.manifest import Manifest

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Labels under way: each may have half a MiB."""
LONGEST_PAUSE = 3600.0
"""Seconds between two tries with one host, at most."""
IN_DOUBT = b""
"""The digest of a label that was sent and not confirmed yet."""
OTHER_MACHINE = (
    "another machine with this wallet's seed looks after this object, too: stop one of them, or both pay for it"
)


def label_of(stored: StoredObject) -> Label:
    """What hosts should keep for this object."""
    return Label(
        object=stored.id,
        created=stored.created,
        seconds=stored.seconds,
        until=stored.until,
        max_price=stored.max_price,
        auditor=stored.auditor,
        renew=stored.renew,
        forgotten=stored.stage is Stage.FORGOTTEN,
        manifest=stored.manifest,
    )


def next_number(sent: Collection[SentLabel], digest: bytes, now: int, floor: int) -> int:
    """That of the newest label where it says the same, else a higher one; Unix second `now`, so that a machine which
    knows nothing of earlier numbers begins above them. `floor`: what another machine has reached."""
    top = max((label.number for label in sent), default=0)
    if top >= floor and any(label.digest == digest and label.number == top for label in sent):
        return top
    return max(now, top + 1, floor + 1)


class Labelling:
    """For the objects of one rail. `nonce`: random bytes of a length."""

    def __init__(
        self,
        hosts: Hosts,
        store: RenterStore,
        clock: Clock,
        policy: Policy,
        *,
        wrapping: bytes,
        nonce: Callable[[int], bytes],
    ) -> None:
        self._hosts = hosts
        self._store = store
        self._clock = clock
        self._policy = policy
        self._wrapping = wrapping
        self._nonce = nonce
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._work: dict[str, asyncio.Task[None]] = {}
        self._tries: dict[bytes, int] = {}
        self._not_before: dict[bytes, float] = {}
        self._floor: dict[str, int] = {}
        self._notes: dict[str, str] = {}

    async def close(self) -> None:
        """What is not confirmed is sent again after the next start."""
        for task in self._work.values():
            task.cancel()
        await self.settle()
        self._work.clear()

    async def settle(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._work.values(), return_exceptions=True)

    async def tend(self, stored: StoredObject, manifest: Manifest, rentals: Sequence[Rental]) -> str:
        """Begin to send what is missing; returns what the user should know, or ""."""
        task = self._work.get(stored.id)
        if task is not None and not task.done():
            return self._notes.get(stored.id, "")
        if task is not None:
            del self._work[stored.id]
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("labels of %s: %s", stored.id, error, exc_info=error)
        forgotten, now = stored.stage is Stage.FORGOTTEN, self._clock.now()
        running = [rental for rental in rentals if rental.state in LOCKED and (forgotten or not rental.dropped)]
        if any(self._not_before.get(rental.id, 0.0) <= now for rental in running):
            label, sent = label_of(stored), {label.contract: label for label in await self._store.labels(stored.id)}
            digest = label.digest
            due = [
                rental
                for rental in running
                if self._not_before.get(rental.id, 0.0) <= now
                and (rental.id not in sent or sent[rental.id].digest != digest)
            ]
            if due:
                self._work[stored.id] = asyncio.create_task(self._send(label, manifest, due, sent))
        return self._notes.get(stored.id, "")

    async def _send(
        self, label: Label, manifest: Manifest, rentals: Sequence[Rental], sent: Mapping[bytes, SentLabel]
    ) -> None:
        try:
            shards = {rental.shard for rental in rentals}
            pieces = await asyncio.to_thread(cut, label, manifest.k, manifest.n, shards)
        except LabelError as error:
            self._notes[label.object] = f"hosts cannot keep its manifest ({error}): `bttnode stored ID --manifest FILE`"
            for rental in rentals:
                self._not_before[rental.id] = self._clock.now() + LONGEST_PAUSE
            return
        digest = next(iter(pieces.values())).digest
        number = next_number(sent.values(), digest, self._clock.wall(), self._floor.get(label.object, 0))
        for rental in rentals:
            await self._store.save_label(SentLabel(rental.id, label.object, number, IN_DOUBT))
        await together(self._one(rental, pieces[rental.shard], number, sent.get(rental.id)) for rental in rentals)

    async def _one(self, rental: Rental, piece: Piece, number: int, before: SentLabel | None) -> None:
        async with self._turns:
            try:
                kept = await self._hand_over(rental, piece, number, before)
            except (PeerApiError, HostError) as error:
                log.info("label for %s: %s", rental.url, error)
                kept = None
        if kept is None:
            tries = self._tries[rental.id] = self._tries.get(rental.id, 0) + 1
            pause = min(LONGEST_PAUSE, self._policy.retry * 2.0 ** min(tries, 30))
            self._not_before[rental.id] = self._clock.now() + pause
            return
        self._tries.pop(rental.id, None)
        self._not_before.pop(rental.id, None)
        await self._store.save_label(SentLabel(rental.id, piece.object, kept, piece.digest))

    async def _hand_over(self, rental: Rental, piece: Piece, number: int, before: SentLabel | None) -> int | None:
        """The number under which the host has it; None where it has another machine's newer one."""
        there = None if before is None else await self._there(rental)
        if before is not None and there is not None:
            kept, found = there
            if found.group == piece.group:
                return kept
            if kept > before.number:
                log.warning("%s: %s", piece.object, OTHER_MACHINE)
                self._notes[piece.object] = OTHER_MACHINE
                self._floor[piece.object] = max(kept, self._floor.get(piece.object, 0))
            if kept >= number:
                return None
        data = seal(piece, rental.id, number, self._wrapping, self._nonce(SALT))
        await self._hosts.label(rental, number, data)
        return number

    async def _there(self, rental: Rental) -> tuple[int, Piece] | None:
        """What the host has, and its number; only what this wallet has sealed is believed."""
        said = await self._hosts.recall(rental.peer, rental.terms)
        try:
            return said.number, open_piece(said.data, rental.id, said.number, self._wrapping)
        except LabelError:
            return None
