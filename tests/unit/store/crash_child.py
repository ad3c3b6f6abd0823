"""Issues and receives cheques as fast as it can and says which are durable, until it is killed.

Usage: crash_child FOLDER. One line per durable cheque on standard output: `i|r PARTNER CUMULATIVE`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from node.store import SqlStore, open_store
from tests.unit.store.kit import ME, RAIL, issue, partner, received

PARTNERS = range(1, 9)
STEP = 5


def say(kind: str, who: int, cumulative: int) -> None:
    os.write(1, f"{kind} {who} {cumulative}\n".encode())


async def pay(store: SqlStore, who: int) -> None:
    account = await store.issued(RAIL, ME, partner(who))
    cumulative = account.cumulative if account else 0
    while True:
        cumulative += STEP
        await store.issue_cheque(issue(cumulative, amount=STEP, payee=who))
        say("i", who, cumulative)


async def earn(store: SqlStore, who: int) -> None:
    account = await store.received(RAIL, partner(who), ME)
    cumulative = account.cumulative if account else 0
    while True:
        cumulative += STEP
        await store.receive_cheque(received(cumulative, payer=who))
        say("r", who, cumulative)


async def main(folder: Path) -> None:
    store = await open_store(folder / "node.db", folder / "mark")
    await asyncio.gather(*(pay(store, who) for who in PARTNERS), *(earn(store, who) for who in PARTNERS))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
