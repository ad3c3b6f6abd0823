"""Both devnets as processes of their own, asked through the wallet's adapters; and what cashing costs on each.

Throughput: token transfers signed beforehand and broadcast over several connections, each mined in a block of its own,
and view calls likewise. Cost: `cashMany` over 1, 10 and 100 cheques of payers that were paid before, from receipts.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from node.demo.rails import DemoRail
from tests.bench.harness import Result, Row, in_turns
from tests.contracts.gas import btfs_gas
from wallet.chains.base import Call, ChainAdapter, Receipt, SignedTx
from wallet.cheque import Cheque, sign_cheque
from wallet.keys import PrivateKey

PAIRS = 5
RAILS = ("bttc", "tron")
TRANSFERS, CALLS, CLIENTS = 300, 1500, 8
SIZES = (1, 10, 100)
GROWTH = 1_234_567_890_123_456_789
"""Of every cheque: as many non-zero bytes as real amounts have."""
WORK = {"bttc": "gas", "tron": "energy"}
FUNDER, PAYEE = PrivateKey(b"\x51" * 32), PrivateKey(b"\x52" * 32)
PAYERS = [PrivateKey(number.to_bytes(32, "big")) for number in range(1000, 1000 + max(SIZES))]
SENDERS = [PrivateKey(number.to_bytes(32, "big")) for number in range(2000, 2000 + CLIENTS)]


@contextmanager
def _devnets(folder: Path) -> Iterator[dict[str, DemoRail]]:
    rails: dict[str, DemoRail] = {}
    try:
        for short in RAILS:
            rails[short] = DemoRail.start(short, folder)
        yield rails
    finally:
        for rail in rails.values():
            rail.process.stop()


def _with_chain(rail: DemoRail, work: Callable[[ChainAdapter], Awaitable[float]]) -> float:
    async def run() -> float:
        chain = rail.open().chain
        try:
            await chain.start()
            return await work(chain)
        finally:
            await chain.close()

    return asyncio.run(run())


# --- throughput ------------------------------------------------------------------------------------------------------


async def _transfers(chain: ChainAdapter) -> float:
    """Token transfers per second, from the first broadcast to the last one mined."""
    batches = [await _signed(chain, sender, TRANSFERS // CLIENTS) for sender in SENDERS]

    async def client(batch: Sequence[SignedTx]) -> None:
        for signed in batch:
            await chain.broadcast(signed)

    started = time.perf_counter()
    await asyncio.gather(*map(client, batches))
    seconds = time.perf_counter() - started
    for batch in batches:
        receipt = await chain.receipt(batch[-1].hash)
        if receipt is None or not receipt.ok:
            raise RuntimeError(f"a transfer on {chain.rail.id} did not succeed")
    return sum(map(len, batches)) / seconds


async def _signed(chain: ChainAdapter, sender: PrivateKey, count: int) -> list[SignedTx]:
    """Each of another amount, so that chains without nonces see different transactions."""
    nonce = await chain.next_nonce(sender.address)
    fee = await chain.estimate(chain.transfer_token(PAYEE.address, 1), sender.address)
    seed = time.monotonic_ns() % 10**9
    made = []
    for number in range(count):
        call = chain.transfer_token(PAYEE.address, seed + number)
        tx = await chain.prepare(call, sender.address, nonce, fee)
        made.append(chain.sign(tx if chain.expires else replace(tx, nonce=nonce + number), sender))
    return made


async def _calls(chain: ChainAdapter) -> float:
    """View calls per second."""

    async def client(_: int) -> None:
        for _turn in range(CALLS // CLIENTS):
            await chain.token_balance(PAYEE.address)

    started = time.perf_counter()
    await asyncio.gather(*map(client, range(CLIENTS)))
    return CALLS // CLIENTS * CLIENTS / (time.perf_counter() - started)


# --- cost ------------------------------------------------------------------------------------------------------------


async def _do(chain: ChainAdapter, call: Call, key: PrivateKey) -> Receipt:
    fee = await chain.estimate(call, key.address)
    tx = await chain.prepare(call, key.address, await chain.next_nonce(key.address), fee)
    signed = chain.sign(tx, key)
    await chain.broadcast(signed)
    receipt = await chain.receipt(signed.hash)  # devnets mine at once
    if receipt is None or not receipt.ok:
        raise RuntimeError(f"{call.text} failed on {chain.rail.id}")
    return receipt


async def _cash_costs(chain: ChainAdapter) -> dict[int, Receipt]:
    """Receipts of `cashMany` by number of cheques, for pairs that were paid before."""
    await _do(chain, chain.approve(2**255), FUNDER)
    for payer in PAYERS:
        await _do(chain, chain.deposit_for(payer.address, 10 * GROWTH), FUNDER)

    async def cash(size: int, turn: int) -> Receipt:
        cheques = [
            sign_cheque(chain.rail, Cheque(payer.address, PAYEE.address, turn * GROWTH), payer)
            for payer in PAYERS[:size]
        ]
        return await _do(chain, chain.cash(cheques, PAYEE.address), PAYEE)

    await cash(max(SIZES), 1)
    return {size: await cash(size, turn) for turn, size in enumerate(SIZES, 2)}


def _costs(rail: DemoRail) -> dict[int, Receipt]:
    found: dict[int, Receipt] = {}

    async def work(chain: ChainAdapter) -> float:
        found.update(await _cash_costs(chain))
        return 0.0

    _with_chain(rail, work)
    return found


# --- the whole -------------------------------------------------------------------------------------------------------


def run(tell: Callable[[str], None], pairs: int) -> Result:
    with tempfile.TemporaryDirectory(prefix="bttnode-bench-") as name, _devnets(Path(name)) as rails:
        for rail in rails.values():
            for key in (FUNDER, PAYEE, *SENDERS):
                rail.fund(key.address)
        work = [(rail, what) for what in (_transfers, _calls) for rail in rails.values()]
        sides = [lambda rail=rail, what=what: _with_chain(rail, what) for rail, what in work]
        transfers_bttc, transfers_tron, calls_bttc, calls_tron = in_turns(sides, pairs or PAIRS, tell)
        tell("  cheques")
        costs = {short: _costs(rail) for short, rail in rails.items()}
        native = {short: rail.open().chain.native for short, rail in rails.items()}
    rows = [
        Row("BTTC: token transfers", "tx/s", transfers_bttc),
        Row("TRON: token transfers", "tx/s", transfers_tron),
        Row("BTTC: view calls", "calls/s", calls_bttc),
        Row("TRON: view calls", "calls/s", calls_tron),
    ]
    for short in RAILS:
        for size, receipt in costs[short].items():
            label = f"{short.upper()}: {size} cheque{'s' if size > 1 else ''} in one transaction, for each"
            rows.append(Row(label, WORK[short], [receipt.fee_used / size]))
    rows += [Row(f"BTTC: {method}", "gas", [gas]) for method, (_, gas) in btfs_gas().items()]
    lowest = min(rows[0].summary()["median"], rows[1].summary()["median"])
    fees = ", ".join(
        f"{short}: {costs[short][100].fee_paid / 10 ** native[short].decimals:.4g} {native[short].symbol}"
        for short in RAILS
    )
    return Result(
        "chain",
        rows,
        lowest,
        "tx/s >= 150 and calls/s >= 700 on both devnets; under 20,000 gas a cheque at 100, where pairs are known",
        (f"fee of cashing 100 cheques in one transaction: {fees}", "BTFS cheques are cashed one by one"),
    )
