"""The tracker's memory, without input or output: who is in which swarm (BEP 3), bounded, with expiry.

Peers are named by (address, port) within a swarm, so that a client that restarts with a new peer id replaces itself.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

INTERVAL = 60
"""Seconds between announces we ask for: short, since these swarms are small and local."""
MIN_INTERVAL = 5
EXPIRY = 3 * INTERVAL
MAX_SWARMS = 10_000
MAX_PEERS = 5_000
MAX_NUMWANT = 200
DEFAULT_NUMWANT = 50


class TrackerError(Exception):
    """An announce that cannot be served; the text goes to the client as `failure reason`."""


@dataclass(frozen=True, slots=True)
class Announce:
    """One announce. `info_hash` and `peer_id` have 20 bytes; v2 torrents announce their truncated hash (BEP 52)."""

    info_hash: bytes
    peer_id: bytes
    host: str
    port: int
    left: int
    event: str = ""
    numwant: int = DEFAULT_NUMWANT


@dataclass(frozen=True, slots=True)
class PeerEntry:
    """A member of a swarm."""

    host: str
    port: int
    peer_id: bytes
    seed: bool
    seen: float


@dataclass(frozen=True, slots=True)
class Counts:
    """What a scrape tells (BEP 48)."""

    complete: int
    incomplete: int
    downloaded: int


@dataclass(slots=True)
class _Swarm:
    peers: OrderedDict[tuple[str, int], PeerEntry] = field(default_factory=OrderedDict)
    downloaded: int = 0


class Swarms:
    """All swarms. `allowed`: serve only these info-hashes; None = any. `shuffle` orders a reply's peers."""

    def __init__(
        self,
        allowed: frozenset[bytes] | None = None,
        shuffle: Callable[[list[PeerEntry]], None] = lambda peers: None,
    ) -> None:
        self._allowed = allowed
        self._shuffle = shuffle
        self._swarms: OrderedDict[bytes, _Swarm] = OrderedDict()

    def announce(self, request: Announce, now: float) -> tuple[list[PeerEntry], Counts]:
        """Take note of the peer; return others of its swarm and the counts. Raises `TrackerError`."""
        self._check(request)
        swarm = self._swarms.get(request.info_hash)
        if swarm is None:
            if len(self._swarms) >= MAX_SWARMS:
                self._swarms.popitem(last=False)
            swarm = self._swarms[request.info_hash] = _Swarm()
        self._swarms.move_to_end(request.info_hash)
        self._expire(swarm, now)
        name = (request.host, request.port)
        if request.event == "stopped":
            swarm.peers.pop(name, None)
            return [], self._counts(swarm)
        if request.event == "completed":
            swarm.downloaded += 1
        if name not in swarm.peers and len(swarm.peers) >= MAX_PEERS:
            swarm.peers.popitem(last=False)
        swarm.peers[name] = PeerEntry(request.host, request.port, request.peer_id, request.left == 0, now)
        swarm.peers.move_to_end(name)
        # Two seeds have nothing to give each other.
        others = [p for key, p in swarm.peers.items() if key != name and not (p.seed and request.left == 0)]
        self._shuffle(others)
        return others[: min(max(request.numwant, 0), MAX_NUMWANT)], self._counts(swarm)

    def scrape(self, hashes: list[bytes], now: float) -> dict[bytes, Counts]:
        """Counts of the given swarms that are known here."""
        result = {}
        for info_hash in hashes[:64]:
            swarm = self._swarms.get(info_hash)
            if swarm is not None:
                self._expire(swarm, now)
                result[info_hash] = self._counts(swarm)
        return result

    def _check(self, request: Announce) -> None:
        if len(request.info_hash) != 20:
            raise TrackerError("info_hash must have 20 bytes")
        if len(request.peer_id) != 20:
            raise TrackerError("peer_id must have 20 bytes")
        if not 0 < request.port < 65536:
            raise TrackerError("port must be 1 to 65535")
        if request.event not in ("", "started", "stopped", "completed", "paused"):
            raise TrackerError("unknown event")
        if self._allowed is not None and request.info_hash not in self._allowed:
            raise TrackerError("this torrent is not served here")

    @staticmethod
    def _counts(swarm: _Swarm) -> Counts:
        seeds = sum(peer.seed for peer in swarm.peers.values())
        return Counts(seeds, len(swarm.peers) - seeds, swarm.downloaded)

    @staticmethod
    def _expire(swarm: _Swarm, now: float) -> None:
        while swarm.peers:
            name, peer = next(iter(swarm.peers.items()))
            if now - peer.seen <= EXPIRY:
                return
            del swarm.peers[name]


def compact(peers: list[PeerEntry]) -> tuple[bytes, bytes]:
    """(BEP 23 `peers`, BEP 7 `peers6`)."""
    v4, v6 = bytearray(), bytearray()
    for peer in peers:
        address = ipaddress.ip_address(peer.host)
        (v4 if address.version == 4 else v6).extend(address.packed + peer.port.to_bytes(2, "big"))
    return bytes(v4), bytes(v6)
