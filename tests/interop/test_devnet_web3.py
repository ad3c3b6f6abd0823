"""Unmodified web3.py on the devnet: deploy, call, send, read logs and receipts, and get a contract's reasons."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from hexbytes import HexBytes
from web3 import AsyncHTTPProvider, AsyncWeb3, WebSocketProvider
from web3.exceptions import ContractCustomError, TransactionNotFound, Web3RPCError
from web3.types import RPCEndpoint, TxParams

from contracts.loader import load
from node.devnet.server import DevnetServer, DevnetSettings

ALICE: LocalAccount = Account.from_key("0x" + "a1" * 32)
BOB: LocalAccount = Account.from_key("0x" + "b0" * 32)
COIN = 10**18


@dataclass
class Bench:
    """A devnet of one's own, with a funded Alice."""

    server: DevnetServer
    w3: AsyncWeb3[AsyncHTTPProvider]

    async def rpc(self, method: str, *parameters: object) -> Any:
        answer = await self.w3.provider.make_request(RPCEndpoint(method), list(parameters))
        assert "error" not in answer, answer
        return answer["result"]

    async def send(self, transaction: TxParams, signer: LocalAccount = ALICE) -> Any:
        """Fill in what web3 fills in, sign, send, and return the receipt."""
        filled: dict[str, Any] = {
            "from": signer.address,
            "nonce": await self.w3.eth.get_transaction_count(signer.address, "pending"),
            "gasPrice": await self.w3.eth.gas_price,
            "chainId": await self.w3.eth.chain_id,
            **transaction,
        }
        if "gas" not in filled:
            filled["gas"] = await self.w3.eth.estimate_gas(filled)  # type: ignore[arg-type]  # web3's TypedDict
        signed = signer.sign_transaction(filled)
        return await self.w3.eth.wait_for_transaction_receipt(
            await self.w3.eth.send_raw_transaction(signed.raw_transaction), timeout=10, poll_latency=0.01
        )

    async def call(self, function: Any, signer: LocalAccount = ALICE) -> Any:
        filled = await function.build_transaction({"from": signer.address, "gasPrice": await self.w3.eth.gas_price})
        filled["nonce"] = await self.w3.eth.get_transaction_count(signer.address, "pending")
        return await self.send(filled, signer)

    def contract(self, name: str, address: str) -> Any:
        return self.w3.eth.contract(address=self.w3.to_checksum_address(address), abi=load(name).abi)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    server = DevnetServer(DevnetSettings(block_time=0))
    deployment = await server.start()
    w3: AsyncWeb3[AsyncHTTPProvider] = AsyncWeb3(AsyncHTTPProvider(deployment.url))
    bench = Bench(server, w3)
    await bench.rpc("bttnode_faucet", ALICE.address)
    yield bench
    await w3.provider.disconnect()
    await server.close()


async def test_web3_deploys_and_uses_a_contract(bench: Bench) -> None:
    artifact = load("TestBTT")
    factory: Any = bench.w3.eth.contract(abi=artifact.abi, bytecode=HexBytes(artifact.bytecode))
    receipt = await bench.call(factory.constructor("Another", "ANO"))
    assert receipt["status"] == 1
    token = bench.contract("TestBTT", receipt["contractAddress"])
    assert await token.functions.symbol().call() == "ANO"

    minted = await bench.call(token.functions.mint(BOB.address, 5 * COIN))
    [event] = token.events.Transfer().process_receipt(minted)
    assert event["args"] == {"from": "0x" + "0" * 40, "to": BOB.address, "value": 5 * COIN}
    assert await token.functions.balanceOf(BOB.address).call() == 5 * COIN
    assert [log["transactionHash"] for log in await token.events.Transfer().get_logs(from_block=0)] == [
        minted["transactionHash"]
    ]


async def test_faucet_gives_native_coins_and_test_btt(bench: Bench) -> None:
    token = bench.contract("TestBTT", bench.server.deployment.token)
    before = await bench.w3.eth.get_balance(ALICE.address)
    await bench.rpc("bttnode_faucet", ALICE.address, hex(3 * COIN), hex(7 * COIN))
    assert await bench.w3.eth.get_balance(ALICE.address) == before + 3 * COIN
    await bench.rpc("bttnode_faucet", BOB.address, "0x0", hex(7 * COIN))
    assert await bench.w3.eth.get_balance(BOB.address) == 0
    assert await token.functions.balanceOf(BOB.address).call() == 7 * COIN


