"""A host on one rail: its parts put together, and the rounds that keep them going.

    offers ─→ `acceptance` ─→ contracts ─→ `following` (the market) ─→ `duties` ─→ `claims` (transactions)
                                   │                └─→ `intake` (shards in and out of the engine)
                                   └─→ `answers`, `vouchers`, `cancelling`, `labels` (peers), `selfcheck` (our disks)

A round looks at every contract whose time has come. How soon again depends on what may happen to it: seconds while it
waits to be opened, for its shard, for its end or a final block, a sixteenth of an epoch and at most a minute while it
runs.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from node.ports.clock import Clock
from node.ports.events import EngineEvent
from node.ports.storage import HostedContract, MarketPort, OnChain
from node.ports.volumes import READABLE, VolumeInfo, Volumes, VolumeState
from node.services.host.acceptance import Acceptance
from node.services.host.answers import Answers
from node.services.host.books import Earnings, Situation, at_risk, reasons
from node.services.host.cancelling import Cancelling
from node.services.host.claims import Claims, Fees, Transactions
from node.services.host.contracts import Contracts
from node.services.host.duties import duties
from node.services.host.errors import RefusedError
from node.services.host.following import Following
from node.services.host.intake import Intake, ShardEngine
from node.services.host.labels import Labels
from node.services.host.leaving import Leaving
from node.services.host.selfcheck import EVERY, SelfCheck
from node.services.host.shards import DamagedError, Shards
from node.services.host.terms import HostTerms, PriceTables
from node.services.host.vouchers import Vouchers
from node.services.rounds import Rounds, Wait, at_most
from node.storage.lifecycle import MarketStatus, State
from node.storage.messages import Consent, Proposal
from wallet.address import Address
from wallet.chains.base import ChainError
from wallet.intents import OutboxStore
from wallet.keys import PrivateKey
from wallet.storage_terms import Market

log = logging.getLogger(__name__)

ROUND_EVERY = 5.0
LOOK_EVERY = 60
"""Seconds between two looks at a contract that runs, at most."""
LOOKS_AT_ONCE = 64
"""Contracts that the market is asked for in one question."""
REFUSALS, REFUSED_FOR = 5, 3600
"""The latest reasons for a no that are kept for the owner, and for how many seconds."""
_WELL = frozenset({VolumeState.ONLINE, VolumeState.DRAINING})
_NEEDS_OWNER = "a disk of this node needs its owner"


class Host:
    """Made by `open`. All times of the rounds are those of `clock`."""

    def __init__(
        self,
        contracts: Contracts,
        terms: HostTerms,
        market: MarketPort,
        *,
        volumes: Volumes,
        engine: ShardEngine,
        transactions: Transactions,
        intents: OutboxStore,
        fees: Fees,
        key: PrivateKey,
        payee: Address | None = None,
        clock: Clock,
        random: Random,
        wait: Wait | None = None,
    ) -> None:
        self.contracts = contracts
        self._market = market
        self._volumes = volumes
        self._key = key
        self._clock = clock
        self.shards = Shards(volumes)
        self.tables = PriceTables(terms, market.market, key=key, payee=payee, volumes=volumes, clock=clock)
        self._acceptance = Acceptance(
            self.tables, contracts, market, volumes=volumes, key=key, clock=clock, closed=self._why_closed
        )
        self.answers = Answers(contracts, self.shards, market.market, key=key, clock=clock)
        self.vouchers = Vouchers(contracts, market.market, clock)
        self.labels = Labels(contracts, clock)
        self.cancelling = Cancelling(contracts, market.market, key=key, clock=clock)
        self.leaving = Leaving(contracts, clock)
        self.intake = Intake(contracts, self.shards, volumes, engine)
        self.following = Following(contracts, market, clock)
        self.claims = Claims(
            contracts,
            market,
            self.shards,
            self.cancelling,
            transactions=transactions,
            intents=intents,
            fees=fees,
            clock=clock,
        )
        self.selfcheck = SelfCheck(contracts, self.shards, random)
        self._rounds = Rounds(f"hosting on {contracts.rail}", self.step, wait or at_most(ROUND_EVERY))
        self._next_look: dict[bytes, float] = {}
        self._soon: set[bytes] = set()
        """Contracts that the next round is to look at."""
        self._next_check = clock.now() + EVERY
        self._damaged: dict[bytes, str] = {}
        """Roots found damaged, whose contracts do not say so yet."""
        self._closed = _NEEDS_OWNER if any(record.damaged for record in contracts.live()) else ""
        self._unwell: set[str] = set()
        """Volumes that are not as they should be."""
        self._challenged: dict[bytes, int] = {}
        """Contract → until when an open challenge may be answered."""
        self._alarmed: set[bytes] = set()
        """Challenged contracts whose owner has been told that their collateral is at risk."""
        self._chain_fault = ""
        self._asked = 0
        self._refused: deque[tuple[int, str]] = deque(maxlen=REFUSALS)
        """Unix second, reason."""
        self.on_fault: Callable[[str], object] = lambda text: None
        self.shards.on_damage = self._found_damage
        self._acceptance.on_signed = self._rounds.wake
        self.vouchers.on_voucher = self._rounds.wake
        self.claims.on_done = self._look_soon
        self.claims.on_unanswered = self._alarm
        self.cancelling.on_agreed = self._look_soon
        self.leaving.on_change = self._look_soon
        self.intake.on_finished = self._rounds.wake

    # --- life --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Rounds until `close` or cancellation. Call `tidy` for all rails before."""
        await self._rounds.run()

    async def close(self) -> None:
        """What is open goes on at the next start. Idempotent."""
        await self._rounds.close()
        for work in (self.claims.under_way, self.intake.under_way):
            await work.close()

    async def join(self) -> None:
        """Until what the rounds have begun so far has ended."""
        for work in (self.claims.under_way, self.intake.under_way):
            await work.join()

    def handle(self, event: EngineEvent) -> None:
        """Every engine event, in order."""
        self.intake.handle(event)

    @property
    def market(self) -> Market:
        """Whose contracts this host signs."""
        return self._market.market

    @property
    def now(self) -> int:
        """Unix seconds, by the host's clock."""
        return self._clock.wall()

    # --- other nodes -------------------------------------------------------------------------------------------------

    async def propose(self, sender: Address, proposal: Proposal) -> Consent:
        """Raises as `Acceptance.propose`."""
        self._asked += 1
        try:
            return await self._acceptance.propose(sender, proposal)
        except RefusedError as error:
            self._refused.append((self.now, str(error)))
            raise

    # --- the owner ---------------------------------------------------------------------------------------------------

    async def why(self) -> list[str]:
        """Why this host does not earn, or not more; empty where nothing is wrong. Raises `VolumeError`."""
        return reasons(await self._situation())

    async def _situation(self) -> Situation:
        fault, balance, volumes = self._chain_fault, None, await self._volumes.volumes()
        try:
            balance = await self._market.balance(self._key.address)
        except ChainError as error:
            fault = str(error)
        return Situation(
            terms=self.tables.terms,
            volumes=volumes,
            contracts=list(self.contracts),
            now=self._clock.wall(),
            balance=balance,
            closed=_NEEDS_OWNER if self._damaged else _closed(volumes, self.contracts),
            chain_fault=fault,
            notes=self.claims.notes,
            faults=self.selfcheck.faults | self.intake.faults,
            challenged=self._challenged,
            asked=self._asked,
            refused=tuple(dict.fromkeys(reason for at, reason in self._refused if at > self.now - REFUSED_FOR)),
        )

    def earnings(self) -> Earnings:
        """Of all contracts together."""
        return Earnings.total(self.contracts)

    async def volumes_changed(self) -> None:
        """The owner added or changed a volume, or a disk went or came: the next offer is judged by it, and what a disk
        that is back holds is looked at anew. Raises `VolumeError`."""
        volumes = await self._volumes.volumes()
        self._closed = _closed(volumes, self.contracts)
        unwell = {volume.id for volume in volumes if volume.state not in _WELL}
        if self._unwell - unwell:
            self._disks_are_back()
        self._unwell = unwell

    async def recheck(self) -> list[HostedContract]:
        """The owner has seen to the disks: read every damaged shard anew; returns the contracts that are right again.

        Raises `VolumeError`, `StoreError`.
        """
        self._disks_are_back()
        healed = []
        for record in [record for record in self.contracts.live() if record.damaged]:
            contract = record.contract
            try:
                await self.shards.reread(contract.root, contract.length)
            except DamagedError:
                continue
            healed.append(await self.contracts.change(record.id, damaged=""))
            self._damaged.pop(contract.root, None)
            self._look_soon(record.id)
        return healed

    # --- rounds ------------------------------------------------------------------------------------------------------

    async def step(self) -> None:
        """One round. Raises `StoreError`."""
        await self._mark_damaged()
        await self.volumes_changed()
        now = self._clock.now()
        soon, self._soon = self._soon, set()
        live = self.contracts.live()
        due = [record for record in live if record.id in soon or self._next_look.get(record.id, 0.0) <= now]
        try:
            for start in range(0, len(due), LOOKS_AT_ONCE):
                await self._look(due[start : start + LOOKS_AT_ONCE])
            self._chain_answers("")
        except ChainError as error:
            self._soon |= soon
            self._chain_answers(str(error))
        if now >= self._next_check:
            self._next_check = now + EVERY
            await self.selfcheck.look()
            await self._mark_damaged()

    async def _look(self, records: Sequence[HostedContract]) -> None:
        heads = await self._market.states([record.id for record in records])
        for record, head in zip(records, heads, strict=True):
            await self.following.look(record.id, head)
            self._act(record, head)

    def _act(self, record: HostedContract, chain: OnChain) -> None:
        record = self.contracts.get(record.id) or record
        if not record.live:
            self._next_look.pop(record.id, None)
            self.claims.notes.pop(record.id, None)
            self.answers.forget(record.id)
            self._heed(record, 0)
            self.intake.end(record)
            return
        self.intake.begin(record)
        self._heed(record, chain.answer_by)
        self.claims.begin(record, chain, duties(record, chain, self._clock.wall()))
        # An end and what was paid just now are booked at a later look, when they are final.
        ending = record.cancel is not None or chain.status not in (MarketStatus.UNKNOWN, MarketStatus.ACTIVE)
        waiting = record.state is State.SIGNED or not record.whole or ending or chain.paid & ~record.paid
        pause = 0.0 if waiting else min(LOOK_EVERY, record.contract.epoch_length / 16)
        self._next_look[record.id] = self._clock.now() + pause

    def _heed(self, record: HostedContract, answer_by: int) -> None:
        """Remember an open challenge; one that nobody can answer now is told to the owner."""
        if answer_by:
            self._challenged[record.id] = answer_by
            if record.damaged:
                self._alarm(record.id, record.damaged)
        else:
            self._challenged.pop(record.id, None)
            self._alarmed.discard(record.id)

    def _alarm(self, contract_id: bytes, wrong: str) -> None:
        """Once for each challenge."""
        record, answer_by = self.contracts.get(contract_id), self._challenged.get(contract_id)
        if record is not None and answer_by and contract_id not in self._alarmed:
            self._alarmed.add(contract_id)
            text = at_risk(record, answer_by, wrong)
            log.error("%s", text)
            self.on_fault(text)

    def _chain_answers(self, fault: str) -> None:
        """What the market was asked came back, or why it did not."""
        if fault and not self._chain_fault:
            log.warning("hosting on %s: the chain does not answer, claims wait: %s", self.contracts.rail, fault)
        elif self._chain_fault and not fault:
            log.info("hosting on %s goes on: the chain answers again", self.contracts.rail)
        self._chain_fault = fault

    def _disks_are_back(self) -> None:
        """What was wrong with shards may be right now: look at once."""
        self.selfcheck.forgive()
        self.intake.disks_are_back()
        self._next_look.clear()
        self._next_check = self._clock.now()
        self._rounds.wake()

    def _look_soon(self, contract_id: bytes) -> None:
        # Not by `_next_look`: a round that is under way may have asked about it already, and is about to set that.
        self._soon.add(contract_id)
        self._rounds.wake()

    def _why_closed(self) -> str:
        return _NEEDS_OWNER if self._damaged else self._closed

    def _found_damage(self, root: bytes, reason: str) -> None:
        self._damaged[root] = reason
        self.on_fault(f"{reason}: check the disk, then `bttnode host volume check`")
        self._rounds.wake()

    async def _mark_damaged(self) -> None:
        while self._damaged:
            root, reason = next(iter(self._damaged.items()))
            for record in self.contracts.on_root(root):
                await self.contracts.change(record.id, damaged=reason)
                await self.intake.stop_serving(root, record.contract.length)
            self._damaged.pop(root, None)


def _closed(volumes: Sequence[VolumeInfo], contracts: Contracts) -> str:
    """Why nothing new is taken, or "": a host that cannot keep what it has must not promise more."""
    if not volumes:
        return "this node has no volume"
    # What a disk held that was away at the start is not known: any shard of ours may be on it.
    holds = any(record.whole for record in contracts.live())
    for volume in volumes:
        if volume.state is VolumeState.SICK or (volume.state not in READABLE and (volume.shards or holds)):
            return _NEEDS_OWNER
    if any(record.damaged for record in contracts.live()):
        return _NEEDS_OWNER
    return ""
