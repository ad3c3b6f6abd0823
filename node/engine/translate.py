"""Between the native module's plain tuples and dictionaries and the port's types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.bencode import BencodeError, decode, encode
from node.engine._native import FaultError
from node.ports.engine import (
    BadMagnetError,
    BadTorrentError,
    DuplicateTorrentError,
    EngineError,
    EngineSettings,
    PeerId,
    PeerStatus,
    TorrentFileEntry,
    TorrentId,
    TorrentInfo,
    TorrentState,
    TorrentStatus,
    UnknownTorrentError,
)
from node.ports.events import (
    BytesReceived,
    BytesSent,
    EngineEvent,
    EventsLost,
    MessageSent,
    MetadataReceived,
    PeerGone,
    PeerHello,
    PeerMessage,
    PieceFailed,
    PieceVerified,
    TorrentChecked,
    TorrentFailed,
    TorrentFault,
    TorrentFinished,
    TrackerFailed,
    UploadStalled,
)

if TYPE_CHECKING:  # names of the stub, not of the compiled module
    from node.engine._native import Event, Peer

# Event kinds, in the order of events.hpp.
PEER_HELLO, PEER_MESSAGE, MESSAGE_SENT, BYTES_SENT, BYTES_RECEIVED, UPLOAD_STALLED, PEER_GONE = range(1, 8)
PIECE_VERIFIED, PIECE_FAILED, METADATA_RECEIVED, TORRENT_CHECKED, TORRENT_FINISHED, TORRENT_FAILED = range(8, 14)
TRACKER_FAILED, LISTEN_OK, LISTEN_FAILED, RESUME_DATA, RESUME_FAILED, PIECE_READ, PIECE_READ_FAILED = range(14, 21)
EVENTS_LOST = 21

_FAULTS = {1: TorrentFault.DISK_FULL, 2: TorrentFault.DISK, 3: TorrentFault.OTHER}


def _hello(e: Event) -> EngineEvent:
    client, _, hello = e[8].partition(b"\0")
    name = client.decode(errors="replace")
    return PeerHello(PeerId(e[1]), TorrentId(e[6]), e[7], e[2], name, bool(e[3]), hello)


_EVENTS: Mapping[int, Callable[[Event], EngineEvent]] = {
    PEER_HELLO: _hello,
    PEER_MESSAGE: lambda e: PeerMessage(PeerId(e[1]), e[8], e[2], e[3]),
    MESSAGE_SENT: lambda e: MessageSent(PeerId(e[1]), e[4], e[2], e[3]),
    BYTES_SENT: lambda e: BytesSent(PeerId(e[1]), e[2]),
    BYTES_RECEIVED: lambda e: BytesReceived(PeerId(e[1]), e[2], e[4], e[3], e[5]),
    UPLOAD_STALLED: lambda e: UploadStalled(PeerId(e[1]), e[2]),
    PEER_GONE: lambda e: PeerGone(PeerId(e[1]), e[7], e[2], e[3]),
    PIECE_VERIFIED: lambda e: PieceVerified(TorrentId(e[6]), e[2]),
    PIECE_FAILED: lambda e: PieceFailed(TorrentId(e[6]), e[2]),
    METADATA_RECEIVED: lambda e: MetadataReceived(TorrentId(e[6]), e[8]),
    TORRENT_CHECKED: lambda e: TorrentChecked(TorrentId(e[6])),
    TORRENT_FINISHED: lambda e: TorrentFinished(TorrentId(e[6])),
    TORRENT_FAILED: lambda e: TorrentFailed(TorrentId(e[6]), _FAULTS[e[3]], e[7]),
    TRACKER_FAILED: lambda e: TrackerFailed(TorrentId(e[6]), e[8].decode(errors="replace"), e[7]),
    EVENTS_LOST: lambda e: EventsLost(e[2]),
}


def to_event(event: Event) -> EngineEvent | None:
    """The port's event, or None for kinds that answer a request of the adapter itself."""
    translate = _EVENTS.get(event[0])
    return None if translate is None else translate(event)


