"""What single TVM instructions cost and say, as java-tron has it."""

from __future__ import annotations

import hashlib

import pytest

from node.devnet.tron.records import ContractRet, CreateContract, TriggerContract
from tests.unit.devnet_tron.core.support import (
    ALICE,
    BTTOLD,
    START,
    A,
    B,
    C,
    Clock,
    evaluate,
    make_chain,
    probe,
    put,
    word,
)

CHAIN = make_chain(max_steps=20_000)
OTHER = f"@{B.hex()}"
NOBODY = f"@{C.hex()}"


def _answer(contract: bytes, data: bytes) -> bytes:
    outcome = CHAIN.constant(TriggerContract(A, contract, data))
    assert outcome.ok, outcome
    return outcome.output


@pytest.mark.parametrize(
    ("code", "energy"),
    [
        ("STOP", 0),
        ("1 POP", 3 + 2),
        ("PUSH0 POP", 2 + 2),
        ("0 MLOAD POP", 3 + 1 + 3 + 2),
        ("1 0 MSTORE", 6 + 1 + 3),
        ("1 0 MSTORE8", 6 + 1 + 3),
        ("1 9984 MSTORE", 6 + 1 + 3 * 313 + 313**2 // 512),
        ("0 SLOAD POP", 3 + 50 + 2),
        ("1 0 SSTORE", 6 + 20_000),
        ("0 0 SSTORE", 6 + 5_000),
        ("1 0 SSTORE 2 0 SSTORE", 12 + 20_000 + 5_000),
        ("1 0 SSTORE 0 0 SSTORE 1 0 SSTORE", 18 + 20_000 + 5_000 + 5_000),
        ("ADDRESS BALANCE POP", 2 + 20 + 2),
        ("SELFBALANCE POP", 5 + 2),
        ("ADDRESS EXTCODESIZE POP", 2 + 20 + 2),
        ("ADDRESS EXTCODEHASH POP", 2 + 400 + 2),
        ("33 0 0 ADDRESS EXTCODECOPY", 9 + 2 + 20 + 2 * 3 + 2 * 3),
        ("33 0 0 CALLDATACOPY", 9 + 2 * 3 + 2 * 3),
        ("33 0 0 CODECOPY", 9 + 2 * 3 + 2 * 3),
        ("0 0 0 RETURNDATACOPY", 9),
        ("256 2 EXP POP", 6 + 10 + 2 * 10 + 2),
        ("0 2 EXP POP", 6 + 10 + 2),
        ("33 0 SHA3 POP", 6 + 30 + 2 * 6 + 2 * 3 + 2),
        ("32 0 LOG0", 6 + 375 + 8 * 32 + 3),
        ("7 7 32 0 LOG2", 12 + 3 * 375 + 8 * 32 + 3),
        ("3 JUMP JUMPDEST", 3 + 8 + 1),
        ("1 5 JUMPI JUMPDEST", 6 + 10 + 1),
        ("0 BLOCKHASH POP", 3 + 20 + 2),
        (f"ADDRESS {BTTOLD} TOKENBALANCE POP", 2 + 3 + 20 + 2),
        ("CALLTOKENVALUE CALLTOKENID POP POP", 4 * 2),
        ("ADDRESS ISCONTRACT POP", 2 + 20 + 2),
        ("0 0 0 CREATE POP", 9 + 32_000 + 2),
        ("0 33 0 0 CREATE2 POP", 12 + 32_000 + 2 * 6 + 2 * 3 + 2),
        (f"0 0 0 0 0 {OTHER} 0 CALL POP", 7 * 3 + 40 + 2),
        (f"0 0 0 0 {OTHER} 0 STATICCALL POP", 6 * 3 + 40 + 2),
        (f"0 0 0 0 {OTHER} 0 DELEGATECALL POP", 6 * 3 + 40 + 2),
        (f"32 0 64 0 0 {OTHER} 0 CALL POP", 7 * 3 + 40 + 2 * 3 + 2),
        (f"0 0 0 0 0 {NOBODY} 0 CALL POP", 7 * 3 + 40 + 2),
        (f"0 0 0 0 5 {OTHER} 0 CALL POP", 7 * 3 + 40 + 9_000 - 2_300 + 2),
        (f"0 0 0 0 5 {NOBODY} 0 CALL POP", 7 * 3 + 40 + 9_000 + 25_000 - 2_300 + 2),
        (f"0 0 0 0 5 {OTHER} 0 CALLCODE POP", 7 * 3 + 40 + 9_000 - 2_300 + 2),
        (f"0 0 0 0 {BTTOLD} 5 {NOBODY} 0 CALLTOKEN POP", 8 * 3 + 40 + 9_000 + 25_000 - 2_300 + 2),
        (f"{OTHER} SELFDESTRUCT", 3),
        (f"{NOBODY} SELFDESTRUCT", 3 + 25_000),
    ],
)
def test_energy_is_java_trons(code: str, energy: int) -> None:
    outcome = probe(CHAIN, code, value=100, token=BTTOLD, token_value=100)
    assert (outcome.ret, outcome.energy) == (ContractRet.SUCCESS, energy), outcome


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("DIFFICULTY", 0),
        ("GASLIMIT", 0),
        ("GASPRICE", 0),
        ("COINBASE", 0),
        ("BASEFEE", 100),
        ("CHAINID", 0x6274746E),
        ("PUSH0", 0),
        ("NUMBER", None),
        ("CALLVALUE", 7),
        ("CALLER", int.from_bytes(A, "big")),
        ("ORIGIN", int.from_bytes(A, "big")),
        ("CALLTOKENID", BTTOLD),
        ("CALLTOKENVALUE", 9),
        ("SELFBALANCE", 7),
        (f"ADDRESS {BTTOLD} TOKENBALANCE", 9),
        (f"{OTHER} 1000001 TOKENBALANCE", 0),
        ("ADDRESS ISCONTRACT", 1),
        (f"{OTHER} ISCONTRACT", 0),
        (f"{OTHER} EXTCODEHASH", int("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470", 16)),
        (f"{NOBODY} EXTCODEHASH", 0),
        ("NUMBER BLOCKHASH", 0),
    ],
)
def test_the_environment_is_trons(code: str, value: int | None) -> None:
    chain = make_chain()
    found = evaluate(chain, code, value=7, token=BTTOLD, token_value=9)
    assert found == (chain.head.number + 1 if value is None else value)


