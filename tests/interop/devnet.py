"""A client program's story on a devnet of its own, told once and judged by many tests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import contracts
from node.devnet.server import DevnetServer, DevnetSettings
from tests.interop.node import output

COIN = 10**18
ARTIFACTS = Path(contracts.__file__).parent / "artifacts"
KEYS = tuple(f"0x{byte * 32}" for byte in ("a1", "b0", "c2"))
"""Private keys; the story funds the first."""


@asynccontextmanager
async def devnet() -> AsyncIterator[dict[str, Any]]:
    """What a client program needs to know of a fresh devnet, JSON-ready."""
    server = DevnetServer(DevnetSettings(block_time=0))
    deployment = await server.start()
    try:
        yield {**asdict(deployment), "keys": KEYS, "artifacts": str(ARTIFACTS)}
    finally:
        await server.close()


async def told(*command: str | Path, **environment: str) -> dict[str, Any]:
    """What the program saw. It finds the devnet in the environment, and ends with one line of JSON."""
    async with devnet() as given:
        printed = await output(*command, DEVNET=json.dumps(given), **environment)
    facts: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return facts
