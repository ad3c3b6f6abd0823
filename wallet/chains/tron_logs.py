"""Events of a range of blocks, exactly, from servers with and without an index.

java-tron has no search for events: whoever wants them reads every block's transaction infos. Indexing servers such as
TronGrid can tell which transactions matter, but their index lags behind the head and holds events in a decoded form of
its own. So an index only says where to look; what is there is always read from the blocks' own infos, and the newest
blocks are read whether it names them or not. Without an index, every block is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from wallet.address import Address
from wallet.chains.base import ChainAnswerError, ChainError
from wallet.chains.reading import Log
from wallet.chains.tron_endpoints import (
    Head,
    Info,
    Message,
    NotServedError,
    TronServer,
    message,
    messages,
    number,
    octets,
    text,
)

NEWEST = 32
"""Blocks at the end of a range that are read one by one: an index is behind by some seconds, three to a block."""
MAX_SCAN = 10_000
"""Blocks that are read one by one in one call where a server has no index: eight hours of the chain."""
MAX_FOUND = 10_000
"""Transactions that an index may name in one call."""
PAGE = 200
"""Rows per page of an index, the most that TronGrid gives."""
TOGETHER = 8
"""Requests at a time."""

T = TypeVar("T")
K = TypeVar("K")


async def search(
    server: TronServer,
    first: int,
    last: int,
    *,
    index: str,
    query: Mapping[str, str],
    times: tuple[str, str],
    read: Callable[[Info, Log], T | None],
) -> list[tuple[Head, Info, T]]:
    """Where the logs in question are in these blocks, both included, in order, and what `read` makes of them; it says
    None for others.

    `index`: the path of the server's list of the transactions in question, `query` and `times` (the names of the
    earliest and the latest time) its parameters.
    """
    last = min(last, (await server.latest()).number)
    exact = max(first, last - NEWEST + 1)
    older: Iterable[int] = ()
    if first < exact:
        older = await _candidates(server, first, exact - 1, index, query, times)
    found: list[tuple[Head, Info, T]] = []
    async for block in _blocks(server, [*older, *range(exact, last + 1)], read):
        found += block
    return found


async def _candidates(
    server: TronServer, first: int, last: int, index: str, query: Mapping[str, str], times: tuple[str, str]
) -> Iterable[int]:
    """Blocks that may hold what is looked for, in order."""
    heads = await asyncio.gather(server.head(first), server.head(last))
    if heads[0] is None or heads[1] is None:
        raise ChainAnswerError(f"{server.host} has lost blocks")
    span = dict(zip(times, (str(head.time) for head in heads if head is not None), strict=True))
    try:
        rows = await _rows(server, index, {**query, **span, "limit": str(PAGE)})
    except NotServedError:
        if last - first >= MAX_SCAN:
            raise ChainError(
                f"{server.host} has no index of events, and without one at most {MAX_SCAN} blocks are searched at once"
            ) from None
        return range(first, last + 1)
    numbers = set()
    unplaced = set()
    for row in rows:
        if "block_number" in row:
            numbers.add(number(row["block_number"]))
        else:
            unplaced.add(octets(row["transaction_id"], 32))
    async for info in _together(server.info, sorted(unplaced)):
        if info is not None:
            numbers.add(info.block)
    return sorted(block for block in numbers if first <= block <= last)


async def _rows(server: TronServer, index: str, query: Mapping[str, str]) -> Sequence[Message]:
    """All pages of a list; each names the next by a fingerprint."""
    rows: list[Message] = []
    seen = {""}
    fingerprint = ""
    while True:
        page = await server.get(index, {**query, "fingerprint": fingerprint} if fingerprint else query)
        rows += messages(page["data"])
        fingerprint = text(message(page.get("meta", {})).get("fingerprint"))
        if fingerprint in seen:
            return rows
        if len(rows) > MAX_FOUND or len(seen) * PAGE > MAX_FOUND:
            raise ChainError(f"more than {MAX_FOUND} transactions with events in these blocks: ask for fewer blocks")
        seen.add(fingerprint)


async def _blocks(
    server: TronServer, numbers: Sequence[int], read: Callable[[Info, Log], T | None]
) -> AsyncIterator[list[tuple[Head, Info, T]]]:
    async def one(block: int) -> list[tuple[Head, Info, T]]:
        read_logs = ((info, read(info, log)) for info in await server.infos(block) for log in info.logs)
        found = [(info, made) for info, made in read_logs if made is not None]
        if not found:
            return []
        head = await server.head(block)
        if head is None or any((info.block, info.time) != (head.number, head.time) for info, _ in found):
            raise ChainAnswerError(f"block {block} was replaced while {server.host} told its events")
        return [(head, info, made) for info, made in found]

    async for made in _together(one, numbers):
        yield made


async def _together(ask: Callable[[K], Awaitable[T]], keys: Iterable[K]) -> AsyncIterator[T]:
    """Answers in the order of the keys, a few requests at a time."""
    rest = iter(keys)
    while part := list(islice(rest, TOGETHER)):
        for answer in await asyncio.gather(*(ask(key) for key in part)):
            yield answer


def topic_address(topic: bytes) -> Address:
    """An indexed address. Raises `ValueError` where more than 20 bytes are set."""
    if any(topic[:12]):
        raise ValueError("a topic that should be an address has more than 20 bytes")
    return Address(topic[12:])
