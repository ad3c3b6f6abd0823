"""What a `ChainAdapter` promises where transactions expire and have no nonces (TRON)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.conformance.benches import FINALITY, WITH_EXPIRY, Bench
from tests.conformance.kit import PAYER, STRANGER, funded, signed
from wallet.chains.base import ExpiredError

LIFE = 61
"""Seconds after which every transaction has expired."""


@pytest.fixture(params=sorted(WITH_EXPIRY))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with funded(request.param) as bench:
        yield bench


async def test_an_expired_transaction_is_refused(bench: Bench) -> None:
    tx = await signed(bench, bench.chain.transfer_native(STRANGER, 1))
    await bench.pass_time(LIFE)
    await bench.mine()
    with pytest.raises(ExpiredError):
        await bench.chain.broadcast(tx)
    assert await bench.chain.native_balance(STRANGER) == 0


async def test_what_has_expired_is_void_only_when_that_is_solid(bench: Bench) -> None:
    tx = await signed(bench, bench.chain.transfer_native(STRANGER, 1))
    assert not await bench.chain.is_void(tx)
    await bench.pass_time(LIFE)
    await bench.mine()
    assert not await bench.chain.is_void(tx), "a fork from before its expiry could still hold it"
    await bench.mine(FINALITY)
    assert await bench.chain.is_void(tx)


async def test_what_is_in_a_block_is_never_void(bench: Bench) -> None:
    tx = await signed(bench, bench.chain.transfer_native(STRANGER, 1))
    await bench.chain.broadcast(tx)
    await bench.pass_time(LIFE)
    await bench.mine(1 + FINALITY)
    assert not await bench.chain.is_void(tx)
    await bench.chain.broadcast(tx)


async def test_nothing_excludes_an_earlier_transaction(bench: Bench) -> None:
    tx = await signed(bench, bench.chain.transfer_native(STRANGER, 1))
    assert await bench.chain.outbid(tx.tx) is None
    assert (tx.tx.nonce, await bench.chain.next_nonce(PAYER.address)) == (0, 0)


async def test_each_preparation_is_another_transaction(bench: Bench) -> None:
    call = bench.chain.transfer_native(STRANGER, 1)
    fee = await bench.chain.estimate(call, PAYER.address)
    prepared = [await bench.chain.prepare(call, PAYER.address, 0, fee) for _ in range(3)]
    assert len({bench.chain.sign(tx, PAYER).hash for tx in prepared}) == 3
    assert replace(prepared[0], anchor=b"") == replace(prepared[1], anchor=b"")
