"""The TRON devnet as a whole: one start, the same contracts when it is opened again, a line that says where."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from eth_abi.abi import encode

from contracts.loader import Artifact, load
from node.devnet.deployment import Deployment, Periods
from node.devnet.errors import DevnetError, ListenError, StorageError
from node.devnet.rail import DEPLOYMENT_FILE
from node.devnet.tron import deployment as tron_deployment
from node.devnet.tron.deployment import deploy, send
from node.devnet.tron.server import HEARTBEAT, TronDevnetServer, TronDevnetSettings, confirm
from tests.unit.devnet_tron.door.support import BOB, Clock, make_chain

ROOT = Path(__file__).parents[4]
DEADLINE = 60
PAYMENT = {"to_address": BOB.address.tron_hex, "amount": 5}


async def ask(url: str, path: str, **parameters: object) -> Any:
    async with aiohttp.ClientSession() as session, session.post(f"{url}/{path}", json=parameters) as answer:
        return await answer.json()


async def test_a_start_says_where_things_are_and_writes_it_down(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    server = TronDevnetServer(TronDevnetSettings(data_dir=folder, block_time=0, notice_period=77, chain_id=0xCD8690DC))
    deployment = await server.start()
    try:
        assert Deployment.from_json((folder / DEPLOYMENT_FILE).read_text()) == deployment == server.deployment
        assert (deployment.chain, deployment.chain_id) == ("tron:0xcd8690dc", 0xCD8690DC)
        assert deployment.notice_period == 77
        contract = await ask(deployment.url, "wallet/getcontract", value=deployment.vault, visible=True)
        assert (contract["name"], contract["contract_address"]) == ("ChequeVault", deployment.vault)
    finally:
        await server.close()


async def test_opened_again_it_has_the_same_contracts_coins_and_period(tmp_path: Path) -> None:
    async def run(notice_period: int) -> tuple[Deployment, Any]:
        server = TronDevnetServer(TronDevnetSettings(data_dir=tmp_path, block_time=0, notice_period=notice_period))
        deployment = await server.start()
        if notice_period == 60:
            await ask(deployment.url, "devnet/faucet", address=BOB.address.tron, asset=3)
        account = await ask(deployment.url, "wallet/getaccount", address=BOB.address.tron_hex)
        await server.close()
        return deployment, account

    first, account = await run(60)
    again, same = await run(99)
    assert (again.token, again.vault, again.notice_period) == (first.token, first.vault, 60)
    assert same == account


async def test_what_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    first = TronDevnetServer(TronDevnetSettings(data_dir=tmp_path, block_time=0))
    port = int((await first.start()).url.rpartition(":")[2])
    with pytest.raises(StorageError):
        await TronDevnetServer(TronDevnetSettings(data_dir=tmp_path, block_time=0)).start()
    with pytest.raises(ListenError):
        await TronDevnetServer(TronDevnetSettings(port=port, block_time=0)).start()
    await first.close()
    await first.close()
    with pytest.raises(StorageError):  # a chain keeps its id
        await TronDevnetServer(TronDevnetSettings(data_dir=tmp_path, block_time=0, chain_id=1)).start()


def test_a_half_done_deployment_is_taken_up_again() -> None:
    chain = make_chain()
    token = tron_deployment._create(chain, "TestBTT", encode(["string", "string"], ["", ""]))
    assert deploy(chain, Periods(60), "").token == deploy(chain, Periods(60), "").token
    assert chain.contract(token) is not None
    assert chain.head.number == 4
    chain.close()


def test_a_chain_from_before_a_contract_is_refused_and_left_alone() -> None:
    chain = make_chain()
    for _ in range(16):
        chain.mine()
    with pytest.raises(DevnetError, match="older than TestBTT"):
        deploy(chain, Periods(60), "")
    assert chain.head.number == 16
    chain.close()


def test_contracts_of_another_version_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = make_chain()
    deploy(chain, Periods(60), "")
    vault = load("ChequeVault")
    newer = Artifact("ChequeVault", vault.abi, vault.bytecode[:-1] + b"\xff", b"", {}, {})
    monkeypatch.setattr(tron_deployment, "load", lambda name: newer if name == "ChequeVault" else load(name))
    with pytest.raises(DevnetError, match="another version of ChequeVault"):
        deploy(chain, Periods(60), "")
    chain.close()


def test_empty_blocks_follow_until_everything_is_solidified_and_keep_the_head_young() -> None:
    chain = make_chain()
    clock = chain._clock
    assert isinstance(clock, Clock)
    send(chain, "TransferContract", PAYMENT)
    for expected in (2, 2):
        confirm(chain)
        assert chain.head.number == expected
    clock.now = chain.head.timestamp + HEARTBEAT
    confirm(chain)
    assert chain.head.number == 2
    clock.now += 1
    confirm(chain)
    assert chain.head.number == 3
    chain.automine = False
    clock.now += 2 * HEARTBEAT
    confirm(chain)
    assert chain.head.number == 3  # who mines by hand decides
    chain.close()


async def test_a_transaction_becomes_final_by_itself() -> None:
    server = TronDevnetServer(TronDevnetSettings(block_time=0.01))
    url = (await server.start()).url
    try:
        given = await ask(url, "devnet/faucet", address=BOB.address.tron, token=0)
        async with asyncio.timeout(DEADLINE):
            while not await ask(url, "walletsolidity/gettransactioninfobyid", value=given["transactions"][0]):
                pass  # until the miner's next block
    finally:
        await server.close()


async def test_as_a_process_it_prints_one_line_and_survives_being_killed(tmp_path: Path) -> None:
    async def started() -> tuple[asyncio.subprocess.Process, Deployment]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "node.devnet", "--rail", "tron", "--data-dir", str(tmp_path), "--port", "0"),
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), DEADLINE)
        return process, Deployment.from_json(line.decode())

    process, first = await started()
    await ask(first.url, "devnet/faucet", address=BOB.address.tron, native=12)
    process.kill()
    await process.wait()
    process, again = await started()
    try:
        assert (again.token, again.vault) == (first.token, first.vault)
        assert (await ask(again.url, "wallet/getaccount", address=BOB.address.tron_hex))["balance"] == 12
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), DEADLINE) == 0
        assert json.loads((tmp_path / DEPLOYMENT_FILE).read_text())["chain"] == "tron:0x6274746e"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
