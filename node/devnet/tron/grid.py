"""TronGrid's indexed answers (`/v1`): events of contracts, transactions and blocks; an account's TRC-20 transfers.

Lists come newest first unless `order_by=block_timestamp,asc` says otherwise, at most 200 at once. Where there is more,
`meta` has a `fingerprint`: asking again with it goes on after the last entry. It names a log, not a place in a list, so
blocks that come in between neither repeat nor skip anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlencode

from eth_abi.abi import decode as decode_abi
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from node.devnet.tron import reads
from node.devnet.tron.chain import TronChain
from node.devnet.tron.events import describe, event_json
from node.devnet.tron.protojson import BadJsonError, Json, shown
from node.devnet.tron.records import Log, RejectedError, TriggerContract
from node.devnet.tron.request import Request
from node.devnet.tron.views import address_json
from wallet.address import Address
from wallet.errors import AddressError

DEFAULT_LIMIT, MAX_LIMIT = 20, 200
MAX_TIME = 2**62
_TRANSFER = keccak(text="Transfer(address,address,uint256)")
_TRANSFER_TOPICS = 3
_WORD = 32
_NAMES = {"symbol": "string", "name": "string", "decimals": "uint8"}
_ORDERS = {"block_timestamp,desc": True, "block_timestamp,asc": False}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """A `/v1` request: `subject` is the address, id or number in its path, `path` the whole of it."""

    path: str
    subject: str
    query: Request

    def address(self) -> bytes:
        """TronGrid takes both forms of an address everywhere. Raises `BadJsonError`."""
        return any_address(self.subject)


Endpoint = Callable[[TronChain, Asked], Json]


def any_address(value: object) -> bytes:
    """The core's 20 bytes, from base58check or hex. Raises `BadJsonError`."""
    try:
        return Address.parse(value if isinstance(value, str) else "").raw
    except AddressError:
        raise BadJsonError(f"Invalid address: {shown(value)}") from None


# --- pages -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """Which logs a request is about, and in which order."""

    first: int
    last: int
    newest: bool
    after: str
    solid: int
    confirmed: bool
    unconfirmed: bool

    @classmethod
    def of(cls, chain: TronChain, query: Request) -> Window:
        """Raises `BadJsonError`."""
        order = str(query.parameters.get("order_by") or "block_timestamp,desc")
        if order not in _ORDERS:
            raise BadJsonError(f"order_by is {shown(order)}: {' or '.join(_ORDERS)} are possible")
        first = max(query.number(key, 0) for key in ("min_block_timestamp", "min_timestamp"))
        last = min(query.number(key, MAX_TIME) for key in ("max_block_timestamp", "max_timestamp"))
        newest, after = _ORDERS[order], str(query.parameters.get("fingerprint") or "")
        if after:
            moment = _moment(chain, after)
            first, last = (first, min(last, moment)) if newest else (max(first, moment), last)
        confirmed, unconfirmed = query.flag("only_confirmed", False), query.flag("only_unconfirmed", False)
        return cls(first, last, newest, after, chain.solid.number, confirmed, unconfirmed)

    def logs(self, chain: TronChain, contract: bytes | None) -> Iterator[Log]:
        """Of one contract, or of all; what comes after the fingerprint."""
        waiting = bool(self.after)
        for log in chain.logs(contract, self.first, self.last, newest=self.newest):
            if waiting:
                waiting = _fingerprint(log) != self.after
            elif self.has(log):
                yield log

    def has(self, log: Log) -> bool:
        is_solid = log.block <= self.solid
        return not (self.confirmed and not is_solid) and not (self.unconfirmed and is_solid)


def _fingerprint(log: Log) -> str:
    return f"{log.transaction.hex()}.{log.index}"


def _moment(chain: TronChain, fingerprint: str) -> int:
    try:
        mined = chain.mined(bytes.fromhex(fingerprint.partition(".")[0]))
    except ValueError:
        mined = None
    if mined is None:
        raise BadJsonError(f"Invalid fingerprint: {shown(fingerprint)}")
    return mined.timestamp


def _page(chain: TronChain, asked: Asked, entries: Iterator[tuple[Log, T]], show: Callable[[Log, T], Json]) -> Json:
    """The first entries, each shown from its log and what was found in that."""
    limit = min(asked.query.number("limit", DEFAULT_LIMIT, least=1), MAX_LIMIT)
    found = list(islice(entries, limit + 1))
    page = found[:limit]
    meta: Json = {"at": chain.now(), "page_size": len(page)}
    if len(found) > len(page):
        meta["fingerprint"] = _fingerprint(page[-1][0])
        again = {**asked.query.parameters, "fingerprint": meta["fingerprint"]}
        meta["links"] = {"next": f"{asked.path}?{urlencode(again)}"}
    return _answer([show(log, entry) for log, entry in page], meta)


def _answer(data: Sequence[Json], meta: Json) -> Json:
    return {"data": list(data), "success": True, "meta": meta}


# --- events ----------------------------------------------------------------------------------------------------------


def _event(chain: TronChain, log: Log) -> Json:
    contract = chain.contract(log.event.address)
    return event_json(log, b"" if contract is None else contract.abi, solid=log.block <= chain.solid.number)


