"""Routes the engine's events to the two halves of the market: what we sell to a peer, and what we buy from it.

    engine event ──▶ session ──▶ outputs ──▶ one durable transaction ──▶ session ──▶ message

This is the only place where the pure sessions meet the engine, the store, the chain and the key. It decides nothing
about money itself. Sessions are called in stream order from the one reader of the engine's events; whatever has to
wait (disk, chain) runs as a task (`Carrier`) and comes back through `cheque_stored`, `cheque_issued` or
`coverage_known`. The halves (`Selling`, `Buying`) share the carrier and the bookkeeping of `Trades`, and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from node.ports.clock import Clock
from node.ports.engine import Engine, PeerId, TorrentId
from node.ports.events import (
    BytesReceived,
    BytesSent,
    EngineEvent,
    MessageSent,
    PeerGone,
    PeerHello,
    PeerMessage,
    PieceFailed,
    PieceVerified,
    TorrentFinished,
    UploadStalled,
)
from node.ports.store import Store
from node.services.aims import Aims
from node.services.budget import Budget, TorrentTerms
from node.services.buying import Buying
from node.services.carrier import Carrier
from node.services.choosing import Choosing
from node.services.history import keep
from node.services.judging import Judging
from node.services.netting import Nets
from node.services.reputation import Reputations
from node.services.selling import Selling
from node.services.trades import AccountKey, Trade, Trades
from node.services.vault import VaultView
from node.speed.credit import CreditPolicy
from node.speed.errors import Action, MessageError, RemoteFaultError
from node.speed.messages import Hello, Net, decode_message
from node.speed.moment import Now
from node.speed.seller import SellerTerms
from wallet.address import Address
from wallet.cheque import Rail
from wallet.keys import PrivateKey
from wallet.solvency import Standing

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PaymentSettings:
    """This node's side of the market. `max_price` in units per MiB is the default of torrents without their own."""

    rails: Mapping[str, Rail]
    sell: bool = True
    buy: bool = True
    reserve: int = 0
    max_price: int = 0
    credit: CreditPolicy = field(default_factory=CreditPolicy)
    stall_timeout: float = 3.0
    strategy: str = "highest"
    """How torrents bid that name no strategy of their own."""
    download_limit: int = 0
    """Bytes per second that we let in, 0 = no limit: no seller is to blame for what does not fit."""


