"""What a `ChainAdapter` promises where transactions have nonces and prices (EVM)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conformance.benches import FINALITY, WITH_NONCES, Bench
from tests.conformance.kit import PAYER, STRANGER, funded, signed
from wallet.chains.base import Fee, NonceError, UnderpricedError


@pytest.fixture(params=sorted(WITH_NONCES))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with funded(request.param) as bench:
        yield bench


async def test_the_next_nonce_counts_what_waits(bench: Bench) -> None:
    await bench.automine(False)
    first = await bench.chain.next_nonce(PAYER.address)
    await bench.chain.broadcast(await signed(bench, bench.chain.transfer_native(STRANGER, 1)))
    assert await bench.chain.next_nonce(PAYER.address) == first + 1
    await bench.mine()
    assert await bench.chain.next_nonce(PAYER.address) == first + 1


async def test_a_used_nonce_is_refused(bench: Bench) -> None:
    tx = await signed(bench, bench.chain.transfer_native(STRANGER, 1))
    await bench.chain.broadcast(tx)
    other = await signed(bench, bench.chain.transfer_native(STRANGER, 2), nonce=tx.tx.nonce)
    with pytest.raises(NonceError):
        await bench.chain.broadcast(other)


async def test_a_price_below_the_networks_is_refused(bench: Bench) -> None:
    if not bench.asks_price:
        pytest.skip("this node takes any price")
    call = bench.chain.transfer_native(STRANGER, 1)
    fee = await bench.chain.estimate(call, PAYER.address)
    with pytest.raises(UnderpricedError):
        await bench.chain.broadcast(await signed(bench, call, fee=Fee(fee.limit, fee.price - 1)))


async def test_a_dearer_transaction_replaces_one_that_waits(bench: Bench) -> None:
    chain = bench.chain
    await bench.automine(False)
    first = await signed(bench, chain.transfer_native(STRANGER, 1))
    await chain.broadcast(first)
    assert await chain.outbid(first.tx) is None, "the network asks for no more than was offered"
    price = first.tx.fee.price
    other = chain.transfer_native(STRANGER, 2)
    for bump in [0, price // 50] if bench.asks_price else [0]:
        hardly = await signed(bench, other, nonce=first.tx.nonce, fee=Fee(first.tx.fee.limit, price + bump))
        with pytest.raises(UnderpricedError):
            await chain.broadcast(hardly)
    dearer = await signed(bench, first.tx.call, nonce=first.tx.nonce, fee=Fee(first.tx.fee.limit, 2 * price))
    await chain.broadcast(dearer)
    await bench.mine()
    assert await chain.receipt(first.hash) is None
    assert await chain.receipt(dearer.hash) is not None


async def test_a_transaction_is_void_when_its_nonce_is_used_for_good(bench: Bench) -> None:
    lost = await signed(bench, bench.chain.transfer_native(STRANGER, 1))
    await bench.chain.broadcast(await signed(bench, bench.chain.transfer_native(STRANGER, 2)))
    assert not await bench.chain.is_void(lost), "the other one may still be taken back"
    await bench.mine(FINALITY)
    assert await bench.chain.is_void(lost)
