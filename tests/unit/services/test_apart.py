"""What leaves by other ways than bids and transactions is held against the same limits, also before it is durable."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.ports.engine import PeerId
from node.services.budget import Budget
from node.services.vault import VaultView
from node.services.wallet import Purse, Wallet
from node.store import SqlStore, open_store
from tests.unit.services.till import KEY, ME
from tests.unit.store.kit import NOW, TORRENT, issue
from wallet.address import Address
from wallet.amount import Token
from wallet.errors import LimitError
from wallet.limits import SpendLimits
from wallet.spending import Outflow, TransferLimits

USDD = Token("USDD", 6)
STRANGER = Address(b"\x77" * 20)


class Clock:
    def now(self) -> float:
        return float(NOW)

    def wall(self) -> int:
        return NOW


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = await open_store(tmp_path / "node.db", None)
    yield opened
    await opened.close()


def make_budget(store: SqlStore, caps: SpendLimits) -> Budget:
    vault = VaultView({}, store=store, own=ME, now=Clock().now)
    return Budget(caps, store=store, vault=vault, clock=Clock())


@pytest.mark.parametrize(("limit", "caps"), [("per_day", SpendLimits(per_day=100)), ("total", SpendLimits(total=100))])
async def test_cheques_for_torrents_and_others_share_what_is_left(
    store: SqlStore, limit: str, caps: SpendLimits
) -> None:
    budget = make_budget(store, caps)
    await store.issue_cheque(issue(30, amount=30))
    async with budget.apart(50):
        await budget.authorise({TORRENT: 20})
        with pytest.raises(LimitError, match=limit):
            await budget.authorise({TORRENT: 21})
        with pytest.raises(LimitError, match=limit):
            async with budget.apart(21):
                pytest.fail("above the limit")
        async with budget.apart(20):
            pass
    await budget.authorise({TORRENT: 70})  # nothing became durable, so nothing is used up


async def test_what_is_owed_for_torrents_comes_first(store: SqlStore) -> None:
    budget = make_budget(store, SpendLimits(per_day=100))
    budget.spent(PeerId(1), TORRENT, 60)
    with pytest.raises(LimitError, match="per_day"):
        async with budget.apart(41):
            pytest.fail("above the limit")
    async with budget.apart(40):
        pass


async def test_a_torrents_own_budget_does_not_bind_what_is_for_none(store: SqlStore) -> None:
    async with make_budget(store, SpendLimits(per_torrent=1)).apart(1000):
        pass


async def test_an_outflow_that_is_under_way_is_gone_for_transfers(store: SqlStore) -> None:
    wallet = Wallet(
        dict[str, Purse](),
        own=KEY.address,
        history=store,
        limits=TransferLimits({"USDD": 60}, {"USDD": 100}),
        cheque_limits=SpendLimits(),
        clock=Clock(),
    )
    told = [Outflow(USDD, 10, STRANGER)]

    async def promised() -> list[Outflow]:
        return told

    wallet.promised.append(promised)
    async with wallet.apart(Outflow(USDD, 60, STRANGER)):
        assert sum(flow.amount for flow in await wallet.left_today()) == 70
        for amount, words in ((31, "per_day"), (61, "per_transfer")):
            with pytest.raises(LimitError, match=words):
                async with wallet.apart(Outflow(USDD, amount, STRANGER)):
                    pytest.fail("above the limit")
    assert await wallet.left_today() == told
