"""Vouchers: taken when they are higher and rightly signed, and durable before the renter hears that we have them.

A voucher is money of the future: each says everything that those before it said, so only the highest is kept. One that
pays for epochs that have not begun is taken too: the market pays of it what has begun when it is settled.
"""

from __future__ import annotations

from collections.abc import Callable

from node.ports.clock import Clock
from node.services.host.contracts import Contracts
from node.services.host.errors import RefusedError
from node.storage.messages import Consent, VoucherCall
from wallet.address import Address
from wallet.errors import BadSignatureError, ChequeError, StaleChequeError
from wallet.keys import PrivateKey
from wallet.storage_terms import Cancel, Market, accept_voucher, sign, verify


class Vouchers:
    """One per rail."""

    def __init__(self, contracts: Contracts, market: Market, clock: Clock) -> None:
        self._contracts = contracts
        self._market = market
        self._clock = clock
        self.on_voucher: Callable[[], object] = lambda: None

    async def take(self, sender: Address, call: VoucherCall) -> int:
        """Returns what the voucher adds, in token units; 0 for one that is here already. Raises `RefusedError`,
        `StoreError`."""
        record = self._contracts.known(call.voucher.id)
        contract = record.contract
        if sender not in (contract.renter, contract.auditor):
            raise RefusedError("sender", f"{sender} is neither renter nor auditor of this contract")
        try:
            gain = accept_voucher(self._market, contract, call.voucher, call.signature, record.voucher)
            await self._contracts.keep_voucher(call.voucher, call.signature, self._clock.wall())
        except StaleChequeError as error:
            if call.voucher.through_epoch == self._contracts.known(record.id).voucher:
                return 0
            raise RefusedError("stale", str(error)) from None
        except BadSignatureError as error:
            raise RefusedError("signature", str(error)) from None
        except ChequeError as error:
            raise RefusedError("terms", str(error)) from None
        self.on_voucher()
        return gain


def consent_to_cancel(
    contracts: Contracts, market: Market, key: PrivateKey, sender: Address, cancel: Cancel, signature: bytes, now: int
) -> Consent:
    """Our signature under the renter's cancellation, where it pays for every epoch that has begun.

    Less would be our loss: what has begun was kept, and can still be proved. Raises `RefusedError`.
    """
    record = contracts.known(cancel.id)
    contract = record.contract
    if sender != contract.renter:
        raise RefusedError("sender", f"the contract is {contract.renter}'s")
    try:
        verify(market, cancel, signature, contract.renter)
    except BadSignatureError as error:
        raise RefusedError("signature", str(error)) from None
    least = max(record.voucher, min(record.epochs, max(0, contract.epoch_at(now) + 1)))
    if not least <= cancel.through_epoch <= record.epochs:
        raise RefusedError(
            "terms", f"a cancellation now pays for {least} to {record.epochs} epochs, not {cancel.through_epoch}"
        )
    return Consent(sign(market, cancel, key))
