"""Group commit: one thread that owns the write connection and makes many operations durable with one fsync.

Theory. A commit costs an fsync whatever it carries. While the thread waits for one, the operations that arrive queue
up, and the next commit takes them all: the busier the node, the more cheques share an fsync, and an idle node commits
each at once. The answer to an operation is given only after the commit that carries it.

Operations run in the order in which they were submitted. If one fails, the transaction is rolled back and its
operations run again one by one, each in a transaction of its own, so that only the culprit fails.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from node.ports.store import StoreClosedError
from node.store.unit import Unit

log = logging.getLogger(__name__)

T = TypeVar("T")
Operation = Callable[[Unit], Any]
Transact = Callable[[Sequence[Operation]], list[Any]]
"""Runs operations in one durable transaction and returns their results, or changes nothing and raises."""

MAX_PENDING = 4096
"""Operations that wait for a commit; whoever wants to submit more waits."""

MAX_BATCH = 256
"""Operations in one transaction: bounds how long the first of them waits for the last."""


@dataclass(slots=True)
class _Job:
    operation: Operation
    answer: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class Writer:
    """Used from one asyncio loop, the one it was made in. `max_batch` 1 turns group commit off."""

    def __init__(self, transact: Transact, *, max_batch: int = MAX_BATCH, max_pending: int = MAX_PENDING) -> None:
        self._transact = transact
        self._max_batch = max_batch
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(max_pending)
        self._calls = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._closed = False
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def submit(self, operation: Callable[[Unit], T]) -> T:
        """Run `operation` and return its result once it is durable. Raises what it raises, then nothing was changed.

        If the caller is cancelled, the operation still runs.
        """
        if self._closed:
            raise StoreClosedError("the store is closed")
        self._calls += 1
        self._quiet.clear()
        try:
            await self._room.acquire()
        except asyncio.CancelledError:
            self._answered(1)
            raise
        answer: asyncio.Future[T] = self._loop.create_future()
        with self._wake:
            self._jobs.append(_Job(operation, answer))
            self._wake.notify()
        return await answer

    async def close(self) -> None:
        """Refuse new operations, finish the submitted ones, end the thread. Idempotent."""
        self._closed = True
        await self._quiet.wait()
        with self._wake:
            self._stop = True
            self._wake.notify()
        await self._loop.run_in_executor(None, self._thread.join)

    # --- on the loop -------------------------------------------------------------------------------------------------

    def _answer(self, jobs: Sequence[_Job]) -> None:
        for job in jobs:
            self._room.release()
            if job.answer.done():
                if job.error is not None:
                    log.error("store: an operation that nobody waited for failed: %s", job.error)
            elif job.error is not None:
                job.answer.set_exception(job.error)
            else:
                job.answer.set_result(job.result)
        self._answered(len(jobs))

    def _answered(self, count: int) -> None:
        self._calls -= count
        if not self._calls:
            self._quiet.set()

    # --- on the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._jobs:
                    if self._stop:
                        return
                    self._wake.wait()
                batch = [self._jobs.popleft() for _ in range(min(len(self._jobs), self._max_batch))]
            self._commit(batch)
            try:
                self._loop.call_soon_threadsafe(self._answer, batch)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more

    def _commit(self, batch: Sequence[_Job]) -> None:
        try:
            results = self._transact([job.operation for job in batch])
        except Exception as error:  # whatever it is, the caller gets it and the thread lives on
            if len(batch) == 1:
                batch[0].error = error
                return
            for job in batch:
                self._commit([job])
            return
        for job, result in zip(batch, results, strict=True):
            job.result = result
