"""Opening a database: what is accepted, what is refused, and with which words."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from node.ports.store import (
    Account,
    DatabaseCorruptError,
    DatabaseLockedError,
    DatabaseTooNewError,
    DatabaseUnavailableError,
    Entry,
    StoreError,
)
from node.store import database, open_store
from tests.unit.store import kit
from tests.unit.store.kit import ME, NOW, RAIL, issue, issued, partner


async def make(path: Path) -> None:
    store = await open_store(path, None)
    await store.issue_cheque(issue(10, amount=10))
    await store.close()


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


async def refusal(path: Path) -> StoreError:
    """The error that opening gives; the file is as it was."""
    before = content(path)
    with pytest.raises(StoreError) as caught:
        await open_store(path, None)
    assert content(path) == before
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return caught.value


async def test_what_was_stored_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "node.db"
    await make(path)
    store = await open_store(path, None)
    assert await store.issued(RAIL, ME, partner(1)) == issued(10)
    await store.close()


async def test_nobody_else_may_read_the_database(tmp_path: Path) -> None:
    path = tmp_path / "new" / "node.db"
    await make(path)
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


async def test_a_second_node_on_the_same_database_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    first = await open_store(path, None)
    with pytest.raises(DatabaseLockedError, match=f"process {os.getpid()} holds"):
        await open_store(path, None)
    await first.close()
    second = await open_store(path, None)
    await second.close()


async def test_a_lock_of_another_program_fails_the_call_and_no_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_MS", 1)
    path = tmp_path / "node.db"
    store = await open_store(path, None)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseLockedError):
        await store.issue_cheque(issue(10, amount=10))
    other.execute("ROLLBACK")
    other.close()
    await store.issue_cheque(issue(10, amount=10))
    assert await store.issued(RAIL, ME, partner(1)) == issued(10)
    await store.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    path.write_bytes(b"this is a letter to my bank" * 100)
    assert isinstance(await refusal(path), DatabaseCorruptError)


async def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE photos (id INTEGER)")
    other.commit()
    other.close()
    assert isinstance(await refusal(path), DatabaseCorruptError)


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    await make(path)
    newer = sqlite3.connect(path)
    newer.execute("UPDATE alembic_version SET version_num = '9999'")
    newer.commit()
    newer.close()
    assert isinstance(await refusal(path), DatabaseTooNewError)


async def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert isinstance(await refusal(tmp_path / "file" / "node.db"), DatabaseUnavailableError)
    (tmp_path / "node.db").mkdir()
    assert isinstance(await refusal(tmp_path / "node.db"), DatabaseUnavailableError)


async def test_what_a_killed_node_leaves_behind_opens(tmp_path: Path) -> None:
    path, crashed = tmp_path / "node.db", tmp_path / "crashed.db"
    store = await open_store(path, None)
    await store.issue_cheque(issue(10, amount=10))
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{crashed}{suffix}")
    await store.close()
    store = await open_store(crashed, None)
    assert await store.issued(RAIL, ME, partner(1)) == issued(10)
    await store.close()


def damage(path: Path) -> None:
    """Overwrite the heads of pages behind the schema's, and leave a log as after a crash."""
    data, page = bytearray(path.read_bytes()), 4096
    for start in range(20 * page, len(data), page):
        data[start : start + 16] = random.Random(start).randbytes(16)
    path.write_bytes(data)
    path.with_name(path.name + "-wal").write_bytes(b"\0")


async def test_damaged_pages_are_found_after_an_unclean_stop(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    store = await open_store(path, None)
    deposits = [
        Entry(rail=RAIL, debit=Account.VAULT, credit=Account.WALLET, amount=1, ref=f"0x{n:064x}") for n in range(500)
    ]
    await store.post(deposits, NOW)
    await store.close()
    damage(path)
    assert isinstance(await refusal(path), DatabaseCorruptError)


OPEN_AND_TELL = """
import asyncio, sys
from pathlib import Path
from node.store import open_store

async def main():
    await (await open_store(Path(sys.argv[1]), None)).close()

asyncio.run(main())
print("alembic" in sys.modules)
"""


def loads_alembic(path: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(Path(kit.__file__).parents[3])}
    command = [sys.executable, "-c", OPEN_AND_TELL, str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


async def test_opening_a_new_or_up_to_date_database_does_not_load_alembic(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    assert loads_alembic(path) == "False"
    assert loads_alembic(path) == "False"
