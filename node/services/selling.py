"""The selling half of the market: what payers' coverage allows, and cheques made durable before they count."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from node.ports.store import Store
from node.services.advances import Advances
from node.services.carrier import Carrier
from node.services.history import received_cheque
from node.services.netting import Nets
from node.services.reputation import Reputations
from node.services.trades import AccountKey, Trade, Trades
from node.services.vault import VaultView
from node.speed.credit import SellerAccount
from node.speed.errors import StopCode
from node.speed.newcomers import LEAST_DRAW, Newcomers
from node.speed.outputs import CheckCoverage, StoreCheque
from node.speed.reputation import Deed
from node.speed.seller import SellerSession, SellerState, SellerTerms
from wallet.address import Address
from wallet.amount import MIB
from wallet.chains.base import ChainError
from wallet.solvency import Standing


class Selling:
    """One per node."""

    def __init__(
        self,
        terms: SellerTerms,
        *,
        carrier: Carrier,
        trades: Trades,
        store: Store,
        vault: VaultView,
        reputations: Reputations,
        nonce: Callable[[int], bytes],
        nets: Nets,
    ) -> None:
        self._terms = terms
        self._carrier = carrier
        self._trades = trades
        self._store = store
        self._vault = vault
        self._reputations = reputations
        self._nonce = nonce
        self._advances = Advances(
            Newcomers(window=max(LEAST_DRAW, terms.credit.newcomer)),
            reserve=terms.reserve,
            now_ms=lambda: int(carrier.now().mono * 1000),
            on_more=self._advanced,
        )
        self._nets = nets
        nets.seller = self._account
        carrier.on(CheckCoverage, lambda trade, order: carrier.spawn(self._check_coverage(trade, order)))
        carrier.on(StoreCheque, lambda trade, order: carrier.spawn(self._store_cheque(trade, order)))

    def open(self, trade: Trade) -> None:
        """Offer to sell on this connection."""
        trade.seller = SellerSession(self._terms, self._nonce(32))
        self._carrier.run(trade, trade.seller.start(self._carrier.now()))

    def tick(self) -> None:
        """Call about once a second."""
        trades = self._trades.open.values()
        self._advances.tick({trade.seller_key for trade in trades if trade.seller_key and _stands(trade)})

    def refresh(self, key: AccountKey) -> None:
        """The account moved: all connections of this payer may be served more or less."""
        self._advances.look_again(key)
        now = self._carrier.now()
        for trade in list(self._trades.open.values()):
            if trade.seller_key == key and trade.seller is not None:
                self._carrier.run(trade, trade.seller.refresh(now))

    def coverage_changed(self, rail: str, payer: Address, standing: Standing) -> None:
        """News from the chain about a payer who may owe us."""
        account = self._trades.sellers.get((rail, payer))
        if account is not None:
            account.cover(standing)
            self.refresh((rail, payer))

    def barred(self, rail: str, payer: Address) -> None:
        """A cheque of this payer has bounced: no connection of it is sold anything any more."""
        for trade in list(self._trades.open.values()):
            if trade.seller_key == (rail, payer) and trade.seller is not None:
                self._refuse_barred(trade, trade.seller, (rail, payer))

    def gone(self, trade: Trade) -> None:
        """The connection is gone. What the payer leaves unpaid with its last one is held against it."""
        seller, key = trade.seller, trade.seller_key
        if seller is None or key is None or seller.account is None:
            return
        if not any(other.seller_key == key for other in self._trades.open.values()):
            self._reputations.note(*key, Deed.UNPAID, seller.account.abandon() * MIB // seller.price)
            self._advances.gone(key)
        self.refresh(key)

    def _advanced(self, key: AccountKey) -> None:
        now = self._carrier.now()
        for trade in list(self._trades.open.values()):
            if trade.seller_key == key and trade.seller is not None:
                self._carrier.run(trade, trade.seller.advanced(now))

    def _refuse_barred(self, trade: Trade, seller: SellerSession, key: AccountKey) -> bool:
        """Whether this payer may be sold nothing now, and has been told so."""
        until = self._reputations.barred_until(*key)
        if until is None:
            return False
        day = datetime.fromtimestamp(until, UTC).date()
        text = f"a cheque of this payer bounced: nothing is sold to it before {day}, unless the cheque is paid"
        self._carrier.run(trade, seller.refuse(StopCode.INSOLVENT, text))
        return True

    async def _check_coverage(self, trade: Trade, order: CheckCoverage) -> None:
        seller, bid = trade.seller, order.bid
        if seller is None:
            return
        key = (bid.rail, bid.payer)
        account = await self._account(key)
        await self._nets.prepare(key)
        try:
            account.cover(await self._vault.standing(bid.rail, bid.payer))
        except ChainError as error:
            self._carrier.run(trade, seller.coverage_failed(str(error)))
            return
        trade.seller_key = key
        if self._refuse_barred(trade, seller, key):
            return
        await self._nets.join(trade)
        account.score = self._reputations.score(*key)
        if trade.peer in self._trades.open:  # it may have gone while others answered
            self._advances.ask(key, account, host=trade.host, price=seller.round_price)
        self._carrier.run(trade, seller.coverage_known(account))

    async def _account(self, key: AccountKey) -> SellerAccount:
        account = self._trades.sellers.get(key)
        if account is not None:
            return account
        stored = await self._store.received(key[0], key[1], self._terms.payee)
        account = SellerAccount(self._terms.credit, advance=0)
        if stored is not None:
            account = SellerAccount(
                self._terms.credit,
                earned=max(stored.earned, stored.cumulative),
                accepted=stored.cumulative,
                storing=stored.cumulative,
                signature=stored.signature,
                forgiven=stored.forgiven,
                paid_bytes=stored.paid_bytes,
                advance=0,
                left_unpaid=max(0, stored.earned - stored.cumulative),
            )
        return self._trades.sellers.setdefault(key, account)

    async def _store_cheque(self, trade: Trade, order: StoreCheque) -> None:
        seller, key = trade.seller, trade.seller_key
        if seller is None or key is None or seller.account is None:
            return
        account, now = seller.account, self._carrier.now()
        await self._store.receive_cheque(
            received_cheque(key, self._terms.payee, account, order.cumulative, order.signature, now.wall)
        )
        paid, paid_bytes = account.accepted, account.paid_bytes
        outputs = seller.cheque_stored(order.cumulative, order.signature, self._carrier.now())
        self._reputations.note(*key, Deed.PAID, account.accepted - paid)
        self._reputations.note(*key, Deed.BOUGHT, account.paid_bytes - paid_bytes)
        account.score = self._reputations.score(*key)
        self._advances.paid(key)
        self._carrier.run(trade, outputs)
        self.refresh(key)
        self._nets.paid(key)


def _stands(trade: Trade) -> bool:
    """Its bid may be served now or later, or is still being charged for."""
    seller = trade.seller
    return seller is not None and (seller.meter.price > 0 or seller.state not in (SellerState.FREE, SellerState.CLOSED))
