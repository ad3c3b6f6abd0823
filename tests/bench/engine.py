"""Our engine as leecher against the PyPI wheel as leecher, from the same seeder process, in turns."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from node.engine.libtorrent import LibtorrentEngine
from node.ports.engine import AddTorrent, CreateTorrent, EngineSettings
from tests.bench.harness import Result, Row, in_turns, median_ratio

SIZE = 1 << 30
PAIRS = 5


def make_file(path: Path, size: int = SIZE) -> None:
    source = random.Random(1)
    with path.open("wb") as file:
        for _ in range(size >> 20):
            file.write(source.randbytes(1 << 20))


async def seed(folder: Path, torrent: bytes, ready: Callable[[int], None], stop: asyncio.Event) -> None:
    """A seeder on 127.0.0.1 until `stop`."""
    engine = LibtorrentEngine(
        EngineSettings(
            listen=("127.0.0.1:0",),
            dht=False,
            local_discovery=False,
            port_mapping=False,
            utp=False,
            encryption=False,
            several_connections_per_ip=True,
            hello=b"d1:vi1ee",
        )
    )
    await engine.start()
    await engine.add(AddTorrent(save_path=folder, torrent=torrent, seed_mode=True))
    ready(engine.listen_port)

    async def drain() -> None:
        async for _ in engine.events():
            pass

    reader = asyncio.create_task(drain())
    await stop.wait()
    await engine.close()
    await reader


SEEDER = """
import asyncio, sys
from pathlib import Path
from tests.bench.engine import seed
async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, stop.set)
    await seed(Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), lambda port: print(port, flush=True), stop)
asyncio.run(main())
"""


def run(tell: Callable[[str], None], pairs: int) -> Result:
    folder = Path(tempfile.mkdtemp(prefix="bttnode-bench-"))
    try:
        tell(f"  making {SIZE >> 20} MiB and its torrent")
        make_file(folder / "bench.bin")
        creator = LibtorrentEngine(EngineSettings(listen=()))
        torrent = folder / "bench.torrent"
        torrent.write_bytes(asyncio.run(creator.create(CreateTorrent(path=folder / "bench.bin", piece_length=1 << 20))))
        seeder = subprocess.Popen(
            [sys.executable, "-c", SEEDER, str(folder), str(torrent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert seeder.stdout is not None
        port = int(seeder.stdout.readline())
        cpu: dict[str, list[float]] = {"ours": [], "wheel": []}

        def side(engine: str) -> Callable[[], float]:
            def once() -> float:
                target = folder / engine
                shutil.rmtree(target, ignore_errors=True)
                target.mkdir()
                where = [str(torrent), str(target), "127.0.0.1", str(port)]
                done = subprocess.run(
                    [sys.executable, "-m", "tests.bench.leech", engine, *where],
                    capture_output=True,
                    text=True,
                    check=True,
                    timeout=300,
                )
                found = json.loads(done.stdout)
                cpu[engine].append(found["cpu"])
                return float(SIZE / 1e6 / found["seconds"])

            return once

        ours, wheel = in_turns([side("ours"), side("wheel")], pairs or PAIRS, tell)
        seeder.communicate()
        rows = [
            Row("ours", "MB/s", ours),
            Row("PyPI libtorrent 2.1.1", "MB/s", wheel),
            Row("ours, CPU of the leecher", "s", cpu["ours"][1:]),
            Row("PyPI, CPU of the leecher", "s", cpu["wheel"][1:]),
        ]
        return Result("engine", rows, median_ratio(ours, wheel), "ours / PyPI libtorrent throughput >= 0.95")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
