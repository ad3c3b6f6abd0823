"""Ending a contract early together with its renter.

Both signatures under a cancellation can be used at any time, and it pays for epochs up to the one it names. A renter
that kept it in its pocket would pay less with every epoch. So we agree only to what pays for all that has begun, the
agreement is durable with the renter's signature, and we bring it to the market ourselves (`duties`).
"""

from __future__ import annotations

from collections.abc import Callable

from node.ports.clock import Clock
from node.services.host.contracts import Contracts
from node.services.host.duties import margin
from node.services.host.errors import RefusedError
from node.storage.lifecycle import LOCKED
from node.storage.messages import CancelCall, Consent
from wallet.address import Address
from wallet.errors import BadSignatureError
from wallet.keys import PrivateKey
from wallet.storage_terms import Cancel, Market, sign, verify


class Cancelling:
    """One per rail."""

    def __init__(self, contracts: Contracts, market: Market, *, key: PrivateKey, clock: Clock) -> None:
        self._contracts = contracts
        self._market = market
        self._key = key
        self._clock = clock
        self.on_agreed: Callable[[bytes], object] = lambda contract_id: None

    async def agree(self, sender: Address, call: CancelCall) -> Consent:
        """Our signature. Raises `RefusedError`, `StoreError`."""
        record, cancel = self._contracts.known(call.cancel.id), call.cancel
        contract = record.contract
        if sender != contract.renter:
            raise RefusedError("sender", f"the contract is {contract.renter}'s")
        try:
            verify(self._market, cancel, call.signature, contract.renter)
        except BadSignatureError as error:
            raise RefusedError("signature", str(error)) from None
        if record.state not in LOCKED:
            raise RefusedError("early", f"the contract is {record.state}", "it can be called off before its start")
        if record.cancel is not None and record.cancel != cancel.through_epoch:
            raise RefusedError("terms", f"we have agreed to end it through epoch {record.cancel}")
        # Near the end of an epoch the next one counts: until it is in a block, that may have begun.
        begun = contract.epoch_at(self._clock.wall() + margin(contract)) + 1
        least = min(record.epochs, max(record.voucher, begun))
        if record.cancel is None and not least <= cancel.through_epoch <= record.epochs:
            raise RefusedError(
                "terms", f"an end now pays for {least} to {record.epochs} epochs, not for {cancel.through_epoch}"
            )
        await self._contracts.change(record.id, cancel=cancel.through_epoch, cancel_signature=call.signature)
        self.on_agreed(record.id)
        return Consent(self.signature(cancel))

    def signature(self, cancel: Cancel) -> bytes:
        """Ours."""
        return sign(self._market, cancel, self._key)
