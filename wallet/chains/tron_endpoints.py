"""java-tron's HTTP: what is asked, and a strict reading of what comes back.

Bounds, failover and faults are `transport`. A question is a POST of JSON to `wallet/…`; indexing servers (TronGrid)
also have a history under `v1/…`. Addresses go and come as hex digits of 21 bytes, 20 in logs. What is zero or empty is
left out of answers, and what does not exist is `{}`, so a missing field has a meaning here. Refusals come in three
forms: a code with a message, `{"Error": …}`, and a message that is hex digits of its text.

Written on our own transport rather than on tronpy's `AsyncTron`: that hands on answers of any size and type, takes the
machine's clock for the chain's, asks the network for transaction ids that can be computed, and its provider follows
rate limits with built-in keys of its author's.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from wallet.address import TRON_PREFIX, Address
from wallet.chains.base import (
    ChainAnswerError,
    ChainError,
    ExpiredError,
    InsufficientFundsError,
    RevertedError,
    WrongChainError,
)
from wallet.chains.reading import Log
from wallet.chains.transport import Failover, Server
from wallet.digests import mask_chain_id

API_KEY_HEADER = "TRON-PRO-API-KEY"
MAX_NUMBER = 2**63 - 1
_NOT_SERVED = frozenset({404, 405, 501})

Message = Mapping[str, Any]


# --- reading answers ------------------------------------------------------------------------------------------------
#
# All raise `ValueError` or `TypeError` for a wrong shape.


def message(value: object) -> Message:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def messages(value: object) -> Sequence[Message]:
    """A list of objects; where it is missing it was empty."""
    if value is None or value == {}:
        return ()
    if not isinstance(value, list):
        raise TypeError("not a list")
    return [message(entry) for entry in value]


def number(value: object) -> int:
    """0 to 2⁶³ - 1; a missing one is 0."""
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= MAX_NUMBER:
        raise ValueError("not a number")
    return value


def octets(value: object, length: int | None = None) -> bytes:
    """Hex digits → bytes, of that length if it is given; missing ones are none."""
    if value is None:
        value = ""
    if not isinstance(value, str) or (value and not value.isalnum()):
        raise ValueError("not hex digits")  # fromhex() would take spaces
    raw = bytes.fromhex(value)
    if length is not None and len(raw) != length:
        raise ValueError(f"{len(raw)} bytes where {length} are due")
    return raw


def text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


@dataclass(frozen=True, slots=True)
class Head:
    """A block's number, id (32 bytes, the first eight are the number) and time in ms."""

    number: int
    id: bytes
    time: int


@dataclass(frozen=True, slots=True)
class Info:
    """What became of a transaction (`TransactionInfo`). `result` is java-tron's `contractResult`, empty for plain
    transfers; `words` say why it failed; `output` is what the contract gave back. Fee in sun."""

    id: bytes
    block: int
    time: int
    ok: bool
    fee: int
    energy: int
    result: str
    words: str
    output: bytes
    logs: tuple[Log, ...]
    contract: bytes | None = None
    """The contract that was made or called, 20 bytes."""


def read_head(found: object) -> Head | None:
    """A block's header; None for `{}`."""
    block = message(found)
    if not block:
        return None
    header = message(message(block["block_header"])["raw_data"])
    head = Head(number(header.get("number")), octets(block["blockID"], 32), number(header.get("timestamp")))
    if int.from_bytes(head.id[:8], "big") != head.number:
        raise ValueError("the block's id is another block's")
    return head


def read_log(found: Message) -> Log:
    """Logs name 20 bytes; some servers put the prefix before them."""
    address = octets(found["address"])
    if len(address) == 21:
        address = address.removeprefix(TRON_PREFIX)
    if len(address) != 20:
        raise ValueError("an event's address is none")
    topics = found.get("topics", [])
    if not isinstance(topics, list):
        raise TypeError("topics are no list")
    return Log(
        Address(address),
        tuple(octets(topic, 32) for topic in topics),
        octets(found.get("data")),
    )


class NotServedError(ChainAnswerError):
    """The server does not have this part of the interface."""


# --- one endpoint ---------------------------------------------------------------------------------------------------


