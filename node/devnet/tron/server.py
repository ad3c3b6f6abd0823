"""A TRON devnet that is ready to use: chain, contracts, faucet and java-tron's door, started and closed together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from node.devnet.deployment import DEPLOYER, Deployment
from node.devnet.rail import RailServer, RailSettings
from node.devnet.thread import ChainThread
from node.devnet.tron.chain import TronChain
from node.devnet.tron.deployment import BTTOLD, DEPLOYER_SUN, deploy
from node.devnet.tron.development import methods
from node.devnet.tron.faucet import TronFaucet
from node.devnet.tron.http import TronHttp
from node.devnet.tron.settings import TronSettings
from wallet.address import Address

HEARTBEAT = 20_000
"""Milliseconds after which an empty block is due anyway: clients count a transaction's minute from the latest block."""
_DEFAULTS = TronSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class TronDevnetSettings(RailSettings):
    """`confirmations`: how far the solidified block is behind the latest one."""

    chain_id: int = _DEFAULTS.chain_id
    confirmations: int = _DEFAULTS.confirmations


class TronDevnetServer(RailServer[TronChain]):
    """`start` once, `close` once. One process at a time may use a `data_dir`."""

    DATABASE = "tron.db"

    def __init__(self, settings: TronDevnetSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def _open(self, database: Path | None) -> TronChain:
        settings = TronSettings(
            chain_id=self._settings.chain_id,
            confirmations=self._settings.confirmations,
            allocation={DEPLOYER: DEPLOYER_SUN},
            assets=[BTTOLD],
        )
        return TronChain(settings, database)

    def _deploy(self, chain: TronChain) -> Deployment:
        return deploy(chain, self._settings.periods, url="")

    def _application(self, chain: ChainThread[TronChain], deployment: Deployment) -> web.Application:
        return TronHttp(chain, methods(TronFaucet(Address.parse(deployment.token).raw))).application()

    def _tick(self, chain: TronChain) -> None:
        confirm(chain)


def confirm(chain: TronChain) -> None:
    """An empty block, unless every transaction is solidified and the head young, or the caller mines by hand."""
    unconfirmed = map(chain.block, range(chain.solid.number + 1, chain.head.number + 1))
    waits = any(block.transactions for block in unconfirmed if block is not None)
    if chain.automine and (waits or chain.now() - chain.head.timestamp > HEARTBEAT):
        chain.mine()
