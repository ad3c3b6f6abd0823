"""The Ethereum JSON-RPC methods as one table: name → parameters → what to ask the chain.

A handler runs on the chain's thread, gets decoded parameters and returns JSON-ready values. What fails raises one of
the devnet's errors; `evm_rpc` knows which code each of them has on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from node.devnet import evm_json as j
from node.devnet.chain import Chain
from node.devnet.errors import BadRequestError
from node.devnet.evm_json import LATEST, PENDING, BlockChoice, LogChoice
from node.devnet.records import Block, Call, LogFilter

MAX_BLOCK_NUMBER = 2**63 - 1
CLIENT_VERSION = "bttnode-devnet/0.1/py-evm"

Decoder = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class Method:
    """`run(chain, *parameters)`. `optional` parameters come after `required` ones, each with its default."""

    run: Callable[..., object]
    required: tuple[Decoder, ...] = ()
    optional: tuple[tuple[Decoder, object], ...] = ()

    def arguments(self, given: list[object]) -> list[object]:
        """Raises `BadParameterError`."""
        if not len(self.required) <= len(given) <= len(self.required) + len(self.optional):
            raise j.BadParameterError(f"{len(given)} parameters where {len(self.required)} are needed")
        decoded = [decode(value) for decode, value in zip(self.required, given, strict=False)]
        for place, (decode, default) in enumerate(self.optional, len(self.required)):
            decoded.append(decode(given[place]) if place < len(given) and given[place] is not None else default)
        return decoded


def find_block(chain: Chain, choice: BlockChoice) -> Block | None:
    """`safe` and `finalized` are the latest block: nothing competes with it here."""
    if choice.hash is not None:
        return chain.block_by_hash(choice.hash)
    if choice.number is not None:
        return chain.block(choice.number)
    return chain.block(0) if choice.tag == "earliest" else chain.head


def _block(chain: Chain, choice: BlockChoice) -> Block:
    found = find_block(chain, choice)
    if found is None:
        raise BadRequestError("header not found: there is no such block")
    return found


def _transaction_count(chain: Chain, address: bytes, at: BlockChoice) -> str:
    count = chain.next_nonce(address) if at == PENDING else chain.nonce(address, _block(chain, at))
    return j.quantity(count)


def _storage_at(chain: Chain, address: bytes, slot: int, at: BlockChoice) -> str:
    return j.data(chain.storage_at(address, slot, _block(chain, at)).to_bytes(32, "big"))


def _estimate_gas(chain: Chain, call: Call, _at: BlockChoice) -> str:
    """Always for the next block, whatever the caller names: that is where the transaction will stand."""
    return j.quantity(chain.estimate_gas(call))


def _call(chain: Chain, call: Call, at: BlockChoice) -> str:
    return j.data(chain.call_next(call) if at == PENDING else chain.call(call, _block(chain, at)))


def _transaction(chain: Chain, transaction_hash: bytes) -> object:
    mined = chain.mined(transaction_hash)
    if mined is not None:
        return j.transaction_json(mined.transaction, mined)
    waiting = chain.waiting(transaction_hash)
    return None if waiting is None else j.transaction_json(waiting, None)


def _receipt(chain: Chain, transaction_hash: bytes) -> object:
    mined = chain.mined(transaction_hash)
    return None if mined is None else j.receipt_json(mined, chain.logs_of(mined))


def _block_json(chain: Chain, choice: BlockChoice, full: bool) -> object:
    block = find_block(chain, choice)
    if block is None:
        return None
    return j.block_json(block, [_transaction(chain, h) if full else j.data(h) for h in block.transactions])


def _block_by_hash(chain: Chain, block_hash: bytes, full: bool) -> object:
    return _block_json(chain, BlockChoice(hash=block_hash), full)


def _logs(chain: Chain, choice: LogChoice) -> object:
    if choice.block_hash is not None:
        first = last = _block(chain, BlockChoice(hash=choice.block_hash)).number
    else:
        first, last = (_number(chain, end) for end in (choice.first, choice.last))
        if first > last and choice.first.number is not None and choice.last.number is not None:
            raise BadRequestError(f"invalid block range: {first} to {last}")
    wanted = LogFilter(first=first, last=last, addresses=frozenset(choice.addresses), topics=choice.topics)
    return [j.log_json(log) for log in chain.logs(wanted)]


def _number(chain: Chain, choice: BlockChoice) -> int:
    """A range may begin or end beyond the latest block: nothing is found there yet."""
    if choice.number is not None:
        return min(choice.number, MAX_BLOCK_NUMBER)
    return _block(chain, choice).number


def _mine(chain: Chain, blocks: int) -> str:
    chain.mine(blocks)
    return "0x0"


def _set_next_timestamp(chain: Chain, timestamp: int) -> str:
    chain.set_next_timestamp(timestamp)
    return j.quantity(timestamp)


def _set_automine(chain: Chain, on: bool) -> bool:
    chain.automine = on
    return True


def _set_balance(chain: Chain, address: bytes, amount: int) -> bool:
    chain.set_balance(address, amount)
    return True


_AT_LATEST = ((j.block_in, LATEST),)

METHODS: Mapping[str, Method] = {
    # who is there
    "web3_clientVersion": Method(lambda _chain: CLIENT_VERSION),
    "net_version": Method(lambda chain: str(chain.settings.chain_id)),
    "net_listening": Method(lambda _chain: True),
    "eth_chainId": Method(lambda chain: j.quantity(chain.settings.chain_id)),
    "eth_syncing": Method(lambda _chain: False),
    "eth_accounts": Method(lambda _chain: []),
    "eth_gasPrice": Method(lambda chain: j.quantity(chain.settings.gas_price)),
    # state
    "eth_getBalance": Method(
        lambda chain, address, at: j.quantity(chain.balance(address, _block(chain, at))), (j.address_in,), _AT_LATEST
    ),
    "eth_getTransactionCount": Method(_transaction_count, (j.address_in,), _AT_LATEST),
    "eth_getCode": Method(
        lambda chain, address, at: j.data(chain.code(address, _block(chain, at))), (j.address_in,), _AT_LATEST
    ),
    "eth_getStorageAt": Method(_storage_at, (j.address_in, j.quantity_in), _AT_LATEST),
    "eth_call": Method(_call, (j.call_in,), _AT_LATEST),
    "eth_estimateGas": Method(_estimate_gas, (j.call_in,), ((j.block_in, PENDING),)),
    # transactions
    "eth_sendRawTransaction": Method(lambda chain, raw: j.data(chain.submit(raw)), (j.data_in,)),
    "eth_getTransactionByHash": Method(_transaction, (j.hash_in,)),
    "eth_getTransactionReceipt": Method(_receipt, (j.hash_in,)),
    # blocks and logs
    "eth_blockNumber": Method(lambda chain: j.quantity(chain.head.number)),
    "eth_getBlockByNumber": Method(_block_json, (j.block_in,), ((j.flag_in, False),)),
    "eth_getBlockByHash": Method(_block_by_hash, (j.hash_in,), ((j.flag_in, False),)),
    "eth_getLogs": Method(_logs, (j.log_filter_in,)),
    # development: the names of Ganache, Hardhat and Anvil
    "evm_mine": Method(lambda chain: _mine(chain, 1)),
    "hardhat_mine": Method(_mine, (), ((j.quantity_in, 1),)),
    "anvil_mine": Method(_mine, (), ((j.quantity_in, 1),)),
    "evm_increaseTime": Method(lambda chain, seconds: chain.increase_time(seconds), (j.seconds_in,)),
    "evm_setNextBlockTimestamp": Method(_set_next_timestamp, (j.seconds_in,)),
    "evm_setAutomine": Method(_set_automine, (j.flag_in,)),
    "evm_snapshot": Method(lambda chain: j.quantity(chain.snapshot())),
    "evm_revert": Method(lambda chain, snapshot: chain.revert(snapshot), (j.quantity_in,)),
    "hardhat_setBalance": Method(_set_balance, (j.address_in, j.quantity_in)),
    "anvil_setBalance": Method(_set_balance, (j.address_in, j.quantity_in)),
}
