"""The life of a storage contract, as one table that renter and host both follow.

    offered ── sign ─→ signed ── open ─→ uploading ── deliver ─→ active ── complete ─→ completed
    active ── challenge ─→ challenged ── answer ─→ active, or fail ─→ failed
    active ── exit ─→ exiting ── complete ─→ completed
    offered, signed ── lapse ─→ lapsed;  before the start: call off ─→ cancelled

Until `open` nobody is bound. From then on escrow and collateral are locked in the market, and every state has a way
out that needs only one side and time, so that no money can be stuck (a test walks them all). What the chain says is an
event when it is final. Renewal is a contract of its own, from `offered`, that starts when this one ends; a hand-over
cancels one and opens another.

The table is data: `step` looks it up. An event that it does not list is a bug of the caller, not a fault of the peer.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import NamedTuple

from node.storage.errors import TransitionError
from wallet.storage_terms import StorageContract


class State(StrEnum):
    """Where a contract is."""

    OFFERED = "offered"
    """The renter signed and sent it."""
    SIGNED = "signed"
    """Both signed; not in the market."""
    UPLOADING = "uploading"
    """In force, and the host does not have the shard, or has not checked it against the root."""
    ACTIVE = "active"
    """In force, and the host has the shard."""
    CHALLENGED = "challenged"
    """A bonded challenge is open in the market."""
    EXITING = "exiting"
    """The host leaves: it keeps the shard to the end of the epoch after the one in which it said so."""
    EXITING_CHALLENGED = "exiting, challenged"
    COMPLETED = "completed"
    FAILED = "failed"
    """A challenge was not answered: the collateral went to the renter."""
    CANCELLED = "cancelled"
    """By both, by hand-over, or called off before the start."""
    LAPSED = "lapsed"
    """Never in force: declined, or not opened before its start."""


class Event(StrEnum):
    """What happens to a contract. All from `OPEN` on but `DELIVER` are calls of the market, final on chain."""

    SIGN = "sign"
    LAPSE = "lapse"
    OPEN = "open"
    CALL_OFF = "call off"
    DELIVER = "deliver"
    CHALLENGE = "challenge"
    ANSWER = "answer"
    FAIL = "fail"
    EXIT = "exit"
    CANCEL = "cancel"
    HAND_OVER = "hand over"
    COMPLETE = "complete"


_BY_BOTH = {Event.CANCEL: State.CANCELLED, Event.HAND_OVER: State.CANCELLED}

TRANSITIONS = MappingProxyType(
    {
        State.OFFERED: {Event.SIGN: State.SIGNED, Event.LAPSE: State.LAPSED},
        State.SIGNED: {Event.OPEN: State.UPLOADING, Event.CALL_OFF: State.CANCELLED, Event.LAPSE: State.LAPSED},
        State.UPLOADING: _BY_BOTH
        | {
            Event.DELIVER: State.ACTIVE,
            Event.CALL_OFF: State.CANCELLED,
            Event.CHALLENGE: State.CHALLENGED,
            Event.EXIT: State.EXITING,
            Event.COMPLETE: State.COMPLETED,
        },
        State.ACTIVE: _BY_BOTH
        | {
            Event.CALL_OFF: State.CANCELLED,
            Event.CHALLENGE: State.CHALLENGED,
            Event.EXIT: State.EXITING,
            Event.COMPLETE: State.COMPLETED,
        },
        # Who can answer has the data, whatever was known of the upload before.
        State.CHALLENGED: _BY_BOTH | {Event.ANSWER: State.ACTIVE, Event.FAIL: State.FAILED},
        State.EXITING: _BY_BOTH | {Event.CHALLENGE: State.EXITING_CHALLENGED, Event.COMPLETE: State.COMPLETED},
        State.EXITING_CHALLENGED: _BY_BOTH | {Event.ANSWER: State.EXITING, Event.FAIL: State.FAILED},
        State.COMPLETED: {},
        State.FAILED: {},
        State.CANCELLED: {},
        State.LAPSED: {},
    }
)

ENDS = frozenset(state for state, events in TRANSITIONS.items() if not events)
LOCKED = frozenset((State.UPLOADING, State.ACTIVE, State.CHALLENGED, State.EXITING, State.EXITING_CHALLENGED))
"""States in which the market holds money of the contract."""
CHALLENGED = frozenset((State.CHALLENGED, State.EXITING_CHALLENGED))
"""States in which a bonded challenge is open."""


def step(state: State, event: Event) -> State:
    """The state after `event`. Raises `TransitionError` when the table has none."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise TransitionError(f"a contract that is {state} cannot {event}") from None


class MarketStatus(IntEnum):
    """`StorageMarket.Status`."""

    UNKNOWN = 0
    ACTIVE = 1
    CALLED_OFF = 2
    COMPLETED = 3
    CANCELLED = 4
    FAILED = 5


_CHAIN_ENDS = {
    MarketStatus.CALLED_OFF: State.CANCELLED,
    MarketStatus.COMPLETED: State.COMPLETED,
    MarketStatus.CANCELLED: State.CANCELLED,
    MarketStatus.FAILED: State.FAILED,
}


def from_chain(status: MarketStatus, *, challenged: bool, exiting: bool, delivered: bool) -> State | None:
    """The state that the market's own record says, for a node that starts again; None: the market never saw it.

    `delivered` is what only the node itself knows: whether the host holds the shard, checked.
    """
    if status is MarketStatus.UNKNOWN:
        return None
    if status is not MarketStatus.ACTIVE:
        return _CHAIN_ENDS[status]
    if exiting:
        return State.EXITING_CHALLENGED if challenged else State.EXITING
    if challenged:
        return State.CHALLENGED
    return State.ACTIVE if delivered else State.UPLOADING


class Due(NamedTuple):
    """What becomes possible, or has to happen, at Unix second `at` without the other side."""

    at: int
    event: Event


def due(
    state: State,
    contract: StorageContract,
    *,
    epochs: int | None = None,
    settled: bool = False,
    answer_by: int | None = None,
) -> Due | None:
    """The event that time alone brings in `state`; None for an end.

    `epochs`: how many the contract runs, if an exit made them fewer; `settled`: all of them are paid; `answer_by`: the
    open challenge's deadline. A host without the shard must call off before the start, or it risks its collateral.
    Raises `ValueError` for a challenged state without `answer_by`.
    """
    if state in (State.OFFERED, State.SIGNED):
        return Due(contract.start, Event.LAPSE)
    if state in (State.CHALLENGED, State.EXITING_CHALLENGED):
        if answer_by is None:
            raise ValueError("a challenged contract has a deadline to answer by")
        return Due(answer_by + 1, Event.FAIL)
    if state in LOCKED:
        end = contract.epoch_start(contract.epochs if epochs is None else epochs)
        # The last epoch can be proved until one epoch after it.
        return Due(end if settled else end + contract.epoch_length, Event.COMPLETE)
    return None


def renewal_due(contract: StorageContract) -> int:
    """Unix second from which a renter should renew: a quarter of the term before its end, at most thirty epochs."""
    return contract.end - min(contract.epochs // 4 + 1, 30) * contract.epoch_length
