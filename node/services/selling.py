"""The selling half of the market: what payers' coverage allows, and cheques made durable before they count."""

from __future__ import annotations

from collections.abc import Callable

from node.ports.store import Store
from node.services.carrier import Carrier
from node.services.history import received_cheque
from node.services.netting import Nets
from node.services.trades import AccountKey, Trade, Trades
from node.services.vault import VaultView
from node.speed.credit import SellerAccount
from node.speed.outputs import CheckCoverage, StoreCheque
from node.speed.seller import SellerSession, SellerTerms
from wallet.address import Address
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
        nonce: Callable[[int], bytes],
        nets: Nets,
    ) -> None:
        self._terms = terms
        self._carrier = carrier
        self._trades = trades
        self._store = store
        self._vault = vault
        self._nonce = nonce
        self._nets = nets
        nets.seller = self._account
        carrier.on(CheckCoverage, lambda trade, order: carrier.spawn(self._check_coverage(trade, order)))
        carrier.on(StoreCheque, lambda trade, order: carrier.spawn(self._store_cheque(trade, order)))

    def open(self, trade: Trade) -> None:
        """Offer to sell on this connection."""
        trade.seller = SellerSession(self._terms, self._nonce(32))
        self._carrier.run(trade, trade.seller.start(self._carrier.now()))

    def refresh(self, key: AccountKey) -> None:
        """The account moved: all connections of this payer may be served more or less."""
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
        await self._nets.join(trade)
        self._carrier.run(trade, seller.coverage_known(account))

    async def _account(self, key: AccountKey) -> SellerAccount:
        account = self._trades.sellers.get(key)
        if account is not None:
            return account
        stored = await self._store.received(key[0], key[1], self._terms.payee)
        account = SellerAccount(self._terms.credit)
        if stored is not None:
            account = SellerAccount(
                self._terms.credit,
                earned=max(stored.earned, stored.cumulative),
                accepted=stored.cumulative,
                storing=stored.cumulative,
                signature=stored.signature,
                forgiven=stored.forgiven,
                paid_bytes=stored.paid_bytes,
            )
        return self._trades.sellers.setdefault(key, account)

    async def _store_cheque(self, trade: Trade, order: StoreCheque) -> None:
        seller, key = trade.seller, trade.seller_key
        if seller is None or key is None or seller.account is None:
            return
        now = self._carrier.now()
        await self._store.receive_cheque(
            received_cheque(key, self._terms.payee, seller.account, order.cumulative, order.signature, now.wall)
        )
        self._carrier.run(trade, seller.cheque_stored(order.cumulative, order.signature, self._carrier.now()))
        self.refresh(key)
