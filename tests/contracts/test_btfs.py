"""BTFS cheques of our wallet on vaults like BTFS's: received with every check, cashed, paid to the unit, or bounced."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.bench import Contract, create, key
from tests.contracts.btfs_bench import CURRENT, FIRST, BtfsBench
from wallet.btfs import wire
from wallet.btfs.book import Book
from wallet.btfs.chain import BtfsVaults
from wallet.btfs.desk import IssuingDesk, ReceivingDesk
from wallet.btfs.errors import (
    BouncedBeforeError,
    BrokenVaultError,
    NotGrowingError,
    NotOurVaultError,
    OverdrawnError,
    RefusedError,
    UncoveredError,
    UnknownVaultError,
    WrongBeneficiaryError,
    WrongSignerError,
    WrongTokenError,
)
from wallet.btfs.wire import SignedBtfsCheque
from wallet.chains.base import ChainError, RevertedError
from wallet.cheque import BtfsCheque
from wallet.keys import PrivateKey

RENTER, HOST, MALLORY, PURSE = (key(number) for number in range(1, 5))
AMOUNT = 1_234_567_890_123_456_789


@pytest.fixture(scope="module")
def shared() -> BtfsBench:
    return BtfsBench()


@pytest.fixture
def bench(shared: BtfsBench) -> Iterator[BtfsBench]:
    snapshot = shared.chain.snapshot()
    shared.reader.asked.clear()
    yield shared
    shared.chain.revert(snapshot)


@pytest.fixture
def vault(bench: BtfsBench) -> Contract:
    """The renter's vault, with 10 cheques' worth of both tokens."""
    vault = bench.deploy(RENTER)
    for token in (bench.wbtt, bench.usdd):
        bench.fund(vault, 10 * AMOUNT, token)
    return vault


@pytest.fixture(params=["WBTT", "token"])
def token(bench: BtfsBench, request: pytest.FixtureRequest) -> Contract | None:
    """None for WBTT: both types of cheques."""
    return bench.usdd if request.param == "token" else None


class Host:
    """The host's desk. `kept`: cheques as they were stored."""

    def __init__(self, bench: BtfsBench) -> None:
        self._bench = bench
        self.kept: list[bytes] = []
        self.desk = ReceivingDesk(bench.terms(HOST), bench.vaults, Book(), self._keep)

    async def receive(self, signed: SignedBtfsCheque) -> int:
        return (await self.desk.receive(wire.encode(signed, self._bench.wbtt.address)))[1]

    async def _keep(self, signed: SignedBtfsCheque, gain: int) -> None:
        self.kept.append(wire.encode(signed, self._bench.wbtt.address))


@pytest.fixture
def host(bench: BtfsBench) -> Host:
    return Host(bench)


async def refused(host: Host, error: type[RefusedError], signed: SignedBtfsCheque) -> None:
    """The host refuses for this reason and keeps nothing."""
    before = list(host.kept)
    with pytest.raises(error) as raised:
        await host.receive(signed)
    assert type(raised.value) is error
    assert host.kept == before


# --- the straight way -----------------------------------------------------------------------------------------------