class TronServer(Server):
    """One server. Raises remote faults and, where java-tron refuses, the error that it means."""

    async def post(self, path: str, **body: object) -> Any:
        """`path` without a leading slash, such as `wallet/getaccount`."""
        return self._answer(*await self.fetch("POST", path, body=body))

    async def get(self, path: str, query: Mapping[str, str]) -> Message:
        return message(self._answer(*await self.fetch("GET", path, query=query)))

    async def head(self, which: int | None = None) -> Head | None:
        """A block's header, without a number the latest. None where there is no such block."""
        wanted = {} if which is None else {"id_or_num": str(which)}
        return read_head(await self.post("wallet/getblock", detail=False, **wanted))

    async def latest(self) -> Head:
        head = await self.head()
        if head is None:
            raise ChainAnswerError(f"{self.host} has no blocks")
        return head

    async def solid(self) -> Head:
        """The solidified head. Full nodes that do not serve `walletsolidity` name it in their own description."""
        try:
            head = read_head(await self.post("walletsolidity/getblock", detail=False))
        except NotServedError:
            described = text(message(await self.post("wallet/getnodeinfo")).get("solidityBlock"))
            count = described.partition(",")[0].removeprefix("Num:")
            if not (count.isascii() and count.isdigit() and len(count) < 19):
                raise
            head = await self.head(int(count))
        if head is None:
            raise ChainAnswerError(f"{self.host} has no solidified blocks")
        return head

    async def info(self, transaction: bytes) -> Info | None:
        found = message(await self.post("wallet/gettransactioninfobyid", value=transaction.hex()))
        return self.read_info(found) if found else None

    async def infos(self, block: int) -> Sequence[Info]:
        """Of all transactions of a block, in its order."""
        found = await self.post("wallet/gettransactioninfobyblocknum", num=block)
        return [self.read_info(entry) for entry in messages(found)]

    async def account(self, owner: Address) -> Message:
        """Empty where nobody has sent anything there yet."""
        return message(await self.post("wallet/getaccount", address=owner.tron_hex))

    def read_info(self, found: Message) -> Info:
        receipt = message(found.get("receipt", {}))
        result = text(receipt.get("result"))
        outputs = found.get("contractResult", [])
        if not isinstance(outputs, list):
            raise TypeError("results are no list")
        return Info(
            id=octets(found["id"], 32),
            block=number(found["blockNumber"]),
            time=number(found["blockTimeStamp"]),
            ok=found.get("result") in (None, "SUCESS") and result in ("", "DEFAULT", "SUCCESS"),  # java-tron's spelling
            fee=number(found.get("fee")),
            energy=number(receipt.get("energy_usage_total")),
            result=result,
            words=self.words(found.get("resMessage")),
            output=octets(outputs[0]) if outputs else b"",
            logs=tuple(read_log(log) for log in messages(found.get("log"))),
            contract=octets(made, 21)[1:] if (made := found.get("contract_address")) else None,
        )

    def words(self, given: object) -> str:
        """What java-tron says, as one line: text, or hex digits of text."""
        said = text(given)
        with suppress(ValueError):  # where it is no hex, or no text, it is shown as it came
            said = bytes.fromhex(said).decode()
        return self.line(said)

    def refusal(self, found: Message) -> ChainError:
        """A code and a message as one of our errors."""
        code = text(found.get("code")) or "an error without a code"
        return refusal(self.line(code), self.words(found.get("message")))

    def _answer(self, status: int, raw: bytes) -> Any:
        if status != 200:
            kind = NotServedError if status in _NOT_SERVED else ChainAnswerError
            raise kind(f"{self.host} answers HTTP {status}{self._reason(raw)}")
        answer = self.parse(raw)
        if isinstance(answer, dict) and "Error" in answer:
            said = self.line(answer["Error"])
            if match := _VALIDATION.match(said):
                raise refusal("CONTRACT_VALIDATE_ERROR", said[match.end() :])
            raise ChainAnswerError(f"{self.host} cannot answer: {said}")
        return answer

    def _reason(self, raw: bytes) -> str:
        """TronGrid says in JSON why it does not serve us: a wrong key, the day's quota."""
        try:
            answer = self.parse(raw)
        except ChainAnswerError:
            return ""
        said = (answer.get("Error") or answer.get("error")) if isinstance(answer, dict) else None
        return f": {self.line(said)}" if said else ""


# --- refusals -------------------------------------------------------------------------------------------------------

_VALIDATION = re.compile(r".*(?:ContractValidateException|Contract validate error)[ :]*")
"""The class of java-tron's exception, the beginning of its words, or both."""

_CODES: Mapping[str, tuple[type[ChainError], str]] = {
    "SIGERROR": (ChainError, "the network does not take the signature"),
    "CONTRACT_VALIDATE_ERROR": (RevertedError, "the network refuses it"),
    "CONTRACT_EXE_ERROR": (RevertedError, "the contract cannot run"),
    "BANDWITH_ERROR": (InsufficientFundsError, "the account cannot pay the bandwidth"),  # java-tron's spelling
    "TAPOS_ERROR": (ExpiredError, "the network does not know the block that the transaction refers to"),
    "TRANSACTION_EXPIRATION_ERROR": (ExpiredError, "the transaction has expired"),
    "TOO_BIG_TRANSACTION_ERROR": (ChainError, "the transaction is too big"),
    "SERVER_BUSY": (ChainAnswerError, "the server is busy"),
    "NO_CONNECTION": (ChainAnswerError, "the server has no peers"),
    "NOT_ENOUGH_EFFECTIVE_CONNECTION": (ChainAnswerError, "the server has too few peers"),
    "BLOCK_UNSOLIDIFIED": (ChainAnswerError, "the network has not solidified blocks for a while"),
}
"""`GrpcAPI.Return.response_code`: what it means for us. Others are taken for the server's own trouble."""

_NO_MONEY = ("not sufficient", "insufficient", "no owneraccount", "] does not exist")
"""What the words of a refusal hold, in lower case, when the money, or even the account, of the sender is missing."""


def refusal(code: str, words: str) -> ChainError:
    """java-tron's code and words as one of our errors."""
    kind, meaning = _CODES.get(code, (ChainAnswerError, f"the server answers {code}"))
    if kind is RevertedError and any(mark in words.lower() for mark in _NO_MONEY):
        kind, meaning = InsufficientFundsError, "the account cannot pay it"
    return kind(f"{meaning} ({words})" if words else meaning)


# --- all of them ----------------------------------------------------------------------------------------------------


def tron_servers(
    urls: Sequence[str],
    *,
    chain_id: int,
    timeout: float,
    api_key: str,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
) -> Failover[TronServer]:
    """The servers, each asked for its genesis block before anything else: its id ends with the chain id."""
    headers = {API_KEY_HEADER: api_key} if api_key else {}

    async def check(server: TronServer) -> None:
        genesis = read_head(await server.post("wallet/getblockbynum", num=0))
        if genesis is None:
            raise ChainAnswerError(f"{server.host} does not tell its chain")
        found = mask_chain_id(int.from_bytes(genesis.id, "big"))
        if found != mask_chain_id(chain_id):
            raise WrongChainError(f"{server.host} serves chain {found:#x}, not {mask_chain_id(chain_id):#x}")

    return Failover([TronServer(url, timeout, headers) for url in urls], check, clock=clock, sleep=sleep)
