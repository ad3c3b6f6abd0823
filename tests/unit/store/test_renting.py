"""What the port promises of a renter's records: they come back, vouchers only grow, evidence is kept sparingly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from node.ports.renting import AuditRecord, Rental, RenterStore, SentLabel, Stage, StoredObject
from node.ports.store import Account, ChainCursor, Line, utc_day
from node.storage.audit import Verdict
from node.storage.lifecycle import State
from node.storage.standing import Standing
from node.store import SqlStore, renting
from tests.unit.storage.samples import contract
from tests.unit.store.kit import NOW, RAIL, partner
from wallet.storage.books import MarketBooks
from wallet.storage.chain import Happened
from wallet.storage.events import Deposited, Ended, MarketEvent, Opened, Settled, Status
from wallet.storage_terms import Market

OBJECT = StoredObject(
    id="ab" * 8,
    rail=RAIL,
    stage=Stage.PLACING,
    path=Path("/some/where"),
    k=3,
    n=6,
    public=False,
    seconds=86_400,
    max_price=2**256 - 1,
    created=NOW,
    until=NOW + 1,
    auditor=partner(9),
    manifest=b"manifest",
    note="waits",
)
RENTAL = Rental(
    id=b"\x01" * 32,
    object=OBJECT.id,
    shard=2,
    rail=RAIL,
    terms=contract(),
    state=State.ACTIVE,
    url="https://host.example",
    network="4:c63301",
    peers=("192.0.2.1:6881", "[2001:db8::1]:6881"),
    download_price=2**128,
    renter_signature=b"r" * 65,
    host_signature=b"h" * 65,
    renews=b"\x02" * 32,
    vouched=3,
    voucher_signature=b"v" * 65,
    told=2,
    passed=3,
    missed=1,
    missed_epoch=2,
    convicted=True,
    dropped=True,
    leaves=NOW,
    relieve=True,
)


def audit(at: int, verdict: Verdict = Verdict.PASSED, contract: bytes = RENTAL.id) -> AuditRecord:
    return AuditRecord(contract=contract, epoch=1, verdict=verdict, at=at, reason="so", evidence=b"bundle %d" % at)


def test_the_adapter_implements_the_port(store: SqlStore) -> None:
    ports: tuple[RenterStore] = (store,)  # mypy looks at the signatures
    assert all(ports)


async def test_objects_and_rentals_come_back_as_they_were_saved(store: SqlStore) -> None:
    other = replace(OBJECT, id="cd" * 8, created=NOW - 1)
    await store.save_object(OBJECT)
    await store.save_object(other)
    await store.save_object(replace(OBJECT, stage=Stage.KEPT))
    assert await store.objects() == [other, replace(OBJECT, stage=Stage.KEPT)]
    first = replace(RENTAL, id=b"\x03" * 32, shard=0, object="")
    await store.save_rental(RENTAL)
    await store.save_rental(first)
    assert await store.rentals() == [first, RENTAL]
    assert await store.rentals(OBJECT.id) == [RENTAL]


async def test_a_voucher_is_never_lowered(store: SqlStore) -> None:
    await store.save_rental(RENTAL)
    await store.save_rental(replace(RENTAL, vouched=1, voucher_signature=b"w" * 65, told=3))
    assert await store.rentals() == [replace(RENTAL, told=3)]


async def test_of_audits_that_passed_only_the_latest_keeps_its_evidence(store: SqlStore) -> None:
    for record in (audit(1), audit(2, Verdict.WRONG), audit(3), audit(4, Verdict.SILENT)):
        await store.save_audit(record)
    kept = await store.audits(RENTAL.id)
    assert [(record.at, record.evidence) for record in kept] == [
        (1, b""), (2, b"bundle 2"), (3, b"bundle 3"), (4, b"bundle 4"),
    ]  # fmt: skip


async def test_an_object_goes_with_all_that_belongs_to_it(store: SqlStore) -> None:
    other = replace(RENTAL, id=b"\x03" * 32, object="")
    await store.save_object(OBJECT)
    for rental in (RENTAL, other):
        await store.save_rental(rental)
        await store.save_audit(audit(1, contract=rental.id))
    await store.remove_object(OBJECT.id)
    assert (await store.objects(), await store.rentals(), await store.audits(RENTAL.id)) == ([], [other], [])
    assert len(await store.audits(other.id)) == 1


async def test_a_label_that_a_host_confirmed_is_kept_for_known_contracts_only(store: SqlStore) -> None:
    label = SentLabel(RENTAL.id, OBJECT.id, 7, b"d" * 32)
    await store.save_label(label)
    assert await store.labels(OBJECT.id) == []
    await store.save_object(OBJECT)
    await store.save_rental(RENTAL)
    await store.save_label(label)
    await store.save_label(replace(label, number=8))
    assert await store.labels(OBJECT.id) == [replace(label, number=8)]
    await store.remove_object(OBJECT.id)
    assert await store.labels(OBJECT.id) == []


async def test_standings_of_hosts_are_remembered_up_to_a_bound(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renting, "MOST_KNOWN", 3)
    seen = [Standing(rail=RAIL, host=partner(number), kept=number, at=NOW + number) for number in range(5)]
    await store.save_standing(replace(seen[0], rail="other"))
    for standing in seen:
        await store.save_standing(standing)
    await store.save_standing(replace(seen[3], wrong=1))
    found = sorted(await store.standings(RAIL), key=lambda each: each.at)
    assert found == [seen[2], replace(seen[3], wrong=1), seen[4]], "who was not seen for longest is forgotten"
    assert len(await store.standings("other")) == 1


# --- what counts against the limits ---------------------------------------------------------------------------------

OWN = RENTAL.terms.renter
MARKET = Market(1029, partner(8))
BOOKS = MarketBooks(OWN, RAIL, bond=70)
ESCROW, PRICE = RENTAL.terms.escrow, RENTAL.terms.price_per_epoch
OFFER = replace(
    RENTAL, id=RENTAL.terms.digest(MARKET), state=State.OFFERED, vouched=0, voucher_signature=b"", dropped=False
)


async def book(store: SqlStore, block: int, *events: MarketEvent) -> bool:
    happened = [Happened(event, block, b"\x01" * 32, b"\x02" * 32) for event in events]
    cursor = ChainCursor("market", block, b"\x01" * 32)
    return await store.book_market(BOOKS, happened, first=block, cursor=cursor, now=NOW)


async def test_an_offer_counts_from_the_moment_it_is_durable_until_it_can_be_opened_no_more(store: SqlStore) -> None:
    await store.offer([OFFER], day=3)
    assert await store.committed(3) == (ESCROW, ESCROW)
    assert await store.committed(4) == (ESCROW, 0)
    await store.save_rental(replace(OFFER, dropped=True))
    assert await store.committed(3) == (ESCROW, ESCROW), "a host that declined still has our signature"
    await store.save_rental(replace(OFFER, dropped=True, state=State.LAPSED))
    assert await store.committed(3) == (0, 0)


async def test_what_comes_back_counts_no_more_and_what_was_spent_counts_for_ever(store: SqlStore) -> None:
    await store.save_object(OBJECT)
    await store.offer([OFFER], day=3)
    await book(store, 1, Opened(OFFER.id, OFFER.terms))
    assert await store.committed(3) == (ESCROW, ESCROW)
    await book(store, 2, Settled(OFFER.id, OFFER.terms.payee, 2, 2, 2 * PRICE))
    await book(store, 3, Ended(OFFER.id, Status.CANCELLED, ESCROW - 2 * PRICE, 0))
    await store.remove_object(OBJECT.id)
    assert await store.rentals() == []
    assert await store.committed(3) == (2 * PRICE, 2 * PRICE)


async def test_a_contract_that_another_installation_opened_counts_too(store: SqlStore) -> None:
    await book(store, 1, Opened(OFFER.id, OFFER.terms))
    assert await store.committed(utc_day(OFFER.terms.start)) == (ESCROW, ESCROW)
    assert await store.committed(utc_day(OFFER.terms.start) + 1) == (ESCROW, 0), "history read anew is not of today"
    assert (await store.balances())[Line(RAIL, "", Account.LOCKED)] == ESCROW


async def test_blocks_are_booked_in_order_and_once(store: SqlStore) -> None:
    deposit = Deposited(OWN, OWN, 100)
    assert await book(store, 1, deposit)
    assert not await book(store, 1, deposit)
    assert not await book(store, 3, deposit), "block 2 was never read"
    assert await book(store, 2, deposit)
    assert (await store.balances())[Line(RAIL, "", Account.MARKET)] == 200
