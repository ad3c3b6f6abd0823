"""BTFS cheques in the node: durable before they count, booked by what came in, issued within the user's limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.ports.store import Account, Line, Role
from node.services.rate import TooOftenError
from tests.contracts.bench import key
from tests.contracts.btfs_bench import FIRST
from tests.unit.services.btfs_node import OTHER, OURS, RAIL, RENTER, BtfsNode, btfs_node
from wallet.address import Address
from wallet.btfs import wire
from wallet.btfs.errors import (
    IssueError,
    NotGrowingError,
    NotOurVaultError,
    OverdrawnError,
    UncoveredError,
    WireError,
    WrongSignerError,
)
from wallet.chains.base import ChainUnreachableError
from wallet.chains.evm import EvmChain
from wallet.errors import ChequeError, LimitError
from wallet.limits import SpendLimits
from wallet.spending import TransferLimits

BOTH = pytest.mark.parametrize("usdd", [False, True], ids=["WBTT", "token"])
DAY = 86_400


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[BtfsNode]:
    async with btfs_node(tmp_path) as made:
        yield made


async def balance(node: BtfsNode, account: Account, *, usdd: bool = False) -> int:
    return (await node.store.balances()).get(Line(RAIL, "USDD" if usdd else "", account), 0)


# --- receiving ------------------------------------------------------------------------------------------------------


@BOTH
async def test_a_received_cheque_is_durable_and_counts_once(node: BtfsNode, usdd: bool) -> None:
    assert (await node.btfs.receive(node.raw(300, usdd=usdd))).gain == 300
    await node.restart()
    with pytest.raises(NotGrowingError):
        await node.btfs.receive(node.raw(300, usdd=usdd))
    assert (await node.btfs.receive(node.raw(450, usdd=usdd))).gain == 150
    [record] = await node.btfs.cheques()
    assert (record.role, record.cumulative, record.cashed) == (Role.PAYER, 450, 0)
    assert node.btfs.encoded(record) == node.raw(450, usdd=usdd)
    assert await balance(node, Account.CHEQUES_HELD, usdd=usdd) == 450
    assert await balance(node, Account.STORAGE_INCOME, usdd=usdd) == -450


async def test_a_refused_cheque_leaves_nothing_behind(node: BtfsNode) -> None:
    forged = wire.encode(node.bench.cheque(node.vault, OTHER, OURS, 5), node.bench.wbtt.address)
    for raw, error in ((b"{}", WireError), (node.raw(1001), UncoveredError), (forged, WrongSignerError)):
        with pytest.raises(error):
            await node.btfs.receive(raw)
    assert await node.btfs.cheques() == []
    assert await node.store.balances() == {}


async def test_who_asks_too_often_waits_and_others_do_not(node: BtfsNode) -> None:
    for _ in range(60):
        with pytest.raises(WireError):
            await node.btfs.receive(b"{}", caller="a")
    for _ in range(2):
        with pytest.raises(TooOftenError):
            await node.btfs.receive(node.raw(5), caller="a")
    assert (await node.btfs.receive(node.raw(5), caller="b")).gain == 5
    node.clock.time += 5
    assert (await node.btfs.receive(node.raw(6), caller="a")).gain == 1


# --- cashing --------------------------------------------------------------------------------------------------------


@BOTH
async def test_cashing_brings_what_the_plan_says_and_books_it(node: BtfsNode, usdd: bool) -> None:
    paid = 0
    for cumulative in (300, 1000):
        await node.btfs.receive(node.raw(cumulative, usdd=usdd))
        [planned] = await node.btfs.plan()
        assert (planned.due, planned.payout, planned.note) == (cumulative - paid, cumulative - paid, "")
        assert await node.holds(usdd=usdd) == paid
        [cashed] = await node.btfs.cash([planned])
        assert cashed.amount == cumulative - paid
        paid = cumulative
        assert await node.holds(usdd=usdd) == paid
        assert (await node.btfs.cheques())[0].cashed == paid
    assert await node.btfs.plan() == []
    assert await balance(node, Account.WALLET, usdd=usdd) == 1000
    assert await balance(node, Account.CHEQUES_HELD, usdd=usdd) == 0


async def test_one_vault_or_all_are_cashed_each_in_its_own_transaction(node: BtfsNode) -> None:
    second, third = [await node.deploy() for _ in range(2)]
    for vault, amount in ((node.vault, 1), (second, 20), (third, 300)):
        await node.btfs.receive(node.raw(amount, vault=vault))
    [only] = await node.btfs.plan(second.address)
    assert only.payout == 20
    await node.btfs.cash([only])
    assert await node.holds() == 20
    assert sorted(cashed.amount for cashed in await node.btfs.cash(await node.btfs.plan())) == [1, 300]
    assert await node.holds() == 321
    with pytest.raises(ChequeError, match="no cheque drawn on"):
        await node.btfs.plan(node.ours.address)


async def test_what_cannot_be_cashed_says_why_and_costs_nothing(node: BtfsNode) -> None:
    other = await node.deploy()
    await node.btfs.receive(node.raw(600))
    await node.btfs.receive(node.raw(5, vault=other))
    await node.on_chain(lambda _: node.vault.send(RENTER, "withdraw", 900))
    nonce = await node.chain.next_nonce(OURS.address)
    plan = {planned.signed.cheque.vault: planned for planned in await node.btfs.plan()}
    empty = plan[node.vault.address]
    assert (empty.due, empty.payout, empty.fee) == (600, 0, None)
    assert empty.note == "the vault holds 0.0000000000000001 WBTT only"
    found = {cashed.cashable.signed.cheque.vault: cashed for cashed in await node.btfs.cash(plan.values())}
    assert (found[node.vault.address].done, found[node.vault.address].fault) == (None, empty.note)
    assert found[other.address].amount == 5
    assert await node.chain.next_nonce(OURS.address) == nonce + 1


async def test_a_vault_that_runs_dry_after_the_plan_fails_alone_and_may_be_tried_again(node: BtfsNode) -> None:
    other = await node.deploy()
    await node.btfs.receive(node.raw(600))
    await node.btfs.receive(node.raw(5, vault=other))
    plan = await node.btfs.plan()
    await node.on_chain(lambda _: node.vault.send(RENTER, "withdraw", 900))
    outcomes = {cashed.cashable.signed.cheque.vault: cashed for cashed in await node.btfs.cash(plan)}
    assert "insufficient fund" in outcomes[node.vault.address].fault
    assert outcomes[other.address].amount == 5
    await node.on_chain(lambda bench: bench.fund(node.vault, 900))
    [again] = await node.btfs.cash(await node.btfs.plan())
    assert again.amount == 600


async def test_a_cheque_that_bounces_in_part_counts_for_the_part_and_can_be_cashed_for_the_rest(node: BtfsNode) -> None:
    first = await node.deploy(FIRST)
    await node.btfs.receive(node.raw(700, vault=first))
    await node.on_chain(lambda _: first.send(RENTER, "withdraw", 900))
    [planned] = await node.btfs.plan()
    assert (planned.due, planned.payout) == (700, 100)
    assert (await node.btfs.cash([planned]))[0].amount == 100
    assert (await node.btfs.cheques())[0].cashed == 100
    await node.on_chain(lambda bench: bench.fund(first, 900))
    assert (await node.btfs.cash(await node.btfs.plan()))[0].amount == 600
    assert await balance(node, Account.WALLET) == await node.holds() == 700


async def test_what_a_crash_left_unbooked_is_booked_once_at_the_next_start(
    node: BtfsNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.btfs.receive(node.raw(300))

    async def away(*_arguments: object) -> None:
        raise ChainUnreachableError("gone")

    with monkeypatch.context() as crash:
        crash.setattr(EvmChain, "transfers", away)
        with pytest.raises(ChainUnreachableError):
            await node.btfs.cash(await node.btfs.plan())
    assert await node.holds() == 300
    assert (await node.btfs.cheques())[0].cashed == 0
    await node.restart()
    for _ in range(2):
        await node.settlement.recover()
    assert (await node.btfs.cheques())[0].cashed == 300
    assert await balance(node, Account.WALLET) == 300
    assert await node.btfs.plan() == []


# --- issuing --------------------------------------------------------------------------------------------------------


@BOTH
async def test_an_issued_cheque_is_what_a_host_takes_and_grows_across_restarts(node: BtfsNode, usdd: bool) -> None:
    token = node.bench.usdd if usdd else None
    contract = None if token is None else token.address
    for amount, cumulative in ((30, 30), (12, 42)):
        raw = await node.btfs.issue(node.ours.address, OTHER.address, amount, contract)
        signed = wire.decode(raw, node.bench.wbtt.address)
        assert signed.cheque.cumulative == cumulative
        await node.restart()
    await node.on_chain(lambda bench: bench.cash(OTHER, node.ours, signed, OTHER.address))
    assert await node.holds(OTHER, usdd=usdd) == 42
    [record] = await node.btfs.cheques()
    assert (record.role, record.beneficiary, record.cumulative) == (Role.PAYEE, OTHER.address, 42)
    assert node.btfs.encoded(record) == raw
    assert await balance(node, Account.STORAGE_EXPENSE, usdd=usdd) == 42


async def test_naming_wbtt_by_its_address_is_no_other_token(node: BtfsNode) -> None:
    raw = await node.btfs.issue(node.ours.address, OTHER.address, 5, node.bench.wbtt.address)
    assert wire.decode(raw, node.bench.wbtt.address).cheque.token is None


async def test_cheques_of_wbtt_count_against_the_limits_on_cheques(node: BtfsNode) -> None:
    await node.restart(SpendLimits(per_day=100, total=150))
    await node.btfs.issue(node.ours.address, OTHER.address, 60)
    with pytest.raises(LimitError, match="per_day"):
        await node.btfs.issue(node.ours.address, OTHER.address, 41)
    await node.btfs.issue(node.ours.address, OTHER.address, 40)
    node.clock.time += DAY
    await node.restart()
    with pytest.raises(LimitError, match="total"):
        await node.btfs.issue(node.ours.address, OTHER.address, 51)
    assert (await node.btfs.cheques())[0].cumulative == 100
    spent = await node.store.spent(node.clock.time // DAY)
    assert (spent.total, spent.today) == (100, 0)


async def test_cheques_of_other_tokens_count_against_the_limits_on_transfers(node: BtfsNode) -> None:
    await node.restart(SpendLimits(total=1), TransferLimits({"USDD": 50}, {"USDD": 80}))
    token = node.bench.usdd.address
    with pytest.raises(LimitError, match="per_transfer"):
        await node.btfs.issue(node.ours.address, OTHER.address, 51, token)
    await node.btfs.issue(node.ours.address, OTHER.address, 50, token)
    await node.restart()
    with pytest.raises(LimitError, match="per_day"):
        await node.btfs.issue(node.ours.address, OTHER.address, 31, token)
    await node.on_chain(lambda bench: bench.usdd.send(key(0), "mint", OURS.address, 1000))
    with pytest.raises(LimitError, match="per_day"):  # what has gone by cheque is gone for transfers, too
        await node.wallet.quote_transfer("bttc", "USDD", OTHER.address.evm, 31)
    await node.wallet.quote_transfer("bttc", "USDD", OTHER.address.evm, 30)
    node.clock.time += DAY
    await node.btfs.issue(node.ours.address, OTHER.address, 31, token)


async def test_two_at_once_do_not_spend_the_same_allowance(node: BtfsNode) -> None:
    await node.restart(SpendLimits(per_day=100))
    issue = node.btfs.issue
    found = await asyncio.gather(
        *(issue(node.ours.address, OTHER.address, 60) for _ in range(3)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in found) == ["LimitError", "LimitError", "bytes"]


async def test_a_cheque_that_is_not_issued_uses_up_nothing(node: BtfsNode) -> None:
    await node.restart(SpendLimits(per_day=1000), TransferLimits({}, {"USDD": 1000}))
    ours, stranger = node.ours.address, Address(b"\x55" * 20)
    cases: list[tuple[type[Exception], Address, int, Address | None]] = [
        (IssueError, ours, 0, None),
        (IssueError, ours, 5, stranger),
        (NotOurVaultError, stranger, 5, None),
        (NotOurVaultError, node.vault.address, 5, None),
    ]
    for error, vault, amount, token in cases:
        with pytest.raises(error):
            await node.btfs.issue(vault, OTHER.address, amount, token)
    assert await node.btfs.cheques() == []
    await node.btfs.issue(ours, OTHER.address, 1000)
    await node.restart(SpendLimits())
    with pytest.raises(OverdrawnError):
        await node.btfs.issue(ours, OTHER.address, 1)
