"""What each call of the renter's store port does to the records of one transaction.

Vouchers only grow, whatever else is saved meanwhile. A signed voucher is money that has left, so its loss must be
noticed when an old backup is restored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from node.ports.renting import MOST_KNOWN, AuditRecord, Rental, SentLabel
from node.storage.audit import Verdict
from node.storage.lifecycle import State
from node.storage.standing import Standing
from node.store import storagebooks
from node.store.mapping import LatestAudit
from node.store.unit import Unit


def save_rental(unit: Unit, rental: Rental) -> None:
    stored = unit.rentals.get(rental.id)
    vouched = 0 if stored is None else stored.vouched
    if stored is not None and rental.vouched < vouched:
        rental = replace(rental, vouched=vouched, voucher_signature=stored.voucher_signature)
    unit.rentals.put(rental)
    if rental.state is State.LAPSED:
        storagebooks.release(unit, rental.id)
    # The first record is a signed offer: it can lock money.
    unit.moved_money = unit.moved_money or stored is None or rental.vouched > vouched


def offer(unit: Unit, rentals: Sequence[Rental], day: int) -> None:
    for rental in rentals:
        save_rental(unit, rental)
        storagebooks.promise(unit, rental.id, rental.rail, rental.terms, day)


def save_audit(unit: Unit, audit: AuditRecord) -> None:
    if audit.verdict is Verdict.PASSED and audit.evidence:
        unit.latest_audits.put(LatestAudit(audit.contract, audit.epoch, audit.at, audit.evidence))
        audit = replace(audit, evidence=b"")
    unit.audits.put(audit)


def save_label(unit: Unit, label: SentLabel) -> None:
    if unit.rentals.get(label.contract) is not None:
        unit.sent_labels.put(label)


def with_evidence(audit: AuditRecord, latest: LatestAudit | None) -> AuditRecord:
    """An audit as the port gives it back."""
    if latest is None or audit.verdict is not Verdict.PASSED or (latest.epoch, latest.at) != (audit.epoch, audit.at):
        return audit
    return replace(audit, evidence=latest.evidence)


def save_standing(unit: Unit, standing: Standing) -> None:
    if unit.known_hosts.get(standing.rail, standing.host) is None:
        known = [other for other in unit.known_hosts.all() if other.rail == standing.rail]
        for other in sorted(known, key=lambda each: each.at)[: max(0, len(known) + 1 - MOST_KNOWN)]:
            unit.known_hosts.remove(other.rail, other.host)
    unit.known_hosts.put(standing)


def remove_object(unit: Unit, object_id: str) -> None:
    gone = {rental.id for rental in unit.rentals.all() if rental.object == object_id}
    for audit in unit.audits.all():
        if audit.contract in gone:
            unit.audits.remove(audit.contract, audit.epoch, audit.at)
    for contract in gone:
        unit.latest_audits.remove(contract)
        unit.sent_labels.remove(contract)
        unit.rentals.remove(contract)
    unit.stored_objects.remove(object_id)
