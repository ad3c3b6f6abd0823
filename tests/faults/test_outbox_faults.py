"""Real adapters and real devnets with a bad network in between, and an outbox that is killed all the time.

The outbox works over the real database, which is opened anew after each kill. When the day is over, what it reports and
what the balances and the vault say must be the same, to the last unit, and everything must have come to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
import pytest

from node.devnet.server import DevnetServer, DevnetSettings
from node.devnet.tron.server import TronDevnetServer, TronDevnetSettings
from node.store import open_store
from tests.conformance.benches import FINALITY, Bench, DevnetBench, Rpc, evm_settings
from tests.conformance.tron_bench import TronBench
from tests.faults.proxy import Fault, FaultyProxy
from wallet.address import Address
from wallet.amount import BTT, Token
from wallet.chains.base import Call, ChainAdapter, ChainError, SignedTx
from wallet.chains.evm import EvmChain
from wallet.chains.tron import TronChain, TronSettings
from wallet.cheque import Rail
from wallet.keys import PrivateKey
from wallet.outbox import (
    CLOSED,
    STUCK_AFTER,
    VOID_GRACE,
    Intent,
    IntentFailedError,
    IntentState,
    MemoryOutboxStore,
    Outbox,
)

KEY = PrivateKey(b"\x46" * 32)
ME = KEY.address
FRIEND, PAYEE = Address(b"\x71" * 20), Address(b"\x72" * 20)
TOKENS = 1_000
TIMEOUT = 0.5
"""Seconds; what hangs costs so much of the test's own time."""
LIFE = 61
"""Seconds after which every transaction has expired, where they do."""
BAD_LIVES, LIVES = 30, 80
"""How often the node is started: with faults, and at most."""
TRON_CHAIN = 0x2B6653DC

WEIGHTS = {
    Fault.PASS: 60,
    Fault.HANG: 1,
    Fault.DROP_BEFORE: 4,
    Fault.DROP_AFTER: 5,
    Fault.HTML: 4,
    Fault.TOO_MANY: 4,
    Fault.HALF_JSON: 4,
    Fault.TWICE: 6,
    Fault.STALE: 5,
    Fault.KILL_BEFORE: 3,
    Fault.KILL_AFTER: 4,
}


