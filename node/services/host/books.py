"""What hosting has brought, and why it brings no more: plain figures and plain reasons.

earned    epochs that a voucher covers, or that the market has paid: what we can be sure of, if all goes well
claimed   of these, what the market has paid us in final blocks
pending   earned and not claimed: it comes with the next settlement
expected  what the contracts that run would still bring, if every epoch is vouched for or proved
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from node.ports.storage import HostedContract
from node.ports.volumes import VolumeInfo
from node.services.host.disks import trouble
from node.services.host.terms import HostTerms
from node.storage.lifecycle import LOCKED, State
from wallet.amount import format_amount

SILENT_EPOCHS = 2
"""Epochs without a voucher after which a renter is called silent."""


@dataclass(frozen=True, slots=True)
class Earnings:
    """Token units."""

    earned: int = 0
    claimed: int = 0
    expected: int = 0
    bonds: int = 0
    at_stake: int = 0
    lost: int = 0

    @property
    def pending(self) -> int:
        return self.earned - self.claimed

    @classmethod
    def of(cls, record: HostedContract) -> Earnings:
        contract, locked = record.contract, record.state in LOCKED
        return cls(
            # What an ended contract has not paid, it pays no more.
            earned=record.earned if record.live else record.claimed,
            claimed=record.claimed,
            expected=record.epochs * contract.price_per_epoch - record.earned if locked else 0,
            bonds=record.bonds,
            at_stake=contract.collateral - contract.exit_fee(record.epochs) if locked else 0,
            lost=contract.collateral if record.state is State.FAILED else contract.exit_fee(record.epochs),
        )

    @classmethod
    def total(cls, records: Iterable[HostedContract]) -> Earnings:
        every = [cls.of(record) for record in records]
        return cls(
            *(
                sum(getattr(one, name) for one in every)
                for name in ("earned", "claimed", "expected", "bonds", "at_stake", "lost")
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that bears on why a host does not earn (more). `balance`: what the market holds for us, None: not known.

    `notes`: contract → why its latest duty waits; `faults`: root → why its shard does not come in or cannot be read;
    `challenged`: contract → Unix second until which an open challenge may be answered; `asked`: how many offers came
    since the start, `refused`: the latest reasons for a no.
    """

    terms: HostTerms
    volumes: Sequence[VolumeInfo]
    contracts: Sequence[HostedContract]
    now: int
    balance: int | None
    closed: str = ""
    chain_fault: str = ""
    notes: Mapping[bytes, str]
    faults: Mapping[bytes, str]
    challenged: Mapping[bytes, int] = field(default_factory=dict)
    asked: int = 0
    refused: Sequence[str] = ()


def reasons(here: Situation) -> list[str]:
    """Why this host does not earn, or not more; the gravest first. Empty: nothing is wrong."""
    return [*_challenged(here), *_disks(here), *_money(here), *_contracts(here), *_offers(here)]


def _challenged(here: Situation) -> Iterable[str]:
    for record in here.contracts:
        answer_by = here.challenged.get(record.id)
        wrong = record.damaged or here.faults.get(record.contract.root) or here.notes.get(record.id)
        if record.live and answer_by and wrong:
            yield at_risk(record, answer_by, wrong)


def at_risk(record: HostedContract, answer_by: int, wrong: str) -> str:
    """A challenge is open in the market, and cannot be answered as things are."""
    until = datetime.fromtimestamp(answer_by, UTC)
    stake = format_amount(record.contract.collateral)
    loss = f"unless its shard can be read by {until:%Y-%m-%d %H:%M} UTC, its collateral of {stake} is lost"
    return f"{_name(record)} is challenged on chain: {loss} ({wrong})"


def _disks(here: Situation) -> Iterable[str]:
    if not here.volumes:
        yield "there is no volume: add one with `bttnode host volume add FOLDER --quota SIZE`"
    troubles = [text for volume in here.volumes if (text := trouble(volume))]
    yield from troubles
    if here.volumes and not troubles and not any(volume.room for volume in here.volumes):
        yield "every volume is drained: `bttnode host volume drain ID --off`, or add one"
    for record in here.contracts:
        if record.live and record.damaged:
            yield f"{_name(record)}: its shard is damaged ({record.damaged}); see to the disk, then `host volume check`"
        elif record.live and (fault := here.faults.get(record.contract.root)):
            yield f"{_name(record)}: {fault}"


def _money(here: Situation) -> Iterable[str]:
    if here.chain_fault:
        yield f"the chain does not answer, so nothing is accepted or claimed now: {here.chain_fault}"
    if here.balance == 0 and here.terms.collateral_percent:
        yield "nothing is left in the market for collateral: `bttnode host deposit AMOUNT`"


def _contracts(here: Situation) -> Iterable[str]:
    for record in here.contracts:
        if record.state not in LOCKED:
            continue
        if (note := here.notes.get(record.id)) and record.id not in here.challenged:
            yield f"{_name(record)}: {note}"
        if record.leaving and record.epochs == record.contract.epochs:
            yield f"{_name(record)}: it waits for another host to take it over, as you wished"
        begun = min(record.epochs, max(0, record.contract.epoch_at(here.now)))
        silent = begun - max(record.voucher, record.paid.bit_length())
        if silent >= SILENT_EPOCHS and record.whole:
            yield f"{_name(record)}: its renter has not paid the last {silent} epochs; they are proved on chain instead"
    if not any(record.state in LOCKED for record in here.contracts):
        yield "no contract is running"


def _offers(here: Situation) -> Iterable[str]:
    if here.closed:
        yield f"no new contracts are taken: {here.closed}"
    yield from (f"an offer was refused: {reason}" for reason in here.refused)
    if not here.asked and not any(record.live for record in here.contracts):
        yield "nobody has made an offer since the start: can others reach the node, and is it in the registry?"


def _name(record: HostedContract) -> str:
    return f"contract {record.id.hex()[:12]}"
