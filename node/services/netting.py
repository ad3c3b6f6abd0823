"""Mutual debts in the node: which connection carries pledges, what is durable before one leaves, whose debt cancels.

    accounts of one address, both ways ──▶ Mutual ──▶ pledge ──▶ owed and earned durable ──▶ message `net`

A `Mutual` exists from the moment both accounts of a peer's address are in memory. Its pledges travel on the first
connection on which that address both sells (its ask names it) and buys (its bid has proven it). The two sides may
differ about which is first: a pledge that comes elsewhere waits for its connection to be chosen, and chooses it if it
is the lower of the two in an order that both sides compute alike.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from node.ports.engine import PeerId, TorrentId
from node.ports.store import Store
from node.services.budget import Budget
from node.services.carrier import Carrier
from node.services.history import received_cheque
from node.services.trades import AccountKey, BuyerBook, Trade, Trades
from node.speed.credit import SellerAccount
from node.speed.errors import Action, RemoteFaultError, StopCode
from node.speed.messages import Net
from node.speed.netting import Mutual
from node.speed.outputs import MakePledge, Send
from wallet.address import Address

BURST = 256
PER_SECOND = 64
"""Pledges that a connection may send: each may cost a commit to disk."""


@dataclass(slots=True)
class _Bond:
    mutual: Mutual
    trade: Trade | None = None
    """The connection that carries its pledges."""


@dataclass(slots=True)
class _Guest:
    """What one connection has sent: how many pledges since when, and the last that was not for its bond."""

    since: float
    count: int = 0
    early: Net | None = None


class Nets:
    """One per node. `reserve`: what we sell for at least, units per MiB.

    `seller`, `buyer`: the halves' own ways to an account, from memory or the store. `changed`: what the peer of this
    account may take, or is paid, is to be looked at again.
    """

    def __init__(self, *, carrier: Carrier, trades: Trades, store: Store, budget: Budget, own: Address, reserve: int):
        self.seller: Callable[[AccountKey], Awaitable[SellerAccount]]
        self.buyer: Callable[[AccountKey], Awaitable[BuyerBook]]
        self.changed: Callable[[AccountKey], None] = lambda key: None
        self._carrier = carrier
        self._trades = trades
        self._store = store
        self._budget = budget
        self._own = own
        self._reserve = reserve
        self._bonds: dict[AccountKey, _Bond] = {}
        self._guests: dict[PeerId, _Guest] = {}
        self._looked_up: set[AccountKey] = set()
        carrier.on(MakePledge, lambda trade, order: self._pledge(trade.buyer_key, order.net))

    # --- which debts meet, and where ---------------------------------------------------------------------------------

    async def prepare(self, key: AccountKey) -> None:
        """Before anything is decided on one of these accounts: find the other, if the books know it."""
        rail, address = key
        if key not in self._looked_up:
            if await self._store.received(rail, address, self._own) is not None:
                await self.seller(key)
            if await self._store.issued(rail, self._own, address) is not None:
                await self.buyer(key)
            self._looked_up.add(key)
        seller, book = self._trades.sellers.get(key), self._trades.buyers.get(key)
        if seller is None or book is None or key in self._bonds:
            return
        mutual = Mutual(book.account, seller, self._reserve)
        book.account.netter = seller.counterclaim = mutual
        self._bonds[key] = _Bond(mutual)

    async def join(self, trade: Trade) -> None:
        """One more of its keys is known: where both are one, pledges may travel here."""
        key = trade.buyer_key
        if key is None or key != trade.seller_key:
            return
        await self.prepare(key)
        bond = self._bonds[key]
        if bond.trade is None and trade.peer in self._trades.open:
            self._bind(key, bond, trade)

    def paid(self, key: AccountKey) -> None:
        """A cheque of this peer counts now: less of what we owe it cancels out."""
        if key in self._bonds:
            self.changed(key)

    def leave(self, trade: Trade) -> None:
        """The connection is gone."""
        self._guests.pop(trade.peer, None)
        key = trade.buyer_key
        bond = self._bonds.get(key) if key is not None else None
        if key is None or bond is None or (bond.trade is not None and bond.trade is not trade):
            return
        bond.trade = None
        bond.mutual.end()
        others = [other for other in self._trades.open.values() if other.seller_key == key == other.buyer_key]
        if others := [other for other in others if other is not trade]:
            self._bind(key, bond, min(others, key=lambda other: self._order(other, key)))
        self.changed(key)

    def _bind(self, key: AccountKey, bond: _Bond, trade: Trade) -> None:
        bond.trade = trade
        bond.mutual.begin()
        guest = self._guests.get(trade.peer)
        if guest is not None and guest.early is not None:
            early, guest.early = guest.early, None
            self._answer(key, bond, early)
        self.changed(key)

    def _order(self, trade: Trade, key: AccountKey) -> tuple[bytes, TorrentId]:
        """The same on both sides: who has opened it, and for what."""
        return (self._own if trade.outgoing else key[1]).raw, trade.torrent

    # --- pledges -----------------------------------------------------------------------------------------------------

    def received(self, trade: Trade, net: Net) -> None:
        """The peer's pledge. Raises `RemoteFaultError` for a flood."""
        now = self._carrier.now().mono
        guest = self._guests.setdefault(trade.peer, _Guest(now))
        guest.count += 1
        if guest.count > BURST + PER_SECOND * (now - guest.since):
            raise RemoteFaultError("too many pledges", action=Action.DISCONNECT, code=StopCode.MALFORMED)
        key = trade.buyer_key
        bond = self._bonds.get(key) if key is not None and key == trade.seller_key else None
        if key is None or bond is None:
            guest.early = net  # our side of the connection is not as far yet
        elif net.rail != key[0]:
            raise RemoteFaultError("a pledge for another rail", action=Action.IGNORE, code=StopCode.UNKNOWN_RAIL)
        elif bond.trade is trade:
            self._answer(key, bond, net)
            self.changed(key)
        else:
            guest.early = net
            if bond.trade is None or self._order(trade, key) < self._order(bond.trade, key):
                self._bind(key, bond, trade)

    def _answer(self, key: AccountKey, bond: _Bond, net: Net) -> None:
        answer = bond.mutual.received(net)
        if answer is not None:
            self._pledge(key, answer)

    def _pledge(self, key: AccountKey | None, net: Net) -> None:
        if key is not None:
            self._carrier.spawn(self._send(key, net))

    async def _send(self, key: AccountKey, net: Net) -> None:
        bond = self._bonds[key]
        trade = bond.trade
        if trade is None:
            return
        rail, address = key
        account = self._trades.sellers[key]
        await self._store.save_owed(rail, self._own, address, self._trades.buyers[key].account.owed)
        await self._store.save_earned(
            received_cheque(key, self._own, account, account.accepted, account.signature, self._carrier.now().wall)
        )
        if bond.trade is trade and not trade.gone:
            self._carrier.run(trade, [Send(net)])

    # --- whose debt cancels ------------------------------------------------------------------------------------------

    def divide(self, key: AccountKey) -> None:
        """Move debts between `pending` and `netted`, so that the user sees what is to be paid, and limits count it."""
        book, bond = self._trades.buyers[key], self._bonds.get(key)
        if bond is None:
            return
        pending, netted = sum(book.pending.values()), sum(book.netted.values())
        mutual = bond.mutual
        # What belongs to no torrent, being older than this process, cancels first.
        wanted = min(pending + netted, max(0, mutual.netted - (mutual.payable - pending - netted)))
        if wanted > netted:
            self._budget.committed(move(book.pending, book.netted, wanted - netted))
        elif wanted < netted:
            self._budget.returned(move(book.netted, book.pending, netted - wanted))


def move(source: dict[TorrentId, int], target: dict[TorrentId, int], amount: int) -> dict[TorrentId, int]:
    """Move `amount` in all, the oldest entries first, or as much as there is; returns what was moved."""
    moved: dict[TorrentId, int] = {}
    for torrent, available in list(source.items()):
        part = min(available, amount - sum(moved.values()))
        if not part:
            continue
        moved[torrent] = part
        target[torrent] = target.get(torrent, 0) + part
        if part == available:
            del source[torrent]
        else:
            source[torrent] -= part
    return moved
