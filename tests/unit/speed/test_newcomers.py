"""Identities are free, prefixes are not: many newcomers take no more than one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.speed.newcomers import LEAST_DRAW, NO_ADDRESS, Newcomers, prefix_of
from wallet.amount import MIB

HOUR = 3_600_000
hosts = st.sampled_from(["192.0.2.1", "192.0.2.200", "198.51.100.1", "203.0.113.9", "2001:db8:1::1", "2001:db8:2::1"])
events = st.tuples(
    hosts,
    st.integers(0, 5),
    st.integers(0, 2 * MIB),
    st.integers(0, HOUR // 4),
    st.sampled_from(["draw", "draw", "pay"]),
)


@pytest.mark.parametrize(
    ("host", "prefix"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("2002:c000:207::1", "192.0.2.0/24"),
        ("64:ff9b::c000:207", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("peer.example", NO_ADDRESS),
        ("", NO_ADDRESS),
    ],
)
def test_all_forms_of_an_address_have_one_prefix(host: str, prefix: str) -> None:
    assert prefix_of(host) == prefix


def test_ten_thousand_identities_of_one_prefix_take_one_window() -> None:
    newcomers = Newcomers()
    assert sum(newcomers.draw(f"192.0.2.{n % 256}", n, MIB, 0) for n in range(10_000)) == MIB
    assert newcomers.draw("198.51.100.1", "another", MIB, 0) == MIB


def test_a_draw_is_free_again_when_paid_or_given_back() -> None:
    newcomers = Newcomers()
    newcomers.draw("192.0.2.1", "a", MIB, 0)
    assert newcomers.draw("192.0.2.2", "b", MIB, 0) == 0
    newcomers.give_back("192.0.2.1", "a", MIB // 4, 0)
    assert newcomers.draw("192.0.2.2", "b", MIB, 0) == MIB // 4
    newcomers.give_back("192.0.2.1", "a", MIB, 0)
    assert newcomers.draw("192.0.2.2", "b", MIB, 0) == MIB


def test_time_releases_a_window_and_asking_again_never_starts_afresh() -> None:
    newcomers = Newcomers(release_ms=HOUR)
    assert newcomers.draw("192.0.2.1", "a", MIB, 0) == MIB
    assert newcomers.draw("192.0.2.1", "a", MIB, 0) == MIB
    assert newcomers.draw("192.0.2.1", "b", MIB, HOUR // 2) == MIB // 2
    assert newcomers.level("192.0.2.1", HOUR // 2) == MIB
    assert newcomers.level("192.0.2.1", 2 * HOUR) == 0


@given(st.lists(events, max_size=60), st.integers(1, 8))
def test_no_prefix_keeps_more_than_its_window_and_what_time_released_even_when_forgotten(
    script: list[tuple[str, int, int, int, str]], max_prefixes: int
) -> None:
    newcomers = Newcomers(release_ms=HOUR, max_prefixes=max_prefixes)
    taken: dict[str, int] = {}
    unpaid: dict[tuple[str, int], int] = {}
    now = 0
    for host, who, wanted, passed, what in script:
        now += passed
        prefix, key = prefix_of(host), (prefix_of(host), who)
        if what == "pay":
            newcomers.give_back(host, who, unpaid.get(key, 0), now)
            taken[prefix] = taken.get(prefix, 0) - unpaid.pop(key, 0)
            continue
        level = newcomers.level(host, now)
        newcomers.draw(host, who, wanted, now)
        more = newcomers.level(host, now) - level
        taken[prefix] = taken.get(prefix, 0) + more
        unpaid[key] = unpaid.get(key, 0) + more
        assert taken[prefix] <= MIB + MIB * now // HOUR + len(script)  # a byte of rounding per event
        assert len(newcomers) <= max_prefixes


def test_a_prefix_forgotten_with_a_full_bucket_comes_back_with_a_full_bucket() -> None:
    newcomers = Newcomers(max_prefixes=2)
    newcomers.draw("192.0.2.1", "a", MIB, 0)
    for third in range(10):
        newcomers.draw(f"198.51.{third}.1", "b", LEAST_DRAW, 0)
    assert newcomers.draw("192.0.2.1", "a2", MIB, 0) == 0


def test_memory_per_prefix_is_bounded_by_the_size_of_a_draw() -> None:
    newcomers = Newcomers(release_ms=HOUR)
    for n in range(5_000):
        newcomers.draw("192.0.2.1", n, LEAST_DRAW, n * 60_000)
    assert len(newcomers._buckets["192.0.2.0/24"].draws) <= MIB // LEAST_DRAW


@pytest.mark.parametrize("bad", [{"window": 1}, {"release_ms": 0}, {"max_prefixes": 0}])
def test_a_table_without_sense_is_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="newcomers"):
        Newcomers(**bad)
