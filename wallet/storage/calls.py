"""Transactions of the storage contracts: what they do, who has to send them, and how the user is told. Pure.

A contract's terms come along with every call, for the market keeps only their digest. Amounts are units of the token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wallet.address import Address
from wallet.amount import Token, format_amount
from wallet.chains.abi import MARKET, REGISTRY, call_data
from wallet.chains.base import Call
from wallet.storage.codec import encode_call
from wallet.storage_terms import BLOCK, StorageContract

HASH = 32
MAX_ENDPOINT = 256
"""Bytes of a host's URL, in the registry."""

Signatures = tuple[bytes, bytes]
"""The renter's, then the host's."""


@dataclass(frozen=True, slots=True)
class BlockProof:
    """A block of a shard and the hashes beside its way up to the root, from the leaf (BEP 52).

    Raises `ValueError` for what cannot be the proof of any shard.
    """

    block: bytes
    path: Sequence[bytes]

    def __post_init__(self) -> None:
        if not 1 <= len(self.block) <= BLOCK:
            raise ValueError(f"a block has 1 to {BLOCK} bytes, not {len(self.block)}")
        if any(len(node) != HASH for node in self.path):
            raise ValueError(f"a path is made of hashes of {HASH} bytes")


@dataclass(frozen=True, slots=True)
class _Calls:
    """`contract` is where calls go, `token` what the money is; `name` writes addresses as people do on this chain."""

    contract: Address
    token: Address
    unit: Token
    name: Callable[[Address], str]

    def _amount(self, units: int) -> str:
        return format_amount(units, self.unit)

    def _approve(self, what: str, amount: int) -> Call:
        data = call_data("approve(address,uint256)", self.contract, amount)
        return Call(self.token, data, 0, "approve", f"let the {what} take {self._amount(amount)}")


class MarketCalls(_Calls):
    """Transactions of `StorageMarket`."""

    __slots__ = ()

    # --- balances ---

    def approve(self, amount: int) -> Call:
        """Let the market take this much from the sender's wallet, for `deposit`."""
        return self._approve("storage market", amount)

    def deposit(self, amount: int) -> Call:
        return self._market(f"deposit {self._amount(amount)} in the storage market", "deposit", amount)

    def deposit_for(self, account: Address, amount: int) -> Call:
        text = f"deposit {self._amount(amount)} in the storage market for {self.name(account)}"
        return self._market(text, "depositFor", account, amount)

    def withdraw(self, amount: int, to: Address) -> Call:
        """What is not locked, at once."""
        text = f"withdraw {self._amount(amount)} from the storage market to {self.name(to)}"
        return self._market(text, "withdraw", amount, to)

    # --- a contract's begin and end ---

    def open(self, terms: StorageContract, signatures: Signatures) -> Call:
        """By anybody, before the start."""
        text = f"open a storage contract: lock {self._amount(terms.escrow)} of {self.name(terms.renter)}"
        text += f" and {self._amount(terms.collateral)} of {self.name(terms.host)}"
        return self._market(text, "open", terms, *signatures)

    def call_off(self, terms: StorageContract) -> Call:
        """By renter or host, before the start, opened or only signed."""
        return self._market("call a storage contract off", "callOff", terms)

    def cancel(self, terms: StorageContract, through_epoch: int, signatures: Signatures) -> Call:
        """By anybody; both have signed the `Cancel`."""
        text = f"cancel a storage contract, {through_epoch} of {terms.epochs} epochs paid"
        return self._market(text, "cancel", terms, through_epoch, *signatures)

    def hand_over(
        self,
        terms: StorageContract,
        through_epoch: int,
        cancel: Signatures,
        successor: StorageContract,
        open_: Signatures,
    ) -> Call:
        """By anybody: `cancel` and the successor's `open`, both or neither."""
        text = f"hand a storage contract over from {self.name(terms.host)} to {self.name(successor.host)}"
        return self._market(text, "handOver", terms, through_epoch, cancel, successor, open_)

    def exit(self, terms: StorageContract) -> Call:
        """By the host: it serves to the end of the next epoch and pays for the rest."""
        return self._market("leave a storage contract early, for a part of the collateral", "exit", terms)

    def close(self, terms: StorageContract) -> Call:
        """By anybody, once `closable_at` has come."""
        return self._market("close a storage contract that has ended", "close", terms)

    # --- earning ---

    def settle(self, terms: StorageContract, through_epoch: int, signature: bytes) -> Call:
        """By anybody, with a voucher of renter or auditor."""
        text = f"settle a storage contract: {through_epoch} of {terms.epochs} epochs to {self.name(terms.payee)}"
        return self._market(text, "settle", terms, through_epoch, signature)

    def begin_proof(self, terms: StorageContract) -> Call:
        """By the host, in the epoch after the one to be proved, once; the next block then chooses what to show."""
        return self._market("begin to prove an epoch of a storage contract", "beginProof", terms)

    def prove(self, terms: StorageContract, proof: BlockProof) -> Call:
        """By anybody, within 256 blocks of the choice."""
        text = (
            f"prove an epoch of a storage contract: {self._amount(terms.price_per_epoch)} to {self.name(terms.payee)}"
        )
        return self._market(text, "prove", terms, proof.block, proof.path)

    # --- challenges ---

    def challenge(self, terms: StorageContract, index: int) -> Call:
        """By renter or auditor, during the term, for a bond out of its balance."""
        return self._market(
            f"challenge {self.name(terms.host)} to show block {index} of its shard", "challenge", terms, index
        )

    def answer(self, terms: StorageContract, proof: BlockProof) -> Call:
        """By anybody, in time; the bond goes to the payee."""
        return self._market("answer a challenge of a storage contract", "answer", terms, proof.block, proof.path)

    def fail(self, terms: StorageContract) -> Call:
        """By anybody, when a challenge was not answered in time: the collateral goes to the renter."""
        return self._market(f"end the storage contract that {self.name(terms.host)} has failed", "fail", terms)

    def _market(self, text: str, function: str, *arguments: object) -> Call:
        return Call(self.contract, encode_call(MARKET, function, *arguments), 0, f"market.{function}", text)


