"""The door: java-tron's shapes for what is there, and its `Error` for whatever comes that should not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from node.devnet.deployment import DEPLOYER, Deployment
from node.devnet.thread import ChainThread
from node.devnet.tron.chain import TronChain
from node.devnet.tron.development import methods
from node.devnet.tron.faucet import TronFaucet
from node.devnet.tron.http import MAX_BODY, TronHttp
from tests.unit.devnet_tron.door.support import ALICE, BOB, START, deployed, make_chain
from wallet.address import Address
from wallet.keys import PrivateKey

A, B = ALICE.address, BOB.address
D = Address(bytes(DEPLOYER))


class Door:
    """A devnet's HTTP, asked as clients ask."""

    def __init__(self, session: aiohttp.ClientSession, url: str, deployment: Deployment) -> None:
        self.session = session
        self.url = url
        self.deployment = deployment

    async def post(self, path: str, **parameters: object) -> Any:
        async with self.session.post(f"{self.url}/{path}", json=parameters) as answer:
            assert answer.status == 200
            return await answer.json()

    async def get(self, path: str, **query: str) -> Any:
        async with self.session.get(f"{self.url}/{path}", params=query) as answer:
            return await answer.json()

    async def raw(self, path: str, body: bytes) -> Any:
        async with self.session.post(f"{self.url}/{path}", data=BytesIO(body)) as answer:
            assert answer.status == 200
            return await answer.json()

    async def pay(self, amount: int, owner: PrivateKey = ALICE) -> Any:
        """A signed transfer to Bob."""
        transaction = await self.post(
            "wallet/createtransaction", owner_address=A.tron_hex, to_address=B.tron_hex, amount=amount
        )
        return {**transaction, "signature": [owner.sign_digest(bytes.fromhex(transaction["txID"])).hex()]}


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    thread: ChainThread[TronChain] = await ChainThread.open(make_chain)
    deployment = await thread.run(deployed)
    faucet = TronFaucet(Address.parse(deployment.token).raw)
    server = TestServer(TronHttp(thread, methods(faucet)).application())
    await server.start_server()
    async with aiohttp.ClientSession() as session:
        found = Door(session, str(server.make_url("")).rstrip("/"), deployment)
        await found.post("devnet/faucet", address=A.tron)
        yield found
    await server.close()
    await thread.close()


# --- shapes ----------------------------------------------------------------------------------------------------------


async def test_what_is_not_there_is_an_empty_object(door: Door) -> None:
    nobody = Address(b"\x99" * 20).tron_hex
    asked: dict[str, dict[str, Any]] = {
        "wallet/getaccount": {"address": nobody},
        "wallet/getaccountresource": {"address": nobody},
        "wallet/getaccountnet": {"address": nobody},
        "wallet/gettransactionbyid": {"value": "99" * 32},
        "wallet/gettransactioninfobyid": {"value": "99" * 32},
        "wallet/gettransactionfrompending": {"value": "99" * 32},
        "wallet/getblockbynum": {"num": 10**9},
        "wallet/getblockbyid": {"value": "99" * 32},
        "wallet/getblockbylimitnext": {"startNum": 5, "endNum": 5},
        "wallet/getassetissuebyid": {"value": "1000099"},
        "wallet/getassetissuebyname": {"value": b"none".hex()},
        "wallet/getassetissuebyaccount": {"address": nobody},
        "wallet/listnodes": {},
    }
    for path, parameters in asked.items():
        assert await door.post(path, **parameters) == {}, path
    assert "NullPointerException" in (await door.post("wallet/getcontract", value=nobody))["Error"]
    assert await door.post("wallet/gettransactioncountbyblocknum", num=10**9) == {"count": -1}
    assert await door.post("wallet/gettransactioninfobyblocknum", num=10**9) == []


async def test_a_query_and_a_body_ask_the_same(door: Door) -> None:
    assert await door.get("wallet/getaccount", address=A.tron_hex) == await door.post(
        "wallet/getaccount", address=A.tron_hex
    )
    shown = await door.get("wallet/getaccount", address=A.tron, visible="true")
    assert shown == await door.post("wallet/getaccount", address=A.tron, visible=True)
    assert shown == await door.get("wallet/getaccount", address=A.tron, visible="True")  # as Python writes it
    assert (shown["address"], shown["owner_permission"]["keys"][0]["address"]) == (A.tron, A.tron)
    assert await door.get("wallet/getblockbynum", num="1") == await door.post("wallet/getblockbynum", num=1)


