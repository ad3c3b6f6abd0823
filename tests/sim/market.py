"""The market of a simulated swarm: every seller's auction each round, every buyer's strategy, and money, by the real cores.

The reserve is the same everywhere, so a buyer makes one quote a round and bids it to all of its sellers. All that a round
may cost a buyer at its own bid is cut to its balance beforehand: its limits hold whatever the sellers do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from node.speed.allocation import FreeShare, Usage
from node.speed.auction import DEFAULT_RULE, Offer, run_round
from node.speed.bidder import NoBid
from node.speed.credit import CreditPolicy, SellerAccount
from node.speed.strategy import Aim, Progress, Quote, Terms, quote, worth_renewing
from tests.sim.population import Graph, Ints
from wallet.amount import MIB, cost

MILLI = 1000
BID_VALID = 60
"""Rounds a bid stands."""
RENEW_MARGIN = 10


@dataclass(slots=True)
class Buyer:
    """What a peer wants and has. `value`: what a MiB is worth to it; it bids by `aim`, whose highest price may lie about it.

    `rate_permille`: the part of its capacity it says it wants (1000: all there is); `pays`: whether cheques follow.
    """

    aim: Aim
    budget: int
    value: int = 0
    rate_permille: int = MILLI
    pays: bool = True
    spent: int = 0
    bought: int = 0
    """Bytes."""
    standing: Quote | None = None
    until: int = 0

    @property
    def balance(self) -> int:
        return self.budget - self.spent

    def bid(self, remaining: int, reserve: int, sellers: int, now: int) -> Quote | None:
        """The bid that stands in this round."""
        terms = Terms(reserve, share=MILLI // max(1, sellers))
        wish = quote(self.aim, Progress(remaining, self.balance, now * MILLI), terms)
        if isinstance(wish, NoBid):
            self.standing = None
            return None
        old = self.standing
        if old is None or worth_renewing(
            old, wish, max_price=self.aim.max_price, until=self.until, now=now, margin=RENEW_MARGIN
        ):
            self.standing, self.until = wish, now + BID_VALID
        return self.standing


@dataclass(slots=True)
class Contract:
    """One edge on which something was sold: the seller's account, and what it has learnt of the buyer's line."""

    account: SellerAccount
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Sale:
    """What was sold on one edge for one round: at most `limit` bytes at `price` units per MiB; `rate` was granted."""

    edge: int
    seller: int
    buyer: int
    price: int
    rate: int
    limit: int


@dataclass(slots=True)
class Book:
    """What the market recorded. Prices in units per MiB."""

    income: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    """Units accepted per seller."""
    sold: list[int] = field(default_factory=list)
    """Bytes per round."""
    paid: list[int] = field(default_factory=list)
    """Units metered per round."""
    over_limit: int = 0
    """Sales above the buyer's own highest price: must stay 0."""


class Market:
    """All sellers and buyers of a swarm."""

    def __init__(
        self,
        graph: Graph,
        buyers: Mapping[int, Buyer],
        *,
        reserve: int,
        free: FreeShare | None = None,
        credit: CreditPolicy | None = None,
        rule: str = DEFAULT_RULE,
        shills: Mapping[int, int] | None = None,
    ) -> None:
        """`shills`: seller → the price at which it bids against its own buyers for all it has."""
        self.buyers = buyers
        self.reserve = reserve
        self.book = Book()
        self._graph = graph
        self._free = free or FreeShare()
        self._credit = credit or CreditPolicy()
        self._rule = rule
        self._shills = shills or {}
        self._contracts: dict[int, Contract] = {}
        self._incoming = {peer: graph.rev[graph.out_of(peer)] for peer in buyers}

    def sell(self, now: int, up: Ints, left: Ints, interested: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[Sale]:
        """The auctions of one round. `left`: bytes each peer misses; `interested[e]`: dst wants from src, both present."""
        offers: dict[int, list[Offer[int]]] = defaultdict(list)
        room: dict[int, int] = {}
        for peer, buyer in self.buyers.items():
            edges = self._incoming[peer]
            edges = edges[interested[edges]]
            bid = buyer.bid(int(left[peer]), self.reserve, len(edges), now) if len(edges) else None
            if bid is None:
                continue
            room[peer] = buyer.balance // len(edges)
            for edge in edges.tolist():
                seller = int(self._graph.src[edge])
                usable = self._contract(edge).usage.usable
                wanted = bid.rate
                if buyer.rate_permille != MILLI:
                    wanted = max(1, self._free.for_sale(int(up[seller])) * buyer.rate_permille // MILLI)
                offers[seller].append(Offer(edge, bid.price, wanted, usable))
        sales: list[Sale] = []
        for seller, bids in offers.items():
            sales += self._auction(seller, int(up[seller]), bids, room)
        return sales

    def deliver(self, sales: Sequence[Sale], delivered: Ints, up: Ints) -> None:
        """The round is over: `delivered[i]` bytes of sales[i] were of use. Meters, and pays at once by cheque."""
        units = 0
        for sale, size in zip(sales, delivered.tolist(), strict=True):
            contract, buyer = self._contract(sale.edge), self.buyers[sale.buyer]
            account, amount = contract.account, cost(size, sale.price)
            account.earned += amount
            account.rate = size
            contract.usage.observe(sale.rate, size, int(up[sale.seller]))
            buyer.bought += size
            units += amount
            if sale.price > buyer.aim.max_price:
                self.book.over_limit += 1
            if buyer.pays:
                buyer.spent += amount
                self.book.income[sale.seller] += account.accept(account.earned, b"", sale.price)
        self.book.sold.append(int(delivered.sum()))
        self.book.paid.append(units)

    def unpaid(self) -> int:
        """Units metered that no cheque covers."""
        return sum(contract.account.unpaid for contract in self._contracts.values())

    def _contract(self, edge: int) -> Contract:
        contract = self._contracts.get(edge)
        if contract is None:
            contract = self._contracts[edge] = Contract(SellerAccount(self._credit))
        return contract

    def _auction(self, seller: int, up: int, offers: list[Offer[int]], room: Mapping[int, int]) -> list[Sale]:
        if seller in self._shills:
            offers = [*offers, Offer(-1, self._shills[seller])]
        outcome = run_round(self._rule, self._free.for_sale(up), self.reserve, offers)
        sales = []
        for edge, award in outcome.awards.items():
            if edge < 0 or not award.rate:
                continue
            buyer = int(self._graph.dst[edge])
            price = max(1, award.price)
            # Rounded down twice: what is delivered costs no more than credit and balance allow, rounded up.
            affordable = min(self._contract(edge).account.left(price), room[buyer]) * MIB // price
            sales.append(Sale(edge, seller, buyer, award.price, award.rate, min(award.rate, affordable)))
        return sales
