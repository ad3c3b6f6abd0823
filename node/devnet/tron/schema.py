"""The protocol-buffer messages of TRON that this devnet speaks, as one table.

Field numbers and names are those of java-tron's `core/Tron.proto` and `core/contract/*.proto`. The descriptors made
from the table live in a pool of their own: whoever loads another library's `protocol.Transaction` into the same
process, as every TRON client does, is not in its way.

Enumerations travel as numbers here and are named by `ENUMS` where JSON wants names; the bytes on the wire are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from google.protobuf.descriptor_pb2 import (  # type: ignore[import-untyped]  # protobuf ships no types
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool  # type: ignore[import-untyped]  # protobuf ships no types
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types
from google.protobuf.message_factory import GetMessageClass  # type: ignore[import-untyped]  # protobuf ships no types

TYPE_URL = "type.googleapis.com/protocol."

CONTRACT_TYPES: Mapping[int, str] = MappingProxyType(
    {
        0: "AccountCreateContract",
        1: "TransferContract",
        2: "TransferAssetContract",
        6: "AssetIssueContract",
        30: "CreateSmartContract",
        31: "TriggerSmartContract",
        54: "FreezeBalanceV2Contract",
        55: "UnfreezeBalanceV2Contract",
    }
)
"""`Transaction.Contract.ContractType` → the message in its parameter, for what this devnet can execute."""

ENUMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "AccountType": ("Normal", "AssetIssue", "Contract"),
        "EntryType": ("UnknownEntryType", "Constructor", "Function", "Event", "Fallback", "Receive", "Error"),
        "ResourceCode": ("BANDWIDTH", "ENERGY", "TRON_POWER"),
        "StateMutabilityType": ("UnknownMutabilityType", "Pure", "View", "Nonpayable", "Payable"),
    }
)

# Kinds: `address` and `text` are bytes which JSON shows as base58 and as UTF-8 when the request says `visible`; `bytes`
# are always hex there. A star means repeated. `raw_data` is kept as bytes: a transaction's id is over exactly these.
_TABLE: Mapping[str, tuple[str, ...]] = {
    "Transaction": ("1 raw_data bytes", "2 signature bytes*"),
    "raw": (
        "1 ref_block_bytes bytes",
        "3 ref_block_num int64",
        "4 ref_block_hash bytes",
        "8 expiration int64",
        "9 auths authority*",
        "10 data bytes",
        "11 contract Contract*",
        "12 scripts bytes",
        "14 timestamp int64",
        "18 fee_limit int64",
    ),
    "AccountId": ("1 name text", "2 address address"),
    "authority": ("1 account AccountId", "2 permission_name text"),
    "Contract": (
        "1 type int32",
        "2 parameter Any",
        "3 provider bytes",
        "4 ContractName bytes",
        "5 Permission_id int32",
    ),
    "Any": ("1 type_url string", "2 value bytes"),
    "AccountCreateContract": ("1 owner_address address", "2 account_address address", "3 type AccountType"),
    "TransferContract": ("1 owner_address address", "2 to_address address", "3 amount int64"),
    "TransferAssetContract": (
        "1 asset_name text",
        "2 owner_address address",
        "3 to_address address",
        "4 amount int64",
    ),
    "FrozenSupply": ("1 frozen_amount int64", "2 frozen_days int64"),
    "AssetIssueContract": (
        "1 owner_address address",
        "2 name text",
        "3 abbr text",
        "4 total_supply int64",
        "5 frozen_supply FrozenSupply*",
        "6 trx_num int32",
        "7 precision int32",
        "8 num int32",
        "9 start_time int64",
        "10 end_time int64",
        "11 order int64",
        "16 vote_score int32",
        "20 description text",
        "21 url text",
        "22 free_asset_net_limit int64",
        "23 public_free_asset_net_limit int64",
        "24 public_free_asset_net_usage int64",
        "25 public_latest_free_net_time int64",
        "41 id string",
    ),
    "Param": ("1 indexed bool", "2 name string", "3 type string"),
    "Entry": (
        "1 anonymous bool",
        "2 constant bool",
        "3 name string",
        "4 inputs Param*",
        "5 outputs Param*",
        "6 type EntryType",
        "7 payable bool",
        "8 stateMutability StateMutabilityType",
    ),
    "ABI": ("1 entrys Entry*",),
    "SmartContract": (
        "1 origin_address address",
        "2 contract_address address",
        "3 abi ABI",
        "4 bytecode bytes",
        "5 call_value int64",
        "6 consume_user_resource_percent int64",
        "7 name string",
        "8 origin_energy_limit int64",
        "9 code_hash bytes",
        "10 trx_hash bytes",
        "11 version int32",
    ),
    "CreateSmartContract": (
        "1 owner_address address",
        "2 new_contract SmartContract",
        "3 call_token_value int64",
        "4 token_id int64",
    ),
    "TriggerSmartContract": (
        "1 owner_address address",
        "2 contract_address address",
        "3 call_value int64",
        "4 data bytes",
        "5 call_token_value int64",
        "6 token_id int64",
    ),
    "FreezeBalanceV2Contract": ("1 owner_address address", "2 frozen_balance int64", "3 resource ResourceCode"),
    "UnfreezeBalanceV2Contract": ("1 owner_address address", "2 unfreeze_balance int64", "3 resource ResourceCode"),
}


@dataclass(frozen=True, slots=True)
class Field:
    """`kind`: a scalar's name, a key of `ENUMS`, or another message's name."""

    number: int
    name: str
    kind: str
    repeated: bool


class Message(Protocol):
    """What this package uses of a protobuf message."""

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802  # protobuf's name
    def ParseFromString(self, data: bytes) -> int: ...  # noqa: N802  # protobuf's name
    def DiscardUnknownFields(self) -> None: ...  # noqa: N802  # protobuf's name
    def HasField(self, name: str) -> bool: ...  # noqa: N802  # protobuf's name
    def SetInParent(self) -> None: ...  # noqa: N802  # protobuf's name


class NotCanonicalError(ValueError):
    """Bytes that are not the one serialisation of a message of the table."""


def _field(row: str) -> Field:
    number, name, kind = row.split(" ")
    return Field(int(number), name, kind.removesuffix("*"), kind.endswith("*"))


MESSAGES: Mapping[str, tuple[Field, ...]] = MappingProxyType(
    {name: tuple(_field(row) for row in rows) for name, rows in _TABLE.items()}
)

_SCALARS = {
    "address": FieldDescriptorProto.TYPE_BYTES,
    "text": FieldDescriptorProto.TYPE_BYTES,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "string": FieldDescriptorProto.TYPE_STRING,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    **dict.fromkeys(ENUMS, FieldDescriptorProto.TYPE_INT32),
}


def _classes() -> dict[str, type[Message]]:
    file = FileDescriptorProto(name="tron_devnet.proto", package="protocol", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for item in fields:
            entry = message.field.add(name=item.name, number=item.number)
            entry.label = FieldDescriptorProto.LABEL_REPEATED if item.repeated else FieldDescriptorProto.LABEL_OPTIONAL
            if item.kind in _SCALARS:
                entry.type = _SCALARS[item.kind]
            else:
                entry.type, entry.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".protocol.{item.kind}"
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"protocol.{name}")) for name in MESSAGES}


_CLASSES = _classes()


def new(name: str) -> Message:
    """An empty message of the table."""
    return _CLASSES[name]()


def encode(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def decode(name: str, encoded: bytes) -> Message:
    """The message in `encoded`. Raises `NotCanonicalError`.

    Fields that the table does not have, fields out of order, and defaults that are written out are all refused: what is
    taken can be written again, byte for byte, so no id ever covers something that nobody looked at.
    """
    message = new(name)
    try:
        message.ParseFromString(encoded)
    except DecodeError:
        raise NotCanonicalError(f"not a {name} message") from None
    message.DiscardUnknownFields()
    if encode(message) != encoded:
        raise NotCanonicalError(f"a {name} message with unknown fields, or not in its canonical form")
    return message
