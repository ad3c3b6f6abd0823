"""Transactions as bytes: java-tron's protocol buffers to the core's records.

A transaction is `raw_data` and signatures. Its id is sha256 of the bytes of `raw_data` as they came, so decoding is
strict: bytes that would not come out the same again are refused (`schema.decode`). The operation sits in an `Any`,
whose type must be the one its contract names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.devnet.tron.records import (
    AccountCreate,
    AssetIssue,
    Code,
    CreateContract,
    Freeze,
    Operation,
    RejectedError,
    Resource,
    Transaction,
    Transfer,
    TransferAsset,
    TriggerContract,
    Unfreeze,
)
from node.devnet.tron.schema import CONTRACT_TYPES, ENUMS, TYPE_URL, NotCanonicalError, decode, encode, new

MAX_TRANSACTION = 500 * 1024
"""Bytes of a serialised transaction (java-tron: `TRANSACTION_MAX_BYTE_SIZE`)."""
ADDRESS_PREFIX = b"\x41"
_ADDRESS_BYTES = 21
_LARGEST_ASSET_DIGITS = 18

_NUMBERS = {name: number for number, name in CONTRACT_TYPES.items()}

Message = Any
"""A message of `schema`; its attributes are the table's fields."""


# --- out -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a transaction says besides its operation. Times in milliseconds, `fee_limit` in sun."""

    ref_block_bytes: bytes
    ref_block_hash: bytes
    expiration: int
    timestamp: int
    fee_limit: int = 0
    memo: bytes = b""
    permission: int = 0


def encode_raw(contract: str, parameter: Message, header: Header) -> bytes:
    """`raw_data` with one contract, such as `encode_raw("TransferContract", message, header)`."""
    raw: Message = new("raw")
    raw.ref_block_bytes, raw.ref_block_hash = header.ref_block_bytes, header.ref_block_hash
    raw.expiration, raw.timestamp, raw.fee_limit = header.expiration, header.timestamp, header.fee_limit
    raw.data = header.memo
    entry = raw.contract.add(type=_NUMBERS[contract], Permission_id=header.permission)
    entry.parameter.type_url = TYPE_URL + contract
    entry.parameter.value = encode(parameter)
    return encode(raw)


def encode_transaction(raw_data: bytes, signatures: Sequence[bytes] = ()) -> bytes:
    """The whole message as it is broadcast."""
    transaction: Message = new("Transaction")
    transaction.raw_data = raw_data
    transaction.signature.extend(signatures)
    return encode(transaction)


def transaction_id(raw_data: bytes) -> bytes:
    return hashlib.sha256(raw_data).digest()


# --- in --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parts:
    """A transaction taken apart: `raw` is the message in `raw_data`, `parameter` the one in its only contract."""

    raw_data: bytes
    signatures: tuple[bytes, ...]
    raw: Message
    contract: str
    parameter: Message


def take_apart(encoded: bytes) -> Parts:
    """Raises `RejectedError`."""
    if len(encoded) > MAX_TRANSACTION:
        raise RejectedError(Code.TOO_BIG_TRANSACTION_ERROR, "Transaction size is too big.")
    try:
        outer: Message = decode("Transaction", encoded)
        raw: Message = decode("raw", outer.raw_data)
    except NotCanonicalError as error:
        raise RejectedError(Code.OTHER_ERROR, f"Error: {error}") from None
    if len(raw.contract) != 1:
        raise _invalid("No contract!" if not raw.contract else "a transaction has exactly one contract")
    entry = raw.contract[0]
    contract = CONTRACT_TYPES.get(entry.type)
    if contract is None:
        raise _invalid(f"contract type {entry.type} is not one this devnet executes")
    if entry.parameter.type_url.rpartition("/")[2] != f"protocol.{contract}":
        raise _invalid(f"contract type error, expected type [{contract}], real type [{entry.parameter.type_url[:80]}]")
    try:
        parameter = decode(contract, entry.parameter.value)
    except NotCanonicalError as error:
        raise RejectedError(Code.OTHER_ERROR, f"Error: {error}") from None
    return Parts(outer.raw_data, tuple(outer.signature), raw, contract, parameter)


