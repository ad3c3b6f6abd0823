"""The local API: what the command line (and any other program of the same user) can ask of a running node.

| method and path                        | does                                                    |
|----------------------------------------|---------------------------------------------------------|
| GET  /v1/status                        | the node and its torrents                               |
| POST /v1/torrents                      | add a torrent file or magnet                            |
| GET  /v1/torrents/{id}                 | one torrent (an unambiguous prefix of id or name does)  |
| DELETE /v1/torrents/{id}?files=1       | remove it, with `files` also its data                   |
| POST /v1/torrents/{id}/pause, /resume  | stop or start it                                        |
| POST /v1/torrents/{id}/terms           | change its price limit and budget                       |
| POST /v1/torrents/{id}/connect         | try a peer                                              |
| GET  /v1/torrents/{id}/estimate        | what the missing part may cost within its limits        |
| GET  /v1/torrents/{id}/bill            | what it has cost, seller by seller                      |
| GET  /v1/peers?torrent=ID              | connections, with what each earns or costs              |
| GET  /v1/market                        | the latest round of our auction                         |
| POST /v1/shutdown                      | stop the node                                           |

What moves money is in `node.http.money`, BTFS's cheques in `node.http.btfs`, whom we trust in `node.http.reputation`.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel

from node import __version__
from node.daemon import Daemon
from node.http import bill_models, models
from node.http.btfs import BtfsApi
from node.http.escrow import EscrowApi
from node.http.evidence import EvidenceApi
from node.http.hosting import HostingApi, no_routes
from node.http.journal import JournalApi
from node.http.knownhosts import KnownHostsApi
from node.http.leaving import LeavingApi
from node.http.money import MoneyApi
from node.http.presence import PresenceApi
from node.http.renting import RentingApi
from node.http.reputation import ReputationApi
from node.http.requests import answer, read_body
from node.http.server import make_app
from node.ports.engine import BadTorrentError, PeerStatus, TorrentId, TorrentStatus
from node.ports.store import TorrentRecord
from node.services.budget import TorrentTerms
from node.services.torrents import AddRequest
from node.services.trades import Trade

B = TypeVar("B", bound=BaseModel)


class Api:
    """The handlers. `stop` asks the process to end."""

    def __init__(self, daemon: Daemon, *, downloads: Path, stop: Callable[[], None]) -> None:
        self._daemon = daemon
        self._downloads = downloads
        self._stop = stop

    def application(self, token: str) -> web.Application:
        app = make_app(token)
        app.add_routes(
            [
                web.get("/v1/status", self.status),
                web.post("/v1/torrents", self.add),
                web.get("/v1/torrents/{id}", self.torrent),
                web.delete("/v1/torrents/{id}", self.remove),
                web.post("/v1/torrents/{id}/pause", self.pause),
                web.post("/v1/torrents/{id}/resume", self.resume),
                web.post("/v1/torrents/{id}/terms", self.terms),
                web.post("/v1/torrents/{id}/connect", self.connect),
                web.get("/v1/torrents/{id}/estimate", self.estimate),
                web.get("/v1/torrents/{id}/bill", self.bill),
                web.get("/v1/peers", self.peers),
                web.get("/v1/market", self.market),
                web.post("/v1/shutdown", self.shutdown),
                *MoneyApi(self._daemon).routes(),
                *JournalApi(self._daemon.store, self._daemon.wallet).routes(),
                *BtfsApi(self._daemon).routes(),
                *ReputationApi(self._daemon).routes(),
                *EscrowApi(self._daemon.escrows, self._daemon.wallet.purses).routes(),
                *self._hosting(),
                *RentingApi(self._daemon.renting).routes(),
                *EvidenceApi(self._daemon.renting).routes(),
                *KnownHostsApi(self._daemon.renting).routes(),
            ]
        )
        return app

    def _hosting(self) -> list[web.RouteDef]:
        hosting, purses = self._daemon.hosting, self._daemon.wallet.purses
        if hosting is None:
            return no_routes()
        tokens = {name: purses[name].chain.rail.token for name in hosting.hosts}
        return [
            *HostingApi(hosting, tokens).routes(),
            *PresenceApi(hosting.presences, purses).routes(),
            *LeavingApi(hosting, tokens).routes(),
        ]

    # --- node --------------------------------------------------------------------------------------------------------

    async def status(self, request: web.Request) -> web.Response:
        daemon = self._daemon
        statuses = await daemon.torrents.statuses()
        settings = daemon.payments.settings
        return answer(
            models.Status(
                version=__version__,
                address=daemon.payments.address.evm,
                rails=[purse.label for purse in daemon.wallet.purses.values()],
                listen_port=daemon.engine.listen_port,
                sells=settings.sell and settings.reserve > 0,
                reserve_price=settings.reserve,
                buys=settings.buy,
                max_price=settings.max_price,
                deposit_free=daemon.vault.funds,
                chain_fault=daemon.vault.fault,
                faults=daemon.faults,
                download_rate=sum(status.download_rate for status in statuses),
                upload_rate=sum(status.upload_rate for status in statuses),
                torrents=[await self._torrent(status) for status in statuses],
            )
        )

    async def shutdown(self, request: web.Request) -> web.Response:
        asyncio.get_running_loop().call_later(0.05, self._stop)
        return web.json_response({"stopping": True})

    # --- torrents ----------------------------------------------------------------------------------------------------

    async def add(self, request: web.Request) -> web.Response:
        body = await read_body(request, models.AddBody)
        if (body.torrent is None) == (body.magnet is None):
            raise BadTorrentError("give either a torrent file or a magnet link")
        try:
            torrent = base64.b64decode(body.torrent, validate=True) if body.torrent is not None else None
        except ValueError:
            raise BadTorrentError("the torrent file is not valid base64") from None
        record = await self._daemon.torrents.add(
            AddRequest(
                torrent=torrent,
                magnet=body.magnet,
                save_path=Path(body.save_path) if body.save_path else self._downloads,
                paused=body.paused,
                seed_mode=body.seed,
                terms=_terms(body),
                peers=body.peers,
            )
        )
        return answer(await self._torrent(await self._daemon.torrents.status(record.id)))

    async def torrent(self, request: web.Request) -> web.Response:
        return answer(await self._torrent(await self._daemon.torrents.status(self._id(request))))

    async def remove(self, request: web.Request) -> web.Response:
        torrent = self._id(request)
        await self._daemon.torrents.remove(torrent, delete_files=request.query.get("files") == "1")
        return web.json_response({"removed": torrent})

    async def pause(self, request: web.Request) -> web.Response:
        torrent = self._id(request)
        await self._daemon.torrents.pause(torrent)
        return web.json_response({"paused": torrent})

    async def resume(self, request: web.Request) -> web.Response:
        torrent = self._id(request)
        await self._daemon.torrents.resume(torrent)
        return web.json_response({"resumed": torrent})

    async def terms(self, request: web.Request) -> web.Response:
        torrent = self._id(request)
        body = await read_body(request, models.TermsBody)
        record = await self._daemon.torrents.set_terms(torrent, _terms(body))
        self._daemon.payments.set_terms(record.id, TorrentTerms.of(record))
        return answer(await self._torrent(await self._daemon.torrents.status(torrent)))

    async def connect(self, request: web.Request) -> web.Response:
        torrent = self._id(request)
        body = await read_body(request, models.ConnectBody)
        await self._daemon.torrents.connect(torrent, body.host, body.port)
        return web.json_response({"connecting": f"{body.host}:{body.port}"})

    async def estimate(self, request: web.Request) -> web.Response:
        found = await self._daemon.billing.outlook(self._daemon.torrents.record(self._id(request)))
        return answer(
            bill_models.Estimate(
                size=found.size,
                sellers=found.estimate.sellers,
                lowest_cost=found.estimate.cost_low,
                highest_cost=found.estimate.cost_high,
                covered=found.estimate.covered,
                max_price=found.max_price,
                budget=found.budget,
                wanted_rate=found.wanted_rate,
                wanted_ms=found.wanted_ms,
            )
        )

    async def bill(self, request: web.Request) -> web.Response:
        torrent = self._id(request)
        record = self._daemon.torrents.record(torrent)
        account = await self._daemon.billing.account(torrent)
        made = account.bill
        return answer(
            bill_models.Bill(
                id=torrent,
                name=record.name,
                lines=[
                    bill_models.BillLine(
                        seller=line.seller,
                        rail=line.rail,
                        bytes=line.bytes,
                        amount=line.amount,
                        price=line.price,
                        failed=line.failed,
                    )
                    for line in made.lines
                ],
                bytes=made.bytes,
                free_bytes=made.free_bytes,
                amount=made.amount,
                price=made.price,
                paid=account.paid,
                due=account.due,
                netted=self._daemon.payments.netted(torrent),
                settled=self._daemon.payments.due(torrent)[1],
                started=record.added_at,
                finished=record.finished_at,
            )
        )

    # --- trade -------------------------------------------------------------------------------------------------------

    async def peers(self, request: web.Request) -> web.Response:
        wanted = request.query.get("torrent")
        if wanted:
            torrents = [self._daemon.torrents.find(wanted)]
        else:
            torrents = [status.id for status in await self._daemon.torrents.statuses()]
        rows = []
        for torrent in torrents:
            trades = self._daemon.payments.trades.open
            granted = self._daemon.market.latest.granted
            rows += [
                _peer(peer, trades.get(peer.peer), granted.get(peer.peer, 0))
                for peer in await self._daemon.torrents.peers(torrent)
            ]
        return web.json_response([row.model_dump() for row in rows])

    async def market(self, request: web.Request) -> web.Response:
        market = self._daemon.market
        latest = market.latest
        return answer(
            models.MarketRound(
                rule=market.settings.rule,
                round=latest.number,
                capacity=latest.capacity,
                measured=market.line.measured,
                for_sale=latest.for_sale,
                sold=latest.sold,
                clearing=latest.clearing,
                reserve=market.settings.reserve,
                round_ms=round(latest.took * 1000, 3),
            )
        )

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _id(self, request: web.Request) -> TorrentId:
        return self._daemon.torrents.find(request.match_info["id"])

    async def _torrent(self, status: TorrentStatus) -> models.Torrent:
        record: TorrentRecord = self._daemon.torrents.record(status.id)
        due, settled = self._daemon.payments.due(status.id)
        return models.Torrent(
            id=status.id,
            name=status.name or record.name,
            state=status.state.value,
            progress=status.progress,
            total_bytes=status.total_bytes,
            done_bytes=status.done_bytes,
            download_rate=status.download_rate,
            upload_rate=status.upload_rate,
            downloaded=status.downloaded,
            uploaded=status.uploaded,
            peers=status.peers,
            seeds=status.seeds,
            save_path=str(status.save_path),
            error=self._daemon.torrents.fault(status.id) or status.error,
            max_price=record.max_price,
            budget=record.budget,
            rate=record.rate,
            strategy=record.strategy,
            deadline=record.deadline,
            spent=await self._daemon.store.spent_on(status.id),
            due=due,
            netted=self._daemon.payments.netted(status.id),
            settled=settled,
        )


def _terms(body: models.TermsBody) -> TorrentTerms:
    return TorrentTerms(
        max_price=body.max_price,
        budget=body.budget,
        rate=body.rate,
        strategy=body.strategy or "",
        deadline=body.deadline,
    )


def _peer(status: PeerStatus, trade: Trade | None, granted: int) -> models.Peer:
    seller = trade.seller if trade else None
    buyer = trade.buyer if trade else None
    return models.Peer(
        id=status.peer,
        torrent=status.torrent,
        host=status.host,
        port=status.port,
        client=status.client,
        speaks_btt=status.speaks_btt,
        choked_by_us=status.choked_by_us,
        choked_by_peer=status.choked_by_peer,
        interested=status.interested,
        seed=status.seed,
        progress=status.progress,
        upload_rate=status.upload_rate,
        download_rate=status.download_rate,
        sent=status.sent,
        received=status.received,
        selling=seller.state.value if seller else "",
        buying=buyer.state.value if buyer else "",
        granted=granted,
        price_sold=seller.meter.price if seller else 0,
        price_bought=buyer.meter.price if buyer else 0,
        earned=seller.meter.amount if seller else 0,
        owed=buyer.counted if buyer else 0,
        reason=trade.last_word.text if trade and trade.last_word else "",
    )