class RegistryCalls(_Calls):
    """Transactions of `HostRegistry`, all by the host itself. `price_table`: its hash, 32 bytes; zeros for none.

    `endpoint`: the URL of the host's API. Raises `ValueError` for one that the registry would refuse.
    """

    __slots__ = ()

    def approve(self, amount: int) -> Call:
        """Let the registry take this much from the sender's wallet, for `register` and `stake`."""
        return self._approve("host registry", amount)

    def register(self, amount: int, signer: Address, endpoint: str, price_table: bytes = bytes(HASH)) -> Call:
        """`stake` and `announce` in one."""
        text = f"stake {self._amount(amount)} and announce this host at {endpoint}"
        return self._registry(text, "register", amount, signer, _checked(endpoint), price_table)

    def stake(self, amount: int) -> Call:
        return self._registry(f"stake {self._amount(amount)} more as a host", "stake", amount)

    def announce(self, signer: Address, endpoint: str, price_table: bytes = bytes(HASH)) -> Call:
        return self._registry(f"announce this host at {endpoint}", "announce", signer, _checked(endpoint), price_table)

    def begin_exit(self) -> Call:
        """Off the list now; `withdraw` is possible after the notice period."""
        return self._registry("leave the list of hosts", "beginExit")

    def cancel_exit(self) -> Call:
        return self._registry("stay on the list of hosts", "cancelExit")

    def withdraw(self, to: Address) -> Call:
        """The whole stake."""
        return self._registry(f"withdraw the host's stake to {self.name(to)}", "withdraw", to)

    def _registry(self, text: str, function: str, *arguments: object) -> Call:
        return Call(self.contract, encode_call(REGISTRY, function, *arguments), 0, f"registry.{function}", text)


def _checked(endpoint: str) -> str:
    length = len(endpoint.encode())
    if not 1 <= length <= MAX_ENDPOINT or not endpoint.isprintable():
        raise ValueError(f"an endpoint is a URL of 1 to {MAX_ENDPOINT} bytes, not of {length}")
    return endpoint
