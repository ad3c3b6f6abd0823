"""The port `MarketPort` over the wallet's bindings and the rail's outbox.

Every call that sends something has an intent key of its own, made of the contract and what is done with it. An intent
with that key that is there already is taken to its end, whatever it was; so a call that a crash has interrupted is
never a second transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from node.ports.renting import MarketError, MarketRefusedError, OnChain
from node.services.settlement import Done
from node.storage.lifecycle import MarketStatus
from wallet.address import Address
from wallet.chains.base import Call, ChainAdapter, ChainError, RevertedError
from wallet.intents import Intent, OutboxStore
from wallet.outbox import IntentFailedError
from wallet.storage.chain import StorageMarket
from wallet.storage.records import ContractRecord
from wallet.storage_terms import Market, StorageContract

BLOCKS = 1000
"""Of the log, read with one request."""
DEPOSIT = "storage:deposit:"
"""What keys of deposits begin with."""


class Transactions(Protocol):
    """What of `Settlement` is needed."""

    async def perform(self, key: str, call: Call) -> Done: ...

    async def finish(self, intent: Intent) -> Done: ...


class ChainMarket:
    """One rail's market for the renter with account `own`. `since`: the block in which its log begins."""

    def __init__(
        self,
        contract: StorageMarket,
        chain: ChainAdapter,
        transactions: Transactions,
        intents: OutboxStore,
        own: Address,
        *,
        since: int = 0,
    ) -> None:
        self._since = since
        self._contract = contract
        self._chain = chain
        self._transactions = transactions
        self._intents = intents
        self._own = own
        self._bond: int | None = None

    @property
    def market(self) -> Market:
        return self._contract.market

    async def balance(self) -> int:
        try:
            await self._contract.ensure()
            await self._land_deposits()
            return await self._contract.balance(self._own)
        except (ChainError, TimeoutError) as error:
            raise MarketError(str(error) or "the chain takes too long") from error

    async def _land_deposits(self) -> None:
        """Take deposits that a crash has interrupted to their end: whoever asks for the balance to see what is missing
        would put the same money in again."""
        for intent in await self._intents.open_intents():
            if intent.rail == self._chain.rail.id and intent.key.startswith(DEPOSIT):
                with suppress(RevertedError, IntentFailedError):  # it brought nothing
                    await self._transactions.finish(intent)

    async def chain_time(self) -> int:
        try:
            return (await self._chain.head()).timestamp
        except ChainError as error:
            raise MarketError(str(error)) from error

    async def status(self, contract: StorageContract) -> OnChain:
        try:
            return _on_chain(contract, await self._contract.record(contract.digest(self.market)))
        except ChainError as error:
            raise MarketError(str(error)) from error

    async def running(self, progress: Callable[[int, int], None]) -> Sequence[tuple[StorageContract, OnChain]]:
        try:
            final = (await self._chain.final()).number
            opened: dict[bytes, StorageContract] = {}
            for first in range(self._since, final + 1, BLOCKS):
                last = min(final, first + BLOCKS - 1)
                for happened in await self._contract.opened(first, last, renter=self._own):
                    opened[happened.event.id] = happened.event.terms
                progress(last + 1 - self._since, final + 1 - self._since)
            records = await self._contract.records(list(opened))
        except ChainError as error:
            raise MarketError(str(error)) from error
        found = [(terms, _on_chain(terms, record)) for terms, record in zip(opened.values(), records, strict=True)]
        return [(terms, chain) for terms, chain in found if chain.status is MarketStatus.ACTIVE]

    async def bond(self) -> int:
        if self._bond is None:
            try:
                self._bond = (await self._contract.check()).challenge_bond
            except ChainError as error:
                raise MarketError(str(error)) from error
        return self._bond

    # --- calls -------------------------------------------------------------------------------------------------------

    async def deposit(self, key: str, amount: int) -> None:
        try:
            await self._contract.ensure()
            short = await self._contract.allowance(self._own) < amount
        except ChainError as error:
            raise MarketError(str(error)) from error
        if short:
            await self._do(f"storage:approve:{key}", lambda: self._contract.calls.approve(amount))
        await self._do(f"{DEPOSIT}{key}", lambda: self._contract.calls.deposit(amount))

    async def open(self, contract: StorageContract, renter_signature: bytes, host_signature: bytes) -> None:
        signatures = (renter_signature, host_signature)
        await self._do(self._key("open", contract), lambda: self._contract.calls.open(contract, signatures))

    async def call_off(self, contract: StorageContract) -> None:
        await self._do(self._key("call-off", contract), lambda: self._contract.calls.call_off(contract))

    async def cancel(
        self, contract: StorageContract, through_epoch: int, renter_signature: bytes, host_signature: bytes
    ) -> None:
        signatures = (renter_signature, host_signature)
        await self._do(
            f"{self._key('cancel', contract)}:{through_epoch}",
            lambda: self._contract.calls.cancel(contract, through_epoch, signatures),
        )

    async def challenge(self, contract: StorageContract, index: int) -> None:
        # One in an epoch: a second one would be another bond.
        epoch = contract.epoch_at(await self.chain_time())
        await self._do(
            f"{self._key('challenge', contract)}:{epoch}", lambda: self._contract.calls.challenge(contract, index)
        )

    async def fail(self, contract: StorageContract) -> None:
        await self._do(self._key("fail", contract), lambda: self._contract.calls.fail(contract))

    async def settle(self, contract: StorageContract, through_epoch: int, signature: bytes) -> None:
        await self._do(
            f"{self._key('settle', contract)}:{through_epoch}",
            lambda: self._contract.calls.settle(contract, through_epoch, signature),
        )

    async def close(self, contract: StorageContract) -> None:
        await self._do(self._key("close", contract), lambda: self._contract.calls.close(contract))

    def _key(self, action: str, contract: StorageContract) -> str:
        return f"storage:{action}:{contract.digest(self.market).hex()}"

    async def _do(self, key: str, call: Callable[[], Call]) -> None:
        try:
            known = await self._intents.intent(key)
            if known is None:
                await self._transactions.perform(key, call())
            else:
                await self._transactions.finish(known)
        except (RevertedError, IntentFailedError) as error:
            raise MarketRefusedError(str(error)) from error
        except (ChainError, TimeoutError) as error:
            raise MarketError(str(error) or "the chain takes too long") from error


def _on_chain(contract: StorageContract, record: ContractRecord) -> OnChain:
    status = MarketStatus(int(record.status))
    return OnChain(
        status,
        epochs=record.epochs,
        paid=record.paid_epochs,
        exiting=status is MarketStatus.ACTIVE and record.epochs < contract.epochs,
        answer_by=0 if record.challenge is None else record.challenge.answer_by,
    )
