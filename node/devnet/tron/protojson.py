"""java-tron's JSON for the messages of `schema`, both ways.

Not protobuf's own JSON mapping: bytes are lower-case hex, 64-bit numbers are numbers, enumerations are names, and
fields that hold their default are left out. A request may say `visible`: then addresses are base58check and names plain
text. Which form is right depends on that flag alone, as on real nodes, so that a client's mistake shows here first.

Readers raise `BadJsonError` with one line; they never trust a type, a length or a range. A key that the message does
not have is refused, since the sender's transaction id covers something that would be lost. Only inside an ABI are such
keys dropped, as java-tron drops them: every compiler writes `internalType` there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from eth_utils.crypto import keccak

from node.devnet.tron.proto import MAX_TRANSACTION, Parts, encode_transaction, transaction_id
from node.devnet.tron.schema import CONTRACT_TYPES, ENUMS, MESSAGES, TYPE_URL, Field, encode, new
from wallet.address import TRON_PREFIX, Address
from wallet.errors import AddressError, quoted

_NUMBERS = {name: number for number, name in CONTRACT_TYPES.items()}
_INT_BITS = {"int32": 31, "int64": 63}
_DROPS_UNKNOWN_KEYS = frozenset({"ABI", "Entry", "Param"})
_DIGITS = re.compile(r"-?[0-9]{1,20}\Z")
_ADDRESS_BYTES, _BASE58_CHARACTERS = 21, 34

Json = dict[str, Any]
Message = Any
"""A message of `schema`; its attributes are the table's fields."""


class BadJsonError(ValueError):
    """A request that is not what the method takes."""


# --- scalars ---------------------------------------------------------------------------------------------------------


def shown(value: object) -> str:
    return quoted(value if isinstance(value, str) else repr(value), 60)


def hex_in(value: object) -> bytes:
    """Hex digits, with or without 0x."""
    if isinstance(value, str) and len(value) <= 2 * MAX_TRANSACTION:
        digits = value.removeprefix("0x")
        if not digits or (digits.isascii() and digits.isalnum()):  # no white space, which fromhex would skip
            try:
                return bytes.fromhex(digits)
            except ValueError:
                pass
    raise BadJsonError(f"INVALID hex String: {shown(value)}")


def address_in(value: object, visible: bool) -> bytes:
    """The 21 bytes of an address: base58check where `visible`, hex from 41 on otherwise."""
    if visible:
        if isinstance(value, str) and len(value) == _BASE58_CHARACTERS and value.startswith("T"):
            try:
                return TRON_PREFIX + Address.parse(value).raw
            except AddressError:
                pass
        raise BadJsonError(f"INVALID base58 String, {shown(value)}")
    return hex_in(value)


def address_out(address: bytes, visible: bool) -> str:
    """For 21 bytes; anything else can only be shown as hex."""
    if visible and len(address) == _ADDRESS_BYTES and address.startswith(TRON_PREFIX):
        return Address(address[1:]).tron
    return address.hex()


def text_in(value: object, visible: bool) -> bytes:
    if not visible:
        return hex_in(value)
    if not isinstance(value, str):
        raise BadJsonError(f"not a text: {shown(value)}")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise BadJsonError(f"not a text: {shown(value)}") from None


def text_out(text: bytes, visible: bool) -> str:
    return text.decode(errors="replace") if visible else text.hex()


