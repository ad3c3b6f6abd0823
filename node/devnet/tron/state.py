"""What TRON keeps in its state, laid out in an Ethereum state trie so that one root names all of it.

Theory
------
Going back to a block, undoing a REVERT and running a call for nothing must undo everything alike. So nothing lives
beside py-evm's journaled trie:

* An account's balance and code are the trie's own. Its nonce, of which TRON has no use, holds the time it was created
  (milliseconds); an account exists if and only if that is not zero.
* Small numbers (TRC-10 balances, stakes, resource usage) are storage slots of one reserved address, the ledger. A
  slot's number is `kind ‖ TRC-10 number ‖ address`, so no two of them meet.
* Records (contracts, TRC-10s, pending unstakes) are RLP, kept as the code of addresses that are hashes of what they
  describe: nobody has a key for them, and equal blobs are stored once.

Addresses have 20 bytes; the TVM never sees the prefix 0x41.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import rlp  # type: ignore[import-untyped]  # rlp ships no types
from eth.abc import AtomicDatabaseAPI
from eth.constants import ZERO_ADDRESS
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.istanbul.state import IstanbulState
from eth_typing import Address, BlockNumber, Hash32
from eth_utils.crypto import keccak
from rlp.sedes import CountableList, big_endian_int, binary  # type: ignore[import-untyped]  # rlp ships no types
from rlp.sedes import List as Fields

from node.devnet.tron.records import Asset

MAX_AMOUNT = 2**63 - 1
"""Bound of every amount: java-tron counts in signed 64-bit integers."""
FIRST_ASSET = 1_000_001

_LEDGER = Address(keccak(text="tron ledger")[12:])


class Slot(IntEnum):
    """What a ledger slot holds. Those of the whole chain use the zero address."""

    ASSET_BALANCE = 1
    USAGE = 2
    STAKED_BANDWIDTH = 3
    STAKED_ENERGY = 4
    TOTAL_STAKED_BANDWIDTH = 5
    TOTAL_STAKED_ENERGY = 6


class ContractRecord(NamedTuple):
    """What decides who pays for a contract's runs, and what clients may ask about it."""

    origin: bytes
    user_percent: int
    origin_energy_limit: int
    name: str


class ContractSource(NamedTuple):
    """`abi`: serialised `SmartContract.ABI`. Both are empty for a contract that another contract made."""

    abi: bytes
    bytecode: bytes


class Unstaking(NamedTuple):
    """Sun on its way back to the balance; due at `expires` (milliseconds)."""

    amount: int
    expires: int


_CONTRACT = Fields([binary, big_endian_int, big_endian_int, binary])
_SOURCE = Fields([binary, binary])
_ASSET = Fields([big_endian_int, binary, binary, binary, big_endian_int, big_endian_int, binary, binary])
_NUMBERS = CountableList(big_endian_int)
_UNSTAKING = CountableList(Fields([big_endian_int, big_endian_int]))


