"""Credit for payers who have paid nothing yet: drawn from their network's budget, in the order in which they came.

    bid covered ──ask──▶ advance, or a place in its prefix's queue
    cheque stored, connection gone ──▶ what is not needed any more goes back ──▶ the next in the queue

`node.speed.newcomers` counts, `node.speed.credit` says who needs how much. The queue of a prefix is looked at when
something of that prefix goes back, and once a second, since what nobody paid for is forgotten in time. Budgets are in
memory: a restart hands each prefix one window anew.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from node.services.trades import AccountKey
from node.speed.credit import SellerAccount
from node.speed.newcomers import LEAST_DRAW, Newcomers, prefix_of
from wallet.amount import MIB


@dataclass(slots=True)
class _Claim:
    """A payer who is connected and has drawn, or waits to draw, at `host`; `price` in units per MiB."""

    account: SellerAccount
    host: str
    price: int


class Advances:
    """One per node that sells. `now_ms`: milliseconds of a clock that never goes back. `reserve`: the lowest price.

    `on_more` is told of each payer who has got more while it waited.
    """

    def __init__(
        self,
        newcomers: Newcomers,
        *,
        reserve: int,
        now_ms: Callable[[], int],
        on_more: Callable[[AccountKey], object],
    ) -> None:
        self._newcomers = newcomers
        self._reserve = reserve
        self._now_ms = now_ms
        self._on_more = on_more
        self._claims: dict[AccountKey, _Claim] = {}
        self._queues: dict[str, dict[AccountKey, None]] = {}
        """By prefix: who still lacks something, the first to come first."""

    def ask(self, key: AccountKey, account: SellerAccount, *, host: str, price: int) -> None:
        """A payer with this account bids from `host`: draw what it needs, as far as there is any, else let it wait."""
        claim = self._claims.setdefault(key, _Claim(account, host, price))
        claim.price = price
        self.look_again(key)

    def look_again(self, key: AccountKey) -> None:
        """Something of this payer's account may have changed: its cover, or what cancels out."""
        claim = self._claims.get(key)
        if claim is not None and _lacks(claim):
            prefix = prefix_of(claim.host)
            self._queues.setdefault(prefix, {})[key] = None
            self._serve(prefix)

    def paid(self, key: AccountKey) -> None:
        """A cheque of this payer counts: what it has paid for needs no advance."""
        claim = self._claims.get(key)
        if claim is not None:
            self._give_back(key, claim, max(0, _held(claim) - claim.account.needed_advance(self._reserve)))

    def gone(self, key: AccountKey) -> None:
        """Its last connection is gone, or trades no more: what it was never sent goes back."""
        claim = self._claims.pop(key, None)
        if claim is None:
            return
        self._queues.get(prefix_of(claim.host), {}).pop(key, None)
        # At the lowest price there is: raising it at the end must not make a debt look like fewer bytes than were sent.
        unpaid = -(-claim.account.unsigned * MIB // self._reserve)
        self._give_back(key, claim, max(0, _held(claim) - unpaid))
        claim.account.advance = 0

    def tick(self, trading: Container[AccountKey]) -> None:
        """Time has passed; `trading`: whose bids stand. Who stays and trades no more needs nothing, until it asks."""
        for key in [key for key in self._claims if key not in trading]:
            self.gone(key)
        for prefix in list(self._queues):
            self._serve(prefix)

    def _give_back(self, key: AccountKey, claim: _Claim, unused: int) -> None:
        if unused:
            self._newcomers.give_back(claim.host, key, unused, self._now_ms())
            claim.account.advance = _held(claim) - unused
        self._serve(prefix_of(claim.host))

    def _serve(self, prefix: str) -> None:
        """Hand out what there is, in the order of the queue."""
        queue = self._queues.get(prefix, {})
        while queue:
            key = next(iter(queue))
            claim, held = self._claims[key], _held(self._claims[key])
            if _lacks(claim):
                wanted = claim.account.wanted_advance(claim.price)
                claim.account.advance = self._newcomers.draw(claim.host, key, wanted, self._now_ms())
            done = not _lacks(claim)
            if done:
                del queue[key]
            if done or _held(claim) > held:
                self._on_more(key)
            if not done:
                return
        self._queues.pop(prefix, None)


def _held(claim: _Claim) -> int:
    return claim.account.advance or 0


def _lacks(claim: _Claim) -> bool:
    """It needs at least the least that is handed out."""
    return claim.account.wanted_advance(claim.price) - _held(claim) >= LEAST_DRAW
