"""The devnet as a whole: in this process, and as a process of its own that is killed at a bad moment."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from contracts.loader import load
from node.devnet import deployment
from node.devnet.deployment import Deployment, Periods, deploy
from node.devnet.errors import DevnetError, ListenError, StorageError
from node.devnet.server import CONFIRMATIONS, DEPLOYMENT_FILE, DevnetServer, DevnetSettings, confirm
from tests.unit.devnet.support import BOB, address, make_chain, pay

B = "0x" + address(BOB).hex()
ROOT = Path(__file__).parents[3]
DEADLINE = 30.0


async def ask(session: aiohttp.ClientSession, url: str, method: str, *parameters: object) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    async with session.post(url, json=body) as response:
        answer = await response.json()
    assert "error" not in answer, answer
    return answer["result"]


# --- in this process ------------------------------------------------------------------------------------------------


async def test_start_tells_where_things_are_and_writes_it_down(tmp_path: Path) -> None:
    server = DevnetServer(DevnetSettings(data_dir=tmp_path / "new" / "folder", block_time=0, notice_period=60))
    with pytest.raises(RuntimeError, match="not started"):
        _ = server.deployment
    deployment = await server.start()
    written = (tmp_path / "new" / "folder" / DEPLOYMENT_FILE).read_text()
    assert Deployment.from_json(written) == deployment == server.deployment
    assert (deployment.chain, deployment.chain_id, deployment.notice_period) == ("eip155:199", 199, 60)
    async with aiohttp.ClientSession() as session:
        contracts = (deployment.token, deployment.vault, deployment.storage_market, deployment.host_registry)
        for contract in contracts:
            assert len(await ask(session, deployment.url, "eth_getCode", contract)) > 1000
    await server.close()
    await server.close()


async def test_addresses_are_the_same_on_every_devnet(tmp_path: Path) -> None:
    found = []
    for chain_id in (199, 1029):
        server = DevnetServer(DevnetSettings(data_dir=tmp_path / str(chain_id), chain_id=chain_id, block_time=0))
        found.append(await server.start())
        await server.close()
    assert found[0].chain_id != found[1].chain_id
    first, second = ((made.token, made.vault, made.storage_market, made.host_registry, made.wbtt) for made in found)
    assert first == second


async def test_a_second_start_finds_the_contracts_and_keeps_their_terms(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as session:
        for seconds in (60, 3600):
            settings = DevnetSettings(data_dir=tmp_path, block_time=0, notice_period=seconds, answer_period=seconds)
            server = DevnetServer(settings)
            deployment = await server.start()
            assert (deployment.notice_period, deployment.answer_period) == (60, 60)
            assert await ask(session, deployment.url, "eth_blockNumber") == "0x5"
            await server.close()


async def test_one_folder_serves_one_devnet(tmp_path: Path) -> None:
    first = DevnetServer(DevnetSettings(data_dir=tmp_path, block_time=0))
    await first.start()
    with pytest.raises(StorageError, match="in use"):
        await DevnetServer(DevnetSettings(data_dir=tmp_path, block_time=0)).start()
    await first.close()


async def test_a_taken_port_is_one_clear_line() -> None:
    first = DevnetServer(DevnetSettings(block_time=0))
    port = int((await first.start()).url.rpartition(":")[2])
    with pytest.raises(ListenError, match=f"port {port}"):
        await DevnetServer(DevnetSettings(port=port, block_time=0)).start()
    await first.close()


async def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot make the folder"):
        await DevnetServer(DevnetSettings(data_dir=tmp_path / "file" / "folder")).start()


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("localhost", "localhost")])
async def test_the_url_is_one_a_client_here_can_use(host: str, shown: str) -> None:
    server = DevnetServer(DevnetSettings(host=host, block_time=0))
    deployment = await server.start()
    assert deployment.url.startswith(f"http://{shown}:")
    async with aiohttp.ClientSession() as session:
        assert await ask(session, deployment.url, "eth_chainId") == "0xc7"
    await server.close()


def test_empty_blocks_follow_a_transaction_until_it_is_final() -> None:
    chain = make_chain()
    confirm(chain)
    assert chain.head.number == 0
    pay(chain)
    for _ in range(3 * CONFIRMATIONS):
        confirm(chain)
    assert chain.head.number == 1 + CONFIRMATIONS
    chain.automine = False
    pay(chain)
    confirm(chain)
    assert chain.head.number == 1 + CONFIRMATIONS  # whoever mines by hand is not meddled with


async def test_a_transaction_becomes_final_by_itself() -> None:
    server = DevnetServer(DevnetSettings(block_time=0.001))
    deployment = await server.start()
    async with aiohttp.ClientSession() as session:
        *_, last = await ask(session, deployment.url, "bttnode_faucet", B)
        mined = int((await ask(session, deployment.url, "eth_getTransactionReceipt", last))["blockNumber"], 16)
        async with asyncio.timeout(DEADLINE):
            while int(await ask(session, deployment.url, "eth_blockNumber"), 16) < mined + CONFIRMATIONS:
                pass  # each question takes its time
    await server.close()


def test_another_version_of_the_contracts_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = make_chain()
    chain.set_balance(deployment.DEPLOYER, 10**24)
    deploy(chain, Periods(60), "")
    vault = load("ChequeVault")
    newer = replace(vault, bytecode=vault.bytecode[:-1] + bytes([vault.bytecode[-1] ^ 1]))
    monkeypatch.setattr(deployment, "load", lambda name: newer if name == "ChequeVault" else load(name))
    with pytest.raises(DevnetError, match="another version of ChequeVault"):
        deploy(chain, Periods(60), "")


# --- as a process ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def devnet_process(data_dir: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, Deployment]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "node.devnet", "--data-dir", str(data_dir), "--port", "0", "--block-time", "0"),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), DEADLINE)
        yield process, Deployment.from_json(line.decode())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_killed_in_the_middle_of_work_it_keeps_every_transaction_it_answered_for(tmp_path: Path) -> None:
    answered: list[str] = []
    enough = asyncio.Event()

    async def work(session: aiohttp.ClientSession, url: str) -> None:
        while True:
            answered.extend(await ask(session, url, "bttnode_faucet", B, "0x1", "0x1"))
            if len(answered) >= 20:
                enough.set()

    async with aiohttp.ClientSession() as session:
        async with devnet_process(tmp_path) as (process, deployment):
            worker = asyncio.create_task(work(session, deployment.url))
            await asyncio.wait_for(enough.wait(), DEADLINE)
            process.kill()
            with pytest.raises(aiohttp.ClientError):
                await worker

        async with devnet_process(tmp_path) as (process, deployment):
            for transaction in answered:
                assert (await ask(session, deployment.url, "eth_getTransactionReceipt", transaction))["status"] == "0x1"
            balance = int(await ask(session, deployment.url, "eth_getBalance", B), 16)
            assert len(answered) // 2 <= balance <= len(answered) // 2 + 1  # the gift under way may have got in
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), DEADLINE) == 0


def test_errors_are_one_line_and_a_failing_status(tmp_path: Path) -> None:
    (tmp_path / "chain.db").write_bytes(b"not a database" * 1000)
    for arguments, complaint in ((["--data-dir", str(tmp_path)], "damaged"), (["--port", "99999"], "0 to 65535")):
        done = subprocess.run(
            [sys.executable, "-m", "node.devnet", *arguments],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            cwd=ROOT,
        )
        assert done.returncode != 0
        assert complaint in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_help_names_what_the_ready_line_holds() -> None:
    done = subprocess.run([sys.executable, "-m", "node.devnet", "--help"], capture_output=True, text=True, cwd=ROOT)
    named = set(done.stdout.replace(",", " ").split())
    assert {"url", "chain_id", "token", "vault", "deployer"} <= named & {field.name for field in fields(Deployment)}


def test_a_chain_from_before_a_contract_is_refused_and_left_alone() -> None:
    chain = make_chain()
    chain.set_balance(deployment.DEPLOYER, 10**24)
    for _ in range(4):
        deployment.send(chain, bytes(20), b"", gas=21_000)
    head = chain.head.number
    with pytest.raises(DevnetError, match="older than TestBTT"):
        deploy(chain, Periods(60), "")
    assert chain.head.number == head
