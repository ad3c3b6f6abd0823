"""The storage demo's promise: a wrong figure anywhere makes it fail."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from node.demo.storage_books import HostBooks, LeaseBooks, MarketLog, StorageBooks
from wallet.address import Address
from wallet.storage.events import Answered, Deposited, Ended, MarketEvent, Opened, Proved, Settled, Status
from wallet.storage_terms import NOBODY, StorageContract

RENTER, SOUND, LOST = (Address(bytes([number]) * 20) for number in (1, 2, 3))
PRICE, COLLATERAL, BOND = 100, 250, 7


def terms(host: Address) -> StorageContract:
    return StorageContract(
        root=bytes(32),
        length=1,
        renter=RENTER,
        host=host,
        payee=host,
        auditor=NOBODY,
        start=1000,
        epochs=4,
        epoch_length=100,
        price_per_epoch=PRICE,
        collateral=COLLATERAL,
        nonce=0,
    )


WELL, BADLY = b"w" * 32, b"b" * 32
EVENTS: list[MarketEvent] = [
    Deposited(RENTER, RENTER, 500),
    Deposited(RENTER, SOUND, 400),
    Deposited(SOUND, SOUND, 1000),
    Deposited(LOST, LOST, 1000),
    Opened(WELL, terms(SOUND)),
    Opened(BADLY, terms(LOST)),
    Settled(BADLY, LOST, 1, 1, PRICE),
    Answered(WELL, SOUND, 0, BOND),
    Proved(WELL, SOUND, 0, 0, PRICE),
    Ended(BADLY, Status.FAILED, 3 * PRICE + COLLATERAL, 0),
    Settled(WELL, SOUND, 4, 3, 3 * PRICE),
    Ended(WELL, Status.COMPLETED, 0, COLLATERAL),
]

GOOD = StorageBooks(
    file_sha256="ab" * 32,
    restored_sha256="ab" * 32,
    wallet_before=2000,
    wallet_after=1100,
    put_in=900,
    balance=900 - 4 * PRICE - BOND - PRICE + COLLATERAL,
    market_tokens=2900,
    leases=(
        LeaseBooks(
            name="well",
            escrow=4 * PRICE,
            collateral=COLLATERAL,
            paid=4 * PRICE,
            to_renter=0,
            to_host=COLLATERAL,
            ended_well=True,
            says_paid=4 * PRICE,
            says_state="completed",
        ),
        LeaseBooks(
            name="badly",
            escrow=4 * PRICE,
            collateral=COLLATERAL,
            paid=PRICE,
            to_renter=3 * PRICE + COLLATERAL,
            to_host=0,
            ended_well=False,
            says_paid=2 * PRICE,  # the second voucher came too late
            says_state="failed",
        ),
    ),
    hosts=(
        HostBooks(
            name="sound",
            put_in=1000,
            paid=4 * PRICE,
            bonds=BOND,
            lost=0,
            balance=1000 + 4 * PRICE + BOND,
            says_paid=4 * PRICE,
            says_bonds=BOND,
            says_lost=0,
        ),
        HostBooks(
            name="lost",
            put_in=1000,
            paid=PRICE,
            bonds=0,
            lost=COLLATERAL,
            balance=1000 + PRICE - COLLATERAL,
            says_paid=PRICE,
            says_bonds=0,
            says_lost=COLLATERAL,
        ),
    ),
)


def amounts(kind: type) -> list[str]:
    return [each.name for each in fields(kind) if each.type == "int"]


def test_books_that_agree_have_no_faults() -> None:
    assert GOOD.faults() == []
    assert (GOOD.paid, GOOD.lost) == (5 * PRICE, COLLATERAL)


@pytest.mark.parametrize("by", [1, -1])
@pytest.mark.parametrize("name", amounts(StorageBooks))
def test_one_unit_off_in_any_figure_is_a_fault(name: str, by: int) -> None:
    assert replace(GOOD, **{name: getattr(GOOD, name) + by}).faults()


@pytest.mark.parametrize("by", [1, -1])
@pytest.mark.parametrize("name", amounts(HostBooks))
@pytest.mark.parametrize("which", [0, 1])
def test_one_unit_off_at_any_host_is_a_fault(name: str, by: int, which: int) -> None:
    hosts = list(GOOD.hosts)
    hosts[which] = replace(hosts[which], **{name: getattr(hosts[which], name) + by})
    assert replace(GOOD, hosts=tuple(hosts)).faults()


@pytest.mark.parametrize("by", [1, -1])
@pytest.mark.parametrize("name", amounts(LeaseBooks))
def test_one_unit_off_in_a_contract_is_a_fault(name: str, by: int) -> None:
    lease = GOOD.leases[0]
    assert replace(GOOD, leases=(replace(lease, **{name: getattr(lease, name) + by}), GOOD.leases[1])).faults()


def test_a_failed_contract_may_void_vouchers_but_not_pay_more_than_them() -> None:
    assert replace(GOOD, leases=(GOOD.leases[0], replace(GOOD.leases[1], says_paid=PRICE))).faults() == []
    assert replace(GOOD, leases=(GOOD.leases[0], replace(GOOD.leases[1], says_paid=PRICE - 1))).faults()


def test_a_contract_that_only_one_side_calls_completed_is_a_fault() -> None:
    well, badly = GOOD.leases
    assert replace(GOOD, leases=(replace(well, says_state="active"), badly)).faults()
    assert replace(GOOD, leases=(well, replace(badly, says_state="completed"))).faults()


def test_a_restored_file_that_differs_is_a_fault() -> None:
    assert replace(GOOD, restored_sha256="cd" * 32).faults()


def test_a_contract_that_is_missing_from_the_books_is_a_fault() -> None:
    assert replace(GOOD, leases=GOOD.leases[:1]).faults()


def test_the_log_says_what_each_contract_brought() -> None:
    log = MarketLog.read(EVENTS)
    assert log.put_in == {RENTER: 900, SOUND: 1000, LOST: 1000}
    (well,), (badly,) = log.of(SOUND), log.of(LOST)
    assert (well.paid, well.bonds, well.lost, well.to_host) == (4 * PRICE, BOND, 0, COLLATERAL)
    assert (badly.paid, badly.bonds, badly.lost, badly.to_renter) == (PRICE, 0, COLLATERAL, 3 * PRICE + COLLATERAL)


def test_a_contract_that_runs_has_lost_nothing_and_released_nothing() -> None:
    (lease,) = MarketLog.read([Opened(WELL, terms(SOUND))]).of(SOUND)
    assert (lease.status, lease.paid, lease.lost, lease.to_host) == (Status.ACTIVE, 0, 0, 0)