def decode_transaction(encoded: bytes) -> Transaction:
    """What the core executes. Raises `RejectedError`; amounts and names are the core's to judge."""
    parts = take_apart(encoded)
    raw = parts.raw
    return Transaction(
        id=transaction_id(parts.raw_data),
        operation=_OPERATIONS[parts.contract](parts.parameter),
        signatures=parts.signatures,
        ref_block_bytes=raw.ref_block_bytes,
        ref_block_hash=raw.ref_block_hash,
        expiration=raw.expiration,
        timestamp=raw.timestamp,
        fee_limit=raw.fee_limit,
        memo=raw.data,
        permission=raw.contract[0].Permission_id,
        encoded=encoded,
    )


def operation_of(contract: str, parameter: Message) -> Operation:
    """The core's record for a contract's parameter. Raises `RejectedError`."""
    return _OPERATIONS[contract](parameter)


def _account_create(message: Message) -> AccountCreate:
    return AccountCreate(_owner(message), _address(message.account_address, "account address"))


def _transfer(message: Message) -> Transfer:
    return Transfer(_owner(message), _address(message.to_address, "toAddress"), message.amount)


def _transfer_asset(message: Message) -> TransferAsset:
    name = message.asset_name
    if not (name.isdigit() and len(name) <= _LARGEST_ASSET_DIGITS):
        raise _invalid("No asset!")
    return TransferAsset(_owner(message), _address(message.to_address, "toAddress"), int(name), message.amount)


def _asset_issue(message: Message) -> AssetIssue:
    return AssetIssue(
        owner=_owner(message),
        name=message.name,
        abbreviation=message.abbr,
        supply=message.total_supply,
        decimals=message.precision,
        description=message.description,
        url=message.url,
    )


def _create(message: Message) -> CreateContract:
    contract = message.new_contract
    if contract.origin_address != message.owner_address:
        raise _invalid("OwnerAddress is not equal OriginAddress")
    return CreateContract(
        owner=_owner(message),
        bytecode=contract.bytecode,
        value=contract.call_value,
        token=message.token_id,
        token_value=message.call_token_value,
        name=contract.name,
        abi=encode(contract.abi),
        user_percent=contract.consume_user_resource_percent,
        origin_energy_limit=contract.origin_energy_limit,
    )


def _trigger(message: Message) -> TriggerContract:
    return TriggerContract(
        owner=_owner(message),
        contract=_address(message.contract_address, "contract address"),
        data=message.data,
        value=message.call_value,
        token=message.token_id,
        token_value=message.call_token_value,
    )


def _freeze(message: Message) -> Freeze:
    return Freeze(_owner(message), message.frozen_balance, _resource(message.resource))


def _unfreeze(message: Message) -> Unfreeze:
    return Unfreeze(_owner(message), message.unfreeze_balance, _resource(message.resource))


_OPERATIONS: Mapping[str, Callable[[Message], Operation]] = {
    "AccountCreateContract": _account_create,
    "TransferContract": _transfer,
    "TransferAssetContract": _transfer_asset,
    "AssetIssueContract": _asset_issue,
    "CreateSmartContract": _create,
    "TriggerSmartContract": _trigger,
    "FreezeBalanceV2Contract": _freeze,
    "UnfreezeBalanceV2Contract": _unfreeze,
}


def _owner(message: Message) -> bytes:
    return _address(message.owner_address, "ownerAddress")


def _address(field: bytes, what: str) -> bytes:
    if len(field) != _ADDRESS_BYTES or not field.startswith(ADDRESS_PREFIX):
        raise _invalid(f"Invalid {what}!")
    return field[1:]


def _resource(number: int) -> Resource:
    try:
        return Resource(ENUMS["ResourceCode"][number])
    except (IndexError, ValueError):
        raise _invalid("ResourceCode error, valid ResourceCode[BANDWIDTH、ENERGY]") from None


def _invalid(text: str) -> RejectedError:
    return RejectedError(Code.CONTRACT_VALIDATE_ERROR, f"Contract validate error : {text}")
