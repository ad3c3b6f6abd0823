"""Hosts that take the money and drop the data."""

from __future__ import annotations

from pathlib import Path

from node.storage.audit import Verdict
from node.storage.lifecycle import State
from tests.adversaries.storage.stage import EPOCHS, stage
from tests.contracts.storage.bench import StorageBench, Terms, refused
from tests.contracts.storage.case import EPOCHS as TERM
from tests.contracts.storage.case import HOST, PRICE, SHARD, balances, go_to_epoch


async def test_data_dropped_after_the_first_voucher_costs_the_collateral(tmp_path: Path) -> None:
    """Fails: at the next epoch's audit, and at the challenge on chain that follows.

    Cheat: collateral and all epochs after the first, for one epoch's price. Victim: nothing; it is paid for the repair.
    """
    async with stage(tmp_path, hosts=3) as made:
        kept, other = await made.stored()
        cheat = made.landlord(kept)
        (spare,) = [each for each in made.landlords if each.address not in (kept.terms.host, other.terms.host)]
        await made.go_to(kept.terms.epoch_start(1) - 1)
        assert (await made.rental(kept.id)).told == 1
        cheat.drop(kept.terms.root)
        await made.go_to(kept.terms.epoch_start(1) + 3600, step=300)
        assert (await made.rental(kept.id)).state is State.FAILED
        price, collateral = kept.terms.price_per_epoch, kept.terms.collateral
        assert await made.gain(cheat.address) == price - collateral
        # The shard lies elsewhere, and the host that lost it was not asked again.
        (new,) = [rental for rental in await made.rentals() if rental.id not in (kept.id, other.id)]
        assert (new.terms.host, new.terms.root, new.state) == (spare.address, kept.terms.root, State.ACTIVE)
        locked = other.terms.escrow + new.terms.escrow
        assert await made.gain(made.renter_address) == collateral - price - locked
        await made.renter.restore(made.object, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()


async def test_data_dropped_after_the_last_voucher_is_lost_for_less_than_an_epoch(tmp_path: Path) -> None:
    """Fails: only where somebody still asks; the contract ends within the epoch, and the renter knows it.

    Cheat: the collateral, if an audit (`bttnode verify`) or a challenge comes before the end; else nothing. Victim: the
    shard, for the rest of the last epoch: less than one epoch's price.
    """
    async with stage(tmp_path) as made:
        kept, _ = await made.stored()
        cheat = made.landlord(kept)
        await made.go_to(kept.terms.end - 1200)
        assert (await made.rental(kept.id)).told == EPOCHS
        cheat.drop(kept.terms.root)
        found = {rental.id: examined for rental, examined in await made.renter.verify(made.object)}
        assert found[kept.id].finding.verdict is Verdict.SILENT
        await made.go_to(kept.terms.end, step=300)
        assert (await made.rental(kept.id)).state is State.FAILED
        assert await made.gain(cheat.address) == kept.terms.escrow - kept.terms.collateral


def test_an_epoch_cannot_be_proved_when_its_data_went_before_its_end(bench: StorageBench, terms: Terms) -> None:
    """Fails: proofs are in arrears, the last one is due after the term.

    Cheat: the price of every epoch that the data did not outlive. Victim: nothing, what is not proved comes back.
    """
    for epoch in range(TERM - 1):
        go_to_epoch(bench, terms, epoch + 1)
        bench.market.send(HOST, "prove", terms, *SHARD.proof(bench.begin_proof(terms, HOST)))
    go_to_epoch(bench, terms, TERM)
    index = bench.begin_proof(terms, HOST)
    with refused("BadProof"):
        bench.market.send(HOST, "prove", terms, bytes(len(SHARD.block(index))), SHARD.proof(index)[1])
    go_to_epoch(bench, terms, TERM + 1)
    bench.market.send(HOST, "close", terms)
    assert balances(bench) == (1000 - (TERM - 1) * PRICE, 1000, (TERM - 1) * PRICE, 1000)
