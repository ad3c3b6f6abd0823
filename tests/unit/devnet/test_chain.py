"""What the chain core promises, without any wire format."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import rlp  # type: ignore[import-untyped]  # rlp ships no types
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from node.devnet.chain import GWEI, MAX_BLOCKS_AT_ONCE, Chain
from node.devnet.errors import BadRequestError, CallFailedError, StorageError, TransactionRejectedError
from node.devnet.evm import MAX_RAW_TRANSACTION, least_gas
from node.devnet.pool import MAX_WAITING
from node.devnet.records import Call, Event, LogFilter
from tests.unit.devnet.support import (
    ALICE,
    BOB,
    COIN,
    RECORDER,
    START,
    Clock,
    address,
    make_chain,
    pay,
    record,
    recorder,
    signed,
)

A, B = address(ALICE), address(BOB)
_FUZZED = make_chain()


# --- transactions ---------------------------------------------------------------------------------------------------


def test_coins_move_and_gas_is_paid() -> None:
    chain = make_chain()
    mined = chain.mined(pay(chain, 3 * COIN))
    assert mined is not None
    assert (mined.success, mined.gas_used, mined.index, mined.block_number) == (True, 21_000, 0, 1)
    assert chain.balance(B) == 3 * COIN
    assert chain.balance(A) == 997 * COIN - 21_000 * GWEI
    assert (chain.nonce(A), chain.head.transactions) == (1, (mined.transaction.hash,))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not an RLP"),
        (b"\xc0", "not an RLP"),
        (b"\xff" * 100, "not an RLP"),
        (bytes(MAX_RAW_TRANSACTION + 1), "oversized"),
        (b"\x02" + signed(ALICE, 0), "type not supported"),
        (signed(ALICE, 0, chain_id=0), "replay-protected"),
        (signed(ALICE, 0, chain_id=1), "invalid chain id for signer: have 1 want 199"),
        (signed(ALICE, 0, to=B, gas=20_999), "intrinsic gas too low"),
        (signed(ALICE, 0, to=B, gas=30_000_001), "exceeds block gas limit"),
        (signed(ALICE, 0, to=B, price=GWEI - 1), "transaction underpriced"),
        (signed(ALICE, 1, to=B), "nonce too high: next nonce 0, tx nonce 1"),
        (signed(ALICE, 0, to=B, value=1000 * COIN), "insufficient funds"),
        (signed(BOB, 0, to=A), "insufficient funds"),
        (rlp.encode([b"", b"\x01", b"\x52\x08", B, b"", b"", (199 * 2 + 35).to_bytes(2, "big"), b"\1", b"\xff" * 32]),
         "invalid sender"),
    ],
)  # fmt: skip
def test_a_transaction_that_is_refused_changes_nothing(raw: bytes, why: str) -> None:
    chain = make_chain()
    with pytest.raises(TransactionRejectedError, match=why):
        chain.submit(raw)
    assert chain.head.number == 0


@given(st.binary(max_size=300))
def test_any_bytes_are_either_a_transaction_or_refused(raw: bytes) -> None:
    with pytest.raises(TransactionRejectedError):
        _FUZZED.submit(raw)


@given(st.integers(0, 110), st.integers(0, 255))
@settings(max_examples=50)
def test_a_changed_byte_never_moves_alices_money(place: int, byte: int) -> None:
    raw = bytearray(signed(ALICE, 0, to=B, value=COIN))
    raw[place % len(raw)] ^= byte
    if byte:
        with pytest.raises(TransactionRejectedError):
            _FUZZED.submit(bytes(raw))


def test_what_was_mined_has_its_nonce_behind_it() -> None:
    chain = make_chain()
    raw = signed(ALICE, 0, to=B)
    chain.submit(raw)
    with pytest.raises(TransactionRejectedError, match="nonce too low: next nonce 1, tx nonce 0"):
        chain.submit(raw)


def test_a_failing_transaction_pays_its_gas_and_leaves_no_trace_else() -> None:
    chain = make_chain()
    contract = recorder(chain)
    before = chain.balance(A)
    mined = chain.mined(chain.submit(signed(ALICE, 1, to=contract, value=COIN)))
    assert mined is not None
    assert not mined.success
    assert chain.balance(A) == before - mined.gas_used * GWEI
    assert chain.balance(contract) == 0


def test_contracts_may_call_as_deep_as_the_evm_allows() -> None:
    chain = make_chain()
    calls_itself = bytes.fromhex("60006000600060006000305af100")  # CALL(gas, address(this)), STOP
    creation = bytes.fromhex(f"60{len(calls_itself):02x}600c60003960{len(calls_itself):02x}6000f3") + calls_itself
    mined = chain.mined(chain.submit(signed(ALICE, 0, data=creation)))
    assert mined is not None
    chain.call(Call(sender=A, to=mined.created))


# --- calls ----------------------------------------------------------------------------------------------------------


def test_a_call_changes_nothing() -> None:
    chain = make_chain()
    contract = recorder(chain)
    before = chain.head.header.state_root
    chain.call(Call(sender=A, to=contract, data=(7).to_bytes(32, "big")))
    assert chain.storage_at(contract, 0) == 0
    assert chain.mine().header.state_root == before


def test_a_call_that_reverts_hands_over_its_data() -> None:
    chain = make_chain()
    contract = recorder(chain)
    for ask in (chain.call, chain.call_next, chain.estimate_gas):
        with pytest.raises(CallFailedError) as caught:
            ask(Call(sender=A, to=contract))
        assert caught.value.reverted
        assert caught.value.output == (42).to_bytes(32, "big")


def test_a_call_that_runs_out_of_gas_is_no_revert() -> None:
    chain = make_chain()
    contract = recorder(chain)
    with pytest.raises(CallFailedError, match="out of gas") as caught:
        chain.call(Call(sender=A, to=contract, data=(7).to_bytes(32, "big"), gas=25_000))
    assert not caught.value.reverted


@pytest.mark.parametrize("call", [Call(sender=B, to=A, value=1), Call(sender=A, to=B, gas=100)])
def test_a_call_that_cannot_begin_is_refused(call: Call) -> None:
    with pytest.raises(TransactionRejectedError):
        make_chain().call(call)


def test_the_estimate_is_enough_and_hardly_more() -> None:
    chain = make_chain()
    contract = recorder(chain)
    for call in (
        Call(sender=A, to=B, value=1),
        Call(sender=A, data=RECORDER),
        Call(sender=A, to=contract, data=(7).to_bytes(32, "big")),
    ):
        gas = chain.estimate_gas(call)
        raw = signed(ALICE, chain.next_nonce(A), to=call.to or b"", data=call.data, value=call.value, gas=gas)
        mined = chain.mined(chain.submit(raw))
        assert mined is not None
        assert mined.success
        assert mined.gas_used == gas


@given(st.integers(21_000, 29_000_000), st.integers(0, 1_000_000))
def test_least_gas_finds_a_limit_that_works(consumed: int, held_back: int) -> None:
    needed, limit = min(consumed + held_back, 30_000_000), 30_000_000
    tried: list[int] = []

    def succeeds(gas: int) -> bool:
        tried.append(gas)
        return gas >= needed

    found = least_gas(succeeds, consumed, limit)
    assert needed <= found <= needed * 1.02 + 2300 + needed // 63
    assert len(tried) < 30


# --- blocks and logs ------------------------------------------------------------------------------------------------


def test_blocks_form_a_chain_whose_hashes_are_those_of_their_headers() -> None:
    chain = make_chain()
    for _ in range(3):
        pay(chain)
    blocks = [chain.block(number) for number in range(4)]
    for parent, block in pairwise(blocks):
        assert parent is not None
        assert block is not None
        assert block.header.parent_hash == parent.hash == keccak(rlp.encode(parent.header))
        assert chain.block_by_hash(block.hash) == block
    assert chain.block(4) is None


def test_a_contract_sees_the_hashes_of_earlier_blocks() -> None:
    chain = make_chain()
    chain.mine(300)
    # BLOCKHASH of the number in call data, as the code of a contract creation: its output is the "code".
    code = bytes.fromhex("60004060005260206000f3")
    for depth, found in ((1, 300), (256, 45), (257, None)):
        number = chain.head.number + 1 - depth
        output = chain.call_next(Call(sender=A, data=bytes.fromhex(f"61{number:04x}") + code[2:]))
        block = chain.block(found) if found is not None else None
        assert output == (block.hash if block else bytes(32))


def test_state_of_every_block_stays_readable() -> None:
    chain = make_chain()
    contract = recorder(chain)
    for word in (5, 6, 7):
        record(chain, contract, word)
    values = [chain.storage_at(contract, 0, chain.block(number)) for number in range(chain.head.number + 1)]
    assert values == [0, 0, 5, 6, 7]


def test_logs_are_found_by_block_address_and_topics() -> None:
    chain = make_chain()
    first, second = recorder(chain), recorder(chain)
    sent = [record(chain, contract, word) for contract, word in ((first, 5), (second, 5), (first, 6))]
    five, six, one = (word.to_bytes(32, "big") for word in (5, 6, 1))

    def found(
        addresses: tuple[bytes, ...] = (), topics: tuple[tuple[bytes, ...], ...] = (), start: int = 0
    ) -> list[bytes]:
        wanted = LogFilter(first=start, last=99, addresses=addresses, topics=topics)
        return [log.transaction for log in chain.logs(wanted)]

    assert found() == sent
    assert found(start=4) == sent[1:]
    assert found(addresses=(first,)) == [sent[0], sent[2]]
    assert found(topics=((), (five,))) == sent[:2]
    assert found(topics=((one,), (five, six)), addresses=(second,)) == [sent[1]]
    assert found(topics=((five,),)) == []
    assert found(topics=((), (), ())) == []
    [log] = chain.logs(LogFilter(first=3, last=3))
    assert log.event == Event(first, (one, five), b"")


def test_several_transactions_share_a_block_when_mining_by_hand() -> None:
    chain = make_chain()
    contract = recorder(chain)
    chain.automine = False
    sent = [record(chain, contract, word) for word in (5, 6, 7)]
    assert (chain.nonce(A), chain.next_nonce(A)) == (1, 4)
    assert chain.waiting(sent[0]) is not None
    chain.mine()
    assert chain.head.transactions == tuple(sent)
    assert chain.waiting(sent[0]) is None
    mined = [chain.mined(transaction) for transaction in sent]
    assert [m.index for m in mined if m] == [0, 1, 2]
    assert (
        [m.cumulative_gas for m in mined if m][-1] == sum(m.gas_used for m in mined if m) == chain.head.header.gas_used
    )
    assert [log.index for log in chain.logs(LogFilter(first=2, last=2))] == [0, 1, 2]
    assert [[log.index for log in chain.logs_of(m)] for m in mined if m] == [[0], [1], [2]]


def test_a_block_takes_no_more_than_its_gas_limit() -> None:
    chain = make_chain()
    chain.automine = False
    for nonce in range(3):
        chain.submit(signed(ALICE, nonce, data=b"\xfe", gas=14_000_000))  # an invalid opcode burns all of it
    sizes = [len(chain.mine().transactions) for _ in range(3)]
    assert sizes == [2, 1, 0]


def test_a_waiting_transaction_whose_money_is_gone_is_dropped() -> None:
    chain = make_chain()
    chain.automine = False
    chain.submit(signed(ALICE, 0, to=B, value=600 * COIN))
    lost = chain.submit(signed(ALICE, 1, to=B, value=600 * COIN))
    chain.mine()
    assert len(chain.head.transactions) == 1
    assert chain.waiting(lost) is None
    assert chain.next_nonce(A) == 1


def test_the_pool_is_bounded() -> None:
    chain = make_chain()
    chain.automine = False
    raw = [signed(ALICE, nonce, to=B, gas=21_000) for nonce in range(3)]
    chain._pool._waiting = dict.fromkeys(((bytes(20), n) for n in range(MAX_WAITING - 1)), chain)  # type: ignore[arg-type]  # stand-ins that are only counted
    chain.submit(raw[0])
    with pytest.raises(TransactionRejectedError, match="txpool is full"):
        chain.submit(raw[1])


def test_too_many_blocks_at_once_are_refused() -> None:
    for blocks in (0, MAX_BLOCKS_AT_ONCE + 1):
        with pytest.raises(BadRequestError):
            make_chain().mine(blocks)


# --- time -----------------------------------------------------------------------------------------------------------


def test_time_follows_the_clock_and_never_runs_backwards() -> None:
    clock = Clock()
    chain = make_chain(clock=clock)
    assert chain.head.timestamp == START
    clock.now += 5
    assert chain.mine().timestamp == START + 5
    clock.now -= 60
    assert chain.mine(2).timestamp == START + 5


def test_time_can_be_moved_forward_only() -> None:
    clock = Clock()
    chain = make_chain(clock=clock)
    assert chain.increase_time(100) == 100
    assert chain.mine().timestamp == START + 100
    chain.set_next_timestamp(START + 500)
    assert chain.mine().timestamp == START + 500
    clock.now += 1
    assert chain.mine().timestamp == START + 501
    for refused in (START + 500, 2**41):
        with pytest.raises(BadRequestError):
            chain.set_next_timestamp(refused)
    for seconds in (-1, 2**41):
        with pytest.raises(BadRequestError):
            chain.increase_time(seconds)


# --- snapshots and persistence --------------------------------------------------------------------------------------


def test_going_back_undoes_everything_since() -> None:
    clock = Clock()
    chain = make_chain(clock=clock)
    contract = recorder(chain)
    outer, head = chain.snapshot(), chain.head
    sent = record(chain, contract, 5)
    inner = chain.snapshot()
    chain.increase_time(1000)
    chain.set_balance(B, COIN)
    assert chain.revert(outer)
    assert (chain.head, chain.balance(B), chain.storage_at(contract, 0)) == (head, 0, 0)
    assert chain.mined(sent) is None
    assert chain.logs(LogFilter(first=0, last=99)) == []
    assert chain.mine().timestamp == START
    assert not chain.revert(outer)
    assert not chain.revert(inner)


def test_a_balance_is_set_in_a_block_of_its_own() -> None:
    chain = make_chain()
    chain.set_balance(B, 5)
    assert (chain.balance(B), chain.balance(B, chain.block(0)), chain.head.number) == (5, 0, 1)
    with pytest.raises(BadRequestError):
        chain.set_balance(B, 2**256)


def test_a_chain_reopens_as_it_was(tmp_path: Path) -> None:
    clock = Clock()
    chain = make_chain(tmp_path / "db", clock)
    contract = recorder(chain)
    sent = record(chain, contract, 5)
    chain.increase_time(50)
    snapshot = chain.snapshot()
    head = chain.head
    chain.close()

    again = make_chain(tmp_path / "db", clock)
    assert again.head == head
    assert (again.storage_at(contract, 0), again.nonce(A)) == (5, 2)
    mined = again.mined(sent)
    assert mined is not None
    assert again.logs_of(mined)[0].event.topics[1] == (5).to_bytes(32, "big")
    assert again.mine().timestamp == START + 50
    assert again.block(again.head.number - 1) == head
    assert again.revert(snapshot)
    assert again.head == head
    again.close()


def test_a_block_that_cannot_be_stored_did_not_happen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = make_chain(tmp_path / "db")
    raw = signed(ALICE, 0, to=B, value=COIN)

    def disk_full(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(chain._storage, "append", disk_full)
        with pytest.raises(OSError, match="no space"):
            chain.submit(raw)
    assert (chain.head.number, chain.balance(B), chain.next_nonce(A)) == (0, 0, 0)
    chain.submit(raw)
    assert chain.balance(B) == COIN
    chain.close()
    reopened = make_chain(tmp_path / "db")
    assert reopened.balance(B) == COIN
    reopened.close()


def test_a_folder_has_one_user_one_chain_and_a_sound_file(tmp_path: Path) -> None:
    chain = make_chain(tmp_path / "db")
    with pytest.raises(StorageError, match="in use by another devnet"):
        make_chain(tmp_path / "db")
    chain.close()
    with pytest.raises(StorageError, match="chain id 199, not 1029"):
        make_chain(tmp_path / "db", chain_id=1029)
    (tmp_path / "broken").write_bytes(b"not a database" * 1000)
    with pytest.raises(StorageError, match="damaged"):
        make_chain(tmp_path / "broken")
    with pytest.raises(StorageError):
        make_chain(tmp_path)  # a folder


def test_two_chains_with_one_history_are_equal_to_the_byte() -> None:
    def history() -> Chain:
        chain = make_chain()
        contract = recorder(chain)
        record(chain, contract, 5)
        pay(chain)
        return chain

    assert history().head == history().head
