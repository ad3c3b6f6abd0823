"""The real vault against a model of a dozen lines per rule, over random histories.

After every step the vault holds exactly what its accounts say; nobody is paid more than their cheques; and at the end
of every history each payer gets back all that nobody has drawn.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.contracts.bench import NOBODY, NOTICE, Bench, Receipt, RevertedError, key
from wallet.cheque import SignedCheque
from wallet.keys import PrivateKey

PEOPLE = [key(number) for number in (11, 12, 13)]
HOT_KEYS = [key(number) for number in (21, 22)]
NAMES = {person.address: place for place, person in enumerate(PEOPLE)}
WEALTH = 1000
FOREVER = 2**64

_bench: list[Bench] = []


def bench_with_full_wallets() -> Bench:
    """One chain for all histories: each goes back to this point when it is done."""
    if not _bench:
        bench = Bench()
        for person in PEOPLE:
            bench.token.send(person, "mint", person.address, WEALTH)
            bench.token.send(person, "approve", bench.vault.address, 2**256 - 1)
        _bench.append(bench)
    return _bench[0]


@dataclass
class Hot:
    cap: int = 0
    moved: int = 0
    until: int = 0


@dataclass
class Model:
    """People are numbers here."""

    wallet: list[int] = field(default_factory=lambda: [WEALTH] * len(PEOPLE))
    balance: list[int] = field(default_factory=lambda: [0] * len(PEOPLE))
    notice: dict[int, tuple[int, int]] = field(default_factory=dict)
    paid: defaultdict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    locked: defaultdict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    unlock_at: dict[tuple[int, int], int] = field(default_factory=dict)
    hot: defaultdict[tuple[int, PrivateKey], Hot] = field(default_factory=lambda: defaultdict(Hot))

    def free(self, payer: int) -> int:
        return self.balance[payer] - sum(amount for (owner, _), amount in self.locked.items() if owner == payer)

    def draw(self, now: int, payer: int, payee: int, cumulative: int, signer: PrivateKey) -> int | None:
        """What a cheque pays; None where it is rejected."""
        due = cumulative - self.paid[payer, payee]
        own, hot = signer is PEOPLE[payer], self.hot[payer, signer]
        if payee == payer or due <= 0 or not (own or hot.until >= now):
            return None
        from_locked = min(due, self.locked[payer, payee])
        from_free = min(due - from_locked, self.free(payer))
        if not own:
            from_free = min(from_free, max(0, hot.cap - hot.moved))
            hot.moved += from_free
        self.locked[payer, payee] -= from_locked
        self.balance[payer] -= from_locked + from_free
        self.paid[payer, payee] += from_locked + from_free
        return from_locked + from_free


people = st.integers(0, len(PEOPLE) - 1)
amounts = st.integers(0, WEALTH + 100)
signers = st.one_of(st.none(), st.sampled_from([*HOT_KEYS, *PEOPLE]))
cheques = st.tuples(people, people, amounts, signers)


class VaultHistory(RuleBasedStateMachine):
    """Each rule does one thing to the vault and to the model, and compares what came of it."""

    @initialize()
    def begin(self) -> None:
        self.bench = bench_with_full_wallets()
        self.snapshot, self.start = self.bench.chain.snapshot(), self.bench.now
        self.model = Model()

    def teardown(self) -> None:
        if hasattr(self, "snapshot"):
            try:
                self.everybody_leaves()
            finally:
                self.bench.chain.revert(self.snapshot)
                self.bench.now = self.start

    # --- helpers -----------------------------------------------------------------------------------------------------

    def send(self, person: int, function: str, *arguments: object) -> Receipt | None:
        """None where the vault refuses."""
        try:
            return self.bench.vault.send(PEOPLE[person], function, *arguments)
        except RevertedError:
            return None

    def signed(self, cheque: tuple[int, int, int, PrivateKey | None]) -> SignedCheque:
        payer, payee, cumulative, signer = cheque
        return self.bench.cheque(PEOPLE[payer], PEOPLE[payee], cumulative, signer=signer)

    # --- rules -------------------------------------------------------------------------------------------------------

    @rule(payer=people, amount=amounts, giver=people)
    def deposit(self, payer: int, amount: int, giver: int) -> None:
        done = self.send(giver, "depositFor", PEOPLE[payer].address, amount)
        assert (done is not None) == (0 < amount <= self.model.wallet[giver])
        if done:
            self.model.wallet[giver] -= amount
            self.model.balance[payer] += amount

    @rule(payer=people, amount=amounts)
    def give_notice(self, payer: int, amount: int) -> None:
        covered = min(amount, self.model.balance[payer])
        assert (self.send(payer, "giveNotice", amount) is not None) == (covered > 0)
        if covered:
            self.model.notice[payer] = (covered, self.bench.now + NOTICE)

    @rule(payer=people)
    def withdraw(self, payer: int) -> None:
        amount, ready = self.model.notice.get(payer, (0, 0))
        amount = min(amount, self.model.free(payer)) if self.bench.now >= ready else 0
        assert (self.send(payer, "withdraw", PEOPLE[payer].address) is not None) == (amount > 0)
        if amount:
            del self.model.notice[payer]
            self.model.balance[payer] -= amount
            self.model.wallet[payer] += amount

    @rule(payer=people, payee=people, amount=amounts)
    def lock(self, payer: int, payee: int, amount: int) -> None:
        possible = payer != payee and 0 < amount <= self.model.free(payer)
        assert (self.send(payer, "lock", PEOPLE[payee].address, amount) is not None) == possible
        if possible:
            self.model.locked[payer, payee] += amount
            self.model.unlock_at.pop((payer, payee), None)

    @rule(payer=people, payee=people)
    def request_unlock(self, payer: int, payee: int) -> None:
        possible = self.model.locked[payer, payee] > 0
        assert (self.send(payer, "requestUnlock", PEOPLE[payee].address) is not None) == possible
        if possible:
            self.model.unlock_at[payer, payee] = self.bench.now + NOTICE

    @rule(payer=people, payee=people)
    def unlock(self, payer: int, payee: int) -> None:
        ready = self.model.unlock_at.get((payer, payee), FOREVER)
        possible = self.model.locked[payer, payee] > 0 and self.bench.now >= ready
        assert (self.send(payer, "unlock", PEOPLE[payee].address) is not None) == possible
        if possible:
            self.model.locked[payer, payee] = 0
            del self.model.unlock_at[payer, payee]

    @rule(payer=people, hot=st.sampled_from(HOT_KEYS), cap=amounts)
    def authorise(self, payer: int, hot: PrivateKey, cap: int) -> None:
        assert self.send(payer, "authorise", hot.address, cap)
        self.model.hot[payer, hot].cap, self.model.hot[payer, hot].until = cap, FOREVER

    @rule(payer=people, hot=st.sampled_from(HOT_KEYS))
    def revoke(self, payer: int, hot: PrivateKey) -> None:
        known = self.model.hot[payer, hot]
        assert (self.send(payer, "revoke", hot.address) is not None) == (known.until == FOREVER)
        if known.until == FOREVER:
            known.cap, known.until = 0, self.bench.now + NOTICE

    @rule(seconds=st.sampled_from([1, NOTICE // 2, NOTICE]))
    def time_passes(self, seconds: int) -> None:
        self.bench.now += seconds

    @rule(cheque=cheques, to_wallet=st.booleans(), sender=people)
    def cash(self, cheque: tuple[int, int, int, PrivateKey | None], to_wallet: bool, sender: int) -> None:
        payer, payee, cumulative, signer = cheque
        signed = self.signed(cheque)
        recipient = PEOPLE[payee].address if to_wallet else NOBODY
        done = self.send(sender, "cash", signed.cheque, signed.signature, recipient)
        paid = self.model.draw(self.bench.now, payer, payee, cumulative, signer or PEOPLE[payer])
        assert (done is not None) == (paid is not None)
        (self.model.wallet if to_wallet else self.model.balance)[payee] += paid or 0

    @rule(batch=st.lists(cheques, max_size=6), receiver=st.one_of(st.none(), people), sender=people)
    def cash_many(
        self, batch: list[tuple[int, int, int, PrivateKey | None]], receiver: int | None, sender: int
    ) -> None:
        recipient = NOBODY if receiver is None else PEOPLE[receiver].address
        done = self.send(sender, "cashMany", [self.signed(cheque) for cheque in batch], recipient)
        assert done is not None
        paid = []
        for payer, payee, cumulative, signer in batch:
            amount = None
            if receiver is None or receiver == payee or sender == payee:
                amount = self.model.draw(self.bench.now, payer, payee, cumulative, signer or PEOPLE[payer])
            paid.append(amount)
            if receiver is None:
                self.model.balance[payee] += amount or 0
            else:
                self.model.wallet[receiver] += amount or 0
        events = [arguments for name, arguments in done.events if name == "Cashed"]
        assert [arguments[-1] for arguments in events] == [amount for amount in paid if amount]
        assert sum(name == "Rejected" for name, _ in done.events) == paid.count(None)

    # --- promises ----------------------------------------------------------------------------------------------------

    @invariant()
    def the_vault_holds_what_its_accounts_say(self) -> None:
        if not hasattr(self, "model"):
            return
        assert [self.bench.balance(person) for person in PEOPLE] == self.model.balance
        assert self.bench.token.read("balanceOf", self.bench.vault.address) == sum(self.model.balance)
        assert sum(self.model.balance) + sum(self.model.wallet) == WEALTH * len(PEOPLE)

    def everybody_leaves(self) -> None:
        """Nothing is stuck: with some patience the vault can be emptied, and wallets hold what the model says."""
        for payer, payee in list(self.model.locked):
            self.request_unlock(payer, payee)
        self.bench.now += NOTICE
        for payer, payee in list(self.model.locked):
            self.unlock(payer, payee)
        for payer in range(len(PEOPLE)):
            self.give_notice(payer, 2**256 - 1)
        self.bench.now += NOTICE
        for payer in range(len(PEOPLE)):
            self.withdraw(payer)
        assert self.bench.token.read("balanceOf", self.bench.vault.address) == 0
        assert [self.bench.wallet(person) for person in PEOPLE] == self.model.wallet
        for (payer, payee), paid in self.model.paid.items():
            assert self.bench.vault.read("paidOut", PEOPLE[payer].address, PEOPLE[payee].address) == paid


TestVaultHistory = VaultHistory.TestCase
TestVaultHistory.settings = settings(
    max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
