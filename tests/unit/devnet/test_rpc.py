"""The Ethereum door: envelopes, limits, parameters and error codes."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.devnet import evm_json as j
from node.devnet.errors import StorageError
from node.devnet.evm_development import DEVELOPMENT
from node.devnet.evm_envelope import MAX_BATCH, REFUSED
from node.devnet.evm_filters import Filters
from node.devnet.evm_method import Method
from node.devnet.evm_methods import METHODS
from node.devnet.evm_rpc import MAX_BODY
from tests.unit.devnet.door import Door, deploy_recorder, served
from tests.unit.devnet.support import ALICE, BOB, address, signed

A, B = ("0x" + address(owner).hex() for owner in (ALICE, BOB))


def _fails(_chain: object) -> None:
    raise StorageError("database or disk is full")


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with served({"test_full": Method(_fails)}) as door:
        yield door


# --- envelopes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 100_000, -32700),
        (b"7", -32600),
        (b"{}", -32600),
        (b"[]", -32600),
        (b'{"id":1,"method":7}', -32600),
        (b'{"id":1,"method":"no_such"}', -32601),
        (b'{"id":1,"method":"eth_chainId","params":{}}', -32602),
        (b'{"id":1,"method":"eth_chainId","params":[1]}', -32602),
        (b'{"id":1,"method":"eth_getBalance"}', -32602),
        (b'{"id":1,"method":"test_full"}', -32603),
    ],
)
async def test_every_wrong_request_gets_its_code(door: Door, body: bytes, code: int) -> None:
    assert (await door.post(body))["error"]["code"] == code


async def test_a_batch_is_answered_in_order_and_each_request_on_its_own(door: Door) -> None:
    batch = [
        {"id": "a", "method": "eth_chainId"},
        {"id": 2, "method": "no_such"},
        "nonsense",
        {"method": "evm_mine"},  # a notification: done, not answered
        {"id": None, "method": "eth_blockNumber"},
    ]
    answers = await door.post(json.dumps(batch).encode())
    assert [answer["id"] for answer in answers] == ["a", 2, None, None]
    assert answers[0]["result"] == "0xc7"
    assert answers[1]["error"]["code"] == -32601
    assert answers[3]["result"] == "0x1"


async def test_notifications_alone_have_no_answer(door: Door) -> None:
    for body in ('{"method": "evm_mine"}', '[{"method": "evm_mine"}]'):
        async with door.session.post(door.url, data=body) as response:
            assert (response.status, await response.read()) == (204, b"")
    assert await door.result("eth_blockNumber") == "0x2"


async def test_requests_are_bounded(door: Door) -> None:
    batch = [{"id": 1, "method": "eth_chainId"}] * (MAX_BATCH + 1)
    assert (await door.post(json.dumps(batch).encode()))["error"]["code"] == -32600
    async with door.session.post(door.url, data=io.BytesIO(bytes(MAX_BODY + 1))) as response:
        assert response.status == 413


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
                    max_leaves=8))  # fmt: skip
def test_decoders_refuse_what_they_do_not_take(value: object) -> None:
    for method in {**METHODS, **DEVELOPMENT, **Filters().methods()}.values():
        for decode in (*method.required, *(decode for decode, _ in method.optional)):
            try:
                decode(value)
            except j.BadParameterError as error:
                assert len(str(error)) < 200  # noqa: PT017  # either outcome is right; any other exception is not


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("eth_getBalance", ["0x12"]),
        ("eth_getBalance", [A, "0xzz"]),
        ("eth_getBalance", [A, True]),
        ("eth_getBalance", [A, "soon"]),
        ("eth_getTransactionReceipt", ["0x12"]),
        ("eth_sendRawTransaction", ["0x123"]),
        ("eth_call", [{"to": A, "gas": "-1"}]),
        ("eth_call", [{"to": A, "surprise": 1}]),
        ("eth_getLogs", [{"topics": [None] * 5}]),
        ("eth_getLogs", [{"blockHash": "0x" + "00" * 32, "fromBlock": "0x0"}]),
        ("eth_getLogs", [{"address": [A] * 1001}]),
        ("evm_increaseTime", ["1.5"]),
        ("evm_setAutomine", [1]),
        ("eth_getFilterChanges", [7]),
        ("eth_newFilter", [{"blockHash": "0x" + "00" * 32}]),
        ("eth_getBlockByNumber", ["latest", "yes"]),
    ],
)
async def test_a_wrong_parameter_is_named(door: Door, method: str, parameters: list[object]) -> None:
    error = await door.error(method, *parameters)
    assert error["code"] == -32602
    assert "\n" not in error["message"]


# --- methods --------------------------------------------------------------------------------------------------------


async def test_what_is_not_there_is_null_and_state_of_no_block_is_an_error(door: Door) -> None:
    nothing = "0x" + "00" * 32
    for method in ("eth_getTransactionByHash", "eth_getTransactionReceipt", "eth_getBlockByHash"):
        assert await door.result(method, nothing) is None
    for number in ("0x99", hex(2**64), hex(2**256 - 1)):
        assert await door.result("eth_getBlockByNumber", number) is None
        assert await door.result("evm_revert", number) is False
    assert (await door.error("eth_getBalance", A, "0x99"))["code"] == -32000
    assert (await door.error("eth_getBalance", A, {"blockHash": nothing}))["code"] == -32000
    assert await door.result("eth_getLogs", {"fromBlock": "0x99", "toBlock": "0xaa"}) == []
    assert (await door.error("eth_getLogs", {"fromBlock": "0x2", "toBlock": "0x1"}))["code"] == -32000
    assert (await door.error("evm_setNextBlockTimestamp", 1))["code"] == -32000


async def test_blocks_are_named_by_tag_number_and_hash(door: Door) -> None:
    await door.result("anvil_setBalance", B, hex(5))
    block = await door.result("eth_getBlockByNumber", "latest", False)
    for name in (
        "latest",
        "pending",
        "safe",
        "finalized",
        "0x1",
        {"blockNumber": "0x1"},
        block["hash"],
        {"blockHash": block["hash"]},
    ):
        assert await door.result("eth_getBalance", B, name) == "0x5"
    assert await door.result("eth_getBalance", B, "earliest") == "0x0"


async def test_a_revert_carries_code_3_and_its_data(door: Door) -> None:
    contract = await deploy_recorder(door)
    for method in ("eth_call", "eth_estimateGas"):
        error = await door.error(method, {"from": A, "to": contract})
        assert (error["code"], error["data"]) == (3, "0x" + "00" * 31 + "2a")
    assert (await door.error("eth_call", {"from": A, "to": contract, "gas": hex(21_001)}))["code"] == -32000


async def test_a_contract_s_words_are_in_the_message(door: Door) -> None:
    # Reverts with Error("no"), built as creation code.
    words = bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + (2).to_bytes(32, "big") + b"no".ljust(32, b"\0")
    code = bytes.fromhex(f"60{len(words):02x}600c60003960{len(words):02x}6000fd") + words
    error = await door.error("eth_call", {"from": A, "data": j.data(code)})
    assert error == {"code": 3, "message": "execution reverted: no", "data": j.data(words)}


async def test_pending_is_the_next_block(door: Door) -> None:
    timestamp = j.data(bytes.fromhex("4260005260206000f3"))  # TIMESTAMP, as creation code
    await door.result("evm_increaseTime", hex(1000))
    call = {"from": A, "data": timestamp}
    latest, pending = [int(await door.result("eth_call", call, at), 16) for at in ("latest", "pending")]
    assert pending >= latest + 1000
    await door.result("evm_setAutomine", False)
    await door.result("eth_sendRawTransaction", j.data(signed(ALICE, 0, to=address(BOB))))
    assert await door.result("eth_getTransactionCount", A) == "0x0"
    assert await door.result("eth_getTransactionCount", A, "pending") == "0x1"


async def test_a_full_block_carries_whole_transactions(door: Door) -> None:
    sent = await door.result("eth_sendRawTransaction", j.data(signed(ALICE, 0, to=address(BOB), value=9)))
    whole = await door.result("eth_getBlockByNumber", "latest", True)
    short = await door.result("eth_getBlockByHash", whole["hash"], False)
    assert short["transactions"] == [sent]
    [transaction] = whole["transactions"]
    assert transaction == await door.result("eth_getTransactionByHash", sent)
    assert (transaction["to"], transaction["value"], transaction["chainId"]) == (B, "0x9", "0xc7")
    receipt = await door.result("eth_getTransactionReceipt", sent)
    assert receipt["contractAddress"] is None
    assert (receipt["status"], receipt["gasUsed"]) == ("0x1", hex(21_000))


async def test_the_bloom_of_block_and_receipt_covers_the_logs(door: Door) -> None:
    contract = await deploy_recorder(door)
    word = (5).to_bytes(32, "big")
    raw = signed(ALICE, 1, to=bytes.fromhex(contract[2:]), data=word)
    receipt = await door.result("eth_getTransactionReceipt", await door.result("eth_sendRawTransaction", j.data(raw)))
    block = await door.result("eth_getBlockByNumber", receipt["blockNumber"])
    assert int(receipt["logsBloom"], 16) != 0
    assert block["logsBloom"] == receipt["logsBloom"]
    [log] = receipt["logs"]
    assert await door.result("eth_getLogs", {"blockHash": block["hash"], "topics": [None, [j.data(word)]]}) == [log]
    assert await door.result("eth_getStorageAt", contract, "0x0") == j.data(word)


async def test_work_after_the_close_is_refused(door: Door) -> None:
    await door.thread.close()
    with pytest.raises(RuntimeError, match="closed"):
        await door.thread.run(lambda chain: chain.head)


async def test_a_blocks_transactions_are_found_by_place_and_counted(door: Door) -> None:
    contract = await deploy_recorder(door)
    await door.result("evm_setAutomine", False)
    to = bytes.fromhex(contract[2:])
    words = [n.to_bytes(32, "big") for n in (1, 2)]
    sent = [
        await door.result("eth_sendRawTransaction", j.data(signed(ALICE, 1 + place, to=to, data=word)))
        for place, word in enumerate(words)
    ]
    await door.result("evm_mine")
    block = await door.result("eth_getBlockByNumber", "latest")
    number, block_hash = block["number"], block["hash"]
    assert await door.result("eth_getBlockTransactionCountByNumber", number) == "0x2"
    assert await door.result("eth_getBlockTransactionCountByHash", block_hash) == "0x2"
    assert await door.result("eth_getUncleCountByBlockNumber", number) == "0x0"
    assert await door.result("eth_getUncleCountByBlockHash", block_hash) == "0x0"
    second = await door.result("eth_getTransactionByHash", sent[1])
    assert await door.result("eth_getTransactionByBlockNumberAndIndex", number, "0x1") == second
    assert await door.result("eth_getTransactionByBlockHashAndIndex", block_hash, "0x1") == second
    assert await door.result("eth_getTransactionByBlockNumberAndIndex", number, "0x2") is None
    receipts = [await door.result("eth_getTransactionReceipt", transaction) for transaction in sent]
    assert await door.result("eth_getBlockReceipts", number) == receipts
    assert [receipt["logs"][0]["logIndex"] for receipt in receipts] == ["0x0", "0x1"]


async def test_of_a_block_that_is_not_there_nothing_is_told(door: Door) -> None:
    nothing = "0x" + "00" * 32
    for method in ("eth_getBlockTransactionCountByNumber", "eth_getUncleCountByBlockNumber"):
        assert await door.result(method, "0x99") is None
    assert await door.result("eth_getBlockReceipts", "0x99") is None
    assert await door.result("eth_getBlockTransactionCountByHash", nothing) is None
    assert await door.result("eth_getTransactionByBlockHashAndIndex", nothing, "0x0") is None


async def test_methods_that_cannot_be_had_say_why(door: Door) -> None:
    for method, why in REFUSED.items():
        error = await door.error(method)
        assert (error["code"], error["message"]) == (-32004, why)


async def test_a_fee_market_is_not_there_at_all(door: Door) -> None:
    for method in ("eth_feeHistory", "eth_maxPriorityFeePerGas", "eth_blobBaseFee"):
        assert (await door.error(method))["code"] == -32601


async def test_hashes_and_peers_are_told(door: Door) -> None:
    assert await door.result("web3_sha3", "0x") == "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert await door.result("net_peerCount") == "0x0"
    assert await door.result("net_listening") is True


@pytest.mark.parametrize("tool", ["hardhat", "anvil"])
async def test_state_is_set_by_hand_under_both_names(door: Door, tool: str) -> None:
    assert await door.result(f"{tool}_setBalance", B, "0x5") is True
    assert await door.result(f"{tool}_setNonce", B, "0x7") is True
    assert await door.result(f"{tool}_setCode", B, "0x6001") is True
    assert await door.result(f"{tool}_setStorageAt", B, "0x0", "0x" + "00" * 31 + "09") is True
    assert await door.result("eth_getBalance", B) == "0x5"
    assert await door.result("eth_getTransactionCount", B) == "0x7"
    assert await door.result("eth_getCode", B) == "0x6001"
    assert int(await door.result("eth_getStorageAt", B, "0x0"), 16) == 9
    assert await door.result(f"{tool}_getAutomine") is True
    assert await door.result("evm_setAutomine", False) is True
    assert await door.result(f"{tool}_getAutomine") is False
    sent = await door.result("eth_sendRawTransaction", j.data(signed(ALICE, 0, to=address(BOB))))
    assert await door.result(f"{tool}_dropTransaction", sent) is True
    assert await door.result(f"{tool}_dropTransaction", sent) is False
    assert await door.result("eth_getTransactionByHash", sent) is None


async def test_blocks_are_mined_at_the_times_asked_for(door: Door) -> None:
    now = int((await door.result("eth_getBlockByNumber", "latest"))["timestamp"], 16)
    await door.result("evm_mine", now + 5000)
    assert int((await door.result("eth_getBlockByNumber", "latest"))["timestamp"], 16) == now + 5000
    await door.result("hardhat_mine", "0x3", "0x3c")
    times = [int((await door.result("eth_getBlockByNumber", hex(n)))["timestamp"], 16) for n in (2, 3, 4)]
    assert [times[1] - times[0], times[2] - times[1]] == [60, 60]
    assert (await door.error("hardhat_mine", "0x2", hex(2**60)))["code"] == -32000
