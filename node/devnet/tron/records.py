"""What the TRON core and its door speak of: plain data, no wire format.

Addresses have 20 bytes here (the door adds the prefix 0x41), ids and topics 32. Native amounts are in sun (10⁻⁶ TRX),
times in milliseconds of Unix time, energy and bandwidth in their own units. Names follow java-tron's protocol buffers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from node.devnet.errors import DevnetError
from node.devnet.records import Event

# --- transactions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AccountCreate:
    owner: bytes
    account: bytes


@dataclass(frozen=True, slots=True)
class Transfer:
    owner: bytes
    to: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class TransferAsset:
    """`asset`: the TRC-10's number, from 1000001 on."""

    owner: bytes
    to: bytes
    asset: int
    amount: int


@dataclass(frozen=True, slots=True)
class AssetIssue:
    """Makes a TRC-10; the owner gets the whole supply."""

    owner: bytes
    name: bytes
    abbreviation: bytes
    supply: int
    decimals: int
    description: bytes = b""
    url: bytes = b""


@dataclass(frozen=True, slots=True)
class CreateContract:
    """`abi`: the serialised `SmartContract.ABI`, kept for clients; the core does not look into it."""

    owner: bytes
    bytecode: bytes = field(repr=False)
    value: int = 0
    token: int = 0
    token_value: int = 0
    name: str = ""
    abi: bytes = field(default=b"", repr=False)
    user_percent: int = 100
    """Share of the energy that the caller pays; the rest is the deployer's, up to `origin_energy_limit`."""
    origin_energy_limit: int = 0


@dataclass(frozen=True, slots=True)
class TriggerContract:
    owner: bytes
    contract: bytes
    data: bytes = field(default=b"", repr=False)
    value: int = 0
    token: int = 0
    token_value: int = 0


class Resource(StrEnum):
    """What staking TRX gives."""

    BANDWIDTH = "BANDWIDTH"
    ENERGY = "ENERGY"


@dataclass(frozen=True, slots=True)
class Freeze:
    """Stake 2.0 (`FreezeBalanceV2Contract`)."""

    owner: bytes
    amount: int
    resource: Resource


@dataclass(frozen=True, slots=True)
class Unfreeze:
    """Stake 2.0 (`UnfreezeBalanceV2Contract`)."""

    owner: bytes
    amount: int
    resource: Resource


Operation = AccountCreate | Transfer | TransferAsset | AssetIssue | CreateContract | TriggerContract | Freeze | Unfreeze


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction as it came. `id` is sha256 of the serialised `raw_data`; `encoded` the whole serialised message.

    `permission`: `Permission_id` of its contract; the core knows the owner permission (0) and the active one (2).
    """

    id: bytes
    operation: Operation
    signatures: tuple[bytes, ...]
    ref_block_bytes: bytes
    ref_block_hash: bytes
    expiration: int
    timestamp: int
    fee_limit: int
    memo: bytes
    permission: int
    encoded: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of the serialised message: what bandwidth is counted in."""
        return len(self.encoded)


# --- what became of them ---------------------------------------------------------------------------------------------


