"""Faults of the other side, and what to do about them.

A remote fault is never a bug of ours: it carries the action to take on the peer, and the code that tells the peer why.
"""

from __future__ import annotations

from enum import Enum, IntEnum


class StopCode(IntEnum):
    """Why a side ends the trade (field `code` of the `stop` message). Ordinary service goes on after a stop."""

    BYE = 0
    INSOLVENT = 1
    BAD_SIGNATURE = 2
    STALE_CHEQUE = 3
    PRICE_TOO_HIGH = 4
    UNKNOWN_RAIL = 5
    OVER_CREDIT = 6
    BELOW_RESERVE = 7
    ACCOUNTS_DIFFER = 8
    BUDGET = 9
    MALFORMED = 10
    CHAIN_UNAVAILABLE = 11
    EXPIRED = 12


class Action(Enum):
    """What a remote fault does to the peer, from mild to hard."""

    IGNORE = "ignore"
    STOP_TRADE = "stop trade"
    DISCONNECT = "disconnect"
    BAN = "ban"


class RemoteFaultError(Exception):
    """The peer broke the protocol or its word. `str()` is one line for the log and for the peer.

    `overcounted`: bytes that it charges for and we never got.
    """

    def __init__(self, text: str, *, action: Action, code: StopCode, overcounted: int = 0) -> None:
        super().__init__(text)
        self.action = action
        self.code = code
        self.overcounted = overcounted


class MessageError(RemoteFaultError):
    """A `btt_speed` message body that does not follow the specification."""

    def __init__(self, text: str) -> None:
        super().__init__(text, action=Action.DISCONNECT, code=StopCode.MALFORMED)
