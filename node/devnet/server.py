"""A devnet that is ready to use: chain, contracts, faucet and the Ethereum door, started and closed together."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from aiohttp import web

from node.devnet.chain import Chain, ChainSettings
from node.devnet.deployment import DEPLOYER, DEPLOYER_BALANCE, Deployment, deploy
from node.devnet.errors import ListenError, StorageError
from node.devnet.evm_rpc import EvmRpc
from node.devnet.faucet import Faucet
from node.devnet.thread import ChainThread
from wallet.address import Address

CONFIRMATIONS = 12
"""Empty blocks that follow the last transaction when `block_time` is set."""
DEPLOYMENT_FILE = "deployment.json"
_DATABASE_FILE = "chain.db"
_SHUTDOWN_SECONDS = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DevnetSettings:
    """`data_dir` None keeps the chain in memory. `port` 0 takes a free one.

    `block_time` in seconds: a transaction is mined at once, and then an empty block follows every so often until it has
    `CONFIRMATIONS` of them, so that it becomes final for those who wait; 0 mines no empty blocks.
    """

    data_dir: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    chain_id: int = 199
    notice_period: int = 86_400
    block_time: float = 1.0


class DevnetServer:
    """`start` once, `close` once. One process at a time may use a `data_dir`."""

    def __init__(self, settings: DevnetSettings) -> None:
        self._settings = settings
        self._chain: ChainThread[Chain] | None = None
        self._runner: web.AppRunner | None = None
        self._miner: asyncio.Task[None] | None = None
        self._deployment: Deployment | None = None

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
        settings = self._settings
        rules = ChainSettings(chain_id=settings.chain_id, allocation={DEPLOYER: DEPLOYER_BALANCE})
        database = self._database()
        self._chain = await ChainThread.open(lambda: Chain(rules, database))
        deployment = await self._chain.run(lambda chain: deploy(chain, settings.notice_period, url=""))
        faucet = Faucet(Address.parse(deployment.token).raw)
        rpc = EvmRpc(self._chain, faucet.methods())
        self._runner = web.AppRunner(rpc.application(), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        site = web.TCPSite(self._runner, settings.host, settings.port)
        try:
            await site.start()
        except OSError as error:
            reason = error.strerror or error
            raise ListenError(f"cannot listen on {settings.host} port {settings.port}: {reason}") from None
        self._deployment = replace(deployment, url=_url(settings.host, self._runner))
        if settings.data_dir is not None:
            try:
                self._deployment.write(settings.data_dir / DEPLOYMENT_FILE)
            except OSError as error:
                raise StorageError(f"cannot write {DEPLOYMENT_FILE} in {settings.data_dir}: {error.strerror}") from None
        if settings.block_time > 0:
            self._miner = asyncio.create_task(self._confirm(self._chain), name="devnet-miner")
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
        folder = self._settings.data_dir
        if folder is None:
            return None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make the folder {folder}: {error.strerror}") from None
        return folder / _DATABASE_FILE

    async def _confirm(self, thread: ChainThread[Chain]) -> None:
        while True:
            await asyncio.sleep(self._settings.block_time)
            try:
                await thread.run(confirm)
            except StorageError as error:
                log.error("devnet: no empty block: %s", error)


def confirm(chain: Chain) -> None:
    """An empty block, unless enough follow the last transaction already, or the caller mines by hand."""
    numbers = range(max(0, chain.head.number - CONFIRMATIONS + 1), chain.head.number + 1)
    if chain.automine and any(block.transactions for block in map(chain.block, numbers) if block is not None):
        chain.mine()


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
