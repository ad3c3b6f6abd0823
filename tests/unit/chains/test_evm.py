"""The EVM adapter believes nothing that has the wrong shape, and tells what a chain's refusal means."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from eth_abi.abi import encode

from tests.unit.chains.stub import VAULT, RpcFault, Stub, Waits, chain_at, serve
from wallet.address import Address
from wallet.chains.abi import selector
from wallet.chains.base import (
    Call,
    ChainAnswerError,
    ChainError,
    Fee,
    FeeTooHighError,
    InsufficientFundsError,
    NonceError,
    RevertedError,
    SignedTx,
    UnderpricedError,
    UnsignedTx,
)
from wallet.chains.evm import LOG_RANGE, MAX_BLOCKS, EvmChain
from wallet.chains.transport import ROUNDS

ME, YOU = Address(b"\x01" * 20), Address(b"\x02" * 20)
HASH = "0x" + "ab" * 32
TX = UnsignedTx(Call(YOU, b"", 1, "transfer", "send"), ME, 5, Fee(21_000, 1000))
SIGNED = SignedTx(TX, b"\x01", b"\xcd" * 32)
BLOCK = {"number": "0x9", "hash": HASH, "timestamp": "0x64", "extraData": "0x" + "00" * 300, "miner": "0x" + "00" * 20}
RECEIPT = {
    "transactionHash": HASH,
    "blockHash": HASH,
    "blockNumber": "0x7",
    "gasUsed": "0x5208",
    "status": "0x1",
    "logs": [],
    "effectiveGasPrice": "0x3e8",
}


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with serve(Stub()) as stub:
        stub.answers |= {
            "eth_getBlockByNumber": BLOCK,
            "eth_getBalance": hex(10**9),
            "eth_estimateGas": hex(21_000),
            "eth_gasPrice": hex(1000),
            "eth_getTransactionReceipt": RECEIPT,
            "eth_getTransactionCount": "0x5",
            "eth_sendRawTransaction": HASH,
            "eth_call": "0x" + "00" * 63 + "07",
            "eth_getLogs": [],
        }
        yield stub


@pytest.fixture
async def chain(stub: Stub) -> AsyncIterator[EvmChain]:
    chain = chain_at(stub.url, finality=2)
    yield chain
    await chain.close()


QUESTIONS: dict[str, Callable[[EvmChain], Awaitable[object]]] = {
    "head": lambda chain: chain.head(),
    "native_balance": lambda chain: chain.native_balance(ME),
    "token_balance": lambda chain: chain.token_balance(ME),
    "payer_state": lambda chain: chain.payer_state(ME),
    "authorised": lambda chain: chain.authorised(ME, YOU),
    "events": lambda chain: chain.events(1, 2),
    "estimate": lambda chain: chain.estimate(TX.call, ME),
    "next_nonce": lambda chain: chain.next_nonce(ME),
    "receipt": lambda chain: chain.receipt(bytes(32)),
    "is_void": lambda chain: chain.is_void(SIGNED),
    "outbid": lambda chain: chain.outbid(TX),
}
NONSENSE: dict[str, object] = {
    "null": None,
    "true": True,
    "number": 7,
    "no text": "",
    "no digits": "0x",
    "not hex": "0xzz",
    "signed": "0x-1",
    "spaced": "0x 1",
    "underscored": "0x1_0",
    "text": "text",
    "too long": "0x" + "f" * 65,
    "list": [],
    "object": {},
    "list of lists": [[]],
    "list of objects": [{}],
    "block with a number": {"number": 9},
    "half a block": {"number": "0x9"},
    "block without number": {**BLOCK, "number": None},
    "block with a short hash": {**BLOCK, "hash": "0x12"},
    "half a receipt": {"blockNumber": "0x7", "logs": 5},
    "receipt without gas": {**RECEIPT, "gasUsed": None},
    "receipt with a short hash": {**RECEIPT, "blockHash": "0x00"},
    "receipt with empty logs": {**RECEIPT, "logs": [{}]},
    "log of no address": [{"address": "x"}],
    "log of odd topics": [{"address": VAULT.evm, "topics": ["0x1"]}],
}
HARMLESS = {"receipt": {"null"}, "events": {"list"}}
"""What reads as "no receipt yet" and "no events"."""


@pytest.mark.parametrize("case", NONSENSE)
@pytest.mark.parametrize("question", QUESTIONS)
async def test_nonsense_is_a_typed_error(stub: Stub, chain: EvmChain, question: str, case: str) -> None:
    for method in stub.answers:
        if method != "eth_chainId":
            stub.answers[method] = NONSENSE[case]
    if case in HARMLESS.get(question, ()):
        assert not await QUESTIONS[question](chain)
        return
    with pytest.raises(ChainError) as caught:
        await QUESTIONS[question](chain)
    assert "\n" not in str(caught.value)


async def test_blocks_of_proof_of_authority_chains_are_read(chain: EvmChain) -> None:
    assert (await chain.head()).number == 9


async def test_a_missing_contract_is_told_with_its_setting(stub: Stub, chain: EvmChain) -> None:
    stub.answers["eth_call"] = "0x"
    with pytest.raises(ChainError, match=r"no contract at .* check \[rail\] vault"):
        await chain.paid_out(ME, YOU)
    with pytest.raises(ChainError, match=r"check \[rail\] token"):
        await chain.token_balance(ME)


async def test_a_payers_figures_are_all_of_one_block(stub: Stub, chain: EvmChain) -> None:
    blocks: list[str] = []

    def call(_call: object, block: str) -> str:
        blocks.append(block)
        return "0x" + "00" * 64

    stub.answers["eth_call"] = call
    await chain.payer_state(ME)
    assert blocks == ["0x9"] * 3


REFUSALS: list[tuple[RpcFault, type[ChainError], str]] = [
    (RpcFault("insufficient funds for gas * price + value"), InsufficientFundsError, "cannot pay"),
    (RpcFault("gas required exceeds allowance (12)"), InsufficientFundsError, "cannot pay"),
    (RpcFault("nonce too high"), NonceError, "gap"),
    (RpcFault("replacement transaction underpriced"), UnderpricedError, "too low"),
    (RpcFault("transaction gas price below minimum: gas tip cap 0"), UnderpricedError, "too low"),
    (RpcFault("execution reverted"), RevertedError, "refuses"),
    (RpcFault("execution reverted", 3, "0x" + selector("NothingThere()").hex()), RevertedError, "nothing to move"),
    (RpcFault("reverted", 3, "Reverted 0x" + selector("NothingThere()").hex()), RevertedError, "nothing to move"),
    (RpcFault("reverted", 3, {"data": "0x" + selector("NothingThere()").hex()}), RevertedError, "nothing to move"),
    (RpcFault("reverted", 3, "0xzz"), RevertedError, "refuses"),
    (RpcFault("something\nnew"), ChainAnswerError, "something new"),
    (RpcFault(""), ChainAnswerError, "without a text"),
]


@pytest.mark.parametrize(("fault", "kind", "told"), REFUSALS)
async def test_refusals_become_errors_of_ours(
    stub: Stub, chain: EvmChain, fault: RpcFault, kind: type[ChainError], told: str
) -> None:
    stub.answers |= {"eth_sendRawTransaction": fault, "eth_getTransactionReceipt": None}
    with pytest.raises(kind, match=told) as caught:
        await chain.broadcast(SIGNED)
    assert "\n" not in str(caught.value)


async def test_a_contract_cannot_make_us_fetch_urls(stub: Stub, chain: EvmChain) -> None:
    lookup = selector("OffchainLookup(address,string[],bytes,bytes4,bytes)") + encode(
        ["address", "string[]", "bytes", "bytes4", "bytes"], [VAULT.evm, [stub.url], b"", b"\0" * 4, b""]
    )
    stub.answers["eth_call"] = RpcFault("execution reverted", 3, "0x" + lookup.hex())
    with pytest.raises(RevertedError):
        await chain.token_balance(ME)
    assert stub.asked == ["eth_chainId", "eth_call"]


@pytest.mark.parametrize("text", ["already known", "ALREADY_EXISTS: already known", "known transaction: 12"])
async def test_known_bytes_are_a_success(stub: Stub, chain: EvmChain, text: str) -> None:
    stub.answers["eth_sendRawTransaction"] = RpcFault(text)
    await chain.broadcast(SIGNED)


async def test_a_used_nonce_is_a_success_only_when_these_bytes_used_it(stub: Stub, chain: EvmChain) -> None:
    stub.answers["eth_sendRawTransaction"] = RpcFault("nonce too low")
    await chain.broadcast(SIGNED)
    stub.answers["eth_getTransactionReceipt"] = None
    with pytest.raises(NonceError):
        await chain.broadcast(SIGNED)


async def test_a_broadcast_goes_round_once(stub: Stub) -> None:
    waits = Waits()
    chain = chain_at(stub.url, waits=waits)
    stub.always("<html>")
    with pytest.raises(ChainAnswerError):
        await chain.broadcast(SIGNED)
    with pytest.raises(ChainAnswerError):
        await chain.head()
    assert stub.asked.count("eth_sendRawTransaction") == 1
    assert stub.asked.count("eth_getBlockByNumber") == ROUNDS
    await chain.close()


async def test_a_receipt_without_a_price_takes_it_from_the_transaction(stub: Stub, chain: EvmChain) -> None:
    old: dict[str, Any] = {key: value for key, value in RECEIPT.items() if key != "effectiveGasPrice"}
    stub.answers |= {"eth_getTransactionReceipt": old, "eth_getTransactionByHash": {"gasPrice": "0x7d0"}}
    receipt = await chain.receipt(bytes(32))
    assert receipt is not None
    assert receipt.fee_paid == 21_000 * 2000


async def test_a_receipt_without_a_block_is_none_yet(stub: Stub, chain: EvmChain) -> None:
    stub.answers["eth_getTransactionReceipt"] = {**RECEIPT, "blockNumber": None, "blockHash": None}
    assert await chain.receipt(bytes(32)) is None


async def test_an_estimate_has_a_margin_but_for_plain_transfers(stub: Stub, chain: EvmChain) -> None:
    assert await chain.estimate(TX.call, ME) == Fee(21_000, 1000)
    stub.answers["eth_estimateGas"] = hex(100_000)
    assert await chain.estimate(chain.deposit(1), ME) == Fee(125_000, 1000)


async def test_an_estimate_beyond_the_accounts_funds_says_what_is_missing(stub: Stub, chain: EvmChain) -> None:
    stub.answers["eth_getBalance"] = hex(21_000_000)
    await chain.estimate(chain.transfer_native(YOU, 0), ME)
    with pytest.raises(InsufficientFundsError, match=r"holds 0\.000000000021 BTT; amount and fee take up to"):
        await chain.estimate(chain.transfer_native(YOU, 1), ME)


async def test_an_estimate_above_the_bound_is_refused(stub: Stub) -> None:
    chain = chain_at(stub.url, max_fee=21_000_000)
    await chain.estimate(TX.call, ME)
    stub.answers["eth_gasPrice"] = hex(1001)
    with pytest.raises(FeeTooHighError, match="above your bound"):
        await chain.estimate(TX.call, ME)
    await chain.close()


async def test_outbidding_follows_the_market_by_at_least_what_nodes_demand(stub: Stub) -> None:
    chain = chain_at(stub.url, max_fee=21_000 * 2000)
    assert await chain.outbid(TX) is None
    stub.answers["eth_gasPrice"] = hex(1001)
    dearer = await chain.outbid(TX)
    assert dearer is not None
    assert (dearer.call, dearer.nonce, dearer.fee) == (TX.call, TX.nonce, Fee(21_000, 1130))
    stub.answers["eth_gasPrice"] = hex(2000)
    dearer = await chain.outbid(TX)
    assert dearer is not None
    assert dearer.fee.price == 2000
    stub.answers["eth_gasPrice"] = hex(2001)
    with pytest.raises(FeeTooHighError):
        await chain.outbid(TX)
    await chain.close()


async def test_a_receipt_of_an_abandoned_block_is_not_final(stub: Stub, chain: EvmChain) -> None:
    receipt = await chain.receipt(bytes(32))
    assert receipt is not None
    assert await chain.is_final(receipt)
    stub.answers["eth_getBlockByNumber"] = {**BLOCK, "hash": "0x" + "ef" * 32}
    assert not await chain.is_final(receipt)


async def test_long_ranges_of_events_are_asked_in_parts(stub: Stub, chain: EvmChain) -> None:
    ranges: list[tuple[int, int]] = []

    def logs(wanted: dict[str, str]) -> list[object]:
        ranges.append((int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)))
        return []

    stub.answers["eth_getLogs"] = logs
    assert await chain.events(10, 10 + 2 * LOG_RANGE) == []
    assert ranges == [
        (10, 9 + LOG_RANGE),
        (10 + LOG_RANGE, 9 + 2 * LOG_RANGE),
        (10 + 2 * LOG_RANGE, 10 + 2 * LOG_RANGE),
    ]
    with pytest.raises(ValueError, match="at most"):
        await chain.events(0, MAX_BLOCKS)


async def test_blocks_that_a_node_refuses_because_they_are_not_there_yet_have_no_events(
    stub: Stub, chain: EvmChain
) -> None:
    head = int(BLOCK["number"], 16)
    stub.answers["eth_getLogs"] = RpcFault(f"BlockOutOfRangeError: block height is {head} but requested was {head + 1}")
    assert await chain.events(head + 1, head + 9) == []
    with pytest.raises(ChainAnswerError, match="BlockOutOfRange"):
        await chain.events(head, head + 9)


async def test_starting_checks_the_chain_and_closing_may_be_repeated(stub: Stub) -> None:
    async with chain_at(stub.url) as chain:
        assert stub.asked[0] == "eth_chainId"
    await chain.close()
