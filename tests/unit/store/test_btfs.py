"""What the port promises about BTFS cheques: the highest stays, what it adds is counted and booked with it, once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from node.ports.btfs import BtfsPayout, BtfsRecord, BtfsStore
from node.ports.store import Account, DatabaseRolledBackError, Line, Role, Spending
from node.store import SqlStore, open_store
from tests.unit.store.kit import DAY, ME, NOW, RAIL, issue, partner, signature
from wallet.address import Address
from wallet.amount import MAX_AMOUNT
from wallet.errors import StaleChequeError

VAULT, USDD = partner(8), partner(9)


def record(cumulative: int, *, role: Role = Role.PAYER, token: Address | None = None, now: int = NOW) -> BtfsRecord:
    return BtfsRecord(
        rail=RAIL,
        role=role,
        vault=VAULT,
        beneficiary=ME if role is Role.PAYER else partner(1),
        token=token,
        cumulative=cumulative,
        signature=signature(1),
        updated_at=now,
    )


def payout(name: str, amount: int, *, token: Address | None = None, symbol: str = "") -> BtfsPayout:
    return BtfsPayout(
        rail=RAIL, transaction=name, vault=VAULT, beneficiary=ME, token=token, amount=amount, at=NOW, symbol=symbol
    )


async def balances(store: SqlStore, symbol: str = "") -> dict[Account, int]:
    return {line.account: amount for line, amount in (await store.balances()).items() if line.token == symbol}


def test_the_adapter_implements_the_port(store: SqlStore) -> None:
    ports: tuple[BtfsStore] = (store,)  # mypy looks at the signatures
    assert all(ports)


async def test_a_cheque_comes_back_as_it_was_kept_and_a_higher_one_takes_its_place(store: SqlStore) -> None:
    for token in (None, USDD):
        await store.keep_btfs(record(5, token=token), 5)
        await store.keep_btfs(record(MAX_AMOUNT, token=token, now=NOW + 1), 7)
    assert await store.btfs_cheques(RAIL) == [record(MAX_AMOUNT, token=token, now=NOW + 1) for token in (None, USDD)]
    assert await store.btfs_cheques("eip155:1029") == []


@pytest.mark.parametrize("cumulative", [4, 5])
async def test_what_is_not_higher_changes_nothing(store: SqlStore, cumulative: int) -> None:
    for role in Role:
        await store.keep_btfs(record(5, role=role), 5)
        with pytest.raises(StaleChequeError):
            await store.keep_btfs(record(cumulative, role=role), 1)
    assert [kept.cumulative for kept in await store.btfs_cheques(RAIL)] == [5, 5]
    assert await store.spent(DAY) == Spending(5, 5)


async def test_an_issued_cheque_counts_as_spent_for_what_it_adds_beside_those_for_speed(store: SqlStore) -> None:
    await store.issue_cheque(issue(10, amount=10))
    await store.keep_btfs(record(1000, role=Role.PAYEE), 3)  # 997 were paid under books that are lost
    await store.keep_btfs(record(1001, role=Role.PAYEE, now=NOW + 86_400), 1)
    assert await store.spent(DAY) == Spending(14, 13)
    assert (await store.spent(DAY + 1)).today == 1
    assert await store.balances() == {
        Line(RAIL, "", Account.SPEED_EXPENSE): 10,
        Line(RAIL, "", Account.STORAGE_EXPENSE): 4,
        Line(RAIL, "", Account.CHEQUES_ISSUED): -14,
    }


async def test_what_is_issued_in_another_token_is_counted_and_booked_apart(store: SqlStore) -> None:
    await store.keep_btfs(record(5, role=Role.PAYEE, token=USDD), 5, "USDD")
    await store.keep_btfs(record(7, role=Role.PAYEE, token=USDD), 2, "USDD")
    assert await store.spent(DAY) == Spending(0, 0)
    assert await store.spent_in(RAIL, "USDD", DAY) == 7
    for rail, symbol, day in (("eip155:1029", "USDD", DAY), (RAIL, "USDT", DAY), (RAIL, "USDD", DAY + 1)):
        assert await store.spent_in(rail, symbol, day) == 0
    assert await balances(store, "USDD") == {Account.STORAGE_EXPENSE: 7, Account.CHEQUES_ISSUED: -7}


async def test_receiving_spends_nothing(store: SqlStore) -> None:
    await store.keep_btfs(record(5), 5)
    assert await store.spent(DAY) == Spending(0, 0)
    assert await balances(store) == {Account.CHEQUES_HELD: 5, Account.STORAGE_INCOME: -5}


async def test_a_payout_is_booked_once_and_stays_with_the_higher_cheque(store: SqlStore) -> None:
    await store.keep_btfs(record(5, token=USDD), 5, "USDD")
    assert await store.book_btfs(payout("a", 3, token=USDD, symbol="USDD"))
    assert not await store.book_btfs(payout("a", 3, token=USDD, symbol="USDD"))
    assert await store.book_btfs(payout("b", 0, token=USDD, symbol="USDD"))
    await store.keep_btfs(record(9, token=USDD), 4, "USDD")
    assert await store.btfs_cheques(RAIL) == [replace(record(9, token=USDD), cashed=3)]
    assert await balances(store, "USDD") == {
        Account.CHEQUES_HELD: 6,
        Account.STORAGE_INCOME: -9,
        Account.WALLET: 3,
    }


async def test_a_payout_on_a_cheque_that_a_restored_database_forgot_is_still_money(store: SqlStore) -> None:
    assert await store.book_btfs(payout("a", 3))
    assert await store.btfs_cheques(RAIL) == []
    assert (await balances(store))[Account.WALLET] == 3


async def test_a_database_that_forgot_issued_cheques_does_not_open(tmp_path: Path) -> None:
    path, mark = tmp_path / "node.db", tmp_path / "mark"
    await (await open_store(path, mark)).close()
    old = path.read_bytes()
    store = await open_store(path, mark)
    await store.keep_btfs(record(5, role=Role.PAYEE), 5)
    await store.close()
    path.write_bytes(old)
    with pytest.raises(DatabaseRolledBackError):
        await open_store(path, mark)
