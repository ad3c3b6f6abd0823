"""On TRON an estimate is what the network takes: energy, bandwidth and new accounts, on our devnet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.conformance.kit import HOT, PAYER, STRANGER, do, signed
from tests.conformance.tron_bench import OLD_TOKEN, TronBench, tron_bench
from wallet.address import Address
from wallet.chains.base import Fee, InsufficientFundsError, RevertedError
from wallet.cheque import Cheque, sign_cheque

TRX = 10**6
FRIEND = Address(b"\x66" * 20)


@pytest.fixture
async def bench() -> AsyncIterator[TronBench]:
    async with tron_bench(finality=2, notice=3600) as bench:
        await bench.fund(PAYER.address, native=10_000 * TRX, token=1000, trc10=500)
        yield bench


async def test_a_new_account_costs_what_the_estimate_says(bench: TronBench) -> None:
    call = bench.chain.transfer_native(STRANGER, 5)
    fee = await bench.chain.estimate(call, PAYER.address)
    assert (await do(bench, call)).fee_paid == fee.total > TRX


async def test_the_free_bandwidth_is_used_up_and_then_paid_to_the_byte(bench: TronBench) -> None:
    await do(bench, bench.chain.transfer_native(STRANGER, 5))
    paid = []
    for _ in range(4):
        call = bench.chain.transfer_native(STRANGER, 5)
        fee = await bench.chain.estimate(call, PAYER.address)
        receipt = await do(bench, call)
        assert receipt.fee_paid == fee.total
        paid.append(receipt.fee_paid)
    assert paid[0] == 0 < paid[-1]


async def test_a_call_takes_no_more_than_its_estimate(bench: TronBench) -> None:
    for _ in range(3):
        call = bench.chain.approve(100)
        fee = await bench.chain.estimate(call, PAYER.address)
        receipt = await do(bench, call)
        assert 0 < receipt.fee_used <= fee.limit
        assert 0 < receipt.fee_paid <= fee.total


async def test_a_call_with_too_little_energy_says_so(bench: TronBench) -> None:
    call = bench.chain.approve(100)
    fee = await bench.chain.estimate(call, PAYER.address)
    tx = await signed(bench, call, fee=replace(fee, limit=fee.limit // 3))
    await bench.chain.broadcast(tx)
    receipt = await bench.chain.receipt(tx.hash)
    assert receipt is not None
    assert not receipt.ok
    assert "ran out of energy" in await bench.chain.why_reverted(tx.tx, receipt)


async def test_a_trc10_token_moves_and_costs_bandwidth_only(bench: TronBench) -> None:
    call = bench.chain.transfer(OLD_TOKEN, FRIEND, 120)
    fee = await bench.chain.estimate(call, PAYER.address)
    assert fee.limit == 0
    receipt = await do(bench, call)
    assert receipt.fee_paid == fee.total
    assert await bench.chain.balance(OLD_TOKEN, FRIEND) == 120
    assert await bench.chain.balance(OLD_TOKEN, PAYER.address) == 380


async def test_what_the_sender_does_not_have_is_refused_before_anything_is_signed(bench: TronBench) -> None:
    chain = bench.chain
    with pytest.raises(InsufficientFundsError, match="assetBalance is not sufficient"):
        await chain.estimate(chain.transfer(OLD_TOKEN, FRIEND, 501), PAYER.address)
    with pytest.raises(InsufficientFundsError):
        await chain.estimate(chain.transfer_native(FRIEND, 1), HOT.address)


@pytest.mark.parametrize(("to", "amount", "told"), [(PAYER.address, 1, "yourself"), (FRIEND, 0, "greater than 0")])
async def test_transfers_that_make_no_sense_are_refused_in_the_networks_words(
    bench: TronBench, to: Address, amount: int, told: str
) -> None:
    call = bench.chain.transfer_native(to, amount)
    with pytest.raises(RevertedError, match=told):
        await bench.chain.estimate(call, PAYER.address)
    tx = await signed(bench, call, fee=Fee(0, 100))
    with pytest.raises(RevertedError, match=told):
        await bench.chain.broadcast(tx)


async def test_many_cheques_show_their_energy_before_they_are_cashed(bench: TronBench) -> None:
    chain = bench.chain
    await do(bench, chain.approve(1000))
    await do(bench, chain.deposit(1000))
    await bench.fund(HOT.address, native=1000 * TRX)
    payees = [Address(bytes([n]) * 20) for n in range(100, 120)]
    cheques = [sign_cheque(chain.rail, Cheque(PAYER.address, payee, 10), PAYER) for payee in payees]
    call = chain.cash(cheques, None)
    fee = await chain.estimate(call, HOT.address)
    receipt = await do(bench, call, HOT)
    assert len(receipt.events) == len(cheques)
    assert receipt.fee_used <= fee.limit <= 2 * receipt.fee_used
    assert receipt.fee_paid <= fee.total


async def test_a_signature_of_another_key_is_refused(bench: TronBench) -> None:
    call = bench.chain.transfer_native(STRANGER, 5)
    tx = await signed(bench, call, fee=Fee(0, 100))
    forged = tx.raw[:-65] + HOT.sign_digest(tx.hash)
    with pytest.raises(Exception, match="does not take the signature"):
        await bench.chain.broadcast(replace(tx, raw=forged))
