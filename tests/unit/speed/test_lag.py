"""The lag's promises: what weights get wrong is paid back, exactly, and nobody is owed more than somebody else had."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.speed.allocation import Allocator, Peer
from node.speed.lag import HORIZON, OWED_DIVISOR, Lags, Served

MB = 10**6
CAPACITY = 20 * MB
CONTENDED = [Peer("a", 10 * MB), Peer("b", 6 * MB), Peer("c"), Peer("d")]


class Line:
    """A line that keeps to weights only roughly: each peer uses a part of its weight, others take what it leaves.

    `step`: counters move by so many bytes at a time, wherever a peer's happens to stand.
    """

    def __init__(self, effort: dict[str, float], step: int, seed: int) -> None:
        self.effort = effort
        self.step = step
        self.true = dict.fromkeys(effort, 0.0)
        self.offset = {key: random.Random(seed + n).randrange(step) for n, key in enumerate(effort)}

    def second(self, weights: dict[str, int]) -> dict[str, int]:
        """Bytes counted by then for each peer."""
        pull = {key: weights[key] * effort for key, effort in self.effort.items()}
        for key, part in pull.items():
            self.true[key] += CAPACITY * part / sum(pull.values())
        return {key: (int(sent) + self.offset[key]) // self.step * self.step for key, sent in self.true.items()}


def run(line: Line, rounds: int) -> list[dict[str, float]]:
    """Rounds of the market's loop; returns what each peer had really been sent after each."""
    allocator, lags = Allocator[str](), Lags[str]()
    weights = dict.fromkeys(line.effort, 1)
    counted = dict.fromkeys(line.effort, 0)
    seen = []
    for _ in range(rounds):
        peers = [Peer(peer.key, peer.granted, owed=lags.owed(peer.key)) for peer in CONTENDED]
        result = allocator.update(CAPACITY, peers)
        weights |= {key: policy.priority for key, policy in result.changes.items()}
        now = line.second(weights)
        lags.observe([Served(key, target, now[key] - counted[key]) for key, target in result.targets.items()])
        counted = now
        seen.append(dict(line.true))
    return seen


@given(
    st.fixed_dictionaries({key: st.floats(0.9, 1.0) for key in "abcd"}),
    st.integers(1, 300_000),
    st.integers(0, 100),
)
def test_over_ten_seconds_every_share_is_within_two_percent(effort: dict[str, float], step: int, seed: int) -> None:
    seen = run(Line(effort, step, seed), 50)
    for start in range(20, 40):
        for key, target in {"a": 10, "b": 6}.items():
            assert (seen[start + 10][key] - seen[start][key]) / 10 / MB == pytest.approx(target, rel=0.02)
        free = sum(seen[start + 10][key] - seen[start][key] for key in "cd")
        assert free / 10 / MB == pytest.approx(4, rel=0.02)


def test_a_line_that_keeps_to_the_weights_is_left_alone() -> None:
    allocator, lags = Allocator[str](), Lags[str]()
    targets = allocator.update(CAPACITY, CONTENDED).targets
    for _ in range(20):
        lags.observe([Served(key, target, target) for key, target in targets.items()])
        peers = [Peer(peer.key, peer.granted, owed=lags.owed(peer.key)) for peer in CONTENDED]
        assert not allocator.update(CAPACITY, peers).changes


rounds_of_three = st.lists(st.tuples(*[st.integers(0, 5 * MB)] * 3), min_size=1, max_size=20)


@given(rounds_of_three, st.tuples(*[st.integers(1, 10 * MB)] * 3))
def test_a_lag_is_bounded_and_paid_back_in_time(rounds: list[tuple[int, ...]], targets: tuple[int, ...]) -> None:
    lags = Lags[int]()
    for sent in rounds:
        lags.observe([Served(key, targets[key], sent[key]) for key in range(3)])
        for key in range(3):
            assert abs(lags.lag(key)) * OWED_DIVISOR <= targets[key] * HORIZON
            assert lags.owed(key) * HORIZON <= lags.lag(key)


@given(st.tuples(*[st.integers(0, 5 * MB)] * 3))
def test_what_one_is_owed_others_had(sent: tuple[int, ...]) -> None:
    lags = Lags[int]()
    lags.observe([Served(key, 100 * MB, sent[key]) for key in range(3)])
    assert -3 < sum(lags.lag(key) for key in range(3)) <= 0


def test_a_line_slower_than_expected_owes_nobody() -> None:
    lags = Lags[str]()
    lags.observe([Served("a", 10 * MB, 5 * MB), Served("b", 6 * MB, 3 * MB)])
    assert (lags.lag("a"), lags.lag("b")) == (0, 0)


def test_whoever_does_not_take_part_is_forgotten() -> None:
    lags = Lags[str]()
    lags.observe([Served("a", MB, MB // 2), Served("b", MB, MB)])
    assert lags.lag("a") > 0
    lags.observe([Served("b", MB, MB)])
    assert lags.lag("a") == 0
    lags.observe([])
    assert lags.lag("b") == 0
