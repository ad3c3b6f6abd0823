"""Accounts with money, and transactions as the outbox would make them, on any bench."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from tests.conformance.benches import BENCHES, Bench
from wallet.address import Address
from wallet.chains.base import Call, Fee, Receipt, SignedTx
from wallet.keys import PrivateKey

PAYER, PAYEE, HOT = (PrivateKey(bytes([n]) * 32) for n in (1, 2, 3))
STRANGER = Address(b"\x77" * 20)


def coin(bench: Bench) -> int:
    """One native coin, in units."""
    return int(10**bench.chain.native.decimals)


def gas_money(bench: Bench) -> int:
    """What payer and payee have to start with, in native units."""
    return 10_000 * coin(bench)


@asynccontextmanager
async def funded(name: str) -> AsyncIterator[Bench]:
    async with BENCHES[name]() as bench:
        for key in (PAYER, PAYEE):
            await bench.fund(key.address, native=gas_money(bench))
        await bench.fund(PAYER.address, token=1000)
        yield bench


async def signed(bench: Bench, call: Call, key: PrivateKey = PAYER, **changes: object) -> SignedTx:
    """A transaction as the outbox would make it; `changes` replace its nonce or fee."""
    chain = bench.chain
    fee = changes.pop("fee", None) or await chain.estimate(call, key.address)
    assert isinstance(fee, Fee)
    tx = await chain.prepare(call, key.address, await chain.next_nonce(key.address), fee)
    return chain.sign(replace(tx, **changes), key)  # type: ignore[arg-type]  # only `nonce` is ever changed


async def do(bench: Bench, call: Call, key: PrivateKey = PAYER) -> Receipt:
    """Carry a call out and return its receipt; it must have succeeded."""
    tx = await signed(bench, call, key)
    await bench.chain.broadcast(tx)
    receipt = await bench.chain.receipt(tx.hash)
    assert receipt is not None
    assert receipt.ok
    return receipt
