"""One copy that is paid for more than once: under several names, or by several contracts."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ports.renting import FoundHost, Stage
from node.services.host.errors import RefusedError
from node.services.renter.keeper import StoreRequest
from node.storage.audit import chain_index
from node.storage.placement import choose, network_of
from tests.contracts.bench import create
from tests.contracts.storage.bench import ANSWER_PERIOD, StorageBench, refused
from tests.contracts.storage.case import COLLATERAL, HOST, MALLORY, OTHER_HOST, RENTER, balances, offer
from tests.unit.hosting.kit import Bench, proposal
from tests.unit.packing.kit import make_tree
from tests.unit.renter.kit import World
from tests.unit.storage.samples import NOW, Kept
from tests.unit.storage.samples import RENTER as TENANT
from tests.unit.storage.test_placement import REQUEST, candidate

KEPT = Kept(40_000)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 6))
def test_many_names_of_one_owner_or_one_network_get_one_shard_of_an_object(
    names: int, networks: int, wanted: int
) -> None:
    """Fails: no two shards of an object go to one payee or to one /24 or /48, however cheap they are.

    Cheat: a stake for each name, and one shard's income. Victim (the renter): nothing; what one disk takes with it is
    one shard of k of n.
    """
    honest = [candidate(100 + number, 100 + number, 100 + number, price=9000) for number in range(6)]
    one_owner = [candidate(number, 1, number % networks, price=1) for number in range(names)]
    one_network = [candidate(number, number, 1, price=1) for number in range(names)]
    for crowd in (one_owner, one_network):
        chosen = choose(replace(REQUEST, shards=wanted), crowd + honest, NOW).chosen
        assert len(chosen) == wanted
        assert sum(each in crowd for each in chosen) == 1
    other = REQUEST.owners | {one_owner[0].owner}
    later = choose(replace(REQUEST, shards=wanted, owners=other), one_owner + honest, NOW).chosen
    assert not any(each in one_owner for each in later), "nor when the first of them came long before"


async def test_a_renter_that_finds_one_machine_under_many_names_uses_it_once(tmp_path: Path) -> None:
    """Fails: as above, with the node's renter: four of seven names are in one network.

    Cheat: as above. Victim: it says that hosts are missing, rather than taking the same disk twice.
    """
    world = World(tmp_path, 7)
    sybils = {host.key.address for host in world.hosts[:4]}

    async def crowded() -> list[FoundHost]:
        found = await World.hosts_of(world)
        return [replace(each, network="4:c63300") if each.peer.address in sybils else each for each in found]

    world.hosts_of = crowded  # type: ignore[method-assign] # what discovery says
    source = make_tree(tmp_path / "source", {"z": 300_000})
    made = await world.renter.store(StoreRequest(path=source, k=2, n=5, days=20, renew=False))
    await world.turn(10, times=10)
    hosts = [rental.terms.host for rental in await world.store.rentals() if rental.state == "active"]
    assert (len(hosts), len(sybils.intersection(hosts))) == (4, 1)
    stored = world.store.kept[made.id]
    assert stored.stage is Stage.PLACING
    assert stored.note.startswith("1 more"), stored.note
    assert network_of("198.51.0.1") == network_of("::ffff:198.51.0.200")


def test_every_name_has_a_stake_of_its_own(bench: StorageBench) -> None:
    """Fails: a stake is one account's. Cheat: as many stakes as names, while it has them. Victim: nothing."""
    kinds = ["address", "uint256", "uint256"]
    registry = create(bench.chain, "HostRegistry", kinds, [bench.token.address, 100, ANSWER_PERIOD])
    for key in (HOST, OTHER_HOST):
        bench.token.send(key, "mint", key.address, 150)
        bench.token.send(key, "approve", registry.address, 2**256 - 1)
    url, table = "https://same.example", bytes(32)
    registry.send(HOST, "register", 100, HOST.address, url, table)
    with refused("StakeTooSmall", 50, 100):
        registry.send(OTHER_HOST, "register", 50, OTHER_HOST.address, url, table)
    registry.send(OTHER_HOST, "register", 100, OTHER_HOST.address, url, table)
    assert (bench.wallet(HOST), bench.wallet(OTHER_HOST)) == (50, 50)


def test_two_names_with_one_copy_lose_two_collaterals_with_it(bench: StorageBench) -> None:
    """Fails: not while the copy is there, for both names can show it; when it is gone, for both.

    Cheat (two owners in two networks, one disk): two stakes, two collaterals, and both when the disk fails. Victim: two
    shards at once instead of one, and two collaterals for them.
    """
    both = [offer(bench, host=key.address, payee=key.address) for key in (HOST, OTHER_HOST)]
    for terms, key in zip(both, (HOST, OTHER_HOST), strict=True):
        bench.open(terms, RENTER, key)
    bench.now = both[0].start
    for terms in both:
        bench.market.send(RENTER, "challenge", terms, 1)
    bench.now += ANSWER_PERIOD + 1
    for terms in both:
        bench.market.send(MALLORY, "fail", terms)
    renter, host, _, _ = balances(bench)
    assert (renter, host, bench.balance(OTHER_HOST)) == (1000 + 2 * COLLATERAL, 1000 - COLLATERAL, 1000 - COLLATERAL)


async def test_a_host_signs_no_second_contract_about_a_shard_it_has(host: Bench) -> None:
    """Fails: the node's host takes one contract at a time on a root, and renewals after it.

    Cheat (a renter that would have two contracts proved by one copy, and call it two): no signature. Victim: nothing.
    """
    contract = await host.rented(KEPT)
    again = replace(contract, nonce=contract.nonce + 77, start=contract.start + 600)
    with pytest.raises(RefusedError) as error:
        await host.host.propose(TENANT.address, proposal(again))
    assert error.value.code == "known"


def test_one_proof_does_not_serve_two_contracts(bench: StorageBench) -> None:
    """Fails: which block is asked for hangs on the contract's id, so twins are asked for different ones.

    Cheat (a host that proves for both in one go): a proof each, at one transaction's fee each. Victim: nothing.
    """
    blocks, same = 1000, 0
    first, second = (offer(bench, nonce=number).id(bench.separator) for number in (1, 2))
    for epoch in range(2000):
        seed = sha256(b"%d" % epoch).digest()
        same += chain_index(seed, first, blocks) == chain_index(seed, second, blocks)
    assert same <= 2000 // blocks + 8
    assert first != second