def test_time_is_in_seconds_and_blocks_are_known_by_their_ids() -> None:
    chain = make_chain()
    assert evaluate(chain, "TIMESTAMP") == START // 1000
    parent = evaluate(chain, "1 NUMBER SUB BLOCKHASH")
    assert parent == int.from_bytes(chain.head.id, "big")


def test_the_chain_id_may_be_the_whole_id_of_the_first_block() -> None:
    chain = make_chain(full_chain_id=True)
    genesis = chain.block(0)
    assert genesis is not None
    assert evaluate(chain, "CHAINID") == int.from_bytes(genesis.id, "big")
    assert genesis.id[:8] + genesis.id[-4:] == bytes(8) + bytes.fromhex("6274746e")


def test_ripemd160_is_trons_own_and_ethereums_is_found_elsewhere() -> None:
    data = b"cheque"
    copied = f"{len(data)} 0 0 CALLDATACOPY 32 0 {len(data)} 0"
    answers = {}
    for at in (2, 3, 0x20003):
        contract = put(CHAIN, f"{copied} {at} GAS STATICCALL POP 32 0 RETURN")
        answers[at] = _answer(contract, data)
    assert answers[2] == hashlib.sha256(data).digest()
    assert answers[3] == hashlib.sha256(hashlib.sha256(data).digest()[:20]).digest()
    assert answers[0x20003] == bytes(12) + hashlib.new("ripemd160", data).digest()


