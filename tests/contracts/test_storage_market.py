"""What the storage market promises, one promise per test, on the real bytecode."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.storage import merkle
from node.storage.audit import chain_index
from tests.contracts.bench import NOBODY, create, greedy_token, key, submit
from tests.contracts.storage_bench import (
    ANSWER_PERIOD,
    BLOCK,
    BOND,
    EPOCH,
    Shard,
    StorageBench,
    Terms,
    refused,
    separator,
)
from wallet.address import Address
from wallet.keys import CURVE_ORDER, PrivateKey
from wallet.storage_terms import Cancel, Market, StorageContract, Voucher

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "bep52_roots.json").read_text())
RENTER, HOST, PAYEE, AUDITOR, MALLORY, OTHER_HOST = (key(number) for number in range(31, 37))
SHARD = Shard(2 * BLOCK + 100)
PRICE, COLLATERAL, EPOCHS = 10, 61, 4
ESCROW = EPOCHS * PRICE
ACTIVE, CALLED_OFF, COMPLETED, CANCELLED, FAILED = range(1, 6)
LENGTH, BAD_PAYEE, START, BAD_EPOCHS, TERM, AMOUNTS = range(6)


@pytest.fixture(scope="module")
def shared() -> StorageBench:
    bench = StorageBench()
    for owner in (RENTER, HOST, AUDITOR, OTHER_HOST):
        bench.fund(owner, 1000)
    return bench


@pytest.fixture
def bench(shared: StorageBench) -> Iterator[StorageBench]:
    """Renter, hosts and auditor have 1000 units each in the market; the payee has nothing."""
    snapshot, now = shared.chain.snapshot(), shared.now
    yield shared
    shared.chain.revert(snapshot)
    shared.now = now


@pytest.fixture
def terms(bench: StorageBench) -> Terms:
    """A contract in force that starts in 100 seconds."""
    terms = offer(bench)
    bench.open(terms, RENTER, HOST)
    return terms


def offer(bench: StorageBench, shard: Shard = SHARD, **changes: Any) -> Terms:
    people = (RENTER.address, HOST.address, PAYEE.address, AUDITOR.address)
    plain = Terms(shard.root, shard.length, *people, bench.now + 100, EPOCHS, EPOCH, PRICE, COLLATERAL)
    return plain._replace(**changes)


def balances(bench: StorageBench) -> tuple[int, int, int, int]:
    """Renter, host, payee, auditor."""
    return tuple(bench.balance(owner) for owner in (RENTER, HOST, PAYEE, AUDITOR))  # type: ignore[return-value]


def status(bench: StorageBench, terms: Terms) -> int:
    return int(bench.market.read("stateOf", terms.id(bench.separator))[0])


def go_to_epoch(bench: StorageBench, terms: Terms, epoch: int) -> None:
    bench.now = terms.start + epoch * EPOCH


# --- balances -------------------------------------------------------------------------------------------------------


def test_anybody_may_deposit_for_an_account_and_its_owner_withdraws_at_once(bench: StorageBench) -> None:
    bench.token.send(MALLORY, "mint", MALLORY.address, 50)
    bench.token.send(MALLORY, "approve", bench.market.address, 50)
    receipt = bench.market.send(MALLORY, "depositFor", PAYEE.address, 50)
    assert receipt.events == [("Deposited", (PAYEE.address, MALLORY.address, 50))]
    receipt = bench.market.send(PAYEE, "withdraw", 20, MALLORY.address)
    assert receipt.events == [("Withdrawn", (PAYEE.address, MALLORY.address, 20))]
    assert (bench.balance(PAYEE), bench.wallet(MALLORY)) == (30, 20)


def test_nobody_withdraws_more_than_is_free(bench: StorageBench, terms: Terms) -> None:
    with refused("NotCovered", RENTER.address, 1000 - ESCROW, 1000):
        bench.market.send(RENTER, "withdraw", 1000, RENTER.address)
    bench.market.send(RENTER, "withdraw", 1000 - ESCROW, RENTER.address)
    with refused("NothingThere"):
        bench.market.send(RENTER, "withdraw", 0, RENTER.address)
    with refused("NothingThere"):
        bench.market.send(RENTER, "deposit", 0)


def test_money_cannot_be_sent_where_it_would_be_lost(bench: StorageBench) -> None:
    for lost in (NOBODY, bench.market.address):
        with refused("BadAddress"):
            bench.market.send(RENTER, "withdraw", 1, lost)
        with refused("BadAddress"):
            bench.market.send(RENTER, "depositFor", lost, 1)


def test_what_arrives_counts_not_what_was_sent(bench: StorageBench) -> None:
    arguments = [greedy_token(bench.chain), 1, 1]
    market = create(bench.chain, "StorageMarket", ["address", "uint256", "uint256"], arguments)
    market.send(RENTER, "deposit", 100)
    assert market.read("balance", RENTER.address) == 90


def test_a_market_needs_a_token_and_a_sensible_answer_period(bench: StorageBench) -> None:
    for token, period in ((NOBODY, 1), (bench.token.address, 0), (bench.token.address, 365 * 86_400 + 1)):
        with pytest.raises(AssertionError, match="not deployed"):
            create(bench.chain, "StorageMarket", ["address", "uint256", "uint256"], [token, 1, period])


# --- signatures and opening -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chain_id", "short"), [(199, 199), (2**200 + 0x2B6653DC, 0x2B6653DC)], ids=["BTTC", "long TRON id"]
)
def test_digests_are_the_ones_the_wallet_signs(chain_id: int, short: int) -> None:
    bench = StorageBench(chain_id)
    domain = separator(short, bench.market.address)
    terms = offer(bench, nonce=2**255 + 1)
    assert bench.market.read("domainSeparator") == domain
    assert bench.market.read("digest", terms) == terms.id(domain)
    assert bench.market.read("voucherDigest", terms.id(domain), 3) == terms.voucher(domain, 3)
    assert bench.market.read("cancelDigest", terms.id(domain), 3) == terms.cancellation(domain, 3)


def test_the_node_signs_proves_and_chooses_as_the_contract_checks(bench: StorageBench, terms: Terms) -> None:
    market, contract = Market(199, bench.market.address), StorageContract(*terms)
    id_ = contract.digest(market)
    assert bench.market.read("digest", terms) == id_
    assert bench.market.read("voucherDigest", id_, 2) == Voucher(id_, 2).digest(market)
    assert bench.market.read("cancelDigest", id_, 2) == Cancel(id_, 2).digest(market)
    assert merkle.root_of(SHARD.data) == SHARD.root
    go_to_epoch(bench, terms, 1)
    assert contract.provable_at(bench.now) == 0
    receipt = bench.market.send(HOST, "beginProof", terms)
    seed = bench.chain.mine().hash
    index = chain_index(seed, id_, contract.blocks)
    assert receipt.events == [("ProofBegun", (id_, 0, bench.chain.head.number))]
    assert bench.market.read("chosen", terms) == (0, index)
    assert merkle.verify(terms.root, contract.blocks, index, *SHARD.proof(index))
    bench.market.send(HOST, "prove", terms, *SHARD.proof(index))


def test_opening_locks_escrow_and_collateral_and_tells_all_terms(bench: StorageBench) -> None:
    terms = offer(bench, nonce=5)
    receipt = bench.open(terms, RENTER, HOST, sender=MALLORY)
    rest = (terms.payee, terms.auditor, terms.start, EPOCHS, EPOCH, PRICE, COLLATERAL, 5)
    told = (terms.id(bench.separator), RENTER.address, HOST.address, SHARD.root, SHARD.length, *rest)
    assert receipt.events == [("Opened", told)]
    assert balances(bench) == (1000 - ESCROW, 1000 - COLLATERAL, 0, 1000)
    assert status(bench, terms) == ACTIVE


def test_a_contract_opens_once(bench: StorageBench, terms: Terms) -> None:
    with refused("WrongStatus", ACTIVE):
        bench.open(terms, RENTER, HOST)
    bench.cancel(terms, 0, RENTER, HOST)
    with refused("WrongStatus", CANCELLED):
        bench.open(terms, RENTER, HOST)
    bench.open(terms._replace(nonce=1), RENTER, HOST)


def test_a_contract_needs_both_signatures_over_exactly_its_terms(bench: StorageBench) -> None:
    terms = offer(bench)
    for renter, host in ((MALLORY, HOST), (RENTER, MALLORY), (HOST, RENTER)):
        with refused("BadSignature"):
            bench.open(terms, renter, host)
    message = terms.id(bench.separator)
    signatures = (RENTER.sign_digest(message), HOST.sign_digest(message))
    other: dict[str, Any] = {"root": bytes(32), "length": 1, "payee": MALLORY.address, "auditor": NOBODY, "epochs": 5}
    more: dict[str, Any] = {"start": terms.start + 1, "epoch_length": 999, "price": 9, "collateral": 60, "nonce": 1}
    for field, value in (other | more).items():
        with refused("BadSignature"):
            bench.market.send(MALLORY, "open", terms._replace(**{field: value}), *signatures)
    elsewhere = terms.id(separator(199, Address(b"\x01" * 20)))
    with refused("BadSignature"):
        bench.market.send(MALLORY, "open", terms, RENTER.sign_digest(elsewhere), HOST.sign_digest(elsewhere))


def test_only_the_canonical_signature_counts(bench: StorageBench) -> None:
    terms = offer(bench)
    message = terms.id(bench.separator)
    good, host = RENTER.sign_digest(message), HOST.sign_digest(message)
    r, s, v = good[:32], good[32:64], good[64]
    high = (CURVE_ORDER - int.from_bytes(s, "big")).to_bytes(32, "big")
    for bad in (r + high + bytes([55 - v]), r + s + bytes([v - 27]), bytes(65), b"", good[:64], good + b"\0"):
        with refused("BadSignature"):
            bench.market.send(RENTER, "open", terms, bad, host)
    bench.market.send(RENTER, "open", terms, good, host)


@given(st.binary(min_size=65, max_size=65))
def test_no_made_up_signature_is_anybody_s_not_even_nobody_s(shared: StorageBench, signature: bytes) -> None:
    for renter in (RENTER.address, NOBODY):
        with refused("BadSignature"):
            shared.market.read("open", offer(shared, renter=renter), signature, signature)


@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        ({"length": 0}, LENGTH),
        ({"payee": NOBODY}, BAD_PAYEE),
        ({"epochs": 0}, BAD_EPOCHS),
        ({"epochs": 257}, BAD_EPOCHS),
        ({"epoch_length": 0}, TERM),
        ({"epoch_length": 5 * 365 * 86_400 // 4 + 1}, TERM),
        ({"start": 2**64 - 1}, START),
        ({"price": 2**128}, AMOUNTS),
        ({"collateral": 2**128}, AMOUNTS),
    ],
)
def test_terms_that_could_lose_or_lock_money_are_refused(
    bench: StorageBench, changes: dict[str, Any], flaw: int
) -> None:
    with refused("BadTerms", flaw):
        bench.open(offer(bench, **changes), RENTER, HOST)


def test_the_market_cannot_be_a_payee(bench: StorageBench) -> None:
    with refused("BadTerms", BAD_PAYEE):
        bench.open(offer(bench, payee=bench.market.address), RENTER, HOST)


def test_a_contract_that_is_not_covered_does_not_open(bench: StorageBench) -> None:
    with refused("NotCovered", RENTER.address, 1000, 1004):
        bench.open(offer(bench, price=251), RENTER, HOST)
    with refused("NotCovered", HOST.address, 1000, 1001):
        bench.open(offer(bench, collateral=1001), RENTER, HOST)
    assert balances(bench) == (1000, 1000, 0, 1000)


def test_an_offer_expires_when_it_would_start(bench: StorageBench) -> None:
    terms = offer(bench)
    bench.now = terms.start
    with refused("TooLate", terms.start):
        bench.open(terms, RENTER, HOST)


# --- calling off ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("person", [RENTER, HOST], ids=["renter", "host"])
def test_before_the_start_either_side_walks_away(bench: StorageBench, terms: Terms, person: PrivateKey) -> None:
    receipt = bench.market.send(person, "callOff", terms)
    assert receipt.events == [("Ended", (terms.id(bench.separator), CALLED_OFF, ESCROW, COLLATERAL))]
    assert balances(bench) == (1000, 1000, 0, 1000)
    with refused("WrongStatus", CALLED_OFF):
        bench.market.send(person, "callOff", terms)


def test_a_signed_offer_can_be_revoked_before_it_is_opened(bench: StorageBench) -> None:
    terms = offer(bench)
    bench.market.send(HOST, "callOff", terms)
    with refused("WrongStatus", CALLED_OFF):
        bench.open(terms, RENTER, HOST)


def test_nobody_calls_off_a_stranger_s_contract_or_one_that_has_started(bench: StorageBench, terms: Terms) -> None:
    for stranger in (MALLORY, PAYEE, AUDITOR):
        with refused("NotAllowed", stranger.address):
            bench.market.send(stranger, "callOff", terms)
    bench.now = terms.start
    with refused("TooLate", terms.start):
        bench.market.send(HOST, "callOff", terms)


# --- vouchers -------------------------------------------------------------------------------------------------------


def test_one_voucher_settles_the_whole_contract_at_its_end_and_closes_it(bench: StorageBench, terms: Terms) -> None:
    go_to_epoch(bench, terms, EPOCHS)
    receipt = bench.settle(terms, EPOCHS, RENTER)
    id_ = terms.id(bench.separator)
    assert receipt.events == [
        ("Settled", (id_, PAYEE.address, EPOCHS, EPOCHS, ESCROW)),
        ("Ended", (id_, COMPLETED, 0, COLLATERAL)),
    ]
    assert balances(bench) == (1000 - ESCROW, 1000, ESCROW, 1000)


def test_a_voucher_may_be_settled_in_between_and_pays_only_what_is_new(bench: StorageBench, terms: Terms) -> None:
    go_to_epoch(bench, terms, 2)
    bench.settle(terms, 1, RENTER)
    bench.settle(terms, 3, AUDITOR)
    for old in (1, 2, 3):
        with refused("NothingThere"):
            bench.settle(terms, old, RENTER)
    assert (bench.balance(PAYEE), status(bench, terms)) == (3 * PRICE, ACTIVE)


def test_a_voucher_pays_no_epoch_that_has_not_begun(bench: StorageBench, terms: Terms) -> None:
    with refused("BadEpoch", 1, 0):
        bench.settle(terms, 1, RENTER)
    bench.now = terms.start
    bench.settle(terms, 1, RENTER)
    with refused("BadEpoch", 2, 1):
        bench.settle(terms, 2, RENTER)
    go_to_epoch(bench, terms, 9)
    for given_ in (0, EPOCHS + 1, 2**32 - 1):
        with refused("BadEpoch", given_, EPOCHS):
            bench.settle(terms, given_, RENTER)


def test_vouchers_are_signed_by_renter_or_auditor_for_this_contract(bench: StorageBench, terms: Terms) -> None:
    twin = terms._replace(nonce=1)
    bench.open(twin, RENTER, HOST)
    bench.now = terms.start
    for stranger in (HOST, PAYEE, MALLORY):
        with refused("BadSignature"):
            bench.settle(terms, 1, stranger)
    replayed = RENTER.sign_digest(terms.voucher(bench.separator, 1))
    with refused("BadSignature"):
        bench.market.send(HOST, "settle", twin, 1, replayed)
    cancellation = RENTER.sign_digest(terms.cancellation(bench.separator, 1))
    with refused("BadSignature"):
        bench.market.send(HOST, "settle", terms, 1, cancellation)


def test_without_an_auditor_a_broken_signature_is_nobody_s(bench: StorageBench) -> None:
    terms = offer(bench, auditor=NOBODY)
    bench.open(terms, RENTER, HOST)
    bench.now = terms.start
    for broken in (bytes(65), bytes(64) + b"\x1b", b""):
        with refused("BadSignature"):
            bench.market.send(HOST, "settle", terms, 1, broken)


# --- proofs of an epoch ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["length"]))
def test_the_tree_is_bittorrent_s(case: dict[str, Any]) -> None:
    if case["length"] <= 2**20 + 1:
        assert Shard(case["length"], case["seed"]).root.hex() == case["pieces_root"]


@pytest.mark.parametrize("length", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK, 4 * BLOCK + 1, 8 * BLOCK - 1])
def test_a_host_proves_files_of_every_shape(bench: StorageBench, length: int) -> None:
    shard = Shard(length)
    terms = offer(bench, shard)
    bench.open(terms, RENTER, HOST)
    for epoch in range(EPOCHS):
        go_to_epoch(bench, terms, epoch + 1)
        index = bench.begin_proof(terms, HOST)
        assert bench.market.read("chosen", terms) == (epoch, index)
        receipt = bench.market.send(MALLORY, "prove", terms, *shard.proof(index))
        told = (terms.id(bench.separator), PAYEE.address, epoch, index, PRICE)
        assert receipt.events == [("Proved", told)]
    bench.market.send(MALLORY, "close", terms)
    assert balances(bench) == (1000 - ESCROW, 1000, ESCROW, 1000)


def test_nothing_but_the_chosen_block_of_this_very_file_is_a_proof(bench: StorageBench, terms: Terms) -> None:
    go_to_epoch(bench, terms, 1)
    index = bench.begin_proof(terms, HOST)
    data, path = SHARD.proof(index)
    other = Shard(SHARD.length, "another file").proof(index)
    inner = (b"".join(SHARD._levels[0][:2]), SHARD.proof(0)[1][1:])
    wrong = [
        SHARD.proof((index + 1) % SHARD.blocks),
        other,
        (data, other[1]),
        (data[:-1], path),
        (data + b"\0", path),
        (b"", path),
        (data, path[:-1]),
        (data, [*path, bytes(32)]),
        (data, path[::-1]),
        (bytes([data[0] ^ 1]) + data[1:], path),
        inner,
    ]
    for bad in wrong:
        with refused("BadProof"):
            bench.market.send(HOST, "prove", terms, *bad)
    bench.market.send(HOST, "prove", terms, data, path)


def test_an_epoch_is_proved_in_the_one_after_it(bench: StorageBench, terms: Terms) -> None:
    bench.now = terms.start + EPOCH - 1
    with refused("NotYet", terms.start + EPOCH):
        bench.market.send(HOST, "beginProof", terms)
    go_to_epoch(bench, terms, EPOCHS + 1)
    bench.now -= 1
    index = bench.begin_proof(terms, HOST)  # the last second for the last epoch
    assert bench.market.read("chosen", terms) == (EPOCHS - 1, index)
    bench.now += 1
    with refused("TooLate", bench.now):
        bench.market.send(HOST, "beginProof", terms)


def test_a_host_cannot_choose_among_seeds(bench: StorageBench, terms: Terms) -> None:
    go_to_epoch(bench, terms, 1)
    bench.begin_proof(terms, HOST)
    with refused("AlreadyBegun", 0):
        bench.market.send(HOST, "beginProof", terms)
    bench.chain.mine(300)
    with refused("AlreadyBegun", 0):
        bench.market.send(HOST, "beginProof", terms)


def test_the_seed_is_readable_for_256_blocks_and_losing_it_costs_this_epoch_s_proof(
    bench: StorageBench, terms: Terms
) -> None:
    go_to_epoch(bench, terms, 1)
    receipt = bench.market.send(HOST, "beginProof", terms)
    seed_block = receipt.mined.block_number + 1
    with refused("SeedNotYet", seed_block):
        bench.market.read("prove", terms, *SHARD.proof(0))
    bench.chain.mine(256)  # the next block is the 256th after the seed's
    bench.market.read("chosen", terms)
    bench.chain.mine()
    with refused("SeedLost", seed_block):
        bench.market.read("chosen", terms)
    with refused("SeedLost", seed_block):
        bench.market.send(HOST, "prove", terms, *SHARD.proof(0))
    bench.settle(terms, 1, RENTER)  # a voucher still pays it, and the next epoch can be proved
    go_to_epoch(bench, terms, 2)
    bench.market.send(HOST, "prove", terms, *SHARD.proof(bench.begin_proof(terms, HOST)))
    assert bench.balance(PAYEE) == 2 * PRICE


def test_nobody_but_the_host_starts_the_clock(bench: StorageBench, terms: Terms) -> None:
    go_to_epoch(bench, terms, 1)
    for stranger in (RENTER, AUDITOR, PAYEE, MALLORY):
        with refused("NotAllowed", stranger.address):
            bench.market.send(stranger, "beginProof", terms)


def test_a_proof_pays_one_epoch_once(bench: StorageBench, terms: Terms) -> None:
    with refused("NothingThere"):
        bench.market.send(HOST, "prove", terms, *SHARD.proof(0))
    go_to_epoch(bench, terms, 1)
    proof = SHARD.proof(bench.begin_proof(terms, HOST))
    bench.market.send(HOST, "prove", terms, *proof)
    with refused("NothingThere"):
        bench.market.send(HOST, "prove", terms, *proof)
    with refused("NothingThere"):
        bench.market.send(HOST, "beginProof", terms)
    with refused("NothingThere"):
        bench.settle(terms, 1, RENTER)
    bench.settle(terms, 2, RENTER)
    assert bench.balance(PAYEE) == 2 * PRICE


def test_a_voucher_in_between_makes_a_proof_worthless(bench: StorageBench, terms: Terms) -> None:
    go_to_epoch(bench, terms, 1)
    proof = SHARD.proof(bench.begin_proof(terms, HOST))
    bench.settle(terms, 1, RENTER)
    with refused("NothingThere"):
        bench.market.send(HOST, "prove", terms, *proof)


def test_a_proof_of_one_epoch_says_nothing_about_another(bench: StorageBench) -> None:
    shard = Shard(64 * BLOCK)
    terms = offer(bench, shard)
    bench.open(terms, RENTER, HOST)
    go_to_epoch(bench, terms, 1)
    old = bench.begin_proof(terms, HOST)
    bench.market.send(HOST, "prove", terms, *shard.proof(old))
    go_to_epoch(bench, terms, 2)
    if bench.begin_proof(terms, HOST) != old:
        with refused("BadProof"):
            bench.market.send(HOST, "prove", terms, *shard.proof(old))


def test_two_contracts_on_one_shard_are_asked_for_different_blocks(bench: StorageBench) -> None:
    shard = Shard(64 * BLOCK)
    twins = [offer(bench, shard, nonce=number) for number in range(6)]
    for terms in twins:
        bench.open(terms, RENTER, HOST)
    go_to_epoch(bench, twins[0], 1)
    bench.chain.automine = False
    for terms in twins:
        submit(bench.chain, HOST, bench.market.address.raw, bench.market.call_data("beginProof", terms))
    bench.chain.automine = True
    bench.chain.mine(2)  # all of them have one seed
    chosen = [bench.market.read("chosen", terms)[1] for terms in twins]
    assert len(set(chosen)) > 1
    first, other = twins[0], twins[next(place for place, index in enumerate(chosen) if index != chosen[0])]
    bench.market.send(HOST, "prove", first, *shard.proof(chosen[0]))
    with refused("BadProof"):
        bench.market.send(HOST, "prove", other, *shard.proof(chosen[0]))


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
    for function in ("fail", "close"):
        with refused("WrongStatus", FAILED):
            bench.market.send(MALLORY, function, terms)


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
