"""Methods that run contracts and take transactions in: triggering, estimating, weighing signatures, broadcasting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from eth_utils.crypto import keccak

from node.devnet.evm import least_gas
from node.devnet.tron.admission import signer_of
from node.devnet.tron.build import deploy_message, unsigned
from node.devnet.tron.chain import TronChain
from node.devnet.tron.proto import Parts, decode_transaction, operation_of, take_apart, transaction_id
from node.devnet.tron.protojson import (
    BadJsonError,
    Json,
    hex_in,
    message_json,
    read_message,
    read_transaction,
    text_out,
    transaction_json,
)
from node.devnet.tron.records import Code, Contract, CreateContract, Outcome, RejectedError, TriggerContract
from node.devnet.tron.request import Handler, Request
from node.devnet.tron.schema import decode
from node.devnet.tron.views import address_json, filled, log_json

_CONSTANT = ("View", "Pure")
_TRIGGER_FIELDS = ("owner_address", "contract_address", "call_value", "call_token_value", "token_id")


# --- running contracts -----------------------------------------------------------------------------------------------


def call_data(request: Request) -> bytes:
    """`function_selector` and `parameter`, or `data` where there is no selector."""
    if request.has("function_selector"):
        selector = keccak(text=request.text("function_selector"))[:4]
        return selector + hex_in(request.parameters.get("parameter") or "")
    return hex_in(request.parameters.get("data") or "")


def _trigger_message(request: Request) -> object:
    fields = {key: request.parameters.get(key) for key in _TRIGGER_FIELDS}
    return read_message("TriggerSmartContract", {**fields, "data": call_data(request).hex()}, request.visible)


def _operation(request: Request) -> tuple[str, object]:
    """What a constant call runs: a deployment where no contract is named, as `deployConstantContract` sends it."""
    if request.has("contract_address"):
        return "TriggerSmartContract", _trigger_message(request)
    parameters = {**request.parameters, "bytecode": call_data(request).hex(), "parameter": ""}
    return "CreateSmartContract", deploy_message(replace(request, parameters=parameters))


def _simulate(chain: TronChain, request: Request, contract: str, message: object, energy: int | None = None) -> Outcome:
    operation = operation_of(contract, message)
    if not isinstance(operation, TriggerContract | CreateContract):
        raise BadJsonError("only contracts can be run")
    return chain.constant(operation, energy, chain.solid if request.solid else None)


def _outcome_json(chain: TronChain, request: Request, contract: str, message: object, outcome: Outcome) -> Json:
    """`TransactionExtention` of a constant call."""
    transaction = unsigned(chain, request, contract, message)
    transaction["ret"] = [{} if outcome.ok else {"ret": "FAILED"}]
    result: Json = {"result": True}
    if not outcome.ok:
        result["message"] = text_out(outcome.message.encode(), request.visible)
    found: Json = {
        "result": result,
        "energy_used": outcome.energy,
        "constant_result": [outcome.output.hex()],
        "transaction": transaction,
    }
    if outcome.events:
        found["logs"] = [log_json(event.address, event.topics, event.data, request.visible) for event in outcome.events]
    return found


def _trigger_constant(chain: TronChain, request: Request) -> Json:
    contract, message = _operation(request)
    return _outcome_json(chain, request, contract, message, _simulate(chain, request, contract, message))


def _trigger(chain: TronChain, request: Request) -> Json:
    """A transaction to sign; a method which the ABI calls constant is run at once instead, as java-tron does."""
    message = _trigger_message(request)
    contract = chain.contract(request.address("contract_address"))
    if contract is None:
        raise RejectedError(Code.CONTRACT_VALIDATE_ERROR, "No contract or not a valid smart contract")
    if call_data(request)[:4] in _constant_selectors(contract):
        outcome = _simulate(chain, request, "TriggerSmartContract", message)
        return _outcome_json(chain, request, "TriggerSmartContract", message, outcome)
    return {"result": {"result": True}, "transaction": unsigned(chain, request, "TriggerSmartContract", message)}


def _constant_selectors(contract: Contract) -> set[bytes]:
    entries = message_json("ABI", decode("ABI", contract.abi), visible=False).get("entrys", ())
    return {
        _selector(entry)
        for entry in entries
        if entry.get("type") == "Function" and (entry.get("constant") or entry.get("stateMutability") in _CONSTANT)
    }


def _selector(entry: Json) -> bytes:
    types = (parameter.get("type", "") for parameter in entry.get("inputs", ()))
    return keccak(text=f"{entry.get('name', '')}({','.join(types)})")[:4]


def _estimate(chain: TronChain, request: Request) -> Json:
    """Energy with which the call succeeds (within 1.5 %): more than it uses where an inner call keeps a 64th back."""
    contract, message = _operation(request)
    outcome = _simulate(chain, request, contract, message)
    if not outcome.ok:
        return {"result": {"result": True, "message": text_out(outcome.message.encode(), request.visible)}}

    def enough(energy: int) -> bool:
        return _simulate(chain, request, contract, message, energy).ok

    needed = least_gas(enough, outcome.energy, chain.settings.call_energy)
    return {"result": {"result": True}, "energy_required": needed}


# --- signatures ------------------------------------------------------------------------------------------------------


def _weigh(chain: TronChain, request: Request) -> Json:
    """`TransactionSignWeight`: with the owner's permission, which its own key alone satisfies."""
    parts = take_apart(read_transaction(request.parameters, request.visible))
    found = _approval(parts, request.visible)
    owner, number = operation_of(parts.contract, parts.parameter).owner, parts.raw.contract[0].Permission_id
    if chain.account(owner) is None:
        return {**found, "result": {"code": "PERMISSION_ERROR", "message": "Account is not exist!"}}
    key = address_json(owner, request.visible)
    permission = filled({"type": "Active" if number else "", "id": number}) | {
        "permission_name": "active" if number else "owner",
        "threshold": 1,
        "keys": [{"address": key, "weight": 1}],
    }
    signers = found.get("approved_list", [])
    strangers = [signer for signer in signers if signer != key]
    result: Json = found["result"]
    if strangers:
        message = f"the transaction is signed by {strangers[0]} but it is not contained of permission."
        result = {"code": "PERMISSION_ERROR", "message": message}
    elif not signers and not result:
        result = {"code": "NOT_ENOUGH_PERMISSION"}
    return {**found, "result": result, "permission": permission, **filled({"current_weight": int(key in signers)})}


