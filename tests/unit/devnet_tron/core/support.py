"""A TRON chain in memory, or in a folder, and people who sign transactions on it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from coincurve import PrivateKey
from eth.vm import opcode_values
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from contracts.loader import load
from node.devnet.tron.chain import TronChain
from node.devnet.tron.proto import Header, decode_transaction, encode_raw, encode_transaction, transaction_id
from node.devnet.tron.records import (
    AccountCreate,
    Asset,
    AssetIssue,
    CreateContract,
    Freeze,
    Mined,
    Operation,
    Outcome,
    Resource,
    Transaction,
    Transfer,
    TransferAsset,
    TriggerContract,
    Unfreeze,
)
from node.devnet.tron.schema import new
from node.devnet.tron.settings import TRX, TronSettings

START = 1_700_000_000_000
DAY_MS = 24 * 3600 * 1000
BTTOLD = 1_002_000
FEE_LIMIT = 1_000 * TRX

ALICE, BOB, CAROL = (PrivateKey(keccak(text=name)) for name in ("alice", "bob", "carol"))
RETURN_WORD = "0 MSTORE 32 0 RETURN"
_serial = count(1)
_TRONS_OWN = ("CALLTOKEN", "TOKENBALANCE", "CALLTOKENVALUE", "CALLTOKENID", "ISCONTRACT")
_OPCODES = {
    **{name: value for name, value in vars(opcode_values).items() if name.isupper()},
    **{name: 0xD0 + place for place, name in enumerate(_TRONS_OWN)},
    "DIFFICULTY": 0x44,
    "INVALID": 0xFE,
}


def address(owner: PrivateKey) -> bytes:
    return keccak(owner.public_key.format(compressed=False)[1:])[12:]


A, B, C = (address(owner) for owner in (ALICE, BOB, CAROL))
KEYS = {A: ALICE, B: BOB, C: CAROL}


class Clock:
    """The machine's clock in milliseconds, moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def make_chain(path: Path | None = None, clock: Clock | None = None, **settings: Any) -> TronChain:
    """Alice and Bob have a million TRX each; Alice owns the TRC-10 BTTOLD. Carol's account does not exist."""
    given = {
        "allocation": {A: 1_000_000 * TRX, B: 1_000_000 * TRX},
        "assets": (Asset(BTTOLD, A, b"BitTorrentOld", b"BTTOLD", 10**15, 6),),
        **settings,
    }
    return TronChain(TronSettings(**given), path, clock or Clock())


# --- transactions ----------------------------------------------------------------------------------------------------


def _message(operation: Operation) -> tuple[str, Any]:
    """The contract's name and its parameter."""
    name = {
        AccountCreate: "AccountCreateContract",
        Transfer: "TransferContract",
        TransferAsset: "TransferAssetContract",
        AssetIssue: "AssetIssueContract",
        CreateContract: "CreateSmartContract",
        TriggerContract: "TriggerSmartContract",
        Freeze: "FreezeBalanceV2Contract",
        Unfreeze: "UnfreezeBalanceV2Contract",
    }[type(operation)]
    message: Any = new(name)
    message.owner_address = b"\x41" + operation.owner
    match operation:
        case AccountCreate():
            message.account_address = b"\x41" + operation.account
        case Transfer() | TransferAsset():
            message.to_address, message.amount = b"\x41" + operation.to, operation.amount
            if isinstance(operation, TransferAsset):
                message.asset_name = str(operation.asset).encode()
        case AssetIssue():
            message.name, message.abbr, message.total_supply = operation.name, operation.abbreviation, operation.supply
            message.precision, message.url, message.description = (
                operation.decimals,
                operation.url,
                operation.description,
            )
            message.trx_num = message.num = 1
        case CreateContract():
            contract = message.new_contract
            contract.origin_address, contract.bytecode = b"\x41" + operation.owner, operation.bytecode
            contract.name, contract.call_value = operation.name, operation.value
            contract.consume_user_resource_percent = operation.user_percent
            contract.origin_energy_limit = operation.origin_energy_limit
            message.token_id, message.call_token_value = operation.token, operation.token_value
        case TriggerContract():
            message.contract_address, message.data = b"\x41" + operation.contract, operation.data
            message.call_value, message.token_id = operation.value, operation.token
            message.call_token_value = operation.token_value
        case Freeze():
            message.frozen_balance, message.resource = operation.amount, int(operation.resource is Resource.ENERGY)
        case Unfreeze():
            message.unfreeze_balance, message.resource = operation.amount, int(operation.resource is Resource.ENERGY)
    return name, message


