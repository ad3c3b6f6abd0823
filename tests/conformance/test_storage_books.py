"""The journal against the real market on both devnets: what it says of a party is what the chain says, to the unit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from node.ports.store import Account, Line, StoreError
from node.services.storagebooks import StorageBooks
from node.store import SqlStore, open_store
from tests.conformance.storage_kit import (
    AUDITOR,
    BENCHES,
    BOND,
    COLLATERAL,
    EPOCH,
    EPOCHS,
    FUNDS,
    HOST,
    PRICE,
    RENTER,
    SPARE,
    StorageBench,
    proof,
    storage_bench,
)
from wallet.keys import PrivateKey
from wallet.storage_terms import Cancel

ESCROW = EPOCHS * PRICE


@pytest.fixture(params=sorted(BENCHES))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[StorageBench]:
    async with storage_bench(request.param) as bench:
        yield bench


class Party:
    """A node's books of the market, kept by the node's own parts."""

    def __init__(self, bench: StorageBench, key: PrivateKey, store: SqlStore) -> None:
        self.bench, self.key, self.store = bench, key, store
        self.books = self.follower()

    def follower(self, store: Any = None) -> StorageBooks:
        return StorageBooks(
            self.bench.market,
            self.bench.chain,
            store=store or self.store,
            own=self.key.address,
            since=0,
            wall=lambda: 1_800_000_000,
        )

    async def figures(self) -> dict[Account, int]:
        rail = self.bench.chain.rail.id
        found = await self.store.balances()
        return {account: found.get(Line(rail, "", account), 0) for account in Account}

    async def agrees(self) -> dict[Account, int]:
        """Look, and compare with the chain; returns the figures."""
        await self.books.look()
        figures = await self.figures()
        assert figures[Account.MARKET] == await self.bench.market.balance(self.key.address)
        assert figures[Account.LOCKED] == sum(position.locked for position in await self.store.positions())
        assert sum(figures.values()) == 0
        return figures


async def parties(bench: StorageBench, folder: Path, *keys: PrivateKey) -> Sequence[Party]:
    return [Party(bench, key, await open_store(folder / f"{number}.db", None)) for number, key in enumerate(keys)]


async def finalise(bench: StorageBench) -> None:
    """What has happened so far is final."""
    await bench.bench.mine(100)


async def test_a_life_with_everything_in_it_is_booked_as_the_chain_has_it(bench: StorageBench, tmp_path: Path) -> None:
    calls = bench.calls
    renter, host, auditor = await parties(bench, tmp_path, RENTER, HOST, AUDITOR)
    first = await bench.opened(payee=HOST.address)
    lost = await bench.opened(payee=HOST.address, nonce=8)
    await finalise(bench)
    figures = await renter.agrees()
    assert (figures[Account.LOCKED], figures[Account.MARKET]) == (2 * ESCROW, FUNDS - 2 * ESCROW)
    assert (await host.agrees())[Account.LOCKED] == 2 * COLLATERAL

    # A voucher, a challenge that is answered, and one that is not.
    await bench.go_to_epoch(first, 1)
    await bench.send(calls.settle(first, 2, bench.voucher(first, 2)), SPARE)
    await bench.send(calls.challenge(first, 5), AUDITOR)
    await bench.send(calls.answer(first, proof(5)), SPARE)
    await bench.send(calls.challenge(lost, 1), RENTER)
    await finalise(bench)
    assert (await renter.agrees())[Account.LOCKED] == 2 * ESCROW - 2 * PRICE + BOND
    assert (await auditor.agrees())[Account.STORAGE_EXPENSE] == BOND
    record = await bench.market.record(bench.id(lost))
    assert record.challenge is not None
    await bench.go_to(record.challenge.answer_by + 1)
    await bench.send(calls.fail(lost), SPARE)
    await bench.send(calls.cancel(first, 2, bench.signatures(Cancel(bench.id(first), 2))), SPARE)
    await bench.send(calls.withdraw(7, RENTER.address), RENTER)
    await finalise(bench)

    figures = await renter.agrees()
    assert figures[Account.LOCKED] == 0
    assert figures[Account.STORAGE_EXPENSE] == 2 * PRICE
    assert figures[Account.STORAGE_INCOME] == -COLLATERAL, "what the host that lost its shard had put in"
    assert figures[Account.WALLET] == 7 - FUNDS
    figures = await host.agrees()
    assert figures[Account.STORAGE_INCOME] == -(2 * PRICE + BOND)
    assert figures[Account.STORAGE_EXPENSE] == COLLATERAL
    for party in (renter, host, auditor):
        await party.store.close()


async def test_a_host_that_leaves_early_pays_in_both_books(bench: StorageBench, tmp_path: Path) -> None:
    renter, host = await parties(bench, tmp_path, RENTER, HOST)
    terms = await bench.opened(payee=HOST.address)
    await bench.go_to_epoch(terms, 0)
    await bench.send(bench.calls.exit(terms), HOST)
    await bench.go_to(terms.epoch_start(2) + EPOCH)
    await bench.send(bench.calls.close(terms), SPARE)
    await finalise(bench)
    fee = COLLATERAL * (EPOCHS - 2) // (2 * EPOCHS)
    assert (await renter.agrees())[Account.STORAGE_INCOME] == -fee
    assert (await host.agrees())[Account.STORAGE_EXPENSE] == fee
    for party in (renter, host):
        await party.store.close()


class _Fails:
    """A store that dies after it has booked: the caller does not hear of it."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self.cursor = store.cursor
        self.positions = store.positions

    async def book_market(self, *arguments: Any, **named: Any) -> bool:
        await self._store.book_market(*arguments, **named)
        raise StoreError("the process ends here")


async def test_nothing_is_booked_twice_whatever_is_read_again(bench: StorageBench, tmp_path: Path) -> None:
    (renter,) = await parties(bench, tmp_path, RENTER)
    await bench.opened()
    await finalise(bench)
    with pytest.raises(StoreError):
        await renter.follower(_Fails(renter.store)).look()
    before = await renter.figures()
    assert before[Account.LOCKED] == ESCROW
    for _ in range(2):
        await renter.follower().look()
    assert await renter.figures() == before
    await renter.agrees()
    await renter.store.close()


async def test_what_is_not_final_is_in_no_book(bench: StorageBench, tmp_path: Path) -> None:
    (renter,) = await parties(bench, tmp_path, RENTER)
    await finalise(bench)
    await renter.books.look()
    await bench.opened()
    await renter.books.look()
    final = (await bench.chain.final()).number
    stored = await renter.store.cursor(f"{bench.chain.rail.id} {bench.market.address.evm}")
    assert stored is not None
    assert stored.block <= final
    if final < (await bench.chain.head()).number:
        assert (await renter.figures())[Account.LOCKED] == 0
    await finalise(bench)
    assert (await renter.agrees())[Account.LOCKED] == ESCROW
    await renter.store.close()
