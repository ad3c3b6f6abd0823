"""Challenges, and every way in which a contract ends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.storage.bench import (
    ANSWER_PERIOD,
    BLOCK,
    BOND,
    EPOCH,
    Shard,
    StorageBench,
    Terms,
    refused,
)
from tests.contracts.storage.case import (
    ACTIVE,
    AUDITOR,
    CANCELLED,
    COLLATERAL,
    COMPLETED,
    EPOCHS,
    ESCROW,
    FAILED,
    HOST,
    MALLORY,
    OTHER_HOST,
    PAYEE,
    PRICE,
    RENTER,
    SHARD,
    balances,
    go_to_epoch,
    offer,
    status,
)
from wallet.keys import PrivateKey

TAILED = Shard(2 * BLOCK + 64)
"""Its last block is as long as two hashes."""


# --- challenges -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asker", [RENTER, AUDITOR], ids=["renter", "auditor"])
def test_an_answered_challenge_pays_its_bond_to_the_payee(bench: StorageBench, terms: Terms, asker: PrivateKey) -> None:
    bench.now = terms.start
    before = bench.balance(asker)
    receipt = bench.market.send(asker, "challenge", terms, 2)
    id_ = terms.id(bench.separator)
    assert receipt.events == [("Challenged", (id_, asker.address, 2, bench.now + ANSWER_PERIOD))]
    bench.now += ANSWER_PERIOD
    with refused("BadProof"):
        bench.market.send(MALLORY, "answer", terms, *SHARD.proof(1))
    receipt = bench.market.send(MALLORY, "answer", terms, *SHARD.proof(2))
    assert receipt.events == [("Answered", (id_, PAYEE.address, 2, BOND))]
    assert (bench.balance(asker), bench.balance(PAYEE)) == (before - BOND, BOND)
    with refused("NoChallenge"):
        bench.market.send(HOST, "answer", terms, *SHARD.proof(2))
    bench.market.send(asker, "challenge", terms, 2)  # again, for another bond


@pytest.mark.parametrize("asker", [RENTER, AUDITOR], ids=["renter", "auditor"])
def test_a_host_that_stays_silent_loses_its_collateral_and_what_it_did_not_earn(
    bench: StorageBench, terms: Terms, asker: PrivateKey
) -> None:
    bench.now = terms.start
    bench.settle(terms, 1, RENTER)
    bench.market.send(asker, "challenge", terms, 0)
    bench.now += ANSWER_PERIOD
    with refused("NotYet", bench.now + 1):
        bench.market.send(MALLORY, "fail", terms)
    bench.now += 1
    with refused("TooLate", bench.now - 1):
        bench.market.send(HOST, "answer", terms, *SHARD.proof(0))
    receipt = bench.market.send(MALLORY, "fail", terms)
    compensation = 3 * PRICE + COLLATERAL
    assert receipt.events == [("Ended", (terms.id(bench.separator), FAILED, compensation, 0))]
    assert balances(bench) == (1000 - PRICE + COLLATERAL, 1000 - COLLATERAL, PRICE, 1000)
    assert bench.market.read("stateOf", terms.id(bench.separator))[5] == 0  # no challenge is open any more
    for function in ("fail", "close"):
        with refused("WrongStatus", FAILED):
            bench.market.send(MALLORY, function, terms)


@pytest.mark.parametrize(
    ("length", "data", "path"),
    [
        (2 * BLOCK + 64, b"".join(TAILED.leaves[:2]), TAILED.proof(0)[1][1:]),
        (2 * BLOCK + 65, *TAILED.proof(2)),
        (BLOCK, *SHARD.proof(0)),
    ],
    ids=["an inner node for the last block", "a block of another length", "a deeper tree"],
)
def test_the_length_of_the_file_says_how_deep_its_tree_and_how_long_its_blocks_are(
    bench: StorageBench, length: int, data: bytes, path: list[bytes]
) -> None:
    shard = SHARD if length == BLOCK else TAILED
    terms = offer(bench, shard, length=length)
    bench.open(terms, RENTER, HOST)
    bench.now = terms.start
    bench.market.send(RENTER, "challenge", terms, -(-length // BLOCK) - 1)
    with refused("BadProof"):
        bench.market.send(HOST, "answer", terms, data, path)


def test_only_renter_and_auditor_challenge_and_they_pay_for_it(bench: StorageBench, terms: Terms) -> None:
    bench.now = terms.start
    for stranger in (HOST, PAYEE, MALLORY):
        with refused("NotAllowed", stranger.address):
            bench.market.send(stranger, "challenge", terms, 0)
    bench.market.send(AUDITOR, "withdraw", 1000 - BOND + 1, AUDITOR.address)
    with refused("NotCovered", AUDITOR.address, BOND - 1, BOND):
        bench.market.send(AUDITOR, "challenge", terms, 0)


def test_a_challenge_names_a_block_that_exists_and_stands_alone(bench: StorageBench, terms: Terms) -> None:
    bench.now = terms.start
    with refused("BadIndex", 3, 3):
        bench.market.send(RENTER, "challenge", terms, 3)
    bench.market.send(RENTER, "challenge", terms, 0)
    with refused("ChallengeOpen", bench.now + ANSWER_PERIOD):
        bench.market.send(AUDITOR, "challenge", terms, 1)


def test_challenges_are_for_the_term_only(bench: StorageBench, terms: Terms) -> None:
    with refused("NotYet", terms.start):
        bench.market.send(RENTER, "challenge", terms, 0)
    go_to_epoch(bench, terms, EPOCHS)
    with refused("TooLate", bench.now):
        bench.market.send(RENTER, "challenge", terms, 0)


def test_without_a_challenge_nothing_is_answered_or_failed(bench: StorageBench, terms: Terms) -> None:
    for function, arguments in (("answer", SHARD.proof(0)), ("fail", ())):
        with refused("NoChallenge"):
            bench.market.send(MALLORY, function, terms, *arguments)


def test_a_challenge_at_the_last_moment_must_be_resolved_before_the_end(bench: StorageBench, terms: Terms) -> None:
    go_to_epoch(bench, terms, EPOCHS)
    bench.now -= 1
    bench.market.send(RENTER, "challenge", terms, 0)
    answer_by = bench.now + ANSWER_PERIOD
    bench.now += 1
    bench.settle(terms, EPOCHS, RENTER)
    assert status(bench, terms) == ACTIVE
    with refused("ChallengeOpen", answer_by):
        bench.market.send(HOST, "close", terms)
    bench.market.send(HOST, "answer", terms, *SHARD.proof(0))
    bench.market.send(HOST, "close", terms)
    assert balances(bench) == (1000 - ESCROW - BOND, 1000, ESCROW + BOND, 1000)


# --- the ways out ---------------------------------------------------------------------------------------------------


def test_both_sides_may_end_a_contract_as_they_agree(bench: StorageBench, terms: Terms) -> None:
    go_to_epoch(bench, terms, 1)
    bench.market.send(AUDITOR, "challenge", terms, 0)
    receipt = bench.cancel(terms, 3, RENTER, HOST)
    id_ = terms.id(bench.separator)
    assert receipt.events == [
        ("Settled", (id_, PAYEE.address, 3, 3, 3 * PRICE)),
        ("Ended", (id_, CANCELLED, PRICE, COLLATERAL)),
    ]
    assert balances(bench) == (1000 - 3 * PRICE, 1000, 3 * PRICE, 1000)


def test_a_cancellation_needs_both_and_takes_nothing_back(bench: StorageBench, terms: Terms) -> None:
    bench.now = terms.start
    bench.settle(terms, 1, RENTER)
    for renter, host in ((RENTER, RENTER), (HOST, HOST), (AUDITOR, HOST), (RENTER, PAYEE)):
        with refused("BadSignature"):
            bench.cancel(terms, 0, renter, host)
    with refused("BadEpoch", EPOCHS + 1, EPOCHS):
        bench.cancel(terms, EPOCHS + 1, RENTER, HOST)
    bench.cancel(terms, 0, RENTER, HOST)
    assert balances(bench) == (1000 - PRICE, 1000, PRICE, 1000)
    with refused("WrongStatus", CANCELLED):
        bench.cancel(terms, 0, RENTER, HOST)


def test_a_contract_of_a_silent_pair_closes_when_nothing_can_be_proved_any_more(
    bench: StorageBench, terms: Terms
) -> None:
    ready = terms.start + (EPOCHS + 1) * EPOCH
    assert bench.market.read("closableAt", terms) == ready
    bench.now = ready - 1
    with refused("NotYet", ready):
        bench.market.send(MALLORY, "close", terms)
    bench.now = ready
    receipt = bench.market.send(MALLORY, "close", terms)
    assert receipt.events == [("Ended", (terms.id(bench.separator), COMPLETED, ESCROW, COLLATERAL))]
    assert balances(bench) == (1000, 1000, 0, 1000)
    with refused("WrongStatus", COMPLETED):
        bench.settle(terms, EPOCHS, RENTER)


def test_a_contract_that_is_all_paid_closes_at_its_end(bench: StorageBench, terms: Terms) -> None:
    end = terms.start + EPOCHS * EPOCH
    bench.now = end - 1
    bench.settle(terms, EPOCHS, RENTER)
    with refused("NotYet", end):
        bench.market.send(MALLORY, "close", terms)
    bench.now = end
    bench.market.send(MALLORY, "close", terms)
    assert balances(bench) == (1000 - ESCROW, 1000, ESCROW, 1000)


def test_a_host_exits_by_notice_of_an_epoch_and_for_a_fee(bench: StorageBench, terms: Terms) -> None:
    go_to_epoch(bench, terms, 0)
    receipt = bench.market.send(HOST, "exit", terms)
    fee = COLLATERAL * 2 // (2 * EPOCHS)
    assert receipt.events == [("Exiting", (terms.id(bench.separator), 2, fee, 2 * PRICE))]
    assert bench.balance(RENTER) == 1000 - 2 * PRICE + fee
    with refused("TooLate", terms.start + 2 * EPOCH):
        bench.market.send(HOST, "exit", terms)
    go_to_epoch(bench, terms, 2)
    with refused("BadEpoch", 3, 2):
        bench.settle(terms, 3, RENTER)
    with refused("BadEpoch", 3, 2):
        bench.cancel(terms, 3, RENTER, HOST)
    bench.settle(terms, 2, RENTER)
    assert status(bench, terms) == COMPLETED
    assert balances(bench) == (1000 - 2 * PRICE + fee, 1000 - fee, 2 * PRICE, 1000)


def test_a_host_under_notice_is_still_answerable(bench: StorageBench, terms: Terms) -> None:
    bench.now = terms.start
    bench.market.send(HOST, "exit", terms)
    go_to_epoch(bench, terms, 2)
    bench.now -= 1
    bench.market.send(RENTER, "challenge", terms, 0)
    bench.now += ANSWER_PERIOD + 1
    bench.market.send(RENTER, "fail", terms)
    assert balances(bench) == (1000 + COLLATERAL, 1000 - COLLATERAL, 0, 1000)


def test_an_exit_is_the_host_s_alone_and_not_a_way_out_of_a_challenge(bench: StorageBench, terms: Terms) -> None:
    for stranger in (RENTER, PAYEE, MALLORY):
        with refused("NotAllowed", stranger.address):
            bench.market.send(stranger, "exit", terms)
    with refused("NotYet", terms.start):
        bench.market.send(HOST, "exit", terms)
    bench.now = terms.start
    bench.market.send(RENTER, "challenge", terms, 0)
    with refused("ChallengeOpen"):
        bench.market.send(HOST, "exit", terms)
    bench.market.send(HOST, "answer", terms, *SHARD.proof(0))
    go_to_epoch(bench, terms, 2)
    with refused("TooLate", terms.start + EPOCHS * EPOCH):
        bench.market.send(HOST, "exit", terms)


def hand_over(bench: StorageBench, terms: Terms, next_: Terms, through: int, next_host: PrivateKey) -> Any:
    ends, opens = terms.cancellation(bench.separator, through), next_.id(bench.separator)
    return bench.market.send(
        MALLORY,
        "handOver",
        terms,
        through,
        [RENTER.sign_digest(ends), HOST.sign_digest(ends)],
        next_,
        [RENTER.sign_digest(opens), next_host.sign_digest(opens)],
    )


def test_a_shard_is_handed_over_to_another_host_in_one_step(bench: StorageBench, terms: Terms) -> None:
    bench.market.send(RENTER, "withdraw", 1000 - ESCROW, RENTER.address)  # the old escrow must do
    go_to_epoch(bench, terms, 1)
    next_ = offer(bench, host=OTHER_HOST.address, epochs=3)
    receipt = hand_over(bench, terms, next_, 1, OTHER_HOST)
    assert [name for name, _ in receipt.events] == ["Settled", "Ended", "Opened", "HandedOver"]
    assert receipt.events[-1] == ("HandedOver", (terms.id(bench.separator), next_.id(bench.separator)))
    assert (status(bench, terms), status(bench, next_)) == (CANCELLED, ACTIVE)
    assert balances(bench) == (0, 1000, PRICE, 1000)
    assert bench.balance(OTHER_HOST) == 1000 - COLLATERAL


@pytest.mark.parametrize("changes", [{"root": bytes(32)}, {"length": 1}, {"renter": MALLORY.address}])
def test_a_successor_holds_the_same_shard_for_the_same_renter(
    bench: StorageBench, terms: Terms, changes: dict[str, Any]
) -> None:
    with refused("BadSuccessor"):
        hand_over(bench, terms, offer(bench, host=OTHER_HOST.address)._replace(**changes), 0, OTHER_HOST)


def test_a_renewal_is_a_new_contract_from_the_old_one_s_end(bench: StorageBench, terms: Terms) -> None:
    renewal = terms._replace(start=terms.start + EPOCHS * EPOCH, price=PRICE + 1)
    bench.now = terms.start
    bench.open(renewal, RENTER, HOST)
    go_to_epoch(bench, terms, EPOCHS)
    bench.settle(terms, EPOCHS, RENTER)
    bench.settle(renewal, 1, RENTER)
    assert bench.balance(PAYEE) == ESCROW + PRICE + 1


def test_a_contract_may_have_256_epochs(bench: StorageBench) -> None:
    terms = offer(bench, epochs=256, price=3)
    bench.open(terms, RENTER, HOST)
    go_to_epoch(bench, terms, 256)
    index = bench.begin_proof(terms, HOST)
    bench.market.send(HOST, "prove", terms, *SHARD.proof(index))
    bench.settle(terms, 255, RENTER)
    assert (bench.balance(PAYEE), status(bench, terms)) == (768, COMPLETED)


def test_nothing_can_be_done_with_a_contract_nobody_opened(bench: StorageBench) -> None:
    terms = offer(bench)
    proof = SHARD.proof(0)
    calls: list[tuple[PrivateKey, str, tuple[Any, ...]]] = [
        (HOST, "exit", ()),
        (HOST, "close", ()),
        (HOST, "beginProof", ()),
        (HOST, "prove", proof),
        (RENTER, "challenge", (0,)),
        (HOST, "answer", proof),
        (RENTER, "fail", ()),
        (HOST, "settle", (1, RENTER.sign_digest(terms.voucher(bench.separator, 1)))),
    ]
    for sender, function, arguments in calls:
        with refused("WrongStatus", 0):
            bench.market.send(sender, function, terms, *arguments)
    with refused("WrongStatus", 0):
        bench.cancel(terms, 0, RENTER, HOST)
