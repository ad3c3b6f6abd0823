"""The port on EVM chains (BTTC): Ethereum JSON-RPC, legacy transactions with a gas price.

Reads go to the first endpoint that answers, several times if need be. Bytes to broadcast go round once: they have the
same effect wherever they enter, but whoever broadcasts (the outbox) repeats it anyway. Figures that belong together are
read at one block.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, TypeVar

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
    Fee,
    FeeTooHighError,
    InsufficientFundsError,
    NonceError,
    PayerState,
    Receipt,
    RevertedError,
    SignedTx,
    UnderpricedError,
    UnsignedTx,
    VaultEvent,
    VaultLog,
)
from wallet.chains.calls import VaultCalls
from wallet.chains.endpoints import Endpoints, RpcError, data, quantity
from wallet.chains.legacy import sign_legacy
from wallet.chains.reading import FoundLog, Log, Topics
from wallet.chains.transport import ROUNDS
from wallet.cheque import Rail
from wallet.digests import word
from wallet.keys import PrivateKey

GAS_MARGIN_PERCENT = 25
"""Gas above the estimate: state may change between estimate and inclusion."""
TRANSFER_GAS = 21_000
"""What a plain transfer costs; it needs no margin."""
REPLACE_PERCENT = 113
"""Nodes take a replacement when its price is at least 110 % of what it replaces (geth's `txpool.pricebump`)."""
LOG_RANGE = 2_000
"""Blocks per question for events: public endpoints refuse large ranges."""
MAX_BLOCKS = 2_000_000
"""Blocks for which `events` may be asked in one call."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EvmSettings:
    """`finality`: blocks on top before a receipt is final. `timeout` per request in seconds. `max_fee` in native units
    for one transaction, None = no bound."""

    rail: Rail
    native: Token
    token: Address
    endpoints: tuple[str, ...]
    finality: int = 1
    timeout: float = 10.0
    max_fee: int | None = None


class EvmChain(VaultCalls):
    """Implements `wallet.chains.base.ChainAdapter`. Also an async context manager: `start` and `close`."""

    expires = False

    def __init__(
        self,
        settings: EvmSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(settings.rail, settings.native, settings.token)
        self._settings = settings
        self._endpoints = Endpoints(
            settings.endpoints,
            chain_id=settings.rail.chain_id,
            timeout=settings.timeout,
            clock=clock,
            sleep=sleep,
        )

    async def start(self) -> None:
        """Raises `WrongChainError` or a remote fault."""
        await self.head()

    async def close(self) -> None:
        await self._endpoints.close()

    async def __aenter__(self) -> EvmChain:
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
        return await self._block("latest")

    async def final(self, number: int | None = None) -> Block:
        newest = max(0, (await self.head()).number - self._settings.finality)
        return await self._block(hex(newest if number is None else min(number, newest)))

    async def balance(self, asset: Asset, owner: Address) -> int:
        if asset.kind is AssetKind.TRC10:
            raise ValueError(f"{self.rail.id} has no TRC-10 tokens")
        if asset.contract is None:
            return await self.native_balance(owner)
        return (await self.view(1, asset.contract, "balanceOf(address)", owner))[0]

    async def transfers(self, asset: Asset, owner: Address, first: int, last: int) -> Sequence[TokenTransfer]:
        if asset.contract is None:
            raise ValueError(f"the chain keeps no list of {asset.token.symbol} transfers")
        topic, party = _hex(abi.TRANSFER), _hex(word(owner))
        found = {
            found[0]: found[1]
            for topics in ([topic, party], [topic, None, party])
            for found in await self._logs(asset.contract, first, last, _read_transfer, topics=topics)
        }  # one to oneself is found twice
        return [found[place] for place in sorted(found)]

    async def native_balance(self, owner: Address) -> int:
        return await self._ask("eth_getBalance", [owner.evm, "latest"], quantity)

    async def token_balance(self, owner: Address) -> int:
        return (await self.view(1, self.token, "balanceOf(address)", owner))[0]

    async def allowance(self, owner: Address) -> int:
        return (await self.view(1, self.token, "allowance(address,address)", owner, self.rail.vault))[0]

    async def payer_state(self, payer: Address) -> PayerState:
        block = (await self.head()).number
        (balance,), (locked,), (notice, ready_at) = await asyncio.gather(
            self.view(1, self.rail.vault, "balance(address)", payer, block=block),
            self.view(1, self.rail.vault, "lockedTotal(address)", payer, block=block),
            self.view(2, self.rail.vault, "notice(address)", payer, block=block),
        )
        return PayerState(balance, locked, notice, ready_at)

    async def paid_out(self, payer: Address, payee: Address) -> int:
        return (await self.view(1, self.rail.vault, "paidOut(address,address)", payer, payee))[0]

    async def available(self, payer: Address, payee: Address) -> int:
        return (await self.view(1, self.rail.vault, "available(address,address)", payer, payee))[0]

    async def authorised(self, payer: Address, hot_key: Address) -> Authorisation:
        return Authorisation(*await self.view(2, self.rail.vault, "authorised(address,address)", payer, hot_key))

    async def events(self, first: int, last: int) -> Sequence[VaultLog]:
        found = await self._logs(self.rail.vault, first, last, self._read_event)
        return [log for log in found if log is not None]

    async def ask(self, contract: Address, *requests: bytes) -> Sequence[bytes]:
        block = (await self.head()).number
        answers = await asyncio.gather(*(self.call(contract, request, block) for request in requests))
        if not all(answers):
            raise ChainError(f"there is no contract at {contract} on {self.rail.id}: check the addresses in [rail]")
        return answers

    async def logs(self, contract: Address, first: int, last: int, topics: Topics = ()) -> Sequence[FoundLog]:
        def read(log: Any) -> FoundLog | None:
            found = _read_log(log)
            return FoundLog(found, *_read_place(log)) if found.matches(contract, topics) else None

        wanted = [None if topic is None else _hex(topic) for topic in topics]
        found = await self._logs(contract, first, last, read, topics=wanted)
        return [log for log in found if log is not None]

    # --- writing -----------------------------------------------------------------------------------------------------

    async def estimate(self, call: Call, sender: Address) -> Fee:
        gas, price, funds = await asyncio.gather(
            self._ask("eth_estimateGas", [_parameters(call, sender)], quantity),
            self._price(),
            self.native_balance(sender),
        )
        limit = gas if gas == TRANSFER_GAS else gas + gas * GAS_MARGIN_PERCENT // 100
        fee = self._bounded(Fee(limit, price))
        if funds < fee.total + call.value:
            raise InsufficientFundsError(
                f"{sender} holds {format_amount(funds, self.native)}; amount and fee take up to "
                f"{format_amount(fee.total + call.value, self.native)}"
            )
        return fee

    async def next_nonce(self, sender: Address) -> int:
        return await self._ask("eth_getTransactionCount", [sender.evm, "pending"], quantity)

    async def prepare(self, call: Call, sender: Address, nonce: int, fee: Fee) -> UnsignedTx:
        return UnsignedTx(call, sender, nonce, self._bounded(fee))

    def sign(self, tx: UnsignedTx, key: PrivateKey) -> SignedTx:
        return sign_legacy(tx, self.rail.chain_id, key)

    async def broadcast(self, signed: SignedTx) -> None:
        try:
            await self._ask("eth_sendRawTransaction", [_hex(signed.raw)], lambda answer: data(answer, 32), rounds=1)
        except _KnownError:
            return
        except NonceError:
            # "Nonce too low" is also what a node says to bytes that are in a block already.
            if await self.receipt(signed.hash) is None:
                raise

    async def outbid(self, tx: UnsignedTx) -> UnsignedTx | None:
        price = await self._price()
        if price <= tx.fee.price:
            return None
        least = -(-tx.fee.price * REPLACE_PERCENT // 100)
        return replace(tx, fee=self._bounded(Fee(tx.fee.limit, max(price, least))))

    async def receipt(self, transaction: bytes) -> Receipt | None:
        receipt, price = await self._ask("eth_getTransactionReceipt", [_hex(transaction)], self._read_receipt)
        if receipt is not None and price is None:  # chains before EIP-1559 need not tell it here
            price = await self._ask(
                "eth_getTransactionByHash", [_hex(transaction)], lambda tx: quantity(tx["gasPrice"])
            )
        return receipt and replace(receipt, fee_paid=receipt.fee_used * (price or 0))

    async def is_final(self, receipt: Receipt) -> bool:
        head = await self.head()
        if head.number - receipt.block < self._settings.finality:
            return False
        return (await self._block(hex(receipt.block))).hash == receipt.block_hash

    async def is_void(self, signed: SignedTx) -> bool:
        block = max(0, (await self.head()).number - self._settings.finality)
        used = await self._ask("eth_getTransactionCount", [signed.tx.sender.evm, hex(block)], quantity)
        return used > signed.tx.nonce and await self.receipt(signed.hash) is None

    async def why_reverted(self, tx: UnsignedTx, receipt: Receipt) -> str:
        if receipt.fee_used >= tx.fee.limit:
            return "it ran out of gas"
        try:
            await self._ask("eth_call", [_parameters(tx.call, tx.sender), hex(receipt.block - 1)], data)
        except RevertedError as error:
            return str(error)
        except ChainError:
            pass  # nodes forget old states
        return "the contract refused it"

    # --- questions ---------------------------------------------------------------------------------------------------

    async def _ask(self, method: str, parameters: list[object], read: Callable[[Any], T], *, rounds: int = ROUNDS) -> T:
        try:
            return await self._endpoints.ask(method, parameters, read, rounds=rounds)
        except RpcError as error:
            raise _refusal(error) from None

    async def _logs(
        self, contract: Address, first: int, last: int, read: Callable[[Any], T], topics: Sequence[str | None] = ()
    ) -> list[T]:
        """A contract's logs of these blocks, in order, as `read` makes them."""
        if last - first >= MAX_BLOCKS:
            raise ValueError(f"events of {last - first + 1} blocks in one call; at most {MAX_BLOCKS}")

        def read_all(logs: Any) -> list[T]:
            if not isinstance(logs, list):
                raise TypeError("not a list")
            return [read(log) for log in logs]

        found: list[T] = []
        for start in range(first, last + 1, LOG_RANGE):
            end = min(start + LOG_RANGE - 1, last)
            wanted = {"address": contract.evm, "fromBlock": hex(start), "toBlock": hex(end), "topics": topics}
            try:
                found += await self._ask("eth_getLogs", [wanted], read_all)
            except ChainAnswerError:
                if start <= (await self.head()).number:
                    raise
                break  # some nodes refuse to speak of blocks that are not there yet
        return found

    async def _price(self) -> int:
        return await self._ask("eth_gasPrice", [], quantity)

    async def _block(self, which: str) -> Block:
        return await self._ask("eth_getBlockByNumber", [which, False], _read_block)

    async def call(self, to: Address, request: bytes, block: int) -> bytes:
        """What a contract answers to call data as of a block; nothing where there is no contract."""
        return await self._ask("eth_call", [{"to": to.evm, "data": _hex(request)}, hex(block)], data)

    async def view(
        self, words: int, to: Address, signature: str, *arguments: Address, block: int | None = None
    ) -> tuple[int, ...]:
        """A view function's answer of so many words. One of no bytes comes from an address without a contract."""
        wanted = {"to": to.evm, "data": _hex(abi.call_data(signature, *arguments))}

        def read(answer: object) -> tuple[int, ...]:
            return abi.split_words(raw, words) if (raw := data(answer)) else ()

        found = await self._ask("eth_call", [wanted, "latest" if block is None else hex(block)], read)
        if not found:
            what = "token" if to == self.token else "vault"
            raise ChainError(f"there is no contract at {to} on {self.rail.id}: check [rail] {what}")
        return found

    def _read_receipt(self, found: Any) -> tuple[Receipt | None, int | None]:
        """The receipt without the fee paid, and the price if it is told. Some nodes have one for pending ones, too."""
        if found is None or found["blockNumber"] is None:
            return None, None
        price = found.get("effectiveGasPrice")
        logs = tuple(_read_log(log) for log in found["logs"])
        receipt = Receipt(
            hash=data(found["transactionHash"], 32),
            ok=quantity(found["status"]) == 1,
            block=quantity(found["blockNumber"]),
            block_hash=data(found["blockHash"], 32),
            fee_used=quantity(found["gasUsed"]),
            fee_paid=0,
            events=tuple(event for log in logs if (event := self._event(log)) is not None),
            contract=Address(data(made, 20)) if (made := found.get("contractAddress")) else None,
            logs=logs,
        )
        return receipt, None if price is None else quantity(price)

    def _read_event(self, log: Any) -> VaultLog | None:
        event = self._event(_read_log(log))
        return None if event is None else VaultLog(event, *_read_place(log))

    def _event(self, log: Log) -> VaultEvent | None:
        """The vault's event in a log; None for other contracts' and unknown ones."""
        return abi.decode_event(log.topics, log.data) if log.address == self.rail.vault else None

    def _bounded(self, fee: Fee) -> Fee:
        bound = self._settings.max_fee
        if bound is not None and fee.total > bound:
            raise FeeTooHighError(
                f"the fee of up to {format_amount(fee.total, self.native)} is above your bound of "
                f"{format_amount(bound, self.native)}"
            )
        return fee


class _KnownError(ChainError):
    """The node has this transaction already."""


_REFUSALS: tuple[tuple[str, type[ChainError], str], ...] = (
    ("already known", _KnownError, "the transaction is known"),
    ("already imported", _KnownError, "the transaction is known"),
    ("known transaction", _KnownError, "the transaction is known"),
    ("insufficient funds", InsufficientFundsError, "the account cannot pay amount and fee"),
    ("gas required exceeds allowance", InsufficientFundsError, "the account cannot pay the fee"),
    ("nonce too low", NonceError, "the nonce is used already"),
    ("nonce too high", NonceError, "the nonce leaves a gap"),
    ("underpriced", UnderpricedError, "the gas price is too low"),
    ("gas price", UnderpricedError, "the gas price is too low"),
    ("revert", RevertedError, "the contract refuses"),
)
"""What nodes say, and what they mean by it. There are no codes for these."""


def _refusal(error: RpcError) -> ChainError:
    """A chain's answer that is an error object, as one of our errors."""
    if error.data:
        return abi.refusal(error.data)
    text = str(error)
    for mark, kind, meaning in _REFUSALS:
        if mark in text.lower():
            return kind(f"{meaning} ({text})")
    return ChainAnswerError(f"the chain answers: {text or 'an error without a text'}")


def _read_log(log: Any) -> Log:
    topics = tuple(data(topic, 32) for topic in log["topics"])
    return Log(Address(data(log["address"], 20)), topics, data(log["data"]))


def _read_place(log: Any) -> tuple[int, bytes, bytes]:
    """Block, its hash, and the transaction."""
    return quantity(log["blockNumber"]), data(log["blockHash"], 32), data(log["transactionHash"], 32)


def _read_transfer(log: Any) -> tuple[tuple[int, int], TokenTransfer]:
    """Where it stands (block, index), and what it says."""
    _, source, to = (data(topic, 32) for topic in log["topics"])
    (amount,) = abi.split_words(data(log["data"]), 1)
    block = quantity(log["blockNumber"])
    moved = TokenTransfer(Address(source[12:]), Address(to[12:]), amount, block, data(log["transactionHash"], 32))
    return (block, quantity(log["logIndex"])), moved


def _read_block(found: Any) -> Block:
    return Block(quantity(found["number"]), data(found["hash"], 32), quantity(found["timestamp"]))


def _parameters(call: Call, sender: Address) -> dict[str, str]:
    to = {} if call.creates else {"to": call.to.evm}
    return {"from": sender.evm, **to, "data": _hex(call.data), "value": hex(call.value)}


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
