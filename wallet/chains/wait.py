"""Waiting for a transaction that somebody else looks after, or that needs no looking after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from wallet.chains.base import ChainAdapter, ChainError, Receipt


async def wait_final(
    chain: ChainAdapter,
    transaction: bytes,
    *,
    deadline: float,
    poll: float = 0.5,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Receipt:
    """Poll for a final receipt, for at most `deadline` seconds. Raises `TimeoutError`; retries what may be retried."""
    until = clock() + deadline
    while True:
        try:
            receipt = await chain.receipt(transaction)
            if receipt is not None and await chain.is_final(receipt):
                return receipt
        except ChainError as error:
            if not error.retry:
                raise
        if clock() >= until:
            raise TimeoutError(f"transaction 0x{transaction.hex()} is not final after {deadline:g} s")
        await sleep(poll)
