"""The user's money outside cheques: balances, transfers, wrapping, and what happened, on every rail of one key.

Nothing is signed here. A transfer is a call: it is checked against the user's limits, quoted with its fee, and handed
to the rail's outbox under the caller's idempotency key, so that asking twice sends once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from node.ports.clock import Clock
from node.services.settlement import Done, Settlement
from wallet.address import Address
from wallet.amount import format_amount
from wallet.chains.abi import NOBODY
from wallet.chains.assets import Asset, TokenTransfer
from wallet.chains.base import Call, ChainAdapter, ChainError, Fee, PayerState
from wallet.errors import WalletError
from wallet.limits import SpendLimits
from wallet.outbox import Intent, IntentState
from wallet.spending import Holdings, Outflow, TransferLimits

DAY = 86_400
HISTORY_BLOCKS = 5_000
"""How far back incoming transfers are looked for: chains have no index of them."""
MAX_HISTORY = 1_000
MAX_INTENTS_PER_DAY = 10_000


class UnknownAssetError(WalletError):
    """The rail has no such asset, or there is no such rail."""


class IntentHistory(Protocol):
    """What the store remembers of our transactions."""

    async def intents(self, rail: str, sender: Address, *, since: int = 0, limit: int = 1000) -> Sequence[Intent]:
        """Newest first."""


@dataclass(frozen=True, slots=True)
class Purse:
    """One rail. `label` tells people whose money it is."""

    name: str
    label: str
    chain: ChainAdapter
    holdings: Holdings
    settlement: Settlement
    link: Callable[[str], str] = lambda transaction: ""


@dataclass(frozen=True, slots=True)
class Balances:
    """What one rail says now; `fault` instead, where it cannot be asked."""

    purse: Purse
    amounts: tuple[tuple[Asset, int], ...] = ()
    deposit: PayerState | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    """A call that could be made now. `asset` and `balance`: what it draws on, and how much of that there is."""

    purse: Purse
    call: Call
    fee: Fee
    asset: Asset
    amount: int
    balance: int


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """`kind`: the call's method, or `received`. `block` None: in none yet. `transaction`: hex, empty before signing."""

    time: int | None
    kind: str
    text: str
    state: str
    block: int | None
    transaction: str
    fee: int | None
    link: str
    reason: str = ""