class ContractRet(StrEnum):
    """`Transaction.Result.contractResult` of java-tron, as far as this core can give it."""

    SUCCESS = "SUCCESS"
    REVERT = "REVERT"
    OUT_OF_ENERGY = "OUT_OF_ENERGY"
    OUT_OF_TIME = "OUT_OF_TIME"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    BAD_JUMP_DESTINATION = "BAD_JUMP_DESTINATION"
    STACK_TOO_SMALL = "STACK_TOO_SMALL"
    STACK_TOO_LARGE = "STACK_TOO_LARGE"
    ILLEGAL_OPERATION = "ILLEGAL_OPERATION"
    INVALID_CODE = "INVALID_CODE"
    TRANSFER_FAILED = "TRANSFER_FAILED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a message did in the TVM. `output` of a revert is its reason's ABI encoding.

    `message`: java-tron's words for a failure, such as `REVERT opcode executed`; empty for success.
    """

    ret: ContractRet
    energy: int
    output: bytes = field(repr=False)
    message: str
    events: tuple[Event, ...] = ()

    @property
    def ok(self) -> bool:
        return self.ret is ContractRet.SUCCESS


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a transaction did and cost. All of `fee` (sun) was burnt: energy, bandwidth, memo, account creation.

    `energy`: all that was used; `energy_burnt` sun were paid for what neither stake nor deployer covered.
    `is_contract`: whether the TVM ran at all; only then `outcome` means anything beyond success.
    """

    outcome: Outcome
    is_contract: bool
    fee: int
    energy_own: int = 0
    energy_origin: int = 0
    energy_burnt: int = 0
    net_used: int = 0
    net_burnt: int = 0
    contract: bytes | None = None
    asset: int | None = None
    """The number of a TRC-10 that was issued."""


@dataclass(frozen=True, slots=True)
class Mined:
    transaction: Transaction
    receipt: Receipt
    block: int
    block_id: bytes
    timestamp: int
    index: int


@dataclass(frozen=True, slots=True)
class Log:
    """An event and where it stands; `index` counts within its transaction."""

    event: Event
    block: int
    timestamp: int
    transaction: bytes
    index: int


# --- state -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Block:
    """`id`: eight bytes of number, then 24 of the header's hash (java-tron's `BlockId`)."""

    number: int
    id: bytes
    parent: bytes
    timestamp: int
    transactions: tuple[bytes, ...]
    state_root: bytes
    tx_root: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Account:
    """`assets`: TRC-10 number → amount. `frozen`: staked sun per resource."""

    address: bytes
    balance: int
    created: int
    is_contract: bool
    assets: Mapping[int, int]
    frozen: Mapping[Resource, int]


@dataclass(frozen=True, slots=True)
class Resources:
    """An account's bandwidth and energy, used and in all. Free bandwidth is everybody's daily allowance."""

    free_net_used: int
    free_net_limit: int
    net_used: int
    net_limit: int
    energy_used: int
    energy_limit: int
    total_net_limit: int
    total_net_weight: int
    total_energy_limit: int
    total_energy_weight: int


@dataclass(frozen=True, slots=True)
class Contract:
    """A deployed contract. `bytecode` is what was sent to deploy it, `runtime` what runs."""

    address: bytes
    origin: bytes
    name: str
    abi: bytes = field(repr=False)
    bytecode: bytes = field(repr=False)
    runtime: bytes = field(repr=False)
    user_percent: int = 100
    origin_energy_limit: int = 0


@dataclass(frozen=True, slots=True)
class Asset:
    """A TRC-10."""

    number: int
    owner: bytes
    name: bytes
    abbreviation: bytes
    supply: int
    decimals: int
    description: bytes = b""
    url: bytes = b""


# --- refusals --------------------------------------------------------------------------------------------------------


class Code(StrEnum):
    """`GrpcAPI.Return.response_code`: why a broadcast is refused. Nothing has changed then."""

    SIGERROR = "SIGERROR"
    CONTRACT_VALIDATE_ERROR = "CONTRACT_VALIDATE_ERROR"
    CONTRACT_EXE_ERROR = "CONTRACT_EXE_ERROR"
    BANDWITH_ERROR = "BANDWITH_ERROR"
    DUP_TRANSACTION_ERROR = "DUP_TRANSACTION_ERROR"
    TAPOS_ERROR = "TAPOS_ERROR"
    TOO_BIG_TRANSACTION_ERROR = "TOO_BIG_TRANSACTION_ERROR"
    TRANSACTION_EXPIRATION_ERROR = "TRANSACTION_EXPIRATION_ERROR"
    SERVER_BUSY = "SERVER_BUSY"
    OTHER_ERROR = "OTHER_ERROR"


class RejectedError(DevnetError):
    """The chain does not take a transaction. `str()` is java-tron's message."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code
