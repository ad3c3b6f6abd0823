"""One contract between a few people, which the tests of the market share."""

from __future__ import annotations

from typing import Any

from tests.contracts.bench import key
from tests.contracts.storage.bench import BLOCK, EPOCH, Shard, StorageBench, Terms

RENTER, HOST, PAYEE, AUDITOR, MALLORY, OTHER_HOST = (key(number) for number in range(31, 37))
SHARD = Shard(2 * BLOCK + 100)
PRICE, COLLATERAL, EPOCHS = 10, 61, 4
ESCROW = EPOCHS * PRICE
ACTIVE, CALLED_OFF, COMPLETED, CANCELLED, FAILED = range(1, 6)


def offer(bench: StorageBench, shard: Shard = SHARD, **changes: Any) -> Terms:
    people = (RENTER.address, HOST.address, PAYEE.address, AUDITOR.address)
    plain = Terms(shard.root, shard.length, *people, bench.now + 100, EPOCHS, EPOCH, PRICE, COLLATERAL)
    return plain._replace(**changes)


def balances(bench: StorageBench) -> tuple[int, int, int, int]:
    """Renter, host, payee, auditor."""
    renter, host, payee, auditor = map(bench.balance, (RENTER, HOST, PAYEE, AUDITOR))
    return renter, host, payee, auditor


def status(bench: StorageBench, terms: Terms) -> int:
    return int(bench.market.read("stateOf", terms.id(bench.separator))[0])


def go_to_epoch(bench: StorageBench, terms: Terms, epoch: int) -> None:
    bench.now = terms.start + epoch * EPOCH
