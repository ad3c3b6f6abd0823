"""The node's way to the storage contracts, with the compiled contracts on both devnets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from node.services.storagecheck import StorageContracts, check
from tests.conformance.benches import ANSWER, NOTICE
from tests.conformance.kit import PAYEE, STRANGER
from tests.conformance.storage_kit import (
    AUDITOR,
    BENCHES,
    BOND,
    COLLATERAL,
    EPOCH,
    EPOCHS,
    FUNDS,
    HOST,
    PRICE,
    RENTER,
    SPARE,
    StorageBench,
    proof,
    storage_bench,
)
from wallet.chains.base import ChainError, RevertedError
from wallet.storage.chain import HostRegistry, StorageMarket
from wallet.storage.directory import Directory
from wallet.storage.errors import SeedLostError, WrongContractError
from wallet.storage.events import (
    Announced,
    Answered,
    Challenged,
    Deposited,
    Ended,
    ExitBegun,
    ExitCancelled,
    Exiting,
    HandedOver,
    Opened,
    ProofBegun,
    Proved,
    Settled,
    Staked,
    StakeWithdrawn,
    Status,
    Withdrawn,
    earned,
)
from wallet.storage.records import (
    SEED_BLOCKS,
    ContractRecord,
    EpochState,
    HostStake,
    MarketSettings,
    OpenChallenge,
    RegistrySettings,
    epoch_states,
)
from wallet.storage_terms import Cancel

ESCROW = EPOCHS * PRICE
URL = "https://host.example:7118"
TABLE = b"\x07" * 32
STAKE = 100 * 10**18


@pytest.fixture(params=sorted(BENCHES))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[StorageBench]:
    async with storage_bench(request.param) as bench:
        yield bench


# --- what is there --------------------------------------------------------------------------------------------------


async def test_the_contracts_are_those_the_settings_name(bench: StorageBench) -> None:
    assert await bench.market.check() == MarketSettings(bench.chain.token, BOND, ANSWER)
    assert await bench.registry.check() == RegistrySettings(bench.chain.token, STAKE, NOTICE)
    assert await check(StorageContracts("devnet", bench.market, bench.registry)) == []


async def test_what_is_no_market_is_told_before_anything_is_signed_for_it(bench: StorageBench) -> None:
    chain = bench.chain
    for wrong in (chain.rail.vault, chain.token, bench.registry.address):
        with pytest.raises(WrongContractError, match="is not our StorageMarket"):
            await StorageMarket(chain, wrong).check()
    with pytest.raises(WrongContractError, match="is not our HostRegistry"):
        await HostRegistry(chain, bench.market.address).check()
    with pytest.raises(ChainError, match="no contract"):
        await StorageMarket(chain, STRANGER).check()


async def test_money_goes_in_and_comes_out(bench: StorageBench) -> None:
    market, calls = bench.market, bench.calls
    await bench.send(calls.approve(70))
    assert await market.allowance(RENTER.address) == 70
    assert await bench.do(calls.deposit_for(STRANGER, 30)) == (Deposited(STRANGER, RENTER.address, 30),)
    assert await market.balance(STRANGER) == 30
    before = await bench.chain.token_balance(STRANGER)
    assert await bench.do(calls.withdraw(FUNDS, STRANGER)) == (Withdrawn(RENTER.address, STRANGER, FUNDS),)
    assert await market.balance(RENTER.address) == 0
    assert await bench.chain.token_balance(STRANGER) == before + FUNDS


# --- a contract's life ----------------------------------------------------------------------------------------------


async def test_a_contract_is_opened_vouched_for_proved_and_closed(bench: StorageBench) -> None:
    market, calls = bench.market, bench.calls
    terms = await bench.offer()
    assert await market.record(bench.id(terms)) == ContractRecord(Status.UNKNOWN)
    first = (await bench.chain.head()).number
    assert await bench.do(calls.open(terms, bench.signatures(terms)), SPARE) == (Opened(bench.id(terms), terms),)
    assert await bench.balances() == [-ESCROW, -COLLATERAL, 0, 0]

    await bench.go_to_epoch(terms, 1)
    done = list(await bench.do(calls.settle(terms, 1, bench.voucher(terms, 1))))
    assert done == [Settled(bench.id(terms), PAYEE.address, 1, 1, PRICE)]

    # From here on the renter is silent.
    await bench.go_to_epoch(terms, 2)
    head = await bench.chain.head()
    states = epoch_states(terms, await market.record(bench.id(terms)), head.timestamp, head.number)
    assert states == (EpochState.PAID, EpochState.PROVABLE, EpochState.RUNNING, EpochState.AHEAD)
    (begun,) = await bench.do(calls.begin_proof(terms), HOST)
    assert isinstance(begun, ProofBegun)
    record = await market.record(bench.id(terms))
    assert (record.begun, record.seed_block) == (begun.epoch, begun.seed_block) == (1, begun.seed_block)
    assert await market.chosen(terms) is None
    await bench.bench.mine(2)
    chosen = await market.chosen(terms)
    assert chosen is not None
    done += await bench.do(calls.prove(terms, proof(chosen.index)), SPARE)
    assert done[-1] == Proved(bench.id(terms), PAYEE.address, 1, chosen.index, PRICE)
    assert earned(done, bench.id(terms)) == 2 * PRICE

    await bench.go_to(terms.end)
    assert await market.closable_at(terms) == terms.end + EPOCH
    with pytest.raises(RevertedError, match=f"not before {terms.end + EPOCH}") as caught:
        await bench.chain.estimate(calls.close(terms), SPARE.address)
    assert caught.value.refusal == "NotYet"
    await bench.go_to(terms.end + EPOCH)
    ended = Ended(bench.id(terms), Status.COMPLETED, 2 * PRICE, COLLATERAL)
    assert await bench.do(calls.close(terms), SPARE) == (ended,)
    assert await bench.balances() == [-2 * PRICE, 0, 2 * PRICE, 0]
    record = await market.record(bench.id(terms))
    assert (record.status, record.paid, record.paid_epochs) == (Status.COMPLETED, 0b11, 2)

    head = await bench.chain.head()
    history = await market.history(bench.id(terms), first, head.number)
    assert [happened.event for happened in history] == [Opened(bench.id(terms), terms), done[0], begun, done[1], ended]
    assert [happened.event for happened in await market.events(first, head.number)][-5:] == [
        happened.event for happened in history
    ]


async def test_a_contract_that_was_vouched_for_closes_with_its_last_voucher(bench: StorageBench) -> None:
    terms = await bench.opened()
    await bench.go_to(terms.end)
    settle = bench.calls.settle(terms, EPOCHS, bench.voucher(terms, EPOCHS, AUDITOR))
    assert await bench.do(settle) == (
        Settled(bench.id(terms), PAYEE.address, EPOCHS, EPOCHS, ESCROW),
        Ended(bench.id(terms), Status.COMPLETED, 0, COLLATERAL),
    )
    assert await bench.balances() == [-ESCROW, 0, ESCROW, 0]


async def test_a_proof_that_comes_too_late_is_lost_and_says_so(bench: StorageBench) -> None:
    terms = await bench.opened()
    with pytest.raises(RevertedError):
        await bench.market.chosen(terms)
    await bench.go_to_epoch(terms, 1)
    await bench.send(bench.calls.begin_proof(terms), HOST)
    await bench.bench.mine(SEED_BLOCKS + 2)
    with pytest.raises(SeedLostError):
        await bench.market.chosen(terms)
    head = await bench.chain.head()
    states = epoch_states(terms, await bench.market.record(bench.id(terms)), head.timestamp, head.number)
    assert states[0] is EpochState.OVER


async def test_a_challenge_is_answered_and_its_bond_earned(bench: StorageBench) -> None:
    terms = await bench.opened()
    await bench.go_to_epoch(terms, 0)
    (challenged,) = await bench.do(bench.calls.challenge(terms, 5), AUDITOR)
    assert isinstance(challenged, Challenged)
    assert (challenged.challenger, challenged.index) == (AUDITOR.address, 5)
    record = await bench.market.record(bench.id(terms))
    assert record.challenge == OpenChallenge(5, challenged.answer_by, by_auditor=True)
    answered = await bench.do(bench.calls.answer(terms, proof(5)), SPARE)
    assert answered == (Answered(bench.id(terms), PAYEE.address, 5, BOND),)
    assert earned(answered, bench.id(terms)) == BOND
    assert await bench.balances() == [-ESCROW, -COLLATERAL, BOND, -BOND]


async def test_a_silent_host_loses_its_collateral(bench: StorageBench) -> None:
    terms = await bench.opened()
    await bench.go_to_epoch(terms, 1)
    await bench.send(bench.calls.settle(terms, 1, bench.voucher(terms, 1)))
    (challenged,) = await bench.do(bench.calls.challenge(terms, 0))
    assert isinstance(challenged, Challenged)
    with pytest.raises(RevertedError, match="not before"):
        await bench.chain.estimate(bench.calls.fail(terms), RENTER.address)
    await bench.go_to(challenged.answer_by + 1)
    unearned = ESCROW - PRICE
    assert await bench.do(bench.calls.fail(terms), SPARE) == (
        Ended(bench.id(terms), Status.FAILED, unearned + COLLATERAL, 0),
    )
    assert await bench.balances() == [COLLATERAL - PRICE, -COLLATERAL, PRICE, 0]


# --- other ways out -------------------------------------------------------------------------------------------------


async def test_either_side_calls_a_contract_off_before_it_starts(bench: StorageBench) -> None:
    terms = await bench.opened()
    called_off = Ended(bench.id(terms), Status.CALLED_OFF, ESCROW, COLLATERAL)
    assert await bench.do(bench.calls.call_off(terms), HOST) == (called_off,)
    assert await bench.balances() == [0, 0, 0, 0]
    with pytest.raises(RevertedError, match="the storage contract is called off") as caught:
        await bench.chain.estimate(bench.calls.open(terms, bench.signatures(terms)), RENTER.address)
    assert caught.value.refusal == "WrongStatus"


async def test_both_cancel(bench: StorageBench) -> None:
    terms = await bench.opened()
    cancel = bench.calls.cancel(terms, 1, bench.signatures(Cancel(bench.id(terms), 1)))
    assert await bench.do(cancel, SPARE) == (
        Settled(bench.id(terms), PAYEE.address, 1, 1, PRICE),
        Ended(bench.id(terms), Status.CANCELLED, ESCROW - PRICE, COLLATERAL),
    )


async def test_a_host_leaves_early_for_a_fee(bench: StorageBench) -> None:
    terms = await bench.opened()
    await bench.go_to_epoch(terms, 0)
    fee = COLLATERAL * (EPOCHS - 2) // (2 * EPOCHS)
    assert await bench.do(bench.calls.exit(terms), HOST) == (Exiting(bench.id(terms), 2, fee, 2 * PRICE),)
    assert (await bench.market.record(bench.id(terms))).epochs == 2
    assert await bench.market.closable_at(terms) == terms.epoch_start(3)


async def test_a_contract_is_handed_over_to_another_host(bench: StorageBench) -> None:
    terms = await bench.opened()
    head = await bench.chain.head()
    successor = await bench.offer(host=SPARE.address, payee=SPARE.address, nonce=8)
    await bench.go_to(terms.start - 50)
    hand_over = bench.calls.hand_over(
        terms,
        0,
        bench.signatures(Cancel(bench.id(terms), 0)),
        successor,
        bench.signatures(successor, SPARE),
    )
    assert await bench.do(hand_over, SPARE) == (
        Ended(bench.id(terms), Status.CANCELLED, ESCROW, COLLATERAL),
        Opened(bench.id(successor), successor),
        HandedOver(bench.id(terms), bench.id(successor)),
    )
    records = await bench.market.records([bench.id(terms), bench.id(successor)])
    assert [record.status for record in records] == [Status.CANCELLED, Status.ACTIVE]
    now = (await bench.chain.head()).number
    mine = await bench.market.opened(head.number, now, host=SPARE.address)
    assert [happened.event.terms for happened in mine] == [successor]
    ours = await bench.market.opened(head.number, now, renter=RENTER.address)
    assert [happened.event.terms for happened in ours] == [terms, successor]
    assert await bench.market.opened(head.number, now, renter=SPARE.address) == []


async def test_what_the_market_refuses_is_told_by_name_and_in_words(bench: StorageBench) -> None:
    terms = await bench.offer(price_per_epoch=FUNDS)
    with pytest.raises(RevertedError, match=f"{EPOCHS * FUNDS} units wanted") as caught:
        await bench.chain.estimate(bench.calls.open(terms, bench.signatures(terms)), RENTER.address)
    assert caught.value.refusal == "NotCovered"
    terms = await bench.opened()
    await bench.go_to_epoch(terms, 0)
    await bench.send(bench.calls.challenge(terms, 1))
    with pytest.raises(RevertedError) as caught:
        await bench.chain.estimate(bench.calls.answer(terms, proof(2)), HOST.address)
    assert caught.value.refusal == "BadProof"


# --- hosts ----------------------------------------------------------------------------------------------------------


async def test_a_host_is_found_by_what_it_announced_last(bench: StorageBench) -> None:
    registry, calls = bench.registry, bench.registry.calls
    first = (await bench.chain.head()).number
    await bench.bench.fund(HOST.address, token=2 * STAKE)
    await bench.send(calls.approve(2 * STAKE), HOST)
    assert await registry.allowance(HOST.address) == 2 * STAKE
    receipt = await bench.send(calls.register(STAKE, AUDITOR.address, "https://old.example", TABLE), HOST)
    assert registry.happened(receipt) == (
        Staked(HOST.address, STAKE, STAKE),
        Announced(HOST.address, AUDITOR.address, "https://old.example", TABLE),
    )
    assert registry.happened(await bench.send(calls.stake(1), HOST)) == (Staked(HOST.address, 1, STAKE + 1),)
    announced = await bench.send(calls.announce(HOST.address, URL), HOST)
    assert await registry.stake(HOST.address) == HostStake(STAKE + 1)
    assert await registry.stake(RENTER.address) == HostStake(0)

    directory, after = Directory(), (await bench.chain.head()).number
    for happened in await registry.events(first, after):
        directory.apply(happened.event, happened.block)
    (entry,) = directory.listed()
    assert (entry.host, entry.signer, entry.endpoint) == (HOST.address, HOST.address, URL)
    assert (entry.stake, entry.price_table, entry.announced) == (STAKE + 1, bytes(32), announced.block)


async def test_a_host_that_leaves_gets_its_stake_back(bench: StorageBench) -> None:
    registry, calls = bench.registry, bench.registry.calls
    await bench.bench.fund(HOST.address, token=STAKE)
    await bench.send(calls.approve(STAKE), HOST)
    await bench.send(calls.register(STAKE, HOST.address, URL), HOST)
    await bench.send(calls.begin_exit(), HOST)
    assert registry.happened(await bench.send(calls.cancel_exit(), HOST)) == (ExitCancelled(HOST.address),)
    (begun,) = registry.happened(await bench.send(calls.begin_exit(), HOST))
    assert isinstance(begun, ExitBegun)
    assert await registry.stake(HOST.address) == HostStake(STAKE, begun.leaves_at)
    with pytest.raises(RevertedError, match=f"not before {begun.leaves_at}"):
        await bench.chain.estimate(calls.withdraw(STRANGER), HOST.address)
    await bench.go_to(begun.leaves_at)
    receipt = await bench.send(calls.withdraw(STRANGER), HOST)
    assert registry.happened(receipt) == (StakeWithdrawn(HOST.address, STRANGER, STAKE),)
    assert await bench.chain.token_balance(STRANGER) == STAKE
    assert await registry.stake(HOST.address) == HostStake(0)
