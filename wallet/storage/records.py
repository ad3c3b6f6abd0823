"""What the storage contracts know: a contract's record, and what may be done for its epochs with it.

Theory
------
The market keeps two words per contract. What they mean at a moment depends on the terms and on two clocks, the blocks'
time and the blocks' numbers:

    AHEAD ─▶ RUNNING ─▶ PROVABLE ──beginProof──▶ PROVING ──prove──▶ PAID
                            │                       │ 256 blocks      ▲
                            └──── the next epoch ───┴──▶ OVER ─voucher┘   (a voucher pays from RUNNING on)

`PROVABLE` is the epoch that ended last, and once only: whoever begins and does not show the block in time has lost its
proof, not its voucher.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from wallet.address import Address
from wallet.storage.events import Status
from wallet.storage_terms import StorageContract

SEED_BLOCKS = 256
"""Blocks for which a chain remembers a block's hash (EVM's BLOCKHASH)."""


@dataclass(frozen=True, slots=True)
class OpenChallenge:
    """Block `index` of the shard is to be shown until `answer_by`, that second (Unix) included."""

    index: int
    answer_by: int
    by_auditor: bool


@dataclass(frozen=True, slots=True)
class ContractRecord:
    """`epochs`: how many it runs, fewer than agreed after an exit. `paid`: bit e is epoch e.

    `begun`: the epoch whose proof was begun last, None for none; `seed_block`'s hash chooses what it has to show.
    """

    status: Status
    epochs: int = 0
    paid: int = 0
    begun: int | None = None
    seed_block: int = 0
    challenge: OpenChallenge | None = None

    @property
    def paid_epochs(self) -> int:
        return self.paid.bit_count()

    def is_paid(self, epoch: int) -> bool:
        return bool(self.paid >> epoch & 1)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The block of the shard that the proof of `epoch` has to show."""

    epoch: int
    index: int


class EpochState(Enum):
    """See the module's theory."""

    AHEAD = "ahead"
    RUNNING = "running"
    PROVABLE = "provable"
    PROVING = "proving"
    OVER = "over"
    PAID = "paid"


def epoch_states(terms: StorageContract, record: ContractRecord, now: int, head: int) -> tuple[EpochState, ...]:
    """The epochs of a contract in force. `now`: Unix seconds; `head`: the latest block, so that a proof would be in the
    next one."""
    running, provable = terms.epoch_at(now), terms.provable_at(now)
    proving = record.begun if head + 1 <= record.seed_block + SEED_BLOCKS else None

    def state(epoch: int) -> EpochState:
        if record.is_paid(epoch):
            return EpochState.PAID
        if epoch == proving:
            return EpochState.PROVING
        if epoch == provable and epoch != record.begun:
            return EpochState.PROVABLE
        if epoch < running:
            return EpochState.OVER
        return EpochState.RUNNING if epoch == running else EpochState.AHEAD

    return tuple(map(state, range(record.epochs)))


@dataclass(frozen=True, slots=True)
class MarketSettings:
    """What a market was made with: its token, the bond of a challenge in units, and the seconds for an answer."""

    token: Address
    challenge_bond: int
    answer_period: int


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """What a registry was made with: its token, the least stake in units, and the seconds of an exit's notice."""

    token: Address
    min_stake: int
    notice_period: int


@dataclass(frozen=True, slots=True)
class HostStake:
    """Units put down, and when they may leave (Unix seconds); None for a host that is not leaving."""

    amount: int
    leaves_at: int | None = None