async def test_a_cheque_is_issued_received_cashed_and_paid_to_the_unit(
    bench: BtfsBench, vault: Contract, host: Host, token: Contract | None
) -> None:
    sent: list[SignedBtfsCheque] = []

    async def keep(signed: SignedBtfsCheque, _gain: int) -> None:
        sent.append(signed)

    renter = IssuingDesk(bench.chain_id, vault.address, RENTER, bench.vaults, Book(), keep)
    token_address = None if token is None else token.address
    paid = 0
    for amount in (AMOUNT, 1, AMOUNT // 3):  # each cheque pays the difference to the one before
        signed = await renter.issue(HOST.address, amount, token_address)
        assert sent[-1] is signed
        assert await host.receive(signed) == amount
        receipt = bench.cash(HOST, vault, signed, PURSE.address)
        paid += amount
        [(event, values)] = receipt.events
        assert event == ("ChequeCashed" if token is None else "MultiTokenChequeCashed")
        assert values[-6:] == (HOST.address, PURSE.address, HOST.address, amount, paid, 0)
        assert bench.wallet(PURSE, token) == paid
    assert bench.wallet(PURSE, bench.usdd if token is None else bench.wbtt) == 0
    assert len(host.kept) == 3


async def test_cheques_that_were_not_cashed_are_all_in_the_last(bench: BtfsBench, vault: Contract, host: Host) -> None:
    for cumulative in (1, 5, 900):
        last = bench.cheque(vault, RENTER, HOST, cumulative)
        await host.receive(last)
    bench.cash(HOST, vault, last, PURSE.address)
    assert bench.wallet(PURSE) == 900
    with pytest.raises(RevertedError, match="Vault: cannot cash"):
        bench.cash(HOST, vault, last, PURSE.address)


async def test_the_types_do_not_share_an_account(bench: BtfsBench, vault: Contract, host: Host) -> None:
    assert await host.receive(bench.cheque(vault, RENTER, HOST, 700)) == 700
    assert await host.receive(bench.cheque(vault, RENTER, HOST, 300, bench.usdd)) == 300


async def test_a_host_that_lost_its_books_counts_only_what_is_new(bench: BtfsBench, vault: Contract) -> None:
    first = bench.cheque(vault, RENTER, HOST, 500)
    bench.cash(HOST, vault, first, PURSE.address)
    forgetful = Host(bench)
    await refused(forgetful, NotGrowingError, first)
    assert await forgetful.receive(bench.cheque(vault, RENTER, HOST, 600)) == 100


# --- every refusal --------------------------------------------------------------------------------------------------


async def test_a_cheque_for_somebody_else_is_refused_without_a_question(
    bench: BtfsBench, vault: Contract, host: Host, token: Contract | None
) -> None:
    bench.reader.asked.clear()
    await refused(host, WrongBeneficiaryError, bench.cheque(vault, RENTER, MALLORY, 1, token))
    assert bench.reader.asked == []


async def test_a_cheque_on_a_vault_the_factory_does_not_know_is_refused_without_asking_the_vault(
    bench: BtfsBench, host: Host, token: Contract | None
) -> None:
    stranger = create(bench.chain, CURRENT, [], [])
    stranger.send(RENTER, "init", RENTER.address, bench.wbtt.address)
    bench.fund(stranger, AMOUNT, token)
    bench.reader.asked.clear()
    await refused(host, UnknownVaultError, bench.cheque(stranger, RENTER, HOST, 1, token))
    assert bench.reader.asked == [bench.factory.address]


async def test_a_cheque_that_does_not_grow_is_refused_without_a_question(
    bench: BtfsBench, vault: Contract, host: Host, token: Contract | None
) -> None:
    await host.receive(bench.cheque(vault, RENTER, HOST, 500, token))
    bench.reader.asked.clear()
    for amount in (500, 499, 0):
        await refused(host, NotGrowingError, bench.cheque(vault, RENTER, HOST, amount, token))
    assert bench.reader.asked == []


async def test_a_cheque_not_signed_by_the_issuer_is_refused_by_us_and_by_the_vault(
    bench: BtfsBench, vault: Contract, host: Host, token: Contract | None
) -> None:
    forged = bench.cheque(vault, MALLORY, HOST, 500, token)
    await refused(host, WrongSignerError, forged)
    with pytest.raises(RevertedError, match="invalid issuer signature"):
        bench.cash(HOST, vault, forged, PURSE.address)


async def test_a_signature_is_bound_to_its_chain_vault_type_and_amount(
    bench: BtfsBench, vault: Contract, host: Host
) -> None:
    good = bench.cheque(vault, RENTER, HOST, 500)
    other = bench.deploy(RENTER)
    bench.fund(other, 500)
    for cheque in (
        BtfsCheque(vault.address, HOST.address, 501),
        BtfsCheque(vault.address, HOST.address, 500, bench.usdd.address),
        BtfsCheque(other.address, HOST.address, 500),
    ):
        await refused(host, WrongSignerError, SignedBtfsCheque(cheque, good.signature))
    await refused(host, WrongSignerError, SignedBtfsCheque(good.cheque, good.cheque.sign(1029, RENTER)))


async def test_a_cheque_the_vault_cannot_pay_is_refused(
    bench: BtfsBench, vault: Contract, host: Host, token: Contract | None
) -> None:
    await refused(host, UncoveredError, bench.cheque(vault, RENTER, HOST, 10 * AMOUNT + 1, token))
    assert await host.receive(bench.cheque(vault, RENTER, HOST, 10 * AMOUNT, token)) == 10 * AMOUNT


async def test_what_was_paid_needs_no_cover(
    bench: BtfsBench, vault: Contract, host: Host, token: Contract | None
) -> None:
    everything = bench.cheque(vault, RENTER, HOST, 10 * AMOUNT, token)
    await host.receive(everything)
    bench.cash(HOST, vault, everything, PURSE.address)
    bench.fund(vault, 5, token)
    await refused(host, UncoveredError, bench.cheque(vault, RENTER, HOST, 10 * AMOUNT + 6, token))
    assert await host.receive(bench.cheque(vault, RENTER, HOST, 10 * AMOUNT + 5, token)) == 5


async def test_a_vault_that_bounced_is_refused_for_ever(bench: BtfsBench, host: Host) -> None:
    vault = bench.deploy(RENTER, FIRST)
    bench.fund(vault, 10)
    await host.receive(bench.cheque(vault, RENTER, HOST, 10))
    bench.cash(HOST, vault, bench.cheque(vault, RENTER, HOST, 11), PURSE.address)
    bench.fund(vault, AMOUNT)
    await refused(host, BouncedBeforeError, bench.cheque(vault, RENTER, HOST, 12))


async def test_a_vault_whose_wbtt_is_a_token_of_its_own_is_refused(bench: BtfsBench, host: Host) -> None:
    """Anybody may have the factory deploy one; BTFS's own checks would take its cheques."""
    worthless = create(bench.chain, "TestBTT", ["string", "string"], ["Wrapped BTT", "WBTT"])
    vault = bench.deploy(MALLORY, wbtt=worthless.address)
    bench.fund(vault, AMOUNT, worthless)
    bench.fund(vault, AMOUNT)
    await refused(host, WrongTokenError, bench.cheque(vault, MALLORY, HOST, 1))


async def test_a_cheque_of_a_token_we_do_not_take_is_refused_without_a_question(
    bench: BtfsBench, vault: Contract, host: Host
) -> None:
    bench.reader.asked.clear()
    await refused(host, WrongTokenError, bench.cheque(vault, RENTER, HOST, 1, bench.factory))
    assert bench.reader.asked == []


async def test_a_vault_of_foreign_code_is_refused(bench: BtfsBench, host: Host) -> None:
    """The factory lists whatever code its caller chose."""
    vault = bench.deploy_any(MALLORY, bench.usdd.address, b"")
    await refused(host, BrokenVaultError, bench.cheque(Contract(CURRENT, bench.chain, vault), MALLORY, HOST, 1))


async def test_a_first_generation_vault_takes_no_token_cheques(bench: BtfsBench, host: Host) -> None:
    vault = bench.deploy(RENTER, FIRST)
    bench.fund(vault, AMOUNT, bench.usdd)
    await refused(host, BrokenVaultError, bench.cheque(vault, RENTER, HOST, 1, bench.usdd))


async def test_a_factory_that_is_not_there_is_our_fault(bench: BtfsBench, vault: Contract) -> None:
    vaults = BtfsVaults(bench.reader, HOST.address, bench.wbtt.address)
    with pytest.raises(ChainError, match="there is no deployedContracts"):
        await vaults.facts(bench.cheque(vault, RENTER, HOST, 1).cheque)


# --- bouncing -------------------------------------------------------------------------------------------------------


async def test_a_first_generation_vault_pays_what_it_has_and_bounces(bench: BtfsBench) -> None:
    vault = bench.deploy(RENTER, FIRST)
    bench.fund(vault, 400)
    signed = bench.cheque(vault, RENTER, HOST, 1000)
    receipt = bench.cash(HOST, vault, signed, PURSE.address)
    assert receipt.events == [
        ("ChequeBounced", ()),
        ("ChequeCashed", (HOST.address, PURSE.address, HOST.address, 400, 1000, 0)),
    ]
    assert bench.wallet(PURSE) == 400
    bench.fund(vault, 600)  # the same cheque pays the rest
    bench.cash(HOST, vault, signed, PURSE.address)
    assert bench.wallet(PURSE) == 1000


async def test_a_vault_of_today_pays_all_or_nothing(
    bench: BtfsBench, vault: Contract, host: Host, token: Contract | None
) -> None:
    signed = bench.cheque(vault, RENTER, HOST, 10 * AMOUNT, token)
    await host.receive(signed)
    _take_out(bench, vault, 1, token)
    with pytest.raises(RevertedError, match="Vault: insufficient fund"):
        bench.cash(HOST, vault, signed, PURSE.address)
    assert bench.wallet(PURSE, token) == 0
    bench.fund(vault, 1, token)
    bench.cash(HOST, vault, signed, PURSE.address)
    assert bench.wallet(PURSE, token) == 10 * AMOUNT


# --- issuing --------------------------------------------------------------------------------------------------------


@pytest.fixture
def renter(bench: BtfsBench, vault: Contract) -> IssuingDesk:
    return _desk(bench, vault, RENTER)


async def test_no_more_is_promised_than_the_vault_holds(bench: BtfsBench, vault: Contract, renter: IssuingDesk) -> None:
    await renter.issue(HOST.address, 6 * AMOUNT)
    with pytest.raises(OverdrawnError, match=f"can promise {4 * AMOUNT} units more"):
        await renter.issue(MALLORY.address, 4 * AMOUNT + 1)
    last = await renter.issue(MALLORY.address, 4 * AMOUNT)
    bench.cash(MALLORY, vault, last, MALLORY.address)  # what is paid is no promise any more
    with pytest.raises(OverdrawnError, match="can promise 0 units"):
        await renter.issue(HOST.address, 1)
    bench.fund(vault, 1)
    await renter.issue(HOST.address, 1)


async def test_an_issuer_that_lost_its_books_starts_above_what_was_paid(
    bench: BtfsBench, vault: Contract, renter: IssuingDesk, host: Host
) -> None:
    bench.cash(HOST, vault, await renter.issue(HOST.address, 500), PURSE.address)
    signed = await _desk(bench, vault, RENTER).issue(HOST.address, 7)
    assert signed.cheque.cumulative == 507
    assert await host.receive(signed) == 7


async def test_nothing_is_issued_on_a_vault_that_is_not_ours(bench: BtfsBench, vault: Contract) -> None:
    with pytest.raises(NotOurVaultError, match="takes cheques signed by"):
        await _desk(bench, vault, MALLORY).issue(HOST.address, 1)
    unknown = create(bench.chain, CURRENT, [], [])
    with pytest.raises(NotOurVaultError, match="has not deployed"):
        await _desk(bench, unknown, RENTER).issue(HOST.address, 1)


def _desk(bench: BtfsBench, vault: Contract, issuer: PrivateKey) -> IssuingDesk:
    async def keep(_signed: SignedBtfsCheque, _gain: int) -> None:
        pass

    return IssuingDesk(bench.chain_id, vault.address, issuer, bench.vaults, Book(), keep)


def _take_out(bench: BtfsBench, vault: Contract, amount: int, token: Contract | None) -> None:
    """The issuer's money leaves by a cheque to itself: the issuer's own transactions need no signature."""
    bench.cash(RENTER, vault, bench.cheque(vault, MALLORY, RENTER, amount, token), RENTER.address)
