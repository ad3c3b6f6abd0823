"""A restored old backup is noticed before it can sign anything."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from node.ports.store import Account, CashReceipt, DatabaseRolledBackError, Entry, NeedsReconcileError
from node.store import SqlStore, accept_rollback, open_store
from node.store.highwater import RECORD
from tests.unit.store.kit import ME, RAIL, issue, issued, partner, received, torrent
from wallet.chains.base import Call
from wallet.outbox import Intent


class Node:
    """A database and its mark, kept in different places, as a user's backup does not."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "data" / "node.db"
        self.mark = folder / "keys" / "mark"
        self.copy = folder / "backup.db"

    async def open(self) -> SqlStore:
        return await open_store(self.path, self.mark)

    async def pay(self, cumulative: int, *, payee: int = 1) -> None:
        store = await self.open()
        account = await store.issued(RAIL, ME, partner(payee))
        before = account.cumulative if account else 0
        await store.issue_cheque(issue(cumulative, amount=cumulative - before, payee=payee))
        await store.close()

    def back_up(self) -> None:
        shutil.copy(self.path, self.copy)

    def restore(self) -> None:
        shutil.copy(self.copy, self.path)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


async def test_a_restored_backup_is_refused(node: Node) -> None:
    await node.pay(10)
    node.back_up()
    await node.pay(20)
    node.restore()
    with pytest.raises(DatabaseRolledBackError, match="1 transactions are missing") as caught:
        await node.open()
    assert "bttnode wallet reconcile" in caught.value.hint


async def test_a_deleted_database_is_noticed(node: Node) -> None:
    await node.pay(10)
    node.path.unlink()
    with pytest.raises(DatabaseRolledBackError):
        await node.open()


async def test_a_backup_that_lacks_no_money_is_accepted(node: Node) -> None:
    await node.pay(10)
    node.back_up()
    store = await node.open()
    await store.save_torrent(torrent(1))
    await store.close()
    node.restore()
    store = await node.open()
    await store.close()


@pytest.mark.parametrize("what", ["receive", "floor", "cash", "post", "intent"])
async def test_every_kind_of_money_transaction_counts(node: Node, what: str) -> None:
    store = await node.open()
    await store.close()
    node.back_up()
    store = await node.open()
    match what:
        case "receive":
            await store.receive_cheque(received(1))
        case "floor":
            await store.raise_issued_floor(issued(1))
        case "cash":
            await store.mark_cashed(CashReceipt(rail=RAIL, transaction="a", cashed=[], now=0))
        case "post":
            entry = Entry(rail=RAIL, debit=Account.VAULT, credit=Account.WALLET, amount=1, ref="a")
            await store.post([entry], 0)
        case "intent":
            call = Call(to=partner(1), data=b"", value=0, method="m", text="t")
            await store.save_intent(Intent(key="a", rail=RAIL, sender=ME, call=call))
    await store.close()
    node.restore()
    with pytest.raises(DatabaseRolledBackError):
        await node.open()


async def test_after_accepting_nothing_is_signed_without_evidence(node: Node) -> None:
    await node.pay(10)
    await node.pay(5, payee=2)
    node.back_up()
    await node.pay(20)
    node.restore()
    assert accept_rollback(node.path, node.mark) == 2
    store = await node.open()
    with pytest.raises(NeedsReconcileError):
        await store.issue_cheque(issue(11, amount=1))
    await store.save_owed(RAIL, ME, partner(1), 30)
    with pytest.raises(NeedsReconcileError):
        await store.issue_cheque(issue(11, amount=1))

    assert await store.raise_issued_floor(issued(20)) == 10
    await store.issue_cheque(issue(21, amount=1))
    assert await store.raise_issued_floor(issued(5, payee=2)) == 0
    await store.issue_cheque(issue(6, amount=1, payee=2))
    await store.issue_cheque(issue(1, amount=1, payee=3))
    await store.close()


async def test_the_same_backup_restored_again_is_noticed_again(node: Node) -> None:
    await node.pay(10)
    node.back_up()
    await node.pay(20)
    node.restore()
    accept_rollback(node.path, node.mark)
    await (await node.open()).close()
    node.restore()
    with pytest.raises(DatabaseRolledBackError):
        await node.open()


async def test_accepting_where_nothing_is_wrong_changes_nothing(node: Node) -> None:
    await node.pay(10)
    assert accept_rollback(node.path, node.mark) == 0
    await node.pay(20)


async def test_a_mark_that_lags_or_is_lost_is_no_rollback(node: Node) -> None:
    await node.pay(10)
    old = node.mark.read_bytes()
    await node.pay(20)
    node.mark.write_bytes(old)
    await node.pay(30)
    node.mark.unlink()
    await node.pay(40)


async def test_a_torn_write_of_the_mark_costs_one_step(node: Node) -> None:
    await node.pay(10)
    node.back_up()
    for cumulative in (20, 30, 40):
        await node.pay(cumulative)
    # Transaction 4 lies in the first record, 3 in the second.
    data = bytearray(node.mark.read_bytes())
    data[RECORD // 2] ^= 0xFF
    node.mark.write_bytes(data)
    await (await node.open()).close()
    node.mark.write_bytes(data)
    node.restore()
    with pytest.raises(DatabaseRolledBackError, match="2 transactions are missing"):
        await node.open()


async def test_an_unreadable_mark_is_refused_until_the_user_accepts(node: Node) -> None:
    await node.pay(10)
    node.mark.write_bytes(b"garbage")
    with pytest.raises(DatabaseRolledBackError, match="cannot be read"):
        await node.open()
    assert accept_rollback(node.path, node.mark) == 1
    await (await node.open()).close()


async def test_an_empty_mark_is_what_a_power_cut_leaves_of_a_new_one(node: Node) -> None:
    await node.pay(10)
    for rest in (b"", bytes(2 * RECORD)):
        node.mark.write_bytes(rest)
        await (await node.open()).close()