@dataclass
class Clock:
    """Waiting takes no time: only the test's clock moves."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


Connect = Callable[[str, Clock], AbstractAsyncContextManager[ChainAdapter]]


@dataclass
class Day:
    """One rail: the devnet as a test sees it, where it listens, and how the node gets to it."""

    bench: Bench
    url: str
    connect: Connect
    clock: Clock = field(default_factory=Clock)
    life: asyncio.Task[None] | None = None

    async def next_block(self) -> None:
        self.clock.now += VOID_GRACE
        await self.bench.pass_time(int(VOID_GRACE))

    def kill(self) -> None:
        if self.life is not None:
            self.life.cancel()


@asynccontextmanager
async def evm_day() -> AsyncIterator[Day]:
    server = DevnetServer(DevnetSettings(block_time=0))
    found = await server.start()

    @asynccontextmanager
    async def connect(url: str, clock: Clock) -> AsyncIterator[ChainAdapter]:
        settings = replace(evm_settings(url, found.token, found.vault), timeout=TIMEOUT)
        chain = EvmChain(settings, clock=clock, sleep=clock.sleep)
        try:
            yield chain
        finally:
            await chain.close()

    try:
        async with (
            EvmChain(evm_settings(found.url, found.token, found.vault)) as chain,
            aiohttp.ClientSession() as session,
        ):
            yield Day(DevnetBench(chain, Rpc(session, found.url), found), found.url, connect)
    finally:
        await server.close()


@asynccontextmanager
async def tron_day() -> AsyncIterator[Day]:
    server = TronDevnetServer(TronDevnetSettings(chain_id=TRON_CHAIN, block_time=0, confirmations=FINALITY))
    found = await server.start()

    def settings(url: str, timeout: float) -> TronSettings:
        rail = Rail(f"tron:0x{TRON_CHAIN:x}", TRON_CHAIN, Address.parse(found.vault), BTT)
        return TronSettings(rail, Token("TRX", 6), Address.parse(found.token), (url,), timeout=timeout)

    @asynccontextmanager
    async def connect(url: str, clock: Clock) -> AsyncIterator[ChainAdapter]:
        chain = TronChain(settings(url, TIMEOUT), clock=clock, sleep=clock.sleep)
        try:
            yield chain
        finally:
            await chain.close()

    try:
        async with TronChain(settings(found.url, 10.0)) as chain, aiohttp.ClientSession() as session:
            yield Day(TronBench(chain, session, found), found.url, connect)
    finally:
        await server.close()


DAYS = {"evm": evm_day, "tron": tron_day}


def plan(chain: ChainAdapter) -> dict[str, tuple[Call, str | None]]:
    """Every intent by its key, and what it comes after."""
    return {
        "send": (chain.transfer_token(FRIEND, 30), None),
        "approve": (chain.approve(600), None),
        "deposit": (chain.deposit(600), "approve"),
        "pay": (chain.transfer_native(FRIEND, 7), None),
        "lock": (chain.lock(PAYEE, 100), "deposit"),
        "notice": (chain.give_notice(200), "deposit"),
        "send again": (chain.transfer_token(FRIEND, 30), None),
    }


async def live(day: Day, path: Path, url: str) -> dict[str, Intent]:
    """Start the node on what the last life has left, work for a while, perhaps get killed; what it leaves."""
    store = await open_store(path, None)
    try:
        async with day.connect(url, day.clock) as chain:
            outbox = Outbox(store, chain, KEY, wall=lambda: int(day.clock.now), clock=day.clock, sleep=day.clock.sleep)

            async def work() -> None:
                for key, (call, after) in plan(chain).items():
                    await outbox.submit(key, call, after=after)
                for _ in range(3):
                    for intent in await outbox.open_intents():
                        with suppress(ChainError):
                            await outbox.advance(intent)
                    await day.next_block()

            day.life = asyncio.create_task(work())
            with suppress(asyncio.CancelledError):
                await day.life
            found = {key: await store.intent(key) for key in plan(chain)}
            return {key: intent for key, intent in found.items() if intent is not None}
    finally:
        await store.close()


async def agree(day: Day, ends: dict[str, Intent]) -> None:
    """The chain shows exactly what the outbox reports.

    Only one thing may fail: a nonce that a server named from memory, and that is used already.
    """
    chain = day.bench.chain
    for intent in ends.values():
        assert intent.state in CLOSED, intent
        if intent.state is IntentState.FAILED:
            assert not chain.expires
            assert "has used nonce" in intent.reason
    done = {key for key, intent in ends.items() if intent.state is IntentState.FINAL}
    sent = 30 * len(done & {"send", "send again"})
    deposited = 600 * ("deposit" in done)
    assert await chain.token_balance(FRIEND) == sent
    assert await chain.native_balance(FRIEND) == 7 * ("pay" in done)
    assert await chain.token_balance(ME) == TOKENS - sent - deposited
    assert await chain.allowance(ME) == 600 * ("approve" in done) - deposited
    state = await chain.payer_state(ME)
    assert (state.balance, state.locked) == (deposited, 100 * ("lock" in done))
    assert state.notice == 200 * ("notice" in done)


@pytest.mark.parametrize("rail", sorted(DAYS))
@pytest.mark.parametrize("seed", range(3))
async def test_a_bad_day_doubles_nothing_and_loses_nothing(rail: str, seed: int, tmp_path: Path) -> None:
    async with DAYS[rail]() as day:
        bench = day.bench
        await bench.fund(ME, native=10**4 * 10**bench.chain.native.decimals, token=TOKENS)
        await bench.automine(False)
        async with FaultyProxy(day.url, seed, WEIGHTS, day.kill) as proxy:
            for turn in range(LIVES):
                if turn == BAD_LIVES:
                    proxy.calm()
                ends = await live(day, tmp_path / "node.db", proxy.url)
                if len(ends) == len(plan(bench.chain)) and all(intent.state in CLOSED for intent in ends.values()):
                    break
                await day.next_block()
        await bench.mine(FINALITY)
        await agree(day, ends)
        assert len(proxy.seen) > len(Fault) // 2, proxy.seen


# --- ways out, on the real chains -----------------------------------------------------------------------------------


@asynccontextmanager
async def desk(rail: str) -> AsyncIterator[tuple[Day, Outbox]]:
    """A sender with money, on a good day; blocks come while somebody waits."""
    async with DAYS[rail]() as day:
        await day.bench.fund(ME, native=10**4 * 10**day.bench.chain.native.decimals)
        await day.bench.automine(False)

        async def sleep(seconds: float) -> None:
            await day.next_block()

        yield day, Outbox(MemoryOutboxStore(), day.bench.chain, KEY, wall=lambda: 0, clock=day.clock, sleep=sleep)


@pytest.mark.parametrize("rail", sorted(DAYS))
async def test_what_a_reorganisation_takes_back_happens_once(rail: str) -> None:
    async with desk(rail) as (day, outbox):
        snapshot = await day.bench.snapshot()
        sent, _ = await outbox.advance(await outbox.submit("pay", day.bench.chain.transfer_native(FRIEND, 7)))
        await day.bench.mine()
        assert (await outbox.advance(sent))[0].state is IntentState.MINED
        await day.bench.restore(snapshot)
        assert await day.bench.chain.native_balance(FRIEND) == 0
        final, _ = await outbox.finish(sent, deadline=600)
        assert final.hash == sent.hash
        assert await day.bench.chain.native_balance(FRIEND) == 7


async def test_what_expired_on_tron_is_signed_anew_and_happens_once() -> None:
    async with desk("tron") as (day, outbox):
        snapshot = await day.bench.snapshot()
        sent, _ = await outbox.advance(await outbox.submit("pay", day.bench.chain.transfer_native(FRIEND, 7)))
        await day.bench.restore(snapshot)
        await day.bench.pass_time(LIFE)
        final, _ = await outbox.finish(sent, deadline=600)
        assert final.replaced == (sent.hash,)
        assert await day.bench.chain.native_balance(FRIEND) == 7


@pytest.mark.parametrize("rail", sorted(DAYS))
async def test_what_is_cancelled_before_a_block_takes_it_never_happens(rail: str) -> None:
    async with desk(rail) as (day, outbox):
        snapshot = await day.bench.snapshot()
        sent, _ = await outbox.advance(await outbox.submit("pay", day.bench.chain.transfer_native(FRIEND, 7)))
        await outbox.cancel(sent)
        if day.bench.chain.expires:
            await day.bench.restore(snapshot)
        for _ in range(2):
            await outbox.advance(sent)
        with pytest.raises(IntentFailedError, match="cancelled"):
            await outbox.finish(sent, deadline=600)
        await day.bench.mine(FINALITY)
        assert await day.bench.chain.native_balance(FRIEND) == 0


async def rival(chain: ChainAdapter, nonce: int, percent: int = 100) -> SignedTx:
    """What another program signs with the same key, at so much of the usual price."""
    call = chain.transfer_native(PAYEE, 1)
    fee = await chain.estimate(call, ME)
    dearer = replace(fee, price=fee.price * percent // 100)
    return chain.sign(await chain.prepare(call, ME, nonce, dearer), KEY)


async def test_what_another_program_replaced_fails_and_says_so() -> None:
    async with desk("evm") as (day, outbox):
        chain = day.bench.chain
        sent, _ = await outbox.advance(await outbox.submit("pay", chain.transfer_native(FRIEND, 7)))
        assert sent.nonce is not None
        await chain.broadcast(await rival(chain, sent.nonce, 200))
        with pytest.raises(IntentFailedError, match="another transaction of this account has used nonce 0"):
            await outbox.finish(sent, deadline=600)
        assert (await chain.native_balance(FRIEND), await chain.native_balance(PAYEE)) == (0, 1)


async def test_a_gap_that_another_program_left_is_filled_by_the_next_intent() -> None:
    async with desk("evm") as (day, outbox):
        chain = day.bench.chain
        snapshot = await day.bench.snapshot()
        await chain.broadcast(await rival(chain, 0))
        sent, _ = await outbox.advance(await outbox.submit("pay", chain.transfer_native(FRIEND, 7)))
        assert sent.nonce == 1
        await day.bench.restore(snapshot)
        with pytest.raises(TimeoutError):
            await outbox.finish(sent, deadline=STUCK_AFTER + VOID_GRACE)
        filler, _ = await outbox.finish(await outbox.submit("pay more", chain.transfer_native(FRIEND, 8)), deadline=600)
        final, _ = await outbox.finish(sent, deadline=600)
        assert (filler.nonce, final.nonce) == (0, 1)
        assert (await chain.native_balance(FRIEND), await chain.native_balance(PAYEE)) == (15, 0)
