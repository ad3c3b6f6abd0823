"""The port on EVM chains (BTTC): JSON-RPC through `web3`'s AsyncWeb3, legacy transactions with a gas price.

Reads go to the first endpoint that answers, several times if need be. Bytes to broadcast go round once: they have the
same effect wherever they enter, but whoever broadcasts (the outbox) repeats it anyway. Figures that belong together are
read at one block.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from hexbytes import HexBytes
from web3.exceptions import TransactionNotFound
from web3.types import FilterParams, TxParams

from wallet.address import Address
from wallet.amount import Token, format_amount
from wallet.chains import abi
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
from wallet.chains.endpoints import ROUNDS, Client, Endpoints, RpcError
from wallet.chains.legacy import sign_legacy
from wallet.cheque import Rail
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

    async def native_balance(self, owner: Address) -> int:
        return await self._ask(lambda w3: w3.eth.get_balance(_evm(owner)))

    async def token_balance(self, owner: Address) -> int:
        return (await self._view(1, self.token, "balanceOf(address)", owner))[0]

    async def allowance(self, owner: Address) -> int:
        return (await self._view(1, self.token, "allowance(address,address)", owner, self.rail.vault))[0]

    async def payer_state(self, payer: Address) -> PayerState:
        block = (await self.head()).number
        (balance,), (locked,), (notice, ready_at) = await asyncio.gather(
            self._view(1, self.rail.vault, "balance(address)", payer, block=block),
            self._view(1, self.rail.vault, "lockedTotal(address)", payer, block=block),
            self._view(2, self.rail.vault, "notice(address)", payer, block=block),
        )
        return PayerState(balance, locked, notice, ready_at)

    async def paid_out(self, payer: Address, payee: Address) -> int:
        return (await self._view(1, self.rail.vault, "paidOut(address,address)", payer, payee))[0]

    async def available(self, payer: Address, payee: Address) -> int:
        return (await self._view(1, self.rail.vault, "available(address,address)", payer, payee))[0]

    async def authorised(self, payer: Address, hot_key: Address) -> Authorisation:
        return Authorisation(*await self._view(2, self.rail.vault, "authorised(address,address)", payer, hot_key))

    async def events(self, first: int, last: int) -> Sequence[VaultLog]:
        if last - first >= MAX_BLOCKS:
            raise ValueError(f"events of {last - first + 1} blocks in one call; at most {MAX_BLOCKS}")
        found: list[VaultLog] = []
        for start in range(first, last + 1, LOG_RANGE):
            found += await self._ask(partial(self._logs, start, min(start + LOG_RANGE - 1, last)))
        return found

    # --- writing -----------------------------------------------------------------------------------------------------

    async def estimate(self, call: Call, sender: Address) -> Fee:
        wanted = self._params(call, sender)
        gas, price, funds = await asyncio.gather(
            self._ask(lambda w3: w3.eth.estimate_gas(wanted)),
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
        return await self._ask(lambda w3: w3.eth.get_transaction_count(_evm(sender), "pending"))

    async def prepare(self, call: Call, sender: Address, nonce: int, fee: Fee) -> UnsignedTx:
        return UnsignedTx(call, sender, nonce, self._bounded(fee))

    def sign(self, tx: UnsignedTx, key: PrivateKey) -> SignedTx:
        return sign_legacy(tx, self.rail.chain_id, key)

    async def broadcast(self, signed: SignedTx) -> None:
        try:
            await self._ask(lambda w3: w3.eth.send_raw_transaction(HexBytes(signed.raw)), rounds=1)
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
        return await self._ask(lambda w3: self._receipt(w3, transaction))

    async def is_final(self, receipt: Receipt) -> bool:
        head = await self.head()
        if head.number - receipt.block < self._settings.finality:
            return False
        return (await self._block(receipt.block)).hash == receipt.block_hash

    async def is_void(self, signed: SignedTx) -> bool:
        block = max(0, (await self.head()).number - self._settings.finality)
        used = await self._ask(lambda w3: w3.eth.get_transaction_count(_evm(signed.tx.sender), block))
        return used > signed.tx.nonce and await self.receipt(signed.hash) is None

    async def why_reverted(self, tx: UnsignedTx, receipt: Receipt) -> str:
        if receipt.fee_used >= tx.fee.limit:
            return "it ran out of gas"
        wanted = self._params(tx.call, tx.sender)
        try:
            await self._ask(lambda w3: w3.eth.call(wanted, receipt.block - 1))
        except RevertedError as error:
            return str(error)
        except ChainError:
            pass  # nodes forget old states
        return "the contract refused it"

    # --- questions ---------------------------------------------------------------------------------------------------

    async def _ask(self, question: Callable[[Client], Awaitable[T]], *, rounds: int = ROUNDS) -> T:
        try:
            return await self._endpoints.ask(question, rounds=rounds)
        except RpcError as error:
            raise _refusal(error) from None

    async def _price(self) -> int:
        return await self._ask(lambda w3: w3.eth.gas_price)

    async def _block(self, which: Any) -> Block:
        async def read(w3: Client) -> Block:
            block = await w3.eth.get_block(which)
            return Block(_whole(block["number"]), _hash(block["hash"]), _whole(block["timestamp"]))

        return await self._ask(read)

    async def _view(
        self, words: int, to: Address, signature: str, *arguments: Address, block: int | None = None
    ) -> tuple[int, ...]:
        """A view function's answer of so many words. One of no bytes comes from an address without a contract."""
        wanted: TxParams = {"to": _evm(to), "data": HexBytes(abi.call_data(signature, *arguments))}

        async def read(w3: Client) -> tuple[int, ...]:
            answer = await w3.eth.call(wanted, "latest" if block is None else block)
            return abi.split_words(answer, words) if answer else ()

        found = await self._ask(read)
        if not found:
            what = "token" if to == self.token else "vault"
            raise ChainError(f"there is no contract at {to} on {self.rail.id}: check [network] {what}")
        return found

    async def _receipt(self, w3: Client, transaction: bytes) -> Receipt | None:
        found: Any  # checked here field by field
        try:
            found = await w3.eth.get_transaction_receipt(HexBytes(transaction))
        except TransactionNotFound:
            return None
        if found["blockNumber"] is None:  # some nodes have one for pending transactions, too
            return None
        used = _whole(found["gasUsed"])
        return Receipt(
            hash=_hash(found["transactionHash"]),
            ok=_whole(found["status"]) == 1,
            block=_whole(found["blockNumber"]),
            block_hash=_hash(found["blockHash"]),
            fee_used=used,
            fee_paid=used * await self._price_paid(w3, found),
            events=tuple(event for log in found["logs"] if (event := self._event(log)) is not None),
        )

    async def _price_paid(self, w3: Client, receipt: Any) -> int:
        """Chains before EIP-1559 need not tell it in the receipt."""
        if "effectiveGasPrice" in receipt:
            return _whole(receipt["effectiveGasPrice"])
        found: Any = await w3.eth.get_transaction(receipt["transactionHash"])
        return _whole(found["gasPrice"])

    async def _logs(self, first: int, last: int, w3: Client) -> list[VaultLog]:
        wanted: FilterParams = {
            "address": _evm(self.rail.vault),
            "fromBlock": _number(first),
            "toBlock": _number(last),
        }
        found = []
        for log in await w3.eth.get_logs(wanted):
            event = self._event(log)
            if event is not None:
                where = (_whole(log["blockNumber"]), _hash(log["blockHash"]), _hash(log["transactionHash"]))
                found.append(VaultLog(event, *where))
        return found

    def _event(self, log: Any) -> VaultEvent | None:
        """The vault's event in a log; None for other contracts' and unknown ones."""
        if Address.parse(log["address"]) != self.rail.vault:
            return None
        return abi.decode_event([bytes(topic) for topic in log["topics"]], bytes(log["data"]))

    def _params(self, call: Call, sender: Address) -> TxParams:
        return {
            "from": _evm(sender),
            "to": _evm(call.to),
            "data": HexBytes(call.data),
            "value": call.value,  # type: ignore[typeddict-item]  # web3's Wei is a NewType of int
        }

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
        return RevertedError(f"the contract refuses: {abi.revert_reason(error.data)}")
    text = str(error)
    for mark, kind, meaning in _REFUSALS:
        if mark in text.lower():
            return kind(f"{meaning} ({text})")
    return ChainAnswerError(f"the chain answers: {text or 'an error without a text'}")


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("not a quantity")
    return value


def _hash(value: object) -> bytes:
    if not isinstance(value, bytes) or len(value) != 32:
        raise ValueError("not a 32-byte hash")
    return bytes(value)


def _evm(address: Address) -> Any:
    """web3 types an address as a NewType of str."""
    return address.evm


def _number(number: int) -> Any:
    """web3 types a block's number as a NewType of int."""
    return number
