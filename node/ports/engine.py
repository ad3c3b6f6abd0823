"""The engine port: a BitTorrent engine as typed protocol and plain data.

Adapters live in `node.engine`; services import only this module and `events`, so that the same services run over
libtorrent and over the in-memory engine.

Theory
------
A *peer* is one BitTorrent connection, named by a `PeerId` that is never used twice in one engine's life. Peers behind
one NAT share an address, so an address never names a peer.

Blocks and extension messages of one connection share one ordered stream. Every message event therefore carries the
*marks* of that stream: `sent` and `received`, the exact count of block bytes (payload of `piece` messages, nothing
else) that stand before the message in that direction. `MessageSent.sent` on one side equals `PeerMessage.received` of
the same message on the other. That is what makes the two sides' accounts equal to the byte.

Events come in stream order per peer. Byte counts are coalesced, never across a message of the same peer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from node.ports.events import EngineEvent
from node.ports.events import PeerId as PeerId
from node.ports.events import TorrentId as TorrentId

MAX_EXTENSION_MESSAGE = 64 * 1024
"""Largest `btt_speed` message body in bytes; a longer one closes the connection."""

MAX_HOLDERS = 2048
"""Missing pieces that `Engine.holders` looks at."""


# --- errors ---------------------------------------------------------------------------------------------------------


class EngineError(Exception):
    """Something local went wrong in the engine. The text is one line for the user."""


class BadTorrentError(EngineError):
    """The bytes are not a torrent (not bencoded, too deep, too large, missing fields)."""


class BadMagnetError(EngineError):
    """The text is not a magnet link with a BitTorrent info-hash."""


class DuplicateTorrentError(EngineError):
    """This torrent is in the engine already."""


class UnknownTorrentError(EngineError):
    """No torrent with this id is in the engine."""


class ListenError(EngineError):
    """The listening address or port cannot be used."""


# --- settings and requests ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What a session needs to know at its start. Rates in bytes per second, 0 = unlimited."""

    listen: Sequence[str] = ("0.0.0.0:6881", "[::]:6881")
    outgoing_interface: str = ""
    upload_limit: int = 0
    download_limit: int = 0
    unchoke_slots: int = 8
    max_connections: int = 200
    dht: bool = True
    local_discovery: bool = True
    port_mapping: bool = True
    utp: bool = True
    pex: bool = True
    encryption: bool = True
    several_connections_per_ip: bool = False
    notify_bytes: int = 1024 * 1024
    """A peer's byte counter wakes the event stream after this many new bytes at the latest."""
    hello: bytes = b""
    """Bencoded value of the `btt` key in the extension handshake; empty: the extension is not offered at all."""
    user_agent: str = "bttnode/0.1"
    peer_fingerprint: str = "-BN0100-"


class TorrentFormat(StrEnum):
    """BEP 3 only, BEP 52 only, or both in one torrent."""

    V1 = "v1"
    V2 = "v2"
    HYBRID = "hybrid"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTorrent:
    """Make a torrent from a file or folder. `piece_length` 0 lets the engine choose (power of two, at least 16 KiB)."""

    path: Path
    format: TorrentFormat = TorrentFormat.HYBRID
    piece_length: int = 0
    trackers: Sequence[str] = ()
    web_seeds: Sequence[str] = ()
    comment: str = ""
    private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AddTorrent:
    """Exactly one of `torrent` (bencoded file), `magnet`, `resume` (what `Engine.resume_data` gave) must be set."""

    save_path: Path
    torrent: bytes | None = None
    magnet: str | None = None
    resume: bytes | None = None
    paused: bool = False
    seed_mode: bool = False
    """Trust that all data is there; pieces are checked when they are first read."""
    recheck: bool = False
    """Hash what is on disk before anything else (after an unclean stop), whatever the resume data claims."""
    pieces: Sequence[int] | None = None
    """Ask for these only, and be finished with them; None: for all. With `torrent` alone."""
    trackers: Sequence[str] = ()
    peers: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True)
class TorrentFileEntry:
    """One file of a torrent: its path inside the torrent, '/'-separated, and its length in bytes."""

    path: str
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TorrentInfo:
    """What a torrent file or magnet says of itself."""

    id: TorrentId
    name: str
    v1: str | None
    """40 hex digits."""
    v2: str | None
    """64 hex digits."""
    total_bytes: int
    piece_length: int
    pieces: int
    files: Sequence[TorrentFileEntry] = ()
    trackers: Sequence[str] = ()
    private: bool = False
    comment: str = ""


# --- snapshots ------------------------------------------------------------------------------------------------------


class TorrentState(StrEnum):
    """What a torrent is doing now."""

    CHECKING = "checking"
    METADATA = "metadata"
    DOWNLOADING = "downloading"
    SEEDING = "seeding"
    PAUSED = "paused"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class TorrentStatus:
    """A snapshot. Rates in bytes per second, counts of payload bytes since the torrent was added to this engine."""

    id: TorrentId
    name: str
    state: TorrentState
    save_path: Path
    total_bytes: int
    done_bytes: int
    """Bytes of pieces that passed their hash."""
    progress: float
    download_rate: int
    upload_rate: int
    downloaded: int
    uploaded: int
    peers: int
    seeds: int
    has_metadata: bool
    piece_length: int = 0
    pieces: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """A snapshot of one connection. `sent` and `received` are the exact in-stream marks."""

    peer: PeerId
    torrent: TorrentId
    host: str
    port: int
    client: str
    speaks_btt: bool
    outgoing: bool
    choked_by_us: bool
    choked_by_peer: bool
    interested: bool
    """The peer wants something from us."""
    seed: bool
    progress: float
    upload_rate: int
    download_rate: int
    sent: int
    received: int
    wanted: bool = False
    """It has pieces that we want."""
    requests: int = 0
    """Blocks that we have asked it for and still wait for."""


