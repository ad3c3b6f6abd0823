"""The tracker's promises: peers find each other, memory is bounded, and nobody can point it at a stranger."""

from __future__ import annotations

from urllib.parse import quote

import aiohttp
import pytest

from node.bencode import decode
from node.tracker.server import TrackerServer
from node.tracker.swarm import Announce, Limits, Swarms, TrackerError, compact

HASH = bytes(range(20))


def announce(port: int, *, left: int = 1, event: str = "", info_hash: bytes = HASH, numwant: int = 50) -> Announce:
    return Announce(info_hash, b"-XX0000-" + bytes(12), "192.0.2.1", port, left, event, numwant)


def ports(swarms: Swarms, request: Announce, now: float = 0) -> set[int]:
    return {peer.port for peer in swarms.announce(request, now)[0]}


def test_peers_of_a_swarm_find_each_other_but_not_themselves() -> None:
    swarms = Swarms()
    assert ports(swarms, announce(1)) == set()
    assert ports(swarms, announce(2)) == {1}
    assert ports(swarms, announce(1)) == {2}
    assert ports(swarms, announce(3, info_hash=bytes(20))) == set()


def test_seeds_are_counted_and_not_sent_to_seeds() -> None:
    swarms = Swarms()
    swarms.announce(announce(1, left=0), 0)
    peers, counts = swarms.announce(announce(2, left=0, event="completed"), 0)
    assert peers == []
    assert (counts.complete, counts.incomplete, counts.downloaded) == (2, 0, 1)
    assert swarms.scrape([HASH, bytes(20)], 0).keys() == {HASH}


def test_who_stops_or_falls_silent_is_forgotten() -> None:
    swarms = Swarms()
    swarms.announce(announce(1), 0)
    swarms.announce(announce(2), 0)
    swarms.announce(announce(2, event="stopped"), 1)
    assert ports(swarms, announce(3), 2) == {1}
    assert ports(swarms, announce(4), Limits().expiry + 1.5) == {3}


def test_memory_is_bounded() -> None:
    swarms = Swarms()
    for port in range(1, Limits().peers + 100):
        swarms.announce(announce(port), 0)
    peers, counts = swarms.announce(announce(65_000, numwant=10**9), 0)
    assert counts.incomplete == Limits().peers
    assert len(peers) == Limits().numwant
    for number in range(Limits().swarms + 10):
        swarms.announce(announce(1, info_hash=number.to_bytes(20, "big")), 0)
    assert HASH not in swarms.scrape([HASH], 0)


@pytest.mark.parametrize(
    "bad",
    [announce(0), announce(70_000), announce(1, event="dance"), announce(1, info_hash=b"short")],
    ids=["no port", "large port", "event", "hash"],
)
def test_a_wrong_announce_is_refused(bad: Announce) -> None:
    with pytest.raises(TrackerError):
        Swarms().announce(bad, 0)


def test_a_private_tracker_serves_only_what_it_was_told() -> None:
    swarms = Swarms(frozenset([HASH]))
    swarms.announce(announce(1), 0)
    with pytest.raises(TrackerError, match="not served"):
        swarms.announce(announce(1, info_hash=bytes(20)), 0)


def test_compact_form_is_six_or_eighteen_bytes_a_peer() -> None:
    swarms = Swarms()
    swarms.announce(announce(0x1234), 0)
    swarms.announce(Announce(HASH, bytes(20), "2001:db8::1", 7, 1), 0)
    peers, _ = swarms.announce(announce(9), 0)
    v4, v6 = compact(peers)
    assert v4 == bytes([192, 0, 2, 1, 0x12, 0x34])
    assert len(v6) == 18


async def test_over_http_binary_hashes_and_failures_come_through() -> None:
    server = TrackerServer()
    await server.start()
    try:
        async with aiohttp.ClientSession() as session:

            async def ask(query: str, path: str = "announce") -> dict[bytes, object]:
                from yarl import URL

                url = URL(server.url.replace("announce", path) + "?" + query, encoded=True)
                async with session.get(url) as answer:
                    found = decode(await answer.read())
                    assert isinstance(found, dict)
                    return found

            base = f"info_hash={quote(HASH, safe='')}&peer_id={'a' * 20}"
            await ask(f"{base}&port=1000&left=5")
            found = await ask(f"{base}&port=2000&left=0&ip=127.0.0.9")
            assert found[b"peers"] == bytes([127, 0, 0, 1, 0x03, 0xE8])
            plain = await ask(f"{base}&port=1000&left=5&compact=0")
            assert plain[b"peers"] == [{b"ip": b"127.0.0.9", b"peer id": b"a" * 20, b"port": 2000}]
            assert b"failure reason" in await ask("port=1")
            assert b"failure reason" in await ask(f"{base}&port=x")
            scraped = await ask(f"info_hash={quote(HASH, safe='')}", "scrape")
            assert scraped == {b"files": {HASH: {b"complete": 1, b"downloaded": 0, b"incomplete": 1}}}
    finally:
        await server.close()
