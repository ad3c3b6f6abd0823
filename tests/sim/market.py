"""The market of a simulated swarm: sellers' auctions, buyers' strategies, and money, by the real cores.

The reserve is the same everywhere, so a buyer makes one quote a round and bids it to all of its sellers. All that a
round may cost a buyer at its own bid is cut to its balance beforehand: its limits hold whatever the sellers do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from node.speed.allocation import FreeShare, Usage
from node.speed.auction import DEFAULT_RULE, Offer, run_round
from node.speed.bidder import NoBid
from node.speed.credit import CreditPolicy, SellerAccount
from node.speed.newcomers import Newcomers
from node.speed.strategy import Aim, Progress, Quote, Terms, quote, worth_renewing
from tests.sim.population import Bools, Graph, Ints
from wallet.amount import MIB, cost

MILLI = 1000
BID_VALID = 60
"""Rounds a bid stands."""
RENEW_MARGIN = 10


@dataclass(slots=True)
class Buyer:
    """What a peer wants and has. `value`: what a MiB is worth to it; it bids by `aim`, whose highest price may lie
    about it.

    `wanted`: the rate it asks every seller for, in bytes per second (0: what its strategy says); `pays`: cheques
    follow.
    """

    aim: Aim
    budget: int
    value: int = 0
    wanted: int = 0
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
    prices: list[tuple[int, int]] = field(default_factory=list)
    """(round, highest price of a sale in it)."""
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
        measured: bool = False,
        shills: Mapping[int, int] | None = None,
        newcomers: Newcomers | None = None,
        host: Callable[[int], str] = str,
    ) -> None:
        """`measured`: sellers sell nobody more than it has shown to take (`Offer.usable`); the node's service does not.

        `shills`: seller → the price at which it bids against its own buyers for all it has.

        `newcomers`: budgets of the sellers for those who have not paid yet, by the addresses that `host` gives to
        peers; one table stands for all sellers, so it is meant for a market with one. None: everyone gets a newcomer's
        credit.
        """
        self.buyers = buyers
        self.reserve = reserve
        self.book = Book()
        self._graph = graph
        self._free = free or FreeShare()
        self._credit = credit or CreditPolicy()
        self._rule = rule
        self._measured = measured
        self._shills = shills or {}
        self._newcomers = newcomers
        self._host = host
        self._contracts: dict[int, Contract] = {}
        self._incoming = {peer: graph.rev[graph.out_of(peer)] for peer in buyers}

    def sell(self, now: int, up: Ints, left: Ints, interested: Bools) -> list[Sale]:
        """The auctions of one round. `left`: bytes each peer misses; `interested[e]`: dst wants something of src."""
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
                usable = self._contract(edge).usage.usable if self._measured else None
                offers[seller].append(Offer(edge, bid.price, buyer.wanted or bid.rate, usable))
        sales: list[Sale] = []
        for seller, bids in offers.items():
            sales += self._auction(seller, int(up[seller]), bids, room, now)
        return sales

    def deliver(self, now: int, sales: Sequence[Sale], delivered: Ints, up: Ints) -> None:
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
                if self._newcomers is not None:
                    self._newcomers.give_back(self._host(sale.buyer), sale.buyer, size, now * MILLI)
        if sales:
            self.book.prices.append((now, max(sale.price for sale in sales)))
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

    def _credit_left(self, edge: int, buyer: int, price: int, now: int) -> int:
        """Units that may be metered on this edge in this round."""
        account = self._contract(edge).account
        left = account.left(price)
        if self._newcomers is None or account.paid_bytes:
            # Cheques come back faster than a round: who pays turns its window over several times in a second.
            return left * max(1, MILLI // self._credit.round_trip_ms) if self.buyers[buyer].pays else left
        drawn = self._newcomers.draw(self._host(buyer), buyer, self._credit.newcomer, now * MILLI)
        return min(left, max(0, drawn * price // MIB - account.unpaid))

    def _auction(self, seller: int, up: int, offers: list[Offer[int]], room: Mapping[int, int], now: int) -> list[Sale]:
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
            affordable = min(self._credit_left(edge, buyer, price, now), room[buyer]) * MIB // price
            sales.append(Sale(edge, seller, buyer, award.price, award.rate, min(award.rate, affordable)))
        return sales