class Payments:
    """One per node. `handle` takes every engine event; `tick` wants to be called about once a second."""

    def __init__(
        self,
        settings: PaymentSettings,
        *,
        engine: Engine,
        store: Store,
        vault: VaultView,
        budget: Budget,
        reputations: Reputations,
        key: PrivateKey,
        clock: Clock,
        nonce: Callable[[int], bytes],
    ) -> None:
        self.settings = settings
        self.trades = Trades()
        self._store = store
        self._budget = budget
        self._reputations = reputations
        self._own = key.address
        self.carrier = Carrier(engine, clock)
        """For whoever decides on service beside the sessions: the market."""
        terms = SellerTerms(
            payee=key.address,
            rails=settings.rails,
            reserve=settings.reserve,
            credit=settings.credit,
            stall_timeout=settings.stall_timeout,
        )
        self._nets = Nets(
            carrier=self.carrier,
            trades=self.trades,
            store=store,
            budget=budget,
            own=key.address,
            reserve=settings.reserve,
        )
        self._nets.changed = self._net_changed
        self._selling = Selling(
            terms,
            carrier=self.carrier,
            trades=self.trades,
            store=store,
            vault=vault,
            reputations=reputations,
            nonce=nonce,
            nets=self._nets,
        )
        judging = Judging(engine, clock, self.trades, download_limit=settings.download_limit)
        self.undelivered = judging.barred
        """Payees that get no bid, and why."""
        self._buying = Buying(
            settings.rails,
            settings.max_price,
            carrier=self.carrier,
            trades=self.trades,
            store=store,
            vault=vault,
            budget=budget,
            judging=judging,
            choosing=Choosing(
                engine, clock, self.trades, judging.barred, lambda payee, rail: reputations.score(rail, payee)
            ),
            aims=Aims(engine, clock, strategy=settings.strategy),
            reputations=reputations,
            key=key,
            nets=self._nets,
        )

    @property
    def address(self) -> Address:
        return self._own

    def now(self) -> Now:
        return self.carrier.now()

    def coverage_changed(self, rail: str, payer: Address, standing: Standing) -> None:
        """News from the chain about a payer who may owe us."""
        self._selling.coverage_changed(rail, payer, standing)

    def barred(self, rail: str, payer: Address) -> None:
        """A cheque of this payer has bounced."""
        self._selling.barred(rail, payer)

    def due(self, torrent: TorrentId) -> tuple[int, bool]:
        """(units owed for this torrent and not signed yet, whether all its sellers are paid and have said so)."""
        return self._buying.due(torrent)

    def netted(self, torrent: TorrentId) -> int:
        """Units of this torrent's debts since the node started that cancel out with what its sellers owe us."""
        return self._buying.netted(torrent)

    def set_terms(self, torrent: TorrentId, terms: TorrentTerms) -> None:
        """The user's limits for a torrent, now and for bids to come."""
        self._buying.set_terms(torrent, terms)

    def torrent_removed(self, torrent: TorrentId) -> None:
        """Forget a torrent; what was received and not verified is never paid."""
        self._buying.torrent_removed(torrent)

    def report_faults(self, hear: Callable[[Exception], None]) -> None:
        """`hear` is told of each local fault."""
        self.carrier.on_local_fault = hear

    async def close(self) -> None:
        """Wait for money under way to become durable, keep both sides' accounts, forget the rest."""
        self._buying.close()
        await self.carrier.drain()
        for trade in list(self.trades.open.values()):
            await self._keep(trade)

    def tick(self) -> None:
        """Timers of all sessions."""
        now = self.now()
        for trade in list(self.trades.open.values()):
            if trade.seller:
                self.carrier.run(trade, trade.seller.timer(now))
            self._buying.timer(trade, now)
        self._buying.tick()
        self._selling.tick()

    def handle(self, event: EngineEvent) -> None:
        """One engine event, in order."""
        match event:
            case PeerHello():
                self._open(event)
            case PieceVerified(torrent, piece):
                self._buying.piece_passed(torrent, piece)
                self._release_idle(torrent)
            case PieceFailed(torrent, piece):
                self._buying.piece_failed(torrent, piece)
                self._release_idle(torrent)
            case TorrentFinished(torrent):
                self._buying.finished(torrent)
            case (
                BytesSent(peer)
                | BytesReceived(peer)
                | PeerMessage(peer)
                | MessageSent(peer)
                | UploadStalled(peer)
                | PeerGone(peer)
            ):
                self._of_peer(peer, event)
            case _:
                pass

    # --- connections -------------------------------------------------------------------------------------------------

    def _of_peer(self, peer: PeerId, event: EngineEvent) -> None:
        """An event of one connection; those that do not speak `btt_speed` are nobody's business here."""
        trade = self.trades.open.get(peer)
        if trade is None:
            return
        seller = trade.seller
        match event:
            case BytesSent(_, sent) if seller:
                seller.bytes_sent(sent, self.now())
            case BytesReceived(_, piece, length, _, unrequested):
                self._buying.bytes_received(trade, piece, length, unrequested=unrequested)
            case PeerMessage(_, payload):
                self._message(trade, payload)
            case MessageSent(_, tag, sent) if seller:
                self.carrier.run(trade, seller.message_sent(tag, sent, self.now()))
            case UploadStalled() if seller:
                self.carrier.run(trade, seller.stalled(self.now()))
            case PeerGone(_, _, sent, _):
                self._close(trade, sent)

    def _open(self, hello: PeerHello) -> None:
        trade = Trade.of(hello, self.now().wall)
        try:
            Hello.decode(hello.hello)
        except MessageError as error:
            log.info("peer %s: handshake ignored: %s", hello.host, error)
            return
        self.trades.add(trade)
        if self.settings.buy:
            self._buying.open(trade)
        if self.settings.sell and self.settings.reserve > 0:
            self._selling.open(trade)

    def _close(self, trade: Trade, sent: int) -> None:
        trade.gone = True
        if trade.seller:
            trade.seller.closed(sent)
        self._nets.leave(trade)
        self._buying.gone(trade)
        self.trades.close(trade.peer)
        if trade.buyer is None or trade.buyer.idle:
            self._budget.release(trade.peer)
        self._selling.gone(trade)
        self.carrier.spawn(self._keep(trade))

    def _release_idle(self, torrent: TorrentId) -> None:
        """Closed connections whose last pieces have passed or failed: pay, and forget them."""
        for trade in self.trades.forget_idle(torrent):
            self._buying.settle(trade)
            self._budget.release(trade.peer)
            self.carrier.spawn(self._keep(trade))

    async def _keep(self, trade: Trade) -> None:
        await keep(self._store, self.trades, trade, self._own, self.now().wall)

    def _net_changed(self, key: AccountKey) -> None:
        """Pledges have come or gone: the peer may take more or less, and more or less is to be paid to it."""
        self._selling.refresh(key)
        self._buying.settle_with(key)

    # --- messages ----------------------------------------------------------------------------------------------------

    def _message(self, trade: Trade, payload: bytes) -> None:
        try:
            message = decode_message(payload)
        except MessageError as error:
            for session, who in ((trade.seller, trade.seller_key), (trade.buyer, trade.buyer_key)):
                if session is not None:
                    self.carrier.run(trade, session.fault(error))
                    self._remember(who, error)
            self._punish(trade, error)
            return
        if message is None:
            return
        now = self.now()
        for session, who in ((trade.seller, trade.seller_key), (trade.buyer, trade.buyer_key)):
            if session is None:
                continue
            try:
                self.carrier.run(trade, session.message(message, now))
                if isinstance(message, Net) and session is trade.buyer:
                    self._nets.received(trade, message)
            except RemoteFaultError as fault:
                self.carrier.run(trade, session.fault(fault))
                self._remember(who, fault)
                self._punish(trade, fault)
                return

    def _remember(self, who: AccountKey | None, fault: RemoteFaultError) -> None:
        """Whoever has given no name yet leaves no trace."""
        if who is not None:
            self._reputations.fault(*who, fault)

    def _punish(self, trade: Trade, fault: RemoteFaultError) -> None:
        if fault.action in (Action.DISCONNECT, Action.BAN):
            self.carrier.disconnect(trade, str(fault), ban=fault.action is Action.BAN)
