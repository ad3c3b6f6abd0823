"""What both devnets share: a chain on its thread, contracts on the chain, a door in front of it, and ticking blocks.

`RailServer` starts and closes these together; a rail says which chain, which contracts and which door.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Generic

from aiohttp import web

from node.devnet.deployment import Deployment, Periods
from node.devnet.errors import ListenError, StorageError
from node.devnet.thread import C, ChainThread

DEPLOYMENT_FILE = "deployment.json"
_SHUTDOWN_SECONDS = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RailSettings:
    """`data_dir` None keeps the chain in memory. `port` 0 takes a free one.

    `block_time` in seconds: a transaction is mined at once, and then an empty block follows every so often until it is
    final for those who wait; 0 mines no empty blocks.
    """

    data_dir: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    notice_period: int = 86_400
    answer_period: int = 3_600
    block_time: float = 1.0

    @property
    def periods(self) -> Periods:
        return Periods(self.notice_period, self.answer_period)


class RailServer(ABC, Generic[C]):
    """`start` once, `close` once. One process at a time may use a `data_dir`."""

    DATABASE: ClassVar[str]
    """File of the chain in its `data_dir`."""

    def __init__(self, settings: RailSettings) -> None:
        self._common = settings
        self._chain: ChainThread[C] | None = None
        self._runner: web.AppRunner | None = None
        self._miner: asyncio.Task[None] | None = None
        self._deployment: Deployment | None = None

    @abstractmethod
    def _open(self, database: Path | None) -> C:
        """The chain; on its thread. Raises `DevnetError`."""

    @abstractmethod
    def _deploy(self, chain: C) -> Deployment:
        """Contracts on the chain, new or found; without the url. Raises `DevnetError`."""

    @abstractmethod
    def _application(self, chain: ChainThread[C], deployment: Deployment) -> web.Application:
        """The door."""

    @abstractmethod
    def _tick(self, chain: C) -> None:
        """Called every `block_time`: an empty block where one is due."""

    @property
    def deployment(self) -> Deployment:
        """Raises `RuntimeError` before `start`."""
        if self._deployment is None:
            raise RuntimeError("the devnet is not started")
        return self._deployment

    async def start(self) -> Deployment:
        """Open or make the chain, deploy, listen, and write `deployment.json`. Raises `DevnetError`."""
        try:
            return await self._start()
        except BaseException:
            await self.close()
            raise

    async def _start(self) -> Deployment:
        common, database = self._common, self._database()
        self._chain = await ChainThread.open(lambda: self._open(database))
        deployment = await self._chain.run(self._deploy)
        application = self._application(self._chain, deployment)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        site = web.TCPSite(self._runner, common.host, common.port)
        try:
            await site.start()
        except OSError as error:
            reason = error.strerror or error
            raise ListenError(f"cannot listen on {common.host} port {common.port}: {reason}") from None
        self._deployment = replace(deployment, url=_url(common.host, self._runner))
        if common.data_dir is not None:
            try:
                self._deployment.write(common.data_dir / DEPLOYMENT_FILE)
            except OSError as error:
                raise StorageError(f"cannot write {DEPLOYMENT_FILE} in {common.data_dir}: {error.strerror}") from None
        if common.block_time > 0:
            self._miner = asyncio.create_task(self._mine(self._chain), name="devnet-miner")
        return self._deployment

    async def close(self) -> None:
        """Stop listening, finish what is under way, close the chain. Idempotent."""
        miner, self._miner = self._miner, None
        if miner is not None:
            miner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await miner
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        chain, self._chain = self._chain, None
        if chain is not None:
            await chain.close()

    def _database(self) -> Path | None:
        folder = self._common.data_dir
        if folder is None:
            return None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make the folder {folder}: {error.strerror}") from None
        return folder / self.DATABASE

    async def _mine(self, thread: ChainThread[C]) -> None:
        while True:
            await asyncio.sleep(self._common.block_time)
            try:
                await thread.run(self._tick)
            except StorageError as error:
                log.error("devnet: no empty block: %s", error)


def _url(host: str, runner: web.AppRunner) -> str:
    """Where a client on this machine reaches the door: the port really taken, and no wildcard address."""
    port = runner.addresses[0][1]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://{address}:{port}" if address.version == 4 else f"http://[{address}]:{port}"
