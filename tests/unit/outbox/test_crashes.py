"""Whatever crashes, gets lost or is taken back: each intent takes effect exactly once, or fails and never does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.outbox.desk import FINALITY, KEY, ME, Desk
from wallet.chains.base import ChainError, ChainUnreachableError, SignedTx
from wallet.outbox import CLOSED, RESEND_EVERY, STUCK_AFTER, VOID_GRACE, Intent, IntentState, MemoryOutboxStore

INTENTS = 3
ROUNDS = 60
"""More than enough to heal: what is asked for is the right end, not a fast one."""


class CrashError(BaseException):
    """The process dies here."""


class Fuse:
    """Counts down events and then raises."""

    def __init__(self) -> None:
        self.left = 0
        self.error: type[BaseException] = CrashError

    def __call__(self) -> None:
        if self.left:
            self.left -= 1
            if not self.left:
                raise self.error("the fuse")


class CrashingStore(MemoryOutboxStore):
    """Dies before or after a save."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self.fuse = fuse

    async def save_intent(self, intent: Intent) -> None:
        self.fuse()
        await super().save_intent(intent)
        self.fuse()


@dataclass
class World:
    desk: Desk
    chain_fuse: Fuse
    store_fuse: Fuse
    rivals: list[SignedTx] = field(default_factory=list)

    @classmethod
    def new(cls) -> World:
        chain_fuse, store_fuse = Fuse(), Fuse()
        desk = Desk(CrashingStore(store_fuse))
        desk.chain.hook = lambda _question: chain_fuse()
        return cls(desk, chain_fuse, store_fuse)

    async def work(self, number: int) -> None:
        """Submit or go on, as a service would, and perhaps die."""
        try:
            await self.desk.advance(number)
        except CrashError:
            self.desk.restart()
        except ChainError:
            pass

    async def rival(self) -> None:
        """Another program sends a transaction with the same key."""
        chain = self.desk.chain
        call = self.desk.pay(77)
        with suppress(CrashError, ChainError):
            fee = await chain.estimate(call, ME)
            unsigned = await chain.prepare(call, ME, await chain.next_nonce(ME), fee)
            self.rivals.append(chain.sign(unsigned, KEY))
            await chain.broadcast(self.rivals[-1])

    async def rivals_again(self) -> None:
        """Programs that use a key see to it that their transactions are not forgotten."""
        self.desk.chain.price = 1
        for signed in self.rivals:
            with suppress(ChainError):
                await self.desk.chain.broadcast(signed)

    def crash(self) -> None:
        self.desk.restart()

    def wait(self, seconds: float) -> None:
        self.desk.now += seconds

    def price(self, percent: int) -> None:
        self.desk.chain.price = max(1, self.desk.chain.price * percent // 100)

    def break_chain(self, questions: int, error: type[BaseException]) -> None:
        self.chain_fuse.left, self.chain_fuse.error = questions, error

    def break_store(self, saves: int) -> None:
        self.store_fuse.left = saves


Step = Callable[[World], object]


def step(name: str, *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.tuples(st.just(name), *arguments)


numbers = st.integers(1, INTENTS)
steps = st.lists(
    st.one_of(
        step("work", numbers),
        step("work", numbers),
        step("work", numbers),
        step("mine", st.integers(1, FINALITY + 1)),
        step("reorg", st.integers(1, FINALITY), st.booleans()),
        step("forget"),
        step("rival"),
        step("crash"),
        step("wait", st.sampled_from([RESEND_EVERY, STUCK_AFTER, VOID_GRACE])),
        step("price", st.sampled_from([50, 105, 200])),
        step("break_chain", st.integers(1, 12), st.sampled_from([CrashError, ChainUnreachableError])),
        step("break_store", st.integers(1, 6)),
    ),
    max_size=40,
)


async def take(world: World, step: tuple[object, ...]) -> None:
    match step:
        case ("work", int(number)):
            await world.work(number)
        case ("mine", int(blocks)):
            world.desk.chain.mine(blocks)
        case ("reorg", int(depth), bool(forget)):
            world.desk.chain.reorg(depth, forget=forget)
            world.desk.chain.mine(depth)  # a chain is replaced by one that is at least as long
        case ("forget",):
            world.desk.chain.forget_pending()
        case ("rival",):
            await world.rival()
        case (str(name), *arguments):
            getattr(world, name)(*arguments)


async def scenario(plan: list[tuple[object, ...]]) -> None:
    world = World.new()
    for each in plan:
        await take(world, each)
    world.chain_fuse.left = world.store_fuse.left = 0
    desk = world.desk
    ends: dict[int, Intent] = {}
    for _ in range(ROUNDS):
        await world.rivals_again()
        for number in range(1, INTENTS + 1):
            await world.work(number)
            ends[number] = await desk.submit(number)
        if all(intent.state in CLOSED for intent in ends.values()):
            break
        desk.chain.mine()
        desk.now += VOID_GRACE
    desk.chain.mine(FINALITY)
    for number, intent in ends.items():
        assert intent.state in CLOSED, intent
        assert await desk.paid(number) == (number if intent.state is IntentState.FINAL else 0), intent
        assert (intent.state is IntentState.FAILED) == bool(intent.reason)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_each_intent_takes_effect_exactly_once_or_fails(plan: list[tuple[object, ...]]) -> None:
    asyncio.run(scenario(plan))
