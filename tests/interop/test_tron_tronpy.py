"""Unmodified tronpy on the TRON devnet: accounts, TRX, TRC-10, contracts, receipts, events, reasons, and cheques."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from eth_abi.abi import encode
from tronpy import AsyncContract, AsyncTron, Contract, Tron  # type: ignore[import-untyped]  # tronpy ships no types
from tronpy.exceptions import (  # type: ignore[import-untyped]  # tronpy ships no types
    AddressNotFound,
    BadSignature,
    TaposError,
    TransactionError,
    TransactionNotFound,
    TvmError,
    UnknownError,
    ValidationError,
)
from tronpy.keys import PrivateKey as TronKey  # type: ignore[import-untyped]  # tronpy ships no types
from tronpy.proto import calculate_txid_from_raw_data  # type: ignore[import-untyped]  # tronpy ships no types
from tronpy.providers import AsyncHTTPProvider, HTTPProvider  # type: ignore[import-untyped]  # tronpy ships no types

from contracts.loader import load
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

A, B, N = ALICE.address.tron, BOB.address.tron, NOBODY.address.tron
CONF = {"fee_limit": FEE_LIMIT, "timeout": 10.0}


@pytest.fixture
async def bench() -> AsyncIterator[TronBench]:
    async with tron_bench() as bench:
        yield bench


@pytest.fixture
async def tron(bench: TronBench) -> AsyncIterator[AsyncTron]:
    async with AsyncTron(AsyncHTTPProvider(bench.url), conf=CONF) as client:
        yield client


def key(owner: PrivateKey) -> TronKey:
    return TronKey(owner.secret)


async def sent(builder: Any, owner: PrivateKey = ALICE) -> Any:
    """Build, sign, broadcast: what comes back from the broadcast."""
    return await (await builder.build()).sign(key(owner)).broadcast()


async def receipt(builder: Any, owner: PrivateKey = ALICE) -> dict[str, Any]:
    return dict(await (await sent(builder, owner)).wait(interval=0.01))


async def deployed(tron: AsyncTron, name: str, bytecode: bytes, abi: Any) -> Any:
    contract = AsyncContract(
        name=name, bytecode=bytecode, abi=abi, user_resource_percent=100, origin_energy_limit=10**7
    )
    info = await receipt(tron.trx.deploy_contract(A, contract))
    assert info["receipt"]["result"] == "SUCCESS"
    return await tron.get_contract(info["contract_address"])


async def failing(tron: AsyncTron) -> Any:
    return await deployed(tron, "Failing", FAILING_BYTECODE, FAILING_ABI)


# --- accounts and transfers ------------------------------------------------------------------------------------------


async def test_trx_moves_and_what_it_cost_is_burnt(tron: AsyncTron) -> None:
    before = await tron.get_account_balance(A), await tron.get_account_balance(B)
    info = await receipt(tron.trx.transfer(A, B, 1_500_000).memo("thanks"))
    assert info["fee"] >= TRX  # a memo's fee; the bandwidth may be free
    assert await tron.get_account_balance(B) == before[1] + Decimal("1.5")
    assert await tron.get_account_balance(A) == before[0] - Decimal("1.5") - Decimal(info["fee"]) / TRX
    found = await tron.get_transaction(info["id"])
    assert found["ret"] == [{"contractRet": "SUCCESS"}]
    assert bytes.fromhex(found["raw_data"]["data"]) == b"thanks"
    assert found["raw_data"]["contract"][0]["parameter"]["value"] == {
        "owner_address": A,
        "to_address": B,
        "amount": 1_500_000,
    }


async def test_an_account_begins_with_its_first_coins(tron: AsyncTron) -> None:
    with pytest.raises(AddressNotFound):
        await tron.get_account(N)
    info = await receipt(tron.trx.transfer(A, N, 1))
    assert info["fee"] >= TRX  # opening an account
    assert (await tron.get_account(N))["balance"] == 1
    assert (await tron.get_account_resource(N))["freeNetLimit"] == 600
    assert await tron.get_bandwidth(N) == 600
    assert (await tron.get_account_permission(N))["owner"]["keys"] == [{"address": N, "weight": 1}]


async def test_trc10_moves_by_number(tron: AsyncTron) -> None:
    await receipt(tron.trx.asset_transfer(A, B, 400, BTTOLD))
    assert await tron.get_account_asset_balance(A, BTTOLD) == 600
    assert await tron.get_account_asset_balance(B, BTTOLD) == 1_400
    with pytest.raises(ValidationError):
        await sent(tron.trx.asset_transfer(A, B, 601, BTTOLD))
    assert (await tron.get_asset(BTTOLD))["abbr"] == "BTTOLD"
    assert [asset["id"] for asset in await tron.list_assets()] == [BTTOLD]


async def test_a_trc10_can_be_issued(tron: AsyncTron) -> None:
    info = await receipt(tron.trx.asset_issue(A, "OWN", 10**9, url="https://example.org", precision=3))
    number = int(info["assetIssueID"])
    assert await tron.get_account_asset_balance(A, number) == 10**9
    assert (await tron.get_asset(issuer=A))["assetIssue"][0]["precision"] == 3


async def test_staked_trx_gives_energy_and_comes_off_the_bill(tron: AsyncTron, bench: TronBench) -> None:
    await receipt(tron.trx.freeze_balance(A, 50_000 * TRX, "ENERGY"))
    assert await tron.get_energy(A) > 0
    token = await tron.get_contract(bench.deployment.token)
    info = await receipt((await token.functions.mint(A, 1)).with_owner(A))
    assert info["receipt"]["energy_usage"] == info["receipt"]["energy_usage_total"]
    assert "energy_fee" not in info["receipt"]
    await receipt(tron.trx.unfreeze_balance(A, "ENERGY", unfreeze_balance=TRX))


# --- contracts -------------------------------------------------------------------------------------------------------


async def test_a_token_is_deployed_called_moved_and_its_events_read(tron: AsyncTron) -> None:
    artifact = load("TestBTT")
    bytecode = artifact.bytecode + encode(["string", "string"], ["Token", "TOK"])
    token = await deployed(tron, "TestBTT", bytecode, artifact.abi)
    assert await token.functions.symbol() == "TOK"
    assert await token.functions.decimals() == 18
    await receipt((await token.functions.mint(A, 5 * COIN)).with_owner(A))
    result = await sent((await token.functions.transfer(B, 2 * COIN)).with_owner(A))
    assert await result.result(interval=0.01) is True
    info = await result.wait(interval=0.01)
    assert info["receipt"]["energy_usage_total"] * 100 == info["receipt"]["energy_fee"]
    assert info["fee"] == info["receipt"]["energy_fee"] + info["receipt"].get("net_fee", 0)
    assert [event["args"] for event in token.events.Transfer.process_receipt(info)] == [
        {"from": A, "to": B, "value": 2 * COIN}
    ]
    assert [await token.functions.balanceOf(owner) for owner in (A, B)] == [3 * COIN, 2 * COIN]
    assert (await tron.get_contract_info(token.contract_address))["smart_contract"]["name"] == "TestBTT"


async def test_energy_is_known_before_and_enough(tron: AsyncTron, bench: TronBench) -> None:
    token = await tron.get_contract(bench.deployment.token)
    transfer = token.functions.transfer
    parameter = transfer._prepare_parameter(N, COIN)
    energy = await tron.get_estimated_energy(A, token.contract_address, "transfer(address,uint256)", parameter)
    info = await receipt((await transfer(N, COIN)).with_owner(A).fee_limit(energy * 100))
    assert info["receipt"]["energy_usage_total"] <= energy


async def test_a_revert_tells_its_reason(tron: AsyncTron) -> None:
    contract = await failing(tron)
    with pytest.raises(TvmError, match=f"REVERT opcode executed: .*{REASON}"):
        await contract.functions.check()
    result = await sent((await contract.functions.fail()).with_owner(A))
    with pytest.raises(TvmError, match=REASON):
        await result.result(interval=0.01)
    info = await result.wait(interval=0.01)
    assert (info["result"], info["receipt"]["result"]) == ("FAILED", "REVERT")
    assert info["receipt"]["energy_fee"] > 0  # a failure is paid, too


async def test_a_fee_limit_ends_a_run_and_is_paid(tron: AsyncTron) -> None:
    contract = await failing(tron)
    before = await tron.get_account_balance(A)
    result = await sent((await contract.functions.loop()).with_owner(A).fee_limit(3 * TRX))
    info = await result.wait(interval=0.01)
    assert (info["result"], info["receipt"]["result"]) == ("FAILED", "OUT_OF_ENERGY")
    assert info["receipt"]["energy_fee"] == 3 * TRX
    assert await tron.get_account_balance(A) == before - Decimal(info["fee"]) / TRX
    with pytest.raises(TvmError):
        await result.result(interval=0.01)


async def test_an_unknown_contract_is_not_found(tron: AsyncTron) -> None:
    with pytest.raises(AddressNotFound):
        await tron.get_contract(N)


# --- refusals --------------------------------------------------------------------------------------------------------


async def test_a_transaction_without_the_owners_signature_is_refused(tron: AsyncTron) -> None:
    transaction = await tron.trx.transfer(A, B, 1).build()
    transaction._permission = None  # tronpy would not even sign
    with pytest.raises(BadSignature, match="not contained of permission"):
        await transaction.sign(key(NOBODY)).broadcast()


async def test_a_transaction_counts_once(tron: AsyncTron) -> None:
    before = await tron.get_account_balance(B)
    transaction = (await tron.trx.transfer(A, B, TRX).build()).sign(key(ALICE))
    await transaction.broadcast()
    with pytest.raises(UnknownError, match="DUP_TRANSACTION_ERROR"):
        await transaction.broadcast()
    assert await tron.get_account_balance(B) == before + 1


async def test_an_expired_transaction_is_refused(tron: AsyncTron, bench: TronBench) -> None:
    transaction = (await tron.trx.transfer(A, B, 1).build()).sign(key(ALICE))
    await bench.devnet("time", seconds=120)
    with pytest.raises(TransactionError, match="expired"):
        await transaction.broadcast()


async def test_a_transaction_of_another_chain_is_refused(tron: AsyncTron) -> None:
    builder = tron.trx.transfer(A, B, 1)
    transaction = await builder.build(offline=True, ref_block_id="00" * 7 + "01" + "77" * 24)
    with pytest.raises(TaposError):
        await tron.broadcast(transaction.sign(key(ALICE)))


async def test_more_than_there_is_cannot_be_sent(tron: AsyncTron) -> None:
    with pytest.raises(ValidationError, match="balance is not sufficient"):
        await sent(tron.trx.transfer(A, B, 10**9 * TRX))


async def test_ids_made_offline_are_the_devnets(tron: AsyncTron, bench: TronBench) -> None:
    token = await tron.get_contract(bench.deployment.token)
    block = await tron.get_latest_block_id()
    for builder in (tron.trx.transfer(A, B, 7), (await token.functions.transfer(B, 1)).with_owner(A)):
        transaction = (await builder.build(offline=True, ref_block_id=block)).sign(key(ALICE))
        assert transaction.txid == calculate_txid_from_raw_data(transaction._raw_data)
        assert (await tron.broadcast(transaction))["txid"] == transaction.txid
        assert (await tron.get_transaction(transaction.txid))["txID"] == transaction.txid


# --- finality and blocks ---------------------------------------------------------------------------------------------


async def test_the_solid_chain_is_behind_the_latest_block(tron: AsyncTron, bench: TronBench) -> None:
    info = await receipt(tron.trx.transfer(A, B, 1))
    with pytest.raises(TransactionNotFound):
        await tron.get_solid_transaction_info(info["id"])
    await bench.devnet("mine", blocks=1)
    assert (await tron.get_solid_transaction_info(info["id"]))["blockNumber"] == info["blockNumber"]
    head, solid = await tron.get_latest_block_number(), await tron.get_latest_solid_block_number()
    assert solid == head - 1
    block = await tron.get_block(info["blockNumber"])
    assert [found["txID"] for found in block["transactions"]] == [info["id"]]
    assert (await tron.get_block(block["blockID"]))["block_header"] == block["block_header"]


# --- cheques ---------------------------------------------------------------------------------------------------------


def vault_methods() -> list[dict[str, Any]]:
    """The vault's methods with their tuples spelled out, as tronpy writes types."""
    cheque = "((address,address,uint256),bytes32,bytes32)[]"
    inputs = {"deposit": ["uint256"], "cashMany": [cheque, "address"], "balance": ["address"]}
    return [
        {
            "type": "function",
            "name": name,
            "inputs": [{"name": f"i{place}", "type": kind} for place, kind in enumerate(kinds)],
            "outputs": [] if name == "deposit" else [{"name": "", "type": "uint256"}],
            "stateMutability": "view" if name == "balance" else "nonpayable",
        }
        for name, kinds in inputs.items()
    ]