async def test_native_transfer_costs_gas_and_arrives(bench: Bench) -> None:
    before = await bench.w3.eth.get_balance(ALICE.address)
    receipt = await bench.send({"to": BOB.address, "value": COIN})  # type: ignore[typeddict-item]  # Wei is an int
    assert receipt["gasUsed"] == 21_000
    paid = receipt["gasUsed"] * receipt["effectiveGasPrice"]
    assert await bench.w3.eth.get_balance(ALICE.address) == before - COIN - paid
    assert await bench.w3.eth.get_balance(BOB.address) == COIN
    sent = await bench.w3.eth.get_transaction(receipt["transactionHash"])
    assert (sent["from"], sent["to"], sent["value"]) == (ALICE.address, BOB.address, COIN)


async def test_custom_errors_reach_the_caller(bench: Bench) -> None:
    vault = bench.contract("ChequeVault", bench.server.deployment.vault)
    with pytest.raises(ContractCustomError) as caught:
        await vault.functions.giveNotice(1).call({"from": ALICE.address})
    assert caught.value.data == bench.w3.keccak(text="NothingThere()")[:4].to_0x_hex()
    with pytest.raises(ContractCustomError):
        await vault.functions.giveNotice(1).estimate_gas({"from": ALICE.address})


async def test_a_transaction_that_reverts_has_a_receipt_that_says_so(bench: Bench) -> None:
    vault = bench.contract("ChequeVault", bench.server.deployment.vault)
    data = vault.encode_abi("cancelNotice", [])
    receipt = await bench.send({"to": vault.address, "data": data, "gas": 100_000})
    assert receipt["status"] == 0
    assert receipt["logs"] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nonce": 5}, "nonce too high"),
        ({"gasPrice": 1}, "underpriced"),
        ({"gas": 20_000}, "intrinsic gas too low"),
        ({"gas": 40_000_000}, "exceeds block gas limit"),
        ({"chainId": 1}, "invalid chain id"),
        ({"value": 10**40}, "insufficient funds"),
    ],
)
async def test_a_transaction_the_chain_refuses_changes_nothing(
    bench: Bench, change: dict[str, int], message: str
) -> None:
    before = await bench.w3.eth.block_number
    with pytest.raises(Web3RPCError, match=message):
        await bench.send({"to": BOB.address, "gas": 21_000, **change})  # type: ignore[typeddict-item]  # a test table
    assert await bench.w3.eth.block_number == before


async def test_the_same_bytes_twice_are_told_apart_waiting_and_mined(bench: Bench) -> None:
    signed = ALICE.sign_transaction(
        {"to": BOB.address, "gas": 21_000, "gasPrice": await bench.w3.eth.gas_price, "nonce": 0, "chainId": 199}
    )
    await bench.rpc("evm_setAutomine", False)
    await bench.w3.eth.send_raw_transaction(signed.raw_transaction)
    with pytest.raises(Web3RPCError, match="already known"):
        await bench.w3.eth.send_raw_transaction(signed.raw_transaction)
    with pytest.raises(TransactionNotFound):
        await bench.w3.eth.get_transaction_receipt(signed.hash)
    assert (await bench.w3.eth.get_transaction(signed.hash))["blockHash"] is None
    await bench.rpc("evm_mine")
    assert (await bench.w3.eth.get_transaction_receipt(signed.hash))["status"] == 1
    with pytest.raises(Web3RPCError, match="nonce too low"):
        await bench.w3.eth.send_raw_transaction(signed.raw_transaction)