@pytest.mark.parametrize(
    ("code", "ret", "words"),
    [
        ("0 0 REVERT", ContractRet.REVERT, "REVERT opcode executed"),
        ("INVALID", ContractRet.ILLEGAL_OPERATION, "Invalid operation code: opCode[fe];"),
        ("9 JUMP", ContractRet.BAD_JUMP_DESTINATION, "Operation with pc isn't 'JUMPDEST': PC[9];"),
        ("1 JUMP", ContractRet.BAD_JUMP_DESTINATION, "Operation with pc isn't 'JUMPDEST': PC[1];"),
        ("ADD", ContractRet.STACK_TOO_SMALL, ""),
        ("JUMPDEST 1 0 JUMP", ContractRet.STACK_TOO_LARGE, "Expected: overflow 1024 elements stack limit"),
        ("JUMPDEST 0 JUMP", ContractRet.OUT_OF_TIME, "CPU timeout"),
        ("0 3145729 MLOAD", ContractRet.OUT_OF_MEMORY, "Out of Memory when 'MLOAD' operation"),
        ("1 0 0 RETURNDATACOPY", ContractRet.UNKNOWN, ""),
        (f"0 0 0 0 1000000 1 {OTHER} 0 CALLTOKEN", ContractRet.TRANSFER_FAILED, "not valid token id"),
        (f"0 0 0 0 0 1 {OTHER} 0 CALLTOKEN", ContractRet.TRANSFER_FAILED, "not valid token id"),
        ("0 0 0 0 1 ADDRESS 0 CALL", ContractRet.TRANSFER_FAILED, "Cannot transfer TRX to yourself."),
        (f"0 0 0 0 {BTTOLD} 1 ADDRESS 0 CALLTOKEN", ContractRet.TRANSFER_FAILED, "Cannot transfer asset to yourself."),
        (f"0 0 {2**63} CREATE", ContractRet.UNKNOWN, "out of long range"),
        (f"0 0 0 0 {2**63} {OTHER} 0 CALL", ContractRet.TRANSFER_FAILED, "endowment out of long range"),
        ("0 0 0 0 1 1 0 CALL", ContractRet.UNKNOWN, "transfer failure"),
        ("ADDRESS 1000000 TOKENBALANCE", ContractRet.UNKNOWN, "not valid token id"),
        (f"ADDRESS {2**64} TOKENBALANCE", ContractRet.TRANSFER_FAILED, "not valid token id"),
        ("0xef 0 MSTORE8 1 0 RETURN", ContractRet.INVALID_CODE, "invalid code: must not begin with 0xef"),
    ],
)
def test_failures_have_java_trons_names(code: str, ret: ContractRet, words: str) -> None:
    outcome = probe(CHAIN, code, value=100, token=BTTOLD, token_value=100)
    assert outcome.ret is ret, outcome
    assert words in outcome.message


@pytest.mark.parametrize("opcode", [*range(0xD5, 0xE0), 0x49, 0x4A, 0x5C, 0x5D, 0x5E])
def test_staking_voting_and_cancuns_instructions_are_invalid(opcode: int) -> None:
    outcome = CHAIN.constant(CreateContract(A, bytes([opcode])))
    assert outcome.ret is ContractRet.ILLEGAL_OPERATION
    assert outcome.energy == CHAIN.settings.call_energy


def test_ecrecover_is_ethereums() -> None:
    digest = hashlib.sha256(b"cheque").digest()
    signature = ALICE.sign_recoverable(digest, hasher=None)
    data = digest + word(signature[64] + 27) + signature[:64]
    contract = put(CHAIN, "128 0 0 CALLDATACOPY 32 0 128 0 1 GAS STATICCALL POP 32 0 RETURN")
    assert _answer(contract, data) == bytes(12) + A
    assert _answer(contract, bytes(128)) == bytes(32)


def test_the_clock_moves_with_the_chain() -> None:
    clock = Clock()
    chain = make_chain(clock=clock)
    clock.now += 5_990
    assert evaluate(chain, "TIMESTAMP") == START // 1000 + 5
