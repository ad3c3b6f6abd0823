"""What the database and the operating system report, in the store's own words."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError, StatementError

from node.ports.store import (
    DatabaseCorruptError,
    DatabaseLockedError,
    DatabaseUnavailableError,
    DiskFullError,
    StoreError,
)

_SQLITE = {
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

_OS = {
    errno.ENOSPC: (DiskFullError, "no space is left for"),
    errno.EDQUOT: (DiskFullError, "the quota leaves no space for"),
}


def translate(error: Exception, path: Path) -> Exception:
    """The `StoreError` that `error` means. Anything that is none of the database's faults comes back as it is."""
    cause: object = error
    if isinstance(error, StatementError):
        cause = error.orig
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", None)
        if code is not None:
            kind = _SQLITE.get(code) or _SQLITE.get(code & 0xFF)
            if kind is not None:
                return kind[0](f"{kind[1]} {path} ({cause})")
        return StoreError(f"{path}: {cause}")
    if isinstance(cause, OverflowError):
        return StoreError("a number is too large for the database")
    if isinstance(cause, OSError):
        wrong, text = _OS.get(cause.errno or 0, (DatabaseUnavailableError, "cannot use"))
        return wrong(f"{text} {path} ({cause.strerror or cause})")
    if isinstance(error, SQLAlchemyError):
        return StoreError(f"{path}: {cause}")
    return error
