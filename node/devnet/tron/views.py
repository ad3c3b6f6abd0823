"""What the core knows, in the shapes that java-tron answers with.

Fields that hold their default are left out, as protocol buffers do: an account without TRX has no `balance`, block 0 no
`number`. `visible` turns addresses into base58check and messages into text (`protojson`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eth_utils.crypto import keccak

from node.devnet.tron.proto import ADDRESS_PREFIX, take_apart
from node.devnet.tron.protojson import Json, address_out, message_json, text_out, transaction_json
from node.devnet.tron.records import Account, Asset, Block, Contract, Log, Mined, Resource, Resources, Transaction
from node.devnet.tron.schema import decode

WITNESS = ADDRESS_PREFIX + bytes(20)
"""Nobody signs blocks here."""
BLOCK_VERSION = 31
_SIGNATURE_BYTES = 65
_OPERATIONS = "7fff1fc0033efb0f000000000000000000000000000000000000000000000000"
"""Contract types that an active permission may sign, one bit each: all."""
_RESOURCES = (Resource.BANDWIDTH, Resource.ENERGY)


def address_json(address: bytes, visible: bool) -> str:
    """For the core's 20 bytes."""
    return address_out(ADDRESS_PREFIX + address, visible)


def filled(found: Json) -> Json:
    """Without what holds its default."""
    return {key: value for key, value in found.items() if value not in (0, "", None, [], {})}


# --- blocks and transactions -----------------------------------------------------------------------------------------


def block_json(block: Block, transactions: Sequence[Json], visible: bool) -> Json:
    header = filled(
        {
            "number": block.number,
            "txTrieRoot": block.tx_root.hex(),
            "witness_address": address_out(WITNESS, visible),
            "parentHash": block.parent.hex(),
            "version": BLOCK_VERSION,
            "timestamp": block.timestamp,
            "accountStateRoot": block.state_root.hex(),
        }
    )
    found: Json = {
        "blockID": block.id.hex(),
        "block_header": {"raw_data": header, "witness_signature": bytes(_SIGNATURE_BYTES).hex()},
    }
    if transactions:
        found["transactions"] = list(transactions)
    return found


def broadcast_json(transaction: Transaction, visible: bool) -> Json:
    """A transaction, mined or not."""
    return transaction_json(take_apart(transaction.encoded), visible)


def mined_json(mined: Mined, visible: bool) -> Json:
    """A transaction and whether it succeeded."""
    return {"ret": [{"contractRet": mined.receipt.outcome.ret}], **broadcast_json(mined.transaction, visible)}


def log_json(address: bytes, topics: Sequence[bytes], data: bytes, visible: bool) -> Json:
    """java-tron writes a log's address without the prefix 41, but as base58check where `visible`."""
    return filled(
        {
            "address": address_json(address, visible) if visible else address.hex(),
            "topics": [topic.hex() for topic in topics],
            "data": data.hex(),
        }
    )


def info_json(mined: Mined, logs: Sequence[Log], visible: bool) -> Json:
    """`TransactionInfo`: what a transaction did and cost. All fees are in sun."""
    receipt, outcome = mined.receipt, mined.receipt.outcome
    resources: Json = filled(
        {
            "energy_usage": receipt.energy_own,
            "energy_fee": receipt.energy_burnt,
            "origin_energy_usage": receipt.energy_origin,
            "energy_usage_total": outcome.energy if receipt.is_contract else 0,
            "net_usage": receipt.net_used,
            "net_fee": receipt.net_burnt,
            "result": outcome.ret if receipt.is_contract else "",
        }
    )
    found = filled(
        {
            "id": mined.transaction.id.hex(),
            "fee": receipt.fee,
            "blockNumber": mined.block,
            "blockTimeStamp": mined.timestamp,
            "contract_address": "" if receipt.contract is None else address_json(receipt.contract, visible),
            "log": [log_json(log.event.address, log.event.topics, log.event.data, visible) for log in logs],
            "result": "" if outcome.ok else "FAILED",
            "resMessage": text_out(outcome.message.encode(), visible),
            "assetIssueID": "" if receipt.asset is None else str(receipt.asset),
        }
    )
    return {**found, "contractResult": [outcome.output.hex()], "receipt": resources}


