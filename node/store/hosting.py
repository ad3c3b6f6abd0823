"""What each call of the storage port does to a host's contracts in one transaction.

Vouchers, paid epochs and bonds only grow, whatever else is saved meanwhile. They are figures for the owner and for what
is to be done; the journal follows the market's log (`node.store.storagebooks`).
"""

from __future__ import annotations

from dataclasses import replace

from node.ports.storage import Bond, HostedContract, KeptLabel
from node.store.mapping import Receipt
from node.store.unit import Unit
from wallet.errors import StaleChequeError
from wallet.storage_terms import Voucher


def save_hosted(unit: Unit, contract: HostedContract) -> None:
    stored = unit.hosted.get(contract.id)
    if stored is not None:
        contract = replace(
            contract,
            voucher=stored.voucher,
            voucher_signature=stored.voucher_signature,
            voucher_at=stored.voucher_at,
            paid=stored.paid,
            bonds=stored.bonds,
        )
    unit.hosted.put(contract)
    if not contract.live:
        unit.kept_labels.remove(contract.id)


def keep_voucher(unit: Unit, voucher: Voucher, signature: bytes, at: int) -> None:
    stored = _known(unit, voucher.id)
    if voucher.through_epoch <= stored.voucher:
        raise StaleChequeError(
            f"a voucher over {stored.voucher} epochs is there: one over {voucher.through_epoch} is not higher"
        )
    unit.hosted.put(replace(stored, voucher=voucher.through_epoch, voucher_signature=signature, voucher_at=at))
    unit.moved_money = True


def book_paid(unit: Unit, contract_id: bytes, paid: int) -> int:
    stored = _known(unit, contract_id)
    new = paid & ~stored.paid
    if not new:
        return 0
    unit.hosted.put(replace(stored, paid=stored.paid | new))
    unit.moved_money = True
    return new.bit_count() * stored.contract.price_per_epoch


def book_bond(unit: Unit, bond: Bond) -> bool:
    stored = _known(unit, bond.id)
    # One transaction may answer for several contracts; its fee is booked under its id alone.
    name = f"bond:{bond.transaction}:{bond.id.hex()}"
    if unit.receipts.get(stored.rail, name) is not None:
        return False
    unit.receipts.put(Receipt(stored.rail, name, bond.at))
    unit.hosted.put(replace(stored, bonds=stored.bonds + bond.amount))
    unit.moved_money = True
    return True


def keep_label(unit: Unit, label: KeptLabel) -> KeptLabel:
    if not _known(unit, label.contract).live:
        raise KeyError(f"contract {label.contract.hex()} has ended")
    stored = unit.kept_labels.get(label.contract)
    if stored is not None and stored.number >= label.number:
        return stored
    unit.kept_labels.put(label)
    return label


def _known(unit: Unit, contract_id: bytes) -> HostedContract:
    stored = unit.hosted.get(contract_id)
    if stored is None:
        raise KeyError(f"no contract {contract_id.hex()} is kept here")
    return stored
