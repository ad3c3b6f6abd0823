"""Terms: what a host asks, what a contract costs by it, and why an offer is refused.

A host publishes a price table, signed (EIP-712, in the market's domain) and with an expiry; until then it accepts what
the table says, as long as it has the space. Prices are token units per GiB (2^30 bytes) and day of storage, and per MiB
of transfer. The market knows one price per epoch, so what a contract makes the host move is part of it. Each term is
rounded up, once:

    price per epoch = storage + upload + audits
    storage         = ⌈length x storage price x epoch length / (GiB x 86,400)⌉
    upload          = ⌈length x upload price / (MiB x epochs)⌉       none where the host has the shard: a renewal
    audits          = ⌈audited bytes x download price / MiB⌉
    audited bytes   = askers x AUDITS_PER_EPOCH x regular sample x (block + path)
    escrow          = epochs x price per epoch
    collateral      = ⌈escrow x collateral percent / 100⌉

so a contract never pays less than the table, and many short epochs cost at most three units per epoch more than few
long ones. Nobody trusts anybody for it: the money is locked before the shard moves, and is earned epoch by epoch, by
voucher or by proof. A host therefore answers the audits that an epoch's price includes, some more so that an answer
lost on its way costs no epoch, and no others: who wants to ask more often has the bonded challenge on chain. Collateral
is the host's: the table says how much it puts in, and an offer may not ask for more.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.storage.audit import audit_price, regular_sample
from node.storage.errors import TermsError
from wallet.address import Address
from wallet.amount import GIB, MAX_AMOUNT, MAX_SIZE, MIB
from wallet.digests import typed_digest, word
from wallet.errors import ChequeError
from wallet.keys import keccak256
from wallet.storage_terms import BLOCK, MAX_EPOCHS, NOBODY, Market, StorageContract

DAY = 86_400
PRICE_TABLE_TYPE = keccak256(
    b"PriceTable(address host,address payee,uint256 storagePrice,uint256 uploadPrice,uint256 downloadPrice,"
    b"uint32 collateralPercent,uint32 epochLength,uint32 minEpochs,uint32 maxEpochs,uint64 free,uint64 until)"
)
MAX_VALIDITY = 7 * DAY
"""Of a table: prices are quoted for days, not for ever."""
MAX_COLLATERAL_PERCENT = 10_000
MAX_LEAD = 30 * DAY
"""An offer may start this much later than now: space and collateral are reserved from the signature on."""
MIN_LEAD = 60
"""The market opens a contract only before it starts, so an offer needs the time for a transaction."""
GRACE = 300
"""Seconds by which two honest clocks may differ."""
AUDITS_PER_EPOCH = 2
"""That the price includes for each who may ask: the regular one, and one when somebody wants to know."""
UNPAID_AUDITS = 2
"""That a host answers on top: their answers may have been lost on the way, which is nobody's fault."""


