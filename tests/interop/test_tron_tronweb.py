"""Unmodified TronWeb on the TRON devnet: what `npm/tronweb.mjs` saw there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.loader import load
from tests.interop.node import output
from tests.interop.tron_bench import (
    ALICE,
    BOB,
    BTTOLD,
    COIN,
    FAILING_ABI,
    FAILING_BYTECODE,
    FEE_LIMIT,
    NOBODY,
    REASON,
    TRX,
    TronBench,
    tron_bench,
)
from wallet.address import Address
from wallet.cheque import Cheque, Rail, sign_cheque
from wallet.keys import PrivateKey, compact_signature

A, B = ALICE.address.tron_hex, BOB.address.tron_hex
CHEQUE = 30 * COIN


@pytest.fixture
async def bench() -> AsyncIterator[TronBench]:
    async with tron_bench() as bench:
        yield bench


def person(key: PrivateKey) -> dict[str, str]:
    return {"key": key.secret.hex(), "address": key.address.tron}


def artifact(name: str) -> dict[str, Any]:
    found = load(name)
    return {"name": name, "abi": found.abi, "bytecode": found.bytecode.hex()}


async def story(bench: TronBench, name: str, **more: object) -> dict[str, Any]:
    people = {"alice": person(ALICE), "bob": person(BOB), "nobody": person(NOBODY)}
    deployment = {"token": bench.deployment.token, "vault": bench.deployment.vault}
    common = {"url": bench.url, "feeLimit": FEE_LIMIT, "asset": str(BTTOLD), "deployment": deployment, **people}
    seen: dict[str, Any] = json.loads(await output("node", "tronweb.mjs", name, BENCH=json.dumps({**common, **more})))
    return seen


async def test_coins_and_trc10_move_and_accounts_show_it(bench: TronBench) -> None:
    seen = await story(bench, "transfers")
    assert seen["gained"] == 1_500_000
    assert seen["sameId"]
    assert seen["found"]
    assert seen["assets"] == [{"key": str(BTTOLD), "value": 1_400}]
    assert seen["opened"] == NOBODY.address.tron_hex
    assert seen["openingFee"] >= TRX
    assert {"type": "ENERGY", "amount": TRX} in seen["staked"]
    assert seen["stakeReceipt"].keys() & {"net_usage", "net_fee"}
    assert seen["resources"]["freeNetLimit"] == 600
    assert (seen["named"]["abbr"], seen["byName"], seen["listed"]) == ("BTTOLD", "BTTOLD", [str(BTTOLD)])
    assert {"key": "getEnergyFee", "value": 100} in seen["parameters"]
    assert seen["connected"] == {"fullNode": True, "solidityNode": True, "eventServer": True}


async def test_what_the_node_builds_is_what_tronweb_builds(bench: TronBench) -> None:
    both = {"owner_address": A, "to_address": B, "amount": 5}
    call = {
        "owner_address": A,
        "contract_address": Address.parse(bench.deployment.token).tron_hex,
        "fee_limit": FEE_LIMIT,
    }
    requests = {
        "createtransaction": {**both, "extra_data": b"memo".hex()},
        "transferasset": {**both, "asset_name": str(BTTOLD).encode().hex()},
        "createaccount": {"owner_address": A, "account_address": NOBODY.address.tron_hex},
        "createassetissue": {
            "owner_address": A,
            "name": b"Own".hex(),
            "abbr": b"OWN".hex(),
            "total_supply": 10**12,
            "precision": 3,
            "trx_num": 1,
            "num": 1,
            "start_time": 1_900_000_000_000,
            "end_time": 1_900_000_000_001,
            "description": b"d".hex(),
            "url": b"u".hex(),
            "frozen_supply": [{"frozen_amount": 1, "frozen_days": 2}],
        },
        "deploycontract": {**artifact("ChequeVault"), "owner_address": A, "fee_limit": FEE_LIMIT, "call_value": 0},
        "triggersmartcontract": {**call, "function_selector": "mint(address,uint256)", "parameter": "00" * 64},
        "freezebalancev2": {"owner_address": A, "frozen_balance": TRX, "resource": "ENERGY"},
        "unfreezebalancev2": {"owner_address": A, "unfreeze_balance": TRX, "resource": "ENERGY"},
    }
    assert await story(bench, "built", requests=requests) == dict.fromkeys(requests, True)


async def test_a_token_is_deployed_called_moved_and_its_events_read(bench: TronBench) -> None:
    seen = await story(bench, "token", token=artifact("TestBTT"))
    assert seen["receipt"]["receipt"]["result"] == "SUCCESS"
    assert seen["symbol"] == "TOK"
    assert seen["balances"] == ["4990", "10"]
    costs = seen["transfer"]
    assert costs["receipt"]["energy_fee"] == 100 * costs["receipt"]["energy_usage_total"]
    assert costs["fee"] == costs["receipt"]["energy_fee"] + costs["receipt"].get("net_fee", 0)
    assert seen["pages"] == [["4", "3", "2"], ["1", "5000"]]
    newest = seen["newest"]
    sender, receiver = (f"0x{owner.address.raw.hex()}" for owner in (ALICE, BOB))
    assert newest["result"] == {"0": sender, "1": receiver, "2": "4", "from": sender, "to": receiver, "value": "4"}
    assert newest["result_type"] == {"from": "address", "to": "address", "value": "uint256"}
    assert newest["event"] == "Transfer(address indexed from, address indexed to, uint256 value)"
    assert newest["transaction_id"] == seen["polled"]
    assert newest["_unconfirmed"] is True
    assert seen["confirmed"] == ["5000", "1", "2", "3"]
    assert [event["event_name"] for event in seen["ofTransaction"]] == ["Transfer"]
    assert seen["ofBlock"] == 1
    assert "fingerprint=" in seen["next"]
    assert seen["estimate"]["energy_required"] > 0


async def test_failures_have_a_reason_and_refusals_a_code(bench: TronBench) -> None:
    seen = await story(
        bench, "failures", failing={"name": "Failing", "abi": FAILING_ABI, "bytecode": FAILING_BYTECODE.hex()}
    )
    assert seen["called"] == "REVERT opcode executed"
    assert seen["reasons"] == [REASON, REASON]
    reverted = seen["reverted"]
    assert (reverted["result"], reverted["receipt"]["result"]) == ("FAILED", "REVERT")
    assert bytes.fromhex(reverted["resMessage"]) == b"REVERT opcode executed"
    assert seen["exhausted"]["receipt"]["result"] == "OUT_OF_ENERGY"
    assert seen["exhausted"]["receipt"]["energy_fee"] == 3 * TRX
    assert "REVERT" in seen["estimated"]
    assert "has not been deployed" in seen["unknown"]
    codes = {name: seen[name] for name in ("forged", "foreign", "first", "again", "rich", "late")}
    assert codes == {
        "forged": "SIGERROR",
        "foreign": "TAPOS_ERROR",
        "first": "SUCCESS",
        "again": "DUP_TRANSACTION_ERROR",
        "rich": "CONTRACT_VALIDATE_ERROR",
        "late": "TRANSACTION_EXPIRATION_ERROR",
    }


async def test_a_cheque_is_deposited_for_signed_and_cashed(bench: TronBench) -> None:
    deployment = bench.deployment
    rail = Rail(deployment.chain, deployment.chain_id, Address.parse(deployment.vault))
    signed = sign_cheque(rail, Cheque(ALICE.address, BOB.address, CHEQUE), ALICE)
    r, vs = (f"0x{half.hex()}" for half in compact_signature(signed.signature))
    cheque = {"cumulative": str(CHEQUE), "r": r, "vs": vs}
    seen = await story(bench, "cheque", token=artifact("TestBTT"), vault=artifact("ChequeVault"), cheque=cheque)
    assert seen["receipt"]["result"] == "SUCCESS"
    assert 0 < seen["receipt"]["energy_usage_total"] <= seen["energy"]
    assert (seen["paid"], seen["left"]) == (str(CHEQUE), str(2 * CHEQUE))
    assert [event["paid"] for event in seen["cashed"]] == [str(CHEQUE)]


async def test_blocks_transactions_and_signatures_read_back(bench: TronBench) -> None:
    seen = await story(bench, "reads")
    assert seen["exact"] == str(seen["number"])
    assert isinstance(seen["rawInfo"]["blockNumber"], str)
    assert seen["confirmed"]
    assert seen["block"] == [seen["payment"]]
    assert seen["byHash"]
    assert seen["range"] == [0, 1, 2]
    assert seen["current"] > 2
    assert (seen["broadcast"]["result"], seen["broadcast"]["txid"]) == (True, seen["id"])
    assert seen["weight"]["current_weight"] == 1
    assert seen["weight"]["permission"]["keys"] == [{"address": A, "weight": 1}]
    assert seen["approved"]["approved_list"] == [A]
    assert seen["prices"] == ["0:100", "0:1000"]
    assert seen["bandwidth"] == 600
    assert seen["nodes"] == []
