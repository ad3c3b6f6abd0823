"""Balances, signatures, and how a contract begins."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.storage import merkle
from node.storage.audit import chain_index
from tests.contracts.bench import NOBODY, create, greedy_token
from tests.contracts.storage.bench import (
    EPOCH,
    StorageBench,
    Terms,
    refused,
    separator,
)
from tests.contracts.storage.case import (
    ACTIVE,
    AUDITOR,
    CALLED_OFF,
    CANCELLED,
    COLLATERAL,
    EPOCHS,
    ESCROW,
    HOST,
    MALLORY,
    PAYEE,
    PRICE,
    RENTER,
    SHARD,
    balances,
    go_to_epoch,
    offer,
    status,
)
from wallet.address import Address
from wallet.keys import CURVE_ORDER, PrivateKey
from wallet.storage_terms import Cancel, Market, StorageContract, Voucher

LENGTH, BAD_PAYEE, START, BAD_EPOCHS, TERM, AMOUNTS = range(6)


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
    free: dict[str, Any] = {"renter": NOBODY, "host": NOBODY, "price": 0, "collateral": 0}
    for terms in (offer(shared), offer(shared, **free)):
        with refused("BadSignature"):
            shared.market.read("open", terms, signature, signature)


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
