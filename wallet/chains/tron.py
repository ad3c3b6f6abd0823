"""The port on TRON: java-tron's HTTP, transactions that expire.

Theory
------
There is no nonce. What keeps a transaction from taking effect twice is its id, and what ends it is its expiry. So the
expiry must be told by the clock that judges it: it counts from the head block's time, and this machine's clock is only
compared with it. The reference block is a solidified one, which no fork and no server that lags a little lacks.

Figures that belong together (a receipt and its block, a payer's balance and notice) are asked at one server. Whether a
transaction is void is asked at every server, and one that has not seen its expiry pass, or knows its id, is enough to
say no: where two servers disagree nobody signs a second time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeVar

from wallet.address import Address
from wallet.amount import Token, format_amount
from wallet.chains import abi
from wallet.chains.assets import Asset, AssetKind, TokenTransfer
from wallet.chains.base import (
    Authorisation,
    Block,
    Call,
    ChainAnswerError,
    ChainError,
    ExpiredError,
    Fee,
    FeeTooHighError,
    InsufficientFundsError,
    PayerState,
    Receipt,
    SignedTx,
    UnsignedTx,
    VaultEvent,
    VaultLog,
)
from wallet.chains.calls import VaultCalls
from wallet.chains.reading import FoundLog, Log, Topics
from wallet.chains.tron_endpoints import (
    Head,
    Info,
    TronServer,
    message,
    number,
    tron_servers,
)
from wallet.chains.tron_fees import NoContractError, Prices, estimate_fee, read_prices, run_constant, trc10_balance
from wallet.chains.tron_logs import search, topic_address
from wallet.chains.tron_raw import MAX_SUN, Anchor, read_expiration, sign_tron
from wallet.cheque import Rail
from wallet.digests import word
from wallet.keys import PrivateKey

log = logging.getLogger(__name__)

PRICES_FOR = 60.0
"""Seconds for which the network's prices are believed; votes change them, every six hours at most."""
MAX_BLOCKS = 2_000_000
"""Blocks for which `events` may be asked in one call."""
MS = 1000
_SAME_HEAD_TRIES = 3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TronSettings:
    """`timeout` per request and `expiration` of a transaction in seconds. `max_fee` in sun for one transaction, None =
    no bound. `api_key` goes to every endpoint as TRON-PRO-API-KEY, empty: none."""

    rail: Rail
    native: Token
    token: Address
    endpoints: tuple[str, ...]
    api_key: str = field(default="", repr=False)
    timeout: float = 10.0
    expiration: int = 60
    max_fee: int | None = None


