"""Vouchers: taken when they are higher and rightly signed, and durable before the renter hears that we have them.

A voucher is money of the future: each says everything that those before it said, so only the highest is kept. The
market pays for epochs that have begun and nothing of a voucher that names later ones, so such a one is refused: taken,
it would take the place of one that counts.
"""

from __future__ import annotations

from collections.abc import Callable

from node.ports.clock import Clock
from node.services.host.contracts import Contracts
from node.services.host.duties import margin
from node.services.host.errors import RefusedError
from node.storage.messages import VoucherCall
from wallet.address import Address
from wallet.errors import BadSignatureError, ChequeError, StaleChequeError
from wallet.storage_terms import Market, accept_voucher


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
        begun = contract.epoch_at(self._clock.wall() + margin(contract)) + 1
        if call.voucher.through_epoch > min(begun, record.epochs):
            raise RefusedError(
                "early",
                f"a voucher can pay {max(0, min(begun, record.epochs))} epochs now",
                "send it when they have begun",
            )
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
