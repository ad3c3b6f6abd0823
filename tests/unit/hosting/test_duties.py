"""What is due on chain, for any record, any state of the market and any time."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from node.ports.storage import HostedContract
from node.services.host.duties import Action, Duty, call_off_at, closable_at, duties, margin
from node.storage.lifecycle import MarketStatus, State
from tests.unit.hosting.kit import OnChain
from tests.unit.storage.samples import MARKET, NOW, contract

TERMS = contract(epochs=6)
LENGTH = TERMS.epoch_length
MOMENTS = st.integers(TERMS.start - 1000, TERMS.end + 3 * LENGTH)
MASKS = st.integers(0, 2**6 - 1)


def record(*, voucher: int = 0, whole: bool = True, damaged: str = "", cancel: int | None = None) -> HostedContract:
    return HostedContract(
        id=TERMS.digest(MARKET),
        rail="eip155:1029",
        market=MARKET.contract,
        contract=TERMS,
        renter_signature=b"",
        host_signature=b"",
        state=State.ACTIVE,
        whole=whole,
        damaged=damaged,
        cancel=cancel,
        epochs=TERMS.epochs,
        created_at=NOW - 3600,
        voucher=voucher,
    )


def on_chain(*, paid: int = 0, attempt: int = 0, answer_by: int = 0, epochs: int = 6) -> OnChain:
    return OnChain(MarketStatus.ACTIVE, epochs, attempt, 0, answer_by, 0, paid)


@given(MOMENTS, MASKS, st.integers(0, 6), st.integers(0, 6), st.booleans())
def test_no_duty_is_one_that_the_market_would_refuse(
    now: int, paid: int, attempt: int, voucher: int, challenged: bool
) -> None:
    answer_by = now + 50 if challenged else 0
    chain = on_chain(paid=paid, attempt=attempt, answer_by=answer_by)
    for duty in duties(record(voucher=voucher), chain, now):
        match duty.action:
            case Action.SETTLE:
                assert duty.number <= TERMS.epoch_at(now) + 1
                assert ((1 << duty.number) - 1) & ~paid
                assert duty.gain <= TERMS.escrow
            case Action.BEGIN | Action.PROVE:
                assert TERMS.epoch_start(duty.number + 1) <= now < TERMS.epoch_start(duty.number + 2)
                assert not paid >> duty.number & 1
                assert duty.number >= voucher, "what is vouched for is not proved too"
                assert (attempt > duty.number) == (duty.action is Action.PROVE)
            case Action.CLOSE:
                assert now >= closable_at(TERMS, chain)
                assert not challenged
            case Action.CALL_OFF:
                assert now < TERMS.start
            case _:
                assert duty.action is Action.ANSWER


@given(MOMENTS, MASKS, st.integers(0, 6))
def test_an_open_challenge_comes_before_everything(now: int, paid: int, voucher: int) -> None:
    todo = duties(record(voucher=voucher), on_chain(paid=paid, answer_by=now + 1), now)
    assert todo[0].action is Action.ANSWER


@given(st.integers(0, 2**40), st.integers(1, 2**40))
def test_a_challenge_is_answered_whatever_time_our_own_clock_shows(now: int, answer_by: int) -> None:
    assert duties(record(), on_chain(answer_by=answer_by), now)[0] == Duty(Action.ANSWER, answer_by)
    assert Action.ANSWER not in {duty.action for duty in duties(record(whole=False), on_chain(answer_by=5), now)}


@given(st.lists(st.integers(0, 100), min_size=6, max_size=6), st.integers(0, 6))
def test_a_host_that_looks_once_in_each_quarter_is_paid_for_every_epoch(parts: list[int], vouched: int) -> None:
    """Whatever the renter does, and whenever in a quarter of an epoch the host looks."""
    chain, paid_for = on_chain(), 0
    for step in range(4 * (TERMS.epochs + 2)):
        now = TERMS.start + step * LENGTH // 4 + parts[step % 6] * LENGTH // 401
        voucher = min(vouched, max(0, TERMS.epoch_at(now)))
        for _ in range(2):
            for duty in duties(record(voucher=voucher), chain, now):
                if duty.action is Action.BEGIN:
                    chain.attempt = duty.number + 1
                elif duty.action is Action.PROVE:
                    chain.paid |= 1 << duty.number
                elif duty.action is Action.SETTLE and not duty.optional:
                    chain.paid |= (1 << duty.number) - 1
                elif duty.action is Action.CLOSE:
                    paid_for = chain.paid
                    chain.status = MarketStatus.COMPLETED
    assert paid_for == 2**6 - 1


@given(MOMENTS)
def test_a_shard_that_is_not_here_is_called_off_and_never_proved(now: int) -> None:
    actions = {duty.action for duty in duties(record(whole=False), on_chain(answer_by=now + 5), now)}
    if now < TERMS.start:
        assert actions == ({Action.CALL_OFF} if now >= call_off_at(record(whole=False)) else set())
    assert not actions & {Action.ANSWER, Action.BEGIN, Action.PROVE}


def test_a_short_lead_leaves_time_to_call_off() -> None:
    late = record(whole=False)
    assert TERMS.start - 300 <= call_off_at(late) < TERMS.start
    assert margin(TERMS) == 15


def test_an_agreed_end_is_brought_to_the_market_and_nothing_else() -> None:
    now = TERMS.epoch_start(2) + LENGTH // 2
    todo = duties(record(voucher=2, cancel=4), on_chain(), now)
    assert [duty.action for duty in todo] == [Action.CANCEL]


@given(st.sampled_from([status for status in MarketStatus if status > MarketStatus.ACTIVE]), MOMENTS)
def test_nothing_is_due_where_the_market_is_done(status: MarketStatus, now: int) -> None:
    chain = on_chain(answer_by=now + 5)
    chain.status = status
    assert duties(record(voucher=3), chain, now) == []


@given(st.integers(0, 2**11), MOMENTS, st.booleans(), st.sampled_from([6, 5, 2]))
def test_a_host_leaves_alone_only_when_its_owner_said_so_and_where_the_market_allows_it(
    wait: int, now: int, challenged: bool, epochs: int
) -> None:
    leaving = replace(record(), leaving=TERMS.start, exit_at=TERMS.start + wait)
    chain = on_chain(answer_by=now + 50 if challenged else 0, epochs=epochs)
    todo = [duty for duty in duties(leaving, chain, now) if duty.action is Action.EXIT]
    assert not any(duty.action is Action.EXIT for duty in duties(replace(leaving, exit_at=0), chain, now))
    if todo:
        assert now >= max(leaving.exit_at, TERMS.start)
        assert not challenged
        assert epochs == TERMS.epochs, "it has not left before"
        assert TERMS.epoch_at(now) + 2 < epochs, "`StorageMarket.exit` would revert"


@given(st.integers(1, 100), st.integers(0, 2**64), st.integers(1, 99))
def test_the_fee_of_an_exit_is_half_the_share_of_the_rest_and_falls(epochs: int, collateral: int, served: int) -> None:
    terms = replace(TERMS, epochs=epochs, collateral=collateral)
    served = min(served, epochs)
    assert terms.exit_fee(served) == collateral * (epochs - served) // (2 * epochs)
    assert terms.exit_fee(epochs) == 0
    assert terms.exit_fee(served) <= terms.exit_fee(served - 1) <= collateral // 2
