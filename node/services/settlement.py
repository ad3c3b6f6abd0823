"""Turns cheques we hold into money, and moves our own deposit. What the user sees as cashed comes from final receipts.

    held cheques ──ask the chain──▶ plan (`node.services.plan`) ──▶ intents (`wallet.outbox`) ──▶ books (`.booking`)

One round of cashing at a time per rail. The cheques of a transaction are named by its intent's idempotency key, so
that a crash between signing and receipt leads to the same transaction, not to a second one. Cashing twice would be
harmless (the vault pays the difference to what it has paid), but the fee is not. For the same reason what is open ends
before anything new is planned.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

from node.ports.store import ReceivedCheque, Store
from node.services.booking import Booking
from node.services.plan import DUST, RESCUE_EVERY, WOULD_BOUNCE, Batch, Plan, PlannedCheque, Terms, judge, without_dust
from node.services.rounds import Rounds, Wait, at_most
from wallet.address import Address
from wallet.chains.base import Call, ChainAdapter, ChainError, Receipt, VaultEvent
from wallet.cheque import Cheque, SignedCheque
from wallet.intents import CLOSED, Intent, IntentState, OutboxStore
from wallet.keys import PrivateKey
from wallet.outbox import IntentFailedError, Outbox

log = logging.getLogger(__name__)

T = TypeVar("T")

CHECK_EVERY = 60.0
"""Seconds between two looks at the cheques, unless something wakes us."""
CASH = "cash:"
"""What the keys of intents begin with that cash cheques."""
MAX_BATCH = 100
MAX_LOOKS = 1000
"""Cheques that one plan considers, the largest first."""
LOOKS_AT_ONCE = 8
DEADLINE = 140.0
"""Seconds that a caller waits for a final receipt: 64 blocks of two seconds (BTTC), and some more."""
PAUSE_AFTER_FAILURE = 600
"""Seconds for which nothing is cashed by itself after a transaction failed: each failure may have cost a fee."""


@dataclass(frozen=True, slots=True)
class SettlementSettings:
    """`fee_permille`: cash by itself when the fee is at most this many thousandths of the payout.

    `fee_rate`: the value of one native unit in token units; None where it is not known. It need not be said where the
    chain's own coin is the token.
    """

    auto: bool = True
    fee_permille: int = 10
    fee_rate: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """One finished transaction."""

    intent: Intent
    receipt: Receipt


class Settlement:
    """One per node and rail; two of them share nothing that changes but the store."""

    def __init__(
        self,
        settings: SettlementSettings,
        *,
        store: Store,
        intents: OutboxStore,
        chain: ChainAdapter,
        key: PrivateKey,
        wall: Callable[[], int],
        on_done: Callable[[], object] = lambda: None,
        wait: Wait | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        """`wall` gives Unix seconds; `on_done` is called after each transaction of ours."""
        self._settings = settings
        self._store = store
        self._intents = intents
        self._chain = chain
        self._own = key.address
        self._wall = wall
        self._outbox = outbox or Outbox(intents, chain, key, wall=wall, poll=0.25)
        self._booking = Booking(store, chain, key.address)
        self._on_done = on_done
        native, token = chain.native, chain.rail.token
        rate = Fraction(1) if settings.fee_rate is None and native == token else settings.fee_rate
        self._terms = Terms(settings.fee_permille, rate, native.symbol, token.symbol)
        self._cashing = asyncio.Lock()
        self.also_book: list[Callable[[Intent, Receipt], Awaitable[object]]] = []
        """Who else books a final transaction of ours; may be told of one again after a crash."""
        self.on_booked: list[Callable[[], Awaitable[object]]] = []
        """Who wants to look at the books when payouts may be new in them."""
        self._rounds = Rounds(f"settlement on {chain.rail.id}", self.step, wait or at_most(CHECK_EVERY))
        self._paused_until = 0

    # --- by itself ---------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something happened that may change what pays: look now."""
        self._rounds.wake()

    async def run(self) -> None:
        """Finish what a crash left open, then cash whenever it pays; until `close` or cancellation."""
        await self._rounds.run()

    async def close(self) -> None:
        """End `run`. What is open goes on at the next start. Idempotent."""
        await self._rounds.close()

    async def step(self) -> tuple[Done, ...]:
        """One look: take what is open to its end, then cash what pays. Raises as `cash`, and `StoreError`."""
        await self.recover()
        if not self._settings.auto or self._wall() < self._paused_until:
            return ()
        try:
            return await self.cash(await self.plan(), only_worth_it=True)
        except IntentFailedError:
            self._pause()
            raise

    async def recover(self) -> None:
        """Take every open intent to its end, and book what a crash has left unbooked."""
        for intent in await self._outbox.open_intents():
            try:
                await self.finish(intent)
            except IntentFailedError as error:
                log.warning("settlement on %s: %s", self._chain.rail.id, error)
                if intent.key.startswith(CASH):
                    self._pause()
        for intent in await self._store.unbooked_intents(self._chain.rail.id, self._own):
            if intent.state is IntentState.FAILED:
                await self._booking.failed(intent, self._wall())
            elif intent.hash is not None and (receipt := await self._chain.receipt(intent.hash)) is not None:
                await self._book(intent, receipt)

    async def _book(self, intent: Intent, receipt: Receipt) -> None:
        # The others first: the transaction counts as booked by what `Booking` writes, and is not looked at again.
        for book in self.also_book:
            await book(intent, receipt)
        await self._booking.ours(intent, receipt, self._wall())
        await self._booked()

    async def _booked(self) -> None:
        for look in self.on_booked:
            await look()

    def _pause(self) -> None:
        self._paused_until = self._wall() + PAUSE_AFTER_FAILURE

    # --- cashing -----------------------------------------------------------------------------------------------------

    async def plan(self) -> Plan:
        """What cashing now would do, and whether it pays. Raises `ChainError`."""
        looks: list[PlannedCheque] = []
        for group in _groups(await self._held(), LOOKS_AT_ONCE):
            looks += await asyncio.gather(*map(self._look, group))
        open_cheques = sorted((look for look in looks if look.uncashed), key=lambda look: -look.payout)
        covered = [look for look in open_cheques if look.payout]
        held_back = [replace(look, note=WOULD_BOUNCE) for look in open_cheques if not look.payout]
        batches: list[Batch] = []
        for cheques in _groups(covered, MAX_BATCH):
            found, dust = await self._batches(cheques)
            batches += found
            held_back += [replace(look, note=DUST) for look in dust]
        batches.sort(key=lambda batch: not batch.worth_it)
        why = "; ".join(dict.fromkeys(batch.why for batch in batches))
        if not batches:
            why = "all cheques would bounce" if held_back else "there is nothing to cash"
        return Plan(tuple(batches), tuple(held_back), why)

    async def _held(self) -> list[ReceivedCheque]:
        rail = self._chain.rail.id
        held = [
            cheque
            for cheque in await self._store.all_received()
            if cheque.rail == rail and cheque.payee == self._own and cheque.uncashed and cheque.signature
        ]
        return sorted(held, key=lambda cheque: -cheque.uncashed)[:MAX_LOOKS]

    async def _look(self, cheque: ReceivedCheque) -> PlannedCheque:
        paid_out = await self._chain.paid_out(cheque.payer, cheque.payee)
        available = await self._chain.available(cheque.payer, cheque.payee)
        state = await self._chain.payer_state(cheque.payer)
        # A server that lags behind may not know yet what our books know to be final.
        uncashed = max(0, cheque.cumulative - max(paid_out, cheque.cashed))
        return PlannedCheque(cheque, uncashed, available, state.notice)

    async def _batches(self, cheques: Sequence[PlannedCheque]) -> tuple[list[Batch], list[PlannedCheque]]:
        """One transaction, or two where only the endangered part is worth it; and the dust that is left out."""
        batch = await self._judged(cheques)
        kept = without_dust(cheques, batch.fee_value)
        dust = [cheque for cheque in cheques if cheque not in kept]
        if dust:
            batch = await self._judged(kept)
        rescued = await self._rescued(kept)
        endangered = [cheque for cheque in kept if cheque.endangered and cheque.payer not in rescued]
        if batch.worth_it or not 0 < len(endangered) < len(kept):
            return [batch], dust
        rescue = await self._judged(endangered)
        if not rescue.worth_it:
            return [batch], dust
        return [rescue, await self._judged([cheque for cheque in kept if cheque not in endangered])], dust

    async def _judged(self, cheques: Sequence[PlannedCheque]) -> Batch:
        try:
            fee = await self._chain.estimate(self._cash_call(cheques), self._own)
        except ChainError as error:
            if error.retry:
                raise
            return Batch(tuple(cheques), None, None, False, str(error))
        return judge(cheques, fee, self._terms, rescued=await self._rescued(cheques))

    async def _rescued(self, cheques: Sequence[PlannedCheque]) -> set[Address]:
        """Endangered payers whose cheques were cashed a short time ago; asked for only where no rate is known."""
        found: set[Address] = set()
        for cheque in cheques if self._terms.rate is None else ():
            if cheque.endangered:
                latest = await self._store.payouts(rail=self._chain.rail.id, payer=cheque.payer, limit=1)
                if latest and latest[0].at > self._wall() - RESCUE_EVERY:
                    found.add(cheque.payer)
        return found

    async def cash(self, plan: Plan, *, only_worth_it: bool = False) -> tuple[Done, ...]:
        """Cash the batches of a plan, in order; those that a look at the books finds outdated are left out.

        Raises `ChainError` or `TimeoutError` for the first that fails; what was done before holds.
        """
        async with self._cashing:
            for intent in await self._outbox.open_intents():
                if intent.key.startswith(CASH):
                    await self.finish(intent)
            done = [
                await self._cash(batch)
                for batch in plan.batches
                if (batch.worth_it or not only_worth_it) and not await self._outdated(batch)
            ]
        return tuple(done)

    async def _outdated(self, batch: Batch) -> bool:
        """Something of it has been cashed since it was planned."""
        for planned in batch.cheques:
            now = await self._store.received(planned.cheque.rail, planned.payer, planned.cheque.payee)
            if now is None or now.cashed != planned.cheque.cashed:
                return True
        return False

    async def _cash(self, batch: Batch) -> Done:
        log.info("cashing %d cheques on %s: %s", len(batch.cheques), self._chain.rail.id, batch.why)
        digest = hashlib.sha256(self._chain.rail.id.encode())
        for planned in batch.cheques:
            for amount in (planned.cumulative, planned.cheque.cashed):
                digest.update(amount.to_bytes(32, "big"))
            digest.update(planned.payer.raw + planned.cheque.signature)
        # The same cheques may be due again where an earlier attempt failed, or paid nothing.
        for attempt in itertools.count():
            key = f"{CASH}{digest.hexdigest()}:{attempt}"
            known = await self._intents.intent(key)
            if known is None or known.state not in CLOSED:
                break
        return await self.perform(key, self._cash_call(batch.cheques))

    def _cash_call(self, cheques: Sequence[PlannedCheque]) -> Call:
        signed = [
            SignedCheque(
                self._chain.rail, Cheque(look.payer, look.cheque.payee, look.cumulative), look.cheque.signature
            )
            for look in cheques
        ]
        return self._chain.cash(signed, self._own)

    # --- our own deposit ---------------------------------------------------------------------------------------------

    async def deposit(self, amount: int, *, key: str) -> Done:
        """Approve if needed, then deposit."""
        if await self._chain.allowance(self._own) < amount:
            await self.perform(f"approve:{key}", self._chain.approve(amount))
        return await self.perform(f"deposit:{key}", self._chain.deposit(amount))

    async def give_notice(self, amount: int, *, key: str) -> Done:
        """Announce a withdrawal."""
        return await self.perform(f"notice:{key}", self._chain.give_notice(amount))

    async def withdraw(self, *, key: str) -> Done:
        """Take what was under notice, to our own wallet."""
        return await self.perform(f"withdraw:{key}", self._chain.withdraw(self._own))

    # --- transactions ------------------------------------------------------------------------------------------------

    async def perform(self, key: str, call: Call) -> Done:
        """Take a call to its final receipt; the same key again is the same transaction. Raises as `cash`."""
        return await self.finish(await self.submit(key, call))

    async def submit(self, key: str, call: Call) -> Intent:
        """Make a call durable; `finish` takes it on, at once or after a restart. Raises `KeyReusedError`."""
        return await self._outbox.submit(key, call)

    async def finish(self, intent: Intent) -> Done:
        """The second half of `perform`."""
        try:
            intent, receipt = await self._outbox.finish(intent, deadline=DEADLINE)
        except IntentFailedError:
            if (failed := await self._intents.intent(intent.key)) is not None:
                await self._booking.failed(failed, self._wall())
            raise
        await self._book(intent, receipt)
        self._on_done()
        return Done(intent, receipt)

    async def cancel(self, key: str) -> Intent | None:
        """The user wants this transaction no more; None where no such one is known. `run` takes it to its end."""
        intent = await self._intents.intent(key)
        if intent is None or intent.rail != self._chain.rail.id:
            return None
        cancelled = await self._outbox.cancel(intent)
        self.wake()
        return cancelled

    async def booked_by_others(self, transaction: bytes, block: int, events: Sequence[VaultEvent]) -> None:
        """A final transaction has cashed cheques for us: book it, unless it is ours and booked by what sent it."""
        if not await self._store.sent_by_us(self._chain.rail.id, transaction):
            await self._booking.theirs(transaction, block, events, self._wall())
            await self._booked()


def _groups(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
