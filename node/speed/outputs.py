"""What a session asks its shell to do. Plain data; the shell carries it out in order.

Whatever touches money comes as `Store…` or `Issue…` first: the shell makes it durable and tells the session, and only
then does the session let anything leave the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from node.speed.errors import StopCode
from node.speed.messages import Ask, Bid, Message, Net


class Service(Enum):
    """How the engine should serve a peer."""

    FREE = "free"
    PRICED = "priced"


@dataclass(frozen=True, slots=True)
class Send:
    """Put a message into the stream. `tag` comes back with the mark it landed on; 0 = the mark does not matter."""

    message: Message
    tag: int = 0


@dataclass(frozen=True, slots=True)
class SetService:
    """Change the peer's class of service."""

    service: Service


@dataclass(frozen=True, slots=True)
class SetAllowance:
    """Serve nothing beyond this mark; None = no bound."""

    mark: int | None


@dataclass(frozen=True, slots=True)
class CheckCoverage:
    """Look up what the payer's vault covers, then call `SellerSession.coverage_known` or `coverage_failed`."""

    bid: Bid


@dataclass(frozen=True, slots=True)
class StoreCheque:
    """A valid, higher cheque came: make it durable, then call `SellerSession.cheque_stored`."""

    rail: str
    cumulative: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class AskReceived:
    """The seller's terms are here: decide whether to `BuyerSession.bid`."""

    ask: Ask


@dataclass(frozen=True, slots=True)
class IssueCheque:
    """Sign a cheque to this cumulative amount, make it durable, then call `BuyerSession.cheque_issued`."""

    rail: str
    cumulative: int
    amount: int
    """How much it grows by."""


@dataclass(frozen=True, slots=True)
class MakePledge:
    """Make durable what both sides owe by our books, then send the pledge, which rests on it."""

    net: Net


@dataclass(frozen=True, slots=True)
class RaiseFloor:
    """The payee showed our own signature over a higher cheque than we remember: store it before anything else."""

    rail: str
    cumulative: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class Notice:
    """One line for the log and the user: why this peer earns or pays nothing, or what it did wrong."""

    code: StopCode
    text: str
    by_peer: bool


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection; `ban`: and refuse this peer from now on."""

    reason: str
    ban: bool = False


Output = (
    Send
    | SetService
    | SetAllowance
    | CheckCoverage
    | StoreCheque
    | AskReceived
    | IssueCheque
    | MakePledge
    | RaiseFloor
    | Notice
    | Disconnect
)
