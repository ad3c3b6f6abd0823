"""Restores under way: each is a task that its user looks at until it is done.

A restore is no promise to anybody, so it is in no database: one that a crash interrupts is asked for again, and goes on
with the shards that it has fetched.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from node.packing.errors import PackingError
from node.ports.store import StoreError
from node.services.renter.errors import RenterError, RequestError
from node.storage.errors import StorageError

MAX_KEPT = 64
"""Restores that are remembered, those that are done among them."""


@dataclass(slots=True)
class Restore:
    """One restore. `done`: plain bytes written; `finished`: it has ended, well unless `fault` says why not."""

    number: int
    out: Path
    done: int = 0
    finished: bool = False
    fault: str = ""
    hint: str = ""


class Restores:
    """The restores of one node since its start."""

    def __init__(self) -> None:
        self._known: dict[int, Restore] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._numbers = itertools.count(1)

    def start(self, out: Path, work: Callable[[Callable[[int], None]], Awaitable[None]]) -> Restore:
        """Run `work(progress)`. Raises `RequestError` when too many are under way."""
        for number in [number for number, known in self._known.items() if known.finished]:
            if len(self._known) < MAX_KEPT:
                break
            del self._known[number]
        if len(self._known) >= MAX_KEPT:
            raise RequestError(f"{MAX_KEPT} restores are under way: wait for one of them")
        restore = Restore(next(self._numbers), out)
        self._known[restore.number] = restore
        self._tasks[restore.number] = asyncio.create_task(self._run(restore, work))
        return restore

    def get(self, number: int) -> Restore:
        """Raises `RequestError` for one that is not known (any more)."""
        if number not in self._known:
            raise RequestError(f"there is no restore {number}")
        return self._known[number]

    async def close(self) -> None:
        """Stop them; what was fetched stays for the next try."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, restore: Restore, work: Callable[[Callable[[int], None]], Awaitable[None]]) -> None:
        def progress(done: int) -> None:
            restore.done = done

        try:
            await work(progress)
        except (PackingError, RenterError, StorageError, StoreError) as error:
            restore.fault, restore.hint = str(error), str(getattr(error, "hint", ""))
        except BaseException as error:
            restore.fault = f"it was stopped ({type(error).__name__})"
            raise
        finally:
            restore.finished = True
            self._tasks.pop(restore.number, None)
