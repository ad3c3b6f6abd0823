"""Whatever crashes, gets lost, expires or is taken back, and in whichever order.

A machine lets an outbox work on a chain in memory and does to both whatever it likes. It holds all the time:

    once      an intent's effect is on the chain once or not at all
    final     what is reported final has its effect, and keeps it
    failed    what is reported failed has no effect, and never gets one
    durable   what the network knows of this account is in the store, or another program's: so nothing that may take
              effect is ever forgotten
    order     an intent that comes after another has no effect before that one has

And once the faults stop:

    ended     every intent becomes final or failed in bounded time, whatever state the faults have left it in
    done      it becomes final, unless somebody cancelled it, another program took its nonce, its work outran what was
              paid for it, or what it was to follow failed

Reorganisations are at most as deep as what the chain calls final. A server that lags knows at least what is final, or
is asked for less than `VOID_GRACE`. Other programs may send with the same key.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.outbox.desk import FINALITY, KEY, LIFE, ME, Desk, name
from wallet.chains.base import Call, ChainAnswerError, ChainError, ChainUnreachableError, SignedTx, UnsignedTx
from wallet.chains.fake import FakeChain
from wallet.chains.fake_tron import FakeTronChain
from wallet.outbox import (
    CLOSED,
    MAX_REPLACED,
    RESEND_EVERY,
    STUCK_AFTER,
    VOID_GRACE,
    Intent,
    IntentState,
    MemoryOutboxStore,
)

T = TypeVar("T")

INTENTS = 3
RIVAL = 77
FILLERS = 100
"""From this number on: intents whose only purpose is to come next."""
ROUNDS = 40 * INTENTS
"""More than enough to heal: what is asked for is the right end, not a fast one."""
MAX_PRICE = 10**6
EXCUSES = ("cancelled", "has used nonce", "ran out of energy", "which failed")
"""Why an intent may fail here. Nothing else can happen to it that would not pass."""


class CrashError(BaseException):
    """The process dies here."""


class Fuse:
    """Counts down events and then raises."""

    def __init__(self) -> None:
        self.left = 0
        self.error: BaseException = CrashError()

    def light(self, events: int, error: BaseException) -> None:
        self.left, self.error = events, error

    def __call__(self) -> None:
        if self.left:
            self.left -= 1
            if not self.left:
                raise self.error


class CrashingStore(MemoryOutboxStore):
    """Dies before or after a save. `bytes` are all that were ever signed: they may have got anywhere."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self.fuse = fuse
        self.bytes: dict[bytes, SignedTx] = {}

    async def save_intent(self, intent: Intent) -> None:
        self.fuse()
        await super().save_intent(intent)
        if intent.raw is not None and intent.hash is not None and intent.fee is not None:
            unsigned = UnsignedTx(intent.call, intent.sender, intent.nonce or 0, intent.fee, intent.anchor)
            self.bytes.setdefault(intent.hash, SignedTx(unsigned, intent.raw, intent.hash))
        self.fuse()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Nothing here ever waits, so no event loop is needed."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waits for something")


numbers = st.integers(1, INTENTS)