async def test_the_genesis_block_carries_the_chain_id_and_no_number(door: Door) -> None:
    genesis = await door.post("wallet/getblockbynum", num=0)
    assert genesis["blockID"][-8:] == f"{door.deployment.chain_id:08x}"
    assert "number" not in genesis["block_header"]["raw_data"]
    assert door.deployment.chain == f"tron:0x{genesis['blockID'][-8:]}"


async def test_blocks_can_be_asked_for_in_every_way(door: Door) -> None:
    head = await door.post("wallet/getnowblock")
    number, block_id = head["block_header"]["raw_data"]["number"], head["blockID"]
    assert await door.post("wallet/getblockbynum", num=number) == head
    assert await door.post("wallet/getblockbyid", value=block_id) == head
    assert (await door.post("wallet/getblockbylimitnext", startNum=number, endNum=number + 9))["block"] == [head]
    assert (await door.post("wallet/getblockbylatestnum", num=2))["block"][-1] == head
    assert await door.post("wallet/getblock", id_or_num=str(number), detail=True) == head
    assert await door.post("wallet/getblock", id_or_num=block_id, detail=True) == head
    assert (await door.post("wallet/getblock")).keys() == {"blockID", "block_header"}
    assert await door.post("wallet/gettransactioncountbyblocknum", num=number) == {"count": len(head["transactions"])}


async def test_the_solid_door_shows_only_what_is_solidified(door: Door) -> None:
    payment = await door.pay(5)
    await door.post("wallet/broadcasttransaction", **payment)
    info = await door.post("wallet/gettransactioninfobyid", value=payment["txID"])
    number = info["blockNumber"]
    asked: dict[str, dict[str, Any]] = {
        "gettransactionbyid": {"value": payment["txID"]},
        "gettransactioninfobyid": {"value": payment["txID"]},
        "getblockbynum": {"num": number},
    }
    for method, parameters in asked.items():
        assert await door.post(f"walletsolidity/{method}", **parameters) == {}
    assert (await door.post("walletsolidity/getnowblock"))["block_header"]["raw_data"]["number"] == number - 1
    await door.post("devnet/mine")
    for method, parameters in asked.items():
        assert await door.post(f"walletsolidity/{method}", **parameters) == await door.post(
            f"wallet/{method}", **parameters
        )


async def test_the_solid_door_shows_accounts_and_contracts_as_they_were(door: Door) -> None:
    token = {"owner_address": B.tron_hex, "contract_address": Address.parse(door.deployment.token).tron_hex}
    balance = {"function_selector": "balanceOf(address)", "parameter": B.raw.hex().rjust(64, "0"), **token}

    async def seen(prefix: str) -> tuple[object, int]:
        account = await door.post(f"{prefix}/getaccount", address=B.tron_hex)
        outcome = await door.post(f"{prefix}/triggerconstantcontract", **balance)
        return account.get("balance"), int(outcome["constant_result"][0], 16)

    await door.post("devnet/faucet", address=B.tron, native=7, token=0)
    await door.post("devnet/mine")
    await door.post("devnet/faucet", address=B.tron, native=0, token=9)
    assert (await seen("walletsolidity"), await seen("wallet")) == ((7, 0), (7, 9))
    await door.post("devnet/mine")
    assert await seen("walletsolidity") == (7, 9)


async def test_a_waiting_transaction_is_pending_until_a_block_takes_it(door: Door) -> None:
    await door.post("devnet/automine", on=False)
    payment = await door.pay(5)
    assert (await door.post("wallet/broadcasttransaction", **payment))["result"] is True
    pending = await door.post("wallet/gettransactionfrompending", value=payment["txID"])
    assert pending["txID"] == payment["txID"]
    assert await door.post("wallet/gettransactionbyid", value=payment["txID"]) == {}
    await door.post("devnet/mine")
    assert (await door.post("wallet/gettransactionbyid", value=payment["txID"]))["ret"] == [{"contractRet": "SUCCESS"}]
    assert await door.post("wallet/gettransactionfrompending", value=payment["txID"]) == {}


