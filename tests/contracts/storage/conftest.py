"""A market with a contract in it, back as it was for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.storage.bench import StorageBench, Terms
from tests.contracts.storage.case import AUDITOR, HOST, OTHER_HOST, RENTER, offer


@pytest.fixture(scope="module")
def shared() -> StorageBench:
    bench = StorageBench()
    for owner in (RENTER, HOST, AUDITOR, OTHER_HOST):
        bench.fund(owner, 1000)
    return bench


@pytest.fixture
def bench(shared: StorageBench) -> Iterator[StorageBench]:
    """Renter, hosts and auditor have 1000 units each in the market; the payee has nothing."""
    snapshot, now = shared.chain.snapshot(), shared.now
    yield shared
    shared.chain.revert(snapshot)
    shared.now = now


@pytest.fixture
def terms(bench: StorageBench) -> Terms:
    """A contract in force that starts in 100 seconds."""
    terms = offer(bench)
    bench.open(terms, RENTER, HOST)
    return terms
