"""Unmodified ethers v6 on the devnet: one story, told by `npm/ethers.mjs`, judged here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from eth_account import Account

from node.devnet.chain import ChainSettings
from tests.interop.devnet import COIN, KEYS, told

ALICE, BOB = (Account.from_key(key).address for key in KEYS[:2])


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    return asyncio.run(told("node", "ethers.mjs"))


def test_ethers_finds_a_chain_with_gas_prices_and_no_base_fee(seen: dict[str, Any]) -> None:
    assert seen["network"] == "199"
    assert seen["fees"] == [str(ChainSettings().gas_price), None, None]
    assert seen["accounts"] == []


def test_ethers_deploys_and_calls_contracts(seen: dict[str, Any]) -> None:
    assert seen["deployed"] == {"type": 0, "symbol": "ANO", "code": True, "notice": "3600"}
    assert seen["balance"] == str(2 * COIN)


def test_ethers_hears_events_by_filter(seen: dict[str, Any]) -> None:
    assert seen["heard"]["filter"] == [[str(5 * COIN), seen["sent"][0]], [str(2 * COIN), seen["sent"][1]]]


def test_ethers_hears_events_blocks_and_waiting_transactions_by_websocket(seen: dict[str, Any]) -> None:
    assert seen["heard"]["socket"] == [[ALICE, str(5 * COIN)], [BOB, str(2 * COIN)]]
    first, second = seen["heard"]["blocks"]
    assert second == first + 1
    assert seen["heard"]["pending"] == seen["sent"]


def test_ethers_queries_events(seen: dict[str, Any]) -> None:
    assert seen["queried"] == [str(2 * COIN)]
    assert seen["byHash"] == 1


def test_ethers_gets_the_reasons_of_reverts(seen: dict[str, Any]) -> None:
    assert seen["reasons"] == {
        "custom": ["CALL_EXCEPTION", "NothingThere"],
        "estimated": ["CALL_EXCEPTION", "ERC20InsufficientBalance"],
        "worded": ["CALL_EXCEPTION", "not today"],
        "inBlock": ["CALL_EXCEPTION", 0],
    }


def test_ethers_sends_many_raw_transactions_in_a_batch(seen: dict[str, Any]) -> None:
    assert seen["many"] == [40, str(40 * COIN)]
    assert seen["whole"] is True


def test_ethers_understands_refusals(seen: dict[str, Any]) -> None:
    assert seen["refused"] == {
        "replaced": "REPLACEMENT_UNDERPRICED",
        "used": "NONCE_EXPIRED",
        "poor": "INSUFFICIENT_FUNDS",
        "feeHistory": "UNSUPPORTED_OPERATION",
        "proof": "state proofs are not available on this chain",
    }


def test_ethers_takes_the_chain_back_to_a_snapshot(seen: dict[str, Any]) -> None:
    assert seen["undone"] == ["7", True]
