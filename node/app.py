"""The composition root: settings in, a running node out. The only place where parts meet their adapters."""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import signal
import sys
from collections.abc import Callable, Collection

from config.paths import Paths
from config.settings import Settings
from node.daemon import Daemon, SystemClock
from node.engine.libtorrent import LibtorrentEngine
from node.hosting import open_hosting
from node.http.api import Api
from node.http.hostapi import HostApi
from node.http.peers import PeerListener, PeerServer
from node.http.server import ApiServer, load_token
from node.ports.engine import EngineSettings
from node.ports.volumes import VolumeFaultError
from node.rails import open_rails, transfer_limits
from node.renting import engine_addresses, open_renting
from node.services.billing import Billing
from node.services.btfs import Btfs
from node.services.budget import Budget, TorrentTerms
from node.services.chaintime import ChainTime
from node.services.earnings import Earnings
from node.services.escrow import Escrow
from node.services.line import Line
from node.services.market import Market, MarketSettings
from node.services.notices import Watcher
from node.services.payments import Payments, PaymentSettings
from node.services.reputation import Reputations
from node.services.settlement import Settlement, SettlementSettings
from node.services.storagebooks import StorageBooks
from node.services.storagecheck import StorageContracts, report
from node.services.torrents import Torrents
from node.services.vault import VaultView
from node.services.wallet import Purse, Wallet
from node.speed.allocation import FreeShare
from node.speed.capacity import CapacityPolicy
from node.speed.credit import CreditPolicy
from node.speed.messages import VERSION, Hello
from node.store import open_store
from wallet.keys import PrivateKey
from wallet.limits import SpendLimits

log = logging.getLogger(__name__)

SAFE_RECURSION = 2000


def engine_settings(settings: Settings, rails: Collection[str]) -> EngineSettings:
    """The engine's slice of the settings."""
    node, speed = settings.node, settings.speed
    return EngineSettings(
        listen=node.listen,
        outgoing_interface=node.outgoing,
        upload_limit=CapacityPolicy().start if node.upload_limit is None else node.upload_limit,
        download_limit=node.download_limit,
        unchoke_slots=node.upload_slots,
        max_connections=node.max_connections,
        dht=node.dht,
        local_discovery=node.local_discovery,
        port_mapping=node.port_mapping,
        utp=node.utp,
        pex=node.pex,
        encryption=node.encryption,
        several_connections_per_ip=not node.one_connection_per_ip,
        hello=Hello(VERSION, tuple(rails)).encode() if speed.sell or speed.buy else b"",
    )


