"""BTFS cheques as BTFS peers exchange them: the JSON that Go's encoder makes of `SignedCheque`.

    {"Token":"0x…","Vault":"0x…","Beneficiary":"0x…","CumulativePayout":500,"Signature":"<base64>"}

Addresses are 40 hex digits without a checksum, the amount is a bare number of up to 78 digits, the signature 65 bytes
in padded base64 (go-btfs, settlement/swap/vault/cheque.go). A cheque of WBTT carries WBTT's address as `Token`, from
peers before BTFS 2.3 none; it is signed without a token either way. The same bytes serve as the form to store.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from wallet.address import Address
from wallet.btfs.errors import WireError
from wallet.cheque import BtfsCheque
from wallet.errors import ChequeError
from wallet.keys import SIGNATURE_BYTES

MAX_WIRE = 1024
"""Bytes of one cheque; Go's encoder makes at most 367."""
_ADDRESS = re.compile(r"0[xX]([0-9a-fA-F]{40})\Z")


@dataclass(frozen=True, slots=True)
class SignedBtfsCheque:
    """A BTFS cheque and its 65-byte signature r ‖ s ‖ v."""

    cheque: BtfsCheque
    signature: bytes = field(repr=False)


def encode(signed: SignedBtfsCheque, wbtt: Address) -> bytes:
    """The JSON that go-btfs reads. `wbtt`: the address of WBTT on the cheque's chain."""
    cheque = signed.cheque
    fields = {
        "Token": _hex(wbtt if cheque.token is None else cheque.token),
        "Vault": _hex(cheque.vault),
        "Beneficiary": _hex(cheque.beneficiary),
        "CumulativePayout": cheque.cumulative,
        "Signature": base64.b64encode(signed.signature).decode(),
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def decode(raw: bytes, wbtt: Address) -> SignedBtfsCheque:
    """The cheque in a peer's JSON; fields that are unknown do not matter. Raises `WireError`.

    The signature is only measured here; `wallet.btfs.receiver` checks it.
    """
    if len(raw) > MAX_WIRE:
        raise WireError(f"a BTFS cheque has at most {MAX_WIRE} bytes, not {len(raw)}")
    try:
        fields = json.loads(raw, object_pairs_hook=_once, parse_float=_not_whole, parse_constant=_not_whole)
    except (ValueError, RecursionError):  # WireError is neither and passes
        raise WireError("a BTFS cheque that is not JSON") from None
    if not isinstance(fields, dict):
        raise WireError("a BTFS cheque that is not a JSON object")
    token = _address(fields, "Token") if fields.get("Token") is not None else wbtt
    try:
        cheque = BtfsCheque(
            vault=_address(fields, "Vault"),
            beneficiary=_address(fields, "Beneficiary"),
            cumulative=_amount(fields),
            token=None if token == wbtt else token,
        )
    except WireError:
        raise
    except ChequeError as error:
        raise WireError(str(error)) from None
    return SignedBtfsCheque(cheque, _signature(fields))


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object without repeated names: of two amounts, readers would disagree which one counts."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise WireError("a BTFS cheque that names a field twice")
    return fields


def _not_whole(_text: str) -> NoReturn:
    raise WireError("a BTFS cheque with a number that is not whole")


def _address(fields: dict[str, Any], name: str) -> Address:
    value = fields.get(name)
    match = _ADDRESS.match(value) if isinstance(value, str) else None
    if match is None:
        raise WireError(f"a BTFS cheque whose {name} is not 0x and 40 hex digits")
    return Address(bytes.fromhex(match.group(1)))


def _amount(fields: dict[str, Any]) -> int:
    value = fields.get("CumulativePayout")
    if not isinstance(value, int) or isinstance(value, bool):
        raise WireError("a BTFS cheque whose CumulativePayout is not a whole number")
    return value


def _signature(fields: dict[str, Any]) -> bytes:
    value = fields.get("Signature")
    try:
        signature = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except ValueError:  # what is not ASCII, and binascii.Error
        signature = b""
    if len(signature) != SIGNATURE_BYTES:
        raise WireError(f"a BTFS cheque whose Signature is not {SIGNATURE_BYTES} bytes in base64")
    return signature


def _hex(address: Address) -> str:
    return "0x" + address.raw.hex()
