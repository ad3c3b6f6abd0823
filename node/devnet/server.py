"""A BTTC devnet that is ready to use: chain, contracts, faucet and the Ethereum door, started and closed together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from node.devnet.chain import Chain, ChainSettings
from node.devnet.deployment import DEPLOYER, DEPLOYER_BALANCE, Deployment, deploy
from node.devnet.evm_rpc import EvmRpc
from node.devnet.faucet import Faucet
from node.devnet.rail import DEPLOYMENT_FILE, RailServer, RailSettings
from node.devnet.thread import ChainThread
from wallet.address import Address

CONFIRMATIONS = 12
"""Empty blocks that follow the last transaction when `block_time` is set."""

__all__ = ["CONFIRMATIONS", "DEPLOYMENT_FILE", "DevnetServer", "DevnetSettings", "confirm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DevnetSettings(RailSettings):
    """A transaction counts as final for those who wait once `CONFIRMATIONS` blocks follow it."""

    chain_id: int = 199


class DevnetServer(RailServer[Chain]):
    """`start` once, `close` once. One process at a time may use a `data_dir`."""

    DATABASE = "chain.db"

    def __init__(self, settings: DevnetSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def _open(self, database: Path | None) -> Chain:
        settings = ChainSettings(chain_id=self._settings.chain_id, allocation={DEPLOYER: DEPLOYER_BALANCE})
        return Chain(settings, database)

    def _deploy(self, chain: Chain) -> Deployment:
        return deploy(chain, self._settings.periods, url="")

    def _application(self, chain: ChainThread[Chain], deployment: Deployment) -> web.Application:
        faucet = Faucet(Address.parse(deployment.token).raw)
        return EvmRpc(chain, faucet.methods()).application()

    def _tick(self, chain: Chain) -> None:
        confirm(chain)


def confirm(chain: Chain) -> None:
    """An empty block, unless enough follow the last transaction already, or the caller mines by hand."""
    numbers = range(max(0, chain.head.number - CONFIRMATIONS + 1), chain.head.number + 1)
    if chain.automine and any(block.transactions for block in map(chain.block, numbers) if block is not None):
        chain.mine()
