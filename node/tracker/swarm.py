"""The tracker's memory, without input or output: who is in which swarm (BEP 3), bounded, with expiry.

Theory. A peer is named by (address, port) within a swarm, so a client that restarts with a new peer id replaces itself
and nobody can speak for another address. Peers and swarms are kept in the order of their last announce: what fell
silent stands at the front, so expiry and making room cost as much as they remove. A full swarm lets go of its most
silent peer, a full tracker of its most silent swarm; who announces keeps the place. A tracker that strangers can reach
should be given the info-hashes it serves, since without them anybody can fill it with swarms of nobody.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

DEFAULT_NUMWANT = 50
EVENTS = frozenset({"", "empty", "started", "stopped", "completed", "paused"})
"""BEP 3 and 21; `empty` is an old spelling of no event."""


class TrackerError(Exception):
    """An announce that cannot be served; the text goes to the client as `failure reason`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times in seconds. `interval` is short, since these swarms are small and local."""

    interval: int = 60
    min_interval: int = 5
    expiry: int = 180
    """A peer that is silent for longer is gone; a swarm too, with its count of downloads."""
    swarms: int = 10_000
    peers: int = 5_000
    """Peers in one swarm."""
    numwant: int = 200
    """Peers in one answer, whatever the client wants."""
    scrape: int = 64
    """Swarms in one scrape."""


@dataclass(frozen=True, slots=True)
class Announce:
    """One announce. `info_hash` and `peer_id` have 20 bytes; v2 torrents announce their truncated hash (BEP 52).

    `left` in bytes, None where the client does not know; `numwant` None for as many as is usual.
    """

    info_hash: bytes
    peer_id: bytes
    host: str
    port: int
    left: int | None
    event: str = ""
    numwant: int | None = None


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
    seen: float = 0.0

    def counts(self) -> Counts:
        seeds = sum(peer.seed for peer in self.peers.values())
        return Counts(seeds, len(self.peers) - seeds, self.downloaded)


def _first(peers: Sequence[PeerEntry], count: int) -> list[PeerEntry]:
    return list(peers[:count])


class Swarms:
    """All swarms. `allowed`: serve only these info-hashes; None = any. `pick` draws an answer's peers out of more.

    `now` is any clock that never goes back, in seconds.
    """

    def __init__(
        self,
        allowed: frozenset[bytes] | None = None,
        limits: Limits | None = None,
        pick: Callable[[Sequence[PeerEntry], int], list[PeerEntry]] = _first,
    ) -> None:
        self.limits = limits or Limits()
        self._allowed = allowed
        self._pick = pick
        self._swarms: OrderedDict[bytes, _Swarm] = OrderedDict()

    def announce(self, request: Announce, now: float) -> tuple[list[PeerEntry], Counts]:
        """Take note of the peer; return others of its swarm and the counts. Raises `TrackerError`."""
        self._check(request)
        self._expire(now)
        if request.event == "stopped":
            return [], self._leave(request, now)
        swarm = self._enter(request.info_hash, now)
        seed = request.left == 0
        name = (request.host, request.port)
        known = swarm.peers.pop(name, None)
        if request.event == "completed" and seed and not (known and known.seed):
            swarm.downloaded += 1
        # Two seeds have nothing to give each other.
        others = [peer for peer in swarm.peers.values() if not (peer.seed and seed)]
        if len(swarm.peers) >= self.limits.peers:
            swarm.peers.popitem(last=False)
        swarm.peers[name] = PeerEntry(request.host, request.port, request.peer_id, seed, now)
        wanted = DEFAULT_NUMWANT if request.numwant is None else request.numwant
        return self._pick(others, min(max(wanted, 0), self.limits.numwant, len(others))), swarm.counts()

    def scrape(self, hashes: Sequence[bytes], now: float) -> dict[bytes, Counts]:
        """Counts of the given swarms that are known here."""
        self._expire(now)
        found = {}
        for info_hash in hashes[: self.limits.scrape]:
            swarm = self._swarms.get(info_hash)
            if swarm is not None:
                self._expire_peers(swarm, now)
                found[info_hash] = swarm.counts()
        return found

    def _check(self, request: Announce) -> None:
        if len(request.info_hash) != 20:
            raise TrackerError("info_hash must have 20 bytes")
        if len(request.peer_id) != 20:
            raise TrackerError("peer_id must have 20 bytes")
        if not 0 < request.port < 65536:
            raise TrackerError("port must be 1 to 65535")
        if request.event not in EVENTS:
            raise TrackerError("unknown event")
        if self._allowed is not None and request.info_hash not in self._allowed:
            raise TrackerError("this torrent is not served here")

    def _enter(self, info_hash: bytes, now: float) -> _Swarm:
        swarm = self._swarms.pop(info_hash, None)
        if swarm is None:
            if len(self._swarms) >= self.limits.swarms:
                self._swarms.popitem(last=False)
            swarm = _Swarm()
        self._swarms[info_hash] = swarm
        swarm.seen = now
        self._expire_peers(swarm, now)
        return swarm

    def _leave(self, request: Announce, now: float) -> Counts:
        swarm = self._swarms.get(request.info_hash)
        if swarm is None:
            return Counts(0, 0, 0)
        self._expire_peers(swarm, now)
        swarm.peers.pop((request.host, request.port), None)
        return swarm.counts()

    def _expire(self, now: float) -> None:
        while self._swarms:
            info_hash, swarm = next(iter(self._swarms.items()))
            if now - swarm.seen <= self.limits.expiry:
                return
            del self._swarms[info_hash]

    def _expire_peers(self, swarm: _Swarm, now: float) -> None:
        while swarm.peers:
            name, peer = next(iter(swarm.peers.items()))
            if now - peer.seen <= self.limits.expiry:
                return
            del swarm.peers[name]


def compact(peers: Iterable[PeerEntry]) -> tuple[bytes, bytes]:
    """(BEP 23 `peers`, BEP 7 `peers6`): 6 or 18 bytes a peer."""
    v4, v6 = bytearray(), bytearray()
    for peer in peers:
        address = ipaddress.ip_address(peer.host)
        (v4 if address.version == 4 else v6).extend(address.packed + peer.port.to_bytes(2, "big"))
    return bytes(v4), bytes(v6)
