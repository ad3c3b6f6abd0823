"""What the market's events do to positions and journal, in one transaction with the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from node.ports.store import ChainCursor, Entry
from node.store import operations
from node.store.unit import Unit
from wallet.storage.books import MarketBooks, Position
from wallet.storage.chain import Happened
from wallet.storage.events import Deposited, MarketEvent, Withdrawn
from wallet.storage_terms import StorageContract


def book_market(
    unit: Unit,
    books: MarketBooks,
    events: Sequence[Happened[MarketEvent]],
    first: int,
    cursor: ChainCursor,
    now: int,
) -> bool:
    stored = unit.cursors.get(cursor.rail)
    if stored is not None and stored.block + 1 != first:
        return False
    for happened in events:
        event = happened.event
        contract = None if isinstance(event, Deposited | Withdrawn) else event.id
        held = None if contract is None else unit.positions.get(contract)
        after, moves = books.follow(held, event)
        if after is not None:
            unit.positions.put(after)
        ref = happened.transaction.hex() if contract is None else contract.hex()
        entries = [
            Entry(rail=books.rail, debit=move.debit, credit=move.credit, amount=move.amount, ref=ref, memo=move.memo)
            for move in moves
        ]
        operations.post(unit, entries, now)
    unit.cursors.put(cursor)
    return True


def promise(unit: Unit, contract_id: bytes, rail: str, terms: StorageContract, day: int) -> None:
    """A signed offer can lock its escrow from now on."""
    if unit.positions.get(contract_id) is None:
        unit.positions.put(Position(id=contract_id, rail=rail, day=day, terms=terms, promised=terms.escrow))


def release(unit: Unit, contract_id: bytes) -> None:
    """It can lock nothing any more: it was not opened before its start."""
    held = unit.positions.get(contract_id)
    if held is not None and held.promised:
        unit.positions.put(replace(held, promised=0))