_FAULT_TYPES: Mapping[str, Callable[[str], EngineError]] = {
    "bad_torrent": lambda text: BadTorrentError(f"not a usable torrent: {text}"),
    "bad_magnet": lambda text: BadMagnetError(f"not a usable magnet link: {text}"),
    "duplicate": DuplicateTorrentError,
    "unknown_torrent": lambda text: UnknownTorrentError(f"{text}: `bttnode status` lists them"),
}


def to_error(fault: FaultError) -> EngineError:
    """The port's exception for a native fault."""
    code, text = fault.args
    return _FAULT_TYPES.get(code, EngineError)(text)


def to_info(found: Mapping[str, Any]) -> TorrentInfo:
    return TorrentInfo(
        id=TorrentId(found["id"]),
        name=found["name"],
        v1=found["v1"],
        v2=found["v2"],
        total_bytes=found["total_bytes"],
        piece_length=found["piece_length"],
        pieces=found["pieces"],
        files=tuple(TorrentFileEntry(path, length) for path, length in found["files"]),
        trackers=tuple(found["trackers"]),
        private=found["private"],
        comment=found["comment"],
    )


def wanting(torrent: bytes, info: TorrentInfo, pieces: Sequence[int]) -> bytes:
    """Resume data of a torrent of which nothing is here and these pieces are wanted.

    libtorrent takes priorities with a new torrent in this form only; set later, others would be under way already.
    Raises `BadTorrentError`, and `ValueError` for pieces that the torrent does not have.
    """
    if not pieces or not 0 <= min(pieces) <= max(pieces) < info.pieces:
        raise ValueError(f"wanted: some of the pieces 0 to {info.pieces - 1}")
    try:
        content = decode(torrent, max_bytes=_MAX_TORRENT, max_depth=32, max_items=4_000_000)[b"info"]
    except BencodeError as error:
        raise BadTorrentError(f"not a torrent to take pieces of: {error}") from None
    priorities = bytearray(info.pieces)
    for piece in pieces:
        priorities[piece] = _DEFAULT_PRIORITY
    resume = {
        "file-format": "libtorrent resume file",
        "file-version": 1,
        "info": content,
        "piece_priority": priorities,
    }
    hashes = {"info-hash": info.v1, "info-hash2": info.v2}
    return encode(resume | {name: bytes.fromhex(found) for name, found in hashes.items() if found})


# lt::torrent_status::state_t
_STATES = {
    1: TorrentState.CHECKING,
    2: TorrentState.METADATA,
    3: TorrentState.DOWNLOADING,
    4: TorrentState.SEEDING,
    5: TorrentState.SEEDING,
    7: TorrentState.CHECKING,
}


def to_status(found: Mapping[str, Any]) -> TorrentStatus:
    state = _STATES.get(found["state"], TorrentState.CHECKING)
    if found["error"] or found["upload_mode"]:
        state = TorrentState.ERROR
    elif found["paused"]:
        state = TorrentState.PAUSED
    return TorrentStatus(
        id=TorrentId(found["id"]),
        name=found["name"],
        state=state,
        save_path=Path(found["save_path"]),
        total_bytes=found["total_bytes"],
        done_bytes=found["done_bytes"],
        progress=found["progress"],
        download_rate=found["download_rate"],
        upload_rate=found["upload_rate"],
        downloaded=found["downloaded"],
        uploaded=found["uploaded"],
        peers=found["peers"],
        seeds=found["seeds"],
        has_metadata=found["has_metadata"],
        piece_length=found["piece_length"],
        pieces=found["pieces"],
        error=found["error"],
    )


