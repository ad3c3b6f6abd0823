"""Ethereum's JSON forms: quantities, data, blocks, transactions, receipts, logs, and what may come as a parameter.

Decoders raise `BadParameterError` with one line; they never trust a type, a length or a range.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eth_bloom.bloom import BloomFilter

from node.devnet.records import Block, Call, Log, Mined, Transaction

MAX_FILTER_CHOICES = 1000

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}\Z")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*\Z")
_ADDRESS_BYTES, _WORD_BYTES = 20, 32
_MAX_TEXT = 80
_BLOOM_BYTES, _NONCE_BYTES = 256, 8
_CALL_KEYS = frozenset(
    {"from", "to", "data", "input", "value", "gas", "gasPrice", "nonce", "chainId", "type", "accessList"}
)


class BadParameterError(ValueError):
    """A parameter that is not what the method takes."""


# --- in --------------------------------------------------------------------------------------------------------------


def quantity_in(value: object) -> int:
    """`"0x1f"`, or a plain JSON number as some tools send it."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**256:
        return value
    if isinstance(value, str) and _QUANTITY.match(value):
        return int(value, 16)
    raise BadParameterError(f"not a quantity: {_shown(value)}")


def seconds_in(value: object) -> int:
    """A quantity; decimal text is taken too, as development tools send it."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return quantity_in(value)


def data_in(value: object) -> bytes:
    if isinstance(value, str) and _DATA.match(value):
        return bytes.fromhex(value[2:])
    raise BadParameterError(f"not hex data: {_shown(value)}")


def address_in(value: object) -> bytes:
    return _sized(value, _ADDRESS_BYTES, "an address")


def hash_in(value: object) -> bytes:
    return _sized(value, _WORD_BYTES, "a 32-byte hash")


def flag_in(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise BadParameterError(f"not true or false: {_shown(value)}")


def text_in(value: object) -> str:
    """A short name or id."""
    if isinstance(value, str) and len(value) <= _MAX_TEXT:
        return value
    raise BadParameterError(f"not a name: {_shown(value)}")


def anything_in(value: object) -> object:
    """For a parameter whose form depends on another one."""
    return value


@dataclass(frozen=True, slots=True)
class BlockChoice:
    """A block as parameters name it: by tag, number or hash; exactly one is set."""

    tag: str = ""
    number: int | None = None
    hash: bytes | None = None


LATEST, PENDING = BlockChoice("latest"), BlockChoice("pending")
_TAGS = frozenset({"latest", "pending", "earliest", "safe", "finalized"})


def block_in(value: object) -> BlockChoice:
    """A tag, a number, a hash, or EIP-1898's object."""
    if isinstance(value, str) and value in _TAGS:
        return BlockChoice(value)
    if isinstance(value, str) and len(value) == 2 + 2 * _WORD_BYTES:
        return block_hash_in(value)
    if isinstance(value, dict):
        if "blockHash" in value:
            return BlockChoice(hash=hash_in(value["blockHash"]))
        return BlockChoice(number=quantity_in(value.get("blockNumber")))
    return BlockChoice(number=quantity_in(value))


def block_hash_in(value: object) -> BlockChoice:
    return BlockChoice(hash=hash_in(value))


def call_in(value: object) -> Call:
    """A call object. Price and nonce are taken and ignored: the chain runs calls for free."""
    if not isinstance(value, dict) or not value.keys() <= _CALL_KEYS:
        raise BadParameterError(f"not a call object: {_shown(value)}")
    given = {key: item for key, item in value.items() if item is not None}
    return Call(
        sender=address_in(given["from"]) if "from" in given else bytes(_ADDRESS_BYTES),
        to=address_in(given["to"]) if "to" in given else None,
        data=data_in(given.get("input", given.get("data", "0x"))),
        value=quantity_in(given.get("value", 0)),
        gas=quantity_in(given["gas"]) if "gas" in given else None,
    )


@dataclass(frozen=True, slots=True)
class LogChoice:
    """A log filter as parameters give it. `block_hash` excludes `first` and `last`."""

    first: BlockChoice
    last: BlockChoice
    block_hash: bytes | None
    addresses: tuple[bytes, ...]
    topics: tuple[tuple[bytes, ...], ...]


def log_filter_in(value: object) -> LogChoice:
    if not isinstance(value, dict):
        raise BadParameterError(f"not a log filter: {_shown(value)}")
    by_hash = value.get("blockHash")
    if by_hash is not None and (value.get("fromBlock") is not None or value.get("toBlock") is not None):
        raise BadParameterError("a log filter has either blockHash or fromBlock and toBlock")
    topics = value.get("topics") or []
    if not isinstance(topics, list) or len(topics) > 4:
        raise BadParameterError(f"not a list of at most four topics: {_shown(topics)}")
    return LogChoice(
        first=block_in(value.get("fromBlock") or "latest"),
        last=block_in(value.get("toBlock") or "latest"),
        block_hash=None if by_hash is None else hash_in(by_hash),
        addresses=_choices(value.get("address"), address_in),
        topics=tuple(_choices(topic, hash_in) for topic in topics),
    )


