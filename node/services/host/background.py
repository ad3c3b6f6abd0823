"""Work that rounds begin and do not wait for: at most one piece for each key."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Background:
    """One per kind of work."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: dict[bytes, asyncio.Task[None]] = {}

    def begin(self, key: bytes, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Unless work for this key is under way."""
        if key not in self._tasks:
            task = asyncio.ensure_future(self._do(work))
            self._tasks[key] = task
            task.add_done_callback(lambda _: self._tasks.pop(key, None))

    async def join(self) -> None:
        """Until everything that was begun has ended."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def close(self) -> None:
        """End it all now. What is durable goes on at the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _do(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except Exception:  # one piece of work must not take others down; each says its expected faults itself
            log.exception("%s", self._name)
