"""Shards over BitTorrent: the engine's torrents that no user sees.

A shard's torrent follows from its root and length (`node.storage.torrent`), so nothing but these two is ever named.
The torrents are private and in no record of the user's torrents; the parties of a contract find each other by the
addresses in their messages. What arrives was hashed block by block against the root (BEP 52) before it counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from node.ports.engine import (
    AddTorrent,
    DuplicateTorrentError,
    Engine,
    EngineError,
    EngineEvent,
    TorrentFailed,
    TorrentFinished,
    TorrentId,
    UnknownTorrentError,
)
from node.ports.renting import TransferError
from node.storage import torrent as shard_torrent

log = logging.getLogger(__name__)

LOOK_EVERY = 10.0
"""Seconds between two looks at how far a download is, at most."""
UNREACHED = 4
"""One part in so many of the deadline is enough where no peer ever was: a host that is away, or has deleted the shard,
says nothing at all."""


class _LocalError(TransferError):
    """Not the other side's fault."""


class EngineCarrier:
    """The port `ShardCarrier` over an engine. `handle` takes every engine event; `addresses` says where it listens."""

    def __init__(
        self, engine: Engine, addresses: Callable[[], Sequence[str]], *, look_every: float = LOOK_EVERY
    ) -> None:
        self._engine = engine
        self._addresses = addresses
        self._look_every = look_every
        self._ours: set[TorrentId] = set()
        self._seeding: dict[bytes, tuple[TorrentId, Path]] = {}
        self._waiting: dict[TorrentId, asyncio.Future[None]] = {}
        self._samples: dict[TorrentId, asyncio.Task[None]] = {}

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(self._addresses())

    def is_shard(self, torrent: TorrentId) -> bool:
        """Whether this torrent is one of ours, for who lists the user's."""
        return torrent in self._ours

    def handle(self, event: EngineEvent) -> None:
        """One engine event, in order."""
        if isinstance(event, TorrentFinished | TorrentFailed):
            waiting = self._waiting.get(event.torrent)
            if waiting is not None and not waiting.done():
                if isinstance(event, TorrentFinished):
                    waiting.set_result(None)
                else:
                    waiting.set_exception(_LocalError(f"{event.fault.value}: {event.message}"))

    async def seed(self, root: bytes, length: int, folder: Path, peers: Sequence[str]) -> None:
        endpoints = _endpoints(peers)
        try:
            if (known := self._seeding.get(root)) is not None:
                if not (await self._engine.status(known[0])).peers:
                    for host, port in endpoints:
                        await self._engine.connect(known[0], host, port)
                return
            layer = await asyncio.to_thread(_layer, folder / f"{root.hex()}.tree", length)
            data = shard_torrent.torrent(root, length, layer)
            request = AddTorrent(save_path=folder, torrent=data, seed_mode=True, peers=endpoints)
            torrent = await self._engine.add(request)
        except DuplicateTorrentError:
            return  # another object has the same shard, or this node is its host as well
        except (EngineError, OSError, ValueError) as error:
            raise TransferError(f"the shard cannot be offered: {error}") from error
        self._seeding[root] = torrent, folder
        self._ours.add(torrent)

    async def stop(self, root: bytes) -> None:
        seeding = self._seeding.pop(root, None)
        if seeding is not None:
            await self._remove(seeding[0])

    async def fetch(self, root: bytes, length: int, folder: Path, peers: Sequence[str], *, deadline: float) -> Path:
        path, torrent = folder / root.hex(), torrent_id(root, length)
        if (sample := self._samples.get(torrent)) is not None:
            sample.cancel()  # who wants the whole shard does not wait for a piece of it
            await asyncio.wait([sample])
        if torrent in self._waiting:
            raise TransferError("it is being fetched already")
        data = shard_torrent.torrent(root, length)
        request = AddTorrent(save_path=folder, torrent=data, recheck=path.exists(), peers=_endpoints(peers))
        try:
            await self._download(torrent, request, deadline)
        except EngineError as error:
            raise TransferError(str(error)) from error
        return path

    async def sample(
        self,
        root: bytes,
        length: int,
        piece: int,
        folder: Path,
        peers: Sequence[str],
        *,
        deadline: float,
        insist: bool = False,
    ) -> bool:
        seeding = self._seeding.get(root) if insist else None
        if seeding is None:
            return await self._sample(root, length, piece, folder, peers, deadline)
        await self.stop(root)
        try:
            return await self._sample(root, length, piece, folder, peers, deadline)
        finally:
            with contextlib.suppress(TransferError):  # who delivers it offers it again
                await self.seed(root, length, seeding[1], ())

    async def _sample(
        self, root: bytes, length: int, piece: int, folder: Path, peers: Sequence[str], deadline: float
    ) -> bool:
        torrent, data = torrent_id(root, length), shard_torrent.torrent(root, length)
        if torrent in self._waiting or torrent in self._samples:
            return False
        request = AddTorrent(save_path=folder, torrent=data, peers=_endpoints(peers), pieces=(piece,))
        task = asyncio.create_task(self._download(torrent, request, deadline, keep=False))
        self._samples[torrent] = task
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            del self._samples[torrent]
        try:
            task.result()
        except (EngineError, _LocalError, asyncio.CancelledError) as error:
            log.info("no sample of shard %s: %s", root.hex()[:12], error)
            return False
        return True

    async def _download(self, torrent: TorrentId, request: AddTorrent, deadline: float, *, keep: bool = True) -> None:
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[torrent] = finished
        added = False
        try:
            await self._engine.add(request)
            self._ours.add(torrent)
            added = True
            await self._finish(torrent, finished, request.peers, deadline)
        finally:
            self._waiting.pop(torrent, None)
            finished.cancel()
            if added:  # what was in the engine before, such as what we seed, stays
                await self._remove(torrent, delete=not keep)

    async def _finish(
        self,
        torrent: TorrentId,
        finished: asyncio.Future[None],
        peers: Sequence[tuple[str, int]],
        deadline: float,
    ) -> None:
        done, stalled, look_every = -1, 0.0, min(self._look_every, deadline / 8)
        while not (await asyncio.wait([finished], timeout=look_every))[0]:
            status = await self._engine.status(torrent)
            stalled = stalled + look_every if status.done_bytes <= done else 0.0
            done = max(done, status.done_bytes)
            if stalled >= deadline:
                raise TransferError(f"nothing came for {deadline:.0f} s")
            if not status.peers and not done and stalled >= deadline / UNREACHED:
                raise TransferError("its hosts cannot be reached, or do not have it")
            for host, port in peers:
                await self._engine.connect(torrent, host, port)
        finished.result()

    async def _remove(self, torrent: TorrentId, *, delete: bool = False) -> None:
        if torrent in self._ours:
            self._ours.discard(torrent)
            with contextlib.suppress(UnknownTorrentError):
                await self._engine.remove(torrent, delete_files=delete)


def torrent_id(root: bytes, length: int) -> TorrentId:
    """What the engine calls a shard's torrent."""
    return TorrentId(shard_torrent.info_hash(root, length)[:20].hex())


def _layer(tree: Path, length: int) -> bytes:
    """The hashes of the pieces, out of the shard's tree file."""
    span = shard_torrent.piece_layer(length)
    if span is None:
        return b""
    with tree.open("rb") as file:
        file.seek(span.offset)
        return file.read(span.length)


def _endpoints(peers: Sequence[str]) -> list[tuple[str, int]]:
    parts = [peer.rpartition(":") for peer in peers]
    return [(host.strip("[]"), int(port)) for host, _, port in parts]
