"""Vouchers that were used before, or are about something else; who never vouches, and who vouches too much."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.services.host.errors import RefusedError
from node.storage.lifecycle import State
from node.storage.messages import CancelCall, VoucherCall
from tests.adversaries.storage.stage import EPOCH, EPOCHS, stage
from tests.contracts.storage.bench import ANSWER_PERIOD, StorageBench, Terms, refused, separator
from tests.contracts.storage.case import (
    AUDITOR,
    COLLATERAL,
    ESCROW,
    MALLORY,
    PRICE,
    balances,
    go_to_epoch,
)
from tests.contracts.storage.case import EPOCHS as TERM
from tests.contracts.storage.case import (
    HOST as CHAIN_HOST,
)
from tests.contracts.storage.case import (
    RENTER as CHAIN_RENTER,
)
from tests.unit.hosting.kit import Bench
from tests.unit.storage.samples import HOST, MARKET, RENTER, STRANGER, Kept
from wallet.address import Address
from wallet.keys import PrivateKey
from wallet.storage_terms import Cancel, Market, Voucher, sign

SHARD, OTHER = Kept(40_000), Kept(50_000)
REPLAYS = {
    "an older one": ("stale", RENTER, MARKET),
    "of another chain": ("signature", RENTER, Market(199, MARKET.contract)),
    "of another market on the chain": ("signature", RENTER, Market(MARKET.chain_id, Address(b"\x0b" * 20))),
    "signed by the host itself": ("signature", HOST, MARKET),
    "signed by a stranger": ("signature", STRANGER, MARKET),
}


@pytest.mark.parametrize("name", REPLAYS)
async def test_a_replayed_voucher_does_not_take_the_place_of_the_right_one(host: Bench, name: str) -> None:
    """Fails: a voucher names contract and market by its digest, and only a higher one is taken.

    Cheat (a renter that wants to pay with it): nothing gained. Victim (the host): nothing.
    """
    code, signer, market = REPLAYS[name]
    contract = await host.rented(SHARD)
    host.at(contract, 2)
    gain = await host.vouch(contract, 2)
    assert gain == 2 * contract.price_per_epoch
    through = 1 if code == "stale" else 3
    voucher = Voucher(contract.digest(MARKET), through)
    with pytest.raises(RefusedError) as error:
        await host.host.vouchers.take(RENTER.address, VoucherCall(voucher, sign(market, voucher, signer)))
    assert error.value.code == code
    assert await host.vouch(contract, 2) == 0  # again: no fault, and no money
    assert (host.record(contract).voucher, host.record(contract).earned) == (2, gain)


async def test_a_voucher_of_one_contract_pays_no_other(host: Bench) -> None:
    """Fails: as above. Cheat: nothing gained. Victim: nothing."""
    first, second = await host.rented(SHARD), await host.rented(OTHER)
    host.at(first, 1)
    mine = Voucher(first.digest(MARKET), 1)
    call = VoucherCall(Voucher(second.digest(MARKET), 1), sign(MARKET, mine, RENTER))
    with pytest.raises(RefusedError) as error:
        await host.host.vouchers.take(RENTER.address, call)
    assert error.value.code == "signature"
    assert host.record(second).earned == 0


async def test_a_voucher_after_a_cancellation_changes_nothing(host: Bench) -> None:
    """Fails: the cancellation is on its way to the market by then, and pays for all that has begun.

    Cheat (a host that would collect both, or a renter that would replace one by the other): nothing gained. Victim:
    nothing; what was vouched before is in the cancellation.
    """
    contract = await host.rented(SHARD)
    host.at(contract, 1)
    await host.vouch(contract, 2)
    wish = Cancel(contract.digest(MARKET), 3)
    await host.host.cancelling.agree(RENTER.address, CancelCall(wish, sign(MARKET, wish, RENTER)))
    await host.round()
    assert (host.market.calls, host.market.paid(contract)) == (["cancel"], 0b111)
    with pytest.raises(RefusedError) as error:
        await host.vouch(contract, 2 + 1)
    assert error.value.code == "unknown"
    assert host.record(contract).claimed == 3 * contract.price_per_epoch


def test_on_chain_no_voucher_counts_twice_or_elsewhere(bench: StorageBench, terms: Terms) -> None:
    """Fails: a bit per epoch, and the contract's id and market in what is signed.

    Cheat (a host): the fees of its attempts. Victim (the renter): nothing beyond what it vouched for.
    """
    twin = terms._replace(nonce=1)
    bench.open(twin, CHAIN_RENTER, CHAIN_HOST)
    go_to_epoch(bench, terms, 2)
    bench.settle(terms, 2, CHAIN_RENTER)
    signature = CHAIN_RENTER.sign_digest(terms.voucher(bench.separator, 2))
    elsewhere = CHAIN_RENTER.sign_digest(terms.voucher(separator(1029, bench.market.address), 3))
    for contract, through, replayed, refusal in (
        (terms, 2, signature, "NothingThere"),
        (terms, 1, CHAIN_RENTER.sign_digest(terms.voucher(bench.separator, 1)), "NothingThere"),
        (twin, 2, signature, "BadSignature"),
        (terms, 3, elsewhere, "BadSignature"),
        (terms, 3, signature, "BadSignature"),
    ):
        with refused(refusal):
            bench.market.send(CHAIN_HOST, "settle", contract, through, replayed)
    assert bench.balance(CHAIN_HOST) == 1000 - 2 * COLLATERAL
    bench.cancel(terms, 3, CHAIN_RENTER, CHAIN_HOST)
    with refused("WrongStatus"):
        bench.settle(terms, 3, CHAIN_RENTER)
    renter, _, payee, _ = balances(bench)
    assert (renter, payee) == (1000 - 3 * PRICE - ESCROW, 3 * PRICE)


async def test_a_renter_that_never_vouches_pays_every_epoch_all_the_same(tmp_path: Path) -> None:
    """Fails: its host proves each epoch on chain, and is paid out of the escrow.

    Cheat (the renter): saves nothing, all of the escrow goes. Victim (the host): the fees of two transactions
    per epoch.
    """
    async with stage(tmp_path) as made:
        rentals = await made.stored()
        terms = rentals[0].terms
        for epoch in range(EPOCHS):
            await made.go_to(terms.epoch_start(epoch + 1) + EPOCH // 4 + 60, step=EPOCH, renter=False)
            await made.turn(120, renter=False)
        for _ in range(5):  # what was read is final some blocks later
            await made.turn(120, renter=False)
        for rental in rentals:
            landlord = made.landlord(rental)
            assert await made.gain(landlord.address) == rental.terms.escrow
            record = landlord.host.contracts.get(rental.id)
            assert record is not None
            assert (record.state, record.voucher, record.claimed) == (State.COMPLETED, 0, rental.terms.escrow)
            assert landlord.transactions == [
                *(f"{step}:{epoch}" for epoch in range(EPOCHS) for step in ("begin", "prove")),
                "close:0",
            ]
        assert await made.gain(made.renter_address) == -sum(rental.terms.escrow for rental in rentals)


@pytest.mark.parametrize("epoch", range(TERM))
def test_an_auditor_that_colludes_with_the_host_gives_away_what_has_begun_and_no_more(
    bench: StorageBench, terms: Terms, epoch: int
) -> None:
    """Fails: vouchers pay epochs that have begun, and the renter asks for itself whenever it likes.

    Cheat (host without data, auditor that vouches for it): the collateral. Victim (the renter): at most the price of
    the epochs that had begun when it asked.
    """
    go_to_epoch(bench, terms, epoch)
    with refused("BadEpoch"):
        bench.settle(terms, epoch + 2, AUDITOR)
    bench.settle(terms, epoch + 1, AUDITOR)
    bench.market.send(CHAIN_RENTER, "challenge", terms, 0)
    bench.now += ANSWER_PERIOD + 1
    bench.market.send(MALLORY, "fail", terms)
    lost = (epoch + 1) * PRICE
    assert balances(bench) == (1000 - lost + COLLATERAL, 1000 - COLLATERAL, lost, 1000)


@pytest.mark.parametrize("signer", [AUDITOR, CHAIN_RENTER], ids=["auditor", "renter"])
def test_who_vouches_for_nothing_saves_nothing(bench: StorageBench, terms: Terms, signer: PrivateKey) -> None:
    """Fails: a voucher for no epoch is none, and an auditor that says nothing at all is a renter that never vouches.

    Cheat: nothing gained. Victim: nothing.
    """
    go_to_epoch(bench, terms, 1)
    with refused("BadEpoch"):
        bench.settle(terms, 0, signer)
    assert balances(bench) == (1000 - ESCROW, 1000 - COLLATERAL, 0, 1000)
