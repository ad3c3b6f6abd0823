"""The pure receiver foretells what the vault's bytecode does with a cheque, whatever happened to the vault before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contracts.bench import Contract, key
from tests.contracts.btfs_bench import CURRENT, FIRST, BtfsBench
from wallet.btfs.errors import BouncedBeforeError, NotGrowingError, RefusedError, UncoveredError, WrongSignerError
from wallet.btfs.receiver import VaultFacts, judge
from wallet.chains.base import RevertedError

ISSUER, HOST, OTHER, PURSE = (key(number) for number in range(11, 15))


@pytest.fixture(scope="module")
def bench() -> BtfsBench:
    return BtfsBench()


@dataclass(frozen=True)
class Step:
    """What happens: `fund` the vault, `spend` a cheque to somebody else, or `cash` one of ours by some signer."""

    kind: str
    amount: int
    signed_by_issuer: bool = True


amounts = st.integers(1, 60)
steps = st.one_of(
    st.builds(Step, st.just("fund"), amounts),
    st.builds(Step, st.just("spend"), amounts),
    st.builds(Step, st.just("cash"), st.integers(0, 120), st.integers(0, 9).map(bool)),
)


class FakeVault:
    """The facts of a vault as the rules say they must be, without a chain."""

    def __init__(self, facts: VaultFacts, pays_partly: bool) -> None:
        self.facts = facts
        self._pays_partly = pays_partly

    def fund(self, amount: int) -> None:
        self.facts = replace(self.facts, balance=self.facts.balance + amount)

    def spend(self, amount: int) -> None:
        self.facts = replace(self.facts, balance=self.facts.balance - amount)

    def cash(self, cumulative: int) -> int:
        """Units paid, 0 for a refusal."""
        due = cumulative - self.facts.paid_out
        paid = min(due, self.facts.balance)
        if due <= 0 or (paid < due and not self._pays_partly):
            return 0
        self.facts = replace(
            self.facts,
            balance=self.facts.balance - paid,
            paid_out=self.facts.paid_out + paid,
            bounced=self.facts.bounced or paid < due,
        )
        return paid


@pytest.mark.parametrize("kind", ["WBTT", "token", "first generation"])
@given(history=st.lists(steps, max_size=8))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_verdict_is_what_the_vault_does_next(bench: BtfsBench, kind: str, history: list[Step]) -> None:
    snapshot = bench.chain.snapshot()
    try:
        await _replay(bench, kind, history)
    finally:
        bench.chain.revert(snapshot)


async def _replay(bench: BtfsBench, kind: str, history: list[Step]) -> None:
    token = bench.usdd if kind == "token" else None
    vault = bench.deploy(ISSUER, FIRST if kind == "first generation" else CURRENT)
    fake = FakeVault(VaultFacts(ISSUER.address, bench.wbtt.address, 0, 0, False), kind == "first generation")
    spent = 0
    for step in history:
        if step.kind == "fund":
            bench.fund(vault, step.amount, token)
            fake.fund(step.amount)
        elif step.kind == "spend":
            amount = min(step.amount, fake.facts.balance)
            if amount:
                spent += amount
                bench.cash(OTHER, vault, bench.cheque(vault, ISSUER, OTHER, spent, token), OTHER.address)
                fake.spend(amount)
        else:
            await _cash(bench, vault, fake, step, token)
        probe = bench.cheque(vault, ISSUER, HOST, 1, token)
        assert await bench.vaults.facts(probe.cheque) == fake.facts


async def _cash(bench: BtfsBench, vault: Contract, fake: FakeVault, step: Step, token: Contract | None) -> None:
    """Judge a cheque by the fake's facts, then let the vault have it."""
    signed = bench.cheque(vault, ISSUER if step.signed_by_issuer else OTHER, HOST, step.amount, token)
    verdict = _outcome(lambda: judge(bench.terms(HOST), signed, fake.facts, 0))
    before, old = bench.wallet(PURSE, token), fake.facts
    with suppress(RevertedError):
        bench.cash(HOST, vault, signed, PURSE.address)
    paid = bench.wallet(PURSE, token) - before
    assert paid == (fake.cash(step.amount) if step.signed_by_issuer else 0)
    if isinstance(verdict, int):
        assert paid == verdict
    elif verdict is BouncedBeforeError:
        assert old.bounced  # it may pay again; we would not know beforehand
    else:
        assert verdict in {NotGrowingError, WrongSignerError, UncoveredError}
        assert paid < max(1, step.amount - old.paid_out)


def _outcome(action: Callable[[], int]) -> int | type[RefusedError]:
    try:
        return action()
    except RefusedError as error:
        return type(error)
