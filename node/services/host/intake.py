"""Shards come in, are checked, and are served on: the host's side of the engine.

    opened on chain ─→ torrent added, the renter as its peer ─→ engine has it ─→ tree built, root compared,
    both durable ─→ active, seeds on ─→ ended: torrent out of the engine, shard off the disk

A shard is fetched only once its contract is open: an offer alone costs the host no traffic. Its torrent follows from
root and length (`node.storage.torrent`), so nothing about it has to be kept: a start finds in the contracts what to
serve and what to go on fetching, and on the disks what nobody needs any more. The user's own torrents are elsewhere
(`node.services.torrents`); the engine runs both.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from node.ports.engine import (
    AddTorrent,
    DuplicateTorrentError,
    EngineError,
    TorrentId,
    TorrentStatus,
    UnknownTorrentError,
)
from node.ports.events import EngineEvent, TorrentFailed, TorrentFinished
from node.ports.storage import HostedContract
from node.ports.volumes import VolumeError, Volumes
from node.services.host.background import Background
from node.services.host.contracts import Contracts
from node.services.host.shards import Shards
from node.storage import torrent
from node.storage.errors import ShardError
from node.storage.lifecycle import LOCKED, Event, State

log = logging.getLogger(__name__)


class ShardEngine(Protocol):
    """What of `node.ports.engine.Engine` shards need."""

    async def add(self, request: AddTorrent) -> TorrentId: ...

    async def remove(self, torrent: TorrentId, *, delete_files: bool = False) -> None: ...

    async def resume(self, torrent: TorrentId) -> None: ...

    async def status(self, torrent: TorrentId) -> TorrentStatus: ...

    async def connect(self, torrent: TorrentId, host: str, port: int) -> None: ...


def torrent_id(root: bytes, length: int) -> TorrentId:
    """The engine's name of a shard: the first 20 bytes of its v2 info-hash."""
    return TorrentId(torrent.info_hash(root, length)[:20].hex())


def endpoint(peer: str) -> tuple[str, int]:
    """Host and port of a proposal's "IP:port"."""
    host, _, port = peer.rpartition(":")
    return host.strip("[]"), int(port)