class TronState(IstanbulState):
    """The state after one block, or the one being made after it. `now` is the latter's time in milliseconds."""

    def __init__(
        self,
        nodes: AtomicDatabaseAPI,
        root: bytes,
        *,
        number: int,
        now: int,
        ancestors: Sequence[bytes],
        chain_id: int,
        energy_price: int,
    ) -> None:
        context = ExecutionContext(
            coinbase=ZERO_ADDRESS,
            timestamp=now // 1000,
            block_number=BlockNumber(number),
            difficulty=0,
            mix_hash=Hash32(bytes(32)),
            gas_limit=0,
            prev_hashes=[Hash32(ancestor) for ancestor in ancestors],
            chain_id=chain_id,
        )
        super().__init__(nodes, context, Hash32(root))
        self.now = now
        self.energy_price = energy_price

    # --- accounts ----------------------------------------------------------------------------------------------------

    def exists(self, address: bytes) -> bool:
        return self.get_nonce(Address(address)) != 0

    def created_at(self, address: bytes) -> int:
        """Milliseconds; 0: there is no such account."""
        return self.get_nonce(Address(address))

    def balance(self, address: bytes) -> int:
        """Sun."""
        return self.get_balance(Address(address))

    def open_account(self, address: bytes) -> None:
        """Activate the account unless it exists."""
        if not self.exists(address):
            self.set_nonce(Address(address), max(1, self.now))

    def pay(self, address: bytes, amount: int) -> None:
        """Burn sun the account is known to have; a negative amount gives it."""
        self.delta_balance(Address(address), -amount)

    def move(self, sender: bytes, to: bytes, amount: int) -> None:
        """Sun the sender is known to have. Opens the receiver's account."""
        self.open_account(to)
        self.delta_balance(Address(sender), -amount)
        self.delta_balance(Address(to), amount)

    def remove_contract(self, address: bytes) -> None:
        """What SELFDESTRUCT leaves: nothing."""
        for record in (address, _record("contract", address), _record("source", address)):
            self.delete_account(Address(record))

    # --- the ledger --------------------------------------------------------------------------------------------------

    def slot(self, kind: Slot, address: bytes = ZERO_ADDRESS, asset: int = 0) -> int:
        return self.get_storage(_LEDGER, _slot(kind, address, asset))

    def set_slot(self, kind: Slot, value: int, address: bytes = ZERO_ADDRESS, asset: int = 0) -> None:
        self.set_storage(_LEDGER, _slot(kind, address, asset), value)

    # --- TRC-10 ------------------------------------------------------------------------------------------------------

    def asset_balance(self, address: bytes, asset: int) -> int:
        return self.slot(Slot.ASSET_BALANCE, address, asset)

    def give_asset(self, address: bytes, asset: int, amount: int) -> None:
        """Opens the account. A negative amount takes; the account is known to have it."""
        self.open_account(address)
        self.set_slot(Slot.ASSET_BALANCE, self.asset_balance(address, asset) + amount, address, asset)

    def move_asset(self, sender: bytes, to: bytes, asset: int, amount: int) -> None:
        self.give_asset(sender, asset, -amount)
        self.give_asset(to, asset, amount)

    def move_all_assets(self, sender: bytes, to: bytes | None) -> None:
        """`to` None burns them."""
        for asset in self.asset_numbers():
            amount = self.asset_balance(sender, asset)
            if amount and to is not None:
                self.move_asset(sender, to, asset, amount)
            elif amount:
                self.give_asset(sender, asset, -amount)

    def asset_numbers(self) -> tuple[int, ...]:
        """Of all TRC-10s there are, ascending."""
        blob = self._blob("assets", b"")
        return tuple(rlp.decode(blob, _NUMBERS)) if blob else ()

    def asset(self, number: int) -> Asset | None:
        blob = self._blob("asset", number.to_bytes(8, "big"))
        return Asset(*rlp.decode(blob, _ASSET)) if blob else None

    def add_asset(self, asset: Asset) -> None:
        """Its supply goes to its owner."""
        fields = [asset.number, asset.owner, asset.name, asset.abbreviation, asset.supply, asset.decimals]
        blob = rlp.encode([*fields, asset.description, asset.url], _ASSET)
        self._set_blob("asset", asset.number.to_bytes(8, "big"), blob)
        self._set_blob("assets", b"", rlp.encode(sorted({*self.asset_numbers(), asset.number}), _NUMBERS))
        self.give_asset(asset.owner, asset.number, asset.supply)

    # --- contracts ---------------------------------------------------------------------------------------------------

    def is_contract(self, address: bytes) -> bool:
        return self._blob("contract", address) != b""

    def contract(self, address: bytes) -> ContractRecord | None:
        blob = self._blob("contract", address)
        if not blob:
            return None
        origin, percent, limit, name = rlp.decode(blob, _CONTRACT)
        return ContractRecord(origin, percent, limit, name.decode())

    def source(self, address: bytes) -> ContractSource:
        blob = self._blob("source", address)
        return ContractSource(*rlp.decode(blob, _SOURCE)) if blob else ContractSource(b"", b"")

    def add_contract(self, address: bytes, record: ContractRecord, source: ContractSource | None = None) -> None:
        self.open_account(address)
        fields = [record.origin, record.user_percent, record.origin_energy_limit, record.name.encode()]
        self._set_blob("contract", address, rlp.encode(fields, _CONTRACT))
        if source is not None:
            self._set_blob("source", address, rlp.encode(list(source), _SOURCE))

    # --- unstaking ---------------------------------------------------------------------------------------------------

    def unstaking(self, address: bytes) -> tuple[Unstaking, ...]:
        blob = self._blob("unstaking", address)
        return tuple(Unstaking(*pending) for pending in rlp.decode(blob, _UNSTAKING)) if blob else ()

    def set_unstaking(self, address: bytes, pending: Sequence[Unstaking]) -> None:
        self._set_blob("unstaking", address, rlp.encode([list(one) for one in pending], _UNSTAKING))

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _blob(self, kind: str, key: bytes) -> bytes:
        return self.get_code(_record(kind, key))

    def _set_blob(self, kind: str, key: bytes, blob: bytes) -> None:
        self.set_code(_record(kind, key), blob)


def _slot(kind: Slot, address: bytes, asset: int) -> int:
    return int(kind) << 248 | asset << 160 | int.from_bytes(address, "big")


def _record(kind: str, key: bytes) -> Address:
    return Address(keccak(kind.encode() + b"\0" + key)[12:])
