"""Calls, TRC-10 calls, creations and self-destruction inside the TVM."""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak

from node.devnet.tron.chain import TronChain
from node.devnet.tron.records import ContractRet, CreateContract, Outcome, TriggerContract
from tests.unit.devnet_tron.core.support import (
    BTTOLD,
    RETURN_WORD,
    A,
    B,
    C,
    asm,
    deploy,
    evaluate,
    initcode,
    make_chain,
    probe,
    put,
    run,
    send,
    word,
)

FACTORY = f"CALLDATASIZE 0 0 CALLDATACOPY CALLDATASIZE 0 0 CREATE {RETURN_WORD}"
FACTORY2 = f"CALLDATASIZE 0 0 CALLDATACOPY 7 CALLDATASIZE 0 0 CREATE2 {RETURN_WORD}"
SALT = word(7)


def at(address: bytes) -> str:
    return f"@{address.hex()}"


def balance(chain: TronChain, address: bytes) -> int:
    account = chain.account(address)
    return 0 if account is None else account.balance


def held(chain: TronChain, address: bytes) -> int:
    account = chain.account(address)
    return 0 if account is None else account.assets.get(BTTOLD, 0)


# --- calls -----------------------------------------------------------------------------------------------------------


def test_a_call_passes_on_all_the_energy_it_asks_for() -> None:
    chain = make_chain()
    meter = put(chain, f"GAS {RETURN_WORD}")
    code = asm(f"32 0 0 0 0 {at(meter)} GAS CALL POP 0 MLOAD {RETURN_WORD}")
    outcome = chain.constant(CreateContract(A, code), energy=1_000_000)
    # 18 for the pushes before GAS, 2 for GAS, 40 for CALL, 3 for memory, 2 for the callee's GAS; Ethereum keeps 15,624
    assert int.from_bytes(outcome.output, "big") == 1_000_000 - 18 - 2 - 40 - 3 - 2


@pytest.mark.parametrize(("end", "spent"), [("INVALID", True), ("0 0 REVERT", False), ("STOP", False)])
def test_only_a_revert_gives_a_callees_energy_back(end: str, spent: bool) -> None:
    chain = make_chain()
    callee = put(chain, end)
    outcome = probe(chain, f"0 0 0 0 0 {at(callee)} 50000 CALL POP")
    assert outcome.ok
    assert (outcome.energy > 50_000) is spent


def test_a_caller_sees_a_reverts_data_and_nothing_of_a_failure() -> None:
    chain = make_chain()
    reverting, failing = put(chain, "42 0 MSTORE 32 0 REVERT"), put(chain, "42 0 MSTORE INVALID")
    call = "32 0 0 0 0 {} 50000 CALL 1000 MUL RETURNDATASIZE ADD 100000 MUL 0 MLOAD ADD"
    assert evaluate(chain, call.format(at(reverting))) == 32 * 100_000 + 42
    assert evaluate(chain, call.format(at(failing))) == 0


def test_calls_nest_64_deep() -> None:
    chain = make_chain()
    nested = put(chain, f"0 SLOAD 1 ADD 0 SSTORE 0 0 0 0 0 ADDRESS GAS CALL POP 0 SLOAD {RETURN_WORD}")
    outcome = chain.constant(TriggerContract(A, nested))
    assert (outcome.ret, int.from_bytes(outcome.output, "big")) == (ContractRet.SUCCESS, 1 + 64)


def test_a_delegate_sees_its_callers_value_and_storage_but_no_tokens() -> None:
    chain = make_chain()
    library = put(chain, f"1 0 SSTORE CALLTOKENVALUE 1000 MUL CALLVALUE ADD {RETURN_WORD}")
    code = f"32 0 0 0 {at(library)} 50000 DELEGATECALL POP 0 MLOAD 0 SLOAD 100 MUL ADD"
    assert evaluate(chain, code, value=7, token=BTTOLD, token_value=9) == 100 + 7


@pytest.mark.parametrize(
    "code",
    ["1 0 SSTORE", "0 0 LOG0", "0 0 0 CREATE POP", "0 0 0 0 CREATE2 POP", f"{at(B)} SELFDESTRUCT",
     f"0 0 0 0 1 {at(B)} 0 CALL POP", f"0 0 0 0 {BTTOLD} 1 {at(B)} 0 CALLTOKEN POP"],
)  # fmt: skip
def test_a_static_call_changes_nothing(code: str) -> None:
    chain = make_chain()
    callee = put(chain, code, value=5, token=BTTOLD, token_value=5)
    assert evaluate(chain, f"0 0 0 0 {at(callee)} 50000 STATICCALL") == 0
    assert chain.constant(TriggerContract(A, callee)).ok


def test_a_failed_transfer_of_the_outermost_message_keeps_the_rest_of_its_energy() -> None:
    chain = make_chain()
    contract = put(chain, "0 0 0 0 1 ADDRESS 0 CALL", value=5)
    mined = run(chain, contract)
    assert mined.receipt.outcome.ret is ContractRet.TRANSFER_FAILED
    assert mined.receipt.outcome.energy < 10_000
    inner = probe(chain, f"0 0 0 0 0 {at(contract)} 50000 CALL POP")
    assert (inner.ok, inner.energy > 50_000) == (True, True)