async def test_refusals_are_hex_or_text_as_asked(door: Door) -> None:
    payment = await door.pay(5, owner=BOB)
    refused = await door.post("wallet/broadcasttransaction", **payment)
    assert (refused["code"], refused["txid"]) == ("SIGERROR", payment["txID"])
    words = bytes.fromhex(refused["message"]).decode()
    value = payment["raw_data"]["contract"][0]["parameter"]["value"]
    value.update(owner_address=A.tron, to_address=B.tron)
    shown = await door.post("wallet/broadcasttransaction", **{**payment, "visible": True})
    assert shown == {"code": "SIGERROR", "message": words, "txid": payment["txID"]}


async def test_signatures_are_weighed_before_anything_is_sent(door: Door) -> None:
    payment = await door.pay(5)
    unsigned = {key: value for key, value in payment.items() if key != "signature"}
    assert (await door.post("wallet/getsignweight", **unsigned))["result"] == {"code": "NOT_ENOUGH_PERMISSION"}
    weight = await door.post("wallet/getsignweight", **payment)
    assert (weight["result"], weight["current_weight"], weight["approved_list"]) == ({}, 1, [A.tron_hex])
    assert weight["transaction"]["transaction"]["txID"] == payment["txID"]
    other = await door.post("wallet/getsignweight", **await door.pay(6, owner=BOB))
    assert (other["result"]["code"], other["approved_list"]) == ("PERMISSION_ERROR", [B.tron_hex])
    forged = await door.post("wallet/getapprovedlist", **{**payment, "signature": ["00" * 65]})
    assert forged["result"]["code"] == "COMPUTE_ADDRESS_ERROR"
    stranger = await door.pay(7)
    stranger["raw_data"]["contract"][0]["parameter"]["value"]["owner_address"] = "41" + "99" * 20
    assert (await door.post("wallet/getsignweight", **stranger))["result"]["message"] == "Account is not exist!"


async def test_what_could_not_be_executed_is_not_even_built(door: Door) -> None:
    pair = {"owner_address": A.tron_hex, "to_address": B.tron_hex}
    requests: dict[str, tuple[dict[str, object], str]] = {
        "createtransaction": ({**pair, "amount": 10**15}, "balance is not sufficient"),
        "transferasset": ({**pair, "amount": 1, "asset_name": b"1002000".hex()}, ""),
        "createaccount": ({"owner_address": A.tron_hex, "account_address": A.tron_hex}, ""),
        "unfreezebalancev2": ({"owner_address": A.tron_hex, "unfreeze_balance": 1}, ""),
    }
    for method, (parameters, complaint) in requests.items():
        error = (await door.post(f"wallet/{method}", **parameters))["Error"]
        assert "Contract validate error" in error
        assert complaint in error


async def test_a_method_the_abi_calls_constant_is_run_at_once(door: Door) -> None:
    call = {"owner_address": A.tron, "contract_address": door.deployment.token, "visible": True}
    asked = await door.post("wallet/triggersmartcontract", function_selector="decimals()", **call)
    assert asked["constant_result"] == [f"{18:064x}"]
    paid = await door.post(
        "wallet/triggersmartcontract", function_selector="mint(address,uint256)", parameter="00" * 64, **call
    )
    assert "constant_result" not in paid
    assert paid["transaction"]["raw_data"]["contract"][0]["type"] == "TriggerSmartContract"


async def test_a_constant_call_shows_what_it_would_do_and_changes_nothing(door: Door) -> None:
    call = {"owner_address": A.tron_hex, "contract_address": Address.parse(door.deployment.token).tron_hex}
    data = (keccak(text="transfer(address,uint256)")[:4] + encode(["address", "uint256"], [B.raw, 5])).hex()
    before = await door.post("wallet/getnowblock")
    asked = await door.post("wallet/triggerconstantcontract", data=data, **call)
    assert asked["result"] == {"result": True}
    assert [len(asked["logs"]), asked["constant_result"]] == [1, [f"{1:064x}"]]
    needed = (await door.post("wallet/estimateenergy", data=data, **call))["energy_required"]
    assert asked["energy_used"] <= needed
    assert await door.post("wallet/getnowblock") == before


async def test_a_call_that_cannot_begin_says_why_inside_its_result(door: Door) -> None:
    call = {"owner_address": A.tron_hex, "contract_address": B.tron_hex, "function_selector": "f()"}
    for method in ("triggersmartcontract", "triggerconstantcontract", "estimateenergy"):
        result = (await door.post(f"wallet/{method}", **call))["result"]
        assert result["code"] == "CONTRACT_VALIDATE_ERROR"
        assert "mart contract" in bytes.fromhex(result["message"]).decode()


