"""What is done on chain: one transaction for each duty, never twice.

The key of an intent names contract, action and number, so that a node that starts again takes up what it had begun, and
what is final is not done again although a server that lags behind may still ask for it. A transaction that failed never
takes effect; the duty is tried again under the next number of attempt, after a while and not for ever. Duties of one
contract come one after another, those of many at the same time; answers to challenges wait for nobody.

Transactions that bring less than they cost are left out where the duty is `optional`; what is left out is said in
`notes`, for the owner.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from node.ports.clock import Clock
from node.ports.storage import Bond, HostedContract, MarketPort, OnChain
from node.ports.store import StoreError
from node.ports.volumes import VolumeError
from node.services.host.background import Background
from node.services.host.cancelling import Cancelling
from node.services.host.contracts import Contracts
from node.services.host.duties import Action, Duty
from node.services.host.shards import DamagedError, Shards
from wallet.amount import format_amount
from wallet.chains.base import Call, Receipt
from wallet.errors import WalletError
from wallet.intents import Intent, IntentState, OutboxStore
from wallet.storage_terms import Cancel

log = logging.getLogger(__name__)

KEY = "host"
"""What the keys of intents begin with."""
AT_ONCE = 32
"""Transactions under way together, answers to challenges not counted."""
ATTEMPTS = 8
RETRY_AFTER = 60
"""Seconds after a failed attempt, times its number."""


class Transactions(Protocol):
    """`node.services.settlement.Settlement`."""

    async def perform(self, key: str, call: Call) -> object: ...


class Fees(Protocol):
    """What transactions cost."""

    async def fee(self, call: Call) -> int | None:
        """Token units; None where it is not known. Raises `ChainError`, also where the chain would refuse the call."""


class Claims:
    """One per rail."""

    def __init__(
        self,
        contracts: Contracts,
        market: MarketPort,
        shards: Shards,
        cancelling: Cancelling,
        *,
        transactions: Transactions,
        intents: OutboxStore,
        fees: Fees,
        fee_permille: int = 100,
        clock: Clock,
    ) -> None:
        """`fee_permille`: an optional claim is made when its fee is at most so many thousandths of what it brings."""
        self._contracts = contracts
        self._market = market
        self._shards = shards
        self._cancelling = cancelling
        self._transactions = transactions
        self._intents = intents
        self._fees = fees
        self._fee_permille = fee_permille
        self._clock = clock
        self.under_way = Background("claims")
        self._room = asyncio.Semaphore(AT_ONCE)
        self.on_done: Callable[[bytes], object] = lambda contract_id: None
        self.on_unanswered: Callable[[bytes, str], object] = lambda contract_id, reason: None
        self.notes: dict[bytes, str] = {}
        """Contract → why its latest duty was not done."""

    def begin(self, record: HostedContract, chain: OnChain, todo: Sequence[Duty]) -> None:
        """Do these duties in the background, unless the contract's earlier ones are still under way."""
        if todo:
            self.under_way.begin(record.id, lambda: self._do(record.id, chain, todo))

    async def book(self, intent: Intent, receipt: Receipt) -> None:
        """A final transaction of ours (`Settlement.also_book`): bonds that it won."""
        if intent.key.startswith(f"{KEY}:"):
            for contract_id, amount in self._market.won(receipt).items():
                if self._contracts.get(contract_id) is not None:
                    bond = Bond(receipt.hash.hex(), contract_id, amount, self._clock.wall())
                    await self._contracts.book_bond(bond)

    async def _do(self, contract_id: bytes, chain: OnChain, todo: Sequence[Duty]) -> None:
        sent = False
        for duty in todo:
            try:
                if duty.action is Action.ANSWER:
                    done, note = await self._perform(contract_id, chain, duty)
                else:
                    async with self._room:
                        done, note = await self._perform(contract_id, chain, duty)
                sent = sent or done
            except (WalletError, TimeoutError, VolumeError, DamagedError, StoreError) as error:
                note = str(error)
                level = logging.ERROR if duty.action is Action.ANSWER else logging.WARNING
                log.log(level, "contract %s: %s waits: %s", contract_id.hex()[:12], duty.action, note)
                if duty.action is Action.ANSWER:
                    self.on_unanswered(contract_id, note)
            if note:
                self.notes[contract_id] = f"{duty.action}: {note}"
            else:
                self.notes.pop(contract_id, None)
        # Last: what is due next is not begun while this is under way.
        if sent:
            self.on_done(contract_id)

    async def _perform(self, contract_id: bytes, chain: OnChain, duty: Duty) -> tuple[bool, str]:
        """Returns whether a transaction has become final, and if not, why the owner should know."""
        record = self._contracts.get(contract_id)
        if record is None or not record.live:
            return False, ""
        made = await self._call(record, chain, duty)
        if made is None:
            return False, "" if duty.action is Action.PROVE else "nothing to be done"
        number, call = made
        key = await self._key(contract_id, duty.action, number)
        if key is None:
            return False, ""
        if await self._intents.intent(key) is None:
            # Raises where the chain would refuse it now, as when our clock is ahead: that uses up no attempt.
            fee = await self._fees.fee(call)
            if duty.optional and (why := self._too_dear(duty, fee)):
                return False, why
        await self._transactions.perform(key, call)
        return True, ""

    async def _call(self, record: HostedContract, chain: OnChain, duty: Duty) -> tuple[str, Call] | None:
        """What the intent is called, and what it does."""
        contract, market = record.contract, self._market
        number = str(duty.number)
        match duty.action:
            case Action.ANSWER:
                (proof,) = await self._shards.prove(contract, (chain.index,))
                return number, market.answer(contract, proof.block, proof.path)
            case Action.SETTLE:
                if record.voucher != duty.number:
                    return None
                return number, market.settle(contract, record.voucher, record.voucher_signature)
            case Action.BEGIN:
                return number, market.begin_proof(contract)
            case Action.PROVE:
                chosen = await market.chosen(contract)
                if chosen is None or chosen[0] != duty.number:
                    return None
                (proof,) = await self._shards.prove(contract, (chosen[1],))
                # A reorganisation brings another seed: that is another proof.
                return f"{number}-{chosen[1]}", market.prove(contract, proof.block, proof.path)
            case Action.CALL_OFF:
                return number, market.call_off(contract)
            case Action.CANCEL:
                ours = self._cancelling.signature(Cancel(record.id, duty.number))
                return number, market.cancel(contract, duty.number, record.cancel_signature, ours)
            case Action.EXIT:
                return number, market.exit(contract)
            case Action.CLOSE:
                return number, market.close(contract)

    async def _key(self, contract_id: bytes, action: Action, number: str) -> str | None:
        """The intent that is under way or to be made; None where it is done, or not to be tried again now."""
        for attempt in range(ATTEMPTS):
            key = f"{KEY}:{contract_id.hex()}:{action}:{number}:{attempt}"
            known = await self._intents.intent(key)
            if known is None or known.state not in (IntentState.FINAL, IntentState.FAILED):
                return key
            if known.state is IntentState.FINAL:
                return None
            if self._clock.wall() < known.created_at + RETRY_AFTER * (attempt + 1):
                return None
        return None

    def _too_dear(self, duty: Duty, fee: int | None) -> str:
        if fee is None:
            # A settlement can wait for the end of the term; a proof cannot.
            return "its fee cannot be compared with what it brings" if duty.action is Action.SETTLE else ""
        if duty.action is Action.BEGIN:
            # A proof takes a second transaction, with a block as data: at least as dear.
            fees, gain = format_amount(2 * fee), format_amount(duty.gain)
            return f"the fees of {fees} are above the {gain} of the epoch" if 2 * fee > duty.gain else ""
        if duty.action is Action.CALL_OFF:
            fees, gain = format_amount(fee), format_amount(duty.gain)
            return f"the fee of {fees} is above the collateral of {gain}" if fee > duty.gain else ""
        if fee * 1000 > duty.gain * self._fee_permille:
            return f"the fee of {format_amount(fee)} is too much for {format_amount(duty.gain)}: it waits for more"
        return ""
