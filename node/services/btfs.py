"""BTFS cheques in the node: taken from BTFS peers with every check, cashed, and issued on a vault of ours.

    a peer's JSON ──checks against the chain──▶ book ──outbox──▶ tokens          (`wallet.btfs.desk`, `.settlement`)
    our word ◀──the user's limits, then the vault's balance── a wish to pay

Theory. The vault of a BTFS cheque is its payer's own contract, and nothing in it is reserved for us: a cheque is worth
what cashing it brings, and that is what the token's own books say of the final receipt. Receipts are booked where the
rail books all its transactions: what a crash interrupts is booked at the next start, once.

A cheque we issue is spending as any other. One of WBTT counts against the limits on cheques, together with what is paid
for speed; one of another token against the limits on transfers of that token.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from node.ports.btfs import BtfsPayout, BtfsRecord, BtfsStore
from node.ports.clock import Clock
from node.ports.store import Role, utc_day
from node.services.budget import Budget
from node.services.rate import Rate
from node.services.settlement import Done, Settlement
from node.services.wallet import Wallet
from wallet.address import Address
from wallet.amount import Token, format_amount
from wallet.btfs import wire
from wallet.btfs.book import Book
from wallet.btfs.chain import BtfsVaults, cash, paid
from wallet.btfs.desk import IssuingDesk, ReceivingDesk
from wallet.btfs.errors import BrokenVaultError, IssueError
from wallet.btfs.receiver import Terms
from wallet.btfs.wire import SignedBtfsCheque
from wallet.chains.abi import NOBODY
from wallet.chains.assets import Asset, AssetKind
from wallet.chains.base import ChainAdapter, ChainError, Fee, Receipt
from wallet.cheque import BtfsCheque
from wallet.errors import ChequeError
from wallet.intents import CLOSED, Intent, OutboxStore
from wallet.keys import PrivateKey
from wallet.outbox import IntentFailedError
from wallet.spending import Outflow

log = logging.getLogger(__name__)

KEY = "btfs"
"""What the keys of intents begin with that cash BTFS cheques."""
CASH_AT_ONCE = 16
"""Transactions that wait for finality together."""
LOOKS_AT_ONCE = 8
MAX_LOOKS = 1000
"""Cheques that one look considers, the latest first."""
FORGOTTEN = Token("TOKEN", 0)
"""Stands for a token that is in the settings no more: its amounts are shown in units."""


@dataclass(frozen=True, slots=True)
class Received:
    """A cheque that counts now, and by how much: `gain` units of its token."""

    cheque: BtfsCheque
    gain: int


@dataclass(frozen=True, slots=True)
class Cashable:
    """A cheque we hold that its vault has not paid in full.

    `due`: units it claims now. `payout`: what of them cashing would bring, by the vault's balance. `fee`: of the
    transaction at most; None where it would fail, and `note` says why.
    """

    signed: SignedBtfsCheque
    due: int
    payout: int
    fee: Fee | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cashed:
    """What became of a `Cashable`: `amount` units came in; or `fault` says why nothing was sent or took effect."""

    cashable: Cashable
    amount: int = 0
    done: Done | None = None
    fault: str = ""


class Btfs:
    """One per EVM rail that knows BTFS's factory. `records`: what the store has; `assets`: taken beside WBTT."""

    def __init__(
        self,
        vaults: BtfsVaults,
        records: Sequence[BtfsRecord],
        *,
        chain: ChainAdapter,
        assets: Sequence[Asset],
        key: PrivateKey,
        store: BtfsStore,
        intents: OutboxStore,
        settlement: Settlement,
        budget: Budget,
        wallet: Wallet,
        clock: Clock,
    ) -> None:
        self._vaults = vaults
        self._chain = chain
        self._key = key
        self._store = store
        self._intents = intents
        self._settlement = settlement
        self._budget = budget
        self._wallet = wallet
        self._clock = clock
        self.wbtt = chain.token
        self._tokens = {
            asset.contract: asset.token for asset in assets if asset.contract not in (None, self.wbtt, NOBODY)
        }
        kept = {role: [_signed(record) for record in records if record.role is role] for role in Role}
        self._issued = Book(kept[Role.PAYEE])
        terms = Terms(chain.rail.chain_id, key.address, self.wbtt, frozenset(filter(None, self._tokens)))
        self._desk = ReceivingDesk(terms, vaults, Book(kept[Role.PAYER]), self._keep_received)
        self._rate = Rate(clock)
        self._issuing = asyncio.Lock()
        self._cashing = asyncio.Lock()
        settlement.also_book.append(self._book)
        wallet.promised.append(self._promised_today)

    def token(self, contract: Address | None) -> Token:
        """What amounts of a cheque are in; `contract` None: WBTT."""
        return self._chain.rail.token if contract is None else self._tokens.get(contract, FORGOTTEN)

    def encoded(self, record: BtfsRecord) -> bytes:
        """A cheque as BTFS peers exchange it."""
        return wire.encode(_signed(record), self.wbtt)

    async def cheques(self) -> Sequence[BtfsRecord]:
        """The latest of each vault, beneficiary and token, received and issued; the newest first."""
        records = await self._store.btfs_cheques(self._chain.rail.id)
        return sorted(records, key=lambda record: -record.updated_at)

    # --- receiving ---------------------------------------------------------------------------------------------------

    async def receive(self, raw: bytes, *, caller: str = "") -> Received:
        """Take the cheque in a peer's JSON: checked against the chain, and durable on return.

        Raises `TooOftenError`, `RefusedError` (the peer's fault), `BookFullError`, `ChainError`, `StoreError`.
        """
        self._rate.take(caller)
        signed, gain = await self._desk.receive(raw)
        cheque = signed.cheque
        log.info("a BTFS cheque on %s adds %s", cheque.vault, format_amount(gain, self.token(cheque.token)))
        return Received(cheque, gain)

    async def _keep_received(self, signed: SignedBtfsCheque, gain: int) -> None:
        await self._keep(Role.PAYER, signed, gain)

    async def _keep(self, role: Role, signed: SignedBtfsCheque, gain: int) -> None:
        cheque = signed.cheque
        record = BtfsRecord(
            rail=self._chain.rail.id,
            role=role,
            vault=cheque.vault,
            beneficiary=cheque.beneficiary,
            token=cheque.token,
            cumulative=cheque.cumulative,
            signature=signed.signature,
            updated_at=self._clock.wall(),
        )
        await self._store.keep_btfs(record, gain, self._symbol(cheque.token))

    # --- issuing -----------------------------------------------------------------------------------------------------

    async def issue(
        self, vault: Address, beneficiary: Address, amount: int, token: Address | None = None, *, caller: str = ""
    ) -> bytes:
        """The JSON of a cheque on our vault that pays `amount` more than all earlier ones; durable on return.

        `token` None, or WBTT's address: a cheque of WBTT. Raises `TooOftenError`, `LimitError`, `IssueError`,
        `BookFullError`, `BrokenVaultError`, `ChainError`, `StoreError`; then nothing was promised.
        """
        self._rate.take(caller)
        token = None if token == self.wbtt else token
        if token is not None and token not in self._tokens:
            raise IssueError(f"the token {token} is not known here: name it in [rail] tokens")
        if amount < 1:
            raise IssueError("a cheque adds at least 1 unit")

        async def keep(signed: SignedBtfsCheque, gain: int) -> None:
            await self._keep(Role.PAYEE, signed, gain)

        async with self._issuing, self._within_limits(beneficiary, amount, token):
            desk = IssuingDesk(self._chain.rail.chain_id, vault, self._key, self._vaults, self._issued, keep)
            signed = await desk.issue(beneficiary, amount, token)
        log.info("issued a BTFS cheque on %s over %s more", vault, format_amount(amount, self.token(token)))
        return wire.encode(signed, self.wbtt)

    def _within_limits(
        self, beneficiary: Address, amount: int, token: Address | None
    ) -> AbstractAsyncContextManager[None]:
        if token is None:
            return self._budget.apart(amount)
        return self._wallet.apart(Outflow(self.token(token), amount, beneficiary))

    async def _promised_today(self) -> Sequence[Outflow]:
        day = utc_day(self._clock.wall())
        rail = self._chain.rail.id
        spent = [(token, await self._store.spent_in(rail, token.symbol, day)) for token in self._tokens.values()]
        return [Outflow(token, amount, NOBODY) for token, amount in spent if amount]

    # --- cashing -----------------------------------------------------------------------------------------------------

    async def plan(self, vault: Address | None = None) -> list[Cashable]:
        """What could be cashed now, of one vault or of all. Raises `ChainError`, and `ChequeError` for a vault of which
        no cheque is held."""
        records = [
            record
            for record in await self.cheques()
            if record.role is Role.PAYER and record.beneficiary == self._key.address and vault in (None, record.vault)
        ]
        if vault is not None and not records:
            raise ChequeError(f"no cheque drawn on {vault} is held: `bttnode btfs cheques` shows those that are")
        found: list[Cashable | None] = []
        waiting = [_signed(record) for record in records if record.cashed < record.cumulative][:MAX_LOOKS]
        for start in range(0, len(waiting), LOOKS_AT_ONCE):
            found += await asyncio.gather(*map(self._look, waiting[start : start + LOOKS_AT_ONCE]))
        return [cashable for cashable in found if cashable is not None]

    async def _look(self, signed: SignedBtfsCheque) -> Cashable | None:
        """None where the vault has paid all of it."""
        cheque = signed.cheque
        try:
            facts = await self._vaults.facts(cheque)
        except BrokenVaultError as error:
            return Cashable(signed, cheque.cumulative, 0, None, str(error))
        if facts is None:
            return Cashable(signed, cheque.cumulative, 0, None, "BTFS's factory does not know the vault any more")
        due = cheque.cumulative - facts.paid_out
        if due <= 0:
            return None
        payout = min(due, facts.balance)
        note = "" if payout == due else f"the vault holds {format_amount(facts.balance, self.token(cheque.token))} only"
        try:
            fee = await self._chain.estimate(cash(signed, self._key.address), self._key.address)
        except ChainError as error:
            if error.retry:
                raise
            return Cashable(signed, due, 0, None, note or str(error))
        return Cashable(signed, due, payout, fee, note)

    async def cash(self, plan: Iterable[Cashable]) -> list[Cashed]:
        """Cash to our own wallet what a plan says can be cashed; one transaction for each cheque, to its final receipt.

        A transaction that fails does not hold up the others. Raises `ChainError`, `TimeoutError` and `StoreError`; what
        was done before holds, and what was sent goes on.
        """
        todo, found = list(plan), list[Cashed | BaseException]()
        async with self._cashing:
            for start in range(0, len(todo), CASH_AT_ONCE):
                group = map(self._cash, todo[start : start + CASH_AT_ONCE])
                found += await asyncio.gather(*group, return_exceptions=True)
        for outcome in found:
            if isinstance(outcome, BaseException):
                raise outcome
        return [outcome for outcome in found if isinstance(outcome, Cashed)]

    async def _cash(self, cashable: Cashable) -> Cashed:
        if cashable.fee is None:
            return Cashed(cashable, fault=cashable.note)
        signed, own = cashable.signed, self._key.address
        try:
            done = await self._settlement.perform(await self._intent_key(signed.cheque, own), cash(signed, own))
        except IntentFailedError as error:
            return Cashed(cashable, fault=str(error))
        return Cashed(cashable, await self._brought(signed.cheque, own, done.receipt), done)

    async def _intent_key(self, cheque: BtfsCheque, recipient: Address) -> str:
        """The same as long as the attempt may take effect: one that a crash has interrupted is taken up again."""
        named = (self._chain.rail.id, cheque.vault, cheque.token or self.wbtt, cheque.cumulative, recipient)
        for attempt in itertools.count():
            key = f"{KEY}:{':'.join(map(str, named))}:{attempt}"
            known = await self._intents.intent(key)
            if known is None or known.state not in CLOSED:
                break
        return key

    async def _book(self, intent: Intent, receipt: Receipt) -> None:
        """A final transaction of ours: if it has cashed a cheque, book what it brought, by the token's own books."""
        if not intent.key.startswith(f"{KEY}:"):
            return
        # From the right, since a rail's name has a colon; its last part is the attempt.
        vault, token, cumulative, recipient, _ = intent.key.rsplit(":", 5)[1:]
        contract = Address.parse(token)
        cheque = BtfsCheque(
            Address.parse(vault), self._key.address, int(cumulative), None if contract == self.wbtt else contract
        )
        payout = BtfsPayout(
            rail=intent.rail,
            transaction=receipt.hash.hex(),
            vault=cheque.vault,
            beneficiary=cheque.beneficiary,
            token=cheque.token,
            amount=await self._brought(cheque, Address.parse(recipient), receipt),
            at=self._clock.wall(),
            symbol=self._symbol(cheque.token),
        )
        await self._store.book_btfs(payout)

    async def _brought(self, cheque: BtfsCheque, recipient: Address, receipt: Receipt) -> int:
        asset = Asset(AssetKind.TOKEN, self.token(cheque.token), cheque.token or self.wbtt)
        return paid(cheque, receipt, await self._chain.transfers(asset, recipient, receipt.block, receipt.block))

    def _symbol(self, token: Address | None) -> str:
        """As the store's books name it."""
        return "" if token is None else self.token(token).symbol


def _signed(record: BtfsRecord) -> SignedBtfsCheque:
    cheque = BtfsCheque(record.vault, record.beneficiary, record.cumulative, record.token)
    return SignedBtfsCheque(cheque, record.signature)
