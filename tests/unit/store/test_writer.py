"""Group commit: who shares a transaction, who waits, and who fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from node.store.unit import Unit
from node.store.writer import Operation, Writer

NO_UNIT = cast(Unit, None)
DEADLINE = 10


def give(number: int) -> Callable[[Unit], int]:
    """An operation with this result."""
    return lambda unit: number


def note(order: list[int], number: int) -> Callable[[Unit], None]:
    """An operation that says when it runs."""
    return lambda unit: order.append(number)


class Disk:
    """Stands for the database: counts transactions and can be made to wait in one."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.spinning = threading.Event()
        self.spinning.set()
        self.waiting = threading.Event()

    def transact(self, operations: Sequence[Operation]) -> list[Any]:
        self.waiting.set()
        assert self.spinning.wait(DEADLINE)
        results = [operation(NO_UNIT) for operation in operations]
        self.batches.append(len(results))
        return results

    async def stop(self, writer: Writer) -> asyncio.Task[int]:
        """Hold the next transaction up; returns the call that it carries."""
        self.spinning.clear()
        self.waiting.clear()
        task = asyncio.create_task(writer.submit(give(0)))
        assert await asyncio.to_thread(self.waiting.wait, DEADLINE)
        return task


async def test_what_arrives_during_a_commit_shares_the_next_one() -> None:
    disk = Disk()
    writer = Writer(disk.transact)
    first = await disk.stop(writer)
    others = [asyncio.create_task(writer.submit(give(n))) for n in range(100)]
    await asyncio.sleep(0)
    disk.spinning.set()
    assert await asyncio.gather(first, *others) == [0, *range(100)]
    assert disk.batches == [1, 100]
    await writer.close()


async def test_no_transaction_is_larger_than_the_bound() -> None:
    disk = Disk()
    writer = Writer(disk.transact, max_batch=8)
    first = await disk.stop(writer)
    others = [asyncio.create_task(writer.submit(give(0))) for _ in range(20)]
    await asyncio.sleep(0)
    disk.spinning.set()
    await asyncio.gather(first, *others)
    assert disk.batches == [1, 8, 8, 4]
    await writer.close()


async def test_nothing_is_answered_before_its_commit() -> None:
    disk = Disk()
    writer = Writer(disk.transact)
    first = await disk.stop(writer)
    second = asyncio.create_task(writer.submit(give(0)))
    await asyncio.sleep(0)
    assert not first.done()
    assert not second.done()
    disk.spinning.set()
    await asyncio.gather(first, second)
    await writer.close()


async def test_callers_beyond_the_queue_wait_and_keep_their_order() -> None:
    disk = Disk()
    writer = Writer(disk.transact, max_pending=4)
    first = await disk.stop(writer)
    order: list[int] = []
    others = [asyncio.create_task(writer.submit(note(order, n))) for n in range(50)]
    await asyncio.sleep(0)
    disk.spinning.set()
    await asyncio.gather(first, *others)
    assert order == list(range(50))
    assert max(disk.batches) <= 4
    await writer.close()


async def test_a_caller_cancelled_in_the_queue_takes_no_place_with_it() -> None:
    disk = Disk()
    writer = Writer(disk.transact, max_pending=1)
    first = await disk.stop(writer)
    waiting = asyncio.create_task(writer.submit(give(0)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    disk.spinning.set()
    await first
    assert await writer.submit(give(7)) == 7
    await writer.close()


async def test_an_error_of_one_is_an_error_of_no_other() -> None:
    disk = Disk()
    writer = Writer(disk.transact)
    first = await disk.stop(writer)

    def fail(unit: Unit) -> int:
        raise ZeroDivisionError

    good = asyncio.create_task(writer.submit(give(1)))
    bad = asyncio.create_task(writer.submit(fail))
    late = asyncio.create_task(writer.submit(give(2)))
    await asyncio.sleep(0)
    disk.spinning.set()
    assert (await first, await good, await late) == (0, 1, 2)
    with pytest.raises(ZeroDivisionError):
        await bad
    await writer.close()


async def test_close_waits_for_callers_that_still_queue() -> None:
    disk = Disk()
    writer = Writer(disk.transact, max_pending=2)
    first = await disk.stop(writer)
    others = [asyncio.create_task(writer.submit(give(1))) for _ in range(10)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0)
    disk.spinning.set()
    await closing
    assert first.done()
    assert [task.result() for task in others] == [1] * 10