def int_in(value: object, bits: int = 63) -> int:
    """A JSON number, or its digits as text, as query strings have them."""
    if isinstance(value, str) and _DIGITS.match(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -(2**bits) <= value < 2**bits:
        return value
    raise BadJsonError(f"not a number of {bits + 1} bits: {shown(value)}")


def flag_in(value: object) -> bool:
    """True, false, or these words as a query string has them."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise BadJsonError(f"not true or false: {shown(value)}")


def object_in(value: object, what: str) -> Json:
    if isinstance(value, dict):
        return value
    raise BadJsonError(f"not {what}: {shown(value)}")


# --- messages --------------------------------------------------------------------------------------------------------


def message_json(name: str, message: Message, visible: bool) -> Json:
    """The fields that do not hold their default."""
    found: Json = {}
    for field in MESSAGES[name]:
        value = getattr(message, field.name)
        if field.repeated:
            if len(value):
                found[field.name] = [_value_json(field, item, visible) for item in value]
        elif field.kind in MESSAGES:
            if message.HasField(field.name):
                found[field.name] = _value_json(field, value, visible)
        elif value:
            found[field.name] = _value_json(field, value, visible)
    return found


def _value_json(field: Field, value: Any, visible: bool) -> object:
    kind = field.kind
    if kind in MESSAGES:
        return message_json(kind, value, visible)
    if kind in ENUMS:
        names = ENUMS[kind]
        return names[value] if 0 <= value < len(names) else value
    if kind == "address":
        return address_out(value, visible)
    if kind == "text":
        return text_out(value, visible)
    return value.hex() if kind == "bytes" else value


def read_message(name: str, value: object, visible: bool) -> Message:
    """A new message with the fields of a JSON object. Raises `BadJsonError`."""
    message = new(name)
    _fill(name, message, value, visible)
    return message


def _fill(name: str, message: Message, value: object, visible: bool) -> None:
    given = object_in(value, f"a {name}")
    fields = {field.name: field for field in MESSAGES[name]}
    for key, item in given.items():
        field = fields.get(key)
        if item is None or (field is None and name in _DROPS_UNKNOWN_KEYS):
            continue
        if field is None:
            raise BadJsonError(f"a {name} has no field {shown(key)}")
        if field.repeated:
            if not isinstance(item, list):
                item = [item]  # java-tron takes one object for a list of one
            for element in item:
                if field.kind in MESSAGES:
                    _fill(field.kind, getattr(message, key).add(), element, visible)
                else:
                    getattr(message, key).append(_scalar(field, element, visible))
        elif field.kind in MESSAGES:
            child = getattr(message, key)
            child.SetInParent()
            _fill(field.kind, child, item, visible)
        else:
            setattr(message, key, _scalar(field, item, visible))


def _scalar(field: Field, value: object, visible: bool) -> object:
    kind = field.kind
    if kind in _INT_BITS:
        return int_in(value, _INT_BITS[kind])
    if kind in ENUMS:
        return _enum(kind, value)
    if kind == "address":
        return address_in(value, visible)
    if kind == "text":
        return text_in(value, visible)
    if kind == "bytes":
        return hex_in(value)
    if kind == "bool":
        return flag_in(value)
    return text_in(value, visible=True).decode()


def _enum(kind: str, value: object) -> int:
    """A name, or its number. Compilers write the names of an ABI in lower case."""
    names = ENUMS[kind]
    if isinstance(value, str):
        name = value[:1].upper() + value[1:] if value.islower() else value
        if name in names:
            return names.index(name)
    elif not isinstance(value, bool) and isinstance(value, int) and 0 <= value < len(names):
        return value
    raise BadJsonError(f"{shown(value)} is none of {', '.join(names)}")


# --- transactions ----------------------------------------------------------------------------------------------------


def transaction_json(parts: Parts, visible: bool) -> Json:
    """A transaction as java-tron prints it, without what became of it."""
    raw: Json = message_json("raw", parts.raw, visible)
    entry = parts.raw.contract[0]
    contract: Json = {
        "parameter": {
            "value": message_json(parts.contract, parts.parameter, visible),
            "type_url": entry.parameter.type_url,
        },
        "type": parts.contract,
    }
    if entry.Permission_id > 0:
        contract["Permission_id"] = entry.Permission_id
    raw["contract"] = [contract]
    identity = transaction_id(parts.raw_data)
    found: Json = {"txID": identity.hex(), "raw_data": raw, "raw_data_hex": parts.raw_data.hex()}
    if parts.signatures:
        found["signature"] = [signature.hex() for signature in parts.signatures]
    if parts.contract == "CreateSmartContract":
        deployed = keccak(identity + parts.parameter.owner_address)[12:]
        found["contract_address"] = (TRON_PREFIX + deployed).hex()
    return found


def read_transaction(value: object, visible: bool) -> bytes:
    """The serialised message for a transaction in JSON: of `raw_data` and `signature`, whatever else there is.

    Raises `BadJsonError`.
    """
    given = object_in(value, "a transaction")
    raw_json = dict(object_in(given.get("raw_data"), "the raw_data of a transaction"))
    contracts = raw_json.pop("contract", None)
    if not isinstance(contracts, list) or len(contracts) != 1:
        raise BadJsonError("raw_data has a list of one contract")
    raw: Message = read_message("raw", raw_json, visible)
    _read_contract(raw.contract.add(), contracts[0], visible)
    signatures = given.get("signature") or []
    if not isinstance(signatures, list):
        raise BadJsonError(f"signature is not a list: {shown(signatures)}")
    return encode_transaction(encode(raw), [hex_in(signature) for signature in signatures])


def _read_contract(entry: Message, value: object, visible: bool) -> None:
    given = dict(object_in(value, "a contract"))
    name = given.pop("type", None)
    if not isinstance(name, str) or name not in _NUMBERS:
        raise BadJsonError(f"contract type {shown(name)} is not one this devnet executes")
    parameter = object_in(given.pop("parameter", None), "a contract's parameter")
    _fill("Contract", entry, given, visible)
    entry.type = _NUMBERS[name]
    entry.parameter.type_url = TYPE_URL + name
    entry.parameter.value = encode(read_message(name, parameter.get("value"), visible))


def load(body: bytes) -> Json:
    """A request's JSON object; an empty body is an empty one. Raises `BadJsonError`."""
    if not body.strip():
        return {}
    try:
        return object_in(json.loads(body), "a JSON object")
    except BadJsonError:
        raise
    except (ValueError, RecursionError):
        raise BadJsonError("the body is not JSON") from None


def visible_in(request: Mapping[str, object]) -> bool:
    value = request.get("visible")
    return False if value is None or value == "" else flag_in(value)
