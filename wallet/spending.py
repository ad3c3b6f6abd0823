"""What a transaction takes out of the wallet, and the user's limits on it.

Theory
------
Cheques have limits of their own (`wallet.limits`): they are many and small, and planned ahead. A transaction is one
decision, and a mistyped zero cannot be called back, so each transfer is held against a bound of its own and against
what has left the wallet on the same UTC day. What counts is read out of the calls themselves: every call that was
signed or may still be, not those that failed. A fee is bounded elsewhere (`max_fee`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from wallet.address import Address
from wallet.amount import Token, format_amount
from wallet.chains.abi import WORD, selector
from wallet.chains.assets import Asset, AssetKind
from wallet.chains.base import Call
from wallet.errors import LimitError
from wallet.limits import Limit

_TRANSFER = selector("transfer(address,uint256)")
_DEPOSIT_FOR = selector("depositFor(address,uint256)")


@dataclass(frozen=True, slots=True)
class Outflow:
    """`amount` of `token` leaves for `to`."""

    token: Token
    amount: int
    to: Address


@dataclass(frozen=True, slots=True)
class Holdings:
    """What one account can hold on one chain, and the vault that its deposits go to."""

    owner: Address
    assets: tuple[Asset, ...]
    vault: Address
    vault_token: Token

    def find(self, symbol: str) -> Asset | None:
        """By symbol, in any case of letters."""
        return next((asset for asset in self.assets if asset.token.symbol.lower() == symbol.lower()), None)

    def outflow(self, call: Call) -> Outflow | None:
        """None where everything stays the owner's: deposits, wrapping, cashing, a transfer to oneself."""
        flow = self._outflow(call)
        return None if flow is None or flow.to == self.owner or flow.amount == 0 else flow

    def _outflow(self, call: Call) -> Outflow | None:
        if not call.data:
            asset = self._coin(call.trc10)
            return None if asset is None else Outflow(asset.token, call.value, call.to)
        if len(call.data) != 4 + 2 * WORD:
            return None
        to = Address(call.data[16 : 4 + WORD])
        amount = int.from_bytes(call.data[4 + WORD :], "big")
        if call.data[:4] == _DEPOSIT_FOR and call.to == self.vault:
            return Outflow(self.vault_token, amount, to)
        token = next((asset.token for asset in self.assets if asset.contract == call.to), None)
        return Outflow(token, amount, to) if token is not None and call.data[:4] == _TRANSFER else None

    def _coin(self, trc10: int) -> Asset | None:
        kind = AssetKind.TRC10 if trc10 else AssetKind.NATIVE
        return next((asset for asset in self.assets if asset.kind is kind and asset.number == trc10), None)


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """Units by token symbol; a token that is not named has no such limit."""

    per_transfer: Mapping[str, int] = field(default_factory=dict)
    per_day: Mapping[str, int] = field(default_factory=dict)

    def check(self, wanted: Outflow, today: Iterable[Outflow]) -> None:
        """Raises `LimitError` that names the limit. `today`: what has left, or is on its way, on this UTC day."""
        symbol = wanted.token.symbol
        one = self.per_transfer.get(symbol)
        if one is not None and wanted.amount > one:
            raise LimitError(
                f"{format_amount(wanted.amount, wanted.token)} is above your limit of "
                f"{format_amount(one, wanted.token)} for one transfer: raise [wallet] per_transfer to send it",
                Limit.PER_TRANSFER,
            )
        day = self.per_day.get(symbol)
        if day is None:
            return
        spent = spent_on_day(symbol, today)
        if spent + wanted.amount > day:
            raise LimitError(
                f"{format_amount(spent, wanted.token)} of your {format_amount(day, wanted.token)} for one day have "
                f"left the wallet today: raise [wallet] per_day, or wait for the next day (UTC)",
                Limit.PER_DAY,
            )


def spent_on_day(symbol: str, today: Iterable[Outflow]) -> int:
    """Units of a token that have left."""
    return sum(flow.amount for flow in today if flow.token.symbol == symbol)
