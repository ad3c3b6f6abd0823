"""Hosting out of settings: the owner's terms, the disks, and one host for each rail that has a storage market."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from random import SystemRandom
from typing import Protocol

from config.errors import ConfigError
from config.paths import Paths
from config.settings import Settings, StorageSettings
from node.ports.clock import Clock
from node.ports.engine import Engine
from node.ports.storage import StorageStore
from node.rails import OpenRail
from node.services.budget import TorrentTerms
from node.services.escrow import Escrow
from node.services.host.contracts import Contracts
from node.services.host.host import Host
from node.services.host.hosting import Hosting
from node.services.host.market import ChainFees, ChainMarket
from node.services.host.presence import Presence
from node.services.host.terms import HostTerms
from node.services.payments import Payments
from node.services.settlement import Settlement
from node.volumes import DiskVolumes
from wallet.amount import MAX_AMOUNT, MAX_SIZE
from wallet.intents import OutboxStore
from wallet.keys import PrivateKey

NEVER_PAID = TorrentTerms(max_price=0)
"""A host fetches what it was asked to keep; it does not bid for it."""


class HostingStore(StorageStore, OutboxStore, Protocol):
    """What of the store hosts need."""


def host_terms(storage: StorageSettings) -> HostTerms:
    """The owner's terms as [storage] has them."""
    return HostTerms(
        storage_price=storage.price,
        upload_price=storage.upload_price,
        download_price=storage.download_price,
        collateral_percent=storage.collateral_percent,
        epoch_length=storage.epoch,
        min_epochs=storage.min_epochs,
        max_epochs=storage.max_epochs,
        max_collateral=MAX_AMOUNT if storage.max_collateral is None else storage.max_collateral,
        max_shard=storage.max_shard,
        per_renter=storage.per_renter or MAX_SIZE,
        max_contracts=storage.max_contracts,
    )


async def open_hosting(
    settings: Settings,
    paths: Paths,
    rails: Sequence[OpenRail],
    *,
    store: HostingStore,
    engine: Engine,
    payments: Payments,
    settlements: Mapping[str, Settlement],
    escrows: Mapping[str, Escrow],
    key: PrivateKey,
    clock: Clock,
) -> Hosting | None:
    """None where the settings do not want it. `escrows`: of every rail with a storage market.

    Raises `ConfigError`, `VolumeError`, `StoreError`.
    """
    if not settings.storage.host:
        return None
    markets = {rail.name: (rail, rail.market) for rail in rails if rail.market is not None}
    if not markets:
        raise ConfigError("[storage] host: no configured rail knows a storage market: set [rail.NAME] storage_market")
    volumes = DiskVolumes(paths.volumes, new_id=lambda: secrets.token_hex(4))
    terms = host_terms(settings.storage)
    hosts, presences = {}, {}
    for name, (rail, contract) in markets.items():
        host = Host(
            await Contracts.open(store, rail.rail.id, contract.address),
            terms,
            ChainMarket(contract, rail.chain),
            volumes=volumes,
            engine=engine,
            transactions=settlements[name],
            intents=store,
            fees=ChainFees(rail.chain, key.address, rail.fee_rate_per_unit),
            key=key,
            clock=clock,
            random=SystemRandom(),
        )
        host.intake.on_added = lambda torrent: payments.set_terms(torrent, NEVER_PAID)
        host.intake.on_removed = payments.torrent_removed
        settlements[name].also_book.append(host.claims.book)
        hosts[name] = host
        presences[name] = Presence(escrows[name], rail.registry, key.address)
    return Hosting(volumes, hosts, store, presences, volumes.close)
