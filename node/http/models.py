"""What the API takes and gives. Amounts travel as decimal strings: JSON numbers lose digits in many readers."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer


def _digits(value: object) -> object:
    """Whole numbers only: neither 1.0 nor "1.0" nor true is an amount."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 78:
        return int(value)
    if type(value) is not int:
        raise ValueError("expected a whole number of units, in quotes")
    return value


def _text(value: str) -> str:
    """JSON can hold what no file name, address or link can: a zero, half a surrogate pair."""
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("the text has characters that are not text")
    return value


def _absolute(value: str) -> str:
    if not Path(value).is_absolute():
        raise ValueError("expected an absolute path: the node's working folder is not the caller's")
    return value


def _host(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("expected an IP address") from None


Units = Annotated[
    int, BeforeValidator(_digits), PlainSerializer(str, return_type=str), Field(strict=True, ge=0, lt=2**256)
]
"""Token units; a decimal string on the wire."""
Text = Annotated[str, AfterValidator(_text)]
Folder = Annotated[Text, AfterValidator(_absolute)]
Host = Annotated[str, AfterValidator(_host)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Strategy = Literal["highest", "whitepaper", "deadline", "cheapest", "off"]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TermsBody(Model):
    """What a torrent may cost, and how to bid. `max_price` in units per MiB; `rate` in bytes per second that bids ask
    for, 0: as much as there is; `deadline` in Unix seconds, for the strategy of that name."""

    max_price: Units | None = None
    budget: Units | None = None
    rate: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = 0
    strategy: Strategy | None = None
    deadline: Annotated[int, Field(strict=True, ge=0, lt=2**40)] | None = None


class AddBody(TermsBody):
    """Exactly one of `torrent` (base64) and `magnet`."""

    torrent: str | None = None
    magnet: Text | None = None
    save_path: Folder | None = None
    paused: bool = False
    seed: bool = False
    peers: list[tuple[Host, Port]] = Field(default_factory=list, max_length=1000)


class ConnectBody(Model):
    host: Host
    port: Port


class RailBody(Model):
    """`rail`: the network's name; may be left out where only one is configured."""

    rail: str | None = None


class QuotedBody(RailBody):
    """`dry_run`: only say what it would cost. `max_fee` in the native coin's units."""

    dry_run: bool = False
    max_fee: Units | None = None


class AmountBody(RailBody):
    amount: Units


class SendBody(QuotedBody):
    """`amount` as people write it: "12.5" of the asset, "12.5 BTT", or "100 units"."""

    asset: Annotated[str, Field(min_length=1, max_length=16)]
    to: Annotated[str, Field(max_length=64)]
    amount: Annotated[str, Field(max_length=100)]


class CancelBody(RailBody):
    """`transaction`: its id, or the beginning of it."""

    transaction: Annotated[str, Field(min_length=4, max_length=128)]


class WrapBody(QuotedBody):
    amount: Annotated[str, Field(max_length=100)]
    unwrap: bool = False


class KeyBody(QuotedBody):
    key: Annotated[str, Field(max_length=64)]


class AuthoriseBody(KeyBody):
    """`cap`: what the key may move of the deposit in all, in units of the rail's token."""

    cap: Units


class SettleBody(RailBody):
    """Without a rail: all of them."""

    dry_run: bool = False


class Torrent(Model):
    id: str
    name: str
    state: str
    progress: float
    total_bytes: int
    done_bytes: int
    download_rate: int
    upload_rate: int
    downloaded: int
    uploaded: int
    peers: int
    seeds: int
    save_path: str
    error: str
    max_price: Units | None
    budget: Units | None
    rate: int
    strategy: str
    deadline: int | None
    spent: Units
    due: Units
    """Owed for this torrent and not yet signed."""
    netted: Units
    """Cancels out with what its sellers owe us, since the node started: never paid."""
    settled: bool
    """Nothing is owed to any seller of this torrent that is not paid and acknowledged."""


class Peer(Model):
    id: int
    torrent: str
    host: str
    port: int
    client: str
    speaks_btt: bool
    choked_by_us: bool
    choked_by_peer: bool
    interested: bool
    seed: bool
    progress: float
    upload_rate: int
    download_rate: int
    sent: int
    received: int
    selling: str
    """How far our selling to this peer is, or ""."""
    buying: str
    granted: int
    """Bytes per second that the latest round of our auction gives it; 0: served from the free share."""
    price_sold: Units
    price_bought: Units
    earned: Units
    """On this connection."""
    owed: Units
    reason: str
    """Why it earns or pays nothing, in words."""


class MarketRound(Model):
    """The latest round of our auction. Rates in bytes per second; `capacity` 0: there is no upload limit, so nothing is
    scarce and nothing is auctioned. `measured`: the capacity is what the line has shown, not a setting."""

    rule: str
    round: int
    capacity: int
    measured: bool
    for_sale: int
    sold: int
    clearing: Units
    reserve: Units
    round_ms: float
    """What the round's decisions took, all bids to all prices and policies."""


class Account(Model):
    """One counterparty on one rail. `role` payer: they pay us; payee: we pay them."""

    rail: str
    role: str
    address: str
    bytes: int
    """Moved at a price."""
    metered: Units
    """What the seller counts as earned, or what the buyer acknowledges to owe."""
    cheques: Units
    """The highest cheque."""
    acknowledged: Units
    cashed: Units
    unpaid: Units
    netted: Units
    """Neither in cheques nor `unpaid`: the other side owes as much."""


class Status(Model):
    version: str
    address: str
    rails: list[str]
    listen_port: int
    sells: bool
    reserve_price: Units
    buys: bool
    max_price: Units
    deposit_free: Units | None
    """Our deposit that no cheque claims; null: the chain has not answered yet."""
    chain_fault: str | None
    faults: list[str]
    download_rate: int
    upload_rate: int
    torrents: list[Torrent]


class AssetLine(Model):
    symbol: str
    decimals: int
    kind: str
    contract: str
    amount: Units


class RailWallet(Model):
    """One rail. Amounts that the chain did not tell are null, and `fault` says why."""

    rail: str
    label: str
    chain: str
    address: str
    """As this network writes it."""
    vault: str
    token: str
    token_decimals: int
    assets: list[AssetLine]
    deposit: Units | None
    deposit_free: Units | None
    """What no cheque of ours has claimed."""
    locked: Units | None
    notice: Units | None
    notice_until: int | None
    cheques_given: Units
    cheques_held: Units
    """Received and not cashed yet."""
    fault: str


class Wallet(Model):
    address: str
    tron: str
    rails: list[RailWallet]
    spent_total: Units
    spent_today: Units


class HistoryLine(Model):
    time: int | None
    kind: str
    text: str
    state: str
    block: int | None
    transaction: str
    fee: Units | None
    link: str
    reason: str


class LimitLine(Model):
    """A limit by its setting; `limit` null: none is set. `used` null: it is not counted over time."""

    setting: str
    limit: Units | None
    used: Units | None
    symbol: str = "BTT"
    decimals: int = 18


class Quote(Model):
    """What a transaction would do and cost at most. `work`: gas or energy."""

    rail: str
    label: str
    text: str
    fee: Units
    fee_symbol: str
    fee_decimals: int
    work: int
    symbol: str
    decimals: int
    amount: Units
    balance: Units


class TransactionResult(Model):
    rail: str
    hash: str
    ok: bool
    fee: Units
    fee_symbol: str
    fee_decimals: int
    text: str
    link: str


class EarningsLine(Model):
    """`received` by cheque in all: the four others together."""

    received: Units
    pending: Units
    cashed: Units
    """In a block, not final yet."""
    final: Units
    bounced: Units


class PayerEarnings(EarningsLine):
    payer: str
    bounced_at: int | None


class RailEarnings(EarningsLine):
    rail: str
    payers: list[PayerEarnings]


class PayoutLine(Model):
    """What a final receipt says of one cheque."""

    rail: str
    payer: str
    amount: Units
    bounced: Units
    fee: Units
    fee_symbol: str
    fee_decimals: int
    block: int
    transaction: str
    time: int
    link: str


class Payouts(Model):
    """`before`: ask with this for the next page; null: there is none."""

    payouts: list[PayoutLine]
    before: int | None


class PlannedCheque(Model):
    """A cheque we hold. `payout`: what cashing it now would bring; `bounces`: what is not covered."""

    payer: str
    cumulative: Units
    uncashed: Units
    payout: Units
    bounces: Units
    notice: Units
    """What its payer wants to withdraw."""
    note: str
    """Why it is held back."""


class SettleLine(Model):
    """What cashing on one rail does, or would do. `fee_value`: the fee in settlement tokens, null without a rate."""

    rail: str
    label: str
    cheques: list[PlannedCheque]
    held_back: list[PlannedCheque]
    symbol: str
    decimals: int
    value: Units
    bounces: Units
    fee: Units
    fee_symbol: str
    fee_decimals: int
    fee_value: Units | None
    fee_share: float | None
    worth_it: bool
    why: list[str]
    transactions: list[TransactionResult]


class Settled(Model):
    rails: list[SettleLine]


class BtfsReceiveBody(RailBody):
    """`cheque`: the JSON that BTFS peers exchange, as text."""

    cheque: Annotated[str, Field(min_length=1, max_length=4096)]


class BtfsCashBody(QuotedBody):
    """Without a vault: all of them. `max_fee`: of all transactions together."""

    vault: Annotated[str, Field(max_length=64)] | None = None


class BtfsIssueBody(RailBody):
    """`amount` as people write it. Without a token: WBTT."""

    vault: Annotated[str, Field(max_length=64)]
    beneficiary: Annotated[str, Field(max_length=64)]
    amount: Annotated[str, Field(max_length=100)]
    token: Annotated[str, Field(max_length=64)] | None = None


class BtfsReceived(Model):
    """A BTFS cheque that counts now. `gain`: what it adds to all earlier ones."""

    rail: str
    vault: str
    gain: Units
    symbol: str
    decimals: int


class BtfsIssued(Model):
    """`cheque`: the JSON to give to the beneficiary."""

    rail: str
    cheque: str


class BtfsCheque(Model):
    """The latest cheque of a vault, beneficiary and token. `role` payer: they pay us; payee: we pay them."""

    rail: str
    role: str
    vault: str
    beneficiary: str
    symbol: str
    decimals: int
    cumulative: Units
    cashed: Units
    """What it has brought us, by final receipts."""
    time: int
    cheque: str


class BtfsCashLine(Model):
    """A cheque that its vault has not paid in full. `payout`: what cashing it would bring; `paid`: what it brought."""

    vault: str
    symbol: str
    decimals: int
    due: Units
    payout: Units
    fee: Units | None
    """At most; null where the transaction would fail."""
    note: str
    paid: Units | None = None
    transaction: TransactionResult | None = None


class BtfsCashing(Model):
    rail: str
    label: str
    cheques: list[BtfsCashLine]
    fee: Units
    fee_symbol: str
    fee_decimals: int
