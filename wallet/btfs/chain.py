"""BTFS's contracts on the chain: reading vaults and the factory, and the calls that cash cheques.

A vault is a stranger's contract behind a proxy and may answer anything, so its answers are taken as bytes and read
here: nonsense from a vault is its payer's fault (`BrokenVaultError`), never an endpoint's. The interface is that of
bittorrent/btfs-vault: `Vault`, `MultiTokenVault`, `VaultFactory`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from eth_abi.abi import encode

from wallet.address import Address
from wallet.btfs.errors import BrokenVaultError
from wallet.btfs.receiver import VaultFacts
from wallet.btfs.wire import SignedBtfsCheque
from wallet.chains.abi import call_data, selector, split_words
from wallet.chains.assets import TokenTransfer
from wallet.chains.base import Block, Call, ChainError, Receipt, RevertedError
from wallet.cheque import BtfsCheque


class Reader(Protocol):
    """What is asked of a chain. Both raise `ChainError`s for faults of the chain, its endpoints and the settings."""

    async def head(self) -> Block: ...

    async def call(self, to: Address, data: bytes, block: int, /) -> bytes:
        """`eth_call`: what the contract answers, nothing where there is none. Raises `RevertedError` if it refuses."""


def cash(signed: SignedBtfsCheque, recipient: Address) -> Call:
    """The transaction, to be sent by the cheque's beneficiary, that pays what the cheque adds to `recipient`.

    Vaults of the first generation pay in part when they run dry (`ChequeBounced`); those of today refuse the whole, so
    that the transaction fails before it costs a fee.
    """
    cheque = signed.cheque
    types, values = ["address", "uint256", "bytes"], [recipient.raw, cheque.cumulative, signed.signature]
    method, kind = "cashChequeBeneficiary", "WBTT"
    if cheque.token is not None:
        types, values = ["address", *types], [cheque.token.raw, *values]
        method, kind = "multiTokenCashChequeBeneficiary", f"token {cheque.token}"
    data = selector(f"{method}({','.join(types)})") + encode(types, values)
    return Call(cheque.vault, data, 0, method, f"cash a BTFS cheque ({kind}) drawn on {cheque.vault} to {recipient}")


def paid(cheque: BtfsCheque, receipt: Receipt, moved: Iterable[TokenTransfer]) -> int:
    """Units that a transaction of `cash` brought, by the token's own books: a vault may count as paid what it kept.

    `moved`: the recipient's transfers of the cheque's token in the receipt's block (`ChainAdapter.transfers`). Less
    than was due means that the cheque bounced; it can be cashed again for the rest.
    """
    return sum(move.amount for move in moved if (move.transaction, move.source) == (receipt.hash, cheque.vault))


class BtfsVaults:
    """The vaults of one factory. `wbtt`: WBTT on this chain."""

    def __init__(self, reader: Reader, factory: Address, wbtt: Address) -> None:
        self._reader = reader
        self._factory = factory
        self._wbtt = wbtt

    async def facts(self, cheque: BtfsCheque, block: int | None = None) -> VaultFacts | None:
        """What bears on a cheque, all of one block, by default the latest; None for a vault the factory does not know.

        Raises `BrokenVaultError` and `ChainError`.
        """
        at = await self.head() if block is None else block
        # First of all: nothing is asked of a contract that nobody vouches for.
        if not await self._ours(self._factory, at, "deployedContracts(address)", cheque.vault):
            return None
        token = self._wbtt if cheque.token is None else cheque.token
        balance = ("totalbalance()",) if cheque.token is None else ("totalbalanceOf(address)", cheque.token)
        issuer, wbtt, bounced, claimed, held, paid_out = await asyncio.gather(
            self._address(cheque.vault, at, "issuer()"),
            self._address(cheque.vault, at, "token()"),
            self._theirs(cheque.vault, at, "bounced()"),
            self._theirs(cheque.vault, at, *balance),
            self._ours(token, at, "balanceOf(address)", cheque.vault),
            self._paid_out(cheque, at),
        )
        # A vault may claim any balance; what it can pay is what the token's own books say.
        return VaultFacts(issuer, wbtt, min(claimed, held), paid_out, bounced != 0)

    async def _paid_out(self, cheque: BtfsCheque, block: int) -> int:
        """What the cheque's vault has paid its beneficiary so far, in the cheque's token."""
        if cheque.token is None:
            return await self._theirs(cheque.vault, block, "paidOut(address)", cheque.beneficiary)
        signature = "multiTokensPaidOut(address,address)"
        return await self._theirs(cheque.vault, block, signature, cheque.token, cheque.beneficiary)

    async def total_paid_out(self, vault: Address, token: Address | None, block: int) -> int:
        """What a vault has paid to everybody so far, in one token."""
        if token is None:
            return await self._theirs(vault, block, "totalPaidOut()")
        return await self._theirs(vault, block, "multiTokensTotalPaidOut(address)", token)

    async def head(self) -> int:
        """The latest block's number."""
        return (await self._reader.head()).number

    # --- one word ----------------------------------------------------------------------------------------------------

    async def _ours(self, contract: Address, block: int, signature: str, *arguments: Address) -> int:
        """From a contract that the settings name. Raises `ChainError` where there is none."""
        try:
            return await self._word(contract, block, signature, *arguments)
        except ValueError:
            raise ChainError(f"there is no {signature} at {contract}: check the factory and the tokens") from None

    async def _theirs(self, vault: Address, block: int, signature: str, *arguments: Address) -> int:
        """From a vault."""
        try:
            return await self._word(vault, block, signature, *arguments)
        except (ValueError, RevertedError):
            raise BrokenVaultError(f"the vault {vault} does not answer {signature}") from None

    async def _address(self, vault: Address, block: int, signature: str) -> Address:
        number = await self._theirs(vault, block, signature)
        if number >> 160:
            raise BrokenVaultError(f"the vault {vault} answers {signature} with no address")
        return Address(number.to_bytes(20, "big"))

    async def _word(self, contract: Address, block: int, signature: str, *arguments: Address) -> int:
        answer = await self._reader.call(contract, call_data(signature, *arguments), block)
        return split_words(answer, 1)[0]
