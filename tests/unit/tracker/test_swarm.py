"""The tracker's promises: peers find each other, memory is bounded, and nobody can point it at a stranger."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.tracker.swarm import Announce, Counts, Limits, PeerEntry, Swarms, TrackerError, compact

HASH = bytes(range(20))
OTHER = bytes(20)
EXPIRY = Limits().expiry
SMALL = Limits(expiry=10, swarms=3, peers=4, numwant=3, scrape=2)


def announce(
    port: int, *, left: int | None = 1, event: str = "", info_hash: bytes = HASH, numwant: int | None = None
) -> Announce:
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
    assert swarms.scrape([HASH, OTHER], 0).keys() == {HASH}


@pytest.mark.parametrize("left", [1, None])
def test_who_lacks_data_or_does_not_know_is_a_leecher(left: int | None) -> None:
    assert Swarms().announce(announce(1, left=left), 0)[1] == Counts(0, 1, 0)


def test_one_peer_finishes_once() -> None:
    swarms = Swarms()
    for event in ("started", "completed", "completed", "", "completed"):
        swarms.announce(announce(1, left=1 if event == "started" else 0, event=event), 0)
    assert swarms.scrape([HASH], 0)[HASH] == Counts(1, 0, 1)


def test_who_stops_or_falls_silent_is_forgotten() -> None:
    swarms = Swarms()
    swarms.announce(announce(1), 0)
    swarms.announce(announce(2), 0)
    swarms.announce(announce(2, event="stopped"), 1)
    assert ports(swarms, announce(3), 2) == {1}
    assert ports(swarms, announce(4), EXPIRY + 1.5) == {3}


def test_a_client_that_restarts_replaces_itself() -> None:
    swarms = Swarms()
    swarms.announce(announce(1), 0)
    swarms.announce(replace(announce(1), peer_id=b"-XX0000-" + bytes(11) + b"2"), 1)
    (peer,), counts = swarms.announce(announce(2), 1)
    assert peer.peer_id.endswith(b"2")
    assert counts.incomplete == 2


def test_stopping_in_a_swarm_nobody_is_in_leaves_no_trace() -> None:
    swarms = Swarms()
    assert swarms.announce(announce(1, event="stopped"), 0) == ([], Counts(0, 0, 0))
    assert swarms.scrape([HASH], 0) == {}


def test_a_swarm_that_fell_silent_is_forgotten_with_its_downloads() -> None:
    swarms = Swarms()
    swarms.announce(announce(1, left=0, event="completed"), 0)
    swarms.announce(announce(1, event="stopped"), 1)
    assert swarms.scrape([HASH], EXPIRY) == {HASH: Counts(0, 0, 1)}
    assert swarms.scrape([HASH], EXPIRY + 1) == {}


def test_a_full_swarm_lets_go_of_its_most_silent_peer() -> None:
    swarms = Swarms(limits=SMALL)
    for now, port in enumerate((1, 2, 3, 4, 1, 5)):
        swarms.announce(announce(port), now)
    assert swarms.scrape([HASH], 6)[HASH].incomplete == SMALL.peers
    assert ports(swarms, announce(2, numwant=99), 6) <= {1, 3, 4, 5}


def test_a_full_tracker_lets_go_of_its_most_silent_swarm() -> None:
    swarms = Swarms(limits=SMALL)
    hashes = [number.to_bytes(20, "big") for number in range(4)]
    for now, number in enumerate((0, 1, 2, 0, 3)):
        swarms.announce(announce(1, info_hash=hashes[number]), now)
    assert [bool(swarms.scrape([info_hash], 5)) for info_hash in hashes] == [True, False, True, True]


def test_answers_are_bounded_whatever_is_wanted() -> None:
    swarms = Swarms(limits=SMALL)
    for port in range(1, 5):
        swarms.announce(announce(port), 0)
    for wanted, got in ((0, 0), (1, 1), (3, 3), (10**9, 3), (-5, 0), (None, 3)):
        assert len(ports(swarms, announce(1, numwant=wanted))) == got
    assert len(swarms.scrape([HASH, HASH, OTHER] * 100, 0)) == 1
    assert swarms.scrape([OTHER, OTHER, HASH], 0) == {}


def test_the_answer_is_drawn_from_the_whole_swarm() -> None:
    swarms = Swarms(pick=random.Random(5).sample)
    for port in range(1, 101):
        swarms.announce(announce(port), 0)
    seen = set[int]()
    for _ in range(100):
        seen |= ports(swarms, announce(1, numwant=10))
    assert len(seen) > 90


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "started", "stopped", "completed"]),
            st.integers(1, 6),
            st.integers(0, 1),
            st.integers(0, 3),
            st.integers(0, 6),
        ),
        max_size=60,
    )
)
def test_any_history_answers_only_living_strangers_within_the_bounds(
    steps: list[tuple[str, int, int, int, int]],
) -> None:
    """Against a model that keeps the last word of every peer for ever."""
    swarms, now = Swarms(limits=SMALL), 0
    last: dict[tuple[int, int], tuple[str, int, int]] = {}
    for event, port, left, torrent, pause in steps:
        now += pause
        request = announce(port, left=left, event=event, info_hash=bytes([torrent]) * 20)
        peers, counts = swarms.announce(request, now)
        assert len(peers) <= SMALL.numwant
        assert counts.complete + counts.incomplete <= SMALL.peers
        for peer in peers:
            said, its_left, when = last[torrent, peer.port]
            assert peer.port != port
            assert said != "stopped"
            assert now - when <= SMALL.expiry
            assert peer.seed == (its_left == 0)
            assert not (peer.seed and left == 0)
        last[torrent, port] = (event, left, now)
        assert sum(len(swarms.scrape([bytes([n]) * 20], now)) for n in range(4)) <= SMALL.swarms


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(announce(0), id="no port"),
        pytest.param(announce(70_000), id="large port"),
        pytest.param(announce(1, event="dance"), id="event"),
        pytest.param(announce(1, info_hash=b"short"), id="hash"),
        pytest.param(announce(1, info_hash=bytes(32)), id="whole v2 hash"),
        pytest.param(replace(announce(1), peer_id=b""), id="peer id"),
    ],
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
    """The form of BEP 23 and BEP 7: address and port in network order, one after the other."""
    hosts = ("192.0.2.1", "2001:db8::1", "192.0.2.2")
    v4, v6 = compact(PeerEntry(host, 0x1234 + number, HASH, False, 0) for number, host in enumerate(hosts))
    assert v4 == bytes([192, 0, 2, 1, 0x12, 0x34, 192, 0, 2, 2, 0x12, 0x36])
    assert v6 == bytes.fromhex("20010db8000000000000000000000001 1235")
