"""BTFS's JSON: what Go's encoder writes is read, what its decoder would misread is refused in one line."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wallet.strategies import addresses, uint256
from tests.unit.wallet.support import load
from wallet.address import Address
from wallet.amount import MAX_AMOUNT
from wallet.btfs.errors import WireError
from wallet.btfs.wire import MAX_WIRE, SignedBtfsCheque, decode, encode
from wallet.cheque import BtfsCheque

WBTT = Address.parse("0x23181F21DEa5936e24163FFABa4Ea3B316B57f3C")
SIGNATURE = bytes(range(65))
CHEQUE = SignedBtfsCheque(BtfsCheque(Address(b"\x0a" * 20), Address(b"\x0b" * 20), 500), SIGNATURE)
GO = (
    b'{"Token":"0x23181f21dea5936e24163ffaba4ea3b316b57f3c","Vault":"0x0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",'
    b'"Beneficiary":"0x0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b","CumulativePayout":500,'
    b'"Signature":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A="}'
)
"""What Go's `encoding/json` makes of it: an embedded struct is flat, addresses are lower case, []byte is base64."""

signed_cheques = st.builds(
    SignedBtfsCheque,
    st.builds(BtfsCheque, addresses, addresses, uint256, st.none() | addresses.filter(lambda token: token != WBTT)),
    st.binary(min_size=65, max_size=65),
)


def changed(**fields: object) -> bytes:
    """The cheque with other fields; None removes one."""
    merged: dict[str, Any] = json.loads(GO) | fields
    return json.dumps({name: value for name, value in merged.items() if value is not None}).encode()


def test_the_bytes_are_those_of_gos_encoder() -> None:
    assert encode(CHEQUE, WBTT) == GO
    assert decode(GO, WBTT) == CHEQUE


@given(signed_cheques)
def test_every_cheque_survives_the_wire_within_the_bound(signed: SignedBtfsCheque) -> None:
    raw = encode(signed, WBTT)
    assert decode(raw, WBTT) == signed
    assert len(raw) <= MAX_WIRE


@pytest.mark.parametrize("case", load("btfs_cheque")["cases"], ids=lambda c: f"{c['kind']}-{c['digest'][:10]}")
def test_the_known_cheques_keep_their_signatures(case: dict[str, Any]) -> None:
    message = case["message"]
    raw = changed(
        Token=message.get("token", WBTT.evm),
        Vault=message["vault"],
        Beneficiary=message["beneficiary"],
        CumulativePayout=int(message["cumulativePayout"]),
        Signature=base64.b64encode(bytes.fromhex(case["signature"][2:])).decode(),
    )
    signed = decode(raw, WBTT)
    signed.cheque.verify(case["chainId"], signed.signature, Address.parse(case["signer"]))


def test_a_peer_from_before_tokens_pays_in_wbtt() -> None:
    assert decode(changed(Token=None), WBTT) == CHEQUE


def test_fields_of_later_versions_do_not_matter() -> None:
    assert decode(changed(Memo={"a": [1]}), WBTT) == CHEQUE


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"[" * 1000,
        GO + b" " * MAX_WIRE,
        GO + GO,
        GO[:-1] + b',"CumulativePayout":1}',
        changed(Vault=None),
        changed(Vault="0x0a"),
        changed(Vault="TAFjULxiVgT4qWk6UZwjqwZXTSaGaqnVp4"),
        changed(Vault=7),
        changed(Token=""),
        changed(Token=False),
        changed(CumulativePayout=None),
        changed(CumulativePayout="500"),
        changed(CumulativePayout=500.0),
        changed(CumulativePayout=True),
        changed(CumulativePayout=-1),
        changed(CumulativePayout=MAX_AMOUNT + 1),
        GO.replace(b"500", b"5e2"),
        GO.replace(b"500", b"NaN"),
        GO.replace(b"500", b"9" * 900),
        changed(Signature=None),
        changed(Signature=[1, 2]),
        changed(Signature=base64.b64encode(bytes(64)).decode()),
        changed(Signature=base64.b64encode(bytes(66)).decode()),
        changed(Signature=base64.b64encode(bytes(65)).decode().rstrip("=")),
        changed(Signature="ü" * 88),
        changed(Signature="-" * 88),
    ],
)
def test_anything_else_is_refused_in_one_line(raw: bytes) -> None:
    with pytest.raises(WireError) as raised:
        decode(raw, WBTT)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 100


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_noise_is_refused(raw: bytes) -> None:
    with pytest.raises(WireError):
        decode(raw, WBTT)
