"""WebSocket clients: requests, subscriptions, and the one order in which both are answered."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from node.devnet import evm_json as j
from node.devnet.chain import Chain
from node.devnet.evm_subscriptions import MAX_SUBSCRIPTIONS
from tests.unit.devnet.door import Door, deploy_recorder, served
from tests.unit.devnet.support import ALICE, BOB, address, signed


class Line:
    """A WebSocket client that reads everything in order."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def next(self) -> Any:
        return await self.socket.receive_json(timeout=10)

    async def send(self, method: str, *parameters: object) -> None:
        await self.socket.send_json({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)})

    async def ask(self, method: str, *parameters: object) -> Any:
        """The next message must be the answer."""
        await self.send(method, *parameters)
        answer = await self.next()
        assert answer["id"] == 1
        return answer.get("result", answer.get("error"))

    async def told(self, subscription: str) -> Any:
        """The next message must be this subscription's."""
        message = await self.next()
        assert message["method"] == "eth_subscription"
        assert message["params"]["subscription"] == subscription
        return message["params"]["result"]


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with served() as door:
        yield door


@asynccontextmanager
async def connected(door: Door) -> AsyncIterator[Line]:
    async with door.session.ws_connect(door.url) as socket:
        yield Line(socket)


@pytest.fixture
async def line(door: Door) -> AsyncIterator[Line]:
    async with connected(door) as line:
        yield line


async def test_requests_and_batches_are_answered(line: Line) -> None:
    assert await line.ask("eth_chainId") == "0xc7"
    await line.socket.send_str(json.dumps([{"id": 1, "method": "eth_chainId"}, {"id": 2, "method": "no_such"}]))
    first, second = await line.next()
    assert (first["result"], second["error"]["code"]) == ("0xc7", -32601)
    await line.socket.send_str("{")
    assert (await line.next())["error"]["code"] == -32700
    await line.socket.send_str('{"method": "evm_mine"}')  # a notification: done, not answered
    assert await line.ask("eth_blockNumber") == "0x1"


async def test_new_heads_come_in_order_and_after_the_answer_that_caused_them(line: Line, door: Door) -> None:
    heads = await line.ask("eth_subscribe", "newHeads")
    await line.ask("anvil_mine", "0x2")
    for number in ("0x1", "0x2"):
        head = await line.told(heads)
        block = await door.result("eth_getBlockByNumber", number)
        assert head == {key: block[key] for key in head}
        assert head["number"] == number
        assert "transactions" not in head


async def test_a_batch_that_subscribes_and_sends_hears_of_it_after_the_answer(line: Line) -> None:
    raw = j.data(signed(ALICE, 0, to=address(BOB)))
    await line.socket.send_json(
        [
            {"id": 1, "method": "eth_subscribe", "params": ["newPendingTransactions"]},
            {"id": 2, "method": "eth_sendRawTransaction", "params": [raw]},
        ]
    )
    subscribed, sent = await line.next()
    assert await line.told(subscribed["result"]) == sent["result"]


async def test_waiting_transactions_can_be_had_whole(line: Line, door: Door) -> None:
    whole = await line.ask("eth_subscribe", "newPendingTransactions", True)
    sent = await door.result("eth_sendRawTransaction", j.data(signed(ALICE, 0, to=address(BOB))))
    found = await line.told(whole)
    assert (found["hash"], found["blockHash"]) == (sent, None)


async def test_logs_match_and_are_taken_back(line: Line, door: Door) -> None:
    contract = await deploy_recorder(door)
    wanted = j.data((5).to_bytes(32, "big"))
    logs = await line.ask("eth_subscribe", "logs", {"address": contract, "topics": [None, wanted]})
    snapshot = await door.result("evm_snapshot")
    for nonce, number in ((1, 4), (2, 5)):
        raw = signed(ALICE, nonce, to=bytes.fromhex(contract[2:]), data=number.to_bytes(32, "big"))
        await door.result("eth_sendRawTransaction", j.data(raw))
    added = await line.told(logs)
    assert (added["topics"][1], added["removed"]) == (wanted, False)
    await door.result("evm_revert", snapshot)
    assert await line.told(logs) == {**added, "removed": True}


async def test_what_is_unsubscribed_is_not_heard(line: Line) -> None:
    heads = await line.ask("eth_subscribe", "newHeads")
    assert await line.ask("eth_unsubscribe", heads) is True
    assert await line.ask("eth_unsubscribe", heads) is False
    await line.ask("evm_mine")
    assert await line.ask("eth_blockNumber") == "0x1"


async def test_each_client_hears_only_what_it_asked_for(door: Door, line: Line) -> None:
    async with connected(door) as other:
        heads = await other.ask("eth_subscribe", "newHeads")
        assert (await line.ask("eth_unsubscribe", heads)) is False
        await line.ask("evm_mine")
        assert (await other.told(heads))["number"] == "0x1"
        assert await line.ask("eth_blockNumber") == "0x1"


@pytest.mark.parametrize(
    "parameters", [[], ["no such"], [7], ["logs", 7], ["newPendingTransactions", "yes"], ["logs", {"topics": 7}]]
)
async def test_a_wrong_subscription_is_refused(line: Line, parameters: list[object]) -> None:
    assert (await line.ask("eth_subscribe", *parameters))["code"] == -32602


async def test_subscriptions_are_bounded(line: Line) -> None:
    for _ in range(MAX_SUBSCRIPTIONS):
        await line.ask("eth_subscribe", "newHeads")
    assert "unsubscribe from one" in (await line.ask("eth_subscribe", "newHeads"))["message"]


async def test_a_client_that_leaves_is_forgotten(door: Door) -> None:
    async with connected(door) as line:
        await line.ask("eth_subscribe", "newHeads")
        assert await door.thread.run(lambda chain: chain.watched)
    # The next client is served after the door has seen the first one go.
    while await door.thread.run(lambda chain: chain.watched):
        await door.result("eth_blockNumber")
    await door.result("evm_mine")


async def test_a_client_that_does_not_read_is_cut_off(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.devnet.evm_socket.MAX_QUEUED", 10_000)
    async with connected(door) as line:
        heads = await line.ask("eth_subscribe", "newHeads")
        mined = threading.Event()

        def mine(chain: Chain) -> None:
            chain.mine(50)
            mined.set()

        mining = asyncio.create_task(door.thread.run(mine))
        await asyncio.sleep(0)
        mined.wait(10)  # holds up the door's loop, too: nothing is sent before everything waits
        await mining
        while (message := await line.socket.receive(timeout=10)).type is WSMsgType.TEXT:
            assert json.loads(message.data)["params"]["subscription"] == heads
        assert (message.type, line.socket.close_code) == (WSMsgType.CLOSE, 1008)
    assert await door.result("eth_blockNumber") == hex(50)


async def test_sockets_are_bounded_and_a_plain_get_is_told_what_to_do(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with door.session.get(door.url) as response:
        assert response.status == 426
    monkeypatch.setattr("node.devnet.evm_rpc.MAX_CONNECTIONS", 1)
    async with connected(door):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await door.session.ws_connect(door.url)
        assert refused.value.status == 503


async def test_the_devnet_says_goodbye_when_it_stops() -> None:
    async with aiohttp.ClientSession() as session:
        async with served() as door:
            socket = await session.ws_connect(door.url)
            await Line(socket).ask("eth_subscribe", "newHeads")
            reading = asyncio.create_task(socket.receive(timeout=10))
        message = await reading
        assert (message.type, socket.close_code) == (WSMsgType.CLOSE, 1001)
