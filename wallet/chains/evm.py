"""The port on EVM chains (BTTC): JSON-RPC through `web3`'s AsyncWeb3, legacy transactions with a gas price.

Reads are tried on every endpoint in turn, with a deadline each; a broadcast too, since the same bytes have the same
effect wherever they enter. The chain id is checked once per endpoint before anything else is believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from eth_account import Account
from hexbytes import HexBytes
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.exceptions import ContractLogicError, TransactionNotFound, Web3Exception, Web3RPCError
from web3.types import FilterParams, TxParams, TxReceipt

from wallet.address import Address
from wallet.amount import Token, format_amount
from wallet.chains import abi
from wallet.chains.base import (
    Block,
    Call,
    ChainAnswerError,
    ChainError,
    ChainUnreachableError,
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
    WrongChainError,
)
from wallet.cheque import Rail, SignedCheque
from wallet.keys import PrivateKey

GAS_MARGIN_PERCENT = 25
"""Gas above the estimate: state may change between estimate and inclusion."""
MAX_ROUNDS = 2
"""How often the list of endpoints is gone through before giving up."""
TRANSFER_GAS = 21_000

T = TypeVar("T")
Asked = Callable[[AsyncWeb3[AsyncHTTPProvider]], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class EvmSettings:
    """`finality`: blocks on top before a receipt is final. `max_fee` in native units, None = no bound."""

    rail: Rail
    native: Token
    token: Address
    endpoints: tuple[str, ...]
    finality: int = 1
    timeout: float = 10.0
    max_fee: int | None = None


class EvmChain:
    """Implements `wallet.chains.base.ChainAdapter`."""

    def __init__(self, settings: EvmSettings) -> None:
        self._settings = settings
        self._clients: list[AsyncWeb3[AsyncHTTPProvider]] = []
        self._checked: set[int] = set()
        for endpoint in settings.endpoints:
            provider = AsyncHTTPProvider(endpoint, exception_retry_configuration=None)
            client: AsyncWeb3[AsyncHTTPProvider] = AsyncWeb3(provider)
            # Poa chains have long extraData; formatting middleware is not needed for what we read.
            self._clients.append(client)
        self._vault = settings.rail.vault

    @property
    def rail(self) -> Rail:
        return self._settings.rail

    @property
    def native(self) -> Token:
        return self._settings.native

    @property
    def token(self) -> Address:
        return self._settings.token

    async def close(self) -> None:
        for client in self._clients:
            await client.provider.disconnect()

    # --- reading -----------------------------------------------------------------------------------------------------

    async def head(self) -> Block:
        block = await self._ask(lambda w3: w3.eth.get_block("latest"))
        return Block(int(block["number"]), bytes(block["hash"]), int(block["timestamp"]))

    async def native_balance(self, owner: Address) -> int:
        return int(await self._ask(lambda w3: w3.eth.get_balance(_checksum(owner))))

    async def token_balance(self, owner: Address) -> int:
        return await self._number(self.token, "balanceOf(address)", owner)

    async def allowance(self, owner: Address) -> int:
        return await self._number(self.token, "allowance(address,address)", owner, self._vault)

    async def payer_state(self, payer: Address) -> PayerState:
        balance = await self._number(self._vault, "balance(address)", payer)
        locked = await self._number(self._vault, "lockedTotal(address)", payer)
        answer = await self._view(self._vault, "notice(address)", payer)
        notice, ready_at = self._words(("uint256", "uint256"), answer)
        return PayerState(balance, locked, notice, ready_at)

    async def paid_out(self, payer: Address, payee: Address) -> int:
        return await self._number(self._vault, "paidOut(address,address)", payer, payee)

    async def available(self, payer: Address, payee: Address) -> int:
        return await self._number(self._vault, "available(address,address)", payer, payee)

    async def events(self, first: int, last: int) -> Sequence[VaultEvent]:
        wanted: FilterParams = {"address": _checksum(self._vault), "fromBlock": hex(first), "toBlock": hex(last)}  # type: ignore[typeddict-item]  # BlockNumber is an int in web3's types, a hex string on the wire; both work
        logs = await self._ask(lambda w3: w3.eth.get_logs(wanted))
        return self._decode(logs)

    # --- calls -------------------------------------------------------------------------------------------------------

    def transfer_native(self, to: Address, amount: int) -> Call:
        return Call(to, b"", amount, "transfer", f"send {format_amount(amount, self.native)} to {to}")

    def transfer_token(self, to: Address, amount: int) -> Call:
        data = abi.call_data("transfer(address,uint256)", to, amount)
        return Call(self.token, data, 0, "transfer", f"send {self._amount(amount)} to {to}")

    def approve(self, amount: int) -> Call:
        data = abi.call_data("approve(address,uint256)", self._vault, amount)
        return Call(self.token, data, 0, "approve", f"let the vault take {self._amount(amount)}")

    def deposit(self, amount: int) -> Call:
        return self._to_vault("deposit(uint256)", f"deposit {self._amount(amount)}", amount)

    def give_notice(self, amount: int) -> Call:
        return self._to_vault("giveNotice(uint256)", f"give notice of withdrawing {self._amount(amount)}", amount)

    def cancel_notice(self) -> Call:
        return self._to_vault("cancelNotice()", "cancel the notice")

    def withdraw(self, to: Address) -> Call:
        return self._to_vault("withdraw(address)", f"withdraw to {to}", to)

    def cash(self, cheques: Sequence[SignedCheque], recipient: Address) -> Call:
        data = abi.cash_many_data(cheques, recipient)
        plural = "cheque" if len(cheques) == 1 else "cheques"
        return Call(self._vault, data, 0, "cashMany", f"cash {len(cheques)} {plural} to {recipient}")

    def _to_vault(self, signature: str, text: str, *arguments: object) -> Call:
        return Call(self._vault, abi.call_data(signature, *arguments), 0, signature.split("(")[0], text)

    def _amount(self, value: int) -> str:
        return format_amount(value, self.rail.token)

    # --- writing -----------------------------------------------------------------------------------------------------

    async def estimate(self, call: Call, sender: Address) -> Fee:
        params: TxParams = {
            "from": _checksum(sender),
            "to": _checksum(call.to),
            "data": HexBytes(call.data),
            "value": call.value,  # type: ignore[typeddict-item]  # Wei is a NewType of int
        }
        gas = int(await self._ask(lambda w3: w3.eth.estimate_gas(params)))
        price = int(await self._ask(lambda w3: w3.eth.gas_price))
        limit = gas if gas == TRANSFER_GAS else gas + gas * GAS_MARGIN_PERCENT // 100
        fee = Fee(limit, price)
        bound = self._settings.max_fee
        if bound is not None and fee.total > bound:
            raise FeeTooHighError(
                f"the fee of up to {format_amount(fee.total, self.native)} is above your bound of "
                f"{format_amount(bound, self.native)}: wait, or raise [network] max_fee"
            )
        return fee

    async def next_nonce(self, sender: Address) -> int:
        return int(await self._ask(lambda w3: w3.eth.get_transaction_count(_checksum(sender), "pending")))

    async def used_nonces(self, sender: Address) -> int:
        return int(await self._ask(lambda w3: w3.eth.get_transaction_count(_checksum(sender), "latest")))

    def sign(self, tx: UnsignedTx, key: PrivateKey) -> SignedTx:
        signed = Account.sign_transaction(
            {
                "chainId": self.rail.chain_id,
                "nonce": tx.nonce,
                "gas": tx.fee.limit,
                "gasPrice": tx.fee.price,
                "to": tx.call.to.evm,
                "value": tx.call.value,
                "data": tx.call.data,
            },
            key.secret,
        )
        return SignedTx(bytes(signed.raw_transaction), bytes(signed.hash))

    async def broadcast(self, signed: SignedTx) -> None:
        try:
            await self._ask(lambda w3: w3.eth.send_raw_transaction(HexBytes(signed.raw)))
        except NonceError:
            # "Nonce too low" is also what a node says to bytes that are in a block already.
            if await self.receipt(signed.hash) is None:
                raise
        except ChainError as error:
            if "already known" not in str(error) and "already imported" not in str(error):
                raise

    async def receipt(self, transaction: bytes) -> Receipt | None:
        async def ask(w3: AsyncWeb3[AsyncHTTPProvider]) -> TxReceipt | None:
            try:
                return await w3.eth.get_transaction_receipt(HexBytes(transaction))
            except TransactionNotFound:
                return None

        found = await self._ask(ask)
        if found is None:
            return None
        used = int(found["gasUsed"])
        return Receipt(
            hash=bytes(found["transactionHash"]),
            ok=found["status"] == 1,
            block=int(found["blockNumber"]),
            block_hash=bytes(found["blockHash"]),
            fee_used=used,
            fee_paid=used * int(found.get("effectiveGasPrice", 0)),
            events=self._decode(
                [log for log in found["logs"] if bytes.fromhex(log["address"][2:]) == bytes(self._vault)]
            ),
        )

    async def is_final(self, receipt: Receipt) -> bool:
        head = await self.head()
        if head.number - receipt.block < self._settings.finality:
            return False
        block = await self._ask(lambda w3: w3.eth.get_block(receipt.block))
        return bytes(block["hash"]) == receipt.block_hash

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _decode(self, logs: Sequence[Any]) -> tuple[VaultEvent, ...]:
        events = []
        for log in logs:
            try:
                event = abi.decode_event([bytes(topic) for topic in log["topics"]], bytes(log["data"]))
            except ValueError as error:
                raise ChainAnswerError(f"{self.rail.id}: {error}") from None
            if event is not None:
                events.append(event)
        return tuple(events)

    async def _view(self, to: Address, signature: str, *arguments: object) -> bytes:
        params: TxParams = {"to": _checksum(to), "data": HexBytes(abi.call_data(signature, *arguments))}
        return bytes(await self._ask(lambda w3: w3.eth.call(params)))

    async def _number(self, to: Address, signature: str, *arguments: object) -> int:
        return self._words(("uint256",), await self._view(to, signature, *arguments))[0]

    def _words(self, types: Sequence[str], answer: bytes) -> tuple[int, ...]:
        try:
            return abi.decode_words(types, answer)
        except ValueError:
            raise ChainAnswerError(
                f"{self.rail.id}: there is no vault or token at the configured address: check [network] in config.toml"
            ) from None

    async def _ask(self, question: Asked[T]) -> T:
        """Ask the endpoints in turn until one answers. A refusal by the chain is an answer and ends the search."""
        failures: list[str] = []
        for _ in range(MAX_ROUNDS):
            for index, client in enumerate(self._clients):
                host = urlsplit(self._settings.endpoints[index]).hostname or "endpoint"
                try:
                    async with asyncio.timeout(self._settings.timeout):
                        await self._check_chain(index, client, host)
                        return await question(client)
                except ContractLogicError as error:
                    raise RevertedError(f"the contract refuses: {_reason(error)}") from None
                except Web3RPCError as error:
                    raise _rpc_error(error) from None
                except TimeoutError:
                    failures.append(f"{host}: no answer in {self._settings.timeout:g} s")
                except OSError as error:
                    failures.append(f"{host}: {_network_text(error)}")
                except ChainError:
                    raise
                except (Web3Exception, ValueError, KeyError, TypeError) as error:
                    failures.append(f"{host}: not a usable answer ({type(error).__name__})")
                except Exception as error:  # aiohttp's errors are no dependency of this module
                    failures.append(f"{host}: {_network_text(error)}")
        what = failures[-1] if failures else "no endpoint is configured: set [network] endpoints"
        raise ChainUnreachableError(f"cannot reach {self.rail.id}: {what}")

    async def _check_chain(self, index: int, client: AsyncWeb3[AsyncHTTPProvider], host: str) -> None:
        if index in self._checked:
            return
        found = int(await client.eth.chain_id)
        if found != self.rail.chain_id:
            raise WrongChainError(f"{host} serves chain {found}, not {self.rail.chain_id}: check [network] endpoints")
        self._checked.add(index)


def _checksum(address: Address) -> Any:
    """web3 types an address as its own NewType of str."""
    return address.evm


def _network_text(error: BaseException) -> str:
    text = str(error).split("\n")[0][:160]
    return text or type(error).__name__


def _reason(error: ContractLogicError) -> str:
    data = error.data
    if isinstance(data, str) and data.startswith("0x"):
        try:
            return abi.revert_reason(bytes.fromhex(data[2:]))
        except ValueError:
            pass
    return str(error.message or "no reason given")[:200]


_RPC_ERRORS: tuple[tuple[str, type[ChainError], str], ...] = (
    ("insufficient funds", InsufficientFundsError, "the account cannot pay amount and fee: send it native coins first"),
    ("nonce too low", NonceError, "the nonce is used already"),
    ("nonce too high", NonceError, "the nonce leaves a gap"),
    ("underpriced", UnderpricedError, "the gas price is too low"),
    ("revert", RevertedError, "the contract refuses"),
)


def _rpc_error(error: Web3RPCError) -> ChainError:
    response = cast("dict[str, Any]", error.rpc_response or {})
    body = response.get("error", {})
    text = str(body.get("message", error) if isinstance(body, dict) else body)[:200]
    data = body.get("data") if isinstance(body, dict) else None
    if isinstance(data, str) and data.startswith("0x") and len(data) >= 10:
        return RevertedError(f"the contract refuses: {abi.revert_reason(bytes.fromhex(data[2:]))}")
    for mark, kind, meaning in _RPC_ERRORS:
        if mark in text.lower():
            return kind(f"{meaning} ({text})")
    return ChainAnswerError(f"the chain answers: {text}")