async def test_a_cheque_is_deposited_for_signed_and_cashed(tron: AsyncTron, bench: TronBench) -> None:
    deployment = bench.deployment
    token = await tron.get_contract(deployment.token)
    vault = AsyncContract(addr=deployment.vault, abi=vault_methods(), client=tron)
    await receipt((await token.functions.approve(deployment.vault, 100 * COIN)).with_owner(A))
    await receipt((await vault.functions.deposit(100 * COIN)).with_owner(A))
    assert await vault.functions.balance(A) == 100 * COIN

    rail = Rail(deployment.chain, deployment.chain_id, Address.parse(deployment.vault))
    cheque = sign_cheque(rail, Cheque(ALICE.address, BOB.address, 30 * COIN), ALICE)
    r, vs = compact_signature(cheque.signature)
    method = vault.functions.cashMany
    arguments = ([((A, B, 30 * COIN), r, vs)], B)
    energy = await tron.get_estimated_energy(
        B, deployment.vault, method.function_signature, method._prepare_parameter(*arguments)
    )
    before = await token.functions.balanceOf(B)
    result = await sent((await method(*arguments)).with_owner(B).fee_limit(energy * 100), BOB)
    assert await result.result(interval=0.01) == 30 * COIN
    info = await result.wait(interval=0.01)
    assert 0 < info["receipt"]["energy_usage_total"] <= energy
    assert await token.functions.balanceOf(B) == before + 30 * COIN
    assert await vault.functions.balance(A) == 70 * COIN


