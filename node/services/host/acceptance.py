"""Automatic acceptance: from a renter's signed proposal to our signature, or to a clear no.

What costs nothing is checked first, then what asks the chain, last what takes room. Order of what lasts: room is
reserved on a disk, the record with our signature is durable, and only then the renter hears of it. A crash between any
two leaves room that no contract needs, which the next start gives back (`intake.tidy`), or a signature that nobody has
heard of: the same proposal again brings the same one. Signatures are deterministic (RFC 6979), and a contract is known
by its digest, so nothing is ever signed in two ways.

A signature that is not opened costs us too: room, and shortly before the start a transaction that calls it off, lest it
be opened when no time is left to fetch the shard. So no renter has more than `MAX_UNOPENED` of them in a day.

Money. Until a contract is opened the market has locked nothing, so a renter's free balance has to cover this offer and
all of its offers that we have signed before; and our own balance the collateral of as many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from node.ports.clock import Clock
from node.ports.storage import HostedContract, MarketPort
from node.ports.volumes import NoRoomError, UnknownShardError, Volumes
from node.services.host.contracts import Contracts
from node.services.host.errors import RefusedError
from node.services.host.terms import PriceTables
from node.storage.lifecycle import LOCKED, State
from node.storage.messages import Consent, Proposal
from node.storage.terms import DAY
from wallet.address import Address
from wallet.errors import BadSignatureError
from wallet.keys import PrivateKey
from wallet.storage_terms import sign, verify

MAX_UNOPENED = 16
"""Offers of one renter within a day that wait to be opened, or never were."""
_UNOPENED = (State.SIGNED, State.LAPSED, State.CANCELLED)


class Acceptance:
    """One per rail. `closed` says why nothing is taken now, or ""."""

    def __init__(
        self,
        tables: PriceTables,
        contracts: Contracts,
        market: MarketPort,
        *,
        volumes: Volumes,
        key: PrivateKey,
        clock: Clock,
        closed: Callable[[], str] = lambda: "",
    ) -> None:
        self._tables = tables
        self._contracts = contracts
        self._market = market
        self._volumes = volumes
        self._key = key
        self._clock = clock
        self._closed = closed
        self._deciding = asyncio.Lock()
        self.on_signed: Callable[[], object] = lambda: None

    async def propose(self, sender: Address, proposal: Proposal) -> Consent:
        """Our signature, durable. Raises `RefusedError`, `ChainError`, `StoreError`, `VolumeError`."""
        market, contract = self._market.market, proposal.contract
        if proposal.market != market:
            raise RefusedError("market", f"this node hosts for {market.contract} on chain {market.chain_id}")
        if sender != contract.renter:
            raise RefusedError("sender", f"the contract is {contract.renter}'s, and {sender} proposes it")
        contract_id = contract.digest(market)
        async with self._deciding:
            known = self._contracts.get(contract_id)
            if known is not None:
                return self._again(known)
            if reason := self._closed():
                raise RefusedError("closed", reason, "offer it to another host")
            try:
                verify(market, contract, proposal.signature, contract.renter)
            except BadSignatureError as error:
                raise RefusedError("signature", str(error)) from None
            before = self._before(proposal)
            free = 0 if before is not None else await self._tables.free()
            self._tables.judge(contract, free=free, renews=None if before is None else before.contract.end)
            self._within_limits(proposal, before)
            await self._covered(proposal)
            return await self._sign(contract_id, proposal, before)

    def _again(self, known: HostedContract) -> Consent:
        if not known.live:
            raise RefusedError("unknown", f"this contract has ended here: {known.state}", "offer a new one")
        return Consent(known.host_signature)

    def _before(self, proposal: Proposal) -> HostedContract | None:
        """The contract that this one follows; None for a new shard."""
        contract = proposal.contract
        here = self._contracts.on_root(contract.root)
        if proposal.renews is None:
            if here:
                raise RefusedError("known", "this shard is here under another contract", "offer it to another host")
            return None
        before = self._contracts.known(proposal.renews)
        if (before.contract.root, before.contract.length, before.contract.renter) != (
            contract.root,
            contract.length,
            contract.renter,
        ):
            raise RefusedError("terms", "a renewal is about the same shard of the same renter")
        if before.leaving:
            raise RefusedError("terms", "the owner gives this shard up", "offer it to another host")
        if before.state not in LOCKED or before.epochs != before.contract.epochs:
            raise RefusedError("terms", f"the contract before this one is {before.state}: it cannot be renewed")
        if any(other.renews == before.id for other in here):
            raise RefusedError("known", "this contract has been renewed already")
        return before

    def _within_limits(self, proposal: Proposal, before: HostedContract | None) -> None:
        terms, contract, live = self._tables.terms, proposal.contract, self._contracts.live()
        at_stake = sum(record.contract.collateral for record in live)
        rented = sum(record.contract.length for record in live if record.contract.renter == contract.renter)
        yesterday = self._clock.wall() - DAY
        unopened = sum(
            record.contract.renter == contract.renter and record.state in _UNOPENED and not record.paid
            for record in self._contracts
            if record.created_at > yesterday
        )
        reasons = (
            (unopened >= MAX_UNOPENED, f"{unopened} offers of yours were signed here in a day and came to nothing yet"),
            (len(live) >= terms.max_contracts, f"{len(live)} contracts are here, and no more are taken"),
            (contract.length > terms.max_shard, f"shards have at most {terms.max_shard} bytes here"),
            (
                before is None and rented + contract.length > terms.per_renter,
                f"one renter may keep {terms.per_renter} bytes here",
            ),
            (at_stake + contract.collateral > terms.max_collateral, "the owner puts no more collateral at stake"),
        )
        for wrong, reason in reasons:
            if wrong:
                raise RefusedError("limit", reason, "offer it to another host")

    async def _covered(self, proposal: Proposal) -> None:
        contract = proposal.contract
        now = self._clock.wall()
        signed = [
            record.contract
            for record in self._contracts
            if record.state is State.SIGNED and record.contract.start > now
        ]
        escrow = contract.escrow + sum(other.escrow for other in signed if other.renter == contract.renter)
        collateral = contract.collateral + sum(other.collateral for other in signed)
        theirs, ours = await asyncio.gather(
            self._market.balance(contract.renter), self._market.balance(self._key.address)
        )
        if theirs < escrow:
            raise RefusedError(
                "cover",
                f"offers that we have signed lock {escrow} of yours, and the market holds {theirs}",
                "deposit first",
            )
        if ours < collateral:
            raise RefusedError("cover", "our collateral is all in use", "offer it to another host")

    async def _sign(self, contract_id: bytes, proposal: Proposal, before: HostedContract | None) -> Consent:
        contract = proposal.contract
        if before is None:
            if await self._kept(contract.root):
                raise RefusedError("known", "this shard is here under another contract", "offer it to another host")
            try:
                await self._volumes.reserve(contract.root, contract.length)
            except NoRoomError as error:
                raise RefusedError("room", str(error), "offer it to another host") from None
        record = HostedContract(
            id=contract_id,
            rail=self._contracts.rail,
            market=self._contracts.market,
            contract=contract,
            renter_signature=proposal.signature,
            host_signature=sign(self._market.market, contract, self._key),
            state=State.SIGNED,
            peers=proposal.peers,
            renews=proposal.renews,
            whole=before is not None and before.whole,
            damaged="" if before is None else before.damaged,
            epochs=contract.epochs,
            created_at=self._clock.wall(),
        )
        # Where this fails, it may be durable all the same: only the next start can tell what no contract needs.
        await self._contracts.add(record)
        self.on_signed()
        return Consent(record.host_signature)

    async def _kept(self, root: bytes) -> bool:
        """Whether the disks have it, for a contract of another rail."""
        try:
            await self._volumes.place(root)
        except UnknownShardError:
            return False
        return True
