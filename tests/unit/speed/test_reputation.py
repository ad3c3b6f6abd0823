"""Reputation: own experience, fading; a bounce is remembered; nothing foreign gets in unchecked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.speed.reputation import (
    BAR_SECONDS,
    DAY,
    HALF_LIFE,
    MAX_BAR_DOUBLINGS,
    MAX_SCORE,
    NEUTRAL,
    Deed,
    Key,
    Reputation,
    trusted_window,
)
from wallet.address import Address
from wallet.amount import GIB, MIB

NOW = 20_000 * DAY
PEER = Key("eip155:199", Address(b"\x11" * 20))
GOOD = (Deed.DELIVERED, Deed.BOUGHT)
BAD = (Deed.FAILED, Deed.OVERCOUNTED, Deed.UNPAID, Deed.STOPS)
deeds = st.lists(st.tuples(st.sampled_from([*GOOD, *BAD]), st.integers(0, GIB)), max_size=12)


def peer(number: int) -> Key:
    return Key("eip155:199", Address(number.to_bytes(20, "big")))


def test_a_stranger_is_neutral() -> None:
    book = Reputation()
    assert book.score(PEER, NOW) == NEUTRAL
    assert book.barred_until(PEER, NOW) is None


@given(deeds, st.sampled_from(GOOD), st.sampled_from(BAD), st.integers(1, GIB))
def test_good_deeds_never_lower_the_score_and_bad_ones_never_raise_it(
    history: list[tuple[Deed, int]], good: Deed, bad: Deed, amount: int
) -> None:
    book = Reputation()
    for deed, size in history:
        book.note(PEER, deed, size, NOW)
    before = book.score(PEER, NOW)
    book.note(PEER, good, amount, NOW)
    better = book.score(PEER, NOW)
    book.note(PEER, bad, amount, NOW)
    assert before <= better <= MAX_SCORE
    assert 0 <= book.score(PEER, NOW) <= better


def test_tallies_halve_with_each_half_life() -> None:
    book = Reputation()
    book.note(PEER, Deed.DELIVERED, 1000, NOW)
    book.note(PEER, Deed.FAILED, 8, NOW)
    found = [book.tallies(PEER, NOW + n * HALF_LIFE) for n in range(4)]
    assert [one.delivered for one in found] == [1000, 500, 250, 125]
    assert [one.failed for one in found] == [8, 4, 2, 1]


@given(st.lists(st.integers(0, 10 * DAY), max_size=20))
def test_reading_often_changes_nothing(pauses: list[int]) -> None:
    often, once = Reputation(), Reputation()
    for book in (often, once):
        book.note(PEER, Deed.DELIVERED, GIB, NOW)
    now = NOW
    for pause in pauses:
        now += pause
        often.score(PEER, now)
    assert often.tallies(PEER, now) == once.tallies(PEER, now)


def test_a_bounce_bars_from_paid_service_and_longer_each_time() -> None:
    book = Reputation()
    assert book.bounced(PEER, NOW) == NOW + BAR_SECONDS
    assert book.barred_until(PEER, NOW + BAR_SECONDS - 1) == NOW + BAR_SECONDS
    assert book.score(PEER, NOW) == 0
    assert book.barred_until(PEER, NOW + BAR_SECONDS) is None
    assert book.bounced(PEER, NOW) == NOW + 2 * BAR_SECONDS
    for _ in range(20):
        book.bounced(PEER, NOW)
    assert book.barred_until(PEER, NOW) == NOW + (BAR_SECONDS << MAX_BAR_DOUBLINGS)


def test_a_bounce_made_good_lifts_the_bar_and_is_remembered() -> None:
    book = Reputation()
    book.bounced(PEER, NOW)
    book.made_good(PEER)
    assert book.barred_until(PEER, NOW) is None
    assert book.bounces(PEER) == 1
    assert book.score(PEER, NOW) < NEUTRAL


def test_a_flood_of_strangers_does_not_wash_a_bounce_away() -> None:
    book = Reputation(capacity=10)
    book.bounced(PEER, NOW)
    for n in range(1, 200):
        book.note(peer(n), Deed.DELIVERED, MIB, NOW)
    assert len(book) == 10
    assert book.bounces(PEER) == 1
    assert book.barred_until(PEER, NOW) is not None


@given(deeds, st.integers(0, 3))
def test_what_is_kept_comes_back_the_same(history: list[tuple[Deed, int]], bounces: int) -> None:
    book, copy = Reputation(), Reputation()
    for deed, size in history:
        book.note(PEER, deed, size, NOW)
    for _ in range(bounces):
        book.bounced(PEER, NOW)
    copy.restore(book.changes().records)
    later = NOW + DAY
    for ask in (Reputation.tallies, Reputation.score, Reputation.barred_until):
        assert ask(copy, PEER, later) == ask(book, PEER, later)
    assert (copy.bounces(PEER), copy.met_at(PEER)) == (book.bounces(PEER), book.met_at(PEER))


def test_changes_are_told_once_and_again_where_they_could_not_be_kept() -> None:
    book = Reputation(capacity=2)
    for n in (1, 2, 3):
        book.note(peer(n), Deed.DELIVERED, MIB, NOW)
    found = book.changes()
    assert {kept.address for kept in found.records} == {peer(2).address, peer(3).address}
    assert found.forgotten == (peer(1),)
    assert book.changes() == ((), ())
    book.not_kept(found)
    again = book.changes()
    assert (set(again.records), again.forgotten) == (set(found.records), found.forgotten)
    book.bounced(peer(2), NOW)
    book.made_good(peer(2))
    assert [kept.barred_until for kept in book.changes().records] == [0]


def test_a_smaller_book_takes_over_those_met_last_and_the_bounces() -> None:
    book, small = Reputation(), Reputation(capacity=3)
    book.bounced(PEER, NOW)
    for n in range(4):
        book.note(peer(n), Deed.DELIVERED, MIB, NOW + n)
    small.restore(book.changes().records)
    assert set(small) == {PEER, peer(2), peer(3)}


def test_credit_shrinks_with_the_score_and_never_grows_beyond_history() -> None:
    found = [trusted_window(MIB, 101 * MIB, score) for score in (0, 1, 250, NEUTRAL, MAX_SCORE)]
    assert found == [0, MIB + 100 * MIB // 500, 51 * MIB, 101 * MIB, 101 * MIB]
    assert trusted_window(MIB, MIB // 2, 250) == MIB // 2
