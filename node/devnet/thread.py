"""The one thread that owns a chain, so that mining and calls never hold up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)
T = TypeVar("T")


class ChainThread(Generic[C]):
    """`run` hands work to the chain's thread; pieces of work run one after another, in the order they came."""

    def __init__(self, executor: ThreadPoolExecutor, chain: C) -> None:
        self._executor = executor
        self._chain: C | None = chain

    @classmethod
    async def open(cls, factory: Callable[[], C]) -> ChainThread[C]:
        """Make the chain on its thread. Raises what `factory` raises, such as `StorageError`."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="devnet")
        try:
            chain = await asyncio.get_running_loop().run_in_executor(executor, factory)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(executor, chain)

    async def run(self, work: Callable[[C], T]) -> T:
        """Raises `RuntimeError` once closed, and whatever `work` raises."""
        if self._chain is None:
            raise RuntimeError("the devnet is closed")
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, self._chain)

    async def close(self) -> None:
        """Finish what is under way and close the chain. Idempotent."""
        chain, self._chain = self._chain, None
        if chain is not None:
            await asyncio.get_running_loop().run_in_executor(self._executor, chain.close)
            self._executor.shutdown()