async def test_a_higher_price_replaces_a_waiting_transaction(bench: Bench) -> None:
    price = await bench.w3.eth.gas_price
    await bench.rpc("evm_setAutomine", False)

    async def send(gas_price: int) -> HexBytes:
        signed = ALICE.sign_transaction(
            {"to": BOB.address, "gas": 21_000, "gasPrice": gas_price, "nonce": 0, "chainId": 199, "value": gas_price}
        )
        return await bench.w3.eth.send_raw_transaction(signed.raw_transaction)

    first = await send(price)
    with pytest.raises(Web3RPCError, match="replacement transaction underpriced"):
        await send(price + 1)
    second = await send(price * 11 // 10)
    assert await bench.w3.eth.get_transaction_count(ALICE.address, "pending") == 1
    assert await bench.w3.eth.get_transaction_count(ALICE.address, "latest") == 0
    await bench.rpc("evm_mine")
    assert (await bench.w3.eth.get_transaction_receipt(second))["status"] == 1
    with pytest.raises(TransactionNotFound):
        await bench.w3.eth.get_transaction(first)


async def test_blocks_link_and_carry_their_transactions(bench: Bench) -> None:
    receipt = await bench.send({"to": BOB.address})
    block = await bench.w3.eth.get_block(receipt["blockNumber"], full_transactions=True)
    parent = await bench.w3.eth.get_block(block["parentHash"])
    assert parent["number"] == block["number"] - 1
    assert await bench.w3.eth.get_block(block["hash"], full_transactions=True) == block
    assert [transaction["hash"] for transaction in block["transactions"]] == [receipt["transactionHash"]]  # type: ignore[call-overload]  # full transactions, not hashes
    assert "baseFeePerGas" not in block


async def test_time_travel_and_snapshots(bench: Bench) -> None:
    snapshot = await bench.rpc("evm_snapshot")
    before = (await bench.w3.eth.get_block("latest"))["timestamp"]
    await bench.rpc("evm_increaseTime", 86_400)
    await bench.rpc("evm_mine")
    assert (await bench.w3.eth.get_block("latest"))["timestamp"] >= before + 86_400
    await bench.rpc("evm_setNextBlockTimestamp", before + 200_000)
    await bench.rpc("anvil_setBalance", BOB.address, hex(COIN))
    latest = await bench.w3.eth.get_block("latest")
    assert latest["timestamp"] == before + 200_000
    assert await bench.w3.eth.get_balance(BOB.address) == COIN
    assert await bench.w3.eth.get_balance(BOB.address, latest["number"] - 1) == 0

    assert await bench.rpc("evm_revert", snapshot) is True
    assert await bench.rpc("evm_revert", snapshot) is False
    assert await bench.w3.eth.get_balance(BOB.address) == 0
    assert (await bench.w3.eth.get_block("latest"))["timestamp"] == before


async def test_web3_fills_in_a_legacy_transaction_once_it_has_a_price_strategy(bench: Bench) -> None:
    price = await bench.w3.eth.gas_price
    bench.w3.eth.set_gas_price_strategy(lambda _w3, _transaction: price)
    token = bench.contract("TestBTT", bench.server.deployment.token)
    built = await token.functions.mint(BOB.address, 1).build_transaction({"from": ALICE.address})
    assert built["gasPrice"] == price
    assert "maxFeePerGas" not in built


async def test_web3_collects_events_in_a_filter(bench: Bench) -> None:
    token = bench.server.deployment.token
    events = await bench.w3.eth.filter({"address": bench.w3.to_checksum_address(token)})
    await bench.rpc("bttnode_faucet", BOB.address, "0x0", hex(COIN))
    assert [log["address"] for log in await events.get_new_entries()] == [token]
    assert await events.get_new_entries() == []
    assert events.filter_id is not None
    assert await bench.w3.eth.uninstall_filter(events.filter_id)


async def test_web3_hears_blocks_events_and_waiting_transactions_by_websocket(bench: Bench) -> None:
    url = bench.server.deployment.url.replace("http", "ws")
    async with AsyncWeb3(WebSocketProvider(url)) as socket:
        blocks = await socket.eth.subscribe("newHeads")
        token = socket.to_checksum_address(bench.server.deployment.token)
        events = await socket.eth.subscribe("logs", {"address": token})
        waiting = await socket.eth.subscribe("newPendingTransactions")
        [sent] = await bench.rpc("bttnode_faucet", BOB.address, "0x0", hex(COIN))
        heard: dict[str, Any] = {}
        async for message in socket.socket.process_subscriptions():
            heard[message["subscription"]] = message["result"]
            if len(heard) == 3:
                break
        assert heard[waiting] == HexBytes(sent)
        assert heard[events]["transactionHash"] == HexBytes(sent)
        assert heard[blocks]["number"] == await bench.w3.eth.block_number
