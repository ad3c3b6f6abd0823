"""Terms: what a host asks, what a contract costs by it, and why an offer is refused.

A host publishes a price table, signed (EIP-712, in the market's domain) and with an expiry; until then it accepts what
the table says, as long as it has the space. Prices are token units per GiB (2^30 bytes) and day of storage, and per MiB
of transfer. Amounts are rounded up, once each:

    price per epoch = ⌈length x price x epoch length / (GiB x 86,400)⌉
    escrow          = epochs x price per epoch
    collateral      = ⌈escrow x collateral percent / 100⌉

so a contract never pays less than the table, and many short epochs cost at most one unit per epoch more than few long
ones. Collateral is the host's: the table says how much it puts in, and an offer may not ask for more.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.storage.errors import TermsError
from wallet.address import Address
from wallet.amount import GIB, MAX_AMOUNT, MAX_SIZE
from wallet.digests import typed_digest, word
from wallet.errors import ChequeError
from wallet.keys import keccak256
from wallet.storage_terms import MAX_EPOCHS, NOBODY, Market, StorageContract

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


def price_per_epoch(length: int, storage_price: int, epoch_length: int) -> int:
    """Units for `length` bytes over one epoch, rounded up."""
    return -(-length * storage_price * epoch_length // (GIB * DAY))


def collateral_for(escrow: int, percent: int) -> int:
    """Units, rounded up."""
    return -(-escrow * percent // 100)


def epochs_for(seconds: int, epoch_length: int) -> int:
    """Epochs that cover a term, rounded up; at least one."""
    return max(1, -(-seconds // epoch_length))


@dataclass(frozen=True, slots=True)
class Wish:
    """What a renter wants kept: the shard, from when and how long, and who may audit it for the renter."""

    root: bytes
    length: int
    renter: Address
    start: int
    epochs: int
    nonce: int
    auditor: Address = NOBODY


def offer(table: PriceTable, wish: Wish) -> StorageContract:
    """The contract that gives the renter its wish at the table's price.

    Raises `TermsError` when no market would open it: an empty shard, no epoch, more than five years, an absurd amount.
    """
    price = price_per_epoch(wish.length, table.storage_price, table.epoch_length)
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
    price = price_per_epoch(contract.length, table.storage_price, table.epoch_length)
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
