"""Renting storage out of settings: one market for each rail that knows a `StorageMarket` and a `HostRegistry`."""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import SystemRandom
from typing import Protocol

from config.paths import Paths
from config.settings import Settings
from node.peerapi.client import HttpPeerApi
from node.ports.clock import Clock
from node.ports.engine import Engine
from node.ports.renting import RenterStore
from node.rails import OpenRail
from node.services.renter.chainmarket import ChainMarket
from node.services.renter.discovery import Registry, RegistryDiscovery
from node.services.renter.keeper import Renter
from node.services.renter.policy import Policy
from node.services.renter.renting import Renting
from node.services.renter.spending import StorageLimits
from node.services.renter.transfer import EngineCarrier
from node.services.settlement import Settlement
from node.storage.messages import MAX_PEERS
from node.storage.sealing import wrapping_key
from wallet.amount import MAX_AMOUNT
from wallet.intents import OutboxStore
from wallet.keys import PrivateKey

DEVELOPMENT = Policy(lead=120, margin=30, retry=2, avoid=60, patience=2, stalled=20.0)
"""On networks for development all hosts are near, and people want to see something happen."""


class RentingStore(RenterStore, OutboxStore, Protocol):
    """What of the store a renter needs."""


def engine_addresses(settings: Settings, port: int) -> list[str]:
    """Where others reach the engine, "IP:port" each: as the settings say, else where it listens, if that is one."""
    listening = [address.rpartition(":")[0].strip("[]") for address in settings.node.listen]
    hosts = settings.storage.reachable_at or listening
    found = []
    for host in hosts:
        with contextlib.suppress(ValueError):  # [node] listen may have names
            address = ipaddress.ip_address(host)
            if not address.is_unspecified:
                found.append(f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}")
    return list(dict.fromkeys(found))[:MAX_PEERS]


def open_renting(
    settings: Settings,
    paths: Paths,
    rails: Sequence[OpenRail],
    *,
    store: RentingStore,
    engine: Engine,
    settlements: Mapping[str, Settlement],
    key: PrivateKey,
    secret: bytes,
    clock: Clock,
    machine: Clock,
) -> Renting | None:
    """None where no rail knows a market and its hosts. `secret`: of `wallet.keystore.Secret.storage_secret`; `clock`:
    by which contracts run, `machine`: by which requests between nodes expire."""
    markets, registries = {}, {}
    for rail in rails:
        if rail.market is not None and rail.registry is not None:
            markets[rail.name] = ChainMarket(
                rail.market, rail.chain, settlements[rail.name], store, key.address, since=rail.storage_since
            )
            registries[rail.name] = Registry(rail.registry, rail.chain, since=rail.storage_since)
    if not markets:
        return None
    bond = settings.storage.max_bond
    local = any(rail.network.kind == "dev" for rail in rails)
    api = HttpPeerApi(key, machine, nonce=secrets.token_bytes, local=local)
    carrier = EngineCarrier(engine, lambda: engine_addresses(settings, engine.listen_port))
    renter = Renter(
        base=paths.renting,
        markets=markets,
        discovery=RegistryDiscovery(registries, key.address, local=local),
        api=api,
        carrier=carrier,
        store=store,
        key=key,
        wrapping=wrapping_key(secret),
        clock=clock,
        policy=replace(
            DEVELOPMENT if local else Policy(),
            max_bond=MAX_AMOUNT if bond is None else bond,
            hand_over=settings.storage.hand_over,
        ),
        limits=StorageLimits(settings.storage.spend_per_day, settings.storage.spend_total, rails[0].rail.token),
        nonce=secrets.token_bytes,
        uniform=SystemRandom().randint,
    )
    return Renting(renter, carrier, api.close)
