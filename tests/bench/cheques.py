"""Cheques per second on one core: the two signatures alone, and the whole way with both sides' databases on disk.

The whole way of one cheque: sign, durable at the payer, verify, durable at the seller. With group commit many payments
are under way at once and share commits; without, each is committed alone.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from node.ports.engine import TorrentId
from node.ports.store import IssueCheque, IssuedCheque, ReceivedCheque
from node.store import open_store
from tests.bench.harness import Result, Row, in_turns
from wallet.address import Address
from wallet.amount import BTT
from wallet.cheque import Cheque, Rail, sign_cheque, verify_cheque
from wallet.keys import PrivateKey

PAIRS = 5
SIGNATURES = 4000
CHEQUES = 4000
ALONE = 1500
CLIENTS = 64
RAIL = Rail("eip155:199", 199, Address(b"\x8d" * 20), BTT)
KEY = PrivateKey(b"\x46" * 32)


def sign_and_verify() -> float:
    payee = Address(b"\x01" * 20)
    started = time.perf_counter()
    for number in range(1, SIGNATURES + 1):
        signed = sign_cheque(RAIL, Cheque(KEY.address, payee, number), KEY)
        verify_cheque(RAIL, signed, KEY.address)
    return SIGNATURES / (time.perf_counter() - started)


async def _whole_way(count: int, clients: int, max_batch: int) -> float:
    with tempfile.TemporaryDirectory(prefix="bttnode-bench-", dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        payer = await open_store(folder / "payer.db", folder / "payer.mark", max_batch=max_batch)
        seller = await open_store(folder / "seller.db", folder / "seller.mark", max_batch=max_batch)
        torrent = TorrentId("0" * 40)

        async def client(number: int) -> None:
            payee = Address(number.to_bytes(20, "big"))
            for cumulative in range(1, count // clients + 1):
                signed = sign_cheque(RAIL, Cheque(KEY.address, payee, cumulative), KEY)
                issued = IssuedCheque(
                    rail=RAIL.id,
                    payer=KEY.address,
                    payee=payee,
                    cumulative=cumulative,
                    owed=cumulative,
                    signature=signed.signature,
                    updated_at=1,
                )
                await payer.issue_cheque(IssueCheque(cheque=issued, amount=1, spent={torrent: 1}, day=1))
                verify_cheque(RAIL, signed, KEY.address)
                await seller.receive_cheque(
                    ReceivedCheque(
                        rail=RAIL.id,
                        payer=KEY.address,
                        payee=payee,
                        cumulative=cumulative,
                        signature=signed.signature,
                        earned=cumulative,
                        updated_at=1,
                    )
                )

        started = time.perf_counter()
        await asyncio.gather(*(client(number + 1) for number in range(clients)))
        seconds = time.perf_counter() - started
        await payer.close()
        await seller.close()
        return count // clients * clients / seconds


def run(tell: Callable[[str], None], pairs: int) -> Result:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        signatures, grouped, alone = in_turns(
            [
                sign_and_verify,
                lambda: asyncio.run(_whole_way(CHEQUES, CLIENTS, 256)),
                lambda: asyncio.run(_whole_way(ALONE, 1, 1)),
            ],
            pairs or PAIRS,
            tell,
        )
    finally:
        os.sched_setaffinity(0, allowed)
    rows = [
        Row("sign + verify", "1/s", signatures),
        Row(f"sign, durable, verify, durable; {CLIENTS} at a time", "1/s", grouped),
        Row("the same one by one, each commit alone", "1/s", alone),
    ]
    goal = "durable with group commit >= 2,000/s; sign + verify >= 5,000/s"
    return Result("cheques", rows, rows[1].summary()["median"], goal)
