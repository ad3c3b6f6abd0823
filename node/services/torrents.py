"""The torrents of this node: what the engine runs and what the store remembers of it.

Resume data is saved when a torrent finishes or is paused, every `SAVE_EVERY` seconds while it downloads, and at a clean
stop. After an unclean stop unfinished torrents are hashed again: what is on the disk is the truth, not an older note
about it, and a piece that was paid for is not bought twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

from node.ports.clock import Clock
from node.ports.engine import (
    AddTorrent,
    CreateTorrent,
    Engine,
    EngineError,
    PeerStatus,
    TorrentId,
    TorrentInfo,
    TorrentStatus,
    UnknownTorrentError,
)
from node.ports.events import EngineEvent, MetadataReceived, TorrentFailed, TorrentFault, TorrentFinished
from node.ports.store import Store, TorrentRecord
from node.services.budget import TorrentTerms

log = logging.getLogger(__name__)

SAVE_EVERY = 60.0

_HINTS = {
    TorrentFault.DISK_FULL: "disk full ({}): free some space, then `bttnode resume` it; nothing is lost",
    TorrentFault.DISK: "disk error ({}): check the disk and its permissions, then `bttnode resume` it",
    TorrentFault.OTHER: "{}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRequest:
    """Exactly one of `torrent` and `magnet`."""

    torrent: bytes | None = None
    magnet: str | None = None
    save_path: Path
    paused: bool = False
    seed_mode: bool = False
    terms: TorrentTerms = field(default_factory=TorrentTerms)
    peers: Sequence[tuple[str, int]] = ()


class Torrents:
    """One per node. `handle` takes every engine event."""

    def __init__(self, engine: Engine, store: Store, clock: Clock) -> None:
        self._engine = engine
        self._store = store
        self._clock = clock
        self._records: dict[TorrentId, TorrentRecord] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = False
        self._faults: dict[TorrentId, str] = {}
        self._saved_at = clock.now()
        self.on_added: Callable[[TorrentRecord], None] = lambda record: None
        self.on_removed: Callable[[TorrentId], None] = lambda torrent: None

    async def start(self) -> None:
        """Give the engine everything the store remembers."""
        clean = await self._store.clean_stop()
        self._started = True
        for record in await self._store.torrents():
            self._records[record.id] = record
            self.on_added(record)
            unfinished = record.finished_at is None and not record.seed_mode
            request = AddTorrent(
                save_path=record.save_path,
                resume=record.resume,
                torrent=None if record.resume else record.torrent,
                magnet=None if record.resume or record.torrent else record.magnet,
                paused=record.paused,
                seed_mode=record.seed_mode or (record.finished_at is not None and record.resume is None),
                recheck=not clean and unfinished and (record.resume is not None or record.torrent is not None),
            )
            try:
                await self._engine.add(request)
            except EngineError as error:
                log.error("torrent %s cannot be started: %s", record.name, error)

    async def close(self) -> None:
        """Save what the next start needs. Call before the engine is closed."""
        if not self._started:
            # Whether the run before this one ended cleanly is still for the next start to find out.
            return
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._save(torrent) for torrent in self._records))
        await self._store.mark_clean()

    # --- what the user does ------------------------------------------------------------------------------------------

    async def create(
        self, request: CreateTorrent, progress: Callable[[int, int], None] | None = None
    ) -> tuple[bytes, TorrentInfo]:
        """Hash a file or folder; returns the torrent file and what is in it."""
        data = await self._engine.create(request, progress)
        return data, self._engine.inspect(data)

    async def add(self, request: AddRequest) -> TorrentRecord:
        """Raises `EngineError` for bytes or links that are not torrents, and for ones that are here already."""
        if request.torrent is not None:
            info = self._engine.inspect(request.torrent)
        else:
            info = self._engine.inspect_magnet(request.magnet or "")
        record = TorrentRecord(
            id=info.id,
            name=info.name or info.id,
            save_path=request.save_path,
            torrent=request.torrent,
            magnet=request.magnet,
            paused=request.paused,
            seed_mode=request.seed_mode,
            added_at=self._clock.wall(),
            **_terms(request.terms),
        )
        known = self._records.get(info.id)
        if known is None:
            # The terms must be known before the first peer can ask for a bid.
            self.on_added(record)
        await self._engine.add(
            AddTorrent(
                save_path=request.save_path,
                torrent=request.torrent,
                magnet=request.magnet,
                paused=request.paused,
                seed_mode=request.seed_mode,
                peers=request.peers,
            )
        )
        self._records[record.id] = record
        await self._store.save_torrent(record)
        return record

    async def remove(self, torrent: TorrentId, *, delete_files: bool = False) -> None:
        self.record(torrent)
        await self._engine.remove(torrent, delete_files=delete_files)
        del self._records[torrent]
        await self._store.remove_torrent(torrent)
        self.on_removed(torrent)

    async def pause(self, torrent: TorrentId) -> None:
        record = self.record(torrent)
        await self._engine.pause(torrent)
        await self._update(replace(record, paused=True))
        await self._save(torrent)

    async def resume(self, torrent: TorrentId) -> None:
        record = self.record(torrent)
        self._faults.pop(torrent, None)
        await self._engine.resume(torrent)
        await self._update(replace(record, paused=False))

    async def set_terms(self, torrent: TorrentId, terms: TorrentTerms) -> TorrentRecord:
        """Change what the user is ready to pay for this torrent."""
        record = replace(self.record(torrent), **_terms(terms))
        await self._update(record)
        return record

    async def connect(self, torrent: TorrentId, host: str, port: int) -> None:
        self.record(torrent)
        await self._engine.connect(torrent, host, port)

    # --- what the user sees ------------------------------------------------------------------------------------------

    def record(self, torrent: TorrentId) -> TorrentRecord:
        """Raises `UnknownTorrentError`."""
        try:
            return self._records[torrent]
        except KeyError:
            raise UnknownTorrentError(f"no torrent {torrent}: `bttnode status` lists them") from None

    def fault(self, torrent: TorrentId) -> str:
        """Why it stopped, or ""."""
        return self._faults.get(torrent, "")

    def find(self, prefix: str) -> TorrentId:
        """The one torrent whose id or name starts with `prefix`. Raises `UnknownTorrentError`."""
        found = [r.id for r in self._records.values() if r.id.startswith(prefix.lower()) or r.name.startswith(prefix)]
        if len(found) != 1 or not prefix:
            problem = "several torrents match" if found else "no torrent matches"
            raise UnknownTorrentError(f"{problem} '{prefix[:60]}': `bttnode status` lists them")
        return found[0]

    async def statuses(self) -> Sequence[TorrentStatus]:
        # The engine also has shards that are kept for others, or were sent to them.
        return [status for status in await self._engine.statuses() if status.id in self._records]

    async def status(self, torrent: TorrentId) -> TorrentStatus:
        return await self._engine.status(torrent)

    async def peers(self, torrent: TorrentId) -> Sequence[PeerStatus]:
        return await self._engine.peers(torrent)

    # --- events ------------------------------------------------------------------------------------------------------

    def handle(self, event: EngineEvent) -> None:
        """One engine event, in order."""
        match event:
            case TorrentFinished(torrent) if torrent in self._records:
                self._spawn(self._finished(torrent))
            case MetadataReceived(torrent, data) if torrent in self._records:
                info = self._engine.inspect(data)
                self._spawn(self._update(replace(self._records[torrent], torrent=data, name=info.name)))
            case TorrentFailed(torrent, fault, message) if torrent in self._records:
                self._faults[torrent] = _HINTS[fault].format(message)
                log.error("torrent %s stopped: %s", torrent, self._faults[torrent])
            case _:
                pass

    def tick(self) -> None:
        """Save resume data now and then."""
        if self._clock.now() - self._saved_at >= SAVE_EVERY:
            self._saved_at = self._clock.now()
            for record in self._records.values():
                if record.finished_at is None and not record.paused:
                    self._spawn(self._save(record.id))

    async def _finished(self, torrent: TorrentId) -> None:
        record = self._records.get(torrent)
        if record is not None and record.finished_at is None:
            await self._update(replace(record, finished_at=self._clock.wall()))
            await self._save(torrent)

    async def _update(self, record: TorrentRecord) -> None:
        if record.id in self._records:
            self._records[record.id] = record
            await self._store.save_torrent(record)

    async def _save(self, torrent: TorrentId) -> None:
        record = self._records.get(torrent)
        if record is None or (record.torrent is None and record.resume is None):
            return
        try:
            resume = await self._engine.resume_data(torrent)
        except EngineError as error:
            log.info("no resume data for %s: %s", record.name, error)
            return
        if torrent in self._records:
            self._records[torrent] = replace(self._records[torrent], resume=resume)
            await self._store.save_resume(torrent, resume)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Terms(TypedDict):
    max_price: int | None
    budget: int | None
    rate: int
    strategy: str
    deadline: int | None


def _terms(terms: TorrentTerms) -> _Terms:
    """As fields of a `TorrentRecord`."""
    return {
        "max_price": terms.max_price,
        "budget": terms.budget,
        "rate": terms.rate,
        "strategy": terms.strategy,
        "deadline": terms.deadline,
    }
