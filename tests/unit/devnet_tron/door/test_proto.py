"""The codec keeps every byte that an id covers, and refuses what it would lose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tronpy.proto import calculate_txid_from_raw_data  # type: ignore[import-untyped]  # tronpy ships no types

from node.devnet.tron.proto import (
    MAX_TRANSACTION,
    Header,
    decode_transaction,
    encode_raw,
    encode_transaction,
    take_apart,
    transaction_id,
)
from node.devnet.tron.protojson import (
    BadJsonError,
    load,
    message_json,
    read_message,
    read_transaction,
    transaction_json,
)
from node.devnet.tron.records import (
    AccountCreate,
    Code,
    CreateContract,
    Freeze,
    RejectedError,
    Resource,
    Transfer,
    TransferAsset,
    TriggerContract,
)
from node.devnet.tron.schema import CONTRACT_TYPES, MESSAGES, TYPE_URL, NotCanonicalError, decode, encode, new
from tests.unit.devnet_tron.door.support import ALICE, BOB, REF, START, headers, messages

OWNER, OTHER = ALICE.address, BOB.address
HEADER = Header(ref_block_bytes=b"\x00\x01", ref_block_hash=b"\x11" * 8, expiration=START + 60_000, timestamp=START)


def transfer(**fields: Any) -> Any:
    message: Any = new("TransferContract")
    for name, value in {"owner_address": b"\x41" + OWNER.raw, "to_address": b"\x41" + OTHER.raw, **fields}.items():
        setattr(message, name, value)
    return message


# --- round trips -----------------------------------------------------------------------------------------------------


@given(st.data())
def test_every_message_comes_back_from_bytes_and_from_both_forms_of_json(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(set(MESSAGES) - {"Contract", "raw", "Transaction"})))
    message = data.draw(messages(name))
    encoded = encode(message)
    assert decode(name, encoded) == message
    for visible in (False, True):
        assert encode(read_message(name, message_json(name, message, visible), visible)) == encoded


@given(st.data(), headers, st.lists(st.binary(min_size=65, max_size=65), max_size=2))
def test_every_transaction_comes_back_from_its_json(
    data: st.DataObject, header: Header, signatures: list[bytes]
) -> None:
    contract = data.draw(st.sampled_from(sorted(CONTRACT_TYPES.values())))
    raw = encode_raw(contract, data.draw(messages(contract)), header)
    encoded = encode_transaction(raw, signatures)
    for visible in (False, True):
        printed = transaction_json(take_apart(encoded), visible)
        assert printed["txID"] == transaction_id(raw).hex()
        assert read_transaction(printed, visible) == encoded


@given(headers.map(lambda header: replace(header, memo=b"", permission=0)), st.integers(0, 2**63 - 1), st.binary())
def test_ids_are_tronpys(header: Header, amount: int, data: bytes) -> None:
    owner, other = OWNER.tron_hex, OTHER.tron_hex
    parameters = {
        "TransferContract": {"owner_address": owner, "to_address": other, "amount": amount},
        "TriggerSmartContract": {
            "owner_address": owner,
            "contract_address": other,
            "data": data.hex(),
            "call_value": amount,
        },
    }
    for contract, value in parameters.items():
        raw = {
            "ref_block_bytes": header.ref_block_bytes.hex(),
            "ref_block_hash": header.ref_block_hash.hex(),
            "expiration": header.expiration,
            "timestamp": header.timestamp,
            "fee_limit": header.fee_limit,
            "contract": [{"type": contract, "parameter": {"type_url": TYPE_URL + contract, "value": value}}],
        }
        ours = encode_raw(contract, read_message(contract, value, visible=False), header)
        assert transaction_id(ours).hex() == calculate_txid_from_raw_data(raw)


def test_the_core_gets_what_was_signed() -> None:
    encoded = encode_transaction(encode_raw("TransferContract", transfer(amount=5), HEADER), [b"s" * 65])
    found = decode_transaction(encoded)
    assert found.operation == Transfer(OWNER.raw, OTHER.raw, 5)
    assert (found.expiration, found.timestamp, found.signatures) == (START + 60_000, START, (b"s" * 65,))
    assert (found.encoded, found.size) == (encoded, len(encoded))


@pytest.mark.parametrize(
    ("contract", "fields", "expected"),
    [
        ("AccountCreateContract", {"account_address": OTHER.tron_hex}, AccountCreate(OWNER.raw, OTHER.raw)),
        (
            "TransferAssetContract",
            {"to_address": OTHER.tron_hex, "amount": 7, "asset_name": b"1002000".hex()},
            TransferAsset(OWNER.raw, OTHER.raw, 1_002_000, 7),
        ),
        (
            "TriggerSmartContract",
            {"contract_address": OTHER.tron_hex, "data": "beef", "call_value": 1, "token_id": 2, "call_token_value": 3},
            TriggerContract(OWNER.raw, OTHER.raw, b"\xbe\xef", 1, 2, 3),
        ),
        ("FreezeBalanceV2Contract", {"frozen_balance": 9}, Freeze(OWNER.raw, 9, Resource.BANDWIDTH)),
        (
            "FreezeBalanceV2Contract",
            {"frozen_balance": 9, "resource": "ENERGY"},
            Freeze(OWNER.raw, 9, Resource.ENERGY),
        ),
    ],
)
def test_each_contract_becomes_its_record(contract: str, fields: dict[str, Any], expected: object) -> None:
    message = read_message(contract, {"owner_address": OWNER.tron_hex, **fields}, visible=False)
    assert decode_transaction(encode_transaction(encode_raw(contract, message, HEADER))).operation == expected


def test_an_abi_from_a_compiler_is_kept_without_what_tron_has_no_field_for() -> None:
    inputs = [{"internalType": "struct T", "name": "t", "type": "tuple", "components": [{"type": "uint256"}]}]
    abi = [{"type": "function", "name": "f", "inputs": inputs, "stateMutability": "view"}, {"type": "receive"}]
    contract = {"origin_address": OWNER.tron_hex, "abi": {"entrys": abi}, "bytecode": "00", "name": "T"}
    message = read_message("CreateSmartContract", {"owner_address": OWNER.tron_hex, "new_contract": contract}, False)
    operation = decode_transaction(encode_transaction(encode_raw("CreateSmartContract", message, HEADER))).operation
    assert isinstance(operation, CreateContract)
    assert message_json("ABI", decode("ABI", operation.abi), False)["entrys"] == [
        {"name": "f", "inputs": [{"name": "t", "type": "tuple"}], "type": "Function", "stateMutability": "View"},
        {"type": "Receive"},
    ]


# --- refusals --------------------------------------------------------------------------------------------------------


def refused(encoded: bytes) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        decode_transaction(encoded)
    return caught.value


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_or_come_out_the_same(noise: bytes) -> None:
    try:
        transaction = decode_transaction(noise)
    except RejectedError:
        return
    assert transaction.encoded == noise


@given(st.data())
def test_a_damaged_transaction_never_passes_for_the_whole_one(data: st.DataObject) -> None:
    whole = encode_transaction(encode_raw("TransferContract", transfer(amount=300), HEADER), [b"s" * 65])
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[place] ^= data.draw(st.integers(1, 255))
    try:
        found = decode_transaction(bytes(damaged))
    except RejectedError:
        return
    assert encode_transaction(take_apart(found.encoded).raw_data, found.signatures) == bytes(damaged)


def test_what_is_not_in_the_one_canonical_form_is_refused() -> None:
    raw = encode_raw("TransferContract", transfer(amount=5), HEADER)
    whole = encode_transaction(raw, [b"s" * 65])
    unknown_field, written_default, over_long = b"\x7a\x01x", b"\x92\x01\x00", b"\x90\x01\x85\x00"
    for more in (unknown_field, written_default):
        assert refused(whole + more).code is Code.OTHER_ERROR
    for more in (unknown_field, over_long):
        assert refused(encode_transaction(raw + more)).code is Code.OTHER_ERROR
    parameter = encode(transfer(amount=5)) + unknown_field
    with pytest.raises(NotCanonicalError):
        decode("TransferContract", parameter)
    assert refused(whole[:-1]).code is Code.OTHER_ERROR


def test_what_is_too_big_is_not_even_looked_at() -> None:
    assert refused(bytes(MAX_TRANSACTION + 1)).code is Code.TOO_BIG_TRANSACTION_ERROR


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"owner_address": b""}, "Invalid ownerAddress"),
        ({"owner_address": b"\x41" * 20}, "Invalid ownerAddress"),
        ({"to_address": b"\xa0" + OTHER.raw}, "Invalid toAddress"),
    ],
)
def test_an_address_of_another_kind_is_named(fields: dict[str, bytes], complaint: str) -> None:
    found = refused(encode_transaction(encode_raw("TransferContract", transfer(**fields), HEADER)))
    assert found.code is Code.CONTRACT_VALIDATE_ERROR
    assert complaint in str(found)


def test_the_parameter_must_be_what_the_contract_says() -> None:
    raw: Any = decode("raw", encode_raw("TransferContract", transfer(amount=5), HEADER))
    raw.contract[0].type = 31
    assert "contract type error" in str(refused(encode_transaction(encode(raw))))
    raw.contract[0].type = 4
    assert "not one this devnet executes" in str(refused(encode_transaction(encode(raw))))
    raw.contract.add()
    assert "exactly one contract" in str(refused(encode_transaction(encode(raw))))
    del raw.contract[:]
    assert "No contract!" in str(refused(encode_transaction(encode(raw))))


def test_only_its_owner_can_be_a_new_contracts_origin() -> None:
    message = read_message(
        "CreateSmartContract",
        {"owner_address": OWNER.tron_hex, "new_contract": {"origin_address": OTHER.tron_hex}},
        visible=False,
    )
    assert "OriginAddress" in str(refused(encode_transaction(encode_raw("CreateSmartContract", message, HEADER))))


def test_power_to_vote_cannot_be_staked_for() -> None:
    message = read_message(
        "FreezeBalanceV2Contract", {"owner_address": OWNER.tron_hex, "resource": "TRON_POWER"}, False
    )
    assert "ResourceCode" in str(refused(encode_transaction(encode_raw("FreezeBalanceV2Contract", message, HEADER))))


# --- json ------------------------------------------------------------------------------------------------------------


def given_transfer(**value: object) -> dict[str, Any]:
    addresses = {"owner_address": OWNER.tron_hex, "to_address": OTHER.tron_hex}
    parameter = {"type_url": TYPE_URL + "TransferContract", "value": {**addresses, "amount": 5, **value}}
    raw = {
        **REF,
        "expiration": START,
        "timestamp": START,
        "contract": [{"type": "TransferContract", "parameter": parameter}],
    }
    return {"raw_data": raw, "signature": []}


def test_what_a_client_adds_around_a_transaction_does_not_matter() -> None:
    plain = given_transfer()
    assert read_transaction({**plain, "txID": "00", "permission": None, "ret": []}, False) == read_transaction(
        plain, False
    )


@pytest.mark.parametrize(
    "value",
    [
        {"surprise": 1},
        {"amount": 2**63},
        {"amount": 1.5},
        {"amount": True},
        {"amount": "0x5"},
        {"amount": "٣"},
        {"amount": [5]},
        {"to_address": "T"},
        {"to_address": OTHER.tron},
        {"to_address": "41" + "zz" * 20},
        {"to_address": " ".join(["41"] * 21)},
        {"to_address": 5},
    ],
)
def test_a_field_of_another_kind_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(BadJsonError):
        read_transaction(given_transfer(**value), visible=False)


def test_visible_decides_which_form_of_an_address_is_right() -> None:
    shown = {"owner_address": OWNER.tron, "to_address": OTHER.tron}
    assert read_transaction(given_transfer(**shown), True) == read_transaction(given_transfer(), False)
    for wrong in (OTHER.tron_hex, OTHER.tron[:-1] + "x", OTHER.evm, f" {OTHER.tron}", f"{OTHER.tron} "):
        with pytest.raises(BadJsonError, match="base58"):
            read_transaction(given_transfer(owner_address=OWNER.tron, to_address=wrong), True)


@pytest.mark.parametrize(
    "transaction",
    [
        None,
        {},
        {"raw_data": []},
        {"raw_data": {**REF}},
        {"raw_data": {**REF, "contract": [{}, {}]}},
        {"raw_data": {**REF, "contract": [{"type": "VoteWitnessContract", "parameter": {}}]}},
        {"raw_data": {**REF, "contract": [{"type": "TransferContract"}]}},
        {**given_transfer(), "signature": "ff"},
        {**given_transfer(), "signature": ["f"]},
        {**given_transfer(), "signature": [None]},
    ],
)
def test_half_a_transaction_is_refused(transaction: object) -> None:
    with pytest.raises(BadJsonError):
        read_transaction(transaction, visible=False)


def test_a_body_that_is_not_an_object_is_refused() -> None:
    assert load(b"  ") == {}
    for body in (b"[]", b"{", b"nul", b"\xff", b"[" * 100_000):
        with pytest.raises(BadJsonError):
            load(body)
