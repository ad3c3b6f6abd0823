"""Placement's promises: distinct owners and networks, as cheap as possible, the same every time, and a reason each."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.storage.placement import MAX_CANDIDATES, Candidate, Placement, Request, choose, network_of
from node.storage.terms import DAY
from tests.unit.storage.samples import NOW, table
from wallet.address import Address
from wallet.amount import GIB

REQUEST = Request(id=b"\x42" * 32, shards=3, length=GIB, seconds=30 * DAY, max_price=10**18)


def candidate(number: int, owner: int, network: int, price: int = 1000, score: int = 500) -> Candidate:
    terms = replace(table(storage_price=price, host=_address(number)), payee=_address(1_000_000 + owner))
    terms = replace(terms, upload_price=0, download_price=0)
    return Candidate(terms, f"4:{network:06x}", score)


def _address(number: int) -> Address:
    return Address((number + 1).to_bytes(20, "big"))


def cost(placement: tuple[Candidate, ...] | Placement) -> int:
    chosen = placement.chosen if isinstance(placement, Placement) else placement
    return sum(each.table.storage_price for each in chosen)


def distinct(chosen: tuple[Candidate, ...]) -> bool:
    return len({each.owner for each in chosen}) == len({each.network for each in chosen}) == len(chosen)


@st.composite
def crowds(draw: st.DrawFn) -> list[Candidate]:
    edges = draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 50)), max_size=9))
    return [candidate(number, *edge) for number, edge in enumerate(edges)]


@settings(max_examples=150)
@given(crowds(), st.integers(1, 5))
def test_the_choice_is_the_cheapest_of_the_largest_permitted(crowd: list[Candidate], wanted: int) -> None:
    found = choose(replace(REQUEST, shards=wanted), crowd, NOW)
    assert distinct(found.chosen)
    assert found.missing == wanted - len(found.chosen)
    best = max(size for size in range(wanted + 1) if any(map(distinct, combinations(crowd, size))))
    assert len(found.chosen) == best
    assert cost(found) == min(cost(each) for each in combinations(crowd, best) if distinct(each))


@given(crowds(), st.integers(1, 5), st.integers())
def test_the_choice_does_not_depend_on_the_order_and_everyone_else_has_a_reason(
    crowd: list[Candidate], wanted: int, seed: int
) -> None:
    request = replace(REQUEST, shards=wanted)
    found = choose(request, crowd, NOW)
    shuffled = list(crowd)
    Random(seed).shuffle(shuffled)
    assert choose(request, shuffled, NOW) == found
    assert {each.host for each in crowd} == {each.host for each in found.chosen} | found.refused.keys()
    assert not {each.host for each in found.chosen} & found.refused.keys()


def test_a_choice_is_found_where_greed_finds_none() -> None:
    blocker, left, right = candidate(0, 0, 0, price=1), candidate(1, 0, 1), candidate(2, 1, 0)
    found = choose(replace(REQUEST, shards=2), [blocker, left, right], NOW)
    assert set(found.chosen) == {left, right}
    assert "same owner" in found.refused[blocker.host]


def test_a_sybil_in_one_network_gets_one_shard() -> None:
    sybils = [candidate(number, number, 7, price=1) for number in range(50)]
    honest = [candidate(100 + number, 100 + number, 100 + number, price=900) for number in range(5)]
    found = choose(replace(REQUEST, shards=5), sybils + honest, NOW)
    assert sum(each.network == "4:000007" for each in found.chosen) == 1
    assert found.missing == 0


def test_half_the_score_must_be_less_than_half_the_price() -> None:
    good, cheap = candidate(0, 0, 0, price=1000, score=1000), candidate(1, 1, 1, price=501, score=500)
    one = replace(REQUEST, shards=1)
    assert choose(one, [good, cheap], NOW).chosen == (good,)
    cheaper = candidate(1, 1, 1, price=499, score=500)
    assert choose(one, [good, cheaper], NOW).chosen == (cheaper,)


def test_the_whole_term_is_compared_with_its_upload_and_audits() -> None:
    plain, cheap = candidate(0, 0, 0, price=1000), candidate(1, 1, 1, price=10)
    one = replace(REQUEST, shards=1, seconds=10 * DAY)
    assert choose(one, [plain, cheap], NOW).chosen == (cheap,)
    for dear in (  # per MiB: over 10 days, or 58 blocks a day
        replace(cheap, table=replace(cheap.table, upload_price=10)),
        replace(cheap, table=replace(cheap.table, download_price=1100)),
    ):
        assert choose(one, [plain, dear], NOW).chosen == (plain,)
    patient = replace(one, seconds=200 * DAY)
    dear = replace(cheap, table=replace(cheap.table, upload_price=10))
    assert choose(patient, [plain, dear], NOW).chosen == (dear,), "an upload is paid once"


def test_equal_hosts_share_the_objects() -> None:
    crowd = [candidate(number, number, number) for number in range(10)]
    firsts = {
        choose(replace(REQUEST, shards=1, id=number.to_bytes(32, "big")), crowd, NOW).chosen[0].host
        for number in range(100)
    }
    assert len(firsts) == 10


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"storage_price": 10**18 + 1}, "too dear"),
        ({"storage_price": 10**18, "upload_price": 1}, "all in: too dear"),
        ({"storage_price": 10**18, "download_price": 1}, "all in: too dear"),
        ({"free": GIB - 1}, "1 GiB are needed"),
        ({"min_epochs": 31}, "or more"),
        ({"max_epochs": 29}, "at most"),
        ({"until": NOW}, "expired"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_hosts_that_cannot_take_a_shard_are_refused_with_the_reason(change: dict[str, Any], reason: str) -> None:
    host = candidate(0, 0, 0)
    host = replace(host, table=replace(host.table, **change))
    assert reason in choose(REQUEST, [host], NOW).refused[host.host]


def test_bad_scores_and_places_that_have_a_shard_are_refused() -> None:
    host = candidate(0, 0, 0)
    for request, given_host, reason in (
        (REQUEST, replace(host, score=199), "below 200"),
        (replace(REQUEST, owners={host.owner}), host, "its owner has another shard"),
        (replace(REQUEST, networks={host.network}), host, "its network has another shard"),
    ):
        placement = choose(request, [given_host], NOW)
        assert reason in placement.refused[host.host]
        assert (placement.chosen, placement.missing) == ((), 3)


def test_more_hosts_than_can_be_looked_at_are_told_so() -> None:
    crowd = [candidate(number, number, number) for number in range(MAX_CANDIDATES + 1)]
    found = choose(REQUEST, crowd, NOW)
    assert found.missing == 0
    assert "other hosts were looked at" in found.refused[crowd[-1].host]


def test_networks_are_24_bits_of_ipv4_and_48_of_ipv6() -> None:
    assert network_of("192.0.2.1") == network_of("192.0.2.254") == network_of("::ffff:192.0.2.9")
    assert network_of("192.0.2.1") != network_of("192.0.3.1")
    assert network_of("2001:db8:1::1") == network_of("2001:db8:1:ffff::1") != network_of("2001:db8:2::1")
    with pytest.raises(ValueError, match="appear"):
        network_of("host.example")
