"""One process per database: a lock file beside it, held as long as the database is open."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from node.ports.store import DatabaseLockedError


class LockFile:
    """An exclusive `flock`. The kernel drops it with the process, so a crash leaves nothing to clean up.

    The file stays: removing it would let two processes lock two different files of one name. Raises
    `DatabaseLockedError`, `OSError`.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise DatabaseLockedError(f"{who} holds {path}") from None
        # The number is for the other process's error message only; a full disk is no reason not to start.
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        os.close(self._file)
