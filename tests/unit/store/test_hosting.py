"""The store's side of hosting: figures only grow, and nothing counts twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.ports.storage import Bond, HostedContract, KeptLabel
from node.storage.lifecycle import State
from node.store import SqlStore, open_store
from tests.unit.storage.samples import HOST, MARKET, NOW, contract
from wallet.errors import StaleChequeError
from wallet.storage_terms import Voucher

RAIL = "eip155:1029"
TERMS = replace(contract(), payee=HOST.address)


def hosted(**changes: object) -> HostedContract:
    found = HostedContract(
        id=TERMS.digest(MARKET),
        rail=RAIL,
        market=MARKET.contract,
        contract=TERMS,
        renter_signature=b"r" * 65,
        host_signature=b"h" * 65,
        state=State.SIGNED,
        peers=("127.0.0.1:6881", "[::1]:6881"),
        epochs=TERMS.epochs,
        created_at=NOW,
    )
    return replace(found, **changes)  # type: ignore[arg-type] # fields of the record, by name


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    store = await open_store(tmp_path / "node.db", None)
    yield store
    await store.close()


async def test_a_contract_comes_back_as_it_was(store: SqlStore) -> None:
    await store.save_hosted(hosted(renews=b"\x01" * 32, cancel=3, cancel_signature=b"c", damaged="gone"))
    assert await store.hosted() == [hosted(renews=b"\x01" * 32, cancel=3, cancel_signature=b"c", damaged="gone")]


async def test_a_later_save_takes_no_voucher_payment_or_bond_back(store: SqlStore) -> None:
    await store.save_hosted(hosted())
    await store.keep_voucher(Voucher(hosted().id, 4), b"v" * 65, NOW)
    await store.book_paid(hosted().id, 0b101)
    await store.book_bond(Bond("aa", hosted().id, 70, NOW))
    await store.save_hosted(hosted(state=State.ACTIVE))
    (found,) = await store.hosted()
    assert (found.state, found.voucher, found.paid, found.bonds) == (State.ACTIVE, 4, 0b101, 70)
    with pytest.raises(StaleChequeError):
        await store.keep_voucher(Voucher(hosted().id, 4), b"w" * 65, NOW)
    with pytest.raises(KeyError):
        await store.keep_voucher(Voucher(b"\x09" * 32, 4), b"w" * 65, NOW)


async def test_what_is_told_twice_counts_once(store: SqlStore) -> None:
    await store.save_hosted(hosted())
    assert await store.book_paid(hosted().id, 0b011) == 2 * TERMS.price_per_epoch
    assert await store.book_paid(hosted().id, 0b011) == 0
    assert await store.book_paid(hosted().id, 0b110) == TERMS.price_per_epoch
    assert await store.book_bond(Bond("aa", hosted().id, 70, NOW))
    assert not await store.book_bond(Bond("aa", hosted().id, 70, NOW))
    (found,) = await store.hosted()
    assert (found.claimed, found.bonds) == (3 * TERMS.price_per_epoch, 70)
    assert await store.balances() == {}, "the journal follows the market's log"


async def test_a_label_is_replaced_by_a_newer_one_only_and_goes_when_its_contract_ends(store: SqlStore) -> None:
    first, second = KeptLabel(hosted().id, 3, b"sealed"), KeptLabel(hosted().id, 4, b"sealed anew")
    with pytest.raises(KeyError):
        await store.keep_label(first)
    await store.save_hosted(hosted())
    assert await store.label(first.contract) is None
    assert [await store.keep_label(label) for label in (first, second, first)] == [first, second, second]
    assert (await store.label(first.contract), await store.label_bytes()) == (second, len(second.data))
    await store.save_hosted(hosted(state=State.COMPLETED))
    assert (await store.label(first.contract), await store.label_bytes()) == (None, 0)
    with pytest.raises(KeyError):
        await store.keep_label(second)
