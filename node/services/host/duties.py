"""What a host has to do on chain now, contract by contract: a pure decision from record, chain and time.

| duty      | when                                                                                                  |
|-----------|-------------------------------------------------------------------------------------------------------|
| answer    | a challenge is open in the market: before anything else, the collateral depends on it                 |
| settle    | the voucher pays epochs that the market has not paid: at the end; when a challenge is open that cannot |
|           | be answered, since its failure voids vouchers; before then only where it is worth the fee             |
| begin     | an epoch is over, no voucher covers it, and the renter had a quarter of the next one to send it       |
| prove     | the block that a begun proof has to show is known                                                     |
| call off  | the start is near and the shard is not here: from the start on a challenge could take the collateral; |
|           | also where the contract is not open yet, since it could be opened too late for us to do anything       |
| cancel    | both have agreed to end: at once, since later it would not pay for what was kept in between             |
| exit      | the owner wants to leave, and nobody has taken the shard over in time; before the start it costs       |
|           | nothing, and is a call off                                                                            |
| close     | everything is paid, or can not be paid any more: the collateral comes home                            |

Time. Bounds in the market are block times; a duty waits `MARGIN` longer than the bound that has to have passed (less
where epochs are short), so that two clocks need not agree. No duty is lost by coming late within its window.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from node.ports.storage import HostedContract, OnChain
from node.storage.lifecycle import MarketStatus
from wallet.storage_terms import StorageContract

MARGIN = 15
CALL_OFF_LEAD = 300
"""Seconds before the start at which a shard that is not here is given up; of short leads, a quarter."""
PATIENCE = 4
"""One part in so many of an epoch is left to the renter to send its voucher late."""


class Action(StrEnum):
    ANSWER = "answer"
    SETTLE = "settle"
    BEGIN = "begin"
    PROVE = "prove"
    CALL_OFF = "call off"
    CANCEL = "cancel"
    EXIT = "exit"
    CLOSE = "close"


class Duty(NamedTuple):
    """`number` tells the same action on one contract apart: the epoch, the voucher's, the challenge's deadline.

    `gain`: token units it brings; `optional`: only where that is worth the fee.
    """

    action: Action
    number: int
    gain: int = 0
    optional: bool = False


def margin(contract: StorageContract) -> int:
    """Seconds to wait beyond a bound."""
    return min(MARGIN, contract.epoch_length // 16)


def call_off_at(record: HostedContract) -> int:
    """Unix second at which a shard that is not here is given up."""
    start = record.contract.start
    return start - min(CALL_OFF_LEAD, max(0, start - record.created_at) // 4)


def duties(record: HostedContract, chain: OnChain, now: int) -> list[Duty]:
    """In the order in which they are to be done; none where the market is done with the contract."""
    contract = record.contract
    opened = chain.status == MarketStatus.ACTIVE
    if not opened and chain.status != MarketStatus.UNKNOWN:
        return []
    readable = record.whole and not record.damaged
    found = []
    if readable and chain.answer_by:
        # When it begins and until when, the market knows: our clock may be wrong, and all is at stake.
        found.append(Duty(Action.ANSWER, chain.answer_by))
    if now < contract.start and record.cancel is None:
        if not record.leaving and (record.whole or now < call_off_at(record)):
            return found
        return [*found, Duty(Action.CALL_OFF, 0, contract.collateral, optional=not opened)]
    if not opened:
        return []
    if record.cancel is not None:
        # It pays for all that was kept: nothing else is worth a fee.
        return [*found, Duty(Action.CANCEL, record.cancel)]
    if record.exit_at and now >= record.exit_at and not chain.answer_by and may_exit(contract, chain.epochs, now):
        found.append(Duty(Action.EXIT, 0))
    found += _settle(record, chain, now, readable)
    if readable:
        found += _prove(record, chain, now)
    if not chain.answer_by and now >= closable_at(contract, chain) + margin(contract):
        found.append(Duty(Action.CLOSE, 0))
    return found


def serves(contract: StorageContract, moment: int) -> int:
    """How many epochs a host serves that leaves alone at Unix second `moment`: the running one, and the next."""
    return max(0, contract.epoch_at(moment)) + 2


def may_exit(contract: StorageContract, epochs: int, now: int) -> bool:
    """Whether leaving alone would still end anything earlier, and was not done before (`StorageMarket.exit`)."""
    started = now >= contract.start + margin(contract)
    return started and epochs == contract.epochs and serves(contract, now) < epochs


def closable_at(contract: StorageContract, chain: OnChain) -> int:
    """As `StorageMarket.closableAt`."""
    end = contract.epoch_start(chain.epochs)
    every = (1 << chain.epochs) - 1
    return end if chain.paid & every == every else end + contract.epoch_length


def _settle(record: HostedContract, chain: OnChain, now: int, readable: bool) -> list[Duty]:
    contract, slack = record.contract, margin(record.contract)
    begun = contract.epoch_at(now - slack) + 1
    through = record.voucher
    due = ((1 << through) - 1) & ~chain.paid
    if not due or through > min(begun, chain.epochs):
        return []
    gain = due.bit_count() * contract.price_per_epoch
    end = contract.epoch_start(chain.epochs)
    pressing = (
        # Nothing can come after it.
        through == chain.epochs
        # The renter had its time to send a last one.
        or now >= end + contract.epoch_length // PATIENCE
        # Failing voids what is not settled.
        or (chain.answer_by != 0 and not readable)
    )
    return [Duty(Action.SETTLE, through, gain, not pressing)]


def _prove(record: HostedContract, chain: OnChain, now: int) -> list[Duty]:
    contract = record.contract
    epoch = contract.provable_at(now)
    if epoch is None or epoch >= chain.epochs or epoch < record.voucher or chain.paid >> epoch & 1:
        return []
    if chain.attempt > epoch:
        return [Duty(Action.PROVE, epoch, contract.price_per_epoch)]
    window = contract.epoch_start(epoch + 1)
    ready = window + max(margin(contract), contract.epoch_length // PATIENCE)
    return [Duty(Action.BEGIN, epoch, contract.price_per_epoch, optional=True)] if now >= ready else []
