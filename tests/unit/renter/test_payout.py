"""What a renter vouched for is paid on the real market, whether the host brings it there or not."""

from __future__ import annotations

from pathlib import Path

from node.storage.lifecycle import State
from tests.adversaries.storage.stage import EPOCH, EPOCHS, stage


async def test_a_host_that_has_gone_before_the_end_gets_what_it_was_vouched_for(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        rental, other = await made.stored()
        await made.go_to(rental.terms.end - 1200)
        assert (await made.rental(rental.id)).told == EPOCHS
        gone = made.landlord(rental)
        made.landlords.remove(gone)  # nobody calls its rounds any more
        await made.go_to(rental.terms.end + EPOCH + 3600, step=EPOCH)
        await made.turn(60)
        assert (await made.rental(rental.id)).state is State.COMPLETED
        assert await made.gain(gone.address) == rental.terms.escrow
        assert await made.gain(made.renter_address) == -rental.terms.escrow - other.terms.escrow
