"""Carries the Speed core: engine events in, messages and money out.

    engine event ──▶ session ──▶ outputs ──▶ one durable transaction ──▶ session ──▶ message

This is the only place where the pure sessions meet the engine, the store, the chain and the key. It decides nothing
about money itself. Sessions are called in stream order from the one reader of the engine's events; whatever has to
wait (disk, chain) runs as a task and comes back through `cheque_stored`, `cheque_issued` or `coverage_known`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field

from node.ports.clock import Clock
from node.ports.engine import (
    BytesReceived,
    BytesSent,
    Engine,
    EngineEvent,
    MessageSent,
    PeerGone,
    PeerHello,
    PeerId,
    PeerMessage,
    PieceFailed,
    PieceVerified,
    TorrentFinished,
    TorrentId,
    UploadPolicy,
    UploadStalled,
)
from node.ports.store import IssueCheque as StoredIssue
from node.ports.store import IssuedCheque, Store, StoreError
from node.services.budget import Budget, TorrentTerms
from node.services.history import keep, received_cheque
from node.services.trades import AccountKey, BuyerBook, LastWord, Trade, Trades
from node.services.vault import VaultView
from node.speed.bidder import NoBid
from node.speed.buyer import BuyerAccount, BuyerSession
from node.speed.credit import CreditPolicy, SellerAccount
from node.speed.errors import Action, MessageError, RemoteFaultError, StopCode
from node.speed.messages import Bid, Hello, decode_message, encode_message
from node.speed.moment import Now
from node.speed.outputs import (
    AskReceived,
    CheckCoverage,
    Disconnect,
    IssueCheque,
    Notice,
    Output,
    RaiseFloor,
    Send,
    Service,
    SetAllowance,
    SetService,
    StoreCheque,
)
from node.speed.seller import SellerSession, SellerTerms
from wallet.address import Address
from wallet.chains.base import ChainError
from wallet.cheque import Cheque, Rail, sign_cheque
from wallet.errors import LimitError, WalletError
from wallet.keys import PrivateKey

log = logging.getLogger(__name__)

DAY = 86_400
BID_VALID = 3600
RETRY_BID = 30.0
"""Seconds before a refused bid is tried again (vault refilled, chain back)."""
STOP_GRACE = 15.0
"""Seconds a seller has to end its pricing after our stop, before we hang up."""
SERVICE = {
    Service.FREE: UploadPolicy(),
    Service.PRICED: UploadPolicy(priority=200, reserved=True),
}


@dataclass(frozen=True, slots=True)
class PaymentSettings:
    """This node's side of the market. `max_price` in units per MiB is the default of torrents without their own."""

    rails: Mapping[str, Rail]
    sell: bool = True
    buy: bool = True
    reserve: int = 0
    max_price: int = 0
    credit: CreditPolicy = field(default_factory=CreditPolicy)
    stall_timeout: float = 10.0


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
        key: PrivateKey,
        clock: Clock,
        nonce: Callable[[int], bytes],
    ) -> None:
        self.settings = settings
        self.trades = Trades()
        self._engine = engine
        self._store = store
        self._vault = vault
        self._budget = budget
        self._key = key
        self._clock = clock
        self._nonce = nonce
        self.on_local_fault: Callable[[Exception], None] = lambda error: None
        self._tasks: set[asyncio.Task[None]] = set()
        self._touched: dict[PeerId, Trade] = {}
        self._settle_soon = False
        self._finished: set[TorrentId] = set()
        self._closed = False
        self._terms = SellerTerms(
            payee=key.address,
            rails=settings.rails,
            reserve=settings.reserve,
            credit=settings.credit,
            stall_timeout=settings.stall_timeout,
        )

    @property
    def address(self) -> Address:
        return self._key.address

    def now(self) -> Now:
        return Now(self._clock.now(), self._clock.wall())

    async def close(self) -> None:
        """Wait for money under way to become durable, keep both sides' accounts, forget the rest."""
        self._closed = True
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for trade in list(self.trades.open.values()):
            await self._keep(trade)

    # --- events ------------------------------------------------------------------------------------------------------

    def handle(self, event: EngineEvent) -> None:
        """One engine event, in order."""
        match event:
            case BytesSent(peer, sent):
                if (trade := self.trades.open.get(peer)) and trade.seller:
                    trade.seller.bytes_sent(sent, self.now())
            case BytesReceived(peer, piece, length, _, unrequested):
                if (trade := self.trades.open.get(peer)) and trade.buyer:
                    done = piece in self.trades.verified.get(trade.torrent, ())
                    trade.buyer.bytes_received(piece, length, unrequested=unrequested, verified=done)
                    self._touch(trade)
            case PeerMessage(peer, payload):
                if trade := self.trades.open.get(peer):
                    self._message(trade, payload)
            case MessageSent(peer, tag, sent):
                if (trade := self.trades.open.get(peer)) and trade.seller:
                    self._run(trade, trade.seller.message_sent(tag, sent, self.now()))
            case UploadStalled(peer):
                if (trade := self.trades.open.get(peer)) and trade.seller:
                    self._run(trade, trade.seller.stalled(self.now()))
            case PieceVerified(torrent, piece):
                self.trades.verified.setdefault(torrent, set()).add(piece)
                for trade in self.trades.of_torrent(torrent):
                    if trade.buyer:
                        trade.buyer.piece_passed(piece)
                        self._touch(trade)
                self._release_idle(torrent)
            case PieceFailed(torrent, piece):
                for trade in self.trades.of_torrent(torrent):
                    if trade.buyer and (lost := trade.buyer.piece_failed(piece)):
                        log.warning("piece %d failed: %d bytes of it came from %s", piece, lost, trade.host)
                self._release_idle(torrent)
            case TorrentFinished(torrent):
                self._finished.add(torrent)
                for trade in self.trades.of_torrent(torrent):
                    if trade.buyer:
                        trade.buyer.finish()
                        self._touch(trade)
            case PeerHello():
                self._open(event)
            case PeerGone(peer, _, sent, _):
                self._close(peer, sent)
            case _:
                pass

    def tick(self) -> None:
        """Timers of all sessions."""
        now = self.now()
        for trade in list(self.trades.open.values()):
            if trade.seller:
                self._run(trade, trade.seller.timer(now))
            if trade.buyer:
                self._touch(trade)
                if trade.retry_bid_at is not None and now.mono >= trade.retry_bid_at:
                    trade.retry_bid_at = None
                    self._spawn(self._bid(trade))
                stopped, priced = trade.stopped_at, trade.buyer.meter.price
                if stopped is not None and priced and now.mono >= stopped + STOP_GRACE:
                    self._engine.disconnect(trade.peer, "goes on charging after a stop")

    def coverage_changed(self, rail: str, payer: Address, coverage: int, paid_out: int) -> None:
        """News from the chain about a payer who may owe us."""
        account = self.trades.sellers.get((rail, payer))
        if account is None:
            return
        account.coverage, account.paid_out = coverage, paid_out
        self._refresh((rail, payer))

    def due(self, torrent: TorrentId) -> tuple[int, bool]:
        """(units owed for this torrent and not signed yet, whether all its sellers are paid and have said so)."""
        due, settled = 0, True
        for book in self.trades.buyers.values():
            due += book.pending.get(torrent, 0)
        for trade in self.trades.of_torrent(torrent):
            if trade.buyer_key and trade.buyer and trade.buyer.account:
                settled = settled and trade.buyer.account.settled
        return due, settled and due == 0

    def set_terms(self, torrent: TorrentId, terms: TorrentTerms) -> None:
        """The user's limits for a torrent, now and for bids to come."""
        self._budget.terms[torrent] = terms
        self.rebid(torrent)

    def rebid(self, torrent: TorrentId) -> None:
        """The user changed this torrent's limits: bid anew everywhere."""
        for trade in list(self.trades.by_torrent.get(torrent, {}).values()):
            if trade.buyer and trade.buyer.ask:
                self._spawn(self._bid(trade))

    def torrent_removed(self, torrent: TorrentId) -> None:
        """Forget a torrent; what was received and not verified is never paid."""
        for trade in self.trades.forget_torrent(torrent):
            self._budget.release(trade.peer)
        self._finished.discard(torrent)

    # --- connections -------------------------------------------------------------------------------------------------

    def _open(self, hello: PeerHello) -> None:
        trade = Trade.of(hello, self._clock.wall())
        try:
            Hello.decode(hello.hello)
        except MessageError as error:
            log.info("peer %s: handshake ignored: %s", hello.host, error)
            return
        self.trades.add(trade)
        if self.settings.buy:
            trade.buyer = BuyerSession(self._key.address, self.settings.rails)
            if hello.torrent in self._finished:
                trade.buyer.finish()
        if self.settings.sell and self.settings.reserve > 0:
            trade.seller = SellerSession(self._terms, self._nonce(32))
            self._run(trade, trade.seller.start(self.now()))

    def _close(self, peer: PeerId, sent: int) -> None:
        trade = self.trades.open.get(peer)
        if trade is None:
            return
        trade.gone = True
        if trade.seller:
            trade.seller.closed(sent)
        if trade.buyer:
            self._settle(trade)
            trade.buyer.closed()
        self.trades.close(peer)
        if trade.buyer is None or trade.buyer.idle:
            self._budget.release(peer)
        if trade.seller_key:
            self._refresh(trade.seller_key)
        self._spawn(self._keep(trade))

    def _release_idle(self, torrent: TorrentId) -> None:
        for trade in self.trades.forget_idle(torrent):
            self._settle(trade)
            self._budget.release(trade.peer)
            self._spawn(self._keep(trade))

    def _message(self, trade: Trade, payload: bytes) -> None:
        try:
            message = decode_message(payload)
        except MessageError as error:
            self._fault(trade, error)
            return
        if message is None:
            return
        now = self.now()
        for session in (trade.seller, trade.buyer):
            if session is None:
                continue
            try:
                self._run(trade, session.message(message, now))
            except RemoteFaultError as fault:
                self._run(trade, session.fault(fault))
                self._punish(trade, fault)
                return

    def _fault(self, trade: Trade, fault: RemoteFaultError) -> None:
        for session in (trade.seller, trade.buyer):
            if session is not None:
                self._run(trade, session.fault(fault))
        self._punish(trade, fault)

    def _punish(self, trade: Trade, fault: RemoteFaultError) -> None:
        if fault.action is Action.DISCONNECT:
            self._engine.disconnect(trade.peer, str(fault))
        elif fault.action is Action.BAN:
            self._engine.ban(trade.peer, str(fault))

    # --- outputs -----------------------------------------------------------------------------------------------------

    def _run(self, trade: Trade, outputs: list[Output]) -> None:
        for output in outputs:
            log.debug("peer %s: %s", trade.host, output)
            match output:
                case Send(message, tag):
                    self._engine.send(trade.peer, encode_message(message), tag)
                case SetAllowance(mark):
                    self._engine.set_allowance(trade.peer, mark)
                case SetService(service):
                    self._engine.set_upload(trade.peer, SERVICE[service])
                case CheckCoverage(bid):
                    self._spawn(self._check_coverage(trade, bid))
                case StoreCheque():
                    self._spawn(self._store_cheque(trade, output))
                case AskReceived():
                    self._spawn(self._bid(trade))
                case IssueCheque():
                    # Taken now: what becomes payable from here on belongs to the next cheque.
                    self._spawn(self._issue_cheque(trade, output, self._take_pending(trade)))
                case RaiseFloor():
                    self._spawn(self._raise_floor(trade, output))
                case Notice(code, text, by_peer):
                    self._notice(trade, code, text, by_peer)
                case Disconnect(reason, ban):
                    (self._engine.ban if ban else self._engine.disconnect)(trade.peer, reason)

    def _notice(self, trade: Trade, code: StopCode, text: str, by_peer: bool) -> None:
        trade.last_word = LastWord(code, text, by_peer)
        log.info("peer %s (%s): %s", trade.host, "says" if by_peer else "told", text)
        if trade.buyer and not by_peer and trade.stopped_at is None:
            trade.stopped_at = self._clock.now()
        if by_peer and code in (StopCode.INSOLVENT, StopCode.CHAIN_UNAVAILABLE, StopCode.EXPIRED):
            trade.retry_bid_at = self._clock.now() + RETRY_BID

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, trade: Trade) -> None:
        await keep(self._store, self.trades, trade, self._key.address, self._clock.wall())

    async def _guard(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except (StoreError, WalletError) as error:
            log.error("payments: %s", error)
            self.on_local_fault(error)

    # --- buying ------------------------------------------------------------------------------------------------------

    def _touch(self, trade: Trade) -> None:
        """Settle this trade once, after the events that are at hand now."""
        self._touched[trade.peer] = trade
        if not self._settle_soon:
            self._settle_soon = True
            asyncio.get_running_loop().call_soon(self._settle_touched)

    def _settle_touched(self) -> None:
        self._settle_soon = False
        touched, self._touched = self._touched, {}
        for trade in touched.values():
            self._settle(trade)

    def _settle(self, trade: Trade) -> None:
        buyer = trade.buyer
        if buyer is None or trade.buyer_key is None:
            return
        book = self.trades.buyers[trade.buyer_key]
        before = book.account.owed
        now = self.now()
        outputs = buyer.settle(now)
        grown = book.account.owed - before
        if grown:
            book.pending[trade.torrent] = book.pending.get(trade.torrent, 0) + grown
            if self._budget.spent(trade.peer, trade.torrent, grown) and not trade.gone:
                self._spawn(self._bid(trade))
        self._run(trade, outputs)
        deadline = buyer.deadline()
        if deadline is not None and not trade.gone:
            asyncio.get_running_loop().call_later(max(0.0, deadline - now.mono), self._touch, trade)

    async def _bid(self, trade: Trade) -> None:
        buyer = trade.buyer
        if buyer is None or buyer.ask is None or buyer.rail is None or trade.gone or self._closed:
            return
        if trade.torrent in self._finished and buyer.account is None:
            key = (buyer.rail.id, buyer.ask.payee)
            if (await self._buyer_book(key)).account.due == 0:
                return
        book = await self._buyer_book((buyer.rail.id, buyer.ask.payee))
        plan = await self._budget.plan(
            trade.peer,
            trade.torrent,
            reserve=buyer.ask.reserve,
            used=buyer.counted,
            default_price=self.settings.max_price,
        )
        if trade.peer not in self.trades.open:  # it may have gone while the store answered
            return
        if isinstance(plan, NoBid):
            trade.last_word = LastWord(StopCode.BUDGET, plan.reason, by_peer=False)
            if not plan.final:
                trade.retry_bid_at = self._clock.now() + RETRY_BID
            return
        trade.buyer_key = (buyer.rail.id, buyer.ask.payee)
        trade.stopped_at = None
        outputs = buyer.bid(
            book.account,
            price=plan.price,
            rate=0,
            ceiling=plan.ceiling,
            until=self._clock.wall() + BID_VALID,
            sign=self._key.sign_digest,
        )
        self._run(trade, outputs)

    async def _buyer_book(self, key: AccountKey) -> BuyerBook:
        book = self.trades.buyers.get(key)
        if book is None:
            stored = await self._store.issued(key[0], self._key.address, key[1])
            account = BuyerAccount()
            if stored is not None:
                account = BuyerAccount(
                    owed=stored.owed,
                    issued=stored.cumulative,
                    signature=stored.signature,
                    unproven=stored.needs_reconcile,
                )
            book = self.trades.buyers.setdefault(key, BuyerBook(account))
        return book

    def _take_pending(self, trade: Trade) -> dict[TorrentId, int]:
        if trade.buyer_key is None:
            return {}
        book = self.trades.buyers[trade.buyer_key]
        pending, book.pending = book.pending, {}
        return pending

    async def _issue_cheque(self, trade: Trade, order: IssueCheque, spent: dict[TorrentId, int]) -> None:
        buyer, key = trade.buyer, trade.buyer_key
        if buyer is None or key is None or buyer.rail is None:
            return
        book = self.trades.buyers[key]
        wall = self._clock.wall()
        try:
            await self._budget.authorise(spent)
        except LimitError as error:
            self._undo_pending(book, spent)
            self._run(trade, buyer.issue_refused(str(error)))
            return
        signed = sign_cheque(buyer.rail, Cheque(self._key.address, key[1], order.cumulative), self._key)
        cheque = IssuedCheque(
            rail=order.rail,
            payer=self._key.address,
            payee=key[1],
            cumulative=order.cumulative,
            owed=order.cumulative,
            signature=signed.signature,
            updated_at=wall,
        )
        try:
            await self._store.issue_cheque(
                StoredIssue(cheque=cheque, amount=order.amount, spent=spent, day=wall // DAY)
            )
        except (StoreError, WalletError) as error:
            self._undo_pending(book, spent)
            self._run(trade, buyer.issue_refused(f"no cheque: {error}"))
            raise
        self._budget.committed(spent)
        self._vault.issued(key[0], order.amount)
        self._run(trade, buyer.cheque_issued(order.cumulative, signed.signature))
        if not trade.gone:
            self._touch(trade)

    @staticmethod
    def _undo_pending(book: BuyerBook, spent: Mapping[TorrentId, int]) -> None:
        for torrent, amount in spent.items():
            book.pending[torrent] = book.pending.get(torrent, 0) + amount

    async def _raise_floor(self, trade: Trade, order: RaiseFloor) -> None:
        if trade.buyer is None or trade.buyer.ask is None:
            return
        log.warning("cheques to %s: its receipt is the floor now", trade.buyer.ask.payee)
        await self._store.raise_issued_floor(
            IssuedCheque(
                rail=order.rail,
                payer=self._key.address,
                payee=trade.buyer.ask.payee,
                cumulative=order.cumulative,
                owed=order.cumulative,
                signature=order.signature,
                updated_at=self._clock.wall(),
            )
        )

    # --- selling -----------------------------------------------------------------------------------------------------

    async def _check_coverage(self, trade: Trade, bid: Bid) -> None:
        seller = trade.seller
        if seller is None:
            return
        account = await self._seller_account((bid.rail, bid.payer))
        try:
            account.coverage, account.paid_out = await self._vault.coverage(bid.rail, bid.payer)
        except ChainError as error:
            self._run(trade, seller.coverage_failed(str(error)))
            return
        trade.seller_key = (bid.rail, bid.payer)
        self._run(trade, seller.coverage_known(account))

    async def _seller_account(self, key: AccountKey) -> SellerAccount:
        account = self.trades.sellers.get(key)
        if account is None:
            stored = await self._store.received(key[0], key[1], self._key.address)
            account = SellerAccount(self.settings.credit)
            if stored is not None:
                account = SellerAccount(
                    self.settings.credit,
                    earned=max(stored.earned, stored.cumulative),
                    accepted=stored.cumulative,
                    storing=stored.cumulative,
                    signature=stored.signature,
                    forgiven=stored.forgiven,
                    paid_bytes=stored.paid_bytes,
                )
            account = self.trades.sellers.setdefault(key, account)
        return account

    async def _store_cheque(self, trade: Trade, order: StoreCheque) -> None:
        seller, key = trade.seller, trade.seller_key
        if seller is None or key is None or seller.account is None:
            return
        await self._store.receive_cheque(
            received_cheque(
                key, self._key.address, seller.account, order.cumulative, order.signature, self._clock.wall()
            )
        )
        self._run(trade, seller.cheque_stored(order.cumulative, order.signature, self.now()))
        self._refresh(key)

    def _refresh(self, key: AccountKey) -> None:
        """The account moved: the other connections of this payer may be served more or less."""
        now = self.now()
        for trade in list(self.trades.open.values()):
            if trade.seller_key == key and trade.seller is not None:
                self._run(trade, trade.seller.refresh(now))
