"""One party's books, kept from nothing but the market's events."""

from __future__ import annotations

from collections.abc import Iterable

from tests.contracts.bench import Receipt
from tests.contracts.storage.bench import BOND, StorageBench
from wallet.address import Address
from wallet.amount import BTT
from wallet.chains.reading import Log
from wallet.ledger import Account, Entry, Journal, check_balances
from wallet.storage.books import MarketBooks, Position
from wallet.storage.events import Deposited, MarketEvent, Withdrawn, market_event
from wallet.storage_terms import Market

RAIL = "eip155:199"


def events_of(bench: StorageBench, receipt: Receipt) -> list[MarketEvent]:
    """What a transaction did in the market, as the node reads it."""
    market = Market(bench.chain.settings.chain_id, bench.market.address)
    logs = [log.event for log in bench.chain.logs_of(receipt.mined)]
    found = (market_event(market, Log(Address(event.address), event.topics, event.data)) for event in logs)
    return [event for event in found if event is not None]


class Keeper:
    """Keeps the books of one account."""

    def __init__(self, own: Address) -> None:
        self.books = MarketBooks(own, RAIL, BOND)
        self.positions: dict[bytes, Position] = {}
        self.journal = Journal()

    def follow(self, events: Iterable[MarketEvent]) -> None:
        for event in events:
            contract = None if isinstance(event, Deposited | Withdrawn) else event.id
            held = None if contract is None else self.positions.get(contract)
            after, moves = self.books.follow(held, event)
            if contract is not None and after is not None:
                self.positions[contract] = after
            self.journal.post(*(Entry(move.debit, move.credit, move.amount, BTT, RAIL) for move in moves))
        check_balances(self.journal.balances)

    def figure(self, account: Account) -> int:
        return self.journal.figure(account, BTT, RAIL)

    @property
    def locked(self) -> int:
        """By the positions; the account must say the same."""
        return sum(position.locked for position in self.positions.values())
