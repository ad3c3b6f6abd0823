"""The one thread that owns a chain, so that mining and calls never hold up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from node.devnet.chain import Chain, ChainSettings

T = TypeVar("T")


class ChainThread:
    """`run` hands work to the chain's thread; pieces of work run one after another, in the order they came."""

    def __init__(self, executor: ThreadPoolExecutor, chain: Chain) -> None:
        self._executor = executor
        self._chain: Chain | None = chain

    @classmethod
    async def open(cls, settings: ChainSettings, path: Path | None = None) -> ChainThread:
        """Raises `StorageError` as `Chain` does."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="devnet")
        try:
            chain = await asyncio.get_running_loop().run_in_executor(executor, Chain, settings, path)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(executor, chain)

    async def run(self, work: Callable[[Chain], T]) -> T:
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