def signed(
    chain: TronChain, operation: Operation, *, signers: Sequence[PrivateKey] | None = None, **header: Any
) -> Transaction:
    """Signed by the owner unless `signers` says otherwise; no two are alike."""
    now = chain.now()
    head = chain.head.id
    fields = Header(
        ref_block_bytes=head[6:8],
        ref_block_hash=head[8:16],
        expiration=now + 60_000,
        timestamp=now + next(_serial),
        fee_limit=FEE_LIMIT if isinstance(operation, CreateContract | TriggerContract) else 0,
    )
    raw = encode_raw(*_message(operation), replace(fields, **header))
    keys = [KEYS[operation.owner]] if signers is None else signers
    signatures = [key.sign_recoverable(transaction_id(raw), hasher=None) for key in keys]
    return decode_transaction(encode_transaction(raw, signatures))


def send(chain: TronChain, operation: Operation, **header: Any) -> Mined:
    """Sign, submit, and return what became of it."""
    transaction = signed(chain, operation, **header)
    chain.submit(transaction)
    mined = chain.mined(transaction.id)
    assert mined is not None
    return mined


# --- contracts -------------------------------------------------------------------------------------------------------


def asm(text: str) -> bytes:
    """Opcodes by name; a number, or an address in hex after `@`, is pushed with the shortest PUSH that holds it."""
    code = bytearray()
    for item in text.split():
        if item in _OPCODES:
            code.append(_OPCODES[item])
            continue
        value = bytes.fromhex(item[1:]) if item[0] == "@" else _shortest(int(item, 0))
        code += bytes([opcode_values.PUSH1 + len(value) - 1]) + value
    return bytes(code)


def _shortest(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")


def initcode(runtime: bytes) -> bytes:
    """Creation code that deploys `runtime`."""
    size = len(runtime).to_bytes(2, "big").hex()
    return bytes.fromhex(f"61{size}600e60003961{size}6000f3") + runtime


def deploy(chain: TronChain, bytecode: bytes, owner: bytes = A, **fields: Any) -> bytes:
    """The new contract's address."""
    operation = CreateContract(owner, bytecode, **{"origin_energy_limit": 10_000_000, **fields})
    mined = send(chain, operation, fee_limit=15_000 * TRX)
    assert mined.receipt.outcome.ok, mined.receipt.outcome
    assert mined.receipt.contract is not None
    return mined.receipt.contract


def put(chain: TronChain, runtime: str, **fields: Any) -> bytes:
    """Deploy `asm` code."""
    return deploy(chain, initcode(asm(runtime)), **fields)


def probe(chain: TronChain, code: str, **fields: Any) -> Outcome:
    """Run `asm` code as Alice's constructor, for nothing. Its energy is the code's own if it returns nothing."""
    return chain.constant(CreateContract(A, asm(code), **fields))


def evaluate(chain: TronChain, code: str, data: bytes = b"", **fields: Any) -> int:
    """The word that `asm` code leaves on the stack when Alice calls a contract of it."""
    contract = put(chain, f"{code} {RETURN_WORD}")
    outcome = chain.constant(TriggerContract(A, contract, data, **fields))
    assert outcome.ok, outcome
    return int.from_bytes(outcome.output, "big")


def run(
    chain: TronChain,
    contract: bytes,
    data: bytes = b"",
    owner: bytes = A,
    header: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Mined:
    return send(chain, TriggerContract(owner, contract, data, **fields), **(header or {}))


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def calldata(signature: str, *arguments: Any) -> bytes:
    types = signature[signature.index("(") + 1 : -1]
    return keccak(text=signature)[:4] + encode(types.split(",") if types else [], arguments)


def ask(chain: TronChain, contract: bytes, signature: str, returns: str, *arguments: Any) -> Any:
    outcome = chain.constant(TriggerContract(A, contract, calldata(signature, *arguments)))
    assert outcome.ok, outcome
    return decode([returns], outcome.output)[0]


def token(chain: TronChain, supply: int = 10**27) -> bytes:
    """TestBTT, with all of it Alice's."""
    contract = deploy(chain, load("TestBTT").bytecode + encode(["string", "string"], ["BitTorrent", "BTT"]))
    assert run(chain, contract, calldata("mint(address,uint256)", A, supply)).receipt.outcome.ok
    return contract


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