# --- value and TRC-10 ------------------------------------------------------------------------------------------------


def test_trx_sent_by_a_contract_opens_an_account() -> None:
    chain = make_chain()
    contract = put(chain, f"0 0 0 0 5 {at(C)} 0 CALL POP", value=5)
    mined = run(chain, contract)
    found = chain.account(C)
    assert found is not None
    assert (found.balance, found.created, balance(chain, contract)) == (5, mined.timestamp, 0)


def test_what_a_sender_does_not_have_is_not_sent_and_costs_only_the_call() -> None:
    chain = make_chain()
    for call in (f"0 0 0 0 6 {at(B)} 0 CALL", f"0 0 0 0 {BTTOLD} 6 {at(B)} 0 CALLTOKEN"):
        assert evaluate(chain, call, value=5, token=BTTOLD, token_value=5) == 0


def test_a_token_call_moves_tokens_and_tells_the_callee() -> None:
    chain = make_chain()
    callee = put(chain, f"CALLTOKENID 1000 MUL CALLTOKENVALUE ADD 10 MUL CALLVALUE ADD 0 SSTORE 0 SLOAD {RETURN_WORD}")
    call = f"32 0 0 0 {BTTOLD} 8 {at(callee)} 90000 CALLTOKEN POP 0 MLOAD {RETURN_WORD}"
    caller = put(chain, call, token=BTTOLD, token_value=20)
    answer = run(chain, caller).receipt.outcome
    assert int.from_bytes(answer.output, "big") == (BTTOLD * 1000 + 8) * 10
    assert (held(chain, caller), held(chain, callee)) == (12, 8)


def test_a_revert_undoes_tokens_coins_and_accounts() -> None:
    chain = make_chain()
    moves = f"0 0 0 0 5 {at(C)} 0 CALL POP 0 0 0 0 {BTTOLD} 6 {at(C)} 0 CALLTOKEN POP 0 0 REVERT"
    contract = put(chain, moves, value=5, token=BTTOLD, token_value=6)
    before = held(chain, A)
    mined = run(chain, contract, value=3, token=BTTOLD, token_value=4)
    assert mined.receipt.outcome.ret is ContractRet.REVERT
    assert (balance(chain, contract), held(chain, contract), held(chain, A), chain.account(C)) == (5, 6, before, None)


# --- creations -------------------------------------------------------------------------------------------------------


def test_a_deployed_contracts_address_comes_from_the_transaction_and_its_owner() -> None:
    chain = make_chain()
    mined = send(chain, CreateContract(A, initcode(b"\0"), origin_energy_limit=1))
    assert mined.receipt.contract == keccak(mined.transaction.id + b"\x41" + A)[12:]


def made_by(outcome: Outcome) -> bytes:
    assert outcome.ok, outcome
    return outcome.output[12:]


def test_a_contracts_contract_has_its_address_from_the_transaction_and_a_count() -> None:
    chain = make_chain()
    factory = put(chain, FACTORY)
    first = run(chain, factory, initcode(asm(f"1 {RETURN_WORD}")))
    made = made_by(first.receipt.outcome)
    assert made == keccak(first.transaction.id + bytes(8))[12:]
    found = chain.contract(made)
    assert found is not None
    assert (found.origin, found.user_percent, found.abi, found.runtime) == (factory, 100, b"", asm(f"1 {RETURN_WORD}"))
    assert evaluate(chain, f"{at(made)} ISCONTRACT") == 1

    twice = put(chain, f"0 0 0 0 0 {at(B)} 0 CALL POP 0 0 0 CREATE POP 0 0 0 CREATE {RETURN_WORD}")
    mined = run(chain, twice)
    # The call was the first, the first creation the second: numbers 0 and 1.
    assert made_by(mined.receipt.outcome) == keccak(mined.transaction.id + (2).to_bytes(8, "big"))[12:]


def test_create2_hashes_with_trons_prefix_and_never_twice() -> None:
    chain = make_chain()
    factory = put(chain, FACTORY2)
    code = initcode(asm("STOP"))
    address = keccak(b"\x41" + factory + SALT + keccak(code))[12:]
    assert made_by(run(chain, factory, code).receipt.outcome) == address
    again = run(chain, factory, code)
    assert (again.receipt.outcome.ok, int.from_bytes(again.receipt.outcome.output, "big")) == (False, 0)


def test_a_creation_with_more_than_there_is_does_not_begin() -> None:
    chain = make_chain()
    contract = put(chain, f"0 0 6 CREATE POP 0 0 5 CREATE {RETURN_WORD}", value=5)
    mined = run(chain, contract)
    assert made_by(mined.receipt.outcome) == keccak(mined.transaction.id + bytes(8))[12:]  # still the first


def test_a_creation_that_fails_leaves_no_contract() -> None:
    chain = make_chain()
    factory = put(chain, FACTORY)
    mined = run(chain, factory, asm("0 0 REVERT"))
    assert int.from_bytes(mined.receipt.outcome.output, "big") == 0
    assert chain.contract(keccak(mined.transaction.id + bytes(8))[12:]) is None