# --- the port -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UploadPolicy:
    """How blocks go to one peer.

    `priority` 1..255: weight against other peers when the upload limit is reached (work-conserving).
    `limit`: bytes per second, 0 = none (not work-conserving).
    `reserved`: the peer never waits for an unchoke slot.
    """

    priority: int = 1
    limit: int = 0
    reserved: bool = False


@dataclass(slots=True)
class PieceRead:
    """The bytes of one piece."""

    index: int
    data: bytes = field(repr=False)


class Engine(Protocol):
    """A BitTorrent engine. Started once, closed once; all calls on one asyncio loop.

    Calls about a peer that is gone are ignored: its `PeerGone` is on the way or already delivered.
    Calls about a torrent that is not there raise `UnknownTorrentError`.
    """

    async def start(self) -> None:
        """Open the listening sockets. Raises `ListenError` if a port is taken or none can be opened."""

    async def close(self) -> None:
        """Stop everything, also with transfers under way. Idempotent. Ends `events()`."""

    @property
    def listen_port(self) -> int:
        """The TCP port in use (the real one where 0 was asked for)."""

    def events(self) -> AsyncIterator[EngineEvent]:
        """The one stream of events; it has one reader."""

    # torrents
    async def create(self, request: CreateTorrent, progress: Callable[[int, int], None] | None = None) -> bytes:
        """Hash `request.path` and return the bencoded torrent. `progress(done, total)` counts pieces."""

    def inspect(self, torrent: bytes) -> TorrentInfo:
        """Parse a torrent file. Raises `BadTorrentError`."""

    def inspect_magnet(self, magnet: str) -> TorrentInfo:
        """Parse a magnet link. Raises `BadMagnetError`."""

    async def add(self, request: AddTorrent) -> TorrentId:
        """Raises `BadTorrentError`, `BadMagnetError`, `DuplicateTorrentError`."""

    async def remove(self, torrent: TorrentId, *, delete_files: bool = False) -> None: ...

    async def pause(self, torrent: TorrentId) -> None: ...

    async def resume(self, torrent: TorrentId) -> None:
        """Start a paused torrent, or one that stopped on an error."""

    async def recheck(self, torrent: TorrentId) -> None: ...

    async def resume_data(self, torrent: TorrentId) -> bytes:
        """Bencoded resume data, torrent file included. Raises `EngineError` when it cannot be made."""

    async def status(self, torrent: TorrentId) -> TorrentStatus: ...

    async def statuses(self) -> Sequence[TorrentStatus]: ...

    async def info(self, torrent: TorrentId) -> TorrentInfo: ...

    async def peers(self, torrent: TorrentId) -> Sequence[PeerStatus]: ...

    async def holders(self, torrent: TorrentId, peers: Sequence[PeerId]) -> Mapping[PeerId, Sequence[int]]:
        """How rare what these peers have is: of the pieces that one has and we miss, how many connected peers have each
        (itself included). Of a long torrent an even sample of at most `MAX_HOLDERS` missing pieces; a peer with none of
        them is left out."""

    async def connect(self, torrent: TorrentId, host: str, port: int) -> None:
        """Try to connect to a peer; failure is silent, as with a peer from a tracker."""

    async def add_tracker(self, torrent: TorrentId, url: str) -> None: ...

    async def read_piece(self, torrent: TorrentId, piece: int) -> PieceRead:
        """Raises `EngineError` for a piece that is not here or cannot be read."""

    async def set_deadline(self, torrent: TorrentId, piece: int, milliseconds: int) -> None:
        """Ask for a piece early (streaming)."""

    async def set_limits(self, *, upload: int, download: int) -> None:
        """Session-wide rates in bytes per second, 0 = unlimited."""

    # peers
    def send(self, peer: PeerId, payload: bytes, tag: int = 0) -> None:
        """Put an extension message into the stream; `MessageSent` with the same tag tells where it landed.

        Raises `ValueError` above `MAX_EXTENSION_MESSAGE`.
        """

    def set_upload(self, peer: PeerId, policy: UploadPolicy) -> None: ...

    def set_allowance(self, peer: PeerId, mark: int | None) -> None:
        """Serve no block that would move the `sent` mark past `mark`; None = no such bound.

        Enforced where requests are admitted to the send queue, so it is never overshot by more than what was admitted
        before the call. Requests beyond it wait; when nothing admitted is left to send, `UploadStalled` tells.
        """

    def choke(self, peer: PeerId) -> None:
        """Choke now. The engine's own choker may unchoke later unless the policy is `reserved`."""

    def unchoke(self, peer: PeerId) -> None: ...

    def disconnect(self, peer: PeerId, reason: str) -> None: ...

    def ban(self, peer: PeerId, reason: str) -> None:
        """Disconnect and refuse this endpoint's address from now on, for this engine's life."""