class TronChain(VaultCalls):
    """Implements `wallet.chains.base.ChainAdapter`. Also an async context manager: `start` and `close`.

    `wall` is this machine's clock in Unix seconds.
    """

    expires = True

    def __init__(
        self,
        settings: TronSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(settings.rail, settings.native, settings.token)
        self._settings = settings
        self._clock = clock
        self._wall = wall
        self._servers = tron_servers(
            settings.endpoints,
            chain_id=settings.rail.chain_id,
            timeout=settings.timeout,
            api_key=settings.api_key,
            clock=clock,
            sleep=sleep,
        )
        self._prices: tuple[float, Prices] | None = None
        self._last_timestamp = 0
        self._skew = 0

    async def start(self) -> None:
        """Raises `WrongChainError` or a remote fault."""
        await self.head()

    async def close(self) -> None:
        await self._servers.close()

    async def __aenter__(self) -> TronChain:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- reading -----------------------------------------------------------------------------------------------------

    async def head(self) -> Block:
        head = await self._servers.ask("the head", lambda server: server.latest())
        return Block(head.number, head.id, head.time // MS)

    async def final(self, number: int | None = None) -> Block:
        async def question(server: TronServer) -> Head:
            solid = await server.solid()
            if number is None or number >= solid.number:
                return solid
            if (older := await server.head(number)) is None:
                raise ChainAnswerError(f"{server.host} has no block {number}")
            return older

        found = await self._servers.ask("a final block", question)
        return Block(found.number, found.id, found.time // MS)

    async def balance(self, asset: Asset, owner: Address) -> int:
        if asset.contract is not None:
            return (await self.view(1, asset.contract, "balanceOf(address)", owner))[0]
        if asset.kind is AssetKind.NATIVE:
            return await self.native_balance(owner)

        async def question(server: TronServer) -> int:
            return trc10_balance(await server.account(owner), asset.number)

        return await self._servers.ask("a balance", question)

    async def transfers(self, asset: Asset, owner: Address, first: int, last: int) -> Sequence[TokenTransfer]:
        contract = asset.contract
        if contract is None:
            raise ValueError(f"the chain keeps no list of {asset.token.symbol} transfers")
        _check_range(first, last)

        def read(info: Info, found: Log) -> TokenTransfer | None:
            if found.address != contract or len(found.topics) != 3 or found.topics[0] != abi.TRANSFER:
                return None
            if word(owner) not in found.topics:  # before anything else of it is believed
                return None
            source, to = topic_address(found.topics[1]), topic_address(found.topics[2])
            return TokenTransfer(source, to, abi.split_words(found.data, 1)[0], info.block, info.id)

        found = await self._servers.ask(
            "transfers",
            lambda server: search(
                server,
                first,
                last,
                index=f"v1/accounts/{owner.tron}/transactions/trc20",
                query={"contract_address": contract.tron, "order_by": "block_timestamp,asc"},
                times=("min_timestamp", "max_timestamp"),
                read=read,
            ),
        )
        return [moved for _, _, moved in found]

    async def native_balance(self, owner: Address) -> int:
        return await self._servers.ask("a balance", lambda server: _sun(server, owner))

    async def token_balance(self, owner: Address) -> int:
        return (await self.view(1, self.token, "balanceOf(address)", owner))[0]

    async def allowance(self, owner: Address) -> int:
        return (await self.view(1, self.token, "allowance(address,address)", owner, self.rail.vault))[0]

    async def payer_state(self, payer: Address) -> PayerState:
        def read(answers: Sequence[bytes]) -> PayerState:
            ((balance,), (locked,), (notice, ready_at)) = map(abi.split_words, answers, (1, 1, 2))
            return PayerState(balance, locked, notice, ready_at)

        views = ("balance(address)", "lockedTotal(address)", "notice(address)")
        return await self._at_one_head(self.rail.vault, [abi.call_data(view, payer) for view in views], read)

    async def paid_out(self, payer: Address, payee: Address) -> int:
        return (await self.view(1, self.rail.vault, "paidOut(address,address)", payer, payee))[0]

    async def available(self, payer: Address, payee: Address) -> int:
        return (await self.view(1, self.rail.vault, "available(address,address)", payer, payee))[0]

    async def authorised(self, payer: Address, hot_key: Address) -> Authorisation:
        return Authorisation(*await self.view(2, self.rail.vault, "authorised(address,address)", payer, hot_key))

    async def events(self, first: int, last: int) -> Sequence[VaultLog]:
        found: list[tuple[Head, Info, VaultEvent]] = await self._search(self.rail.vault, first, last, self._event)
        return [VaultLog(event, head.number, head.id, info.id) for head, info, event in found]

    async def ask(self, contract: Address, *requests: bytes) -> Sequence[bytes]:
        return await self._at_one_head(contract, requests, lambda answers: answers)

    async def logs(self, contract: Address, first: int, last: int, topics: Topics = ()) -> Sequence[FoundLog]:
        def read(found: Log) -> Log | None:
            return found if found.matches(contract, topics) else None

        found = await self._search(contract, first, last, read)
        return [FoundLog(log, head.number, head.id, info.id) for head, info, log in found]

    # --- writing -----------------------------------------------------------------------------------------------------

    async def estimate(self, call: Call, sender: Address) -> Fee:
        if call.value > MAX_SUN:
            raise InsufficientFundsError("TRON cannot move as much in one transaction, and nobody holds as much")

        async def question(server: TronServer) -> Fee:
            return await estimate_fee(server, call, sender, await self._prices_at(server), self.native)

        return self._bounded(await self._servers.ask("an estimate", question))

    async def next_nonce(self, sender: Address) -> int:
        """Always 0: TRON has none."""
        return 0

    async def prepare(self, call: Call, sender: Address, nonce: int, fee: Fee) -> UnsignedTx:
        self._bounded(fee)

        async def question(server: TronServer) -> tuple[Head, Head]:
            return await server.solid(), await server.latest()

        solid, head = await self._servers.ask("its newest blocks", question)
        self._compare_clocks(head)
        self._last_timestamp = max(int(self._wall() * MS), self._last_timestamp + 1)
        expiration = head.time + self._settings.expiration * MS
        anchor = Anchor.at(solid.id, expiration=expiration, timestamp=self._last_timestamp)
        return UnsignedTx(call, sender, 0, fee, anchor.pack())

    def sign(self, tx: UnsignedTx, key: PrivateKey) -> SignedTx:
        return sign_tron(tx, key)

    async def broadcast(self, signed: SignedTx) -> None:
        async def question(server: TronServer) -> None:
            answer = message(await server.post("wallet/broadcasthex", transaction=signed.raw.hex()))
            if answer.get("result") is not True and answer.get("code") != "DUP_TRANSACTION_ERROR":
                raise server.refusal(answer)

        try:
            await self._servers.ask("a broadcast", question, rounds=1)
        except ExpiredError as error:
            # It is also what a server says to old bytes that are in a block.
            if await self.receipt(signed.hash) is not None:
                return
            if self._skew:
                raise ExpiredError(f"{error}; {self._skew_text()}") from None
            raise

    async def outbid(self, tx: UnsignedTx) -> UnsignedTx | None:
        """Always None: a second transaction would not exclude the first."""
        return None

    async def receipt(self, transaction: bytes) -> Receipt | None:
        async def question(server: TronServer) -> Receipt | None:
            info = await server.info(transaction)
            if info is None:
                return None
            head = await server.head(info.block)
            if head is None or head.time != info.time or info.id != transaction:
                raise ChainAnswerError(f"{server.host} tells of a transaction in a block that it does not have")
            events = (self._event(found) for found in info.logs)
            return Receipt(
                hash=info.id,
                ok=info.ok,
                block=info.block,
                block_hash=head.id,
                fee_used=info.energy,
                fee_paid=info.fee,
                events=tuple(event for event in events if event is not None),
                contract=Address(info.contract) if info.contract else None,
                logs=info.logs,
            )

        return await self._servers.ask("a receipt", question)

    async def is_final(self, receipt: Receipt) -> bool:
        async def question(server: TronServer) -> bool:
            if (await server.solid()).number < receipt.block:
                return False
            # What is asked from here on cannot change any more.
            head, info = await server.head(receipt.block), await server.info(receipt.hash)
            there = head is not None and head.id == receipt.block_hash
            return there and info is not None and info.block == receipt.block

        return await self._servers.ask("a block", question)

    async def is_void(self, signed: SignedTx) -> bool:
        expiration = read_expiration(signed.raw)

        async def question(server: TronServer) -> bool:
            if (await server.solid()).time <= expiration:
                return False
            known = await asyncio.gather(
                server.post("wallet/gettransactionbyid", value=signed.hash.hex()),
                server.post("wallet/gettransactioninfobyid", value=signed.hash.hex()),
            )
            return not any(message(found) for found in known)

        return all(await self._servers.ask_all("a transaction", question))

    async def why_reverted(self, tx: UnsignedTx, receipt: Receipt) -> str:
        """TRON keeps the reason beside the receipt: nothing has to be tried again."""
        info = await self._servers.ask("a receipt", lambda server: server.info(receipt.hash))
        if info is None:
            return "the contract refused it"
        if info.result == "REVERT":
            return f"the contract refuses: {abi.revert_reason(info.output)}"
        return _FAILURES.get(info.result) or info.words or "the contract refused it"

    # --- questions ---------------------------------------------------------------------------------------------------

    async def view(self, words: int, to: Address, signature: str, *arguments: Address) -> tuple[int, ...]:
        """A view function's answer of so many words, on the head's state."""
        call = Call(to, abi.call_data(signature, *arguments), 0, signature, signature)

        async def question(server: TronServer) -> tuple[int, ...]:
            _, output = await run_constant(server, call, abi.NOBODY)
            return abi.split_words(output, words)

        try:
            return await self._servers.ask(signature, question)
        except NoContractError as error:
            what = "token" if to == self.token else "vault"
            raise ChainError(f"{error} on {self.rail.id}: check [rail] {what}") from None

    async def _at_one_head(self, to: Address, requests: Sequence[bytes], read: Callable[[Sequence[bytes]], T]) -> T:
        """Several answers of a contract, as `read` makes them. Constant calls see the head, whichever it is: they count
        only if it stayed the same."""
        calls = [Call(to, request, 0, "ask", "ask") for request in requests]

        async def question(server: TronServer) -> T:
            for _ in range(_SAME_HEAD_TRIES):
                before = await server.latest()
                answers = await asyncio.gather(*(run_constant(server, call, abi.NOBODY) for call in calls))
                if await server.latest() == before:
                    return read([output for _, output in answers])
            raise ChainAnswerError(f"{server.host} is slower than its chain: its answers are of different blocks")

        try:
            return await self._servers.ask("a contract's state", question)
        except NoContractError as error:
            raise ChainError(f"{error} on {self.rail.id}: check the addresses in [rail]") from None

    async def _search(
        self, contract: Address, first: int, last: int, read: Callable[[Log], T | None]
    ) -> list[tuple[Head, Info, T]]:
        """A contract's logs of these blocks, in order, as `read` makes them; it says None for others."""
        _check_range(first, last)
        return await self._servers.ask(
            "events",
            lambda server: search(
                server,
                first,
                last,
                index=f"v1/contracts/{contract.tron}/events",
                query={"order_by": "block_timestamp,asc"},
                times=("min_block_timestamp", "max_block_timestamp"),
                read=lambda _info, found: read(found),
            ),
        )

    async def _prices_at(self, server: TronServer) -> Prices:
        now = self._clock()
        if self._prices is None or now - self._prices[0] >= PRICES_FOR:
            self._prices = now, await read_prices(server)
        return self._prices[1]

    def _bounded(self, fee: Fee) -> Fee:
        bound = self._settings.max_fee
        if bound is not None and fee.total > bound:
            raise FeeTooHighError(
                f"the fee of up to {format_amount(fee.total, self.native)} is above your bound of "
                f"{format_amount(bound, self.native)}"
            )
        return fee

    # --- the rest ----------------------------------------------------------------------------------------------------

    def _event(self, found: Log) -> VaultEvent | None:
        """The vault's event in a log; None for other contracts' and unknown ones."""
        return abi.decode_event(found.topics, found.data) if found.address == self.rail.vault else None

    def _compare_clocks(self, head: Head) -> None:
        """Nothing depends on this machine's clock, but where the two differ one of them misleads somebody."""
        before = self._skew
        skew = int(self._wall()) - head.time // MS
        self._skew = skew if abs(skew) > self._settings.expiration else 0
        if self._skew and not before:
            log.warning("%s: %s; transactions expire by the chain's", self.rail.id, self._skew_text())

    def _skew_text(self) -> str:
        ahead = "ahead of" if self._skew > 0 else "behind"
        return f"this machine's clock is {abs(self._skew)} s {ahead} the newest block's"


_FAILURES: Mapping[str, str] = {
    "OUT_OF_ENERGY": "it ran out of energy: its fee limit was too low",
    "OUT_OF_TIME": "it ran out of time: the server that made the block was too slow for it",
}
"""Failures that say more in our words than in java-tron's."""


async def _sun(server: TronServer, owner: Address) -> int:
    return number((await server.account(owner)).get("balance"))


def _check_range(first: int, last: int) -> None:
    if last - first >= MAX_BLOCKS:
        raise ValueError(f"events of {last - first + 1} blocks in one call; at most {MAX_BLOCKS}")