def to_peer(torrent: TorrentId, peer: Peer) -> PeerStatus:
    return PeerStatus(
        peer=PeerId(peer[0]),
        torrent=torrent,
        host=peer[1],
        port=peer[2],
        client=peer[3],
        speaks_btt=peer[4],
        outgoing=peer[5],
        choked_by_us=peer[6],
        choked_by_peer=peer[7],
        interested=peer[8],
        seed=peer[9],
        progress=peer[10],
        upload_rate=peer[11],
        download_rate=peer[12],
        sent=peer[13],
        received=peer[14],
        wanted=peer[15],
        requests=peer[16],
    )


# libtorrent's alert categories (alert_category): error, storage, tracker, status.
_ALERT_MASK = 0x1 | 0x8 | 0x10 | 0x40
_INT_MAX = 2**31 - 1
_MAX_TORRENT = 64 << 20
_DEFAULT_PRIORITY = 4  # lt::default_priority
_SEND_BUFFER = 3 * 1024 * 1024


def _send_buffer_percent(upload_limit: int) -> int:
    """What may wait for one peer, in hundredths of what it is sent per second. Full speed needs much. Under a limit it
    only delays what is decided after it, and moves the `sent` mark in steps of its size: then a few ticks' worth."""
    return 25 if upload_limit else 150


def to_settings(settings: EngineSettings) -> list[tuple[str, bool | int | str]]:
    """libtorrent's settings pack for ours, with what measurements on 2.0.8 taught."""
    encryption = 1 if settings.encryption else 2  # pe_enabled, pe_disabled
    return [
        ("listen_interfaces", ",".join(settings.listen)),
        ("outgoing_interfaces", settings.outgoing_interface),
        ("user_agent", settings.user_agent),
        ("peer_fingerprint", settings.peer_fingerprint),
        ("upload_rate_limit", settings.upload_limit),
        ("download_rate_limit", settings.download_limit),
        # Limits count what peers get: blocks and messages, not the headers of TCP and IP.
        ("rate_limit_ip_overhead", False),
        # Quota is handed out once per tick, a send buffer at a time: at the usual 500 ms, fast peers cannot use their
        # share.
        ("tick_interval", 50),
        ("unchoke_slots_limit", settings.unchoke_slots),
        ("connections_limit", settings.max_connections),
        ("enable_dht", settings.dht),
        ("enable_lsd", settings.local_discovery),
        ("enable_upnp", settings.port_mapping),
        ("enable_natpmp", settings.port_mapping),
        ("enable_incoming_utp", settings.utp),
        ("enable_outgoing_utp", settings.utp),
        ("in_enc_policy", encryption),
        ("out_enc_policy", encryption),
        ("allow_multiple_connections_per_ip", settings.several_connections_per_ip),
        ("alert_mask", _ALERT_MASK),
        ("alert_queue_size", 10_000),
        # An occupied port is an error the user should hear of, not a reason to take another one silently.
        ("max_retry_port_bind", 0),
        ("listen_system_port_fallback", False),
        # pread/pwrite instead of mmap: 1.6 times faster on 2.0.8.
        ("mmap_file_size_cutoff", _INT_MAX),
        # A choke must stop everything: it is how credit is enforced.
        ("allowed_fast_set_size", 0),
        # Requests that were on their way when we choked are no abuse; a pipeline holds hundreds of them.
        ("max_rejects", 4000),
        # Two seeds stay connected until the last cheque is in; the payments service hangs up afterwards.
        ("close_redundant_connections", False),
        ("send_buffer_watermark", _SEND_BUFFER),
        ("send_buffer_watermark_factor", _send_buffer_percent(settings.upload_limit)),
        ("max_queued_disk_bytes", 32 * 1024 * 1024),
        # Ten writers on one file wait for its inode lock; hashing wants the second core.
        ("aio_threads", 4),
        ("hashing_threads", 2),
        ("max_out_request_queue", 1000),
        ("max_allowed_in_request_queue", 4000),
        # A seller that restarts should be met again at once, not in a minute; each failure lengthens the wait.
        ("min_reconnect_time", 2),
        ("file_pool_size", 200),
        ("strict_end_game_mode", True),
    ]
