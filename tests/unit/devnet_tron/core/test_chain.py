"""Blocks, time, snapshots and what is on disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from node.devnet.chain import Chain, ChainSettings
from node.devnet.errors import BadRequestError, StorageError
from node.devnet.records import Event
from node.devnet.tron.chain import MAX_BLOCKS_AT_ONCE, MAX_WAITING, TronChain
from node.devnet.tron.records import Code, CreateContract, RejectedError, Transfer, TriggerContract
from node.devnet.tron.settings import TRX
from tests.unit.devnet_tron.core.support import (
    BTTOLD,
    START,
    A,
    B,
    C,
    Clock,
    asm,
    calldata,
    initcode,
    make_chain,
    put,
    run,
    send,
    signed,
    token,
    word,
)

ROOT = Path(__file__).parents[4]
LOGGER = "7 CALLDATASIZE 0 0 CALLDATACOPY CALLDATASIZE 0 LOG1"


def balance(chain: TronChain, address: bytes) -> int:
    account = chain.account(address)
    return 0 if account is None else account.balance


# --- blocks ----------------------------------------------------------------------------------------------------------


def test_blocks_form_a_chain_and_carry_their_number_in_their_id() -> None:
    chain = make_chain()
    sent = [send(chain, Transfer(A, B, amount)).transaction.id for amount in (1, 2, 3)]
    blocks = [block for number in range(4) if (block := chain.block(number))]
    assert [block.id[:8] for block in blocks] == [number.to_bytes(8, "big") for number in range(4)]
    assert blocks[0].id[-4:] == bytes.fromhex("6274746e")
    for parent, child in pairwise(blocks):
        assert child.parent == parent.id
        assert child.timestamp > parent.timestamp
        assert child.state_root != parent.state_root
    assert [block.transactions for block in blocks[1:]] == [(identity,) for identity in sent]
    assert chain.block_by_id(blocks[2].id) == blocks[2]
    assert (chain.block(4), chain.block(-1), chain.block_by_id(bytes(32))) == (None, None, None)


def test_the_solid_block_is_behind_the_head() -> None:
    chain = make_chain(confirmations=2)
    assert chain.solid == chain.block(0)
    chain.mine(5)
    assert chain.solid.number == 3
    assert make_chain(confirmations=0).solid.number == 0


def test_a_mined_transaction_says_everything_about_itself() -> None:
    chain = make_chain()
    contract = put(chain, LOGGER)
    mined = run(chain, contract, word(5))
    event = Event(contract, (word(7),), word(5))
    assert mined.receipt.outcome.events == (event,)
    assert (mined.block, mined.block_id, mined.timestamp, mined.index) == (
        chain.head.number,
        chain.head.id,
        chain.head.timestamp,
        0,
    )
    (log,) = chain.logs_of(mined.transaction.id)
    assert (log.event, log.block, log.timestamp, log.transaction, log.index) == (
        event,
        mined.block,
        mined.timestamp,
        mined.transaction.id,
        0,
    )
    assert chain.mined(bytes(32)) is None


def test_logs_are_found_by_contract_and_time_in_either_order() -> None:
    clock = Clock()
    chain = make_chain(clock=clock)
    first, second = put(chain, LOGGER), put(chain, LOGGER)
    times: list[int] = []
    for contract in (first, second, first):
        clock.now += 10_000
        times.append(run(chain, contract, word(len(times))).timestamp)
    assert [log.timestamp for log in chain.logs(first)] == [times[0], times[2]]
    assert [log.timestamp for log in chain.logs(newest=True)] == times[::-1]
    assert [log.timestamp for log in chain.logs(None, times[1], times[2] - 1)] == [times[1]]
    assert not list(chain.logs(first, 0, times[0] - 1))
    assert len(list(chain.logs(None, -(2**70), 2**70))) == 3


def test_a_constant_call_changes_nothing_and_costs_nothing() -> None:
    chain = make_chain()
    contract = put(chain, "1 0 SSTORE 5 0 0 LOG1")
    before = (chain.head, balance(chain, A))
    outcome = chain.constant(TriggerContract(A, contract))
    assert (outcome.ok, len(outcome.events)) == (True, 1)
    assert chain.constant(CreateContract(C, initcode(asm("STOP")))).output == asm("STOP")
    assert chain.constant(TriggerContract(bytes(20), contract)).ok
    assert (chain.head, balance(chain, A), list(chain.logs())) == (*before, [])
    with pytest.raises(RejectedError, match=r"Smart contract is not exist\."):
        chain.constant(TriggerContract(A, B))
    assert chain.constant(TriggerContract(A, contract), energy=10).energy == 10


def test_state_of_an_earlier_block_stays_readable() -> None:
    chain = make_chain()
    counter = put(chain, "0 SLOAD 1 ADD DUP1 0 SSTORE 0 MSTORE 32 0 RETURN")
    blocks = []
    for _ in range(3):
        run(chain, counter)
        blocks.append((chain.head, balance(chain, A), chain.resources(A).free_net_used))
    for place, (block, had, used) in enumerate(blocks):
        outcome = chain.constant(TriggerContract(A, counter), at=block)
        account = chain.account(A, block)
        assert account is not None
        assert (int.from_bytes(outcome.output, "big"), account.balance) == (place + 2, had)
        assert chain.resources(A, block).free_net_used == used


def test_parameters_are_under_java_trons_names() -> None:
    parameters = make_chain(energy_price=210).parameters()
    assert (parameters["getEnergyFee"], parameters["getTransactionFee"]) == (210, 1_000)
    assert (parameters["getMaxFeeLimit"], parameters["getCreateAccountFee"]) == (15_000 * TRX, TRX // 10)


# --- mining by hand --------------------------------------------------------------------------------------------------


def test_several_transactions_share_a_block_when_mining_by_hand() -> None:
    chain = make_chain()
    chain.automine = False
    waiting = [signed(chain, Transfer(A, B, amount)) for amount in (1, 2)]
    for transaction in waiting:
        chain.submit(transaction)
        assert (chain.waiting(transaction.id), chain.mined(transaction.id)) == (transaction, None)
    with pytest.raises(RejectedError, match="Dup transaction"):
        chain.submit(waiting[0])
    block = chain.mine()
    assert block.transactions == tuple(transaction.id for transaction in waiting)
    assert (chain.waiting(waiting[0].id), balance(chain, B)) == (None, 1_000_000 * TRX + 3)
    assert chain.mine().transactions == ()


def test_what_cannot_stand_in_its_block_any_more_is_dropped_without_a_trace() -> None:
    clock = Clock()
    chain = make_chain(clock=clock)
    chain.automine = False
    most = balance(chain, A) - 10 * TRX
    payments = [
        signed(chain, Transfer(A, B, most)),
        signed(chain, Transfer(A, C, most)),
        signed(chain, Transfer(A, B, 1)),
    ]
    for payment in payments:
        chain.submit(payment)
    assert chain.mine().transactions == (payments[0].id, payments[2].id)
    assert (chain.account(C), chain.waiting(payments[1].id)) == (None, None)
    late = signed(chain, Transfer(A, B, 1), expiration=chain.now() + 1_000)
    chain.submit(late)
    clock.now += 5_000
    assert chain.mine().transactions == ()


def test_the_pool_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = make_chain()
    chain.automine = False
    monkeypatch.setattr("node.devnet.tron.chain.MAX_WAITING", 2)
    for _ in range(2):
        chain.submit(signed(chain, Transfer(A, B, 1)))
    with pytest.raises(RejectedError) as caught:
        chain.submit(signed(chain, Transfer(A, B, 1)))
    assert caught.value.code is Code.SERVER_BUSY
    assert MAX_WAITING == 4_096


@pytest.mark.parametrize("blocks", [0, -1, MAX_BLOCKS_AT_ONCE + 1])
def test_too_many_blocks_at_once_are_refused(blocks: int) -> None:
    with pytest.raises(BadRequestError):
        make_chain().mine(blocks)


# --- time and snapshots ----------------------------------------------------------------------------------------------


def test_time_follows_the_clock_and_never_stands_still() -> None:
    clock = Clock()
    chain = make_chain(clock=clock)
    assert (chain.head.timestamp, chain.mine().timestamp, chain.mine().timestamp) == (START, START + 1, START + 2)
    clock.now += 10_000
    assert chain.mine().timestamp == START + 10_000
    clock.now -= 50_000
    assert chain.mine().timestamp == START + 10_001


def test_time_can_be_moved_forward_only() -> None:
    chain = make_chain()
    chain.increase_time(3_600)
    assert chain.mine().timestamp == START + 3_600_000
    for seconds in (-1, 2**40):
        with pytest.raises(BadRequestError):
            chain.increase_time(seconds)


def test_going_back_undoes_everything_since() -> None:
    chain = make_chain()
    contract = put(chain, "0 SLOAD 1 ADD DUP1 0 SSTORE 0 MSTORE 32 0 RETURN")
    run(chain, contract)
    head, resources, root = chain.head, chain.resources(A), chain.head.state_root
    snapshot = chain.snapshot()
    chain.increase_time(100)
    gone = run(chain, contract, value=5).transaction
    send(chain, Transfer(A, C, 5))
    chain.automine = False
    chain.submit(signed(chain, Transfer(A, B, 1)))
    assert chain.revert(snapshot)
    assert (chain.head, chain.head.state_root, chain.account(C), chain.mined(gone.id)) == (head, root, None, None)
    assert chain.resources(A) == resources
    assert int.from_bytes(chain.constant(TriggerContract(A, contract)).output, "big") == 2
    assert chain.mine().transactions == ()
    assert not chain.revert(snapshot)
    assert not chain.revert(99)


def test_balances_and_tokens_are_given_in_blocks_of_their_own() -> None:
    chain = make_chain()
    chain.set_balance(C, 5)
    chain.give_asset(C, BTTOLD, 6)
    found = chain.account(C)
    assert found is not None
    assert (found.balance, found.assets, found.created, chain.head.number) == (5, {BTTOLD: 6}, START + 1, 2)
    for amount in (-1, 2**63):
        with pytest.raises(BadRequestError):
            chain.set_balance(C, amount)
    for number, amount in ((1_000_001, 1), (BTTOLD, -1), (BTTOLD, 2**63 - 6)):
        with pytest.raises(BadRequestError):
            chain.give_asset(C, number, amount)


# --- on disk ---------------------------------------------------------------------------------------------------------


def test_a_chain_reopens_as_it_was(tmp_path: Path) -> None:
    chain = make_chain(tmp_path / "db")
    btt = token(chain)
    mined = run(chain, btt, calldata("transfer(address,uint256)", B, 5))
    chain.increase_time(50)
    snapshot = chain.snapshot()
    send(chain, Transfer(A, C, 5))
    known = (chain.head, chain.account(A), chain.resources(A), chain.contract(btt), chain.assets(), list(chain.logs()))
    now = chain.now()
    chain.close()

    again = make_chain(tmp_path / "db")
    assert known == (
        again.head,
        again.account(A),
        again.resources(A),
        again.contract(btt),
        again.assets(),
        list(again.logs()),
    )
    assert (again.mined(mined.transaction.id), again.now()) == (mined, now)
    assert again.revert(snapshot)
    assert again.account(C) is None
    assert send(again, Transfer(A, C, 6)).receipt.outcome.ok
    again.close()


def test_a_block_that_cannot_be_stored_did_not_happen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = make_chain(tmp_path / "db")
    transaction = signed(chain, Transfer(A, C, 5))

    def disk_full(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(chain._storage, "append", disk_full)
        with pytest.raises(OSError, match="no space"):
            chain.submit(transaction)
    assert (chain.head.number, chain.account(C)) == (0, None)
    chain.submit(transaction)
    assert balance(chain, C) == 5
    chain.close()
    again = make_chain(tmp_path / "db")
    assert balance(again, C) == 5
    again.close()


def test_a_file_has_one_user_one_chain_and_one_rail(tmp_path: Path) -> None:
    chain = make_chain(tmp_path / "db")
    with pytest.raises(StorageError, match="in use by another devnet"):
        make_chain(tmp_path / "db")
    chain.close()
    with pytest.raises(StorageError, match="chain id 1651799150, not 1"):
        make_chain(tmp_path / "db", chain_id=1)
    with pytest.raises(StorageError, match="version 2, not 1"):
        Chain(ChainSettings(chain_id=0x6274746E), tmp_path / "db")
    (tmp_path / "broken").write_bytes(b"not a database" * 1000)
    with pytest.raises(StorageError, match="damaged"):
        make_chain(tmp_path / "broken")
    for chain_id in (2**32, -1):
        with pytest.raises(BadRequestError):
            make_chain(chain_id=chain_id)
    with pytest.raises(BadRequestError):
        make_chain(energy_price=0)


_WRITER = """
import sys
from pathlib import Path
from node.devnet.tron.records import Transfer
from tests.unit.devnet_tron.core.support import A, B, make_chain, send
chain = make_chain(Path(sys.argv[1]))
while True:
    print(send(chain, Transfer(A, B, 1)).transaction.id.hex(), flush=True)
"""


def test_killed_in_the_middle_of_work_it_keeps_every_transaction_it_answered_for(tmp_path: Path) -> None:
    answered = []
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path / "db")], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            answered.append(bytes.fromhex(line))
            if len(answered) == 20:
                os.kill(process.pid, signal.SIGKILL)
                break
    chain = make_chain(tmp_path / "db")
    assert all(chain.mined(identity) for identity in answered)
    assert balance(chain, B) == 1_000_000 * TRX + chain.head.number
    assert chain.head.number >= 20
    chain.close()


def test_two_chains_with_one_history_are_equal_to_the_byte() -> None:
    first, second = make_chain(), make_chain()
    for chain in (first, second):
        chain.set_balance(C, 5)
    payments = [signed(first, Transfer(A, B, amount)) for amount in (1, 2)]
    for chain in (first, second):
        for payment in payments:
            chain.submit(payment)
    assert first.head == second.head
