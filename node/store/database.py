"""The database file: opening it with all its checks, transactions, reading.

Opening goes from cheap to dear and stops at the first thing that is wrong: the lock, whose file it is, its schema, its
pages (only after an unclean stop), the high-water mark. Nothing is written before the file is known to be ours.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from node.ports.store import DatabaseCorruptError, DatabaseRolledBackError
from node.store import upgrade
from node.store.faults import translate
from node.store.highwater import HighWater, HighWaterError
from node.store.lock import LockFile
from node.store.operations import flag_all_issued
from node.store.schema import APPLICATION_ID
from node.store.unit import SEQUENCE, Unit
from node.store.writer import Operation

log = logging.getLogger(__name__)

T = TypeVar("T")

READERS = 2
"""Connections, and threads, for reading."""

BUSY_MS = 2000
"""How long SQLite waits for somebody else's lock, such as that of a backup being made."""

WAL_LIMIT = 64 * 2**20
"""Bytes to which the write-ahead log shrinks again after a burst."""


class Database:
    """An open database. `transact` is called from one thread at a time, `read` from any."""

    def __init__(self, path: Path, mark: Path | None, *, accept_rollback: bool = False) -> None:
        """`mark`: the high-water file; None: rollbacks go unnoticed. Raises `StoreError`."""
        self.path = path
        self.flagged = 0
        """Accounts that `accept_rollback` has marked `needs_reconcile`."""
        self._opened = contextlib.ExitStack()
        self._mark: HighWater | None = None
        with contextlib.ExitStack() as undo, self._translated():
            undo.callback(self.close)
            unclean = self._claim_file()
            writer = _engine(path, begin="BEGIN IMMEDIATE", pragmas=("synchronous=FULL",))
            self._opened.callback(writer.dispose)
            self._writing = self._opened.enter_context(writer.connect())
            revision = self._check_file(unclean)
            self._prepare(revision)
            self._compare(mark, accept_rollback)
            self._readers = _engine(path, begin="BEGIN", pragmas=("query_only=ON",))
            self._opened.callback(self._readers.dispose)
            undo.pop_all()

    def close(self) -> None:
        """Idempotent."""
        self._opened.close()

    def transact(self, operations: Sequence[Operation]) -> list[Any]:
        """Run operations in one transaction, durable on return. Raises what one of them raises, or `StoreError`."""
        with self._translated():
            with self._writing.begin():
                unit = Unit(self._writing)
                results = [operation(unit) for operation in operations]
                sequence = unit.flush()
            if sequence is not None:
                self._raise_mark(sequence)
        return results

    def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query on one consistent state. Raises `StoreError`."""
        with self._translated(), self._readers.connect() as connection:
            return query(connection)

    # --- opening -----------------------------------------------------------------------------------------------------

    def _claim_file(self) -> bool:
        """Take the lock and make sure the file exists, private; says whether it was left without a clean close."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = LockFile(self.path.with_name(self.path.name + ".lock"))
        self._opened.callback(lock.release)
        if not self.path.exists():
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            _sync_folder(self.path.parent)
        log_file = self.path.with_name(self.path.name + "-wal")
        return log_file.exists() and log_file.stat().st_size > 0

    def _check_file(self, unclean: bool) -> str | None:
        """Look, without writing, at what is there; returns the schema's revision, None for an empty file."""
        with self._writing.begin():
            owner = self._pragma("application_id")
            revision = upgrade.current_revision(self._writing)
            if owner != APPLICATION_ID and (owner or not upgrade.is_empty(self._writing)):
                raise DatabaseCorruptError(f"{self.path} is another program's database")
            upgrade.check_known(revision, self.path)
            if unclean and (verdict := str(self._pragma("quick_check(1)"))) != "ok":
                raise DatabaseCorruptError(f"{self.path} is damaged ({verdict.splitlines()[-1]})")
        return revision

    def _prepare(self, revision: str | None) -> None:
        """Make the file ours and its schema today's."""
        driver = self._writing.connection.driver_connection
        assert driver is not None  # noqa: S101 - only a detached connection has none
        driver.execute("PRAGMA journal_mode=WAL")  # not possible within a transaction
        driver.execute(f"PRAGMA journal_size_limit={WAL_LIMIT}")
        if not upgrade.is_current(revision):
            with self._writing.begin():
                self._writing.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
                upgrade.bring_up_to_date(self._writing, revision)

    def _compare(self, mark: Path | None, accept_rollback: bool) -> None:
        if mark is None:
            return
        mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._mark = HighWater(mark)
        self._opened.callback(self._mark.close)
        with self._writing.begin():
            ours = Unit(self._writing).number(SEQUENCE)
        try:
            seen = self._mark.read()
            wrong = None if seen is None or seen <= ours else f"{seen - ours} transactions are missing from"
        except HighWaterError:
            seen, wrong = 0, f"{mark} cannot be read, so nothing is known about"
        if wrong is not None:
            if not accept_rollback:
                raise DatabaseRolledBackError(f"{wrong} {self.path}: nothing is signed with a database that forgets")
            self._accept(max(seen or 0, ours) + 1)
        elif seen is None or seen < ours:
            self._raise_mark(ours)

    def _accept(self, sequence: int) -> None:
        """Go on from above the mark, so that the same old copy, restored once more, is noticed again."""
        with self._writing.begin():
            unit = Unit(self._writing)
            self.flagged = flag_all_issued(unit)
            unit.set_number(SEQUENCE, sequence)
            unit.flush()
        self._raise_mark(sequence)

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _pragma(self, text: str) -> Any:
        return self._writing.exec_driver_sql(f"PRAGMA {text}").scalar()

    def _raise_mark(self, sequence: int) -> None:
        if self._mark is None:
            return
        try:
            self._mark.write(sequence)
        except OSError as error:
            # The transaction is durable, and a mark that lags is still true.
            log.warning("the high-water mark could not be written: %s", error)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            translated = translate(error, self.path)
            if translated is error:
                raise
            raise translated from error


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable: SQLite does so for its logs only."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _engine(path: Path, *, begin: str, pragmas: Sequence[str]) -> Engine:
    url = URL.create("sqlite", database=os.fspath(path))
    engine = create_engine(url, pool_size=READERS, max_overflow=0)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:
        # Python's sqlite3 would begin transactions on its own, too late and too weak.
        connection.isolation_level = None
        for pragma in (f"busy_timeout={BUSY_MS}", *pragmas):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
