"""Whatever is asked or signed, the devnet answers or refuses; it never fails in a way of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.devnet.deployment import DEPLOYER, DEPLOYER_KEY
from node.devnet.errors import DevnetError
from node.devnet.tron.chain import TronChain
from node.devnet.tron.http import METHODS, SOLID_METHODS
from node.devnet.tron.proto import Header, decode_transaction, encode_raw, encode_transaction, transaction_id
from node.devnet.tron.protojson import BadJsonError
from node.devnet.tron.request import Request
from node.devnet.tron.schema import CONTRACT_TYPES
from node.devnet.tron.views import info_json, mined_json
from tests.unit.devnet_tron.door.support import ALICE, deployed, headers, make_chain, messages
from wallet.address import Address
from wallet.keys import PrivateKey

A, D = ALICE.address, Address(bytes(DEPLOYER))
KEY = PrivateKey(DEPLOYER_KEY.to_bytes())


@pytest.fixture(scope="module")
def still() -> Iterator[TronChain]:
    """A chain that tests only read."""
    chain = make_chain()
    deployed(chain)
    yield chain
    chain.close()


@pytest.fixture(scope="module")
def busy() -> Iterator[tuple[TronChain, bytes]]:
    """A chain that tests write to, and a contract on it."""
    chain = make_chain()
    token = Address.parse(deployed(chain).token).raw
    yield chain, token
    chain.close()


_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([A.tron, A.tron_hex, A.evm, "41", "0x", "latest", "\ud800", "99" * 32, D.tron_hex]),
)
_ANY = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    [
        "address",
        "value",
        "num",
        "id_or_num",
        "detail",
        "startNum",
        "endNum",
        "owner_address",
        "to_address",
        "contract_address",
        "account_address",
        "amount",
        "asset_name",
        "data",
        "parameter",
        "function_selector",
        "call_value",
        "token_id",
        "call_token_value",
        "fee_limit",
        "Permission_id",
        "extra_data",
        "abi",
        "bytecode",
        "name",
        "raw_data",
        "signature",
        "transaction",
        "offset",
        "limit",
        "resource",
        "frozen_balance",
        "int64_as_string",
    ]
)


@given(st.sampled_from(sorted(METHODS)), st.dictionaries(_KEYS, _ANY, max_size=6), st.booleans(), st.booleans())
def test_whatever_is_asked_the_answer_is_json_or_a_refusal(
    still: TronChain, name: str, parameters: dict[str, Any], visible: bool, solid: bool
) -> None:
    method = SOLID_METHODS.get(name) if solid else METHODS[name]
    if method is None:
        return
    with suppress(BadJsonError, DevnetError):
        json.dumps(method(still, Request(parameters, visible, solid)))


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The ways to every part of a JSON value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in parts for place in places(item, (*path, key)))]


@given(st.data(), st.booleans())
def test_a_transaction_with_one_part_replaced_is_answered_or_refused(
    still: TronChain, data: st.DataObject, visible: bool
) -> None:
    whole = METHODS["deploycontract"](
        still,
        Request({"owner_address": D.tron, "bytecode": "00", "abi": [{"type": "function", "name": "f"}]}, visible=True),
    )
    whole["signature"] = ["11" * 65]
    place = data.draw(st.sampled_from(places(whole)[1:]))
    holder: Any = whole
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = data.draw(_ANY)
    for name in ("broadcasttransaction", "getsignweight", "getapprovedlist"):
        with suppress(BadJsonError, DevnetError):
            json.dumps(METHODS[name](still, Request(whole, visible)))


@given(st.data(), headers, st.sampled_from(sorted(CONTRACT_TYPES.values())))
def test_whatever_its_owner_signs_is_executed_or_refused(
    busy: tuple[TronChain, bytes], data: st.DataObject, header: Header, contract: str
) -> None:
    chain, token = busy
    message = data.draw(messages(contract))
    message.owner_address = b"\x41" + DEPLOYER
    if contract == "CreateSmartContract":
        message.new_contract.origin_address = message.owner_address
    if contract == "TriggerSmartContract":
        message.contract_address = b"\x41" + token
    now, head = chain.now(), chain.head
    fitting = replace(
        header,
        ref_block_bytes=head.id[6:8],
        ref_block_hash=head.id[8:16],
        expiration=now + data.draw(st.integers(1, 10**6)),
        permission=data.draw(st.sampled_from([0, 2])),
        fee_limit=data.draw(st.sampled_from([0, 10**6, 10**9, header.fee_limit])),
    )
    raw = encode_raw(contract, message, fitting)
    with suppress(DevnetError):
        transaction = decode_transaction(encode_transaction(raw, [KEY.sign_digest(transaction_id(raw))]))
        chain.submit(transaction)
        mined = chain.mined(transaction.id)
        assert mined is not None
        for visible in (False, True):
            json.dumps([mined_json(mined, visible), info_json(mined, chain.logs_of(transaction.id), visible)])