# --- accounts --------------------------------------------------------------------------------------------------------


def account_json(account: Account, resources: Resources, issued: Asset | None, visible: bool) -> Json:
    """`issued`: the TRC-10 this account made, of which it can make one."""
    address = address_json(account.address, visible)
    keys = [{"address": address, "weight": 1}]
    frozen: list[Json] = [
        filled(
            {"type": resource if resource is not Resource.BANDWIDTH else "", "amount": account.frozen.get(resource, 0)}
        )
        for resource in _RESOURCES
    ]
    found = {
        "address": address,
        "type": "Contract" if account.is_contract else "",
        "balance": account.balance,
        "create_time": account.created,
        "net_usage": resources.net_used,
        "free_net_usage": resources.free_net_used,
        "account_resource": filled({"energy_usage": resources.energy_used}),
        "assetV2": [{"key": str(number), "value": amount} for number, amount in sorted(account.assets.items())],
    }
    if issued is not None:
        found["asset_issued_name"] = text_out(issued.name, visible)
        found["asset_issued_ID"] = text_out(str(issued.number).encode(), visible)
    found = filled(found)
    if not account.is_contract:
        found["owner_permission"] = {"permission_name": "owner", "threshold": 1, "keys": keys}
        found["active_permission"] = [
            {
                "type": "Active",
                "id": 2,
                "permission_name": "active",
                "threshold": 1,
                "operations": _OPERATIONS,
                "keys": keys,
            }
        ]
    found["frozenV2"] = [*frozen, {"type": "TRON_POWER"}]
    return found


def net_json(resources: Resources) -> Json:
    """Bandwidth alone (`getaccountnet`)."""
    return filled(
        {
            "freeNetUsed": resources.free_net_used,
            "freeNetLimit": resources.free_net_limit,
            "NetUsed": resources.net_used,
            "NetLimit": resources.net_limit,
            "TotalNetLimit": resources.total_net_limit,
            "TotalNetWeight": resources.total_net_weight,
        }
    )


def resources_json(resources: Resources) -> Json:
    """Bandwidth and energy (`getaccountresource`)."""
    return net_json(resources) | filled(
        {
            "EnergyUsed": resources.energy_used,
            "EnergyLimit": resources.energy_limit,
            "TotalEnergyLimit": resources.total_energy_limit,
            "TotalEnergyWeight": resources.total_energy_weight,
        }
    )


# --- contracts and assets --------------------------------------------------------------------------------------------


def contract_json(contract: Contract, visible: bool) -> Json:
    found = filled(
        {
            "bytecode": contract.bytecode.hex(),
            "consume_user_resource_percent": contract.user_percent,
            "name": contract.name,
            "origin_address": address_json(contract.origin, visible),
            "origin_energy_limit": contract.origin_energy_limit,
            "contract_address": address_json(contract.address, visible),
            "code_hash": keccak(contract.runtime).hex(),
        }
    )
    return {**found, "abi": message_json("ABI", decode("ABI", contract.abi), visible)}


def contract_info_json(contract: Contract, visible: bool) -> Json:
    return {
        "runtimecode": contract.runtime.hex(),
        "smart_contract": contract_json(contract, visible),
        "contract_state": {},
    }


def asset_json(asset: Asset, visible: bool) -> Json:
    return filled(
        {
            "owner_address": address_json(asset.owner, visible),
            "name": text_out(asset.name, visible),
            "abbr": text_out(asset.abbreviation, visible),
            "total_supply": asset.supply,
            "precision": asset.decimals,
            "description": text_out(asset.description, visible),
            "url": text_out(asset.url, visible),
            "id": str(asset.number),
        }
    )


def parameters_json(parameters: Mapping[str, int]) -> Json:
    return {"chainParameter": [filled({"key": key, "value": value}) for key, value in parameters.items()]}
