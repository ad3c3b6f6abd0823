"""Work that is done again and again: when something wakes it, and from time to time anyway."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from node.ports.store import StoreError
from wallet.errors import WalletError

log = logging.getLogger(__name__)

Wait = Callable[[asyncio.Event], Awaitable[None]]
"""Returns when the event is set, or earlier."""


def at_most(seconds: float) -> Wait:
    """Until woken, or so many seconds have passed."""

    async def wait(woken: asyncio.Event) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), seconds)

    return wait


class Rounds:
    """Runs `work` until `close`. A fault ends one round, never the work: the next round tries again."""

    def __init__(self, name: str, work: Callable[[], Awaitable[object]], wait: Wait) -> None:
        self._name = name
        self._work = work
        self._wait = wait
        self._woken = asyncio.Event()
        self._closing = False
        self._runner: asyncio.Task[object] | None = None
        self._fault = ""

    def wake(self) -> None:
        """Begin a round now, or right after the one that is under way."""
        self._woken.set()

    async def run(self) -> None:
        """Until `close` or cancellation. One at a time."""
        self._runner = asyncio.current_task()
        while not self._closing:
            self._woken.clear()
            await self._round()
            await self._wait(self._woken)

    async def close(self) -> None:
        """End `run`, also in the middle of a round. Idempotent."""
        self._closing = True
        if self._runner is not None and self._runner is not asyncio.current_task():
            self._runner.cancel()
            await asyncio.wait([self._runner])

    async def _round(self) -> None:
        fault = ""
        try:
            await self._work()
        except (WalletError, TimeoutError) as error:
            fault = str(error)
            if fault != self._fault:
                log.info("%s waits: %s", self._name, fault)
        except StoreError as error:
            fault = str(error)
            log.error("%s: %s", self._name, fault)
        except Exception:
            log.exception("%s", self._name)
        self._fault = fault