def _contract_events(chain: TronChain, asked: Asked) -> Json:
    address, query = asked.address(), asked.query
    window = Window.of(chain, query)
    contract = chain.contract(address)
    abi = b"" if contract is None else contract.abi
    name = query.text("event_name") if query.has("event_name") else None
    number = query.number("block_number") if query.has("block_number") else None

    def wanted(log: Log) -> bool:
        described = describe(log.event, abi)
        named = name is None or (described is not None and described.name == name)
        return named and number in (None, log.block)

    entries = ((log, abi) for log in window.logs(chain, address) if wanted(log))
    return _page(chain, asked, entries, lambda log, abi: event_json(log, abi, solid=log.block <= window.solid))


def _transaction_events(chain: TronChain, asked: Asked) -> Json:
    window = Window.of(chain, asked.query)
    mined = chain.mined(Request({"id": asked.subject}).id("id"))
    logs = () if mined is None else chain.logs_of(mined.transaction.id)
    data = [_event(chain, log) for log in logs if window.has(log)]
    return _answer(data, {"at": chain.now(), "page_size": len(data)})


def _block_events(chain: TronChain, asked: Asked) -> Json:
    """`latest`, or a number."""
    window = Window.of(chain, asked.query)
    number = chain.head.number if asked.subject == "latest" else Request({"number": asked.subject}).number("number")
    block = chain.block(number)
    transactions = () if block is None else block.transactions
    data = [_event(chain, log) for transaction in transactions for log in chain.logs_of(transaction) if window.has(log)]
    return _answer(data, {"at": chain.now(), "page_size": len(data)})


# --- accounts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transfer:
    """A TRC-20 transfer in a log."""

    sender: bytes
    receiver: bytes
    amount: int

    @classmethod
    def of(cls, log: Log) -> Transfer | None:
        topics, data = log.event.topics, log.event.data
        if len(topics) != _TRANSFER_TOPICS or topics[0] != _TRANSFER or len(data) != _WORD:
            return None
        return cls(topics[1][12:], topics[2][12:], int.from_bytes(data, "big"))


def _transfers(chain: TronChain, asked: Asked) -> Json:
    address, query = asked.address(), asked.query
    window = Window.of(chain, query)
    token = any_address(query.parameters["contract_address"]) if query.has("contract_address") else None
    only_to, only_from = query.flag("only_to", False), query.flag("only_from", False)
    tokens: dict[bytes, Json] = {}

    def wanted(transfer: Transfer) -> bool:
        return (transfer.receiver == address and not only_from) or (transfer.sender == address and not only_to)

    def show(log: Log, transfer: Transfer) -> Json:
        contract = log.event.address
        if contract not in tokens:
            tokens[contract] = _token_info(chain, contract)
        return {
            "transaction_id": log.transaction.hex(),
            "token_info": tokens[contract],
            "block_timestamp": log.timestamp,
            "from": address_json(transfer.sender, visible=True),
            "to": address_json(transfer.receiver, visible=True),
            "type": "Transfer",
            "value": str(transfer.amount),
        }

    read = ((log, Transfer.of(log)) for log in window.logs(chain, token))
    entries = ((log, found) for log, found in read if found is not None and wanted(found))
    return _page(chain, asked, entries, show)


def _account(chain: TronChain, asked: Asked) -> Json:
    """The account with hex addresses, and the balances of the tokens that were ever transferred to it."""
    address = asked.address()
    found = reads.account(chain, Request({"address": Address(address).tron_hex}))
    if not found:
        return _answer([], {"at": chain.now(), "page_size": 0})
    received = {
        log.event.address
        for log in chain.logs(None, 0, MAX_TIME)
        if (transfer := Transfer.of(log)) is not None and transfer.receiver == address
    }
    owner = address.rjust(_WORD, b"\0")
    balances = {token: _ask(chain, token, "balanceOf(address)", "uint256", owner) for token in sorted(received)}
    trc20 = [
        {address_json(token, visible=True): str(balance)} for token, balance in balances.items() if balance is not None
    ]
    return _answer([{**found, "trc20": trc20}], {"at": chain.now(), "page_size": 1})


def _token_info(chain: TronChain, contract: bytes) -> Json:
    """What the token says of itself; what it does not say is left out."""
    said = {key: _ask(chain, contract, f"{key}()", kind) for key, kind in _NAMES.items()}
    known = {key: value for key, value in said.items() if value is not None}
    return {**known, "address": address_json(contract, visible=True)}


def _ask(chain: TronChain, contract: bytes, signature: str, kind: str, arguments: bytes = b"") -> Any:
    """One value of a contract; None where it gives none."""
    call = TriggerContract(owner=contract, contract=contract, data=keccak(text=signature)[:4] + arguments)
    try:
        outcome = chain.constant(call)
        return decode_abi([kind], outcome.output)[0] if outcome.ok else None
    except (RejectedError, DecodingError, ValueError):
        return None


ENDPOINTS: Mapping[str, Endpoint] = {
    "/v1/contracts/{subject}/events": _contract_events,
    "/v1/transactions/{subject}/events": _transaction_events,
    "/v1/blocks/{subject}/events": _block_events,
    "/v1/accounts/{subject}/transactions/trc20": _transfers,
    "/v1/accounts/{subject}": _account,
}
