"""The buying half of the market: bids within the budget, debts for verified bytes, and cheques signed for them.

A cheque is durable before it is sent, and its growth is divided among torrents when it is decided: what becomes
payable while the store writes belongs to the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping

from node.ports.engine import PeerId, TorrentId
from node.ports.store import IssueCheque as StoredIssue
from node.ports.store import IssuedCheque, Store, StoreError, utc_day
from node.services.aims import Aims
from node.services.budget import Budget, TorrentTerms
from node.services.carrier import RETRY_BID, Carrier
from node.services.choosing import Choosing
from node.services.judging import Bar, Judging
from node.services.netting import Nets, move
from node.services.reputation import Reputations
from node.services.trades import AccountKey, BuyerBook, LastWord, Trade, Trades
from node.services.vault import VaultView
from node.speed.bidder import NoBid, Plan
from node.speed.buyer import BuyerAccount, BuyerSession, BuyerState
from node.speed.errors import StopCode
from node.speed.moment import Now
from node.speed.outputs import AskReceived, IssueCheque, RaiseFloor
from node.speed.reputation import Deed
from node.speed.strategy import Quote, worth_renewing
from wallet.cheque import Cheque, Rail, sign_cheque
from wallet.errors import LimitError, WalletError
from wallet.keys import PrivateKey

log = logging.getLogger(__name__)

BID_VALID = 3600
RENEW_AHEAD = 300
"""Seconds before it ends that a bid is renewed."""
MOVING_RETRY = 2.0
"""Seconds after which a strategy that follows the time is asked again."""
STOP_GRACE = 15.0
"""Seconds a seller has to end its pricing after our stop, before we hang up."""


class Buying:
    """One per node. `default_price`: units per MiB for torrents without a price of their own."""

    def __init__(
        self,
        rails: Mapping[str, Rail],
        default_price: int,
        *,
        carrier: Carrier,
        trades: Trades,
        store: Store,
        vault: VaultView,
        budget: Budget,
        aims: Aims,
        judging: Judging,
        choosing: Choosing,
        reputations: Reputations,
        key: PrivateKey,
        nets: Nets,
    ) -> None:
        self._rails = rails
        self._default_price = default_price
        self._carrier = carrier
        self._trades = trades
        self._store = store
        self._vault = vault
        self._budget = budget
        self._aims = aims
        self._judging = judging
        self._choosing = choosing
        self._looking = False
        self._reputations = reputations
        self._key = key
        self._nets = nets
        nets.buyer = self._book
        self._touched: dict[PeerId, Trade] = {}
        self._settle_soon = False
        self._finished: set[TorrentId] = set()
        self._deciding: Counter[TorrentId] = Counter()
        """Bids under way."""
        self._closed = False
        carrier.on(AskReceived, lambda trade, order: carrier.spawn(self._bid(trade)))
        carrier.on(IssueCheque, self._issue_soon)
        carrier.on(RaiseFloor, lambda trade, order: carrier.spawn(self._raise_floor(trade, order)))

    def close(self) -> None:
        """No more bids."""
        self._closed = True

    # --- what happens on connections ---------------------------------------------------------------------------------

    def open(self, trade: Trade) -> None:
        """Listen to what this connection asks for."""
        # Among the rails that the seller takes, too, one where a deposit stands; else as the user has ordered them.
        rails = dict(sorted(self._rails.items(), key=lambda item: not self._vault.free(item[0])))
        trade.buyer = BuyerSession(self._key.address, rails)
        if trade.torrent in self._finished:
            trade.buyer.finish()

    def bytes_received(self, trade: Trade, piece: int, length: int, *, unrequested: int) -> None:
        if trade.buyer:
            done = piece in self._trades.verified.get(trade.torrent, ())
            trade.buyer.bytes_received(piece, length, unrequested=unrequested, verified=done)
            self._touch(trade)

    def piece_passed(self, torrent: TorrentId, piece: int) -> None:
        self._trades.verified.setdefault(torrent, set()).add(piece)
        for trade in self._trades.of_torrent(torrent):
            if trade.buyer:
                self._note(trade, Deed.DELIVERED, trade.buyer.piece_passed(piece))
                self._touch(trade)

    def piece_failed(self, torrent: TorrentId, piece: int) -> None:
        for trade in self._trades.of_torrent(torrent):
            if trade.buyer and (lost := trade.buyer.piece_failed(piece)):
                log.warning("piece %d failed: %d bytes of it came from %s", piece, lost, trade.host)
                self._note(trade, Deed.FAILED, 1)

    def _note(self, trade: Trade, deed: Deed, amount: int) -> None:
        """Whoever we never bid to has no name for us."""
        if trade.buyer_key is not None:
            self._reputations.note(*trade.buyer_key, deed, amount)

    def finished(self, torrent: TorrentId) -> None:
        """Nothing more is wanted of it."""
        self._finished.add(torrent)
        for trade in self._trades.of_torrent(torrent):
            if trade.buyer:
                trade.buyer.finish()
                self._touch(trade)

    def gone(self, trade: Trade) -> None:
        """The connection is gone: what is verified is still paid."""
        self._aims.forget(trade.peer)
        self._choosing.forget(trade.peer)
        if trade.buyer:
            self.settle(trade)
            trade.buyer.closed()

    def tick(self) -> None:
        """Look at what all sellers do, unless the last look still goes on."""
        if not self._looking and not self._closed and self._trades.open:
            self._looking = True
            self._carrier.spawn(self._look())

    def timer(self, trade: Trade, now: Now) -> None:
        """What is due on one connection."""
        if trade.buyer is None:
            return
        self._touch(trade)
        if trade.retry_bid_at is not None and now.mono >= trade.retry_bid_at:
            trade.retry_bid_at = None
            self._carrier.spawn(self._bid(trade))
        elif trade.retry_bid_at is None and trade.buyer.bid_made and self._aims.moves(self._terms(trade.torrent)):
            self._carrier.spawn(self._bid(trade, only_if_moved=True))
        if trade.stopped_at is None:
            return
        if not trade.buyer.meter.price:
            self._budget.withdraw(trade.peer)
        elif now.mono >= trade.stopped_at + STOP_GRACE:
            self._carrier.disconnect(trade, "goes on charging after a stop")

    async def _look(self) -> None:
        """Stop those that do not deliver, and divide anew what they leave."""
        try:
            verdicts = await self._judging.round()
            await self._choosing.look()
        finally:
            self._looking = False
        changed = self._choosing.changed()
        for trade, reason in verdicts:
            self._stop(trade, reason)
            changed.add(trade.torrent)
        for torrent in changed:
            for trade in list(self._trades.by_torrent.get(torrent, {}).values()):
                if trade.buyer and trade.buyer.state is BuyerState.BIDDING:
                    self._carrier.spawn(self._bid(trade, only_if_moved=True))

    def _stop(self, trade: Trade, reason: str) -> None:
        """Pay this seller no more, on any connection. What it has delivered is still paid."""
        if trade.buyer_key is None or trade.buyer is None:
            return
        bar = self._judging.barred.add(trade.buyer_key, reason, self._carrier.now().mono)
        log.warning("no more bids to %s for a while: %s", trade.host, reason)
        for other in [one for one in self._trades.open.values() if one.buyer_key == trade.buyer_key]:
            self._withdraw(other, bar)

    def _withdraw(self, trade: Trade, bar: Bar) -> None:
        """The bid is off until the bar is over; the connection stays, for what comes free."""
        trade.last_word = LastWord(StopCode.BYE, bar.reason, by_peer=False)
        trade.retry_bid_at = bar.until
        if trade.buyer is not None:
            self._carrier.run(trade, trade.buyer.stop(StopCode.BYE, bar.reason))

    # --- the user ----------------------------------------------------------------------------------------------------

    def due(self, torrent: TorrentId) -> tuple[int, bool]:
        """(units owed for this torrent and not signed yet, whether all its sellers are paid and have said so)."""
        due = sum(book.pending.get(torrent, 0) for book in self._trades.buyers.values())
        settled = all(
            trade.buyer.account.settled
            for trade in self._trades.of_torrent(torrent)
            if trade.buyer_key and trade.buyer and trade.buyer.account
        )
        # While a bid is under way, we may owe its seller a cheque that a crash kept from it.
        return due, settled and due == 0 and not self._deciding[torrent]

    def set_terms(self, torrent: TorrentId, terms: TorrentTerms) -> None:
        """The user's limits for a torrent: bid anew everywhere."""
        self._budget.terms[torrent] = terms
        for trade in list(self._trades.by_torrent.get(torrent, {}).values()):
            if trade.buyer and trade.buyer.ask:
                self._carrier.spawn(self._bid(trade))

    def netted(self, torrent: TorrentId) -> int:
        """Units of this torrent's debts since the node started that cancel out with what its sellers owe us."""
        return sum(book.netted.get(torrent, 0) for book in self._trades.buyers.values())

    def settle_with(self, key: AccountKey) -> None:
        """Something has changed between us and this payee."""
        for trade in list(self._trades.open.values()):
            if trade.buyer_key == key:
                self._touch(trade)

    def torrent_removed(self, torrent: TorrentId) -> None:
        """Forget a torrent; what was received and not verified is never paid."""
        for trade in self._trades.forget_torrent(torrent):
            self._budget.release(trade.peer)
        self._finished.discard(torrent)
        if not self._deciding[torrent]:
            del self._deciding[torrent]

    # --- debts -------------------------------------------------------------------------------------------------------

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
            self.settle(trade)

    def settle(self, trade: Trade) -> None:
        """Turn what has become payable into debt, and the debt into a cheque where one is due."""
        buyer = trade.buyer
        if buyer is None or trade.buyer_key is None:
            return
        now = self._carrier.now()
        outputs = buyer.settle(now)
        self._put_down(trade)
        self._carrier.run(trade, outputs)
        self._nets.divide(trade.buyer_key)
        deadline = buyer.deadline()
        if deadline is not None and not trade.gone:
            asyncio.get_running_loop().call_later(max(0.0, deadline - now.mono), self._touch, trade)

    def _put_down(self, trade: Trade) -> None:
        """What has become payable on this connection is this torrent's debt: count it against the user's limits."""
        buyer, key = trade.buyer, trade.buyer_key
        if buyer is None or key is None or buyer.counted <= trade.divided:
            return
        grown, trade.divided = buyer.counted - trade.divided, buyer.counted
        pending = self._trades.buyers[key].pending
        pending[trade.torrent] = pending.get(trade.torrent, 0) + grown
        if self._budget.spent(trade.peer, trade.torrent, grown) and not trade.gone:
            self._carrier.spawn(self._bid(trade))

    # --- bids --------------------------------------------------------------------------------------------------------

    def _terms(self, torrent: TorrentId) -> TorrentTerms:
        return self._budget.terms.get(torrent, TorrentTerms())

    async def _bid(self, trade: Trade, *, only_if_moved: bool = False) -> None:
        self._deciding[trade.torrent] += 1
        try:
            await self._decide(trade, only_if_moved=only_if_moved)
        finally:
            self._deciding[trade.torrent] -= 1

    async def _decide(self, trade: Trade, *, only_if_moved: bool) -> None:
        buyer = trade.buyer
        if buyer is None or buyer.ask is None or buyer.rail is None or trade.gone or self._closed:
            return
        key = (buyer.rail.id, buyer.ask.payee)
        book = await self._book(key)
        await self._nets.prepare(key)
        if trade.torrent in self._finished and buyer.account is None and book.account.settled:
            return
        plan, part = await self._plan(trade, buyer, buyer.ask.reserve, buyer.rail.id)
        terms = self._terms(trade.torrent)
        offer: Quote | NoBid
        if isinstance(plan, NoBid):
            offer, highest = plan, 0
        else:
            offer, highest = await self._aims.offer(trade, terms, plan, used=buyer.counted, part=part), plan.price
        if trade.peer not in self._trades.open:  # it may have gone while the store answered
            return
        now = self._carrier.now()
        if bar := self._judging.barred.find(key, now.mono):
            self._withdraw(trade, bar)
            return
        if isinstance(offer, NoBid):
            # What the budget allowed before stays out until its ceiling; what the strategy no longer wants does not.
            self._no_bid(trade, offer, now, end=not isinstance(plan, NoBid))
            return
        old = buyer.bid_made
        if only_if_moved and old is not None and buyer.state is BuyerState.BIDDING:
            out = Quote(old.price, old.rate, old.ceiling)
            if not worth_renewing(out, offer, max_price=highest, until=old.until, now=now.wall, margin=RENEW_AHEAD):
                return
        trade.buyer_key = key
        trade.stopped_at = None
        outputs = buyer.bid(
            book.account,
            price=offer.price,
            rate=offer.rate,
            ceiling=offer.ceiling,
            until=now.wall + BID_VALID,
            sign=self._key.sign_digest,
        )
        self._carrier.run(trade, outputs)
        await self._nets.join(trade)

    async def _plan(self, trade: Trade, buyer: BuyerSession, reserve: int, rail: str) -> tuple[Plan | NoBid, int]:
        """What this seller may cost, or why nothing; and its part of the wanted rate in thousandths."""
        unspent = await self._budget.unspent(trade.torrent)
        share = self._choosing.share(trade, unspent)
        if share is None and unspent != 0:
            return NoBid("the budget goes further with other sellers", final=False), 0
        plan = await self._budget.plan(
            trade.peer,
            trade.torrent,
            rail=rail,
            reserve=reserve,
            used=buyer.counted,
            default_price=self._default_price,
            share=share.amount if share else None,
        )
        return plan, share.rate if share else 0

    def _no_bid(self, trade: Trade, why: NoBid, now: Now, *, end: bool) -> None:
        """Nothing to bid now; look again later where that may change. `end`: what is out shall not go on either."""
        trade.last_word = LastWord(StopCode.BUDGET, why.reason, by_peer=False)
        if end and trade.buyer is not None:
            self._carrier.run(trade, trade.buyer.stop(StopCode.BYE, why.reason))
        if not why.final:
            soon = self._aims.moves(self._terms(trade.torrent))
            trade.retry_bid_at = now.mono + (MOVING_RETRY if soon else RETRY_BID)

    async def _book(self, key: AccountKey) -> BuyerBook:
        book = self._trades.buyers.get(key)
        if book is not None:
            return book
        stored = await self._store.issued(key[0], self._key.address, key[1])
        account = BuyerAccount()
        if stored is not None:
            account = BuyerAccount(
                owed=stored.owed,
                issued=stored.cumulative,
                signature=stored.signature,
                unproven=stored.needs_reconcile,
            )
        return self._trades.buyers.setdefault(key, BuyerBook(account))

    # --- cheques -----------------------------------------------------------------------------------------------------

    def _issue_soon(self, trade: Trade, order: IssueCheque) -> None:
        spent: dict[TorrentId, int] = {}
        self._put_down(trade)  # a receipt may have settled without us
        if trade.buyer_key is not None:
            book = self._trades.buyers[trade.buyer_key]
            # What had been set off against a debt that the payee has paid, or does not acknowledge, is paid after all.
            left = order.amount - sum(book.pending.values())
            if left > 0:
                self._budget.returned(move(book.netted, book.pending, left))
            move(book.pending, spent, order.amount)
        self._carrier.spawn(self._issue(trade, order, spent))

    async def _issue(self, trade: Trade, order: IssueCheque, spent: dict[TorrentId, int]) -> None:
        buyer, key = trade.buyer, trade.buyer_key
        if buyer is None or key is None or buyer.rail is None:
            return
        book = self._trades.buyers[key]
        wall = self._carrier.now().wall
        try:
            await self._budget.authorise(spent)
        except LimitError as error:
            self._undo_pending(book, spent)
            self._carrier.run(trade, buyer.issue_refused(str(error)))
            return
        signed = sign_cheque(buyer.rail, Cheque(self._key.address, key[1], order.cumulative), self._key)
        cheque = IssuedCheque(
            rail=order.rail,
            payer=self._key.address,
            payee=key[1],
            cumulative=order.cumulative,
            owed=max(order.cumulative, book.account.owed),
            signature=signed.signature,
            updated_at=wall,
        )
        try:
            await self._store.issue_cheque(
                StoredIssue(cheque=cheque, amount=order.amount, spent=spent, day=utc_day(wall))
            )
        except (StoreError, WalletError) as error:
            self._undo_pending(book, spent)
            self._carrier.run(trade, buyer.issue_refused(f"no cheque: {error}"))
            raise
        self._budget.committed(spent)
        self._vault.issued(key[0], order.amount)
        self._carrier.run(trade, buyer.cheque_issued(order.cumulative, signed.signature))
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
                updated_at=self._carrier.now().wall,
            )
        )
