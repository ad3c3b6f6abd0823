"""Claims are made when they are worth it, tried again when they failed, and never twice."""

from __future__ import annotations

import pytest

from node.services.host.claims import ATTEMPTS, RETRY_AFTER
from tests.unit.hosting.kit import EPOCH, Bench
from tests.unit.storage.samples import Kept
from wallet.chains.base import Call, RevertedError
from wallet.storage_terms import StorageContract

SHARD = Kept(30_000)


async def vouched(bench: Bench, *, epochs: int, through: int) -> StorageContract:
    contract = await bench.rented(SHARD, epochs=epochs)
    bench.at(contract, through - 1)
    await bench.vouch(contract, through)
    return contract


async def test_a_voucher_is_settled_early_once_it_is_worth_ten_fees(bench: Bench) -> None:
    contract = await vouched(bench, epochs=30, through=9)
    bench.fees.units = contract.price_per_epoch
    await bench.round()
    assert bench.market.calls == []
    assert any("too much" in reason for reason in await bench.host.why())
    bench.at(contract, 9)
    await bench.vouch(contract, 10)
    await bench.round()
    assert bench.market.calls == ["settle"]
    assert bench.record(contract).claimed == 10 * contract.price_per_epoch


async def test_the_end_settles_whatever_the_fee(bench: Bench) -> None:
    contract = await vouched(bench, epochs=2, through=2)
    bench.fees.units = 10**40
    await bench.round()
    assert bench.market.calls == ["settle"]
    bench.at(contract, 2, 0.1)
    await bench.round()
    assert bench.market.calls == ["settle", "close"]


async def test_what_failed_is_tried_again_later_under_a_new_key_and_not_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def refuse(key: str, call: Call) -> None:
        tried.append(key)
        raise RevertedError("the contract refuses")

    await vouched(bench, epochs=2, through=2)
    monkeypatch.setattr(bench.market, "execute", refuse)
    await bench.round(5)
    assert len(tried) == 1, "not at once"
    assert "refuses" in "\n".join(await bench.host.why())
    for _ in range(2 * ATTEMPTS):
        bench.clock.time += RETRY_AFTER * ATTEMPTS / 2
        await bench.round()
    settles = [key for key in tried if ":settle:" in key]
    assert len(settles) == len(set(settles)) == ATTEMPTS


async def test_what_the_chain_would_refuse_beforehand_uses_up_no_attempt(bench: Bench) -> None:
    contract = await vouched(bench, epochs=2, through=2)
    await bench.round()
    bench.at(contract, 2, 0.1)  # by our clock, which is ahead
    bench.fees.refusal = RevertedError("not before")
    for _ in range(2 * ATTEMPTS):
        bench.clock.time += RETRY_AFTER * ATTEMPTS / 2
        await bench.round()
    assert bench.market.calls == ["settle"]
    assert "not before" in "\n".join(await bench.host.why())
    bench.fees.refusal = None
    bench.clock.time += RETRY_AFTER
    await bench.round()
    assert bench.market.calls == ["settle", "close"]


async def test_a_final_claim_is_not_made_again_although_a_server_lags_behind(bench: Bench) -> None:
    contract = await vouched(bench, epochs=3, through=2)
    bench.market.known[contract.digest(bench.market.market)].paid = 0
    await bench.round()
    bench.market.known[contract.digest(bench.market.market)].paid = 0  # as a server that has not seen it says
    bench.clock.time += EPOCH / 8
    await bench.round()
    assert bench.market.calls == ["settle"]
