"""What the vault promises, one promise per test, on the real bytecode."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contracts.bench import NOBODY, NOTICE, Bench, RevertedError, create, greedy_token, key
from wallet.address import Address
from wallet.cheque import Cheque, Rail, SignedCheque, cheque_digest
from wallet.keys import CURVE_ORDER

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "vault_cheque.json").read_text())
ALICE, BOB, CAROL, MALLORY, HOT = (key(number) for number in range(1, 6))
BAD_PAYEE, BAD_RECIPIENT, NOTHING_NEW, BAD_SIGNATURE = 1, 2, 3, 4


@pytest.fixture(scope="module")
def shared() -> Bench:
    bench = Bench()
    for payer in (ALICE, BOB):
        bench.fund(payer, 1000)
    return bench


@pytest.fixture
def bench(shared: Bench) -> Iterator[Bench]:
    """Alice and Bob have 1000 units each in the vault."""
    snapshot, now = shared.chain.snapshot(), shared.now
    yield shared
    shared.chain.revert(snapshot)
    shared.now = now


def refused(name: str, *arguments: object) -> Any:
    return pytest.raises(RevertedError, match=rf"^{name}\({', '.join(map(str, arguments))},?\)$" if arguments else name)


# --- digests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chain_id", [199, 1029])
def test_digest_is_the_one_the_wallet_signs(chain_id: int) -> None:
    bench = Bench(chain_id)
    cases = [case for case in VECTORS["cases"] if case["chainId"] == chain_id]
    assert cases
    for case in cases:
        message = case["message"]
        cheque = Cheque(
            Address.parse(message["payer"]), Address.parse(message["payee"]), int(message["cumulativePayout"])
        )
        assert bench.vault.read("digest", cheque) == cheque_digest(bench.rail, cheque)
        # The wallet gives the known answer for the vector's own vault, so both agree with the vector's oracle.
        vault = Address.parse(case["verifyingContract"])
        assert cheque_digest(Rail(case["rail"], chain_id, vault), cheque).hex() == case["digest"].removeprefix("0x")


def test_a_long_chain_id_counts_by_its_lower_32_bits() -> None:
    long_id = int("00000000000000001ebf88508a03865c71d452e25f4d51194196a1d22b6653dc", 16)
    bench = Bench(long_id)
    assert bench.rail.id == "tron:0x2b6653dc"
    assert bench.vault.read("domainSeparator") == Rail("tron:0x2b6653dc", 0x2B6653DC, bench.vault.address).separator


# --- deposits and withdrawals ---------------------------------------------------------------------------------------


def test_anybody_may_deposit_for_a_payer(bench: Bench) -> None:
    bench.token.send(CAROL, "mint", CAROL.address, 50)
    bench.token.send(CAROL, "approve", bench.vault.address, 50)
    receipt = bench.vault.send(CAROL, "depositFor", ALICE.address, 50)
    assert ("Deposited", (ALICE.address, CAROL.address, 50)) in receipt.events
    assert bench.balance(ALICE) == 1050
    assert bench.balance(CAROL) == 0


@pytest.mark.parametrize(("function", "arguments"), [("deposit", (0,)), ("depositFor", (ALICE.address, 0))])
def test_a_deposit_of_nothing_is_refused(bench: Bench, function: str, arguments: tuple[Any, ...]) -> None:
    with refused("NothingThere"):
        bench.vault.send(ALICE, function, *arguments)


def test_a_withdrawal_waits_for_its_notice_and_uses_it_up(bench: Bench) -> None:
    bench.vault.send(ALICE, "giveNotice", 400)
    ready = bench.now + NOTICE
    assert bench.vault.read("notice", ALICE.address) == (400, ready)
    bench.now = ready - 1
    with refused("NotYet", ready):
        bench.vault.send(ALICE, "withdraw", ALICE.address)
    bench.now = ready
    assert ("Withdrawn", (ALICE.address, CAROL.address, 400)) in bench.vault.send(
        ALICE, "withdraw", CAROL.address
    ).events
    assert (bench.balance(ALICE), bench.wallet(CAROL)) == (600, 400)
    with refused("NothingThere"):
        bench.vault.send(ALICE, "withdraw", ALICE.address)


def test_money_under_notice_is_still_paid_to_payees(bench: Bench) -> None:
    bench.vault.send(ALICE, "giveNotice", 2**256 - 1)
    assert bench.vault.read("notice", ALICE.address)[0] == 1000
    bench.now += NOTICE
    bench.cash(BOB, bench.cheque(ALICE, BOB, 700), BOB.address)
    bench.vault.send(ALICE, "withdraw", ALICE.address)
    assert (bench.wallet(BOB), bench.wallet(ALICE), bench.balance(ALICE)) == (700, 300, 0)


def test_a_cancelled_notice_is_gone(bench: Bench) -> None:
    bench.vault.send(ALICE, "giveNotice", 10)
    bench.vault.send(ALICE, "cancelNotice")
    bench.now += NOTICE
    with refused("NothingThere"):
        bench.vault.send(ALICE, "withdraw", ALICE.address)
    with refused("NothingThere"):
        bench.vault.send(ALICE, "cancelNotice")


def test_money_cannot_be_sent_where_it_would_be_lost(bench: Bench) -> None:
    bench.vault.send(ALICE, "giveNotice", 10)
    bench.now += NOTICE
    for lost in (NOBODY, bench.vault.address):
        with refused("BadAddress"):
            bench.vault.send(ALICE, "withdraw", lost)
        with refused("BadAddress"):
            bench.vault.send(ALICE, "depositFor", lost, 1)
        with refused("ChequeRejected", BAD_PAYEE):
            bench.cash(ALICE, bench.cheque(ALICE, lost, 1), NOBODY)
    with refused("ChequeRejected", BAD_RECIPIENT):
        bench.cash(BOB, bench.cheque(ALICE, BOB, 1), bench.vault.address)


def test_what_arrives_counts_not_what_was_sent(bench: Bench) -> None:
    vault = create(bench.chain, "ChequeVault", ["address", "uint256"], [greedy_token(bench.chain), NOTICE])
    assert ("Deposited", (ALICE.address, ALICE.address, 90)) in vault.send(ALICE, "deposit", 100).events
    assert vault.read("balance", ALICE.address) == 90


# --- cheques --------------------------------------------------------------------------------------------------------


def test_a_cheque_pays_what_is_new_and_only_once(bench: Bench) -> None:
    first, second = bench.cheque(ALICE, BOB, 100), bench.cheque(ALICE, BOB, 250)
    assert bench.cash(BOB, first, BOB.address).events == [
        ("Cashed", (ALICE.address, BOB.address, BOB.address, 100, 100))
    ]
    with refused("ChequeRejected", NOTHING_NEW):
        bench.cash(BOB, first, BOB.address)
    bench.cash(BOB, second, BOB.address)
    with refused("ChequeRejected", NOTHING_NEW):
        bench.cash(BOB, first, BOB.address)
    assert (bench.wallet(BOB), bench.vault.read("paidOut", ALICE.address, BOB.address)) == (250, 250)


def test_a_cheque_that_is_not_covered_pays_what_is_there_and_the_rest_later(bench: Bench) -> None:
    cheque = bench.cheque(ALICE, CAROL, 1300)
    assert bench.cash(CAROL, cheque, CAROL.address).events == [
        ("Cashed", (ALICE.address, CAROL.address, CAROL.address, 1300, 1000)),
        ("Bounced", (ALICE.address, CAROL.address, 1300, 1000, 300)),
    ]
    assert bench.cash(CAROL, cheque, CAROL.address).events == [
        ("Bounced", (ALICE.address, CAROL.address, 1300, 0, 300))
    ]
    bench.fund(ALICE, 500)
    bench.cash(CAROL, cheque, CAROL.address)
    assert (bench.wallet(CAROL), bench.balance(ALICE)) == (1300, 200)


def test_a_cheque_beyond_all_money_in_the_world_bounces(bench: Bench) -> None:
    receipt = bench.cash(CAROL, bench.cheque(ALICE, CAROL, 2**256 - 1), CAROL.address)
    assert receipt.events[1] == ("Bounced", (ALICE.address, CAROL.address, 2**256 - 1, 1000, 2**256 - 1001))


def test_a_payee_may_be_credited_in_the_vault_and_spend_it_at_once(bench: Bench) -> None:
    cheques = [bench.cheque(ALICE, CAROL, 600), bench.cheque(CAROL, BOB, 500)]
    receipt = bench.cash_many(MALLORY, cheques, NOBODY)
    assert [name for name, _ in receipt.events] == ["Cashed", "Cashed"]
    assert [bench.balance(owner) for owner in (ALICE, BOB, CAROL)] == [400, 1500, 100]


def test_a_stranger_may_hand_a_cheque_in_but_only_the_payee_says_where_to(bench: Bench) -> None:
    cheque = bench.cheque(ALICE, CAROL, 10)
    with refused("ChequeRejected", BAD_RECIPIENT):
        bench.cash(MALLORY, cheque, MALLORY.address)
    bench.cash(MALLORY, cheque, CAROL.address)
    bench.cash(CAROL, bench.cheque(ALICE, CAROL, 30), BOB.address)
    assert (bench.wallet(CAROL), bench.wallet(BOB), bench.wallet(MALLORY)) == (10, 20, 0)


def test_nobody_draws_on_another_or_on_itself(bench: Bench) -> None:
    with refused("ChequeRejected", BAD_SIGNATURE):
        bench.cash(CAROL, bench.cheque(ALICE, CAROL, 10, signer=MALLORY), CAROL.address)
    with refused("ChequeRejected", BAD_PAYEE):
        bench.cash(ALICE, bench.cheque(ALICE, ALICE, 10), ALICE.address)


def test_a_cheque_binds_payer_payee_amount_and_vault(bench: Bench) -> None:
    good = bench.cheque(ALICE, CAROL, 10)
    other_vault = Rail("eip155:199", 199, Address(b"\x01" * 20))
    forged = [
        Cheque(BOB.address, CAROL.address, 10),
        Cheque(ALICE.address, MALLORY.address, 10),
        Cheque(ALICE.address, CAROL.address, 11),
    ]
    signatures = [good.signature] * 3 + [ALICE.sign_digest(cheque_digest(other_vault, good.cheque))]
    for cheque, signature in zip([*forged, good.cheque], signatures, strict=True):
        with refused("ChequeRejected", BAD_SIGNATURE):
            bench.vault.send(MALLORY, "cash", cheque, signature, NOBODY)


def test_only_the_canonical_signature_counts(bench: Bench) -> None:
    cheque = bench.cheque(ALICE, CAROL, 10)
    r, s, v = cheque.signature[:32], cheque.signature[32:64], cheque.signature[64]
    high = (CURVE_ORDER - int.from_bytes(s, "big")).to_bytes(32, "big")
    bad = [
        r + high + bytes([55 - v]),
        r + s + bytes([v - 27]),
        r + s + bytes([55 - v]),
        bytes(65),
        b"",
        cheque.signature[:64],
        cheque.signature + b"\0",
    ]
    for signature in bad:
        with refused("ChequeRejected", BAD_SIGNATURE):
            bench.vault.send(CAROL, "cash", cheque.cheque, signature, CAROL.address)
    bench.cash(CAROL, cheque, CAROL.address)


@given(st.binary(min_size=65, max_size=65))
def test_no_made_up_signature_draws_money(shared: Bench, signature: bytes) -> None:
    cheque = Cheque(ALICE.address, CAROL.address, 10)
    with refused("ChequeRejected", BAD_SIGNATURE):
        shared.vault.read("cash", cheque, signature, CAROL.address, sender=CAROL.address)


def test_one_bad_cheque_does_not_hold_up_the_others(bench: Bench) -> None:
    good = [bench.cheque(ALICE, CAROL, 10), bench.cheque(BOB, CAROL, 2000)]
    forged = bench.cheque(ALICE, CAROL, 90, signer=MALLORY)
    broken = SignedCheque(bench.rail, Cheque(BOB.address, CAROL.address, 5), bytes(64) + b"\x1b")
    elsewhere = bench.cheque(ALICE, MALLORY, 5)
    to_oneself = bench.cheque(ALICE, ALICE, 5)
    cheques = [forged, good[0], broken, elsewhere, to_oneself, good[0], good[1]]
    receipt = bench.cash_many(CAROL, cheques, CAROL.address)
    a, b, c, m = (owner.address for owner in (ALICE, BOB, CAROL, MALLORY))
    assert receipt.events == [
        ("Rejected", (a, c, BAD_SIGNATURE)),
        ("Cashed", (a, c, c, 10, 10)),
        ("Rejected", (b, c, BAD_SIGNATURE)),
        ("Rejected", (a, m, BAD_RECIPIENT)),
        ("Rejected", (a, a, BAD_PAYEE)),
        ("Rejected", (a, c, NOTHING_NEW)),
        ("Cashed", (b, c, c, 2000, 1000)),
        ("Bounced", (b, c, 2000, 1000, 1000)),
    ]
    assert bench.wallet(CAROL) == 1010


def test_many_cheques_of_one_payee_are_one_transfer(bench: Bench) -> None:
    receipt = bench.cash_many(CAROL, [bench.cheque(ALICE, CAROL, 10), bench.cheque(BOB, CAROL, 20)], CAROL.address)
    transfers = [
        log for log in bench.chain.logs_of(receipt.mined) if log.event.address == bench.token.address.raw
    ]  # fmt: skip
    assert len(transfers) == 1
    assert int.from_bytes(transfers[0].event.data, "big") == 30


def test_an_empty_list_of_cheques_does_nothing(bench: Bench) -> None:
    assert bench.cash_many(CAROL, [], CAROL.address).events == []


# --- locks ----------------------------------------------------------------------------------------------------------


def test_locked_money_serves_its_payee_only(bench: Bench) -> None:
    bench.vault.send(ALICE, "lock", CAROL.address, 800)
    assert bench.vault.read("available", ALICE.address, BOB.address) == 200
    assert bench.vault.read("available", ALICE.address, CAROL.address) == 1000
    bench.cash(BOB, bench.cheque(ALICE, BOB, 500), BOB.address)
    bench.cash(CAROL, bench.cheque(ALICE, CAROL, 700), CAROL.address)
    assert (bench.wallet(BOB), bench.wallet(CAROL)) == (200, 700)
    assert bench.vault.read("locked", ALICE.address, CAROL.address) == 100
    assert bench.vault.read("lockedTotal", ALICE.address) == 100


def test_locked_money_is_drawn_before_free_money(bench: Bench) -> None:
    bench.vault.send(ALICE, "lock", CAROL.address, 300)
    bench.cash(CAROL, bench.cheque(ALICE, CAROL, 250), CAROL.address)
    assert bench.vault.read("locked", ALICE.address, CAROL.address) == 50
    assert bench.vault.read("available", ALICE.address, BOB.address) == 700


def test_locked_money_does_not_leave_by_notice(bench: Bench) -> None:
    bench.vault.send(ALICE, "lock", CAROL.address, 800)
    bench.vault.send(ALICE, "giveNotice", 1000)
    bench.now += NOTICE
    bench.vault.send(ALICE, "withdraw", ALICE.address)
    assert (bench.wallet(ALICE), bench.balance(ALICE)) == (200, 800)


def test_unlocking_takes_a_request_and_the_notice_period(bench: Bench) -> None:
    bench.vault.send(ALICE, "lock", CAROL.address, 800)
    with refused("NothingThere"):
        bench.vault.send(ALICE, "unlock", CAROL.address)
    bench.vault.send(ALICE, "requestUnlock", CAROL.address)
    ready = bench.now + NOTICE
    assert bench.vault.read("unlockableAt", ALICE.address, CAROL.address) == ready
    with refused("NotYet", ready):
        bench.vault.send(ALICE, "unlock", CAROL.address)
    bench.cash(CAROL, bench.cheque(ALICE, CAROL, 100), CAROL.address)
    bench.now = ready
    bench.vault.send(ALICE, "unlock", CAROL.address)
    assert bench.vault.read("available", ALICE.address, BOB.address) == 900
    with refused("NothingThere"):
        bench.vault.send(ALICE, "requestUnlock", CAROL.address)


def test_a_new_lock_ends_an_old_unlock_request(bench: Bench) -> None:
    bench.vault.send(ALICE, "lock", CAROL.address, 1)
    bench.vault.send(ALICE, "requestUnlock", CAROL.address)
    bench.now += NOTICE
    bench.vault.send(ALICE, "lock", CAROL.address, 500)
    with refused("NothingThere"):
        bench.vault.send(ALICE, "unlock", CAROL.address)


def test_no_more_can_be_locked_than_is_free(bench: Bench) -> None:
    bench.vault.send(ALICE, "lock", CAROL.address, 600)
    with refused("NotCovered", 400, 401):
        bench.vault.send(ALICE, "lock", BOB.address, 401)


# --- hot keys -------------------------------------------------------------------------------------------------------


def test_a_hot_key_moves_free_money_up_to_its_cap(bench: Bench) -> None:
    bench.vault.send(ALICE, "authorise", HOT.address, 150)
    bench.cash(CAROL, bench.cheque(ALICE, CAROL, 100, signer=HOT), CAROL.address)
    receipt = bench.cash(BOB, bench.cheque(ALICE, BOB, 80, signer=HOT), BOB.address)
    assert receipt.events[-1] == ("Bounced", (ALICE.address, BOB.address, 80, 50, 30))
    assert bench.vault.read("authorised", ALICE.address, HOT.address) == (150, 150)
    bench.cash(BOB, bench.cheque(ALICE, BOB, 80), BOB.address)  # the owner's own signature has no cap
    bench.vault.send(ALICE, "authorise", HOT.address, 160)
    bench.cash(CAROL, bench.cheque(ALICE, CAROL, 200, signer=HOT), CAROL.address)
    assert (bench.wallet(CAROL), bench.wallet(BOB)) == (110, 80)


def test_a_hot_key_of_one_payer_is_a_stranger_to_others(bench: Bench) -> None:
    bench.vault.send(ALICE, "authorise", HOT.address, 2**256 - 1)
    with refused("ChequeRejected", BAD_SIGNATURE):
        bench.cash(CAROL, bench.cheque(BOB, CAROL, 1, signer=HOT), CAROL.address)


def test_a_revoked_key_moves_no_free_money_and_locked_money_for_a_last_while(bench: Bench) -> None:
    bench.vault.send(ALICE, "authorise", HOT.address, 1000)
    bench.vault.send(ALICE, "lock", CAROL.address, 300)
    bench.vault.send(ALICE, "revoke", HOT.address)
    receipt = bench.cash(CAROL, bench.cheque(ALICE, CAROL, 200, signer=HOT), CAROL.address)
    assert receipt.events[0] == ("Cashed", (ALICE.address, CAROL.address, CAROL.address, 200, 200))
    receipt = bench.cash(BOB, bench.cheque(ALICE, BOB, 50, signer=HOT), BOB.address)
    assert receipt.events == [("Bounced", (ALICE.address, BOB.address, 50, 0, 50))]
    bench.now += NOTICE + 1
    with refused("ChequeRejected", BAD_SIGNATURE):
        bench.cash(CAROL, bench.cheque(ALICE, CAROL, 250, signer=HOT), CAROL.address)
    with refused("NothingThere"):
        bench.vault.send(ALICE, "revoke", HOT.address)
    bench.vault.send(ALICE, "authorise", HOT.address, 1000)
    bench.cash(CAROL, bench.cheque(ALICE, CAROL, 250, signer=HOT), CAROL.address)


def test_neither_nobody_nor_the_owner_can_be_a_hot_key(bench: Bench) -> None:
    for bad in (NOBODY, ALICE.address):
        with refused("BadAddress"):
            bench.vault.send(ALICE, "authorise", bad, 1)
