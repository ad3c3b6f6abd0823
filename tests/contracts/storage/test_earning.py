"""How an epoch is earned: by voucher, or by proof in the epoch after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.bench import NOBODY, submit
from tests.contracts.storage.bench import (
    BLOCK,
    EPOCH,
    Shard,
    StorageBench,
    Terms,
    refused,
)
from tests.contracts.storage.case import (
    ACTIVE,
    AUDITOR,
    COLLATERAL,
    COMPLETED,
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

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "bep52_roots.json").read_text())


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
    inner = (b"".join(SHARD.leaves[:2]), SHARD.proof(0)[1][1:])
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
    chosen = [old]
    for epoch in range(1, EPOCHS):
        go_to_epoch(bench, terms, epoch + 1)
        chosen.append(bench.begin_proof(terms, HOST))
        if chosen[-1] != old:
            with refused("BadProof"):
                bench.market.send(HOST, "prove", terms, *shard.proof(old))
    assert len(set(chosen)) > 1


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
