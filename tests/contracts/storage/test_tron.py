"""The storage market on TRON: proofs, vouchers and challenges with the same signatures and the same trees."""

from __future__ import annotations

import pytest

from tests.contracts.bench import key
from tests.contracts.storage.bench import ANSWER_PERIOD, BLOCK, BOND, EPOCH, Shard, Terms, refused
from tests.contracts.storage.tron import TronStorageBench

RENTER, HOST, PAYEE, AUDITOR = (key(number) for number in range(31, 35))
SHARD = Shard(2 * BLOCK + 100)
PRICE, COLLATERAL, EPOCHS = 10, 61, 3


@pytest.fixture
def bench() -> TronStorageBench:
    bench = TronStorageBench([RENTER, HOST, AUDITOR])
    for owner in (RENTER, HOST, AUDITOR):
        bench.fund(owner, 1000)
    return bench


@pytest.fixture
def terms(bench: TronStorageBench) -> Terms:
    """A contract in force, from now on."""
    people = (RENTER.address, HOST.address, PAYEE.address, AUDITOR.address)
    terms = Terms(SHARD.root, SHARD.length, *people, bench.now + 10, EPOCHS, EPOCH, PRICE, COLLATERAL)
    digest = terms.id(bench.separator)
    assert bench.market.read("digest", terms) == digest
    bench.market.send(AUDITOR, "open", terms, RENTER.sign_digest(digest), HOST.sign_digest(digest))
    bench.now = terms.start
    return terms


def balances(bench: TronStorageBench) -> list[int]:
    people = (RENTER, HOST, PAYEE, AUDITOR)
    return [bench.market.read("balance", person.address) for person in people]


def test_a_proof_and_a_voucher_pay_a_host_to_the_end(bench: TronStorageBench, terms: Terms) -> None:
    bench.now = terms.start + EPOCH
    index = bench.begin_proof(terms, HOST)
    assert bench.market.read("chosen", terms) == (0, index)
    with refused("BadProof"):
        bench.market.send(HOST, "prove", terms, *SHARD.proof((index + 1) % SHARD.blocks))
    bench.market.send(HOST, "prove", terms, *SHARD.proof(index))
    assert balances(bench)[2] == PRICE
    bench.now = terms.start + EPOCHS * EPOCH
    voucher = AUDITOR.sign_digest(terms.voucher(bench.separator, EPOCHS))
    bench.market.send(HOST, "settle", terms, EPOCHS, voucher)
    assert balances(bench) == [1000 - EPOCHS * PRICE, 1000, EPOCHS * PRICE, 1000]
    with refused("WrongStatus"):
        bench.market.send(HOST, "settle", terms, EPOCHS, voucher)


def test_a_challenge_is_answered_or_costs_the_collateral(bench: TronStorageBench, terms: Terms) -> None:
    bench.market.send(AUDITOR, "challenge", terms, 2)
    bench.market.send(HOST, "answer", terms, *SHARD.proof(2))
    assert balances(bench)[2:] == [BOND, 1000 - BOND]
    bench.market.send(AUDITOR, "challenge", terms, 1)
    bench.now += ANSWER_PERIOD + 1
    with refused("TooLate"):
        bench.market.send(HOST, "answer", terms, *SHARD.proof(1))
    bench.market.send(AUDITOR, "fail", terms)
    assert balances(bench) == [1000 + COLLATERAL, 1000 - COLLATERAL, BOND, 1000 - BOND]
    for owner, amount in zip((RENTER, HOST), balances(bench), strict=False):
        bench.market.send(owner, "withdraw", amount, owner.address)
        assert bench.token.read("balanceOf", owner.address) == amount
