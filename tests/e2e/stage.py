"""Real nodes on loopback for end-to-end tests: a devnet, a seller, a payer, each a process that can be killed.

Key files are made with a cheap scrypt so that a restart costs little. Waiting means asking the node's API until a
condition holds, with a deadline; nothing here sleeps for a fixed time and hopes.
"""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from config.settings import sample
from node.demo.processes import PASSWORD, Process
from wallet import keystore
from wallet.amount import parse_price

PRICE = parse_price("2000 BTT/GiB")
DEADLINE = 60.0
POLL = 0.02
NO_CHAIN = {"url": "http://127.0.0.1:1", "token": "0x" + "11" * 20, "vault": "0x" + "22" * 20}
"""Nothing listens on port 1."""


class StageNode:
    """One node: `start`, `kill`, `stop`, and its API."""

    def __init__(self, name: str, home: Path, host: str, logs: Path, settings: dict[str, dict[str, str]]) -> None:
        self.name = name
        self.home = home
        self.host = host
        self.logs = logs
        self.starts = 0
        self.process: Process | None = None
        home.mkdir(parents=True)
        secret = keystore.Secret(private_key=random.Random(name).randbytes(32))
        self.address = keystore.create(home / "keystore.json", secret, PASSWORD, scrypt_n=2**4).evm
        private = {
            "listen": json.dumps([f"{host}:0"]),
            "outgoing": json.dumps(host),
            **dict.fromkeys(("dht", "local_discovery", "port_mapping", "utp"), "false"),
        }
        merged = {"node": private, "api": {"port": "0"}, "settlement": {"auto": "false"}}
        for section, values in settings.items():
            merged[section] = {**merged.get(section, {}), **values}
        (home / "config.toml").write_text(sample(merged))

    def start(self) -> None:
        self.starts += 1
        arguments = ["node.cli", "--home", str(self.home), "--json", "up"]
        self.process = Process.start(f"{self.name}-{self.starts}", arguments, self.logs)

    def kill(self) -> None:
        """SIGKILL: no chance to save anything."""
        assert self.process is not None
        self.process.kill()

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()

    @property
    def peer(self) -> list[Any]:
        assert self.process is not None
        return [self.host, int(self.process.ready["port"])]

    def cli(self, *arguments: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
        """Run a command as a user would; never raises."""
        return subprocess.run(
            [sys.executable, "-m", "node.cli", "--home", str(self.home), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
            env={**os.environ, "BTTNODE_PASSWORD": password},
        )

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str = "") -> Any:
        """`key`: that a repetition is the same request."""
        assert self.process is not None
        token = (self.home / "api-token").read_text().strip()
        request = urllib.request.Request(
            self.process.ready["api"] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                **({"Idempotency-Key": key} if key else {}),
            },
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def add(self, torrent: bytes, **body: Any) -> Any:
        return self.call("POST", "/v1/torrents", {"torrent": base64.b64encode(torrent).decode(), **body})

    def account(self, role: str) -> dict[str, int]:
        """The one account with this role, or zeros."""
        names = ("metered", "cheques", "cashed", "acknowledged")
        for row in self.get("/v1/accounts"):
            if row["role"] == role:
                return {name: int(row[name]) for name in names}
        return dict.fromkeys(names, 0)

    def wait(self, path: str, condition: Callable[[Any], bool], what: str, deadline: float = DEADLINE) -> Any:
        """The first answer that meets the condition."""
        end = time.monotonic() + deadline
        while True:
            found = self.get(path)
            if condition(found):
                return found
            assert time.monotonic() < end, f"{self.name}: {what}: not within {deadline:g} s; last: {found}"
            time.sleep(POLL)


class Stage:
    """The processes of one test. `block_time`: seconds between the empty blocks that make a transaction final."""

    def __init__(self, folder: Path, rail: str = "bttc", block_time: float = 1.0) -> None:
        self.folder = folder
        self.rail = rail
        self.block_time = block_time
        self.nodes: list[StageNode] = []
        self.devnet: Process | None = None

    def start_chain(self, port: int = 0) -> None:
        arguments = ["node.devnet", "--rail", self.rail, "--data-dir", str(self.folder / "devnet"), "--port", str(port)]
        arguments += ["--block-time", str(self.block_time)]
        self.devnet = Process.start("devnet", arguments, self.folder)

    def kill_chain(self) -> None:
        """SIGKILL; `restart_chain` starts it again with all it had, where it was."""
        assert self.devnet is not None
        self.devnet.kill()

    def restart_chain(self) -> None:
        self.start_chain(int(self.chain["url"].rpartition(":")[2]))

    @property
    def chain(self) -> dict[str, Any]:
        assert self.devnet is not None
        return self.devnet.ready

    def node(self, name: str, host: str, **settings: dict[str, str]) -> StageNode:
        chain = NO_CHAIN if self.devnet is None else self.chain
        known = ("token", "vault", "storage_market", "host_registry")
        network = {key: json.dumps(chain[key]) for key in known if key in chain}
        network["endpoints"] = json.dumps([chain["url"]])
        node = StageNode(name, self.folder / name, host, self.folder, {f"rail.devnet-{self.rail}": network, **settings})
        self.nodes.append(node)
        return node

    def rpc(self, method: str, *params: Any) -> Any:
        """JSON-RPC; of a TRON devnet its chain of EVM calls only."""
        found = self._post("", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        assert "error" not in found, found
        return found["result"]

    def fund(self, node: StageNode) -> None:
        if self.rail == "tron":
            self._post("/devnet/faucet", {"address": node.address})
        else:
            self.rpc("bttnode_faucet", node.address)

    def warp(self, seconds: int) -> None:
        """The chain's clock goes forward, and with it everything that follows contracts."""
        if self.rail == "tron":
            self._post("/devnet/time", {"seconds": seconds})
            self._post("/devnet/mine", {})
        else:
            self.rpc("evm_increaseTime", seconds)
            self.rpc("evm_mine")

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self.chain["url"] + path, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def close(self) -> None:
        for node in self.nodes:
            node.stop()
        if self.devnet is not None:
            self.devnet.stop()


@contextmanager
def stage(folder: Path, *, chain: bool = True, rail: str = "bttc", block_time: float = 1.0) -> Iterator[Stage]:
    """A stage, with a running chain unless told otherwise; everything is stopped at the end, whatever happened."""
    made = Stage(folder, rail, block_time)
    try:
        if chain:
            made.start_chain()
        yield made
    finally:
        made.close()


def make_file(path: Path, size: int, seed: int) -> bytes:
    data = random.Random(seed).randbytes(size)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return data


def host_for(worker: str, number: int) -> str:
    """A loopback address of its own for each test worker and node: peers of one swarm must not share one."""
    index = int(worker.removeprefix("gw") or 0) if worker.startswith("gw") else 0
    return f"127.0.{100 + index}.{number}"