async def test_a_deployment_can_be_estimated_without_a_contract(door: Door) -> None:
    creation = "6001600c60003960016000f300"
    estimated = await door.post("wallet/estimateenergy", owner_address=A.tron_hex, data=creation, call_value=0)
    assert estimated["energy_required"] > 200  # a byte of code alone costs that


async def test_numbers_come_as_text_where_a_reader_wants_it(door: Door) -> None:
    plain = await door.get("wallet/getaccount", address=A.tron_hex)
    text = await door.get("wallet/getaccount", address=A.tron_hex, int64_as_string="true")
    assert (text["balance"], text["create_time"]) == (str(plain["balance"]), str(plain["create_time"]))
    assert text["active_permission"][0]["id"] == 2  # 32 bits


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (A.tron, (True, "Base58check format")),
        (A.tron_hex, (True, "Hex string format")),
        (A.evm, (False, "Length error")),
        ("T" * 34, (False, "Invalid address")),
        ("", (False, "Invalid address")),
    ],
)
async def test_addresses_are_validated(door: Door, text: str, answer: tuple[bool, str]) -> None:
    found = await door.post("wallet/validateaddress", address=text)
    assert (found["result"], found["message"]) == answer


# --- development -----------------------------------------------------------------------------------------------------


async def test_the_faucet_gives_what_is_asked_for_and_no_more(door: Door) -> None:
    given = await door.post("devnet/faucet", address=B.tron_hex, native=7, token=str(10**18), asset=9)
    assert len(given["transactions"]) == 3
    account = await door.post("wallet/getaccount", address=B.tron_hex)
    assert (account["balance"], account["assetV2"]) == (7, [{"key": "1002000", "value": 9}])
    for wrong in ({"native": 10**17}, {"token": -1}, {"asset": 1.5}, {"token": True}, {"address": "T"}):
        assert "Error" in await door.post("devnet/faucet", **{"address": B.tron, **wrong})


async def test_time_and_state_go_back_to_a_snapshot(door: Door) -> None:
    taken = await door.post("devnet/snapshot")
    await door.post("devnet/balance", address=B.tron, amount=12)
    assert (await door.post("devnet/time", seconds=3600))["now"] >= START + 3_600_000
    assert (await door.post("wallet/getaccount", address=B.tron_hex))["balance"] == 12
    assert await door.post("devnet/revert", **taken) == {"reverted": True}
    assert await door.post("devnet/revert", **taken) == {"reverted": False}
    assert await door.post("wallet/getaccount", address=B.tron_hex) == {}
    for wrong in ({"blocks": 0}, {"blocks": 10**6}, {"blocks": "x"}):
        assert "Error" in await door.post("devnet/mine", **wrong)


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff\xfe", b"[" * 50_000, b'{"visible": 3}', b'{"address": {}}'])
async def test_a_body_that_is_no_request_is_an_error_in_java_trons_words(door: Door, body: bytes) -> None:
    for path in ("wallet/getaccount", "wallet/createtransaction", "wallet/broadcasttransaction", "devnet/faucet"):
        assert (await door.raw(path, body)).keys() == {"Error"}
    assert (await door.raw("wallet/triggerconstantcontract", body))["result"].keys() == {"code", "message"}


async def test_a_huge_body_is_not_read(door: Door) -> None:
    found = await door.raw("wallet/broadcasthex", json.dumps({"transaction": "0" * MAX_BODY}).encode())
    assert "body size is too big" in found["Error"]


@pytest.mark.parametrize("transaction", [None, "", "0", "zz", "ff" * 40, "0a00", "00" * 600_000])
async def test_bytes_that_are_no_transaction_are_an_error(door: Door, transaction: str | None) -> None:
    body = json.dumps({"transaction": transaction}).encode()
    assert (await door.raw("wallet/broadcasthex", body)).keys() == {"Error"}


async def test_unknown_methods_and_paths_are_not_found(door: Door) -> None:
    for path in ("wallet/mintmoney", "walletsolidity/deploycontract", "devnet/hack", "wallet", "v2/x"):
        async with door.session.post(f"{door.url}/{path}", json={}) as answer:
            assert answer.status == 404
            assert "Error" in await answer.json()
    async with door.session.put(f"{door.url}/wallet/getnowblock") as answer:
        assert answer.status == 405
