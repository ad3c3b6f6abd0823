"""Labels at a host: kept for the renter alone, replaced by newer ones only, bounded, and gone with their contract."""

from __future__ import annotations

import pytest

from node.services.host.errors import RefusedError
from node.services.host.labels import BURST, EVERY, Labels
from node.storage.label import MAX_LABEL
from node.storage.messages import LabelCall, RecallCall
from tests.unit.hosting.kit import Bench
from tests.unit.storage.samples import AUDITOR, HOST, MARKET, RENTER, STRANGER, Kept
from wallet.storage_terms import StorageContract, Voucher, verify

SHARD = Kept(40_000)
LABEL = b"sealed" * 100


async def keep(bench: Bench, contract: StorageContract, number: int, data: bytes = LABEL) -> None:
    await bench.host.labels.keep(RENTER.address, LabelCall(contract.digest(MARKET), number, data))


async def refused(bench: Bench, contract: StorageContract, number: int, data: bytes = LABEL) -> str:
    with pytest.raises(RefusedError) as error:
        await keep(bench, contract, number, data)
    return error.value.code


async def test_a_label_comes_back_after_a_restart_with_all_that_a_renter_must_know(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    await keep(bench, contract, 5)
    bench.at(contract, 2)
    await bench.vouch(contract, 2)
    await bench.restart()
    said = await bench.host.labels.recall(RENTER.address, RecallCall(contract.digest(MARKET)))
    assert (said.number, said.data, said.through_epoch) == (5, LABEL, 2)
    verify(MARKET, contract, said.signature, HOST.address)
    verify(MARKET, Voucher(contract.digest(MARKET), 2), said.voucher or b"", RENTER.address)


async def test_a_contract_without_label_or_voucher_says_so(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    said = await bench.host.labels.recall(RENTER.address, RecallCall(contract.digest(MARKET)))
    assert (said.number, said.data, said.through_epoch, said.voucher) == (0, b"", 0, None)


async def test_only_a_higher_number_replaces_a_label_and_a_repetition_changes_nothing(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    await keep(bench, contract, 5)
    await keep(bench, contract, 5)
    assert await refused(bench, contract, 5, b"other") == "stale"
    assert await refused(bench, contract, 4) == "stale"
    await keep(bench, contract, 6, b"other")
    said = await bench.host.labels.recall(RENTER.address, RecallCall(contract.digest(MARKET)))
    assert (said.number, said.data) == (6, b"other")


@pytest.mark.parametrize(
    "stranger", [STRANGER.address, AUDITOR.address, HOST.address], ids=["stranger", "auditor", "host"]
)
async def test_nobody_but_the_renter_keeps_or_recalls_it(bench: Bench, stranger: object) -> None:
    contract = await bench.rented(SHARD)
    contract_id = contract.digest(MARKET)
    for asked in (
        bench.host.labels.keep(stranger, LabelCall(contract_id, 1, LABEL)),  # type: ignore[arg-type] # an address
        bench.host.labels.recall(stranger, RecallCall(contract_id)),  # type: ignore[arg-type] # an address
    ):
        with pytest.raises(RefusedError) as error:
            await asked
        assert error.value.code == "sender"


async def test_a_label_needs_money_in_the_market(bench: Bench) -> None:
    offered = await bench.offered(SHARD)
    await bench.host.propose(RENTER.address, offered)
    assert await refused(bench, offered.contract, 1) == "early"


async def test_a_label_goes_with_its_contract(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    await keep(bench, contract, 1)
    assert await bench.store.label_bytes() == len(LABEL)
    bench.at(contract, contract.epochs + 2)
    await bench.round(6)
    assert not bench.record(contract).live
    assert await bench.store.label_bytes() == 0
    assert await refused(bench, contract, 2) == "unknown"


async def test_labels_take_no_more_room_than_the_node_has_for_them(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    bench.host.labels = Labels(bench.host.contracts, bench.clock, most=1000)
    await keep(bench, contract, 1, bytes(1000))
    assert await refused(bench, contract, 2, bytes(1001)) == "room"
    await keep(bench, contract, 3, bytes(999))
    bench.host.labels = Labels(bench.host.contracts, bench.clock)
    assert await refused(bench, contract, 4, bytes(MAX_LABEL + 1)) == "room"


async def test_a_renter_cannot_keep_the_disk_busy_with_labels(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    for number in range(BURST):
        await keep(bench, contract, number + 1, b"x")
    assert await refused(bench, contract, BURST + 1) == "often"
    bench.clock.time += EVERY
    await keep(bench, contract, BURST + 1, b"x")
