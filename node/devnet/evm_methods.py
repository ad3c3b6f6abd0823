"""The Ethereum JSON-RPC methods that ask about the chain and bring transactions, as one table by name.

Absent on purpose: `eth_feeHistory` and `eth_maxPriorityFeePerGas`. Their absence, and blocks without a base fee, are
how clients find out that this chain takes legacy transactions with a gas price.
"""

from __future__ import annotations

from collections.abc import Mapping

from eth_utils.crypto import keccak

from node.devnet import evm_json as j
from node.devnet.chain import Chain
from node.devnet.errors import BadRequestError
from node.devnet.evm_json import LATEST, PENDING, BlockChoice, LogChoice
from node.devnet.evm_method import Method, find_block, need_block
from node.devnet.records import Call, Log, LogFilter

MAX_BLOCK_NUMBER = 2**63 - 1
CLIENT_VERSION = "bttnode-devnet/0.1/py-evm"


def _transaction_count(chain: Chain, address: bytes, at: BlockChoice) -> str:
    count = chain.next_nonce(address) if at == PENDING else chain.nonce(address, need_block(chain, at))
    return j.quantity(count)


def _storage_at(chain: Chain, address: bytes, slot: int, at: BlockChoice) -> str:
    return j.data(chain.storage_at(address, slot, need_block(chain, at)).to_bytes(32, "big"))


def _estimate_gas(chain: Chain, call: Call, _at: BlockChoice) -> str:
    """Always for the next block, whatever the caller names: that is where the transaction will stand."""
    return j.quantity(chain.estimate_gas(call))


def _call(chain: Chain, call: Call, at: BlockChoice) -> str:
    return j.data(chain.call_next(call) if at == PENDING else chain.call(call, need_block(chain, at)))


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


def find_logs(chain: Chain, choice: LogChoice) -> list[object]:
    """As JSON. A range may begin or end beyond the latest block: nothing is found there yet."""
    if choice.block_hash is not None:
        first = last = need_block(chain, BlockChoice(hash=choice.block_hash)).number
    else:
        first, last = (_number(chain, end) for end in (choice.first, choice.last))
        if first > last and choice.first.number is not None and choice.last.number is not None:
            raise BadRequestError(f"invalid block range: {first} to {last}")
    wanted = LogFilter(first=first, last=last, addresses=frozenset(choice.addresses), topics=choice.topics)
    return [j.log_json(log) for log in chain.logs(wanted)]


def _number(chain: Chain, choice: BlockChoice) -> int:
    if choice.number is not None:
        return min(choice.number, MAX_BLOCK_NUMBER)
    return need_block(chain, choice).number


def _block_receipts(chain: Chain, choice: BlockChoice) -> object:
    block = find_block(chain, choice)
    if block is None:
        return None
    logs: list[list[Log]] = [[] for _ in block.transactions]
    for log in chain.logs(LogFilter(first=block.number, last=block.number)):
        logs[log.transaction_index].append(log)
    mined = (chain.mined(transaction) for transaction in block.transactions)
    return [j.receipt_json(found, logs[found.index]) for found in mined if found is not None]


def _transactions_in(chain: Chain, choice: BlockChoice) -> str | None:
    block = find_block(chain, choice)
    return None if block is None else j.quantity(len(block.transactions))


def _uncles_in(chain: Chain, choice: BlockChoice) -> str | None:
    return None if find_block(chain, choice) is None else j.quantity(0)


def _transaction_at(chain: Chain, choice: BlockChoice, index: int) -> object:
    block = find_block(chain, choice)
    if block is None or index >= len(block.transactions):
        return None
    return _transaction(chain, block.transactions[index])


_AT_LATEST = ((j.block_in, LATEST),)

METHODS: Mapping[str, Method] = {
    # who is there
    "web3_clientVersion": Method(lambda _chain: CLIENT_VERSION),
    "web3_sha3": Method(lambda _chain, text: j.data(keccak(text)), (j.data_in,)),
    "net_version": Method(lambda chain: str(chain.settings.chain_id)),
    "net_listening": Method(lambda _chain: True),
    "net_peerCount": Method(lambda _chain: j.quantity(0)),
    "eth_chainId": Method(lambda chain: j.quantity(chain.settings.chain_id)),
    "eth_syncing": Method(lambda _chain: False),
    "eth_accounts": Method(lambda _chain: []),
    "eth_gasPrice": Method(lambda chain: j.quantity(chain.settings.gas_price)),
    # state
    "eth_getBalance": Method(
        lambda chain, address, at: j.quantity(chain.balance(address, need_block(chain, at))),
        (j.address_in,),
        _AT_LATEST,
    ),
    "eth_getTransactionCount": Method(_transaction_count, (j.address_in,), _AT_LATEST),
    "eth_getCode": Method(
        lambda chain, address, at: j.data(chain.code(address, need_block(chain, at))), (j.address_in,), _AT_LATEST
    ),
    "eth_getStorageAt": Method(_storage_at, (j.address_in, j.quantity_in), _AT_LATEST),
    "eth_call": Method(_call, (j.call_in,), _AT_LATEST),
    "eth_estimateGas": Method(_estimate_gas, (j.call_in,), ((j.block_in, PENDING),)),
    # transactions
    "eth_sendRawTransaction": Method(lambda chain, raw: j.data(chain.submit(raw)), (j.data_in,)),
    "eth_getTransactionByHash": Method(_transaction, (j.hash_in,)),
    "eth_getTransactionByBlockNumberAndIndex": Method(_transaction_at, (j.block_in, j.quantity_in)),
    "eth_getTransactionByBlockHashAndIndex": Method(_transaction_at, (j.block_hash_in, j.quantity_in)),
    "eth_getTransactionReceipt": Method(_receipt, (j.hash_in,)),
    # blocks and logs
    "eth_blockNumber": Method(lambda chain: j.quantity(chain.head.number)),
    "eth_getBlockByNumber": Method(_block_json, (j.block_in,), ((j.flag_in, False),)),
    "eth_getBlockByHash": Method(_block_json, (j.block_hash_in,), ((j.flag_in, False),)),
    "eth_getBlockReceipts": Method(_block_receipts, (j.block_in,)),
    "eth_getBlockTransactionCountByNumber": Method(_transactions_in, (j.block_in,)),
    "eth_getBlockTransactionCountByHash": Method(_transactions_in, (j.block_hash_in,)),
    "eth_getUncleCountByBlockNumber": Method(_uncles_in, (j.block_in,)),
    "eth_getUncleCountByBlockHash": Method(_uncles_in, (j.block_hash_in,)),
    "eth_getLogs": Method(find_logs, (j.log_filter_in,)),
}
