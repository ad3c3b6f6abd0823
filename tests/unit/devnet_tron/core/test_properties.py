"""What holds whatever people send: nothing but outcomes and refusals, and no money from nowhere."""

from __future__ import annotations

from collections.abc import Mapping

from eth.vm import opcode_values
from hypothesis import given, settings
from hypothesis import strategies as st

from node.devnet.tron.chain import TronChain
from node.devnet.tron.opcodes import OPERATIONS
from node.devnet.tron.records import (
    AccountCreate,
    AssetIssue,
    CreateContract,
    Freeze,
    Operation,
    Outcome,
    RejectedError,
    Resource,
    Transfer,
    TransferAsset,
    TriggerContract,
    Unfreeze,
)
from node.devnet.tron.settings import TRX
from tests.unit.devnet_tron.core.support import (
    BTTOLD,
    DAY_MS,
    A,
    B,
    C,
    Clock,
    asm,
    initcode,
    make_chain,
    put,
    signed,
)

FUZZED = make_chain(max_steps=2_000, call_energy=1_000_000)

# --- any code --------------------------------------------------------------------------------------------------------

_INTERESTING = (0, 1, 2, 32, 64, 255, 1_000_000, BTTOLD, 2**31, 2**63 - 1, 2**63, 2**64, 2**255, 2**256 - 1)
_ADDRESSES = tuple(int.from_bytes(address, "big") for address in (A, B, C)) + tuple(range(12)) + (0x20003,)
_VALID = tuple(opcode for opcode, operation in enumerate(OPERATIONS) if operation is not None)


def push(value: int) -> bytes:
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes([opcode_values.PUSH1 + size - 1]) + value.to_bytes(size, "big")


_pushes = st.sampled_from(_INTERESTING + _ADDRESSES).map(push)
_opcodes = st.sampled_from(_VALID).map(lambda opcode: bytes([opcode]))
_programs = st.lists(st.one_of(_pushes, _pushes, _opcodes), max_size=60).map(b"".join)


@settings(max_examples=150, deadline=None)
@given(st.one_of(_programs, st.binary(max_size=200)), st.booleans())
def test_any_code_comes_to_an_outcome(code: bytes, rich: bool) -> None:
    funds = 10 if rich else 0
    outcome = FUZZED.constant(CreateContract(A, code, value=funds, token=BTTOLD, token_value=funds))
    assert isinstance(outcome, Outcome)
    assert 0 <= outcome.energy <= 1_000_000
    assert outcome.ok is (outcome.message == "")


# --- any history -----------------------------------------------------------------------------------------------------

_people = st.sampled_from((A, B, C))
_amounts = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.sampled_from((0, 1, TRX, 10 * TRX, 400_000 * TRX)), st.integers(0, 10**12)
)
_tokens = st.sampled_from((0, BTTOLD, BTTOLD + 1, 7, -1, 2**62))
_resources = st.sampled_from(Resource)
_percent = st.integers(-1, 101)
_code = st.sampled_from(
    (
        "STOP",
        "0 0 REVERT",
        "INVALID",
        f"0 0 0 0 3 @{C.hex()} 0 CALL",
        f"0 0 0 0 {BTTOLD} 3 @{C.hex()} 0 CALLTOKEN",
        f"@{B.hex()} SELFDESTRUCT",
        "ADDRESS SELFDESTRUCT",
        "1 NUMBER SSTORE",
        "CALLDATASIZE 0 0 CALLDATACOPY CALLDATASIZE 0 1 CREATE",
    )
).map(asm)


def _operations(contracts: tuple[bytes, ...]) -> st.SearchStrategy[Operation]:
    to = st.sampled_from((A, B, C, *contracts))
    return st.one_of(
        st.builds(Transfer, _people, to, _amounts),
        st.builds(TransferAsset, _people, to, _tokens, _amounts),
        st.builds(AccountCreate, _people, to),
        st.builds(AssetIssue, _people, st.just(b"Coin"), st.just(b"C"), _amounts, st.integers(0, 6), url=st.just(b"u")),
        st.builds(Freeze, _people, _amounts, _resources),
        st.builds(Unfreeze, _people, _amounts, _resources),
        st.builds(
            CreateContract,
            _people,
            _code.map(initcode),
            value=_amounts,
            token=_tokens,
            token_value=_amounts,
            user_percent=_percent,
            origin_energy_limit=_amounts,
        ),
        st.builds(
            TriggerContract,
            _people,
            to,
            st.sampled_from((b"", initcode(b"\0"))),
            value=_amounts,
            token=_tokens,
            token_value=_amounts,
        ),
    )


def _worth(chain: TronChain, addresses: set[bytes]) -> tuple[int, Mapping[int, int]]:
    """Sun in balances and stakes, and each TRC-10's amount, over all these accounts."""
    sun, held = 0, dict.fromkeys((asset.number for asset in chain.assets()), 0)
    state = chain._next_state()
    for address in addresses:
        account = chain.account(address)
        if account is None:
            continue
        assert account.balance >= 0
        pending = sum(one.amount for one in state.unstaking(address))
        sun += account.balance + sum(account.frozen.values()) + pending
        for number, amount in account.assets.items():
            held[number] += amount
    return sun, held


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_history_makes_money_or_fails_otherwise_than_by_refusal(data: st.DataObject) -> None:
    clock = Clock()
    chain = make_chain(clock=clock)
    contracts = tuple(put(chain, code) for code in ("STOP", f"0 0 0 0 3 @{C.hex()} 0 CALL"))
    known = {A, B, C, *contracts}
    supply = _worth(chain, known)[0]
    for _ in range(data.draw(st.integers(1, 12))):
        clock.now += data.draw(st.sampled_from((0, 1, DAY_MS // 3, 15 * DAY_MS)))
        operation = data.draw(_operations(contracts))
        limit = data.draw(st.sampled_from((0, TRX, 1_000 * TRX)))
        memo = data.draw(st.sampled_from((b"", b"hello")))
        before = chain.head
        try:
            transaction = signed(chain, operation, fee_limit=limit, memo=memo)
            chain.submit(transaction)
        except RejectedError:
            assert chain.head == before
            continue
        mined = chain.mined(transaction.id)
        assert mined is not None
        if mined.receipt.contract is not None:
            known.add(mined.receipt.contract)
        now, held = _worth(chain, known)
        # What a contract left to itself, or to a contract it made, is out of sight: never more, and fees are burnt.
        assert now <= supply - mined.receipt.fee
        supply = now
        for asset in chain.assets():
            assert held[asset.number] <= asset.supply
