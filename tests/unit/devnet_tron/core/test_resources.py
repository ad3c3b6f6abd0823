"""Who pays for bandwidth and energy, and how use recovers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.devnet.tron.execution import RESULT_BYTES
from node.devnet.tron.records import ContractRet, Freeze, RejectedError, Resource, Transfer, Unfreeze
from node.devnet.tron.resources import MAX_UNSTAKING, WINDOW, Usage, faded
from node.devnet.tron.settings import TRX
from tests.unit.devnet_tron.core.support import (
    DAY_MS,
    A,
    B,
    Clock,
    asm,
    deploy,
    initcode,
    make_chain,
    put,
    run,
    send,
    signed,
)

SPEND = "1 0 SSTORE"
SPENT = 20_006
WRITE = initcode(asm(SPEND))
FIELD = st.integers(0, 2**42 - 1)


# --- the window ------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**11), st.integers(0, 2 * WINDOW), st.integers(0, 2 * WINDOW))
def test_use_fades_to_nothing_within_a_day_and_never_grows(used: int, soon: int, later: int) -> None:
    soon, later = sorted((soon, later))
    assert faded(used, 0, soon) >= faded(used, 0, later) >= 0
    assert faded(used, 0, WINDOW) == 0
    assert abs(faded(used, 0, WINDOW // 2) - used / 2) <= 1 + used / 10**6
    assert used <= faded(used, 5, 5) <= used + 1


@given(st.integers(0, 10**10), st.integers(0, 10**10), st.integers(0, WINDOW))
def test_new_use_comes_on_top_of_what_is_left(old: int, new: int, slots: int) -> None:
    assert abs(faded(old, 0, slots, new) - faded(old, 0, slots) - new) <= 2


@given(FIELD, FIELD, FIELD, FIELD, FIELD, FIELD)
def test_usage_fits_one_word(free: int, free_at: int, net: int, net_at: int, energy: int, energy_at: int) -> None:
    usage = Usage(free, free_at, net, net_at, energy, energy_at)
    assert Usage.unpack(usage.pack()) == usage
    assert usage.pack() < 2**256


# --- bandwidth -------------------------------------------------------------------------------------------------------


def test_bandwidth_is_free_up_to_600_a_day_and_burnt_beyond() -> None:
    clock = Clock()
    chain = make_chain(clock=clock)
    first = send(chain, Transfer(A, B, 1))
    size = first.transaction.size + RESULT_BYTES
    assert (first.receipt.net_used, first.receipt.fee) == (size, 0)
    assert chain.resources(A).free_net_used in (size, size + 1)
    second = send(chain, Transfer(A, B, 1))  # 2 · 264 of 600
    third = send(chain, Transfer(A, B, 1))
    assert (second.receipt.fee, third.receipt.net_used) == (0, 0)
    assert third.receipt.fee == third.receipt.net_burnt == (third.transaction.size + RESULT_BYTES) * 1_000
    clock.now += DAY_MS // 2
    assert send(chain, Transfer(A, B, 1)).receipt.fee == 0
    clock.now += DAY_MS
    assert chain.resources(A).free_net_used == 0


def test_staked_bandwidth_is_used_first_and_as_a_whole() -> None:
    chain = make_chain()
    send(chain, Freeze(A, 500_000 * TRX, Resource.BANDWIDTH))
    before = chain.resources(A)
    assert before.net_limit == 500_000 * TRX * 43_200_000_000 // (27_000_500_000 * TRX)
    assert before.total_net_weight == 27_000_500_000
    mined = send(chain, Transfer(A, B, 1))
    after = chain.resources(A)
    assert (mined.receipt.net_used, mined.receipt.fee) == (mined.transaction.size + RESULT_BYTES, 0)
    assert after.free_net_used == before.free_net_used
    assert after.net_used - mined.receipt.net_used in (0, 1)


# --- energy ----------------------------------------------------------------------------------------------------------


def test_energy_is_burnt_at_its_price_where_nothing_is_staked() -> None:
    chain = make_chain()
    contract = put(chain, SPEND)
    before = chain.account(A)
    receipt = run(chain, contract).receipt
    after = chain.account(A)
    assert before is not None
    assert after is not None
    assert (receipt.outcome.energy, receipt.energy_burnt, receipt.energy_own) == (SPENT, SPENT * 100, 0)
    assert before.balance - after.balance == receipt.fee == receipt.energy_burnt + receipt.net_burnt


def test_staked_energy_pays_as_far_as_it_goes() -> None:
    chain = make_chain()
    contract = put(chain, SPEND)
    send(chain, Freeze(A, 1_000 * TRX, Resource.ENERGY))
    limit = chain.resources(A).energy_limit
    assert limit == 1_000 * 180_000_000_000 // 19_000_001_000
    receipt = run(chain, contract).receipt
    assert (receipt.energy_own, receipt.energy_burnt) == (limit, (SPENT - limit) * 100)
    again = run(chain, contract).receipt
    assert again.energy_own == 0
    assert again.energy_burnt == (6 + 5_000) * 100


def test_the_deployer_pays_its_share_from_its_stake_up_to_its_limit() -> None:
    chain = make_chain()
    for percent, limit, expected in (
        (30, 10**7, SPENT * 70 // 100),
        (0, 10**7, SPENT),
        (30, 1_000, 1_000),
        (100, 9, 0),
    ):
        contract = deploy(chain, initcode(asm(SPEND)), owner=B, user_percent=percent, origin_energy_limit=limit)
        send(chain, Freeze(B, 20_000 * TRX, Resource.ENERGY))
        before = chain.resources(B).energy_used
        receipt = run(chain, contract).receipt
        assert (receipt.energy_origin, receipt.energy_own) == (expected, 0)
        assert receipt.energy_burnt == (SPENT - expected) * 100
        assert chain.resources(B).energy_used - before - expected in (0, 1, 2)


def test_a_deployer_without_stake_pays_nothing_for_others() -> None:
    chain = make_chain()
    contract = deploy(chain, initcode(asm(SPEND)), owner=B, user_percent=0)
    assert run(chain, contract).receipt.energy_burnt == SPENT * 100


@pytest.mark.parametrize(("energy", "ret"), [(SPENT, ContractRet.SUCCESS), (SPENT - 1, ContractRet.OUT_OF_ENERGY)])
def test_the_fee_limit_bounds_energy_and_running_out_burns_all_of_it(energy: int, ret: ContractRet) -> None:
    chain = make_chain()
    contract = put(chain, SPEND)
    receipt = run(chain, contract, header={"fee_limit": energy * 100 + 99}).receipt
    assert (receipt.outcome.ret, receipt.energy_burnt) == (ret, energy * 100)
    if ret is ContractRet.OUT_OF_ENERGY:
        assert receipt.outcome.message == (
            f"Not enough energy for 'SSTORE' operation executing: curInvokeEnergyLimit[{energy}],"
            " curOpEnergy[20000], usedEnergy[6]"
        )


def test_a_balance_bounds_energy_too() -> None:
    chain = make_chain()
    contract = put(chain, SPEND)
    chain.set_balance(A, 50_000 * 100 + 400 * 1_000)  # the rest is for bandwidth
    receipt = run(chain, contract, value=45_000 * 100).receipt
    assert receipt.outcome.ret is ContractRet.OUT_OF_ENERGY
    assert receipt.outcome.energy < 10_000


def test_a_revert_pays_for_what_it_used_and_other_failures_for_everything() -> None:
    chain = make_chain()
    reverts, fails = put(chain, f"{SPEND} 0 0 REVERT"), put(chain, f"{SPEND} INVALID")
    header = {"fee_limit": 100_000 * 100}
    reverted, failed = (run(chain, contract, header=header).receipt for contract in (reverts, fails))
    assert (reverted.outcome.ret, reverted.energy_burnt) == (ContractRet.REVERT, (SPENT + 6) * 100)
    assert (failed.outcome.ret, failed.energy_burnt) == (ContractRet.ILLEGAL_OPERATION, 100_000 * 100)


def test_a_failed_run_keeps_no_value_but_its_fees() -> None:
    chain = make_chain()
    contract = put(chain, "0 0 REVERT")
    before = chain.account(A)
    receipt = run(chain, contract, value=5 * TRX).receipt
    after = chain.account(A)
    assert before is not None
    assert after is not None
    assert before.balance - after.balance == receipt.fee


# --- stakes ----------------------------------------------------------------------------------------------------------


def test_a_stake_comes_back_after_fourteen_days() -> None:
    clock = Clock()
    chain = make_chain(clock=clock)
    send(chain, Freeze(A, 1_000 * TRX, Resource.ENERGY))
    staked = chain.account(A)
    assert staked is not None
    assert staked.frozen == {Resource.ENERGY: 1_000 * TRX}
    send(chain, Unfreeze(A, 400 * TRX, Resource.ENERGY))
    clock.now += 14 * DAY_MS + 10
    waiting = chain.account(A)
    assert waiting is not None
    assert (waiting.frozen, waiting.balance) == ({Resource.ENERGY: 600 * TRX}, staked.balance)
    send(chain, Unfreeze(A, 600 * TRX, Resource.ENERGY))
    back = chain.account(A)
    assert back is not None
    assert (back.frozen, back.balance) == ({}, staked.balance + 400 * TRX)
    assert chain.resources(A).total_energy_weight == 19_000_000_000


def test_unstaking_is_bounded() -> None:
    chain = make_chain()
    send(chain, Freeze(A, 1_000 * TRX, Resource.BANDWIDTH))
    for _ in range(MAX_UNSTAKING):
        send(chain, Unfreeze(A, TRX, Resource.BANDWIDTH))
    with pytest.raises(RejectedError, match="unfreezing times is over limit"):
        chain.submit(signed(chain, Unfreeze(A, TRX, Resource.BANDWIDTH)))
    with pytest.raises(RejectedError, match=r"Invalid unfreeze_balance, \[990000000\] is error"):
        chain.submit(signed(chain, Unfreeze(A, 990 * TRX, Resource.BANDWIDTH)))
