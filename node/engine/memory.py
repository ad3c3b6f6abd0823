"""The engine port without sockets: for tests and simulation, deterministic, one step at a time.

Engines that share a `MemorySwarm` can reach each other by their listening addresses. Torrents, files and hashes are
real (version 1 and hybrid); only the network is not. Each `step` of the swarm delivers what the last one sent and lets
every link send some blocks, in order, with the same marks, events and allowances as the real engine. `MemorySwarm.run`
steps whenever the event loop is idle.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from node.bencode import decode, encode
from node.engine import _native
from node.engine import translate as native
from node.engine.memory_torrent import BLOCK, MemoryTorrent
from node.ports.engine import (
    MAX_EXTENSION_MESSAGE,
    MAX_HOLDERS,
    AddTorrent,
    BadTorrentError,
    CreateTorrent,
    DuplicateTorrentError,
    EngineError,
    EngineSettings,
    ListenError,
    PeerId,
    PeerStatus,
    PieceRead,
    TorrentId,
    TorrentInfo,
    TorrentState,
    TorrentStatus,
    UnknownTorrentError,
    UploadPolicy,
)
from node.ports.events import (
    BytesReceived,
    BytesSent,
    EngineEvent,
    MessageSent,
    PeerGone,
    PeerHello,
    PeerMessage,
    PieceFailed,
    PieceVerified,
    TorrentChecked,
    TorrentFinished,
    UploadStalled,
)

BLOCKS_PER_STEP = 16
"""What an engine without an upload limit sends per link and step."""


@dataclass(slots=True)
class Link:
    """One side's view of a connection."""

    owner: MemoryEngine
    peer: PeerId
    torrent: TorrentId
    other: Link | None = None
    outgoing: bool = False
    sent: int = 0
    received: int = 0
    allowance: int | None = None
    stalled: bool = False
    choked: bool = False
    policy: UploadPolicy = field(default_factory=UploadPolicy)
    inbox: deque[tuple[int, int, bytes] | bytes] = field(default_factory=deque)
    """Blocks (piece, offset, data) and messages on their way to this side."""


class MemorySwarm:
    """The network of some engines."""

    def __init__(self) -> None:
        self.engines: dict[tuple[str, int], MemoryEngine] = {}
        self.links: list[Link] = []
        self._next_port = 1024

    def free_port(self) -> int:
        self._next_port += 1
        return self._next_port

    def step(self) -> bool:
        """Deliver, then send; returns whether anything moved."""
        moved = False
        for link in list(self.links):
            while link.inbox:
                moved = True
                link.owner.deliver(link, link.inbox.popleft())
        for engine in list(self.engines.values()):
            moved = engine.send_blocks() or moved
        return moved

    async def run(self) -> None:
        """Step for ever, giving way to everything else in between. Cancel it to end."""
        while True:  # noqa: ASYNC110 - see below
            # Nothing tells when an engine will want something: an idle swarm looks again every millisecond.
            await asyncio.sleep(0 if self.step() else 0.001)

    def connect(self, first: MemoryEngine, second: MemoryEngine, torrent: TorrentId) -> None:
        known = (link for link in self.links if link.owner is first and link.torrent == torrent)
        if any(link.other and link.other.owner is second for link in known):
            return
        a = Link(first, first.new_peer(), torrent, outgoing=True)
        b = Link(second, second.new_peer(), torrent, a)
        a.other = b
        self.links += [a, b]
        for link, other in ((a, second), (b, first)):
            link.owner.peers_by_id[link.peer] = link
            if link.owner.settings.hello and other.settings.hello:
                host, port = other.address
                link.owner.tell(
                    PeerHello(link.peer, torrent, host, port, "memory", link.outgoing, other.settings.hello)
                )

    def cut(self, link: Link, reason: str) -> None:
        """Close a connection from either side."""
        for side in (link, link.other):
            if side is None or side not in self.links:
                continue
            self.links.remove(side)
            for item in side.inbox:
                if not isinstance(item, bytes) and side.torrent in side.owner.torrents:
                    side.owner.torrents[side.torrent].give_back(item[0], item[1])
            side.owner.peers_by_id.pop(side.peer, None)
            if side.owner.settings.hello and side.other and side.other.owner.settings.hello:
                side.owner.tell(PeerGone(side.peer, reason, side.sent, side.received))


