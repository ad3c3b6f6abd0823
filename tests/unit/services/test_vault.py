"""What the node believes of vaults while chains are slow, away, or differ."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.services.vault import MAX_AGE, STALE_AGE, VaultView
from tests.unit.services.till import AMPLE, CHEAP, ME, Till, payer
from wallet.chains.base import ChainUnreachableError
from wallet.chains.fake import FakeChain


@pytest.fixture
async def till(tmp_path: Path) -> AsyncIterator[Till]:
    till = await Till(tmp_path).open()
    yield till
    await till.close()


def away(question: str) -> None:
    raise ChainUnreachableError("nobody answered")


async def test_one_rail_that_is_away_does_not_hide_the_other(till: Till) -> None:
    other = FakeChain(chain_id=1029)
    other.hook = away
    view = VaultView({other.rail.id: other, till.rail: till.chain}, store=till.store, own=ME, now=lambda: till.now)
    await view.refresh()
    assert (view.free(till.rail), view.free(other.rail.id)) == (0, None)
    assert view.fault == "nobody answered"
    other.hook = lambda question: None
    await view.refresh()
    assert view.fault is None


async def test_a_changed_deposit_is_asked_for_even_if_the_chain_was_away_when_it_changed(till: Till) -> None:
    key = await till.covered(CHEAP)
    assert await till.vault.coverage(till.rail, key.address) == (AMPLE, 0)
    await till.act(key, till.chain.lock(payer(9).address, AMPLE - 7))
    till.chain.hook = away
    await till.vault.look_again(till.rail, {key.address})
    assert await till.vault.coverage(till.rail, key.address) == (AMPLE, 0)
    till.chain.hook = lambda question: None
    assert await till.vault.coverage(till.rail, key.address) == (7, 0)


async def test_an_old_answer_serves_for_a_while_and_then_no_more(till: Till) -> None:
    key = await till.covered(CHEAP)
    await till.vault.coverage(till.rail, key.address)
    till.chain.hook = away
    till.now += MAX_AGE
    assert await till.vault.coverage(till.rail, key.address) == (AMPLE, 0)
    till.now += STALE_AGE
    with pytest.raises(ChainUnreachableError):
        await till.vault.coverage(till.rail, key.address)


async def test_our_own_events_refresh_our_own_deposit(till: Till) -> None:
    till.chain.fund(ME, token=1000)
    await till.vault.refresh()
    await till.settlement.deposit(600, key="a")
    await till.watcher.look()
    assert till.vault.free(till.rail) == 600
