"""The real storage market against a model of a few lines per rule, over random histories.

After every step the market holds exactly its balances and what running contracts have locked; no epoch is paid twice;
and from wherever a history ends, time and a stranger's calls are enough for everybody to take out what is theirs. The
books that each party keeps from the market's events alone (`wallet.storage.books`) agree with it all the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.contracts.bench import NOBODY, Receipt, RevertedError, key
from tests.contracts.storage.bench import ANSWER_PERIOD, BLOCK, BOND, EPOCH, Shard, StorageBench, Terms
from tests.contracts.storage.books import Keeper, events_of
from wallet.ledger import Account

PEOPLE = [key(number) for number in (61, 62, 63)]
STRANGER = key(64)
WEALTH = 2000
SHARDS = [Shard(1), Shard(2 * BLOCK + 1)]
ROOTS = {shard.root: shard for shard in SHARDS}
MAX_DEALS = 6

_bench: list[StorageBench] = []


def bench_with_full_wallets() -> StorageBench:
    """One chain for all histories: each goes back to this point when it is done."""
    if not _bench:
        bench = StorageBench()
        for person in PEOPLE:
            bench.token.send(person, "mint", person.address, WEALTH)
            bench.token.send(person, "approve", bench.market.address, 2**256 - 1)
        _bench.append(bench)
    return _bench[0]


@dataclass
class Deal:
    """A contract as the model sees it. `roles`: renter, host, payee, auditor as numbers; no auditor is None."""

    terms: Terms
    roles: tuple[int, int, int, int | None]
    status: str = "signed"
    epochs: int = 0
    paid: set[int] = field(default_factory=set)
    attempt: int | None = None
    seed_block: int = 0
    asked: tuple[int, int, int] | None = None
    """Who asked for which block, and until when."""

    @property
    def active(self) -> bool:
        return self.status == "active"

    @property
    def shard(self) -> Shard:
        return ROOTS[self.terms.root]

    @property
    def end(self) -> int:
        return self.terms.start + self.epochs * EPOCH

    @property
    def closable_at(self) -> int:
        return self.end if len(self.paid) == self.epochs else self.end + EPOCH

    @property
    def escrow(self) -> int:
        return (self.epochs - len(self.paid)) * self.terms.price

    @property
    def collateral(self) -> int:
        return self.terms.collateral - self.fee(self.epochs)

    @property
    def locked(self) -> int:
        return self.escrow + self.collateral + (BOND if self.asked else 0) if self.active else 0

    def locks(self, person: int) -> int:
        """How much of it is this person's."""
        renter, host, *_ = self.roles
        parts = ((renter, self.escrow), (host, self.collateral), (self.asked[0] if self.asked else None, BOND))
        return sum(amount for whose, amount in parts if whose == person) if self.active else 0

    def fee(self, kept: int) -> int:
        return self.terms.collateral * (self.terms.epochs - kept) // (2 * self.terms.epochs)

    def begun(self, now: int) -> int:
        return max(0, (now - self.terms.start) // EPOCH + 1)


people = st.integers(0, len(PEOPLE) - 1)
amounts = st.integers(0, 300) | st.just(WEALTH + 1)
deals = st.integers(0, 3 * MAX_DEALS - 1)
"""The lower two thirds choose among contracts in force, while there are any."""
RENTER, HOST, PAYEE, AUDITOR = range(4)
parts = st.sampled_from
"""Who acts, by role; more often one who may."""
drafts = st.fixed_dictionaries(
    {
        "roles": st.tuples(people, people, people, st.none() | people),
        "shard": st.sampled_from(SHARDS),
        "delay": st.sampled_from([1, EPOCH // 2, EPOCH]),
        "epochs": st.integers(1, 5),
        "price": st.sampled_from([0, 1, 50, 333]),
        "collateral": st.sampled_from([0, 1, 101, 700]),
    }
)


class MarketHistory(RuleBasedStateMachine):
    """Each rule does one thing to the market and to the model, and compares what came of it."""

    @initialize(draft=drafts, started=st.sampled_from([True, True, False]))
    def begin(self, draft: dict[str, object], started: bool) -> None:
        self.bench = bench_with_full_wallets()
        self.snapshot, self.start = self.bench.chain.snapshot(), self.bench.now
        self.wallets = [WEALTH] * len(PEOPLE)
        self.balances = [0] * len(PEOPLE)
        self.deals: list[Deal] = []
        self.keepers = [Keeper(person.address) for person in PEOPLE]
        for person in range(len(PEOPLE)):
            self.deposit(person, WEALTH - 100)
        self.agree(draft)
        self.submit(self.deals[0])
        if started:
            self.bench.now = self.deals[0].terms.start

    def teardown(self) -> None:
        if hasattr(self, "snapshot"):
            try:
                self.everybody_leaves()
            finally:
                self.bench.chain.revert(self.snapshot)
                self.bench.now = self.start

    # --- helpers -----------------------------------------------------------------------------------------------------

    def deal(self, number: int) -> Deal:
        running = [deal for deal in self.deals if deal.active]
        choice = running if running and number < 2 * MAX_DEALS else self.deals
        return choice[number % len(choice)]

    def person(self, deal: Deal, role: int) -> int:
        """Where there is no auditor, somebody takes the part who is none."""
        person = deal.roles[role]
        return 0 if person is None else person

    def send(self, person: int | None, function: str, *arguments: object) -> Receipt | None:
        """None where the market refuses. Nobody in particular: a stranger."""
        sender = STRANGER if person is None else PEOPLE[person]
        try:
            receipt = self.bench.market.send(sender, function, *arguments)
        except RevertedError:
            return None
        events = events_of(self.bench, receipt)
        for keeper in self.keepers:
            keeper.follow(events)
        return receipt

    def signed(self, person: int, digest: bytes) -> bytes:
        return PEOPLE[person].sign_digest(digest)

    def pay(self, deal: Deal, epochs: set[int]) -> None:
        new = epochs - deal.paid
        deal.paid |= new
        self.balances[deal.roles[2]] += len(new) * deal.terms.price

    def finish(self, deal: Deal, status: str) -> None:
        renter, host, *_ = deal.roles
        self.balances[renter] += deal.escrow
        self.balances[renter if status == "failed" else host] += deal.collateral
        if deal.asked:
            self.balances[deal.asked[0]] += BOND
        deal.status, deal.asked = status, None

    def can_open(self, deal: Deal, spare: int = 0) -> bool:
        """`spare`: what the renter would have besides its balance."""
        renter, host, *_ = deal.roles
        price = deal.terms.epochs * deal.terms.price
        has = [*self.balances]
        has[renter] += spare - price
        has[host] -= deal.terms.collateral
        covered = self.balances[renter] + spare >= price and has[host] >= 0
        return deal.status == "signed" and self.bench.now < deal.terms.start and covered

    def opened(self, deal: Deal) -> None:
        self.balances[deal.roles[0]] -= deal.terms.epochs * deal.terms.price
        self.balances[deal.roles[1]] -= deal.terms.collateral
        deal.status, deal.epochs = "active", deal.terms.epochs

    def agree(self, draft: dict[str, object], after: Deal | None = None) -> None:
        """Two people agree on a contract, or on what shall follow another one; nothing happens on chain."""
        roles, shard = draft["roles"], draft["shard"]
        assert isinstance(roles, tuple)
        assert isinstance(shard, Shard)
        if after is not None:
            roles, shard = (after.roles[RENTER], *roles[1:]), after.shard
        renter, host, payee, auditor = (NOBODY if person is None else PEOPLE[person].address for person in roles)
        numbers = [int(str(draft[name])) for name in ("delay", "epochs", "price", "collateral")]
        delay, epochs, price, collateral = numbers
        terms = Terms(
            root=shard.root,
            length=shard.length,
            renter=renter,
            host=host,
            payee=payee,
            auditor=auditor,
            start=self.bench.now + delay,
            epochs=epochs,
            epoch_length=EPOCH,
            price=price,
            collateral=collateral,
            nonce=len(self.deals),
        )
        self.deals.append(Deal(terms, roles))

    def submit(self, deal: Deal) -> None:
        digest = deal.terms.id(self.bench.separator)
        possible = self.can_open(deal)
        done = self.send(
            None, "open", deal.terms, self.signed(deal.roles[0], digest), self.signed(deal.roles[1], digest)
        )
        assert (done is not None) == possible
        if possible:
            self.opened(deal)

    def give_up(self, deal: Deal) -> None:
        possible = deal.asked is not None and self.bench.now > deal.asked[2]
        assert (self.send(None, "fail", deal.terms) is not None) == possible
        if possible:
            self.finish(deal, "failed")

    def run_out(self, deal: Deal) -> None:
        possible = deal.active and not deal.asked and self.bench.now >= deal.closable_at
        assert (self.send(None, "close", deal.terms) is not None) == possible
        if possible:
            self.finish(deal, "completed")

    # --- rules -------------------------------------------------------------------------------------------------------

    @rule(person=people, amount=amounts)
    def deposit(self, person: int, amount: int) -> None:
        done = self.send(person, "deposit", amount)
        assert (done is not None) == (0 < amount <= self.wallets[person])
        if done:
            self.wallets[person] -= amount
            self.balances[person] += amount

    @rule(person=people, amount=amounts)
    def withdraw(self, person: int, amount: int) -> None:
        done = self.send(person, "withdraw", amount, PEOPLE[person].address)
        assert (done is not None) == (0 < amount <= self.balances[person])
        if done:
            self.balances[person] -= amount
            self.wallets[person] += amount

    @precondition(lambda self: len(self.deals) < MAX_DEALS)
    @rule(draft=drafts, at_once=st.sampled_from([True, True, False]))
    def sign(self, draft: dict[str, object], at_once: bool) -> None:
        self.agree(draft)
        if at_once:
            self.submit(self.deals[-1])
            self.bench.now += EPOCH // 2

    @rule(number=deals)
    def open(self, number: int) -> None:
        self.submit(self.deal(number))

    @precondition(lambda self: any(self.bench.now < deal.terms.start for deal in self.deals))
    @rule(number=deals, part=parts([RENTER, HOST, PAYEE]))
    def call_off(self, number: int, part: int) -> None:
        deal = self.deal(number)
        person = self.person(deal, part)
        possible = (
            person in deal.roles[:2] and self.bench.now < deal.terms.start and deal.status in ("signed", "active")
        )
        assert (self.send(person, "callOff", deal.terms) is not None) == possible
        if possible:
            if deal.active:
                self.finish(deal, "called off")
            deal.status = "called off"

    @rule(number=deals, ahead=st.sampled_from([0, 0, -1, 1]), part=parts([RENTER, RENTER, AUDITOR, HOST]))
    def settle(self, number: int, ahead: int, part: int) -> None:
        """A voucher for the epochs that have begun, or for one more or less."""
        deal, now = self.deal(number), self.bench.now
        through = max(0, min(deal.epochs, deal.begun(now)) + ahead)
        signer = self.person(deal, part)
        due = set(range(through)) - deal.paid
        in_time = 0 < through <= min(deal.epochs, deal.begun(now))
        possible = deal.active and in_time and bool(due) and signer in (deal.roles[0], deal.roles[3])
        signature = self.signed(signer, deal.terms.voucher(self.bench.separator, through))
        assert (self.send(None, "settle", deal.terms, through, signature) is not None) == possible
        if possible:
            self.pay(deal, due)
            if now >= deal.closable_at and not deal.asked:
                self.finish(deal, "completed")

    @rule(number=deals, part=parts([HOST, HOST, HOST, RENTER]))
    def begin_proof(self, number: int, part: int) -> None:
        deal = self.deal(number)
        person = self.person(deal, part)
        epoch = deal.begun(self.bench.now) - 2
        fresh = deal.attempt is None or deal.attempt < epoch
        possible = (
            deal.active and person == deal.roles[1] and 0 <= epoch < deal.epochs and epoch not in deal.paid and fresh
        )
        done = self.send(person, "beginProof", deal.terms)
        assert (done is not None) == possible
        if done:
            deal.attempt, deal.seed_block = epoch, done.mined.block_number + 1

    @rule(number=deals, slip=st.sampled_from([0, 0, 0, 1]))
    def prove(self, number: int, slip: int) -> None:
        """`slip`: how far from the right block."""
        deal = self.deal(number)
        age = self.bench.chain.head.number + 1 - deal.seed_block
        seed = self.bench.chain.block(deal.seed_block)
        index = self.bench.index(deal.terms, seed.hash) if seed else 0
        shown = (index + slip) % deal.shard.blocks
        pending = deal.attempt is not None and deal.attempt not in deal.paid
        possible = deal.active and pending and 1 <= age <= 256 and shown == index
        assert (self.send(None, "prove", deal.terms, *deal.shard.proof(shown)) is not None) == possible
        if possible:
            assert deal.attempt is not None
            self.pay(deal, {deal.attempt})

    @rule(number=deals, part=parts([RENTER, AUDITOR, HOST]), index=st.integers(0, 3))
    def challenge(self, number: int, part: int, index: int) -> None:
        deal, now = self.deal(number), self.bench.now
        person = self.person(deal, part)
        standing = person in (deal.roles[0], deal.roles[3]) and self.balances[person] >= BOND
        in_time = deal.terms.start <= now < deal.end
        possible = deal.active and not deal.asked and standing and in_time and index < deal.shard.blocks
        assert (self.send(person, "challenge", deal.terms, index) is not None) == possible
        if possible:
            self.balances[person] -= BOND
            deal.asked = (person, index, now + ANSWER_PERIOD)

    @rule(number=deals, slip=st.sampled_from([0, 0, 1]))
    def answer(self, number: int, slip: int) -> None:
        deal = self.deal(number)
        shown = ((deal.asked[1] if deal.asked else 0) + slip) % deal.shard.blocks
        possible = deal.asked is not None and deal.asked[1] == shown and self.bench.now <= deal.asked[2]
        assert (self.send(None, "answer", deal.terms, *deal.shard.proof(shown)) is not None) == possible
        if possible:
            deal.asked = None
            self.balances[deal.roles[2]] += BOND

    @rule(number=deals)
    def fail(self, number: int) -> None:
        self.give_up(self.deal(number))

    @rule(number=deals)
    def close(self, number: int) -> None:
        self.run_out(self.deal(number))

    @rule(number=deals, part=parts([HOST, HOST, RENTER]))
    def exit(self, number: int, part: int) -> None:
        deal, now = self.deal(number), self.bench.now
        person = self.person(deal, part)
        kept = deal.begun(now) + 1
        in_time = now >= deal.terms.start and kept < deal.epochs
        possible = deal.active and not deal.asked and person == deal.roles[1] and in_time
        assert (self.send(person, "exit", deal.terms) is not None) == possible
        if possible:
            self.balances[deal.roles[0]] += (deal.epochs - kept) * deal.terms.price + deal.fee(kept)
            deal.epochs = kept

    @rule(number=deals, through=st.integers(2, 6))
    def cancel(self, number: int, through: int) -> None:
        deal = self.deal(number)
        possible = deal.active and through <= deal.epochs
        digest = deal.terms.cancellation(self.bench.separator, through)
        signatures = [self.signed(person, digest) for person in deal.roles[:2]]
        assert (self.send(None, "cancel", deal.terms, through, *signatures) is not None) == possible
        if possible:
            self.pay(deal, set(range(through)))
            self.finish(deal, "cancelled")

    @precondition(lambda self: len(self.deals) < MAX_DEALS)
    @rule(number=deals, draft=drafts, same=st.sampled_from([True, True, True, False]))
    def hand_over(self, number: int, draft: dict[str, object], same: bool) -> None:
        old = self.deal(number)
        self.agree(draft, old if same else None)
        new = self.deals[-1]
        digests = [old.terms.cancellation(self.bench.separator, 0), new.terms.id(self.bench.separator)]
        ends, opens = (
            [self.signed(person, digest) for person in deal.roles[:2]]
            for deal, digest in zip((old, new), digests, strict=True)
        )
        done = self.send(None, "handOver", old.terms, 0, ends, new.terms, opens)
        before = [*self.balances]
        related = (old.terms.root, old.roles[0]) == (new.terms.root, new.roles[0])
        possible = False
        if old.active and related:
            was = (old.status, old.asked)
            self.finish(old, "cancelled")
            possible = self.can_open(new)
            if possible:
                self.opened(new)
            else:
                self.balances = before
                old.status, old.asked = was
        assert (done is not None) == possible

    @rule(number=deals, part=parts([HOST]), slip=st.sampled_from([0, 0, 1]))
    def an_epoch_passes_and_is_proved(self, number: int, part: int, slip: int) -> None:
        self.bench.now += EPOCH
        self.begin_proof(number, part)
        self.blocks_pass(1)
        self.prove(number, slip)

    @rule(number=deals, part=parts([RENTER, AUDITOR]), slip=st.sampled_from([0, 0, 1]))
    def an_audit(self, number: int, part: int, slip: int) -> None:
        self.challenge(number, part, 0)
        self.answer(number, slip)

    @rule(seconds=st.sampled_from([1, ANSWER_PERIOD, EPOCH // 2, EPOCH]))
    def time_passes(self, seconds: int) -> None:
        self.bench.now += seconds

    @rule(blocks=st.sampled_from([1, 1, 1, 257]))
    def blocks_pass(self, blocks: int) -> None:
        self.bench.chain.mine(blocks)

    # --- promises ----------------------------------------------------------------------------------------------------

    @invariant()
    def the_market_holds_its_balances_and_what_is_locked(self) -> None:
        if not hasattr(self, "deals"):
            return
        assert [self.bench.balance(person) for person in PEOPLE] == self.balances
        held = self.bench.token.read("balanceOf", self.bench.market.address)
        assert held == sum(self.balances) + sum(deal.locked for deal in self.deals)
        assert held + sum(self.wallets) == WEALTH * len(PEOPLE)

    @invariant()
    def everybodys_books_say_what_the_market_says(self) -> None:
        if not hasattr(self, "deals"):
            return
        for person, keeper in enumerate(self.keepers):
            assert keeper.figure(Account.MARKET) == self.balances[person]
            assert keeper.figure(Account.LOCKED) == keeper.locked == sum(deal.locks(person) for deal in self.deals)
            gain = keeper.figure(Account.STORAGE_INCOME) - keeper.figure(Account.STORAGE_EXPENSE)
            assert self.wallets[person] + self.balances[person] + keeper.locked == WEALTH + gain

    def everybody_leaves(self) -> None:
        """Nothing is stuck: with patience and a stranger's calls the market can be emptied, to the unit."""
        running = [deal for deal in self.deals if deal.active]
        self.bench.now = max([self.bench.now, *(deal.closable_at + ANSWER_PERIOD + 1 for deal in running)])
        for deal in running:
            (self.give_up if deal.asked else self.run_out)(deal)
        assert not any(deal.active for deal in self.deals)
        for person in range(len(PEOPLE)):
            self.withdraw(person, self.balances[person])
        assert self.bench.token.read("balanceOf", self.bench.market.address) == 0
        assert [self.bench.wallet(person) for person in PEOPLE] == self.wallets


TestMarketHistory = MarketHistory.TestCase
TestMarketHistory.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
