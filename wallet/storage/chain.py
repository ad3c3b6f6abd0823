"""`StorageMarket` and `HostRegistry` on one chain: `calls` make transactions, the rest reads what is there.

Theory
------
The contracts stand at addresses out of the settings, so `check` compares them with what the settings say before
anybody signs terms for them: a signature binds market and chain, and one for the wrong market is worth nothing. After
that an answer that does not decode is a `WrongContractError`, and a log that does not is its server's fault.

What is read here is the latest state, which a reorganisation may take back. What was *paid* is told by the events in
the receipt of a transaction that is final (`happened`, `events.earned`), never by comparing balances.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from wallet.address import Address
from wallet.chains.abi import MARKET, REGISTRY, TOKEN
from wallet.chains.base import ChainAdapter, ChainAnswerError, Receipt, RevertedError
from wallet.chains.reading import Log, Topics
from wallet.digests import word
from wallet.storage.calls import MarketCalls, RegistryCalls
from wallet.storage.codec import decode_answer, encode_call, topic
from wallet.storage.errors import SeedLostError, WrongContractError
from wallet.storage.events import (
    ContractEvent,
    Deposited,
    MarketEvent,
    Opened,
    RegistryEvent,
    Status,
    Withdrawn,
    market_event,
    registry_event,
)
from wallet.storage.records import (
    Chosen,
    ContractRecord,
    HostStake,
    MarketSettings,
    OpenChallenge,
    RegistrySettings,
)
from wallet.storage_terms import Market, StorageContract

MAX_TOGETHER = 16
"""Contracts whose records are asked for in one go."""

E = TypeVar("E")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Happened(Generic[T]):
    """An event and where; a reorganisation may still take it away."""

    event: T
    block: int
    block_hash: bytes
    transaction: bytes


class _Contract(ABC, Generic[E]):
    """One of our contracts, by its interface. `E`: its events."""

    KIND: ClassVar[str]

    def __init__(self, chain: ChainAdapter, address: Address) -> None:
        self.address = address
        self._chain = chain

    @abstractmethod
    def _event(self, log: Log) -> E | None:
        """What a log says, None where it is not for us. Raises `ValueError` for one this contract cannot have made."""

    async def events(self, first: int, last: int) -> Sequence[Happened[E]]:
        """In these blocks, both included, in order. Raises `ValueError` for too many blocks, as the port does."""
        return await self._found(self._event, first, last)

    def happened(self, receipt: Receipt) -> tuple[E, ...]:
        """What a transaction did here: the truth about amounts, once the receipt is final."""
        return tuple(event for log in receipt.logs if (event := self._read(self._event, log)) is not None)

    async def allowance(self, owner: Address) -> int:
        """How much the contract may take from the owner's wallet."""
        request = encode_call(TOKEN, "allowance", owner, self.address)
        (answer,) = await self._chain.ask(self._chain.token, request)
        return int(self._decoded(TOKEN, "allowance", answer)[0])

    async def _view(self, *questions: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Answers to (function, arguments…), all of one block."""
        answers = await self._chain.ask(self.address, *(encode_call(self.KIND, *question) for question in questions))
        return [self._decoded(self.KIND, question[0], raw) for question, raw in zip(questions, answers, strict=True)]

    async def _settings(self, *names: str) -> list[Any]:
        """Constants of the contract, its token first. Raises `WrongContractError` for another kind of contract, and for
        one of another token."""
        try:
            found = [value for (value,) in await self._view(*((name,) for name in ("token", *names)))]
        except RevertedError as error:
            raise self._wrong(str(error)) from None
        if found[0] != self._chain.token:
            raise self._wrong(f"its token is {self._chain.name(found[0])}, not {self._chain.name(self._chain.token)}")
        return found

    def _decoded(self, contract: str, function: str, answer: bytes) -> tuple[Any, ...]:
        try:
            return decode_answer(contract, function, answer)
        except ValueError:
            raise self._wrong(f"it does not answer {function}") from None

    def _wrong(self, why: str) -> WrongContractError:
        return WrongContractError(
            f"{self._chain.name(self.address)} on {self._chain.rail.id} is not our {self.KIND}: {why}"
        )

    async def _found(
        self, read: Callable[[Log], T | None], first: int, last: int, topics: Topics = ()
    ) -> list[Happened[T]]:
        logs = await self._chain.logs(self.address, first, last, topics)
        return [
            Happened(event, found.block, found.block_hash, found.transaction)
            for found in logs
            if (event := self._read(read, found.log)) is not None
        ]

    def _read(self, read: Callable[[Log], T | None], log: Log) -> T | None:
        try:
            return read(log)
        except ValueError as error:
            raise ChainAnswerError(
                f"{self._chain.rail.id}: {self.KIND} cannot have written this log: {error}"
            ) from None


class StorageMarket(_Contract[MarketEvent]):
    """Every coroutine may raise `ChainError`s, its own among them (`wallet.storage.errors`)."""

    KIND = MARKET

    def __init__(self, chain: ChainAdapter, address: Address) -> None:
        super().__init__(chain, address)
        self._ensured = False
        self.market = Market(chain.rail.chain_id, address)
        self.calls = MarketCalls(address, chain.token, chain.rail.token, chain.name)

    async def check(self) -> MarketSettings:
        """What the market was made with. Raises `WrongContractError` where signatures of ours would not count there."""
        token, bond, period, separator = await self._settings("challengeBond", "answerPeriod", "domainSeparator")
        if separator != self.market.separator:
            raise self._wrong("it is of another version, or for another chain")
        return MarketSettings(token, bond, period)

    async def ensure(self) -> None:
        """`check`, until it has passed once: a contract does not change. Before money or a signature goes there."""
        if not self._ensured:
            await self.check()
            self._ensured = True

    async def balance(self, account: Address) -> int:
        """What an account may withdraw, or lock for a contract. Locked money is in nobody's balance."""
        ((balance,),) = await self._view(("balance", account))
        return int(balance)

    async def balances(self, *accounts: Address) -> Sequence[int]:
        """Several at one block."""
        return [int(balance) for (balance,) in await self._view(*(("balance", account) for account in accounts))]

    async def record(self, contract_id: bytes) -> ContractRecord:
        """What the market knows of a contract; `Status.UNKNOWN` where it was never opened."""
        (record,) = await self.records([contract_id])
        return record

    async def records(self, contract_ids: Sequence[bytes]) -> Sequence[ContractRecord]:
        """In the order of the ids. Records of one question are of one block, those of different ones need not be."""
        found: list[ContractRecord] = []
        for start in range(0, len(contract_ids), MAX_TOGETHER):
            part = contract_ids[start : start + MAX_TOGETHER]
            found += [self._record(state) for (state,) in await self._view(*(("stateOf", one) for one in part))]
        return found

    def _record(self, state: tuple[Any, ...]) -> ContractRecord:
        status, by_auditor, epochs, attempt, seed_block, answer_by, index, paid = state
        if status not in list(Status):
            raise self._wrong(f"it knows a status {status}")
        challenge = OpenChallenge(index, answer_by, by_auditor) if answer_by else None
        return ContractRecord(Status(status), epochs, paid, attempt - 1 if attempt else None, seed_block, challenge)

    async def chosen(self, terms: StorageContract) -> Chosen | None:
        """What a proof that was begun has to show; None while the block that chooses is not there yet.

        Raises `SeedLostError` when it is too late, and `RevertedError` where no proof is under way.
        """
        try:
            ((epoch, index),) = await self._view(("chosen", terms))
        except RevertedError as error:
            if error.refusal == "SeedNotYet":
                return None
            if error.refusal == "SeedLost":
                raise SeedLostError(f"the proof was begun, but not handed in: {error}") from None
            raise
        return Chosen(epoch, index)

    async def closable_at(self, terms: StorageContract) -> int:
        """Unix seconds when `close` is possible, as things stand. Raises `RevertedError` unless it is in force."""
        ((moment,),) = await self._view(("closableAt", terms))
        return int(moment)

    async def history(self, contract_id: bytes, first: int, last: int) -> Sequence[Happened[ContractEvent]]:
        """Of one contract. Raises as `events`."""

        def read(log: Log) -> ContractEvent | None:
            event = self._event(log)
            return None if isinstance(event, (Deposited, Withdrawn)) else event

        return await self._found(read, first, last, [None, contract_id])

    async def opened(
        self, first: int, last: int, *, renter: Address | None = None, host: Address | None = None
    ) -> Sequence[Happened[Opened]]:
        """Contracts of a renter, a host, or of both, with all of their terms. Raises as `events`."""

        def read(log: Log) -> Opened | None:
            event = self._event(log)
            return event if isinstance(event, Opened) else None

        parties = (None if party is None else word(party) for party in (renter, host))
        return await self._found(read, first, last, [topic(MARKET, "Opened"), None, *parties])

    def _event(self, log: Log) -> MarketEvent | None:
        return market_event(self.market, log)


class HostRegistry(_Contract[RegistryEvent]):
    """Raises as `StorageMarket`. `wallet.storage.directory` makes a list of hosts out of `events`."""

    KIND = REGISTRY

    def __init__(self, chain: ChainAdapter, address: Address) -> None:
        super().__init__(chain, address)
        self.calls = RegistryCalls(address, chain.token, chain.rail.token, chain.name)

    async def check(self) -> RegistrySettings:
        """What the registry was made with. Raises `WrongContractError` where it is none, or of another token."""
        return RegistrySettings(*await self._settings("minStake", "noticePeriod"))

    async def stake(self, host: Address) -> HostStake:
        """Nothing for a host that was never here."""
        ((amount, leaves_at),) = await self._view(("hostOf", host))
        return HostStake(amount, leaves_at or None)

    def _event(self, log: Log) -> RegistryEvent | None:
        return registry_event(self.address, log)
