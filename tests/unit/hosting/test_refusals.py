"""What a host says no to, and in which words; nothing is signed, read or booked then."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from node.services.host.errors import RefusedError
from node.storage.messages import CancelCall, VoucherCall
from node.storage.terms import DAY, answered_blocks
from tests.unit.hosting.kit import TERMS, Bench, challenge_call, proposal
from tests.unit.storage.samples import AUDITOR, HOST, MARKET, RENTER, STRANGER, Kept
from wallet.address import Address
from wallet.keys import PrivateKey
from wallet.storage_terms import Cancel, Market, StorageContract, Voucher, sign

SHARD = Kept(40_000)

CHANGES: dict[str, tuple[str, Callable[[StorageContract], StorageContract]]] = {
    "it pays less than the table": ("terms", lambda c: replace(c, price_per_epoch=c.price_per_epoch - 1)),
    "it wants more collateral": ("terms", lambda c: replace(c, collateral=c.collateral + 1)),
    "it names another host": ("terms", lambda c: replace(c, host=STRANGER.address)),
    "it pays somebody else": ("terms", lambda c: replace(c, payee=STRANGER.address)),
    "it starts too soon": ("terms", lambda c: replace(c, start=c.start - 1150)),
    "its term is too long": ("terms", lambda c: replace(c, epochs=201)),
    "the host would audit itself": ("terms", lambda c: replace(c, auditor=HOST.address)),
    "it is longer than the disk": ("terms", lambda c: replace(c, length=1 << 40, price_per_epoch=10**30)),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_an_offer_against_the_table_is_refused(bench: Bench, name: str) -> None:
    code, change = CHANGES[name]
    offered = await bench.offered(SHARD)
    with pytest.raises(RefusedError) as error:
        await bench.host.propose(RENTER.address, proposal(change(offered.contract)))
    assert error.value.code == code
    assert not list(bench.host.contracts)
    assert not await bench.volumes.shards()


@pytest.mark.parametrize(
    ("code", "limits"),
    [
        ("limit", {"max_shard": 39_999}),
        ("limit", {"per_renter": 39_999}),
        ("limit", {"max_contracts": 0}),
        ("limit", {"max_collateral": 1}),
    ],
)
async def test_the_owners_limits_hold(bench: Bench, code: str, limits: dict[str, int]) -> None:
    bench.terms = replace(TERMS, **limits)
    await bench.restart()
    with pytest.raises(RefusedError) as error:
        await bench.host.propose(RENTER.address, await bench.offered(SHARD))
    assert error.value.code == code


async def test_one_deposit_does_not_cover_two_offers(bench: Bench) -> None:
    first, second = await bench.offered(SHARD), await bench.offered(Kept(50_000))
    bench.market.balances[RENTER.address] = first.contract.escrow + second.contract.escrow - 1
    await bench.host.propose(RENTER.address, first)
    with pytest.raises(RefusedError, match="lock") as error:
        await bench.host.propose(RENTER.address, second)
    assert error.value.code == "cover"
    bench.market.balances[RENTER.address] += 1
    await bench.host.propose(RENTER.address, second)


async def test_a_renter_that_opens_nothing_gets_no_more_signatures(bench: Bench) -> None:
    for number in range(16):
        await bench.host.propose(RENTER.address, await bench.offered(Kept(1000 + number)))
    with pytest.raises(RefusedError, match="came to nothing") as error:
        await bench.host.propose(RENTER.address, await bench.offered(SHARD))
    assert error.value.code == "limit"


async def test_our_own_collateral_is_not_promised_twice(bench: Bench) -> None:
    first, second = await bench.offered(SHARD), await bench.offered(Kept(50_000))
    bench.market.balances[HOST.address] = first.contract.collateral
    await bench.host.propose(RENTER.address, first)
    with pytest.raises(RefusedError) as error:
        await bench.host.propose(RENTER.address, second)
    assert error.value.code == "cover"


async def test_an_offer_needs_its_own_renter_and_our_market(bench: Bench) -> None:
    offered = await bench.offered(SHARD)
    with pytest.raises(RefusedError, match="proposes it"):
        await bench.host.propose(STRANGER.address, offered)
    with pytest.raises(RefusedError) as error:
        await bench.host.propose(RENTER.address, replace(offered, market=Market(199, MARKET.contract)))
    assert error.value.code == "market"
    with pytest.raises(RefusedError) as error:
        await bench.host.propose(RENTER.address, replace(offered, signature=sign(MARKET, offered.contract, STRANGER)))
    assert error.value.code == "signature"


async def test_a_table_holds_until_it_expires_although_prices_rose(bench: Bench) -> None:
    offered = await bench.offered(SHARD)
    bench.host.tables.terms = replace(TERMS, storage_price=TERMS.storage_price * 2)
    bench.clock.time += DAY - 600
    again = replace(offered.contract, start=bench.clock.wall() + 1000)
    await bench.host.propose(RENTER.address, proposal(again))
    bench.clock.time += 700
    later = replace(offered.contract, start=bench.clock.wall() + 1000, root=b"\x01" * 32)
    with pytest.raises(RefusedError) as error:
        await bench.host.propose(RENTER.address, proposal(later))
    assert error.value.code == "terms"


# --- audits ---------------------------------------------------------------------------------------------------------


async def test_challenges_are_for_parties_and_in_time(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    now = bench.clock.wall()
    call = challenge_call(contract, now, 2, 1)
    answer = bench.host.answers.answer
    with pytest.raises(RefusedError) as error:
        await answer(STRANGER.address, call)
    assert error.value.code == "sender"
    with pytest.raises(RefusedError) as error:
        await answer(AUDITOR.address, replace(call, signature=sign(MARKET, call.challenge, STRANGER)))
    assert error.value.code == "signature"
    bench.clock.time += 121
    with pytest.raises(RefusedError) as error:
        await answer(RENTER.address, call)
    assert error.value.code == "late"
    other = replace(contract, nonce=1234)
    with pytest.raises(RefusedError) as error:
        await answer(RENTER.address, challenge_call(other, bench.clock.wall(), 2, 1))
    assert error.value.code == "unknown"


async def test_each_asker_sees_what_an_epoch_pays_for_and_some_more_and_then_is_refused(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    number, said = itertools.count(10), list[tuple[str, str]]()

    async def shown(asker: PrivateKey) -> int:
        """Blocks that `asker` sees until it is refused."""
        blocks = 0
        while True:
            call = challenge_call(contract, bench.clock.wall(), 2, next(number))
            try:
                blocks += len((await bench.host.answers.answer(asker.address, call)).proofs)
            except RefusedError as refused:
                said.append((refused.code, refused.hint))
                return blocks

    included = answered_blocks(contract.length)
    assert included - 2 < await shown(RENTER) <= included
    assert await shown(RENTER) == 0
    assert included - 2 < await shown(AUDITOR) <= included, "the renter's audits are not the auditor's"
    bench.at(contract, contract.epoch_at(bench.clock.wall()) + 1)
    assert included - 2 < await shown(RENTER) <= included
    assert set(said) == {("often", "ask in the next epoch, or challenge the host on chain")}


async def test_a_challenge_before_the_shard_is_here_is_too_early(bench: Bench) -> None:
    offered = await bench.offered(SHARD)
    await bench.host.propose(RENTER.address, offered)
    with pytest.raises(RefusedError) as error:
        await bench.challenge(offered.contract)
    assert error.value.code == "early"


async def test_a_lost_answer_is_given_again_without_a_second_turn(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    call = challenge_call(contract, bench.clock.wall(), 2, 1)
    first = await bench.host.answers.answer(RENTER.address, call)
    for _ in range(20):
        assert await bench.host.answers.answer(RENTER.address, call) == first
    assert bench.record(contract).audits == 1


# --- vouchers -------------------------------------------------------------------------------------------------------


async def test_only_higher_vouchers_of_the_parties_for_epochs_that_have_begun_are_taken(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    bench.at(contract, 1)

    async def refused(sender: Address, through: int, key: PrivateKey = RENTER, market: Market = MARKET) -> str:
        voucher = Voucher(contract.digest(MARKET), through)
        with pytest.raises(RefusedError) as error:
            await bench.host.vouchers.take(sender, VoucherCall(voucher, sign(market, voucher, key)))
        return error.value.code

    assert await refused(RENTER.address, 3) == "early"
    assert await refused(STRANGER.address, 1) == "sender"
    assert await refused(RENTER.address, 1, key=STRANGER) == "signature"
    assert await refused(RENTER.address, 1, market=Market(199, MARKET.contract)) == "signature"
    assert await bench.vouch(contract, 2) == 2 * contract.price_per_epoch
    assert await bench.vouch(contract, 2) == 0, "a voucher sent again is fine, and adds nothing"
    assert await refused(RENTER.address, 1) == "stale"
    assert bench.record(contract).earned == 2 * contract.price_per_epoch


# --- cancellations --------------------------------------------------------------------------------------------------


async def test_a_cancellation_must_pay_for_what_has_begun_and_is_brought_to_the_market_by_us(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    bench.at(contract, 1)

    def cancel(through: int) -> CancelCall:
        wish = Cancel(contract.digest(MARKET), through)
        return CancelCall(wish, sign(MARKET, wish, RENTER))

    with pytest.raises(RefusedError) as error:
        await bench.host.cancelling.agree(RENTER.address, cancel(1))
    assert error.value.code == "terms"
    consent = await bench.host.cancelling.agree(RENTER.address, cancel(2))
    assert await bench.host.cancelling.agree(RENTER.address, cancel(2)) == consent
    with pytest.raises(RefusedError):
        await bench.host.cancelling.agree(RENTER.address, cancel(4))
    await bench.round()
    assert bench.market.calls == ["cancel"]
    await bench.round()
    assert bench.record(contract).claimed == 2 * contract.price_per_epoch
    assert not bench.record(contract).live