def _choices(value: object, decode: Callable[[object], bytes]) -> tuple[bytes, ...]:
    """None (anything), one, or a list of alternatives."""
    if value is None:
        return ()
    if not isinstance(value, list):
        return (decode(value),)
    if len(value) > MAX_FILTER_CHOICES:
        raise BadParameterError(f"more than {MAX_FILTER_CHOICES} alternatives in a log filter")
    return tuple(decode(item) for item in value)


def _sized(value: object, length: int, what: str) -> bytes:
    if isinstance(value, str) and len(value) == 2 + 2 * length and _DATA.match(value):
        return bytes.fromhex(value[2:])
    raise BadParameterError(f"not {what}: {_shown(value)}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


# --- out -------------------------------------------------------------------------------------------------------------


def quantity(value: int) -> str:
    return hex(value)


def data(value: bytes) -> str:
    return "0x" + value.hex()


def optional_data(value: bytes | None) -> str | None:
    return None if value is None else data(value)


def header_json(block: Block) -> dict[str, object]:
    header = block.header
    return {
        "number": quantity(block.number),
        "hash": data(block.hash),
        "parentHash": data(header.parent_hash),
        "nonce": data(header.nonce.rjust(_NONCE_BYTES, b"\0")),
        "sha3Uncles": data(header.uncles_hash),
        "logsBloom": data(header.bloom.to_bytes(_BLOOM_BYTES, "big")),
        "transactionsRoot": data(header.transaction_root),
        "stateRoot": data(header.state_root),
        "receiptsRoot": data(header.receipt_root),
        "miner": data(header.coinbase),
        "difficulty": quantity(header.difficulty),
        "extraData": data(header.extra_data),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(block.timestamp),
        "mixHash": data(header.mix_hash),
    }


def block_json(block: Block, transactions: Sequence[object]) -> dict[str, object]:
    return {
        **header_json(block),
        "totalDifficulty": quantity(0),
        "size": quantity(block.size),
        "transactions": list(transactions),
        "uncles": [],
    }


def transaction_json(transaction: Transaction, mined: Mined | None) -> dict[str, object]:
    """`mined` None: it waits for a block."""
    return {
        "hash": data(transaction.hash),
        "type": quantity(0),
        "chainId": quantity(transaction.chain_id or 0),
        "nonce": quantity(transaction.nonce),
        "from": data(transaction.sender),
        "to": optional_data(transaction.to or None),
        "value": quantity(transaction.value),
        "gas": quantity(transaction.gas),
        "gasPrice": quantity(transaction.gas_price),
        "input": data(transaction.data),
        "v": quantity(transaction.v),
        "r": quantity(transaction.r),
        "s": quantity(transaction.s),
        "blockHash": data(mined.block_hash) if mined else None,
        "blockNumber": quantity(mined.block_number) if mined else None,
        "transactionIndex": quantity(mined.index) if mined else None,
    }


def receipt_json(mined: Mined, logs: Sequence[Log]) -> dict[str, object]:
    transaction = mined.transaction
    bloom = BloomFilter.from_iterable(item for log in logs for item in (log.event.address, *log.event.topics))
    return {
        "transactionHash": data(transaction.hash),
        "transactionIndex": quantity(mined.index),
        "blockHash": data(mined.block_hash),
        "blockNumber": quantity(mined.block_number),
        "type": quantity(0),
        "from": data(transaction.sender),
        "to": optional_data(transaction.to or None),
        "contractAddress": optional_data(mined.created),
        "status": quantity(int(mined.success)),
        "gasUsed": quantity(mined.gas_used),
        "cumulativeGasUsed": quantity(mined.cumulative_gas),
        "effectiveGasPrice": quantity(transaction.gas_price),
        "logs": [log_json(log) for log in logs],
        "logsBloom": data(int(bloom).to_bytes(_BLOOM_BYTES, "big")),
    }


def log_json(log: Log, *, removed: bool = False) -> dict[str, object]:
    return {
        "address": data(log.event.address),
        "topics": [data(topic) for topic in log.event.topics],
        "data": data(log.event.data),
        "blockNumber": quantity(log.block_number),
        "blockHash": data(log.block_hash),
        "transactionHash": data(log.transaction),
        "transactionIndex": quantity(log.transaction_index),
        "logIndex": quantity(log.index),
        "removed": removed,
    }