# --- the blocking client ---------------------------------------------------------------------------------------------


def blocking_story(url: str) -> None:
    tron = Tron(HTTPProvider(url), conf=CONF)
    info = tron.trx.transfer(A, B, TRX).build().sign(key(ALICE)).broadcast().wait(interval=0.01)
    assert tron.get_transaction(info["id"])["ret"] == [{"contractRet": "SUCCESS"}]

    contract = Contract(name="Failing", bytecode=FAILING_BYTECODE, abi=FAILING_ABI)
    deployment = tron.trx.deploy_contract(A, contract).build().sign(key(ALICE)).broadcast().wait(interval=0.01)
    found = tron.get_contract(deployment["contract_address"])
    assert found.bytecode == FAILING_BYTECODE.hex()
    with pytest.raises(TvmError, match=REASON):
        found.functions.check()
    with pytest.raises(TvmError, match=REASON):
        found.functions.fail().with_owner(A).build().sign(key(ALICE)).broadcast().result(interval=0.01)

    parameters = {entry["key"]: entry.get("value", 0) for entry in tron.get_chain_parameters()}
    assert (parameters["getEnergyFee"], parameters["getTransactionFee"]) == (100, 1000)
    assert tron.get_node_info()["configNodeInfo"]["codeVersion"]
    assert tron.get_latest_block()["block_header"]["raw_data"]["timestamp"] <= time.time() * 1000 + 1000


async def test_the_blocking_client_can_do_the_same(bench: TronBench) -> None:
    await asyncio.to_thread(blocking_story, bench.url)
