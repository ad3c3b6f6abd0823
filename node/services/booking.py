"""Final receipts into the books: payouts by cheque, fees, deposits and withdrawals.

What a transaction has paid on a cheque is told by its own events: the vault's payout after it is the cheque's figure
less what was missing. So the books follow receipts alone, in any order, and booking one twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from node.ports.store import Account, Cashed, CashReceipt, Entry, Store
from wallet.address import Address
from wallet.chains.base import BouncedCheque, CashedCheque, ChainAdapter, Deposited, Receipt, VaultEvent, Withdrawn
from wallet.intents import Intent

NOBODY = Address(bytes(20))


class Booking:
    """The books of one rail. All receipts given to it must be final."""

    def __init__(self, store: Store, chain: ChainAdapter, own: Address) -> None:
        self._store = store
        self._chain = chain
        self._own = own
        self._fee_token = "" if chain.native == chain.rail.token else chain.native.symbol

    async def ours(self, intent: Intent, receipt: Receipt, now: int) -> None:
        """A transaction of our own, with its fee."""
        entries = [*self._fee(intent, receipt.fee_paid), *self._moves(receipt)]
        await self._store.mark_cashed(
            CashReceipt(
                rail=intent.rail,
                transaction=receipt.hash.hex(),
                block=receipt.block,
                cashed=cashed_cheques(receipt.events, self._own, receipt.fee_paid),
                entries=entries,
                now=now,
            )
        )

    async def failed(self, intent: Intent, now: int) -> None:
        """An intent that failed in a block: nothing moved but the fee."""
        if intent.hash is not None and intent.fee_paid:
            await self._store.mark_cashed(
                CashReceipt(
                    rail=intent.rail,
                    transaction=intent.hash.hex(),
                    block=intent.block or 0,
                    cashed=(),
                    entries=self._fee(intent, intent.fee_paid),
                    now=now,
                )
            )

    async def theirs(self, transaction: bytes, block: int, events: Sequence[VaultEvent], now: int) -> bool:
        """A transaction of somebody else that has cashed cheques for us; False where we knew it."""
        into = Account.WALLET
        if any(isinstance(event, CashedCheque) and event.recipient == NOBODY for event in events):
            into = Account.VAULT
        return await self._store.mark_cashed(
            CashReceipt(
                rail=self._chain.rail.id,
                transaction=transaction.hex(),
                block=block,
                cashed=cashed_cheques(events, self._own, 0),
                into=into,
                now=now,
            )
        )

    def _fee(self, intent: Intent, paid: int) -> list[Entry]:
        if paid == 0:
            return []
        return [
            Entry(
                rail=intent.rail,
                debit=Account.FEES,
                credit=Account.WALLET,
                amount=paid,
                token=self._fee_token,
                ref="" if intent.hash is None else intent.hash.hex(),
                memo=intent.call.text,
            )
        ]

    def _moves(self, receipt: Receipt) -> list[Entry]:
        """Our own money in and out of the vault."""
        entries = []
        for event in receipt.events:
            if isinstance(event, Deposited) and event.payer == self._own:
                entries.append(self._moved(Account.VAULT, Account.WALLET, event.amount, receipt, "deposit"))
            if isinstance(event, Withdrawn) and event.payer == self._own:
                entries.append(self._moved(Account.WALLET, Account.VAULT, event.amount, receipt, "withdrawal"))
        return entries

    def _moved(self, debit: Account, credit: Account, amount: int, receipt: Receipt, memo: str) -> Entry:
        rail = self._chain.rail.id
        return Entry(rail=rail, debit=debit, credit=credit, amount=amount, ref=receipt.hash.hex(), memo=memo)


def cashed_cheques(events: Iterable[VaultEvent], payee: Address, fee: int) -> list[Cashed]:
    """What one transaction did for each cheque to `payee`, and each one's part of the fee, in native units."""
    figures: dict[Address, int] = {}
    missing: dict[Address, int] = {}
    paid: dict[Address, int] = {}
    for event in events:
        if isinstance(event, CashedCheque | BouncedCheque) and event.payee == payee:
            figures[event.payer] = max(figures.get(event.payer, 0), event.cumulative)
            if isinstance(event, BouncedCheque):
                missing[event.payer] = event.missing
            else:
                paid[event.payer] = paid.get(event.payer, 0) + event.paid
    payers = sorted(figures)
    # Where everything bounced, all bear the same part.
    weights = [paid.get(payer, 0) if any(paid.values()) else 1 for payer in payers]
    return [
        Cashed(payer, payee, figures[payer] - missing.get(payer, 0), missing.get(payer, 0), part)
        for payer, part in zip(payers, split(fee, weights), strict=True)
    ]


def split(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in parts as large as their weights, none off by a whole unit, and nothing lost in rounding."""
    whole = sum(weights)
    parts, given, so_far = [], 0, 0
    for weight in weights:
        so_far += weight
        until = total * so_far // whole
        parts.append(until - given)
        given = until
    return parts