def test_code_costs_200_energy_a_byte_and_too_little_means_out_of_energy() -> None:
    chain = make_chain()
    short, long = (chain.constant(CreateContract(A, initcode(bytes(size)))).energy for size in (32, 64))
    assert long - short == 32 * 200 + 3 + 3  # a word more of copying and memory
    outcome = chain.constant(CreateContract(A, initcode(bytes(64))), energy=long - 1)
    assert (outcome.ret, outcome.energy) == (ContractRet.OUT_OF_ENERGY, long - 1)
    assert "'save just created contract code'" in outcome.message
    assert "'MSTORE'" in chain.constant(CreateContract(A, asm("1 9999 MSTORE")), energy=100).message


def test_a_deployed_contract_may_be_larger_than_ethereum_allows() -> None:
    chain = make_chain()
    contract = deploy(chain, initcode(bytes(30_000)))
    found = chain.contract(contract)
    assert found is not None
    assert len(found.runtime) == 30_000


# --- the end of a contract -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heir", [B, C])
def test_a_destroyed_contract_leaves_everything_to_its_heir(heir: bytes) -> None:
    chain = make_chain()
    contract = put(chain, f"1 0 SSTORE {at(heir)} SELFDESTRUCT", value=5, token=BTTOLD, token_value=6)
    before = balance(chain, heir)
    assert run(chain, contract).receipt.outcome.ok
    assert (balance(chain, heir), held(chain, heir)) == (before + 5, 6)
    assert (chain.contract(contract), chain.account(contract)) == (None, None)


def test_a_contract_made_again_where_one_was_destroyed_remembers_nothing() -> None:
    chain = make_chain()
    # Without data it tells slot 0; with data it writes 7 there, or destroys itself if that has been done.
    tells, writes = f"0 SLOAD {RETURN_WORD}", "JUMPDEST 7 0 SSTORE STOP"
    first = len(asm(f"CALLDATASIZE 1 JUMPI {tells}"))
    second = first + len(asm(f"JUMPDEST 0 SLOAD ISZERO 1 JUMPI @{B.hex()} SELFDESTRUCT"))
    code = f"CALLDATASIZE {first} JUMPI {tells} JUMPDEST 0 SLOAD ISZERO {second} JUMPI {at(B)} SELFDESTRUCT {writes}"
    factory = put(chain, FACTORY2)
    made = made_by(run(chain, factory, initcode(asm(code))).receipt.outcome)
    for expected in (7, None):
        assert run(chain, made, b"go").receipt.outcome.ok
        assert (chain.contract(made) is None) is (expected is None)
    assert made_by(run(chain, factory, initcode(asm(code))).receipt.outcome) == made
    assert chain.constant(TriggerContract(A, made)).output == word(0)


def test_what_a_contract_leaves_to_itself_is_burnt() -> None:
    chain = make_chain()
    contract = put(chain, "ADDRESS SELFDESTRUCT", value=5, token=BTTOLD, token_value=6)
    assert run(chain, contract).receipt.outcome.ok
    assert chain.account(contract) is None
    assert held(chain, A) == 10**15 - 6


def test_destruction_in_a_call_that_fails_did_not_happen() -> None:
    chain = make_chain()
    doomed = put(chain, f"{at(B)} SELFDESTRUCT", value=5)
    caller = put(chain, f"0 0 0 0 0 {at(doomed)} GAS CALL POP 0 0 REVERT")
    assert run(chain, caller).receipt.outcome.ret is ContractRet.REVERT
    assert balance(chain, doomed) == 5


def test_the_same_run_always_ends_alike() -> None:
    outcomes = set()
    for _ in range(2):
        chain = make_chain(max_steps=5_000)
        contract = put(chain, "JUMPDEST 1 0 SSTORE 0 JUMP")
        outcomes.add(chain.constant(TriggerContract(A, contract)))
    assert [outcome.ret for outcome in outcomes] == [ContractRet.OUT_OF_TIME]


def test_precompiled_contracts_take_time_too() -> None:
    chain = make_chain(max_steps=400_000)
    pairing = "0 0 {} 0 8 GAS STATICCALL POP STOP"
    assert probe(chain, pairing.format(0)).ret is ContractRet.OUT_OF_TIME  # 45,000 energy, ten steps each
    assert probe(chain, "0 0 128 0 1 GAS STATICCALL POP STOP").ok


def test_a_slot_whose_writing_was_undone_is_new_again() -> None:
    chain = make_chain()
    writes = "JUMPDEST 1 0 SSTORE 0 0 REVERT"
    body = f"CALLDATASIZE {{}} JUMPI 0 0 1 0 0 ADDRESS GAS CALL POP 1 0 SSTORE STOP {writes}"
    contract = put(chain, body.format(len(asm(body.format(0))) - len(asm(writes))))
    outcome = chain.constant(TriggerContract(A, contract))
    assert outcome.ok
    assert 2 * 20_000 < outcome.energy < 2 * 20_000 + 500
