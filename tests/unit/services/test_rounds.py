"""Work in rounds ends when it is told to, and for no other reason."""

from __future__ import annotations

import asyncio
import logging

import pytest

from node.ports.store import StoreError
from node.services.rounds import Rounds, at_most
from wallet.errors import WalletError


class Work:
    """Raises what it is given, one after the other; then does nothing."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.done = 0
        self.waiting: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self) -> None:
        self.done += 1
        if self.faults:
            raise self.faults.pop(0)

    async def wait(self, woken: asyncio.Event) -> None:
        self.waiting.put_nowait(None)
        await woken.wait()

    async def ended(self) -> None:
        await asyncio.wait_for(self.waiting.get(), 10)


async def test_a_fault_of_any_kind_ends_one_round_only(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(WalletError("chain"), TimeoutError("late"), StoreError("disk"), RuntimeError("bug"))
    rounds = Rounds("work", work, work.wait)
    running = asyncio.create_task(rounds.run())
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            await work.ended()
            rounds.wake()
    await work.ended()
    assert work.done == 6
    for text in ("chain", "late", "disk", "bug"):
        assert text in caplog.text
    await rounds.close()
    assert running.done()


async def test_a_fault_that_lasts_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(WalletError("away"), WalletError("away"))
    rounds = Rounds("work", work, work.wait)
    running = asyncio.create_task(rounds.run())
    with caplog.at_level(logging.INFO):
        await work.ended()
        rounds.wake()
        await work.ended()
    await rounds.close()
    assert running.done()
    assert caplog.text.count("away") == 1


async def test_waking_during_a_round_begins_another() -> None:
    work = Work()
    rounds: Rounds

    async def busy() -> None:
        await work()
        if work.done == 1:
            rounds.wake()

    async def wait(woken: asyncio.Event) -> None:
        if not woken.is_set():
            await work.wait(woken)

    rounds = Rounds("work", busy, wait)
    running = asyncio.create_task(rounds.run())
    await work.ended()
    assert work.done == 2
    await rounds.close()
    assert running.done()


async def test_closing_ends_a_round_that_is_under_way() -> None:
    begun = asyncio.Event()

    async def endless() -> None:
        begun.set()
        await asyncio.Event().wait()

    rounds = Rounds("work", endless, at_most(60))
    running = asyncio.create_task(rounds.run())
    await begun.wait()
    await rounds.close()
    await rounds.close()
    assert running.done()


async def test_waiting_ends_when_woken_or_when_its_time_is_over() -> None:
    woken = asyncio.Event()
    await at_most(0)(woken)
    woken.set()
    await at_most(60)(woken)
