"""What the registry of hosts promises, one promise per test, on the real bytecode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from node.devnet.chain import Chain, ChainSettings
from tests.contracts.bench import NOBODY, START, Contract, create, greedy_token, key
from tests.contracts.storage.bench import refused

ALICE, SIGNER, CAROL = (key(number) for number in range(51, 54))
MIN_STAKE, NOTICE = 100, 1000
URL, TABLE = "https://host.example:8443", b"\x07" * 32
TYPES = ["address", "uint256", "uint256"]


class Bench(NamedTuple):
    chain: Chain
    token: Contract
    registry: Contract
    clock: list[int]


@pytest.fixture(scope="module")
def shared() -> Bench:
    clock = [START]
    chain = Chain(ChainSettings(gas_price=0), clock=lambda: clock[0])
    token = create(chain, "TestBTT", ["string", "string"], ["Test BTT", "BTT"])
    registry = create(chain, "HostRegistry", TYPES, [token.address, MIN_STAKE, NOTICE])
    token.send(ALICE, "mint", ALICE.address, 1000)
    token.send(ALICE, "approve", registry.address, 2**256 - 1)
    return Bench(chain, token, registry, clock)


@pytest.fixture
def bench(shared: Bench) -> Iterator[Bench]:
    """Alice has 1000 units and the registry's allowance for them."""
    snapshot = shared.chain.snapshot()
    yield shared
    shared.chain.revert(snapshot)
    shared.clock[0] = START


def register(bench: Bench, amount: int = MIN_STAKE, url: str = URL) -> list[tuple[str, tuple[object, ...]]]:
    return bench.registry.send(ALICE, "register", amount, SIGNER.address, url, TABLE).events


def test_one_call_stakes_and_tells_all_that_discovery_needs(bench: Bench) -> None:
    assert register(bench, 150) == [
        ("Staked", (ALICE.address, 150, 150)),
        ("Announced", (ALICE.address, SIGNER.address, URL, TABLE)),
    ]
    assert bench.registry.read("hostOf", ALICE.address) == (150, 0)


def test_a_host_says_anew_where_it_is_without_staking_again(bench: Bench) -> None:
    register(bench)
    receipt = bench.registry.send(ALICE, "announce", ALICE.address, "http://[2001:db8::1]/", bytes(32))
    assert receipt.events == [("Announced", (ALICE.address, ALICE.address, "http://[2001:db8::1]/", bytes(32)))]


def test_a_name_costs_a_stake(bench: Bench) -> None:
    with refused("StakeTooSmall", MIN_STAKE - 1, MIN_STAKE):
        register(bench, MIN_STAKE - 1)
    with refused("StakeTooSmall", 0, MIN_STAKE):
        bench.registry.send(CAROL, "announce", SIGNER.address, URL, TABLE)
    bench.registry.send(ALICE, "stake", MIN_STAKE - 1)
    assert bench.registry.send(ALICE, "stake", 1).events == [("Staked", (ALICE.address, 1, MIN_STAKE))]
    bench.registry.send(ALICE, "announce", SIGNER.address, URL, TABLE)


def test_where_no_stake_is_asked_for_a_host_puts_down_something_all_the_same(bench: Bench) -> None:
    registry = create(bench.chain, "HostRegistry", TYPES, [bench.token.address, 0, NOTICE])
    with refused("StakeTooSmall", 0, 0):
        registry.send(ALICE, "announce", SIGNER.address, URL, TABLE)


@pytest.mark.parametrize("length", [1, 256])
def test_an_endpoint_may_have_1_to_256_bytes(bench: Bench, length: int) -> None:
    register(bench, url="x" * length)


@pytest.mark.parametrize("length", [0, 257])
def test_an_endpoint_of_another_length_is_refused(bench: Bench, length: int) -> None:
    with refused("BadEndpoint", length):
        register(bench, url="x" * length)


def test_nobody_cannot_sign_for_a_host_and_nothing_is_no_stake(bench: Bench) -> None:
    register(bench)
    with refused("BadAddress", NOBODY):
        bench.registry.send(ALICE, "announce", NOBODY, URL, TABLE)
    with refused("NothingThere"):
        bench.registry.send(ALICE, "stake", 0)


def test_a_stake_comes_back_whole_after_its_notice(bench: Bench) -> None:
    register(bench, 150)
    leaves = START + NOTICE
    assert bench.registry.send(ALICE, "beginExit").events == [("ExitBegun", (ALICE.address, leaves))]
    bench.clock[0] = leaves - 1
    with refused("NotYet", leaves):
        bench.registry.send(ALICE, "withdraw", CAROL.address)
    bench.clock[0] = leaves
    for lost in (NOBODY, bench.registry.address):
        with refused("BadAddress", lost):
            bench.registry.send(ALICE, "withdraw", lost)
    receipt = bench.registry.send(ALICE, "withdraw", CAROL.address)
    assert receipt.events == [("Withdrawn", (ALICE.address, CAROL.address, 150))]
    assert bench.token.read("balanceOf", CAROL.address) == 150
    assert bench.token.read("balanceOf", bench.registry.address) == 0
    with refused("NotLeaving"):
        bench.registry.send(ALICE, "withdraw", CAROL.address)
    register(bench)  # and it may come back


def test_a_leaving_host_neither_stakes_nor_announces_until_it_stays(bench: Bench) -> None:
    with refused("NothingThere"):
        bench.registry.send(ALICE, "beginExit")
    with refused("NotLeaving"):
        bench.registry.send(ALICE, "cancelExit")
    register(bench)
    bench.registry.send(ALICE, "beginExit")
    leaves = START + NOTICE
    with refused("Leaving", leaves):
        bench.registry.send(ALICE, "stake", 1)
    with refused("Leaving", leaves):
        bench.registry.send(ALICE, "announce", SIGNER.address, URL, TABLE)
    with refused("Leaving", leaves):
        bench.registry.send(ALICE, "beginExit")
    assert bench.registry.send(ALICE, "cancelExit").events == [("ExitCancelled", (ALICE.address,))]
    bench.registry.send(ALICE, "announce", SIGNER.address, URL, TABLE)
    with refused("NotLeaving"):
        bench.registry.send(ALICE, "withdraw", ALICE.address)


def test_what_arrives_counts_not_what_was_sent(bench: Bench) -> None:
    registry = create(bench.chain, "HostRegistry", TYPES, [greedy_token(bench.chain), 90, NOTICE])
    registry.send(ALICE, "register", 100, SIGNER.address, URL, TABLE)
    assert registry.read("hostOf", ALICE.address) == (90, 0)


@pytest.mark.parametrize("arguments", [(NOBODY, 1), (None, 365 * 86_400 + 1)])
def test_a_registry_needs_a_token_and_a_sensible_notice_period(bench: Bench, arguments: tuple[object, int]) -> None:
    token, notice = arguments
    with pytest.raises(AssertionError, match="not deployed"):
        create(bench.chain, "HostRegistry", TYPES, [token or bench.token.address, MIN_STAKE, notice])
