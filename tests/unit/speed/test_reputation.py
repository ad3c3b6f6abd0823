"""Reputation: own experience, fading; a bounce is remembered; nothing foreign gets in unchecked."""

from __future__ import annotations

import json

import pytest
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
    ReputationError,
    trusted_window,
)
from wallet.address import Address
from wallet.amount import GIB, MIB

NOW = 20_000 * DAY
PEER = Key("eip155:199", Address(b"\x11" * 20))
GOOD = (Deed.DELIVERED, Deed.BOUGHT)
BAD = (Deed.FAILED, Deed.OVERCOUNTED, Deed.STOPS)
deeds = st.lists(st.tuples(st.sampled_from([*GOOD, *BAD]), st.integers(0, GIB)), max_size=12)


def peer(number: int) -> Key:
    return Key("eip155:199", Address(number.to_bytes(20, "big")))


def test_a_stranger_is_neutral() -> None:
    book = Reputation()
    assert book.score(PEER, NOW) == NEUTRAL
    assert book.serves(PEER, NOW)


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
    assert not book.serves(PEER, NOW + BAR_SECONDS - 1)
    assert book.score(PEER, NOW) == 0
    assert book.serves(PEER, NOW + BAR_SECONDS)
    assert book.bounced(PEER, NOW) == NOW + 2 * BAR_SECONDS
    for _ in range(20):
        book.bounced(PEER, NOW)
    assert not book.serves(PEER, NOW + (BAR_SECONDS << MAX_BAR_DOUBLINGS) - 1)
    assert book.serves(PEER, NOW + (BAR_SECONDS << MAX_BAR_DOUBLINGS))


def test_a_bounce_made_good_lifts_the_bar_and_is_remembered() -> None:
    book = Reputation()
    book.bounced(PEER, NOW)
    book.made_good(PEER)
    assert book.serves(PEER, NOW)
    assert book.bounces(PEER) == 1
    assert book.score(PEER, NOW) < NEUTRAL


def test_a_flood_of_strangers_does_not_wash_a_bounce_away() -> None:
    book = Reputation(capacity=10)
    book.bounced(PEER, NOW)
    for n in range(1, 200):
        book.note(peer(n), Deed.DELIVERED, MIB, NOW)
    assert len(book) == 10
    assert book.bounces(PEER) == 1
    assert not book.serves(PEER, NOW)


@given(deeds, st.integers(0, 3))
def test_what_is_exported_comes_back_the_same_through_json(history: list[tuple[Deed, int]], bounces: int) -> None:
    book, copy = Reputation(), Reputation()
    for deed, size in history:
        book.note(PEER, deed, size, NOW)
    for _ in range(bounces):
        book.bounced(PEER, NOW)
    rows = book.export(NOW + DAY)
    copy.load(json.loads(json.dumps(rows)), NOW + DAY)
    assert copy.export(NOW + DAY) == rows


@pytest.mark.parametrize(
    "spoilt",
    [
        {"rail": ""},
        {"rail": "x" * 200},
        {"address": "0x12"},
        {"delivered": -1},
        {"delivered": "1.5"},
        {"paid": "9" * 90},
        {"step": 10**9},
        {"bounces": True},
        {"barred_until": None},
    ],
)
def test_bad_data_is_refused_in_one_line_and_changes_nothing(spoilt: dict[str, object]) -> None:
    book = Reputation()
    book.bounced(PEER, NOW)
    rows = book.export(NOW)
    with pytest.raises(ReputationError, match=r"^record 1: [^\n]+$"):
        book.load([{**rows[0], **spoilt}], NOW)
    assert book.export(NOW) == rows


def test_more_records_than_fit_are_refused() -> None:
    book = Reputation()
    for n in range(3):
        book.note(peer(n), Deed.DELIVERED, MIB, NOW)
    with pytest.raises(ReputationError, match="more than 2 records"):
        Reputation(capacity=2).load(book.export(NOW), NOW)


def test_credit_shrinks_with_the_score_and_never_grows_beyond_history() -> None:
    found = [trusted_window(MIB, 101 * MIB, score) for score in (0, 1, 250, NEUTRAL, MAX_SCORE)]
    assert found == [0, MIB + 100 * MIB // 500, 51 * MIB, 101 * MIB, 101 * MIB]
    assert trusted_window(MIB, MIB // 2, 250) == MIB // 2
