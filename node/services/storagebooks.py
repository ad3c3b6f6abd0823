"""Keeps the books of one storage market: reads its final blocks, in order, each once.

The first look begins where the contracts were made, later ones where the last one ended. What is booked is what the
market's own events say (`wallet.storage.books`), whoever sent the transactions; a market at another address is another
log, with a cursor of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from node.ports.storagebooks import StorageBooksStore
from node.ports.store import ChainCursor
from node.services.rounds import Rounds, Wait, at_most
from wallet.address import Address
from wallet.chains.base import Block, ChainAdapter, ChainAnswerError
from wallet.storage.books import MarketBooks
from wallet.storage.chain import StorageMarket

LOOK_EVERY = 5.0
STEP = 1_000
"""Blocks whose events are asked for at once."""


class StorageBooks:
    """One per rail with a market. `since`: the block of its deployment; `wall` gives Unix seconds."""

    def __init__(
        self,
        market: StorageMarket,
        chain: ChainAdapter,
        *,
        store: StorageBooksStore,
        own: Address,
        since: int,
        wall: Callable[[], int],
        wait: Wait | None = None,
    ) -> None:
        self._market = market
        self._chain = chain
        self._store = store
        self._own = own
        self._since = since
        self._wall = wall
        self._name = f"{chain.rail.id} {market.address.evm}"
        self._books: MarketBooks | None = None
        self._rounds = Rounds(f"the storage market's books on {chain.rail.id}", self.look, wait or at_most(LOOK_EVERY))

    async def run(self) -> None:
        """Look again and again, until `close` or cancellation."""
        await self._rounds.run()

    async def close(self) -> None:
        """Idempotent."""
        await self._rounds.close()

    async def look(self) -> None:
        """Book what is final. Raises `ChainError`, `StoreError`; then the next look goes on where this one ended."""
        if self._books is None:
            settings = await self._market.check()
            self._books = MarketBooks(self._own, self._chain.rail.id, settings.challenge_bond)
        final = await self._chain.final()
        first = await self._first()
        while first <= final.number:
            last = first + STEP - 1
            end = final if last >= final.number else await self._chain.final(last)
            if end.number < first:
                raise ChainAnswerError(f"a server that lags behind answered: block {last} is not final for it")
            await self._read(self._books, first, end)
            first = end.number + 1

    async def _first(self) -> int:
        stored = await self._store.cursor(self._name)
        if stored is None:
            return self._since
        block = await self._chain.final(stored.block)
        if (block.number, block.hash) == (stored.block, stored.hash):
            return stored.block + 1
        if block.number < stored.block:
            raise ChainAnswerError(f"a server that lags behind answered: block {stored.block} is not final for it")
        # Booking another history on top of this one would be worse than booking nothing.
        raise ChainAnswerError(f"block {stored.block} was final and is another one now: is this the same chain?")

    async def _read(self, books: MarketBooks, first: int, end: Block) -> None:
        events = await self._market.events(first, end.number)
        cursor = ChainCursor(self._name, end.number, end.hash)
        await self._store.book_market(books, events, first=first, cursor=cursor, now=self._wall())
