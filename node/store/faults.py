"""What the database and the operating system report, in the store's own words."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from sqlalchemy.exc import StatementError

from node.ports.store import (
    DatabaseCorruptError,
    DatabaseLockedError,
    DatabaseUnavailableError,
    DiskFullError,
    StoreError,
)

_SQLITE: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_FULL: (DiskFullError, "no space is left for"),
    sqlite3.SQLITE_BUSY: (DatabaseLockedError, "another process holds"),
    sqlite3.SQLITE_LOCKED: (DatabaseLockedError, "another process holds"),
    sqlite3.SQLITE_CORRUPT: (DatabaseCorruptError, "damaged:"),
    sqlite3.SQLITE_NOTADB: (DatabaseCorruptError, "not a database:"),
    sqlite3.SQLITE_CANTOPEN: (DatabaseUnavailableError, "cannot open"),
    sqlite3.SQLITE_IOERR: (DatabaseUnavailableError, "cannot read or write"),
    sqlite3.SQLITE_READONLY: (DatabaseUnavailableError, "may not write"),
    sqlite3.SQLITE_PERM: (DatabaseUnavailableError, "may not open"),
    # The memory map beside the write-ahead log cannot grow, which happens on a full disk only.
    sqlite3.SQLITE_IOERR_SHMSIZE: (DiskFullError, "no space is left for"),
}

_OS: dict[int, tuple[type[StoreError], str]] = {
    errno.ENOSPC: (DiskFullError, "no space is left for"),
    errno.EDQUOT: (DiskFullError, "the quota leaves no space for"),
}


def translate(error: Exception, path: Path) -> Exception:
    """The `StoreError` that `error` means. Anything that is none of the database's faults comes back as it is."""
    cause = error.orig if isinstance(error, StatementError) else error
    match cause:
        case sqlite3.Error():
            # Python raises a few of its own, without a code.
            code = getattr(cause, "sqlite_errorcode", 0)
            kind, text = _SQLITE.get(code) or _SQLITE.get(code & 0xFF) or (StoreError, "cannot work with")
            return kind(f"{text} {path} ({cause})")
        case OverflowError():
            return StoreError(f"a number is too large for the database ({cause})")
        case OSError():
            kind, text = _OS.get(cause.errno or 0, (DatabaseUnavailableError, "cannot use"))
            return kind(f"{text} {path} ({cause.strerror or cause})")
        case _:
            return error
