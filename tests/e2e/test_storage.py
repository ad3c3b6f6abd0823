"""Storage between real processes: stored with hosts found in the registry, and brought back without one of them."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.stage import Stage, StageNode, host_for, make_file, stage

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


def hosting(made: Stage, number: int, worker: str) -> StageNode:
    """A host with a volume, in the registry."""
    at = host_for(worker, 80 + number)
    listen = f"{at}:{free_port(at)}"
    node = cast(made, f"host{number}", at, storage={"host": "true", "listen": json.dumps([listen])})
    node.start()
    node.call("POST", "/v1/host/deposit", {"amount": str(1000 * BTT)})
    node.call("POST", "/v1/host/announce", {"url": f"http://{listen}"})
    volume = node.home / "disk"
    volume.mkdir()
    node.call("POST", "/v1/host/volumes", {"path": str(volume), "quota": 1 << 30})
    return node


def test_what_three_hosts_keep_comes_back_from_two_of_them(tmp_path: Path, worker_id: str) -> None:
    data = make_file(tmp_path / "letters" / "first.bin", SIZE, 5)
    with stage(tmp_path) as made:
        with ThreadPoolExecutor() as together:  # each waits for its own receipts
            hosts = list(together.map(lambda number: hosting(made, number, worker_id), range(3)))
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
