"""Turns cheques we hold into money, and moves our own deposit. What the user sees as cashed comes from final receipts.

One batch at a time per rail: the cheques it covers are named by the intent's idempotency key, so that a crash between
signing and receipt leads to the same transaction, not to a second one. Cashing twice would be harmless (the vault pays
the difference to what it has paid), but the fee is not.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.ports.store import Account, Cashed, CashReceipt, Entry, ReceivedCheque, Store
from wallet.address import Address
from wallet.chains.base import (
    BouncedCheque,
    Call,
    CashedCheque,
    ChainAdapter,
    ChainError,
    Deposited,
    Receipt,
    Withdrawn,
)
from wallet.cheque import Cheque, SignedCheque
from wallet.keys import PrivateKey
from wallet.outbox import Intent, IntentState, Outbox, OutboxStore

log = logging.getLogger(__name__)

CHECK_EVERY = 20.0
MAX_BATCH = 100
DEADLINE = 120.0


@dataclass(frozen=True, slots=True)
class SettlementSettings:
    """`fee_permille`: cash by itself when the fee is at most this many thousandths of the payout."""

    auto: bool = True
    fee_permille: int = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """What cashing now would do. `value` in token units, `fee` at most, in native units."""

    cheques: tuple[ReceivedCheque, ...]
    value: int
    fee: int
    worth_it: bool


@dataclass(frozen=True, slots=True)
class Done:
    """One finished transaction."""

    intent: Intent
    receipt: Receipt


class Settlement:
    """One per node and rail."""

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
    ) -> None:
        self._settings = settings
        self._store = store
        self._chain = chain
        self._key = key
        self._wall = wall
        self._outbox = Outbox(intents, chain, key, wall=wall, poll=0.25)
        self._on_done = on_done
        self._busy = asyncio.Lock()

    async def close(self) -> None:
        """Nothing to wait for: what is open goes on at the next start."""

    async def run(self) -> None:
        """Finish what a crash left open, then cash whenever it pays. Ends only by cancellation."""
        recovered = False
        while True:
            try:
                if not recovered:
                    await self.recover()
                    recovered = True
                if self._settings.auto:
                    plan = await self.plan()
                    if plan.worth_it:
                        await self.cash(plan)
            except ChainError as error:
                log.info("settlement waits: %s", error)
            except TimeoutError:
                log.info("settlement waits: a transaction is not final yet")
            await asyncio.sleep(CHECK_EVERY)

    async def recover(self) -> None:
        """Take every open intent to its end."""
        for intent in await self._outbox.open_intents():
            await self._finish(intent)

    async def plan(self) -> Plan:
        """The cheques that would be cashed now, and whether it pays. Raises `ChainError`."""
        held = await self._held()
        if await self._observe(held):
            held = await self._held()
        coverable = []
        for cheque in held:
            available = await self._chain.available(cheque.payer, cheque.payee)
            if available > 0:
                coverable.append((cheque, min(available, cheque.uncashed)))
        cheques = tuple(cheque for cheque, _ in coverable)
        value = sum(amount for _, amount in coverable)
        if not cheques:
            return Plan((), 0, 0, worth_it=False)
        fee = await self._chain.estimate(self._cash_call(cheques), self._key.address)
        # Both are BTT on this rail, so they can be compared.
        return Plan(cheques, value, fee.total, fee.total * 1000 <= value * self._settings.fee_permille)

    async def _held(self) -> list[ReceivedCheque]:
        """Cheques with something left to cash, the largest first; at most one batch."""
        rail = self._chain.rail.id
        held = [c for c in await self._store.all_received() if c.rail == rail and c.uncashed > 0]
        return sorted(held, key=lambda cheque: -cheque.uncashed)[:MAX_BATCH]

    async def cash(self, plan: Plan) -> Done | None:
        """Cash the cheques of a plan; None when there are none. Raises `ChainError`, `TimeoutError`."""
        if not plan.cheques:
            return None
        digest = hashlib.sha256()
        for cheque in plan.cheques:
            digest.update(cheque.payer.raw + cheque.cumulative.to_bytes(32, "big") + cheque.signature)
        return await self.perform(f"cash:{digest.hexdigest()}", self._cash_call(plan.cheques))

    async def deposit(self, amount: int, *, key: str) -> Done:
        """Approve if needed, then deposit."""
        if await self._chain.allowance(self._key.address) < amount:
            await self.perform(f"approve:{key}", self._chain.approve(amount))
        return await self.perform(f"deposit:{key}", self._chain.deposit(amount))

    async def give_notice(self, amount: int, *, key: str) -> Done:
        return await self.perform(f"notice:{key}", self._chain.give_notice(amount))

    async def withdraw(self, *, key: str) -> Done:
        return await self.perform(f"withdraw:{key}", self._chain.withdraw(self._key.address))

    async def send_token(self, to: Address, amount: int, *, key: str) -> Done:
        return await self.perform(f"send:{key}", self._chain.transfer_token(to, amount))

    def _cash_call(self, cheques: Sequence[ReceivedCheque]) -> Call:
        signed = [SignedCheque(self._chain.rail, Cheque(c.payer, c.payee, c.cumulative), c.signature) for c in cheques]
        return self._chain.cash(signed, self._key.address)

    async def perform(self, key: str, call: Call) -> Done:
        """Take a call to its final receipt; the same key again is the same transaction. Raises as `cash`."""
        async with self._busy:
            intent = await self._outbox.submit(key, call)
            return await self._finish(intent)

    async def _finish(self, intent: Intent) -> Done:
        try:
            intent, receipt = await self._outbox.finish(intent, deadline=DEADLINE)
        except TimeoutError:
            raise TimeoutError(f"{intent.call.text}: not final after {DEADLINE:g} s; it goes on by itself") from None
        await self._book(intent, receipt)
        self._on_done()
        return Done(intent, receipt)

    async def _book(self, intent: Intent, receipt: Receipt) -> None:
        """Final: let the books follow. Booking the same transaction twice changes nothing."""
        if intent.state is not IntentState.FINAL:
            return
        missing = {(e.payer, e.payee): e.missing for e in receipt.events if isinstance(e, BouncedCheque)}
        touched = {(e.payer, e.payee) for e in receipt.events if isinstance(e, CashedCheque)} | missing.keys()
        cashed = [
            Cashed(payer, payee, await self._chain.paid_out(payer, payee), missing.get((payer, payee), 0))
            for payer, payee in sorted(touched)
            if payee == self._key.address
        ]
        transaction = receipt.hash.hex()
        entries = [
            Entry(
                rail=intent.rail,
                debit=Account.FEES,
                credit=Account.WALLET,
                amount=receipt.fee_paid,
                token=self._chain.native.symbol if self._chain.native != self._chain.rail.token else "",
                ref=transaction,
                memo=intent.call.text,
            )
        ]
        for event in receipt.events:
            if isinstance(event, Deposited) and event.payer == self._key.address:
                entries.append(self._moved(Account.VAULT, Account.WALLET, event.amount, transaction, "deposit"))
            if isinstance(event, Withdrawn) and event.payer == self._key.address:
                entries.append(self._moved(Account.WALLET, Account.VAULT, event.amount, transaction, "withdrawal"))
        await self._store.mark_cashed(
            CashReceipt(rail=intent.rail, transaction=transaction, cashed=cashed, entries=entries, now=self._wall())
        )

    def _moved(self, debit: Account, credit: Account, amount: int, transaction: str, memo: str) -> Entry:
        return Entry(rail=self._chain.rail.id, debit=debit, credit=credit, amount=amount, ref=transaction, memo=memo)

    async def _observe(self, held: Sequence[ReceivedCheque]) -> bool:
        """Book payouts that the chain shows and our books miss: a crash before booking, or a cheque that somebody else
        handed in for us. Returns whether there were any."""
        found = False
        for cheque in held:
            paid_out = await self._chain.paid_out(cheque.payer, cheque.payee)
            if paid_out > cheque.cashed:
                found = await self._store.mark_cashed(
                    CashReceipt(
                        rail=cheque.rail,
                        transaction=f"seen:{cheque.payer}:{paid_out}",
                        cashed=[Cashed(cheque.payer, cheque.payee, paid_out, 0)],
                        now=self._wall(),
                    )
                )
        return found
