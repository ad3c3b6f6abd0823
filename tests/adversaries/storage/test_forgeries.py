"""Evidence that was made up, and contracts that one side never means to keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from node.ports.renting import Stage
from node.services.host.duties import call_off_at
from node.services.host.errors import RefusedError
from node.services.renter.keeper import StoreRequest
from node.storage.audit import Verdict
from node.storage.errors import EvidenceError
from node.storage.evidence import Evidence, check
from node.storage.lifecycle import MarketStatus, State
from tests.contracts.storage.bench import StorageBench, Terms, refused
from tests.contracts.storage.case import CALLED_OFF, HOST, RENTER, balances, status
from tests.unit.hosting.kit import Bench, damage
from tests.unit.packing.kit import make_tree
from tests.unit.renter.ground import WEALTH
from tests.unit.renter.kit import World
from tests.unit.storage.samples import HOST as LANDLORD
from tests.unit.storage.samples import MARKET, STRANGER, Kept
from tests.unit.storage.samples import RENTER as TENANT
from tests.unit.storage.test_evidence import BUNDLES, RIGHT, WRONG, bundle, signed
from wallet.storage_terms import sign

KEPT = Kept(40_000)
FORGED: dict[str, Evidence] = {
    "a right answer called wrong": bundle(RIGHT, Verdict.WRONG),
    "a wrong answer under the renter's own signature": signed(
        replace(bundle(WRONG, Verdict.WRONG), answer_signature=sign(MARKET, WRONG, TENANT))
    ),
    "the signature of another answer": signed(replace(BUNDLES["wrong"], answer=RIGHT)),
    "silence before the deadline": bundle(None, Verdict.SILENT),
    "another host's contract": replace(
        BUNDLES["wrong"], contract=replace(BUNDLES["wrong"].contract, host=STRANGER.address)
    ),
    "a contract that the host never signed": replace(
        BUNDLES["wrong"], host_signature=sign(MARKET, BUNDLES["wrong"].contract, TENANT)
    ),
    "a witness of its own choice": bundle(WRONG, Verdict.WRONG, witness=LANDLORD),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_evidence_does_not_hold(name: str) -> None:
    """Fails: `check` (`bttnode evidence check`) repeats every step from the signatures up.

    Cheat (a renter that would discredit its host): nothing gained. Victim (the host): nothing.
    """
    with pytest.raises(EvidenceError):
        check(Evidence.decode(FORGED[name].encode()))


def test_no_byte_of_evidence_can_be_changed() -> None:
    """Fails: all of it is signed, or follows from what is. Cheat and victim: as above."""
    dice = Random(1)
    for evidence in BUNDLES.values():
        data = evidence.encode()
        for _ in range(60):
            place = dice.randrange(len(data))
            changed = data[:place] + bytes((data[place] ^ dice.randrange(1, 256),)) + data[place + 1 :]
            with pytest.raises(EvidenceError):
                check(Evidence.decode(changed))


def test_claimed_silence_proves_nothing() -> None:
    """Fails: the bundle says who claims it, and `proved` is no. Cheat: nothing gained. Victim: nothing."""
    checked = check(BUNDLES["silent"])
    assert (checked.finding.verdict, checked.proved) == (Verdict.SILENT, False)


async def test_a_host_with_a_broken_disk_signs_nothing_that_is_wrong(host: Bench) -> None:
    """Fails: what is read is checked before it is signed, so nobody gets evidence against a host that only broke.

    Cheat (a renter that waits for a bad sector): silence, no evidence. Victim (the host): that epoch's voucher, until
    its owner has seen to the disk.
    """
    contract = await host.rented(KEPT)
    damage(host, contract, 1)
    with pytest.raises(RefusedError) as error:
        await host.challenge(contract, 3)
    assert error.value.code == "unreadable"
    assert host.record(contract).audits == 0


async def test_a_renter_that_opens_a_contract_and_sends_nothing_is_called_off(host: Bench) -> None:
    """Fails: before the start, the host walks away from what it does not have.

    Cheat (a renter that would challenge what the host never got): the fee of opening. Victim (the host): the fee of
    calling off, and the room and the collateral until then.
    """
    offered = await host.offered(KEPT)
    host.engine.swarm.clear()
    await host.host.propose(TENANT.address, offered)
    host.market.open(offered.contract)
    await host.round(4)
    assert host.market.calls == []
    host.clock.time = call_off_at(host.record(offered.contract))
    await host.round(4)
    assert host.market.calls == ["call_off"]
    assert host.record(offered.contract).state is State.CANCELLED
    assert not await host.volumes.shards()


def test_a_contract_called_off_gives_everybody_everything_back(bench: StorageBench, terms: Terms) -> None:
    """Fails: before the start nothing is earned and nothing is owed. Cheat: nothing gained. Victim: nothing."""
    bench.now = terms.start - 1
    bench.market.send(HOST, "callOff", terms)
    assert status(bench, terms) == CALLED_OFF
    assert balances(bench) == (1000, 1000, 0, 1000)
    bench.now = terms.start
    with refused("WrongStatus"):
        bench.market.send(RENTER, "challenge", terms, 0)


async def test_a_host_that_signs_and_never_fetches_is_called_off_and_replaced(tmp_path: Path) -> None:
    """Fails: the renter asks for blocks before the start, and calls off what is not shown.

    Cheat: its collateral until the start, for nothing. Victim (the renter): a fee, and the time until another host has
    the shard, which lies here meanwhile.
    """
    world = World(tmp_path, 4)
    cheat = world.hosts[0]
    cheat.fetches = False
    source = make_tree(tmp_path / "source", {"z": 300_000})
    made = await world.renter.store(StoreRequest(path=source, k=2, n=3, days=20, renew=False))
    await world.until(lambda: world.store.kept[made.id].stage is Stage.KEPT)
    ends = [world.market.entries[contract].status for contract in cheat.contracts if contract in world.market.entries]
    assert set(ends) <= {MarketStatus.CALLED_OFF}
    assert world.market.entries, "it was asked"
    holders = {rental.terms.host for rental in await world.store.rentals() if rental.state is State.ACTIVE}
    assert holders == {host.key.address for host in world.hosts[1:]}
    escrow = sum(rental.terms.escrow for rental in await world.store.rentals() if rental.state is State.ACTIVE)
    assert (world.market.locked, world.market.earned, world.market.slashed) == (escrow, 0, 0)
    assert world.market.wallet + world.market.free == WEALTH - escrow
    world.check_books()
