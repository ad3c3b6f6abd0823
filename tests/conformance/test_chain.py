"""What every `ChainAdapter` promises, checked on chains in memory and on our devnets with the compiled contracts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conformance.benches import BENCHES, FINALITY, NOTICE, Bench
from tests.conformance.kit import HOT, PAYEE, PAYER, STRANGER, coin, do, funded, gas_money, signed
from wallet.address import Address
from wallet.chains import abi
from wallet.chains.assets import Asset, AssetKind, TokenTransfer
from wallet.chains.base import (
    Authorisation,
    Authorised,
    BouncedCheque,
    CashedCheque,
    ChainError,
    Deposited,
    Fee,
    FeeTooHighError,
    InsufficientFundsError,
    Locked,
    NoticeCancelled,
    NoticeGiven,
    PayerState,
    Receipt,
    RejectedCheque,
    Rejection,
    RevertedError,
    Revoked,
    Unlocked,
    UnlockRequested,
    Withdrawn,
)
from wallet.chains.reading import FoundLog, Log
from wallet.chains.wait import wait_final
from wallet.cheque import Cheque, SignedCheque, sign_cheque
from wallet.digests import word
from wallet.keys import PrivateKey


@pytest.fixture(params=sorted(BENCHES))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with funded(request.param) as bench:
        yield bench


async def deposit(bench: Bench, amount: int) -> Receipt:
    await do(bench, bench.chain.approve(amount))
    return await do(bench, bench.chain.deposit(amount))


def cheque(bench: Bench, cumulative: int, signer: PrivateKey = PAYER) -> SignedCheque:
    return sign_cheque(bench.chain.rail, Cheque(PAYER.address, PAYEE.address, cumulative), signer)


# --- wallets --------------------------------------------------------------------------------------------------------


async def test_the_adapter_names_its_chain(bench: Bench) -> None:
    await bench.chain.start()
    names = ("tron:0x2b6653dc", 6) if bench.chain.expires else ("eip155:199", 18)
    assert (bench.chain.rail.id, bench.chain.native.decimals) == names
    before = await bench.chain.head()
    await bench.mine()
    after = await bench.chain.head()
    assert (after.number, len(after.hash)) == (before.number + 1, 32)
    assert after.timestamp >= before.timestamp


async def test_a_native_transfer_costs_the_amount_and_the_fee_of_the_receipt(bench: Bench) -> None:
    amount = 5 * coin(bench)
    call = bench.chain.transfer_native(STRANGER, amount)
    fee = await bench.chain.estimate(call, PAYER.address)
    receipt = await do(bench, call)
    assert await bench.chain.native_balance(STRANGER) == amount
    assert await bench.chain.native_balance(PAYER.address) == gas_money(bench) - amount - receipt.fee_paid
    assert 0 < receipt.fee_paid <= fee.total
    assert receipt.fee_used <= fee.limit


async def test_a_token_transfer_moves_tokens(bench: Bench) -> None:
    await do(bench, bench.chain.transfer_token(STRANGER, 300))
    assert await bench.chain.token_balance(STRANGER) == 300
    assert await bench.chain.token_balance(PAYER.address) == 700


async def test_tokens_that_are_not_there_are_refused_before_anything_is_signed(bench: Bench) -> None:
    with pytest.raises(RevertedError, match="holds 1000 units of the token, 1001 are needed"):
        await bench.chain.estimate(bench.chain.transfer_token(STRANGER, 1001), PAYER.address)


# --- deposits and withdrawals ---------------------------------------------------------------------------------------


async def test_a_deposit_takes_what_was_approved(bench: Bench) -> None:
    with pytest.raises(RevertedError, match="may take 0 units"):
        await bench.chain.estimate(bench.chain.deposit(1), PAYER.address)
    await do(bench, bench.chain.approve(400))
    assert await bench.chain.allowance(PAYER.address) == 400
    receipt = await do(bench, bench.chain.deposit(300))
    assert receipt.events == (Deposited(PAYER.address, PAYER.address, 300),)
    assert await bench.chain.allowance(PAYER.address) == 100
    assert await bench.chain.payer_state(PAYER.address) == PayerState(300)
    assert await bench.chain.available(PAYER.address, PAYEE.address) == 300


async def test_a_deposit_for_somebody_else_is_theirs(bench: Bench) -> None:
    await do(bench, bench.chain.approve(50))
    receipt = await do(bench, bench.chain.deposit_for(PAYEE.address, 50))
    assert receipt.events == (Deposited(PAYEE.address, PAYER.address, 50),)
    assert await bench.chain.payer_state(PAYEE.address) == PayerState(50)


async def test_a_withdrawal_takes_a_notice_and_its_time(bench: Bench) -> None:
    await deposit(bench, 300)
    receipt = await do(bench, bench.chain.give_notice(500))
    (given,) = receipt.events
    assert isinstance(given, NoticeGiven)
    assert given == NoticeGiven(PAYER.address, 300, (await bench.chain.head()).timestamp + NOTICE)
    assert await bench.chain.payer_state(PAYER.address) == PayerState(300, 0, 300, given.ready_at)
    assert await bench.chain.available(PAYER.address, PAYEE.address) == 300
    with pytest.raises(RevertedError, match=f"not before {given.ready_at}"):
        await bench.chain.estimate(bench.chain.withdraw(STRANGER), PAYER.address)
    await bench.pass_time(NOTICE)
    receipt = await do(bench, bench.chain.withdraw(STRANGER))
    assert receipt.events == (Withdrawn(PAYER.address, STRANGER, 300),)
    assert await bench.chain.token_balance(STRANGER) == 300
    assert await bench.chain.payer_state(PAYER.address) == PayerState(0)


async def test_a_notice_can_be_cancelled(bench: Bench) -> None:
    await deposit(bench, 300)
    await do(bench, bench.chain.give_notice(100))
    receipt = await do(bench, bench.chain.cancel_notice())
    assert receipt.events == (NoticeCancelled(PAYER.address),)
    with pytest.raises(RevertedError, match="nothing to move"):
        await bench.chain.estimate(bench.chain.cancel_notice(), PAYER.address)


async def test_locked_money_is_there_for_one_payee_until_it_is_unlocked(bench: Bench) -> None:
    chain = bench.chain
    await deposit(bench, 300)
    receipt = await do(bench, chain.lock(PAYEE.address, 200))
    assert receipt.events == (Locked(PAYER.address, PAYEE.address, 200, 200),)
    assert await chain.payer_state(PAYER.address) == PayerState(300, 200)
    assert await chain.available(PAYER.address, PAYEE.address) == 300
    assert await chain.available(PAYER.address, STRANGER) == 100
    with pytest.raises(RevertedError, match="101 units wanted, 100 are free"):
        await chain.estimate(chain.lock(PAYEE.address, 101), PAYER.address)
    receipt = await do(bench, chain.request_unlock(PAYEE.address))
    ready_at = (await chain.head()).timestamp + NOTICE
    assert receipt.events == (UnlockRequested(PAYER.address, PAYEE.address, ready_at),)
    await bench.pass_time(NOTICE)
    receipt = await do(bench, chain.unlock(PAYEE.address))
    assert receipt.events == (Unlocked(PAYER.address, PAYEE.address, 200),)
    assert await chain.payer_state(PAYER.address) == PayerState(300)


# --- cheques --------------------------------------------------------------------------------------------------------


async def test_cashing_pays_the_difference_to_what_was_paid(bench: Bench) -> None:
    chain = bench.chain
    await deposit(bench, 300)
    receipt = await do(bench, chain.cash([cheque(bench, 100)], PAYEE.address), PAYEE)
    assert receipt.events == (CashedCheque(PAYER.address, PAYEE.address, PAYEE.address, 100, 100),)
    await do(bench, chain.cash([cheque(bench, 250)], PAYEE.address), PAYEE)
    assert await chain.token_balance(PAYEE.address) == 250
    assert await chain.paid_out(PAYER.address, PAYEE.address) == 250
    assert await chain.payer_state(PAYER.address) == PayerState(50)


async def test_what_is_not_covered_bounces_and_is_paid_later(bench: Bench) -> None:
    chain = bench.chain
    await deposit(bench, 300)
    receipt = await do(bench, chain.cash([cheque(bench, 500)], PAYEE.address), PAYEE)
    assert receipt.events == (
        CashedCheque(PAYER.address, PAYEE.address, PAYEE.address, 500, 300),
        BouncedCheque(PAYER.address, PAYEE.address, 500, 300, 200),
    )
    await deposit(bench, 200)
    await do(bench, chain.cash([cheque(bench, 500)], PAYEE.address), PAYEE)
    assert await chain.token_balance(PAYEE.address) == 500


async def test_a_bad_cheque_does_not_hold_up_the_others(bench: Bench) -> None:
    await deposit(bench, 300)
    forged = cheque(bench, 300, signer=HOT)
    to_himself = sign_cheque(bench.chain.rail, Cheque(PAYER.address, PAYER.address, 1), PAYER)
    batch = [forged, to_himself, cheque(bench, 200), cheque(bench, 100)]
    receipt = await do(bench, bench.chain.cash(batch, PAYEE.address), PAYEE)
    assert receipt.events == (
        RejectedCheque(PAYER.address, PAYEE.address, Rejection.BAD_SIGNATURE),
        RejectedCheque(PAYER.address, PAYER.address, Rejection.BAD_PAYEE),
        CashedCheque(PAYER.address, PAYEE.address, PAYEE.address, 200, 200),
        RejectedCheque(PAYER.address, PAYEE.address, Rejection.NOTHING_NEW),
    )


async def test_a_cheque_over_any_amount_draws_what_there_is(bench: Bench) -> None:
    await deposit(bench, 300)
    receipt = await do(bench, bench.chain.cash([cheque(bench, 2**256 - 1)], PAYEE.address), PAYEE)
    assert receipt.events[1] == BouncedCheque(PAYER.address, PAYEE.address, 2**256 - 1, 300, 2**256 - 301)


async def test_the_vault_is_nobodys_partner(bench: Bench) -> None:
    chain = bench.chain
    await deposit(bench, 300)
    with pytest.raises(RevertedError, match="not allowed here"):
        await chain.estimate(chain.deposit_for(chain.rail.vault, 1), PAYER.address)
    to_vault = sign_cheque(chain.rail, Cheque(PAYER.address, chain.rail.vault, 5), PAYER)
    receipt = await do(bench, chain.cash([to_vault], None), PAYEE)
    assert receipt.events == (RejectedCheque(PAYER.address, chain.rail.vault, Rejection.BAD_PAYEE),)
    receipt = await do(bench, chain.cash([cheque(bench, 5)], chain.rail.vault), PAYEE)
    assert receipt.events == (RejectedCheque(PAYER.address, PAYEE.address, Rejection.BAD_RECIPIENT),)


async def test_a_cap_above_112_bits_is_no_cap(bench: Bench) -> None:
    receipt = await do(bench, bench.chain.authorise(HOT.address, 2**256 - 1))
    assert receipt.events == (Authorised(PAYER.address, HOT.address, 2**112 - 1),)
    assert await bench.chain.authorised(PAYER.address, HOT.address) == Authorisation(2**112 - 1, 0)


async def test_a_payout_can_stay_in_the_vault(bench: Bench) -> None:
    await deposit(bench, 300)
    receipt = await do(bench, bench.chain.cash([cheque(bench, 100)], None), PAYEE)
    assert receipt.events == (CashedCheque(PAYER.address, PAYEE.address, Address(bytes(20)), 100, 100),)
    assert await bench.chain.payer_state(PAYEE.address) == PayerState(100)
    assert await bench.chain.token_balance(PAYEE.address) == 0


async def test_only_the_payee_sends_a_payout_elsewhere(bench: Bench) -> None:
    await deposit(bench, 300)
    elsewhere = bench.chain.cash([cheque(bench, 100)], STRANGER)
    receipt = await do(bench, elsewhere, PAYER)
    assert receipt.events == (RejectedCheque(PAYER.address, PAYEE.address, Rejection.BAD_RECIPIENT),)
    await do(bench, elsewhere, PAYEE)
    assert await bench.chain.token_balance(STRANGER) == 100


async def test_a_hot_key_moves_up_to_its_cap_until_it_is_revoked(bench: Bench) -> None:
    chain = bench.chain
    await deposit(bench, 300)
    receipt = await do(bench, chain.authorise(HOT.address, 120))
    assert receipt.events == (Authorised(PAYER.address, HOT.address, 120),)
    receipt = await do(bench, chain.cash([cheque(bench, 200, signer=HOT)], PAYEE.address), PAYEE)
    assert BouncedCheque(PAYER.address, PAYEE.address, 200, 120, 80) in receipt.events
    assert await chain.authorised(PAYER.address, HOT.address) == Authorisation(120, 120)
    receipt = await do(bench, chain.revoke(HOT.address))
    assert receipt.events == (Revoked(PAYER.address, HOT.address),)
    assert await chain.authorised(PAYER.address, HOT.address) == Authorisation(0, 120)
    await bench.pass_time(NOTICE + 1)
    receipt = await do(bench, chain.cash([cheque(bench, 200, signer=HOT)], PAYEE.address), PAYEE)
    assert receipt.events == (RejectedCheque(PAYER.address, PAYEE.address, Rejection.BAD_SIGNATURE),)


async def test_a_revoked_key_still_draws_what_is_locked(bench: Bench) -> None:
    await deposit(bench, 300)
    await do(bench, bench.chain.authorise(HOT.address, 120))
    await do(bench, bench.chain.lock(PAYEE.address, 60))
    await do(bench, bench.chain.revoke(HOT.address))
    receipt = await do(bench, bench.chain.cash([cheque(bench, 100, signer=HOT)], PAYEE.address), PAYEE)
    assert receipt.events[0] == CashedCheque(PAYER.address, PAYEE.address, PAYEE.address, 100, 60)


async def test_events_are_those_of_the_receipts_in_order(bench: Bench) -> None:
    first = await deposit(bench, 300)
    second = await do(bench, bench.chain.give_notice(100))
    logs = await bench.chain.events(first.block, second.block)
    assert [(log.event, log.block, log.block_hash, log.transaction) for log in logs] == [
        (event, receipt.block, receipt.block_hash, receipt.hash)
        for receipt in (first, second)
        for event in receipt.events
    ]
    assert [log.event for log in await bench.chain.events(second.block, second.block)] == list(second.events)
    assert not await bench.chain.events(second.block + 1, second.block + 9)


async def test_what_happened_long_ago_is_found(bench: Bench) -> None:
    """Far enough behind the head that an adapter may ask an index instead of the blocks."""
    first = await do(bench, bench.chain.approve(300))
    second = await do(bench, bench.chain.deposit(300))
    moved = await do(bench, bench.chain.transfer_token(STRANGER, 5))
    await bench.mine(70)
    head = (await bench.chain.head()).number
    assert [log.event for log in await bench.chain.events(first.block, head)] == list(second.events)
    asset = Asset(AssetKind.TOKEN, bench.chain.rail.token, bench.chain.token)
    found = await bench.chain.transfers(asset, PAYER.address, first.block, head)
    assert [(one.to, one.amount, one.block) for one in found] == [
        (bench.chain.rail.vault, 300, second.block),
        (STRANGER, 5, moved.block),
    ]


# --- transactions ---------------------------------------------------------------------------------------------------


async def test_the_same_transaction_is_signed_to_the_same_bytes(bench: Bench) -> None:
    tx = await signed(bench, bench.chain.transfer_native(STRANGER, 1))
    assert bench.chain.sign(tx.tx, PAYER) == tx


async def test_two_equal_calls_are_two_transactions(bench: Bench) -> None:
    receipts = [await do(bench, bench.chain.transfer_token(STRANGER, 20)) for _ in range(2)]
    assert receipts[0].hash != receipts[1].hash
    assert await bench.chain.token_balance(STRANGER) == 40


async def test_a_broadcast_may_be_repeated_waiting_or_mined(bench: Bench) -> None:
    await bench.automine(False)
    tx = await signed(bench, bench.chain.transfer_native(STRANGER, 7))
    await bench.chain.broadcast(tx)
    await bench.chain.broadcast(tx)
    assert await bench.chain.receipt(tx.hash) is None
    await bench.mine()
    await bench.chain.broadcast(tx)
    await bench.mine()
    assert await bench.chain.native_balance(STRANGER) == 7


async def test_an_amount_that_is_not_there_is_refused(bench: Bench) -> None:
    with pytest.raises(InsufficientFundsError):
        await bench.chain.estimate(bench.chain.transfer_native(STRANGER, gas_money(bench)), PAYER.address)


async def test_a_broadcast_without_funds_is_refused(bench: Bench) -> None:
    call = bench.chain.transfer_native(STRANGER, 1)
    fee = await bench.chain.estimate(call, PAYER.address)
    with pytest.raises(InsufficientFundsError):
        await bench.chain.broadcast(await signed(bench, call, HOT, fee=fee))


async def test_fees_above_the_bound_are_refused(bench: Bench) -> None:
    call = bench.chain.transfer_native(STRANGER, 1)
    with pytest.raises(FeeTooHighError):
        await bench.chain.prepare(call, PAYER.address, 0, Fee(1, bench.max_fee + 1))


async def test_a_failed_transaction_costs_its_fee_and_tells_the_reason(bench: Bench) -> None:
    await deposit(bench, 10)
    call = bench.chain.cancel_notice()
    before = await bench.chain.native_balance(PAYER.address)
    price = (await bench.chain.estimate(bench.chain.give_notice(1), PAYER.address)).price
    tx = await signed(bench, call, fee=Fee(200_000, price))
    await bench.chain.broadcast(tx)
    receipt = await bench.chain.receipt(tx.hash)
    assert receipt is not None
    assert (receipt.ok, receipt.events) == (False, ())
    assert await bench.chain.native_balance(PAYER.address) == before - receipt.fee_paid
    assert "nothing to move" in await bench.chain.why_reverted(tx.tx, receipt)


async def test_a_receipt_is_final_when_enough_blocks_follow(bench: Bench) -> None:
    receipt = await do(bench, bench.chain.transfer_native(STRANGER, 1))
    await bench.mine(FINALITY - 1)
    assert not await bench.chain.is_final(receipt)
    await bench.mine()
    assert await bench.chain.is_final(receipt)
    assert await wait_final(bench.chain, receipt.hash, deadline=0) == receipt


async def test_the_final_block_is_the_newest_that_stays(bench: Bench) -> None:
    receipt = await do(bench, bench.chain.transfer_native(STRANGER, 1))
    assert (await bench.chain.final(receipt.block)).number < receipt.block
    await bench.mine(FINALITY)
    head, final, older = await bench.chain.head(), await bench.chain.final(), await bench.chain.final(receipt.block)
    assert receipt.block <= final.number < head.number
    assert (older.number, older.hash) == (receipt.block, receipt.block_hash)
    assert await bench.chain.final(head.number) == final


async def test_a_reorganisation_takes_receipts_back(bench: Bench) -> None:
    snapshot = await bench.snapshot()
    tx = await signed(bench, bench.chain.transfer_native(STRANGER, 1))
    await bench.chain.broadcast(tx)
    receipt = await bench.chain.receipt(tx.hash)
    assert receipt is not None
    await bench.restore(snapshot)
    await bench.pass_time(5)
    await bench.mine(1 + FINALITY)
    assert await bench.chain.receipt(tx.hash) is None
    assert not await bench.chain.is_final(receipt)
    assert not await bench.chain.is_void(tx)
    await bench.chain.broadcast(tx)
    assert await bench.chain.receipt(tx.hash) is not None


async def test_waiting_for_a_receipt_ends_at_its_deadline(bench: Bench) -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    with pytest.raises(TimeoutError, match="not final after 3 s"):
        await wait_final(bench.chain, bytes(32), deadline=3, poll=1, clock=lambda: now, sleep=sleep)


# --- assets ---------------------------------------------------------------------------------------------------------


async def test_every_asset_moves_by_the_same_two_functions(bench: Bench) -> None:
    native = Asset(AssetKind.NATIVE, bench.chain.native)
    token = Asset(AssetKind.TOKEN, bench.chain.rail.token, bench.chain.token)
    for asset, amount in ((native, coin(bench)), (token, 20)):
        await do(bench, bench.chain.transfer(asset, STRANGER, amount))
        assert await bench.chain.balance(asset, STRANGER) == amount


async def test_token_transfers_of_an_account_are_found_in_both_directions_and_in_order(bench: Bench) -> None:
    token = Asset(AssetKind.TOKEN, bench.chain.rail.token, bench.chain.token)
    first = (await bench.chain.head()).number + 1
    receipts = [
        await do(bench, bench.chain.transfer(token, PAYEE.address, 20)),
        await do(bench, bench.chain.transfer(token, PAYER.address, 5), PAYEE),
        await do(bench, bench.chain.transfer(token, PAYER.address, 1)),
    ]
    found = await bench.chain.transfers(token, PAYER.address, first, receipts[-1].block)
    assert list(found) == [
        TokenTransfer(PAYER.address, PAYEE.address, 20, receipts[0].block, receipts[0].hash),
        TokenTransfer(PAYEE.address, PAYER.address, 5, receipts[1].block, receipts[1].hash),
        TokenTransfer(PAYER.address, PAYER.address, 1, receipts[2].block, receipts[2].hash),
    ]
    assert list(await bench.chain.transfers(token, PAYEE.address, first, receipts[-1].block)) == list(found)[:2]
    assert list(await bench.chain.transfers(token, STRANGER, first, receipts[-1].block)) == []
    with pytest.raises(ValueError, match="keeps no list"):
        await bench.chain.transfers(Asset(AssetKind.NATIVE, bench.chain.native), PAYER.address, first, first)


# --- any contract ---------------------------------------------------------------------------------------------------


async def test_a_contract_answers_questions_as_bytes(bench: Bench) -> None:
    chain = bench.chain
    await deposit(bench, 300)
    balance = abi.call_data("balance(address)", PAYER.address)
    paid_out = abi.call_data("paidOut(address,address)", PAYER.address, PAYEE.address)
    assert await chain.ask(chain.rail.vault, balance, paid_out) == [word(300), word(0)]
    assert await chain.ask(chain.token, abi.call_data("balanceOf(address)", PAYER.address)) == [word(700)]


async def test_nobody_answers_where_there_is_no_contract(bench: Bench) -> None:
    with pytest.raises(ChainError, match="no contract at") as caught:
        await bench.chain.ask(STRANGER, abi.call_data("balanceOf(address)", PAYER.address))
    assert not caught.value.retry


async def test_a_refusal_names_the_contracts_error(bench: Bench) -> None:
    with pytest.raises(RevertedError) as caught:
        await bench.chain.estimate(bench.chain.cancel_notice(), PAYER.address)
    assert caught.value.refusal == "NothingThere"


async def test_a_receipt_has_the_logs_of_all_contracts(bench: Bench) -> None:
    chain = bench.chain
    receipt = await deposit(bench, 300)
    moved = Log(chain.token, (abi.TRANSFER, word(PAYER.address), word(chain.rail.vault)), word(300))
    deposited = Log(chain.rail.vault, *abi.encode_event(Deposited(PAYER.address, PAYER.address, 300)))
    assert receipt.logs == (moved, deposited)


async def test_a_contracts_logs_are_found_by_their_topics(bench: Bench) -> None:
    chain = bench.chain
    receipt = await deposit(bench, 300)
    other = await do(bench, chain.transfer_token(STRANGER, 5))
    head = (await chain.head()).number
    found = await chain.logs(chain.rail.vault, receipt.block, head)
    assert found == [FoundLog(receipt.logs[1], receipt.block, receipt.block_hash, receipt.hash)]
    to_stranger = await chain.logs(chain.token, receipt.block, head, [abi.TRANSFER, None, word(STRANGER)])
    assert [(log.log, log.transaction) for log in to_stranger] == [(other.logs[0], other.hash)]
    from_payer = await chain.logs(chain.token, receipt.block, head, [abi.TRANSFER, word(PAYER.address)])
    assert [log.transaction for log in from_payer] == [receipt.hash, other.hash]
    assert await chain.logs(chain.rail.vault, other.block, head) == []
