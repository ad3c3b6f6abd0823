"""Programs of the npm project beside this module: scripts run by Node.js, and Foundry's binaries.

`./run test` has installed them; where they are missing, the tests fail.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

NPM = Path(__file__).parent / "npm"
ANVIL, CAST = (
    NPM / "node_modules" / "@foundry-rs" / f"{tool}-linux-amd64" / "bin" / tool for tool in ("anvil", "cast")
)
HARDHAT = NPM / "node_modules" / "hardhat" / "internal" / "cli" / "bootstrap.js"
DEADLINE = 60.0
"""Seconds for one program; all of them end in a few."""


async def output(*command: str | Path, **environment: str) -> str:
    """What a program prints, run in the npm project's folder. It must end well, in time."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=NPM,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{command[0]}: exit {process.returncode}\n{out.decode()}\n{err.decode()}"
    return out.decode()


@asynccontextmanager
async def anvil(*options: str) -> AsyncIterator[str]:
    """Foundry's node on a port of its own; yields its URL as soon as it listens."""
    process = await asyncio.create_subprocess_exec(
        ANVIL, "--host", "127.0.0.1", "--port", "0", *options, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(DEADLINE):
            url = await _listening(process)
        drain = asyncio.create_task(_drain(process))  # a full pipe would stop it
        try:
            yield url
        finally:
            drain.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _listening(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async for line in process.stdout:
        if line.startswith(b"Listening on "):
            return f"http://{line.split()[-1].decode()}"
    raise AssertionError(f"anvil ended with {await process.wait()} before it listened")


async def _drain(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    while await process.stdout.read(65_536):
        pass
