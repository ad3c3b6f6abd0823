"""Our tracker and real aria2: two clients that know nothing but the announce URL find each other."""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import socket
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from node.bencode import decode, encode
from node.tracker.server import TrackerServer

PIECE = 16 * 1024
DATA = random.Random(3).randbytes(4 * PIECE + 321)
DEADLINE = 60.0
POLL = 0.05
QUIET = (
    "--no-conf",
    "--enable-dht=false",
    "--enable-dht6=false",
    "--bt-enable-lpd=false",
    "--enable-peer-exchange=false",
)


def info_dictionary() -> dict[str, object]:
    pieces = b"".join(hashlib.sha1(DATA[at : at + PIECE]).digest() for at in range(0, len(DATA), PIECE))  # noqa: S324 - BEP 3
    return {"length": len(DATA), "name": "f.bin", "piece length": PIECE, "pieces": pieces}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def aria2(torrent: Path, folder: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    arguments = [*QUIET, f"--listen-port={free_port()}", f"--dir={folder}", *options, str(torrent)]
    client = await asyncio.create_subprocess_exec("aria2c", *arguments, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
    try:
        yield client
    finally:
        if client.returncode is None:
            client.kill()
        await client.communicate()


async def scrape(session: aiohttp.ClientSession, announce: str, info_hash: bytes) -> dict[bytes, int]:
    url = announce.replace("/announce", f"/scrape?info_hash={quote(info_hash, safe='')}")
    async with session.get(URL(url, encoded=True)) as answer:
        found = decode(await answer.read())[b"files"].get(info_hash, {})
        assert isinstance(found, dict)
        return found


@pytest.mark.skipif(shutil.which("aria2c") is None, reason="aria2c is not installed: ./run test installs it")
async def test_two_aria2_find_each_other_through_our_tracker_alone(tmp_path: Path) -> None:
    info = info_dictionary()
    info_hash = hashlib.sha1(encode(info)).digest()  # noqa: S324 - BEP 3
    torrent, seeding, leeching = tmp_path / "f.torrent", tmp_path / "seed", tmp_path / "leech"
    seeding.mkdir()
    (seeding / "f.bin").write_bytes(DATA)
    server = TrackerServer(allowed=frozenset([info_hash]))
    await server.start()
    try:
        torrent.write_bytes(encode({"announce": server.url, "info": info}))
        async with (
            asyncio.timeout(DEADLINE),
            aiohttp.ClientSession() as session,
            aria2(torrent, seeding, "--seed-ratio=0.0", "--check-integrity=true"),
        ):
            while (await scrape(session, server.url, info_hash)).get(b"complete") != 1:  # noqa: ASYNC110 - asks over HTTP
                await asyncio.sleep(POLL)
            async with aria2(torrent, leeching, "--seed-time=0") as leecher:
                output, _ = await leecher.communicate()
                assert leecher.returncode == 0, output.decode(errors="replace")
            assert (leeching / "f.bin").read_bytes() == DATA
            # A client that does not go on to seed says only `stopped`, not `completed`.
            counts = await scrape(session, server.url, info_hash)
            assert counts == {b"complete": 1, b"downloaded": 0, b"incomplete": 0}
    finally:
        await server.close()