class Intake:
    """One per rail."""

    def __init__(self, contracts: Contracts, shards: Shards, volumes: Volumes, engine: ShardEngine) -> None:
        self._contracts = contracts
        self._shards = shards
        self._volumes = volumes
        self._engine = engine
        self._running: dict[TorrentId, bytes] = {}
        """Torrents in the engine, with the root of each."""
        self._served: set[bytes] = set()
        """Roots of those that are whole."""
        self._one_at_a_time = asyncio.Lock()
        self.under_way = Background("shards")
        self._left: dict[bytes, HostedContract] = {}
        """Ended contracts whose shard could not be deleted, by root."""
        self.faults: dict[bytes, str] = {}
        """Root → why its shard does not come in, or is not served."""
        self.on_added: Callable[[TorrentId], object] = lambda torrent: None
        self.on_removed: Callable[[TorrentId], object] = lambda torrent: None
        self.on_finished: Callable[[], object] = lambda: None

    def handle(self, event: EngineEvent) -> None:
        """One engine event; those of other torrents are none of ours."""
        match event:
            case TorrentFinished(found) if found in self._running:
                self.on_finished()
            case TorrentFailed(found, fault, message) if found in self._running:
                root = self._running[found]
                self._served.discard(root)
                self.faults[root] = f"{fault}: {message}"
                log.error("shard %s: %s (%s)", root.hex()[:12], message, fault)
            case _:
                pass

    def begin(self, record: HostedContract) -> None:
        """`look`, in the background."""
        if record.state in LOCKED and not record.damaged and record.contract.root not in self._served:
            self.under_way.begin(record.contract.root, lambda: self.look(record.id))

    async def look(self, contract_id: bytes) -> None:
        """Bring one shard a step on. Raises `StoreError`."""
        # One at a time: hashing two shards at once makes both slow, and the disk's head jump.
        async with self._one_at_a_time:
            record = self._contracts.get(contract_id)
            if record is None or record.state not in LOCKED or record.damaged:
                return
            root, length = record.contract.root, record.contract.length
            try:
                if record.whole:
                    await self._serve(root, length)
                # Its room is there already, unless the disk was replaced.
                elif (await self._volumes.reserve(root, length)).whole:
                    # The contract before it had the shard, or a crash came between disk and record.
                    await self._arrived(root)
                    await self._serve(root, length)
                else:
                    await self._fetch(record)
            except (EngineError, VolumeError, ShardError) as error:
                self._served.discard(root)
                self.faults[root] = str(error)
                log.warning("shard %s: %s", root.hex()[:12], error)
            else:
                if record.whole:
                    self.faults.pop(root, None)

    async def stop_serving(self, root: bytes, length: int) -> None:
        """Take a shard out of the engine; its file stays."""
        name = torrent_id(root, length)
        self._served.discard(root)
        if self._running.pop(name, None) is not None:
            with contextlib.suppress(UnknownTorrentError):
                await self._engine.remove(name)
            self.on_removed(name)

    def end(self, record: HostedContract) -> None:
        """An ended contract: away with its shard, in the background, unless another one needs it."""
        self.under_way.begin(b"end" + record.id, lambda: self._end(record))

    def disks_are_back(self) -> None:
        """A volume is as it should be again: faults are looked into anew, and what no contract needs is deleted."""
        self.faults.clear()
        while self._left:
            self.end(self._left.popitem()[1])

    async def _end(self, record: HostedContract) -> None:
        root, length = record.contract.root, record.contract.length
        async with self._one_at_a_time:
            if self._contracts.on_root(root):
                return
            self.faults.pop(root, None)
            await self.stop_serving(root, length)
            try:
                await self._volumes.discard(root)
            except VolumeError as error:
                # Until its volume can be written to again, or the next start.
                self._left[root] = record
                log.warning("shard %s stays on its disk: %s", root.hex()[:12], error)

    async def _fetch(self, record: HostedContract) -> None:
        root, length = record.contract.root, record.contract.length
        name = torrent_id(root, length)
        if name not in self._running:
            place = await self._volumes.place(root)
            request = AddTorrent(
                save_path=place.folder,
                torrent=torrent.torrent(root, length),
                recheck=await asyncio.to_thread(place.shard.exists),
                peers=[endpoint(peer) for peer in record.peers],
            )
            await self._add(name, root, request)
            return
        status = await self._engine.status(name)
        if status.error:
            await self._engine.resume(name)
        elif status.done_bytes < length:
            for peer in record.peers if not status.peers else ():
                await self._engine.connect(name, *endpoint(peer))
        else:
            await self._shards.finish(root, length)
            await self._arrived(root)

    async def _serve(self, root: bytes, length: int) -> None:
        self._served.add(root)
        name = torrent_id(root, length)
        if name in self._running:
            if (await self._engine.status(name)).error:
                await self._engine.resume(name)
            return
        place = await self._volumes.place(root)
        data = await self._shards.torrent(root, length)
        await self._add(name, root, AddTorrent(save_path=place.folder, torrent=data, seed_mode=True))

    async def _add(self, name: TorrentId, root: bytes, request: AddTorrent) -> None:
        self.on_added(name)
        # It may be there already, of a round that was interrupted, or because the user has added it too.
        with contextlib.suppress(DuplicateTorrentError):
            await self._engine.add(request)
        self._running[name] = root

    async def _arrived(self, root: bytes) -> None:
        for record in self._contracts.on_root(root):
            if record.state is State.UPLOADING:
                await self._contracts.step(record.id, Event.DELIVER, whole=True)
            elif not record.whole:
                await self._contracts.change(record.id, whole=True)
        self.faults.pop(root, None)


async def tidy(records: Iterable[HostedContract], volumes: Volumes) -> int:
    """Give back room that no contract needs, as a crash may leave it; returns how many shards went.

    Call before anything is served. `records`: all that the store has, also of rails that are not configured now: their
    collateral is still at stake.
    """
    needed = {record.contract.root for record in records if record.live}
    gone = 0
    for root, _ in await volumes.shards():
        if root not in needed:
            try:
                await volumes.discard(root)
                gone += 1
            except VolumeError as error:
                log.warning("shard %s cannot be removed: %s", root.hex()[:12], error)
    return gone
