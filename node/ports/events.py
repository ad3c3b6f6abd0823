"""What an engine tells: every event of `node.ports.engine.Engine.events`, and the names of what they are about.

`sent` and `received` are marks in a connection's stream; the engine port says what that is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

PeerId = NewType("PeerId", int)
"""One connection of one engine. Never reused."""

TorrentId = NewType("TorrentId", str)
"""40 lower-case hex digits: the v1 info-hash where the torrent has one, else the first 20 bytes of the v2 info-hash."""


@dataclass(frozen=True, slots=True)
class PeerHello:
    """A peer that offers `btt_speed` finished its extension handshake. Comes first, once per peer."""

    peer: PeerId
    torrent: TorrentId
    host: str
    port: int
    client: str
    outgoing: bool
    hello: bytes
    """Bencoded value of the peer's `btt` key, at most 4 KiB; b"" where it has none."""


@dataclass(frozen=True, slots=True)
class PeerMessage:
    """A complete `btt_speed` message body arrived."""

    peer: PeerId
    payload: bytes
    sent: int
    received: int


@dataclass(frozen=True, slots=True)
class MessageSent:
    """`Engine.send(peer, payload, tag)` put the message into the stream at these marks."""

    peer: PeerId
    tag: int
    sent: int
    received: int


@dataclass(frozen=True, slots=True)
class BytesSent:
    """The peer's `sent` mark has moved to this count."""

    peer: PeerId
    sent: int


@dataclass(frozen=True, slots=True)
class BytesReceived:
    """`length` more block bytes of `piece` arrived; the `received` mark is now `received`.

    `unrequested` of them answer no request of ours: they stand in the stream, but nobody ordered them.
    """

    peer: PeerId
    piece: int
    length: int
    received: int
    unrequested: int = 0


@dataclass(frozen=True, slots=True)
class UploadStalled:
    """The peer waits for blocks beyond its allowance, and everything admitted is sent: its `sent` mark stands here.

    Told once until the allowance is set again.
    """

    peer: PeerId
    sent: int


@dataclass(frozen=True, slots=True)
class PeerGone:
    """The connection is closed. Comes last, once for each `PeerHello`."""

    peer: PeerId
    reason: str
    sent: int
    received: int


@dataclass(frozen=True, slots=True)
class PieceVerified:
    """A piece passed its hash and is on its way to the disk."""

    torrent: TorrentId
    piece: int


@dataclass(frozen=True, slots=True)
class PieceFailed:
    """A piece failed its hash; its bytes are thrown away."""

    torrent: TorrentId
    piece: int


@dataclass(frozen=True, slots=True)
class MetadataReceived:
    """A magnet's metadata is complete: the bencoded torrent file."""

    torrent: TorrentId
    torrent_file: bytes


@dataclass(frozen=True, slots=True)
class TorrentChecked:
    """The hash check at the start is over."""

    torrent: TorrentId


@dataclass(frozen=True, slots=True)
class TorrentFinished:
    """All wanted pieces are here and verified."""

    torrent: TorrentId


class TorrentFault(StrEnum):
    """Why a torrent stopped."""

    DISK_FULL = "disk full"
    DISK = "disk"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class TorrentFailed:
    """A torrent stopped on a local error (disk full, permission, vanished file). `resume` starts it again."""

    torrent: TorrentId
    fault: TorrentFault
    message: str


@dataclass(frozen=True, slots=True)
class TrackerFailed:
    """An announce failed; libtorrent tries again by itself."""

    torrent: TorrentId
    url: str
    message: str


@dataclass(frozen=True, slots=True)
class EventsLost:
    """The bounded event queue overflowed; `count` events of no account (never byte counts or messages) are gone."""

    count: int


EngineEvent = (
    PeerHello
    | PeerMessage
    | MessageSent
    | BytesSent
    | BytesReceived
    | UploadStalled
    | PeerGone
    | PieceVerified
    | PieceFailed
    | MetadataReceived
    | TorrentChecked
    | TorrentFinished
    | TorrentFailed
    | TrackerFailed
    | EventsLost
)