class Wallet:
    """Of one key. `purses` by rail name, the preferred one first."""

    def __init__(
        self,
        purses: Mapping[str, Purse],
        *,
        own: Address,
        history: IntentHistory,
        limits: TransferLimits,
        cheque_limits: SpendLimits,
        clock: Clock,
    ) -> None:
        self.purses = purses
        self.limits = limits
        self.cheque_limits = cheque_limits
        """For the user to see beside ours; whoever signs cheques keeps them."""
        self.own = own
        self._history = history
        self._clock = clock
        self._submitting = asyncio.Lock()
        self._apart: list[Outflow] = []
        self.promised: list[Callable[[], Awaitable[Sequence[Outflow]]]] = []
        """Who else lets money out, and tells what has gone since midnight UTC: cheques in tokens."""

    def purse(self, name: str | None) -> Purse:
        """By name; without one, the only rail. Raises `UnknownAssetError`."""
        if name is None:
            if len(self.purses) > 1:
                raise UnknownAssetError(f"several rails are configured: choose one of {', '.join(self.purses)}")
            return next(iter(self.purses.values()))
        if name not in self.purses:
            raise UnknownAssetError(f"no rail '{name}' is configured: choose one of {', '.join(self.purses)}")
        return self.purses[name]

    def asset(self, rail: str | None, symbol: str) -> Asset:
        """Raises `UnknownAssetError`."""
        return self._asset(self._purse_with(rail, symbol), symbol)

    async def balances(self) -> list[Balances]:
        """One for each rail, in their order. Asks all of them at once; a rail that is away does not hold up others."""
        return list(await asyncio.gather(*map(self._balances, self.purses.values())))

    async def quote_transfer(self, rail: str | None, symbol: str, to: str, amount: int) -> Quote:
        """Raises `AddressError`, `UnknownAssetError`, `LimitError`, `ChainError`: all before anything is signed."""
        purse = self._purse_with(rail, symbol)
        asset = self._asset(purse, symbol)
        receiver = Address.parse_on(to, tron=purse.chain.rail.id.startswith("tron:"))
        return await self._quote(purse, purse.chain.transfer(asset, receiver, amount), asset, amount)

    async def quote_wrap(self, rail: str | None, amount: int, *, unwrap: bool = False) -> Quote:
        """Between the native coin and its token, one to one. Raises as `quote_transfer`."""
        purse = self.purse(rail)
        wrapper = next((asset for asset in purse.holdings.assets if asset.wraps_native), None)
        if wrapper is None:
            raise UnknownAssetError(f"{purse.name} knows no token that wraps {purse.chain.native.symbol}")
        if unwrap:
            return await self._quote(purse, purse.chain.unwrap(wrapper, amount), wrapper, amount)
        native = self._asset(purse, purse.chain.native.symbol)
        return await self._quote(purse, purse.chain.wrap(wrapper, amount), native, amount)

    async def perform(self, quote: Quote, *, key: str, max_fee: int | None = None) -> Done:
        """Carry a quoted call out, once for each key. Raises `LimitError`, `ChainError`, `TimeoutError`."""
        if max_fee is not None and quote.fee.total > max_fee:
            native = quote.purse.chain.native
            raise ChainError(
                f"the fee of up to {format_amount(quote.fee.total, native)} is above the "
                f"{format_amount(max_fee, native)} that you allowed"
            )
        settlement = quote.purse.settlement
        async with self._submitting:  # what one of two transfers uses up, the other must see
            await self.check_limits(quote.purse, quote.call)
            intent = await settlement.submit(f"wallet:{key}", quote.call)
        return await settlement.finish(intent)

    async def cancel(self, rail: str | None, transaction: str) -> HistoryLine:
        """Give up a transaction that has not taken effect, by its id or the beginning of it, or its key.

        It may take effect all the same; the history tells. Raises `WalletError` where none, or several, match.
        """
        purse = self.purse(rail)
        wanted = transaction.removeprefix("0x").lower()
        recent = await self._history.intents(purse.chain.rail.id, self.own, limit=MAX_HISTORY)
        found = [intent for intent in recent if wanted and _line(purse, intent).transaction.startswith(wanted)]
        found = found or [intent for intent in recent if intent.key == transaction]
        if len(found) != 1:
            raise WalletError(f"{len(found)} transactions on {purse.name} begin with '{wanted[:64]}': see the history")
        cancelled = await purse.settlement.cancel(found[0].key)
        return _line(purse, cancelled or found[0])

    async def check_limits(self, purse: Purse, call: Call) -> None:
        """Raises `LimitError` where the user's limits forbid what the call moves out."""
        flow = purse.holdings.outflow(call)
        if flow is not None:
            self.limits.check(flow, await self.left_today())

    async def left_today(self) -> list[Outflow]:
        """What has left, or is on its way, since midnight UTC, on all rails."""
        since = self._clock.wall() // DAY * DAY
        # Copied before the store is asked: what becomes durable meanwhile counts twice for a moment, never not at all.
        flows: list[Outflow | None] = list(self._apart)
        for purse in self.purses.values():
            rail = purse.chain.rail.id
            intents = await self._history.intents(rail, self.own, since=since, limit=MAX_INTENTS_PER_DAY)
            alive = (intent.call for intent in intents if intent.state is not IntentState.FAILED)
            flows += map(purse.holdings.outflow, alive)
        for others in self.promised:
            flows += await others()
        return [flow for flow in flows if flow is not None]

    @asynccontextmanager
    async def apart(self, flow: Outflow) -> AsyncIterator[None]:
        """While something that is no transaction lets money out: nobody else may spend that.

        Raises `LimitError` before the body runs. What the body makes durable is told by one of `promised`.
        """
        async with self._submitting:
            self.limits.check(flow, await self.left_today())
            self._apart.append(flow)
        try:
            yield
        finally:
            self._apart.remove(flow)

    async def history(self, rail: str | None, *, limit: int) -> list[HistoryLine]:
        """Our transactions, and the token transfers to us of the last blocks; newest first. Raises `ChainError`."""
        purse = self.purse(rail)
        limit = min(limit, MAX_HISTORY)
        intents = await self._history.intents(purse.chain.rail.id, self.own, limit=limit)
        lines = [_line(purse, intent) for intent in intents]
        head = (await purse.chain.head()).number
        for asset in purse.holdings.assets:
            if asset.contract is not None:
                found = await purse.chain.transfers(asset, self.own, max(0, head - HISTORY_BLOCKS + 1), head)
                lines += [_received(purse, asset, moved) for moved in found if self._came_in(purse, moved)]
        lines.sort(key=lambda line: head + 1 if line.block is None else line.block, reverse=True)
        return lines[:limit]

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _purse_with(self, rail: str | None, symbol: str) -> Purse:
        """The named rail; without a name, the only one that has such an asset."""
        having = [purse for purse in self.purses.values() if purse.holdings.find(symbol)]
        return having[0] if rail is None and len(having) == 1 else self.purse(rail)

    def _asset(self, purse: Purse, symbol: str) -> Asset:
        asset = purse.holdings.find(symbol)
        if asset is None:
            known = ", ".join(asset.token.symbol for asset in purse.holdings.assets)
            raise UnknownAssetError(f"{purse.name} has no '{symbol[:20]}': choose one of {known}")
        return asset

    async def _balances(self, purse: Purse) -> Balances:
        try:
            amounts = await asyncio.gather(*(purse.chain.balance(asset, self.own) for asset in purse.holdings.assets))
            deposit = await purse.chain.payer_state(self.own)
        except ChainError as error:
            return Balances(purse, fault=str(error))
        return Balances(purse, tuple(zip(purse.holdings.assets, amounts, strict=True)), deposit)

    async def _quote(self, purse: Purse, call: Call, asset: Asset, amount: int) -> Quote:
        if amount == 0:
            raise WalletError("the amount is zero")
        await self.check_limits(purse, call)
        balance = await purse.chain.balance(asset, self.own)
        if balance < amount:
            raise WalletError(
                f"{format_amount(amount, asset.token)} are wanted, and the wallet holds "
                f"{format_amount(balance, asset.token)} on {purse.name}"
            )
        return Quote(purse, call, await purse.chain.estimate(call, self.own), asset, amount, balance)

    def _came_in(self, purse: Purse, moved: TokenTransfer) -> bool:
        return moved.to == self.own and moved.source not in (self.own, purse.holdings.vault)


def _line(purse: Purse, intent: Intent) -> HistoryLine:
    transaction = "" if intent.hash is None else intent.hash.hex()
    return HistoryLine(
        time=intent.created_at or None,
        kind=intent.call.method,
        text=intent.call.text,
        state=intent.state.value,
        block=intent.block,
        transaction=transaction,
        fee=intent.fee_paid,
        link=purse.link(transaction) if transaction else "",
        reason=intent.reason,
    )


def _received(purse: Purse, asset: Asset, moved: TokenTransfer) -> HistoryLine:
    # A contract that makes new tokens, such as a wrapper, says they come from nobody (EIP-20).
    source = "" if moved.source == NOBODY else f" from {purse.chain.name(moved.source)}"
    return HistoryLine(
        time=None,
        kind="received",
        text=f"received {format_amount(moved.amount, asset.token)}{source}",
        state="mined",
        block=moved.block,
        transaction=moved.transaction.hex(),
        fee=None,
        link=purse.link(moved.transaction.hex()),
    )