class MemoryEngine:
    """Implements `node.ports.engine.Engine`."""

    def __init__(self, settings: EngineSettings, swarm: MemorySwarm) -> None:
        self.settings = settings
        self.swarm = swarm
        self.torrents: dict[TorrentId, MemoryTorrent] = {}
        self.peers_by_id: dict[PeerId, Link] = {}
        self.banned: set[str] = set()
        self.corrupt: set[int] = set()
        """Pieces this engine sends damaged, once each (for tests)."""
        self.address = ("", 0)
        self._upload_limit = settings.upload_limit
        self._next_peer = 1
        self._ready: deque[EngineEvent] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    # --- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        host, _, port = (self.settings.listen[0] if self.settings.listen else "127.0.0.1:0").rpartition(":")
        self.address = (host, int(port) or self.swarm.free_port())
        if self.address in self.swarm.engines:
            raise ListenError(f"cannot listen on {host}:{port}: in use")
        self.swarm.engines[self.address] = self

    async def close(self) -> None:
        for link in list(self.peers_by_id.values()):
            self.swarm.cut(link, "closed")
        self.swarm.engines.pop(self.address, None)
        self._closed = True
        self._wake.set()

    @property
    def listen_port(self) -> int:
        return self.address[1]

    async def events(self) -> AsyncIterator[EngineEvent]:
        while True:
            while self._ready:
                yield self._ready.popleft()
            if self._closed:
                return
            self._wake.clear()
            await self._wake.wait()

    def tell(self, event: EngineEvent) -> None:
        self._ready.append(event)
        self._wake.set()

    def new_peer(self) -> PeerId:
        self._next_peer += 1
        return PeerId(self._next_peer - 1)

    # --- torrents ----------------------------------------------------------------------------------------------------

    async def create(self, request: CreateTorrent, progress: Callable[[int, int], None] | None = None) -> bytes:
        from node.engine.libtorrent import LibtorrentEngine  # hashing is the same for both

        return await LibtorrentEngine(self.settings).create(request, progress)

    def inspect(self, torrent: bytes) -> TorrentInfo:
        try:
            return native.to_info(_native.inspect(torrent))
        except _native.FaultError as fault:
            raise native.to_error(fault) from None

    def inspect_magnet(self, magnet: str) -> TorrentInfo:
        try:
            return native.to_info(_native.inspect_magnet(magnet))
        except _native.FaultError as fault:
            raise native.to_error(fault) from None

    async def add(self, request: AddTorrent) -> TorrentId:
        if request.magnet is not None:
            raise EngineError("the in-memory engine has no metadata exchange: add the torrent file")
        have: bytes | None = None
        data = request.torrent
        if request.resume is not None:
            saved = decode(request.resume, max_bytes=1 << 26)
            data, have = saved[b"torrent"], saved[b"have"]
        if data is None:
            raise ValueError("exactly one of torrent, magnet and resume")
        if request.pieces is not None and request.torrent is None:
            raise ValueError("pieces go with a torrent file")
        info = self.inspect(data)
        if info.v1 is None:
            raise BadTorrentError("not a usable torrent: the in-memory engine needs version 1 hashes")
        if info.id in self.torrents:
            raise DuplicateTorrentError("this torrent is here already")
        torrent = MemoryTorrent(info, data, request.save_path, paused=request.paused, wanted=request.pieces)
        self.torrents[info.id] = torrent
        torrent.load(trust=request.seed_mode, claimed=None if request.recheck else have)
        self.tell(TorrentChecked(info.id))
        if torrent.finished:
            self.tell(TorrentFinished(info.id))
        for host, port in request.peers:
            await self.connect(info.id, host, port)
        return info.id

    def _torrent(self, torrent: TorrentId) -> MemoryTorrent:
        try:
            return self.torrents[torrent]
        except KeyError:
            raise UnknownTorrentError(f"no torrent {torrent}: `bttnode status` lists them") from None

    async def remove(self, torrent: TorrentId, *, delete_files: bool = False) -> None:
        gone = self._torrent(torrent)
        for link in [link for link in self.peers_by_id.values() if link.torrent == torrent]:
            self.swarm.cut(link, "torrent removed")
        del self.torrents[torrent]
        if delete_files:
            target = gone.save_path / gone.info.name
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)

    async def pause(self, torrent: TorrentId) -> None:
        self._torrent(torrent).paused = True
        for link in [link for link in self.peers_by_id.values() if link.torrent == torrent]:
            self.swarm.cut(link, "paused")

    async def resume(self, torrent: TorrentId) -> None:
        self._torrent(torrent).paused = False

    async def recheck(self, torrent: TorrentId) -> None:
        self._torrent(torrent).load(trust=False, claimed=None)
        self.tell(TorrentChecked(torrent))

    async def resume_data(self, torrent: TorrentId) -> bytes:
        found = self._torrent(torrent)
        return encode({"torrent": found.data, "have": bytes(found.have)})

    async def status(self, torrent: TorrentId) -> TorrentStatus:
        found = self._torrent(torrent)
        links = [link for link in self.peers_by_id.values() if link.torrent == torrent]
        state = TorrentState.SEEDING if found.complete else TorrentState.DOWNLOADING
        return TorrentStatus(
            id=torrent,
            name=found.info.name,
            state=TorrentState.PAUSED if found.paused else state,
            save_path=found.save_path,
            total_bytes=found.info.total_bytes,
            done_bytes=found.done_bytes,
            progress=found.done_bytes / found.info.total_bytes,
            download_rate=0,
            upload_rate=0,
            downloaded=found.downloaded,
            uploaded=found.uploaded,
            peers=len(links),
            seeds=sum(bool(link.other and link.other.owner.torrents[torrent].complete) for link in links),
            has_metadata=True,
            piece_length=found.info.piece_length,
            pieces=found.info.pieces,
        )

    async def statuses(self) -> Sequence[TorrentStatus]:
        return [await self.status(torrent) for torrent in self.torrents]

    async def info(self, torrent: TorrentId) -> TorrentInfo:
        return self._torrent(torrent).info

    async def peers(self, torrent: TorrentId) -> Sequence[PeerStatus]:
        self._torrent(torrent)
        return [self._status_of(link) for link in self.peers_by_id.values() if link.torrent == torrent and link.other]

    def _status_of(self, link: Link) -> PeerStatus:
        other = link.other
        if other is None:
            raise RuntimeError("a link has two ends")
        theirs = other.owner.torrents[link.torrent]
        # There are no request messages here: whoever is unchoked sends whatever is missing.
        wanted = self.torrents[link.torrent].missing_blocks(theirs.have)
        return PeerStatus(
            peer=link.peer,
            torrent=link.torrent,
            host=other.owner.address[0],
            port=other.owner.address[1],
            client="memory",
            speaks_btt=bool(self.settings.hello and other.owner.settings.hello),
            outgoing=link.outgoing,
            choked_by_us=link.choked,
            choked_by_peer=other.choked,
            interested=not theirs.complete,
            seed=theirs.complete,
            progress=theirs.done_bytes / theirs.info.total_bytes,
            upload_rate=0,
            download_rate=0,
            sent=link.sent,
            received=link.received,
            wanted=wanted > 0,
            requests=0 if other.choked else wanted,
        )

    async def holders(self, torrent: TorrentId, peers: Sequence[PeerId]) -> Mapping[PeerId, Sequence[int]]:
        ours = self._torrent(torrent)
        others = {
            link.peer: link.other.owner.torrents[torrent].have
            for link in self.peers_by_id.values()
            if link.torrent == torrent and link.other
        }
        missing = [piece for piece, here in enumerate(ours.have) if not here]
        missing = missing[:: max(1, -(-len(missing) // MAX_HOLDERS))]
        counts = {piece: sum(have[piece] for have in others.values()) for piece in missing}
        found = {peer: [counts[piece] for piece in missing if others[peer][piece]] for peer in peers if peer in others}
        return {peer: held for peer, held in found.items() if held}

    async def connect(self, torrent: TorrentId, host: str, port: int) -> None:
        ours = self._torrent(torrent)
        other = self.swarm.engines.get((host, port))
        if other is None or other is self or ours.paused or host in self.banned:
            return
        theirs = other.torrents.get(torrent)
        if theirs is not None and not theirs.paused and self.address[0] not in other.banned:
            self.swarm.connect(self, other, torrent)

    async def add_tracker(self, torrent: TorrentId, url: str) -> None:
        self._torrent(torrent)

    async def read_piece(self, torrent: TorrentId, piece: int) -> PieceRead:
        found = self._torrent(torrent)
        if not 0 <= piece < found.info.pieces or not found.have[piece]:
            raise EngineError(f"piece {piece} is not here")
        return PieceRead(piece, found.piece(piece))

    async def set_deadline(self, torrent: TorrentId, piece: int, milliseconds: int) -> None:
        found = self._torrent(torrent)
        if not 0 <= piece < found.info.pieces:
            raise EngineError(f"the torrent has no piece {piece}")
        found.first = piece

    async def set_limits(self, *, upload: int, download: int) -> None:
        self._upload_limit = upload

    # --- peers -------------------------------------------------------------------------------------------------------

    def send(self, peer: PeerId, payload: bytes, tag: int = 0) -> None:
        if len(payload) > MAX_EXTENSION_MESSAGE:
            raise ValueError(f"an extension message has at most {MAX_EXTENSION_MESSAGE} bytes")
        link = self.peers_by_id.get(peer)
        if link is None or link.other is None:
            return
        link.other.inbox.append(payload)
        if tag:
            self.tell(MessageSent(peer, tag, link.sent, link.received))

    def set_upload(self, peer: PeerId, policy: UploadPolicy) -> None:
        if not 1 <= policy.priority <= 255 or policy.limit < 0:
            raise ValueError("an upload policy has a priority of 1 to 255 and no negative limit")
        if link := self.peers_by_id.get(peer):
            link.policy = policy

    def set_allowance(self, peer: PeerId, mark: int | None) -> None:
        if link := self.peers_by_id.get(peer):
            link.allowance, link.stalled = mark, False

    def choke(self, peer: PeerId) -> None:
        if link := self.peers_by_id.get(peer):
            link.choked = True

    def unchoke(self, peer: PeerId) -> None:
        if link := self.peers_by_id.get(peer):
            link.choked = False

    def disconnect(self, peer: PeerId, reason: str) -> None:
        if link := self.peers_by_id.get(peer):
            self.swarm.cut(link, reason)

    def ban(self, peer: PeerId, reason: str) -> None:
        link = self.peers_by_id.get(peer)
        if link is not None and link.other is not None:
            self.banned.add(link.other.owner.address[0])
            self.swarm.cut(link, reason)

    # --- moving blocks -----------------------------------------------------------------------------------------------

    def send_blocks(self) -> bool:
        """One step of sending: every link its share; with an upload limit, by priority."""
        links = [link for link in self.peers_by_id.values() if not link.choked and self._wants(link)]
        weight = sum(link.policy.priority for link in links)
        moved = False
        for link in links:
            share = BLOCKS_PER_STEP
            if self._upload_limit:
                share = max(1, BLOCKS_PER_STEP * link.policy.priority // weight)
            for _ in range(share):
                if not self._send_block(link):
                    break
                moved = True
        return moved

    def _wants(self, link: Link) -> bool:
        other = link.other
        theirs = other.owner.torrents.get(link.torrent) if other else None
        ours = self.torrents.get(link.torrent)
        return theirs is not None and ours is not None and not (theirs.finished or theirs.paused or ours.paused)

    def _send_block(self, link: Link) -> bool:
        other = link.other
        if other is None:
            return False
        ours, theirs = self.torrents[link.torrent], other.owner.torrents[link.torrent]
        wanted = theirs.next_request(ours.have)
        if wanted is None:
            return False
        piece, offset = wanted
        data = ours.piece(piece)[offset : offset + BLOCK]
        if link.allowance is not None and link.sent + len(data) > link.allowance:
            theirs.give_back(piece, offset)
            if not link.stalled:
                link.stalled = True
                self.tell(UploadStalled(link.peer, link.sent))
            return False
        if piece in self.corrupt and offset == 0:
            self.corrupt.discard(piece)
            data = bytes(len(data))
        link.sent += len(data)
        ours.uploaded += len(data)
        self.tell(BytesSent(link.peer, link.sent))
        other.inbox.append((piece, offset, data))
        return True

    def deliver(self, link: Link, item: tuple[int, int, bytes] | bytes) -> None:
        """One block or message reaches this engine."""
        if isinstance(item, bytes):
            self.tell(PeerMessage(link.peer, item, link.sent, link.received))
            return
        piece, offset, data = item
        torrent = self.torrents[link.torrent]
        link.received += len(data)
        torrent.downloaded += len(data)
        self.tell(BytesReceived(link.peer, piece, len(data), link.received))
        verdict = torrent.store(piece, offset, data)
        if verdict is False:
            self.tell(PieceFailed(link.torrent, piece))
        elif verdict:
            self.tell(PieceVerified(link.torrent, piece))
            if torrent.finished:
                self.tell(TorrentFinished(link.torrent))


@contextlib.asynccontextmanager
async def running(swarm: MemorySwarm) -> AsyncIterator[MemorySwarm]:
    """The swarm moves while the block runs."""
    task = asyncio.create_task(swarm.run())
    try:
        yield swarm
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
