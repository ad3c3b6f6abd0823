"""Unmodified viem on the devnet: one story, told by `npm/viem.mjs`, judged here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from node.devnet.chain import ChainSettings
from tests.interop.devnet import COIN, told


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    return asyncio.run(told("node", "viem.mjs"))


def test_viem_falls_back_to_legacy_transactions(seen: dict[str, Any]) -> None:
    price = ChainSettings().gas_price
    assert (seen["network"], seen["price"]) == (199, str(price))
    assert seen["fees"] == "Eip1559FeesNotSupportedError"
    kind, offered = seen["prepared"]
    assert kind == "legacy"
    assert int(offered) >= price


def test_viem_deploys_and_calls_contracts(seen: dict[str, Any]) -> None:
    assert seen["symbol"] == "ANO"
    assert seen["code"] is True


def test_viem_hears_events_by_filter_until_it_uninstalls_it(seen: dict[str, Any]) -> None:
    assert seen["heard"]["filter"] == seen["kept"] == [str(5 * COIN), str(2 * COIN)]
    assert seen["keptAll"] == 1, "a filter without a range is about the latest block"
    assert seen["uninstalled"] is True
    assert seen["gone"] == "filter not found"


def test_viem_hears_events_blocks_and_waiting_transactions_by_websocket(seen: dict[str, Any]) -> None:
    assert seen["heard"]["socket"] == [str(5 * COIN), str(2 * COIN)]
    first, second = map(int, seen["heard"]["blocks"])
    assert second == first + 1
    assert seen["heard"]["pending"] == seen["sent"]


def test_viem_gets_the_reasons_of_reverts(seen: dict[str, Any]) -> None:
    assert seen["reasons"] == {
        "nothing": "NothingThere",
        "short": ["ERC20InsufficientBalance", str(100 * COIN)],
        "inBlock": "reverted",
    }


def test_viem_sends_many_raw_transactions_in_a_batch(seen: dict[str, Any]) -> None:
    assert seen["many"] == [40, "legacy"]
    assert seen["balance"] == str(40 * COIN)


def test_viem_reads_blocks_and_their_transactions(seen: dict[str, Any]) -> None:
    assert seen["whole"] == [True, True]
    assert seen["counted"] == 1
    assert seen["logs"] == 1


def test_viem_drops_a_waiting_transaction(seen: dict[str, Any]) -> None:
    assert seen["dropped"] == [None, "TransactionNotFoundError"]


def test_viem_sets_state_by_hand(seen: dict[str, Any]) -> None:
    assert seen["set"] == {"balance": "7", "nonce": 9, "code": "0x60015f", "storage": True}


def test_viem_moves_time_and_blocks_by_hand(seen: dict[str, Any]) -> None:
    assert seen["time"] == ["7", True]


def test_a_reorganisation_takes_logs_back_from_subscribers(seen: dict[str, Any]) -> None:
    assert seen["undone"] == [[False, True], True]


def test_viem_learns_what_this_chain_does_not_have(seen: dict[str, Any]) -> None:
    assert seen["absent"] == ["MethodNotFoundRpcError", "state proofs are not available on this chain"]