def _approved(_chain: TronChain, request: Request) -> Json:
    """`TransactionApprovedList`: who has signed."""
    return _approval(take_apart(read_transaction(request.parameters, request.visible)), request.visible)


def _approval(parts: Parts, visible: bool) -> Json:
    identity = transaction_id(parts.raw_data)
    extension = {
        "result": {"result": True},
        "txid": identity.hex(),
        "transaction": transaction_json(parts, visible),
    }
    try:
        signers = [address_json(signer_of(identity, signature), visible) for signature in parts.signatures]
    except RejectedError as error:
        return {"result": {"code": "COMPUTE_ADDRESS_ERROR", "message": str(error)}, "transaction": extension}
    return {"result": {}, **filled({"approved_list": signers}), "transaction": extension}


# --- broadcasting ----------------------------------------------------------------------------------------------------


def _submit(chain: TronChain, encoded: bytes, visible: bool) -> tuple[Json, str]:
    """`GrpcAPI.Return` and the transaction's id."""
    identity = ""
    try:
        identity = transaction_id(take_apart(encoded).raw_data).hex()
        chain.submit(decode_transaction(encoded))
    except RejectedError as error:
        return {"code": error.code, "message": text_out(str(error).encode(), visible)}, identity
    return {"result": True}, identity


def _broadcast(chain: TronChain, request: Request) -> Json:
    result, identity = _submit(chain, read_transaction(request.parameters, request.visible), request.visible)
    return {**result, "txid": identity}


def _broadcast_hex(chain: TronChain, request: Request) -> Json:
    """Unlike `broadcasttransaction` this says `code` and `message` always, and gives the transaction back as text."""
    encoded = hex_in(request.parameters.get("transaction"))
    result, identity = _submit(chain, encoded, visible=True)
    if not identity:
        raise BadJsonError(result["message"])
    return {
        "result": result.get("result", False),
        "code": result.get("code", "SUCCESS"),
        "message": result.get("message", ""),
        "transaction": json.dumps(transaction_json(take_apart(encoded), visible=True)),
        "txid": identity,
    }


METHODS: Mapping[str, Handler] = {
    "triggersmartcontract": _trigger,
    "triggerconstantcontract": _trigger_constant,
    "estimateenergy": _estimate,
    "getsignweight": _weigh,
    "getapprovedlist": _approved,
    "broadcasttransaction": _broadcast,
    "broadcasthex": _broadcast_hex,
}
SOLID = frozenset({"triggerconstantcontract", "estimateenergy"})
"""Methods that `/walletsolidity` has too."""
CALLS = frozenset({"triggersmartcontract", "triggerconstantcontract", "estimateenergy"})
"""Methods that answer a refusal as `Return` inside their result, not as `Error`."""