async def build(settings: Settings, paths: Paths, key: PrivateKey, *, secret: bytes | None = None) -> Daemon:
    """A node that is not started yet. Raises `ConfigError`, `StoreError`.

    `secret`: what keys of stored objects come from (`wallet.keystore.Secret.storage_secret`); None: the key's own.
    """
    rails = open_rails(settings, paths)
    limits = transfer_limits(settings, rails)
    chains = {rail.rail.id: rail.chain for rail in rails}
    speed = settings.speed
    clock = SystemClock()
    contract_clock = ChainTime(clock, [rail.chain for rail in rails if rail.network.kind == "dev"])
    store = await open_store(paths.database, paths.highwater)
    engine = LibtorrentEngine(engine_settings(settings, chains))
    reputations = await Reputations.open(store, wall=clock.wall)
    vault = VaultView(chains, store=store, own=key.address, now=clock.now, bounces=reputations.bounces)
    caps = SpendLimits(None, speed.per_torrent, speed.per_day, speed.total, rails[0].rail.token)
    budget = Budget(caps, store=store, vault=vault, clock=clock)
    payments = Payments(
        PaymentSettings(
            rails={rail.rail.id: rail.rail for rail in rails},
            sell=speed.sell,
            buy=speed.buy,
            reserve=speed.reserve_price,
            max_price=speed.max_price,
            credit=CreditPolicy(newcomer=speed.newcomer_credit, quantum=speed.quantum, cap=speed.credit_cap),
            stall_timeout=speed.stall_timeout,
            strategy=speed.strategy,
            download_limit=settings.node.download_limit,
        ),
        engine=engine,
        store=store,
        vault=vault,
        budget=budget,
        reputations=reputations,
        key=key,
        clock=clock,
        nonce=secrets.token_bytes,
    )
    torrents = Torrents(engine, store, clock)
    settlements = {
        rail.name: Settlement(
            SettlementSettings(
                auto=settings.settlement.auto,
                fee_permille=settings.settlement.fee_permille,
                fee_rate=rail.fee_rate_per_unit,
            ),
            store=store,
            intents=store,
            chain=rail.chain,
            key=key,
            wall=clock.wall,
            on_done=vault.refresh_soon,
        )
        for rail in rails
    }
    watchers = {
        rail.rail.id: Watcher(rail.chain, store=store, vault=vault, settlement=settlements[rail.name], own=key.address)
        for rail in rails
    }
    earnings = Earnings(store, own=key.address, watchers=watchers)
    storage_books = tuple(
        StorageBooks(
            rail.market, rail.chain, store=store, own=key.address, since=rail.storage_since, wall=contract_clock.wall
        )
        for rail in rails
        if rail.market is not None
    )
    escrows = {
        rail.name: Escrow(
            rail.market, rail.registry, settlements[rail.name], store=store, own=key.address, rail=rail.rail.id
        )
        for rail in rails
        if rail.market is not None
    }
    purses = {
        rail.name: Purse(
            rail.name,
            rail.network.label,
            rail.chain,
            rail.holdings(key.address),
            settlements[rail.name],
            rail.network.link,
        )
        for rail in rails
    }
    market = Market(
        MarketSettings(
            sell=speed.sell,
            reserve=speed.reserve_price,
            rule=speed.auction,
            free=FreeShare(permille=speed.free_percent * 10),
        ),
        engine=engine,
        carrier=payments.carrier,
        trades=payments.trades,
        clock=clock,
        line=Line(settings.node.upload_limit, engine=engine, clock=clock, download_limit=settings.node.download_limit),
    )
    wallet = Wallet(purses, own=key.address, history=store, limits=limits, cheque_limits=caps, clock=clock)
    btfs = {
        rail.name: Btfs(
            rail.btfs,
            await store.btfs_cheques(rail.rail.id),
            chain=rail.chain,
            assets=rail.assets,
            key=key,
            store=store,
            intents=store,
            settlement=settlements[rail.name],
            budget=budget,
            wallet=wallet,
            clock=clock,
        )
        for rail in rails
        if rail.btfs is not None
    }
    billing = Billing(
        engine, store, payments.trades, budget, payments.undelivered, clock, default_price=payments.settings.max_price
    )
    daemon = Daemon(
        engine,
        store,
        vault,
        torrents,
        payments,
        market,
        settlements,
        tuple(watchers.values()),
        earnings,
        reputations,
        wallet,
        billing,
        btfs,
        await open_hosting(
            settings,
            paths,
            rails,
            store=store,
            engine=engine,
            payments=payments,
            settlements=settlements,
            escrows=escrows,
            key=key,
            clock=contract_clock,
        ),
        open_renting(
            settings,
            paths,
            rails,
            store=store,
            engine=engine,
            settlements=settlements,
            key=key,
            secret=key.secret if secret is None else secret,
            clock=contract_clock,
            machine=clock,
        ),
        contract_clock,
        escrows,
        storage_books,
        lambda tell: report([StorageContracts(rail.name, rail.market, rail.registry) for rail in rails], tell),
    )
    reputations.on_barred = payments.barred
    for settlement in settlements.values():
        settlement.on_booked.append(reputations.judge)
    if daemon.hosting is not None:
        daemon.hosting.report_faults(lambda text: daemon.fault(VolumeFaultError(text)))
    payments.report_faults(daemon.fault)
    vault.on_change = payments.coverage_changed
    torrents.on_added = lambda record: payments.set_terms(record.id, TorrentTerms.of(record))
    torrents.on_removed = payments.torrent_removed
    return daemon


async def _serve(
    settings: Settings, paths: Paths, key: PrivateKey, ready: Callable[[str, int], None], secret: bytes | None
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    daemon = await build(settings, paths, key, secret=secret)
    downloads = paths.downloads if not settings.node.downloads else paths.home / settings.node.downloads
    api = Api(daemon, downloads=downloads, stop=stopping.set)
    server = ApiServer(
        api.application(load_token(paths.token)),
        host=settings.api.host,
        port=settings.api.port,
        api_file=paths.api,
    )
    peers = None
    if daemon.hosting is not None:
        routes = HostApi(
            list(daemon.hosting.hosts.values()), lambda: engine_addresses(settings, daemon.engine.listen_port)
        ).routes()
        peers = PeerListener(PeerServer(routes, key, SystemClock()).application(), settings.storage.listen)
    try:
        await daemon.start()
        if peers is not None:
            await peers.start()
        await server.start()
        # Half a million objects of imported modules live as long as the process: looking for garbage among them again
        # and again would hold up the market's round for tens of milliseconds.
        gc.collect()
        gc.freeze()
        ready(server.url, daemon.engine.listen_port)
        await stopping.wait()
    finally:
        await server.close()
        if peers is not None:
            await peers.close()
        await daemon.stop()


def serve(
    settings: Settings,
    paths: Paths,
    key: PrivateKey,
    ready: Callable[[str, int], None],
    *,
    secret: bytes | None = None,
) -> None:
    """Run a node until SIGINT or SIGTERM; `ready(api_url, peer_port)` is called once everything answers.

    `secret` as in `build`.
    """
    logging.basicConfig(
        level=settings.log.level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", datefmt="%H:%M:%S"
    )
    # py_ecc, which web3 imports, raises Python's recursion limit so far that hostile JSON could overrun the stack.
    sys.setrecursionlimit(SAFE_RECURSION)
    for noisy in ("web3", "urllib3", "aiohttp.access", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    asyncio.run(_serve(settings, paths, key, ready, secret))
