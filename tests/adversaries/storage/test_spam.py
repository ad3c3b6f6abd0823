"""Challenge spam: off the chain it costs the host next to nothing, on chain it is a gift to the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from node.http.hostapi import HostApi
from node.http.peers import RefusalError
from node.services.host.errors import RefusedError
from node.storage.audit import MAX_SAMPLE, Proof
from node.storage.messages import ChallengeCall
from node.storage.terms import answered_blocks, audited_blocks
from tests.contracts.storage.bench import ANSWER_PERIOD, BOND, StorageBench, Terms, refused
from tests.contracts.storage.case import AUDITOR as CHAIN_AUDITOR
from tests.contracts.storage.case import COLLATERAL, ESCROW, HOST, MALLORY, balances
from tests.contracts.storage.case import RENTER as CHAIN_RENTER
from tests.contracts.storage.case import SHARD as CHAIN_SHARD
from tests.unit.hosting.kit import Bench, challenge_call
from tests.unit.storage.samples import AUDITOR, MARKET, RENTER, STRANGER, Kept
from wallet.address import Address
from wallet.storage_terms import StorageContract, sign

SHARD = Kept(40_000)


class Reads:
    """Counts what is read off the disk for audits."""

    def __init__(self, host: Bench) -> None:
        self._real = host.host.shards.prove
        self.count = 0
        host.host.shards.prove = self._count  # type: ignore[method-assign] # watched, and passed on

    async def _count(self, contract: StorageContract, indices: Sequence[int]) -> tuple[Proof, ...]:
        self.count += 1
        return await self._real(contract, indices)


def by_stranger(call: ChallengeCall) -> ChallengeCall:
    return replace(call, signature=sign(MARKET, call.challenge, STRANGER))


def changed(call: ChallengeCall) -> ChallengeCall:
    return replace(call, challenge=replace(call.challenge, nonce=b"\xff" * 32))


def expired(call: ChallengeCall) -> ChallengeCall:
    late = replace(call.challenge, issued=1, deadline=2)
    return ChallengeCall(late, sign(MARKET, late, RENTER))


def of_another(call: ChallengeCall) -> ChallengeCall:
    other = replace(call.challenge, id=b"\x07" * 32)
    return ChallengeCall(other, sign(MARKET, other, RENTER))


def beyond(call: ChallengeCall) -> ChallengeCall:
    far = replace(call.challenge, indices=(0, 10**9))
    return ChallengeCall(far, sign(MARKET, far, RENTER))


SPAM: dict[str, tuple[str, Address, Callable[[ChallengeCall], ChallengeCall]]] = {
    "by a stranger": ("sender", STRANGER.address, lambda call: call),
    "signed by a stranger": ("signature", RENTER.address, by_stranger),
    "changed after it was signed": ("signature", RENTER.address, changed),
    "of long ago": ("late", RENTER.address, expired),
    "about no contract of ours": ("unknown", RENTER.address, of_another),
    "for blocks that are not there": ("terms", RENTER.address, beyond),
}


@pytest.mark.parametrize("name", SPAM)
async def test_spam_that_no_party_has_signed_for_now_reads_nothing(host: Bench, name: str) -> None:
    """Fails: sender, contract, signature, time and indices are checked before the disk is touched.

    Cheat: its requests. Victim (the host): a signature check each, of at most 240 at once and four a second from one
    network (`node.http.peers`); no disk, no block, no turn of the parties' own.
    """
    code, sender, change = SPAM[name]
    contract = await host.rented(SHARD)
    reads = Reads(host)
    for number in range(20):
        call = change(challenge_call(contract, host.clock.wall(), 2, number))
        with pytest.raises(RefusedError) as error:
            await host.host.answers.answer(sender, call)
        assert error.value.code == code
    assert (reads.count, host.record(contract).audits) == (0, 0)
    await host.challenge(contract)  # the renter's own is answered all the same


async def test_a_party_that_spams_sees_what_an_epoch_pays_for_and_leaves_the_other_party_its_own(host: Bench) -> None:
    """Fails: each party of a contract is shown so many blocks an epoch, which the price includes.

    Cheat (a renter, or an auditor that wants the host to miss the renter's audit): its requests. Victim: the blocks of
    four audits per epoch and party, of which the price has two.
    """
    contract = await host.rented(SHARD)
    host.at(contract, 0)
    reads, shown = Reads(host), 0
    for number in range(60):
        call = challenge_call(contract, host.clock.wall(), 2, number)
        call = replace(call, signature=sign(MARKET, call.challenge, AUDITOR))
        if shown + 2 <= answered_blocks(contract.length):
            await host.host.answers.answer(AUDITOR.address, call)
            shown += 2
        else:
            with pytest.raises(RefusedError) as error:
                await host.host.answers.answer(AUDITOR.address, call)
            assert error.value.code == "often"
    assert reads.count == shown // 2 < 60
    assert answered_blocks(contract.length) == 2 * audited_blocks(contract.length)
    await host.challenge(contract)
    host.at(contract, 1)
    call = challenge_call(contract, host.clock.wall(), 2, 1000)
    await host.host.answers.answer(AUDITOR.address, call)
    assert reads.count == shown // 2 + 2


async def test_a_challenge_sent_again_and_again_is_answered_from_memory(host: Bench) -> None:
    """Fails: the same challenge has the same answer. Cheat: its requests. Victim: one read in all."""
    contract = await host.rented(SHARD)
    reads = Reads(host)
    call = challenge_call(contract, host.clock.wall(), 3, 1)
    answers = {id(await host.host.answers.answer(RENTER.address, call)) for _ in range(50)}
    assert (len(answers), reads.count) == (1, 1)
    host.clock.time += 121
    with pytest.raises(RefusedError) as error:
        await host.host.answers.answer(RENTER.address, call)
    assert error.value.code == "late"


async def test_a_challenge_for_more_than_an_answer_holds_is_not_even_read(host: Bench) -> None:
    """Fails: as malformed, before anything is looked up. Cheat: its requests. Victim: the parsing of 1 MiB at most."""
    contract = await host.rented(SHARD)
    reads, api = Reads(host), HostApi([host.host])
    body = challenge_call(contract, host.clock.wall(), 2, 1).body()
    for indices in (list(range(MAX_SAMPLE + 1)), [1, 0], [0, 0], [-1], [], [2**64], ["0"], [0.5]):
        with pytest.raises(RefusalError) as error:
            await api.challenge(RENTER.address, {**body, "challenge": {**body["challenge"], "indices": indices}})
        assert error.value.code == "malformed", indices
    assert reads.count == 0


@pytest.mark.parametrize("spammer", [CHAIN_RENTER, CHAIN_AUDITOR], ids=["renter", "auditor"])
def test_each_challenge_on_chain_is_a_bond_for_the_host(bench: StorageBench, terms: Terms, spammer: object) -> None:
    """Fails: an answered challenge is a sale, and there is one at a time.

    Cheat: a bond each. Victim (the host): the fee of an answer each, for which it gets the bond.
    """
    assert isinstance(spammer, type(CHAIN_RENTER))
    bench.now = terms.start
    for number in range(5):
        bench.market.send(spammer, "challenge", terms, number % CHAIN_SHARD.blocks)
        with refused("ChallengeOpen"):
            bench.market.send(spammer, "challenge", terms, 0)
        bench.now += ANSWER_PERIOD // 2
        bench.market.send(HOST, "answer", terms, *CHAIN_SHARD.proof(number % CHAIN_SHARD.blocks))
    with refused("NotAllowed"):
        bench.market.send(MALLORY, "challenge", terms, 0)
    renter, host, payee, auditor = balances(bench)
    assert (renter + auditor, host, payee) == (2000 - ESCROW - 5 * BOND, 1000 - COLLATERAL, 5 * BOND)
