"""What watchers are told, and what is changed by decree or dropped by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.devnet.chain import MAX_TIME, Chain
from node.devnet.changes import BlockAdded, Change, LogsRemoved, TransactionAccepted
from node.devnet.errors import BadRequestError, TransactionRejectedError
from node.devnet.records import Log, LogFilter
from tests.unit.devnet.support import ALICE, BOB, COIN, address, make_chain, pay, record, recorder, signed

A, B = address(ALICE), address(BOB)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from(["pay", "record", "mine", "snapshot", "revert", "decree"]), max_size=12))
def test_what_watchers_are_told_adds_up_to_what_the_chain_holds(steps: list[str]) -> None:
    chain = make_chain()
    contract = recorder(chain)
    logs: list[Log] = []
    accepted: list[bytes] = []
    snapshots: list[int] = []

    def hear(change: Change) -> None:
        match change:
            case BlockAdded(block, added):
                assert block == chain.head
                logs.extend(added)
            case LogsRemoved(removed):
                assert tuple(logs[-len(removed) :]) == removed
                del logs[-len(removed) :]
            case TransactionAccepted(transaction):
                accepted.append(bytes(transaction.hash))

    chain.watch(hear, wanted=True)
    sent: list[bytes] = []
    for step in steps:
        match step:
            case "pay":
                sent.append(pay(chain))
            case "record":
                sent.append(record(chain, contract, len(sent)))
            case "mine":
                chain.mine()
            case "snapshot":
                snapshots.append(chain.snapshot())
            case "revert" if snapshots:
                chain.revert(snapshots.pop())
            case "decree":
                chain.set_balance(B, len(logs))
    assert logs == list(chain.logs(LogFilter(first=0, last=chain.head.number)))
    assert accepted == sent
    chain.close()


def test_a_refused_transaction_is_not_told() -> None:
    chain = make_chain()
    told: list[Change] = []
    chain.watch(told.append, wanted=True)
    with pytest.raises(TransactionRejectedError):
        chain.submit(signed(ALICE, 7, to=B))
    assert told == []


def test_a_decree_is_a_block_that_can_be_taken_back() -> None:
    chain = make_chain()
    snapshot = chain.snapshot()
    chain.set_balance(B, 5)
    chain.set_nonce(B, 6)
    chain.set_code(B, b"\x60\x01")
    chain.set_storage(B, 2, 7)
    assert (chain.balance(B), chain.nonce(B), chain.code(B), chain.storage_at(B, 2)) == (5, 6, b"\x60\x01", 7)
    assert chain.head.number == 4
    assert chain.balance(B, chain.block(0)) == 0
    chain.revert(snapshot)
    assert (chain.balance(B), chain.nonce(B), chain.code(B), chain.storage_at(B, 2)) == (0, 0, b"", 0)


def test_a_nonce_only_grows() -> None:
    chain = make_chain()
    pay(chain)
    for nonce in (0, 2**64 - 1):
        with pytest.raises(BadRequestError, match="only grows"):
            chain.set_nonce(A, nonce)
    chain.set_nonce(A, 9)
    pay(chain)
    assert chain.nonce(A) == 10


def test_a_nonce_set_past_waiting_transactions_drops_them() -> None:
    chain = make_chain()
    chain.automine = False
    waiting = pay(chain)
    chain.set_nonce(A, 1)
    assert chain.waiting(waiting) is None


def test_a_gap_left_by_a_dropped_transaction_is_closed_by_the_next() -> None:
    chain = make_chain()
    chain.automine = False
    first, second = pay(chain), pay(chain)
    assert chain.drop(first)
    assert not chain.drop(first)
    chain.mine()
    assert chain.mined(second) is None
    assert chain.next_nonce(A) == 0
    with pytest.raises(TransactionRejectedError, match="already known"):
        chain.submit(signed(ALICE, 1, to=B, value=COIN, gas=21_000))
    closing = pay(chain, value=3)
    chain.mine(2)
    assert chain.mined(closing) is not None
    assert chain.mined(second) is not None


def test_blocks_apart_by_an_interval_move_the_clock() -> None:
    chain = make_chain()
    start = chain.next_timestamp()
    chain.mine(3, 60)
    times = [block.timestamp for number in (1, 2, 3) if (block := chain.block(number)) is not None]
    assert times == [start, start + 60, start + 120]
    assert chain.mine().timestamp == start + 120
    with pytest.raises(BadRequestError, match="seconds apart"):
        chain.mine(2, MAX_TIME)


def test_nobody_watching_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = make_chain()

    def no_reading(_wanted: LogFilter) -> None:
        raise AssertionError("logs were read")

    monkeypatch.setattr(Chain, "logs", no_reading)
    monkeypatch.setattr(chain._storage, "logs", no_reading)
    snapshot = chain.snapshot()
    pay(chain)
    chain.revert(snapshot)
