"""What an account can hold: the coin that pays fees, token contracts, and TRON's TRC-10."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wallet.address import Address
from wallet.amount import Token


class AssetKind(StrEnum):
    """`TOKEN` is ERC-20 or TRC-20, whichever the chain calls it."""

    NATIVE = "native"
    TOKEN = "token"  # noqa: S105 - a kind of asset, not a credential
    TRC10 = "trc10"


@dataclass(frozen=True, slots=True)
class Asset:
    """One kind of money on one chain. `contract` belongs to `TOKEN`, `number` to `TRC10`; raises `ValueError` else.

    `wraps_native`: the contract takes and gives native coins one to one (WETH9's `deposit` and `withdraw`), as WBTT.
    """

    kind: AssetKind
    token: Token
    contract: Address | None = None
    number: int = 0
    wraps_native: bool = False

    def __post_init__(self) -> None:
        if (self.kind is AssetKind.TOKEN) != (self.contract is not None):
            raise ValueError(f"{self.token.symbol}: exactly token contracts have an address")
        if (self.kind is AssetKind.TRC10) != (self.number > 0):
            raise ValueError(f"{self.token.symbol}: exactly TRC-10 tokens have a number")
        if self.wraps_native and self.kind is not AssetKind.TOKEN:
            raise ValueError(f"{self.token.symbol}: only a contract can wrap native coins")


@dataclass(frozen=True, slots=True)
class TokenTransfer:
    """A token contract's `Transfer` event: what happened in which block, under which transaction id (32 bytes)."""

    source: Address
    to: Address
    amount: int
    block: int
    transaction: bytes
