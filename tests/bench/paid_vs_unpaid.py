"""What paying costs: the same download, once paid by cheques and once for free, in turns.

Real processes: one seller, one payer, one that does not pay; a devnet for the vault. No upload limit, so that nothing
but the work itself decides. Time runs from the request to the API until the last piece is verified.
"""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.demo.processes import Node
from node.demo.run import Demo
from tests.bench.engine import SIZE, make_file
from tests.bench.harness import Result, Row, in_turns, median_ratio

PAIRS = 5
POLL = 0.02
TIMEOUT = 300.0


def call(node: Node, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    url = json.loads((node.home / "api.json").read_text())["url"]
    token = (node.home / "api-token").read_text().strip()
    request = urllib.request.Request(
        url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


class Stage(Demo):
    """The demo's cast without its story: no capacity limit, one download at a time."""

    def prepare(self) -> tuple[Node, Node, Node, str]:
        self._start_services()
        rails = ("bttc",)
        seeder = self._node("seeder", 2, rails, sell=True, buy=False)
        payer = self._node("payer", 3, rails, buy=True)
        free = self._node("free", 4, rails, buy=False)
        for node in (seeder, payer, free):
            node.up(self.folder)
            self.processes.append(node.running)
        payer.cli("vault", "deposit", "900000 BTT")
        torrent = self.folder / "bench.torrent"
        seeder.cli("create", str(self.file), "-o", str(torrent))
        seeder.cli("add", str(torrent), "--seed", "-o", str(self.file.parent))
        return seeder, payer, free, str(torrent)


def run(tell: Callable[[str], None], pairs: int) -> Result:
    from rich.console import Console  # only to satisfy the stage

    folder = Path(tempfile.mkdtemp(prefix="bttnode-bench-"))
    stage = Stage(folder / "bench.bin", folder, Console(quiet=True))
    try:
        tell(f"  making {SIZE >> 20} MiB, starting the processes")
        make_file(stage.file)
        seeder, payer, free, torrent = stage.prepare()
        data = base64.b64encode(Path(torrent).read_bytes()).decode()
        priced: list[int] = []

        def download(node: Node, max_price: int) -> Callable[[], float]:
            def once() -> float:
                body = {"torrent": data, "max_price": str(max_price), "peers": [["127.0.0.2", seeder.peer_port]]}
                started = time.monotonic()
                found = call(node, "POST", "/v1/torrents", body)
                name = found["id"]
                while found["state"] != "seeding":
                    if time.monotonic() - started > TIMEOUT:
                        raise RuntimeError(f"{node.name}: not complete after {TIMEOUT:g} s")
                    time.sleep(POLL)
                    found = call(node, "GET", f"/v1/torrents/{name}")
                seconds = time.monotonic() - started
                while not found["settled"]:
                    time.sleep(POLL)
                    found = call(node, "GET", f"/v1/torrents/{name}")
                if max_price:
                    priced.append(int(found["spent"]))
                call(node, "DELETE", f"/v1/torrents/{name}?files=1")
                return SIZE / 1e6 / seconds

            return once

        sides = [download(payer, 10**19), download(free, 0)]
        paid, unpaid = in_turns(sides, pairs or PAIRS, tell)
        accounts = call(seeder, "GET", "/v1/accounts")
        share = int(accounts[0]["metered"]) * 2**20 / (1953125000000000000 * SIZE * len(priced))
        rows = [Row("paid", "MB/s", paid), Row("unpaid", "MB/s", unpaid)]
        notes = [f"{share * 100:.2f} % of all bytes to the payer were priced"]
        return Result("paid-vs-unpaid", rows, median_ratio(paid, unpaid), "paid / unpaid >= 0.95, aim 0.98", notes)
    finally:
        stage.stop()
        shutil.rmtree(folder, ignore_errors=True)
