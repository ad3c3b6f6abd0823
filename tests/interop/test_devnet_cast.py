"""Unmodified `cast` on the devnet. Without a fee market it is told to send `--legacy`, as on every such chain."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from contracts.loader import load
from tests.interop.devnet import COIN, KEYS, devnet
from tests.interop.node import CAST, output

ALICE, BOB = (Account.from_key(key).address for key in KEYS[:2])


async def _story() -> dict[str, Any]:
    async with devnet() as given:

        async def cast(*arguments: str) -> str:
            return (await output(CAST, *arguments, ETH_RPC_URL=given["url"])).strip()

        async def send(*arguments: str) -> dict[str, Any]:
            receipt: dict[str, Any] = json.loads(
                await cast("send", "--legacy", "--private-key", KEYS[0], "--json", *arguments)
            )
            return receipt

        token, vault = given["token"], given["vault"]
        await cast("rpc", "bttnode_faucet", ALICE)
        paid = await send(BOB, "--value", str(3 * COIN))
        moved = await send(token, "transfer(address,uint256)", BOB, "7")
        created = await send("--create", "0x" + load("TestWBTT").bytecode.hex())
        with pytest.raises(AssertionError) as refused:
            await cast("call", vault, "giveNotice(uint256)", "1", "--from", ALICE)
        transfers = "Transfer(address indexed,address indexed,uint256)"
        return {
            "chain": await cast("chain-id"),
            "price": await cast("gas-price"),
            "paid": (paid["status"], await cast("balance", BOB)),
            "moved": (moved["status"], await cast("call", token, "balanceOf(address)(uint256)", BOB)),
            "created": await cast("code", created["contractAddress"]),
            "estimate": await cast("estimate", token, "transfer(address,uint256)", BOB, "1", "--from", ALICE),
            "used": moved["gasUsed"],
            "logs": json.loads(await cast("logs", "--from-block", "0", "--address", token, transfers, "--json")),
            "block": json.loads(await cast("block", moved["blockNumber"], "--json"))["transactions"],
            "sent": moved["transactionHash"],
            "refused": str(refused.value),
        }


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    return asyncio.run(_story())


def test_cast_finds_the_chain_and_its_price(seen: dict[str, Any]) -> None:
    assert (seen["chain"], seen["price"]) == ("199", str(300_000 * 10**9))


def test_cast_sends_coins_and_tokens(seen: dict[str, Any]) -> None:
    assert seen["paid"] == ("0x1", str(3 * COIN))
    assert seen["moved"] == ("0x1", "7")
    assert int(seen["used"], 16) <= int(seen["estimate"]) * 2


def test_cast_deploys_a_contract(seen: dict[str, Any]) -> None:
    assert seen["created"] == "0x" + load("TestWBTT").deployed_bytecode.hex()


def test_cast_reads_logs_and_blocks(seen: dict[str, Any]) -> None:
    assert [log["transactionHash"] for log in seen["logs"]][-1] == seen["sent"]
    assert seen["block"] == [seen["sent"]]


def test_cast_tells_the_revert_data(seen: dict[str, Any]) -> None:
    assert "execution reverted" in seen["refused"]
    assert keccak(text="NothingThere()")[:4].hex() in seen["refused"]
