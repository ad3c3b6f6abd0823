"""Methods that make a transaction for the caller to sign: `/wallet/createtransaction` and its kind.

The node fills in what a transaction needs besides its operation: a recent block, and a minute to live.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node.devnet.tron.chain import TronChain
from node.devnet.tron.proto import (
    Header,
    decode_transaction,
    encode_raw,
    encode_transaction,
    operation_of,
    take_apart,
)
from node.devnet.tron.protojson import BadJsonError, Json, hex_in, load, read_message, text_in, transaction_json
from node.devnet.tron.records import Code, RejectedError
from node.devnet.tron.request import Handler, Request

LIFETIME = 60_000
"""Milliseconds from making a transaction to its expiry."""

_CONTROL = frozenset({"visible", "Permission_id", "extra_data", "fee_limit", "int64_as_string"})


def unsigned(chain: TronChain, request: Request, contract: str, parameter: Any) -> Json:
    """The transaction around a message. Raises `RejectedError` where the message can never be one."""
    return _printed(request, _around(chain, request, contract, parameter))


def _around(chain: TronChain, request: Request, contract: str, parameter: Any) -> bytes:
    operation_of(contract, parameter)
    head, now = chain.head, chain.now()
    header = Header(
        ref_block_bytes=head.id[6:8],
        ref_block_hash=head.id[8:16],
        expiration=now + LIFETIME,
        timestamp=now,
        fee_limit=request.number("fee_limit", 0),
        memo=text_in(request.parameters["extra_data"], request.visible) if request.has("extra_data") else b"",
        permission=request.number("Permission_id", 0, most=9),
    )
    return encode_transaction(encode_raw(contract, parameter, header))


def _printed(request: Request, encoded: bytes) -> Json:
    return {"visible": request.visible, **transaction_json(take_apart(encoded), request.visible)}


def _from_fields(contract: str) -> Handler:
    """A method whose parameters are the fields of the contract's message. What could not be executed is refused."""

    def handle(chain: TronChain, request: Request) -> Json:
        fields = {key: value for key, value in request.parameters.items() if key not in _CONTROL}
        encoded = _around(chain, request, contract, read_message(contract, fields, request.visible))
        try:
            chain.check(decode_transaction(encoded))
        except RejectedError as error:
            if error.code is Code.CONTRACT_VALIDATE_ERROR:  # what it would cost is a matter for the broadcast
                raise
        return _printed(request, encoded)

    return handle


def deploy_message(request: Request) -> Any:
    """A `CreateSmartContract` from the flat parameters of `deploycontract`."""
    given = request.parameters
    contract = {
        "origin_address": given.get("owner_address"),
        "abi": {"entrys": _abi_entries(given.get("abi"))},
        "bytecode": hex_in(given.get("bytecode") or "").hex() + hex_in(given.get("parameter") or "").hex(),
        "call_value": request.number("call_value", 0),
        "consume_user_resource_percent": request.number("consume_user_resource_percent", 0),
        "origin_energy_limit": request.number("origin_energy_limit", 0),
        "name": given.get("name"),
    }
    create = {
        "owner_address": given.get("owner_address"),
        "new_contract": contract,
        "call_token_value": request.number("call_token_value", 0),
        "token_id": request.number("token_id", 0),
    }
    return read_message("CreateSmartContract", create, request.visible)


def _abi_entries(abi: object) -> object:
    """A list, the same as JSON text, or an object around it: clients send all three."""
    if isinstance(abi, str):
        abi = load(b'{"entrys":' + abi.encode(errors="replace") + b"}")
    if isinstance(abi, dict):
        abi = abi.get("entrys")
    if isinstance(abi, dict):
        abi = abi.get("entrys")
    if abi is not None and not isinstance(abi, list):
        raise BadJsonError("abi is not a list of entries")
    return abi or []


def _deploy(chain: TronChain, request: Request) -> Json:
    return unsigned(chain, request, "CreateSmartContract", deploy_message(request))


METHODS: Mapping[str, Handler] = {
    "createtransaction": _from_fields("TransferContract"),
    "transferasset": _from_fields("TransferAssetContract"),
    "createassetissue": _from_fields("AssetIssueContract"),
    "createaccount": _from_fields("AccountCreateContract"),
    "freezebalancev2": _from_fields("FreezeBalanceV2Contract"),
    "unfreezebalancev2": _from_fields("UnfreezeBalanceV2Contract"),
    "deploycontract": _deploy,
}
