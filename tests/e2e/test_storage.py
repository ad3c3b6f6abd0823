"""Storage between real processes: stored with hosts found in the registry, and brought back without one of them."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

from config.paths import Paths
from config.settings import load_settings
from node.demo.processes import PASSWORD
from node.rails import open_rails
from tests.e2e.stage import Stage, StageNode, host_for, make_file, stage
from wallet import keystore
from wallet.chains.base import Call
from wallet.keys import PrivateKey

SIZE = 700_001
BTT = 10**18


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def cast(made: Stage, name: str, host: str, **settings: dict[str, str]) -> StageNode:
    """A node that knows the storage contracts."""
    known = ("token", "vault", "storage_market", "host_registry")
    rail = {key: json.dumps(made.chain[key]) for key in known} | {"endpoints": json.dumps([made.chain["url"]])}
    node = made.node(name, host, **{"rail.devnet-bttc": rail}, **settings)
    made.fund(node)
    return node


async def announce(node: StageNode, endpoint: str) -> None:
    """Put down collateral and a stake, and say where the host is."""
    paths = Paths(node.home)
    key = keystore.open_keystore(paths.keystore, PASSWORD).key()
    (rail,) = open_rails(load_settings(paths.config), paths)
    assert rail.market is not None
    assert rail.registry is not None
    deposit, stake = 1000 * BTT, (await rail.registry.check()).min_stake
    try:
        for call in (
            rail.market.calls.approve(deposit),
            rail.market.calls.deposit(deposit),
            rail.registry.calls.approve(stake),
            rail.registry.calls.register(stake, key.address, endpoint),
        ):
            await send(rail.chain, call, key)
    finally:
        await rail.chain.close()


async def send(chain: Any, call: Call, key: PrivateKey) -> None:
    fee = await chain.estimate(call, key.address)
    signed = chain.sign(await chain.prepare(call, key.address, await chain.next_nonce(key.address), fee), key)
    await chain.broadcast(signed)
    async with asyncio.timeout(30):
        while (receipt := await chain.receipt(signed.hash)) is None:  # noqa: ASYNC110 # a chain sends no event for it
            await asyncio.sleep(0.05)
    assert receipt.ok


def hosting(made: Stage, number: int, worker: str) -> StageNode:
    """A host with a volume, in the registry."""
    at = host_for(worker, 80 + number)
    listen = f"{at}:{free_port(at)}"
    node = cast(made, f"host{number}", at, storage={"host": "true", "listen": json.dumps([listen])})
    asyncio.run(announce(node, f"http://{listen}"))
    node.start()
    volume = node.home / "disk"
    volume.mkdir()
    node.call("POST", "/v1/host/volumes", {"path": str(volume), "quota": 1 << 30})
    return node


def test_what_three_hosts_keep_comes_back_from_two_of_them(tmp_path: Path, worker_id: str) -> None:
    data = make_file(tmp_path / "letters" / "first.bin", SIZE, 5)
    with stage(tmp_path) as made:
        hosts = [hosting(made, number, worker_id) for number in range(3)]
        for host in hosts:
            host.wait("/v1/host", lambda lines: "volume" not in json.dumps(lines[0]["why"]), "it sees its volume")
        renter = cast(made, "renter", host_for(worker_id, 79))
        renter.start()
        stored = renter.call("POST", "/v1/storage", {"path": str(tmp_path / "letters"), "k": 2, "n": 3, "days": 2})
        kept = renter.wait(f"/v1/storage/{stored['id']}", lambda each: each["stage"] == "kept", "stored", 100)
        assert kept["good"] == 3
        assert not list((renter.home / "renting" / "staging" / stored["id"]).iterdir())
        hosts[0].kill()
        said = renter.cli("restore", stored["id"], "-o", str(tmp_path / "back"))
        assert said.returncode == 0, said.stderr
        assert (tmp_path / "back" / "first.bin").read_bytes() == data