@dataclass(frozen=True, slots=True)
class PriceTable:
    """A host's terms.

    `storage_price`: units per GiB and day; `upload_price` (renter to host) and `download_price`: units per MiB;
    `collateral_percent`: of the escrow; `epoch_length`: seconds; `free`: bytes it has left to rent; `until`: Unix
    seconds when the table expires.
    """

    host: Address
    payee: Address
    storage_price: int
    upload_price: int
    download_price: int
    collateral_percent: int
    epoch_length: int
    min_epochs: int
    max_epochs: int
    free: int
    until: int

    def digest(self, market: Market) -> bytes:
        """What the host signs, and announces in `HostRegistry` as the table in force.

        Call after `validate`: values out of range raise `OverflowError`.
        """
        fields: tuple[int | Address, ...] = (
            self.host, self.payee, self.storage_price, self.upload_price, self.download_price, self.collateral_percent,
            self.epoch_length, self.min_epochs, self.max_epochs, self.free, self.until,
        )  # fmt: skip
        return typed_digest(market.separator, PRICE_TABLE_TYPE, *map(word, fields))

    def validate(self, now: int) -> None:
        """Raises `TermsError` with the first reason not to use this table at Unix second `now`."""
        uint32 = 2**32 - 1
        for name, least, most in (
            ("storage_price", 0, MAX_AMOUNT),
            ("upload_price", 0, MAX_AMOUNT),
            ("download_price", 0, MAX_AMOUNT),
            ("collateral_percent", 0, MAX_COLLATERAL_PERCENT),
            ("epoch_length", 1, uint32),
            ("min_epochs", 1, MAX_EPOCHS),
            ("max_epochs", 1, MAX_EPOCHS),
            ("free", 0, MAX_SIZE),
            ("until", 0, MAX_SIZE),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise TermsError(f"price table: {name} is {value}, out of {least} to {most}")
        if self.min_epochs > self.max_epochs:
            raise TermsError(f"price table: its shortest term ({self.min_epochs}) is above its longest")
        if NOBODY in (self.host, self.payee):
            raise TermsError("price table: host and payee must be accounts")
        if self.until <= now:
            raise TermsError(f"price table: expired {now - self.until} s ago, ask the host for a new one")
        if self.until > now + MAX_VALIDITY + GRACE:
            raise TermsError(f"price table: valid for {self.until - now} s, at most {MAX_VALIDITY} are accepted")


def storage_fee(length: int, storage_price: int, epoch_length: int) -> int:
    """Units for keeping `length` bytes over one epoch, rounded up."""
    return -(-length * storage_price * epoch_length // (GIB * DAY))


def upload_fee(length: int, upload_price: int, epochs: int) -> int:
    """Units that each of `epochs` epochs bears of taking `length` bytes in, rounded up."""
    return -(-length * upload_price // (MIB * epochs))


def audit_fee(length: int, download_price: int, askers: int) -> int:
    """Units for the audits of one epoch, rounded up. `askers`: how many accounts may ask."""
    return audit_price(-(-length // BLOCK), askers * audited_blocks(length), download_price)


def audited_blocks(length: int) -> int:
    """Blocks of `length` bytes that the price of an epoch includes for each who may ask."""
    return AUDITS_PER_EPOCH * regular_sample(-(-length // BLOCK))


def answered_blocks(length: int) -> int:
    """Blocks that a host shows each who may ask within an epoch; no more."""
    return (AUDITS_PER_EPOCH + UNPAID_AUDITS) * regular_sample(-(-length // BLOCK))


def askers_of(renter: Address, auditor: Address) -> int:
    """How many accounts may audit."""
    return 1 if auditor in (NOBODY, renter) else 2


def price_per_epoch(table: PriceTable, length: int, epochs: int, *, askers: int = 1, uploaded: bool = True) -> int:
    """Units for all that a contract of `epochs` epochs makes the host do in one; `uploaded`: it has to take it in."""
    return (
        storage_fee(length, table.storage_price, table.epoch_length)
        + (upload_fee(length, table.upload_price, epochs) if uploaded else 0)
        + audit_fee(length, table.download_price, askers)
    )


def within(price: int, length: int, epoch_length: int, max_price: int) -> bool:
    """Whether a price per epoch is at most `max_price` units per GiB and day, all in, and rounded as hosts round."""
    return price <= storage_fee(length, max_price, epoch_length)


def daily_rate(price: int, length: int, epoch_length: int) -> int:
    """A price per epoch as units per GiB and day, all in, rounded up: for people."""
    return -(-price * GIB * DAY // (length * epoch_length))


def collateral_for(escrow: int, percent: int) -> int:
    """Units, rounded up."""
    return -(-escrow * percent // 100)


def epochs_for(seconds: int, epoch_length: int) -> int:
    """Epochs that cover a term, rounded up; at least one."""
    return max(1, -(-seconds // epoch_length))


@dataclass(frozen=True, slots=True)
class Wish:
    """What a renter wants kept: the shard, from when and how long, and who may audit it for the renter.

    `uploaded`: the host has to take the shard in; False for a renewal.
    """

    root: bytes
    length: int
    renter: Address
    start: int
    epochs: int
    nonce: int
    auditor: Address = NOBODY
    uploaded: bool = True


def offer(table: PriceTable, wish: Wish) -> StorageContract:
    """The contract that gives the renter its wish at the table's price.

    Raises `TermsError` when no market would open it: an empty shard, no epoch, more than five years, an absurd amount.
    """
    if wish.length < 1 or wish.epochs < 1:
        raise TermsError(f"storage contract: nothing to keep: length {wish.length}, {wish.epochs} epochs")
    askers = askers_of(wish.renter, wish.auditor)
    price = price_per_epoch(table, wish.length, wish.epochs, askers=askers, uploaded=wish.uploaded)
    try:
        return StorageContract(
            root=wish.root,
            length=wish.length,
            renter=wish.renter,
            host=table.host,
            payee=table.payee,
            auditor=wish.auditor,
            start=wish.start,
            epochs=wish.epochs,
            epoch_length=table.epoch_length,
            price_per_epoch=price,
            collateral=collateral_for(wish.epochs * price, table.collateral_percent),
            nonce=wish.nonce,
        )
    except ChequeError as error:
        raise TermsError(str(error)) from error


def validate_offer(contract: StorageContract, table: PriceTable, now: int, *, renews: int | None = None) -> None:
    """Raises `TermsError` with the first reason why the host of `table` must not sign `contract`.

    `renews`: the end of the contract on the same root that this one follows; its space is taken already.
    """
    table.validate(now)
    askers = askers_of(contract.renter, contract.auditor)
    price = price_per_epoch(table, contract.length, contract.epochs, askers=askers, uploaded=renews is None)
    collateral = collateral_for(contract.escrow, table.collateral_percent)
    late = f"it starts at {contract.start}, and now is {now}"
    reasons = (
        (contract.host != table.host, f"it names another host, {contract.host}"),
        (contract.payee != table.payee, f"it pays {contract.payee} instead of {table.payee}"),
        (contract.renter == contract.host, "renter and host are the same account"),
        (contract.renter == NOBODY, "it has no renter"),
        (contract.auditor == contract.host, "the host would audit itself"),
        (contract.epoch_length != table.epoch_length, f"an epoch lasts {table.epoch_length} s here"),
        (contract.epochs < table.min_epochs, f"{contract.epochs} epochs, and at least {table.min_epochs} are accepted"),
        (contract.epochs > table.max_epochs, f"{contract.epochs} epochs, and at most {table.max_epochs} are accepted"),
        (contract.price_per_epoch < price, f"it pays {contract.price_per_epoch} per epoch, the table asks for {price}"),
        (contract.collateral > collateral, f"it asks for a collateral of {contract.collateral}, not {collateral}"),
        (renews is None and contract.length > table.free, f"{contract.length} bytes, and {table.free} are free"),
        (contract.start < now + MIN_LEAD, f"{late}: too late to open it"),
        (renews is None and contract.start > now + MAX_LEAD, f"{late}: too early"),
        (renews is not None and contract.start != renews, f"a renewal starts at {renews}, when its contract ends"),
    )
    for wrong, reason in reasons:
        if wrong:
            raise TermsError(f"storage contract: {reason}")
