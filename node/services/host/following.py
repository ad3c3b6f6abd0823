"""What the market's own record says of a contract, brought into ours.

Starts and challenges are followed at the head, where they can still be taken back: acting early on them is harmless.
An end, and what was paid, count only when a final block says so, because then a shard is deleted and income is booked.
"""

from __future__ import annotations

import logging

from node.ports.clock import Clock
from node.ports.storage import MarketPort, OnChain
from node.services.host.contracts import Contracts
from node.storage.lifecycle import ENDS, MarketStatus, State, from_chain

log = logging.getLogger(__name__)

LAPSE_AFTER = 600
"""Seconds after its start for which an offer may still turn out to be open: a server that lags behind must not make us
delete a shard that our collateral stands for."""

_NOTES = {
    State.COMPLETED: "it ran to its end",
    State.CANCELLED: "it was cancelled before its end",
    State.FAILED: "a challenge was not answered: the collateral went to the renter",
    State.LAPSED: "the renter did not open it before its start",
}


class Following:
    """One per rail."""

    def __init__(self, contracts: Contracts, market: MarketPort, clock: Clock) -> None:
        self._contracts = contracts
        self._market = market
        self._clock = clock

    async def look(self, contract_id: bytes, head: OnChain) -> None:
        """Take in what the market says at the head. Raises `ChainError`, `StoreError`."""
        record = self._contracts.known(contract_id)
        now = self._clock.wall()
        if head.status == MarketStatus.UNKNOWN:
            # Also one that was open in a block that is gone.
            start = record.contract.start
            if now >= start + LAPSE_AFTER and await self._market.final_time() >= start:
                await self._end(contract_id, State.LAPSED, record.epochs)
            return
        if head.status == MarketStatus.ACTIVE and not head.paid & ~record.paid:
            await self._move(contract_id, head)
            return
        final = await self._market.final(contract_id)
        if final.paid & ~record.paid:
            gain = await self._contracts.book_paid(contract_id, final.paid)
            log.info("contract %s has paid %d units", contract_id.hex()[:12], gain)
        await self._move(contract_id, head if head.status == MarketStatus.ACTIVE else final)

    async def _move(self, contract_id: bytes, chain: OnChain) -> None:
        record = self._contracts.known(contract_id)
        state = from_chain(
            MarketStatus(chain.status),
            challenged=chain.answer_by != 0,
            exiting=chain.epochs < record.contract.epochs,
            delivered=record.whole,
        )
        if state in ENDS:
            await self._end(contract_id, state, chain.epochs)
        elif state is not None:
            await self._contracts.move(contract_id, state, epochs=chain.epochs)

    async def _end(self, contract_id: bytes, state: State, epochs: int) -> None:
        record = self._contracts.known(contract_id)  # one that was never open runs no epochs in the market
        record = await self._contracts.move(contract_id, state, epochs=epochs or record.epochs, note=_NOTES[state])
        log.info("contract %s has ended: %s", record.id.hex()[:12], record.note)