class Schedules(RuleBasedStateMachine):
    kind: type[FakeChain | FakeTronChain]

    def __init__(self) -> None:
        super().__init__()
        self.chain_fuse, self.store_fuse = Fuse(), Fuse()
        self.store = CrashingStore(self.store_fuse)
        self.desk = Desk(self.kind, self.store)
        self.chain = self.desk.chain
        self.chain.hook = lambda _question: self.chain_fuse()
        self.rivals: dict[bytes, SignedTx] = {}
        self.hastened = False

    # --- what the node does ------------------------------------------------------------------------------------------

    def attempt(self, work: Coroutine[Any, Any, object]) -> None:
        """As a service would: a fault is met again later, a crash loses all that is not in the store."""
        try:
            run(work)
        except CrashError:
            self.desk.restart()
        except ChainError:
            pass

    @rule(number=numbers, pauses=st.lists(st.sampled_from([0.0, RESEND_EVERY, STUCK_AFTER]), min_size=1, max_size=4))
    def work(self, number: int, pauses: list[float]) -> None:
        for seconds in pauses:
            self.wait(seconds)
            self.attempt(self.desk.advance(number))

    @rule(number=st.integers(2, INTENTS))
    def follow(self, number: int) -> None:
        """An intent that must come after the one before it."""
        fresh = run(self.store.intent(name(number))) is None
        if fresh and run(self.store.intent(name(number - 1))) is not None:
            self.attempt(self.desk.submit(number, after=number - 1))

    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        if run(self.store.intent(name(number))) is not None:
            self.attempt(self.desk.cancel(number))

    @rule()
    def crash(self) -> None:
        self.desk.restart()

    # --- what the chain does -----------------------------------------------------------------------------------------

    @rule(blocks=st.integers(1, FINALITY + 1))
    def mine(self, blocks: int) -> None:
        self.chain.mine(blocks)

    @rule(depth=st.integers(1, FINALITY), forget=st.booleans())
    def reorg(self, depth: int, forget: bool) -> None:
        self.chain.reorg(depth, forget=forget)
        self.chain.mine(depth)  # a chain is replaced by one that is at least as long

    @rule()
    def drop_pool(self) -> None:
        self.chain.forget_pending()

    @rule(seconds=st.sampled_from([RESEND_EVERY, STUCK_AFTER, VOID_GRACE, LIFE]))
    def wait(self, seconds: float) -> None:
        self.desk.wait(seconds)

    @precondition(lambda self: not self.hastened)
    @rule(number=numbers)
    def hasten(self, number: int) -> None:
        """For a moment, and once, the outbox asks a server that lags and takes what it does not know for void."""
        self.hastened = True
        self.wait(RESEND_EVERY)
        self.chain.hasty = True
        self.attempt(self.desk.advance(number))
        self.chain.hasty = False

    @rule(percent=st.sampled_from([50, 105, 200]))
    def price(self, percent: int) -> None:
        self.chain.price = min(max(1, self.chain.price * percent // 100), MAX_PRICE)

    @rule(blocks=st.integers(0, FINALITY - 1))
    def lag(self, blocks: int) -> None:
        self.chain.lag = blocks

    @precondition(lambda self: isinstance(self.chain, FakeTronChain))
    @rule(stubborn=st.booleans())
    def remember(self, stubborn: bool) -> None:
        assert isinstance(self.chain, FakeTronChain)
        self.chain.stubborn = stubborn

    @precondition(lambda self: self.store.bytes)
    @rule(data=st.data())
    def echo(self, data: st.DataObject) -> None:
        """Somebody has kept bytes of ours and sends them again."""
        self.send(self.store.bytes[data.draw(st.sampled_from(sorted(self.store.bytes)))])

    @rule()
    def rival(self) -> None:
        """Another program sends with the same key."""
        self.chain_fuse.left = 0

        async def pay() -> SignedTx:
            call: Call = self.desk.pay(RIVAL)
            fee = await self.chain.estimate(call, ME)
            nonce = await self.chain.next_nonce(ME)
            return self.chain.sign(await self.chain.prepare(call, ME, nonce, fee), KEY)

        signed = run(pay())
        self.rivals[signed.hash] = signed
        self.send(signed)

    def send(self, signed: SignedTx) -> None:
        self.chain_fuse.left = 0
        self.attempt(self.chain.broadcast(signed))

    # --- what goes wrong ---------------------------------------------------------------------------------------------

    @rule(
        questions=st.integers(1, 12),
        error=st.sampled_from([CrashError(), ChainUnreachableError("gone"), ChainAnswerError("a web page")]),
    )
    def break_chain(self, questions: int, error: BaseException) -> None:
        self.chain_fuse.light(questions, error)

    @rule(saves=st.integers(1, 6))
    def break_store(self, saves: int) -> None:
        self.store_fuse.light(saves, CrashError())

    # --- what holds --------------------------------------------------------------------------------------------------

    def paid(self, number: int) -> int:
        """Asked of the chain itself, behind the back of all faults."""
        left, self.chain_fuse.left = self.chain_fuse.left, 0
        paid = run(self.desk.paid(number))
        self.chain_fuse.left = left
        return paid

    def intents(self) -> dict[int, Intent]:
        found = {number: run(self.store.intent(name(number))) for number in range(1, INTENTS + 1)}
        return {number: intent for number, intent in found.items() if intent is not None}

    @invariant()
    def once_final_failed(self) -> None:
        for number, intent in self.intents().items():
            paid = self.paid(number)
            assert paid in (0, number), f"{intent} has taken effect twice"
            if intent.state is IntentState.FINAL:
                assert paid == number, f"{intent} was reported final"
            if intent.state is IntentState.FAILED:
                assert paid == 0, f"{intent} was reported failed"
                assert intent.reason

    @invariant()
    def durable(self) -> None:
        ours = {transaction for intent in self.store.all() for transaction in intent.ids}
        for tx in self.chain.known():
            assert tx.hash in ours or tx.hash in self.rivals

    @invariant()
    def order(self) -> None:
        for number, intent in self.intents().items():
            if intent.after is not None and self.paid(number):
                assert self.paid(number - 1), f"{intent} came too early"

    def teardown(self) -> None:
        self.chain_fuse.left = self.store_fuse.left = self.chain.lag = 0
        for turn in range(ROUNDS):
            for number in (*range(1, INTENTS + 1), FILLERS + turn // 10):
                self.attempt(self.desk.advance(number))
            self.once_final_failed()
            if all(intent.state in CLOSED for intent in self.intents().values()):
                break
            self.chain.mine()
            self.desk.wait(VOID_GRACE)
        self.chain.mine(FINALITY)
        self.once_final_failed()
        self.order()
        for intent in self.intents().values():
            assert intent.state in CLOSED, intent
            assert len(intent.replaced) <= 2 * MAX_REPLACED
            if intent.state is IntentState.FAILED:
                assert any(excuse in intent.reason for excuse in EXCUSES), intent
                assert "has used nonce" not in intent.reason or self.rivals


class NonceSchedules(Schedules):
    kind = FakeChain


class ExpirySchedules(Schedules):
    kind = FakeTronChain


budget = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestWithNonces = NonceSchedules.TestCase
TestWithNonces.settings = budget
TestWithExpiry = ExpirySchedules.TestCase
TestWithExpiry.settings = budget
