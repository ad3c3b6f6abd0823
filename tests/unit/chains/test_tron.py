"""The TRON adapter believes no wrong shapes, tells what a refusal means, and never lets one call happen twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode

from node.devnet.tron.proto import decode_transaction
from tests.unit.chains.stub import TOKEN, VAULT, Waits, serve
from tests.unit.chains.tron_stub import (
    HEAD,
    KEY,
    ME,
    NOW,
    SOLID,
    TRX,
    YOU,
    TronStub,
    block,
    block_id,
    block_time,
    info,
    log,
    signed,
    tron_at,
)
from wallet.chains.abi import selector
from wallet.chains.assets import Asset, AssetKind
from wallet.chains.base import (
    Block,
    Call,
    ChainAdapter,
    ChainAnswerError,
    ChainError,
    ExpiredError,
    Fee,
    FeeTooHighError,
    InsufficientFundsError,
    NoticeCancelled,
    PayerState,
    Receipt,
    RevertedError,
)
from wallet.chains.transport import ROUNDS
from wallet.chains.tron import PRICES_FOR, TronChain
from wallet.chains.tron_raw import MAX_SUN, bandwidth
from wallet.digests import word
from wallet.keys import keccak256

TX = bytes(31) + b"\x42"
SEND = Call(YOU, b"", 5_000_000, "transfer", "send")
CALL = Call(VAULT, b"abcd", 0, "f", "f")
RECEIPT = Receipt(TX, True, SOLID, block_id(SOLID), 500, 50_000)
OLD = Asset(AssetKind.TRC10, replace(TRX, symbol="BTTOLD"), number=1_002_000)


@pytest.fixture
async def stub() -> AsyncIterator[TronStub]:
    async with serve(TronStub()) as stub:
        yield stub


@pytest.fixture
async def spare() -> AsyncIterator[TronStub]:
    async with serve(TronStub()) as stub:
        yield stub


@pytest.fixture
async def chain(stub: TronStub) -> AsyncIterator[TronChain]:
    chain = tron_at(stub.url)
    yield chain
    await chain.close()


QUESTIONS: dict[str, Callable[[TronChain], Awaitable[object]]] = {
    "head": lambda chain: chain.head(),
    "native_balance": lambda chain: chain.native_balance(ME),
    "token_balance": lambda chain: chain.token_balance(ME),
    "trc10_balance": lambda chain: chain.balance(OLD, ME),
    "payer_state": lambda chain: chain.payer_state(ME),
    "authorised": lambda chain: chain.authorised(ME, YOU),
    "events": lambda chain: chain.events(HEAD - 1, HEAD),
    "transfers": lambda chain: chain.transfers(Asset(AssetKind.TOKEN, TRX, TOKEN), ME, HEAD - 1, HEAD),
    "estimate": lambda chain: chain.estimate(SEND, ME),
    "estimate a call": lambda chain: chain.estimate(CALL, ME),
    "prepare": lambda chain: chain.prepare(SEND, ME, 0, Fee(0, 100)),
    "receipt": lambda chain: chain.receipt(TX),
    "is_final": lambda chain: chain.is_final(RECEIPT),
    "is_void": lambda chain: chain.is_void(signed(NOW - 3600)),
    "broadcast": lambda chain: chain.broadcast(signed()),
}
JUNK: list[Any] = [
    None,
    [],
    [1],
    7,
    "x",
    True,
    1.5,
    {"result": 1},
    {"result": {"result": True}, "constant_result": 7},
    {"result": {"result": True}, "constant_result": ["zz"]},
    {"blockID": 1, "block_header": []},
    {"blockID": "ab" * 32, "block_header": {"raw_data": {"number": "1"}}},
    {"chainParameter": [1]},
    {"chainParameter": {}},
    {"id": TX.hex(), "blockNumber": -1, "blockTimeStamp": 1},
    {"id": TX.hex(), "blockNumber": 1, "blockTimeStamp": 1, "log": [{"address": "00"}]},
    {"id": TX.hex(), "blockNumber": 1, "blockTimeStamp": 1, "receipt": [], "resMessage": 1},
    {"balance": [], "assetV2": 7},
    {"assetV2": [{"key": "1002000", "value": "9"}]},
]


@pytest.mark.parametrize("name", QUESTIONS)
async def test_junk_is_an_answer_or_a_chain_error_never_a_crash(stub: TronStub, name: str) -> None:
    """In the place of each answer that the question needs."""
    good = dict(stub.answers)
    chain = tron_at(stub.url)
    await chain.start()
    stub.asked.clear()
    await QUESTIONS[name](chain)
    for path in sorted(set(stub.asked)):
        for junk in JUNK:
            stub.answers = good | {path: junk}
            with suppress(ChainError):
                await QUESTIONS[name](chain)
    await chain.close()


def test_the_adapter_is_one() -> None:
    chain: ChainAdapter = tron_at()
    assert chain.expires


# --- reading --------------------------------------------------------------------------------------------------------


async def test_the_head_has_an_id_and_seconds(chain: TronChain) -> None:
    assert await chain.head() == Block(HEAD, block_id(HEAD), NOW)


async def test_an_account_that_does_not_exist_holds_nothing(stub: TronStub, chain: TronChain) -> None:
    stub.answers["wallet/getaccount"] = {}
    assert await chain.native_balance(ME) == 0
    assert await chain.balance(OLD, ME) == 0


async def test_balances_of_every_kind(stub: TronStub, chain: TronChain) -> None:
    others = [{"key": "1000001", "value": 3}, {"key": "1002000", "value": 9}]
    stub.answers["wallet/getaccount"] = {"balance": 8, "assetV2": others}
    assert await chain.balance(Asset(AssetKind.NATIVE, TRX), ME) == 8
    assert await chain.balance(OLD, ME) == 9
    assert await chain.balance(Asset(AssetKind.TOKEN, TRX, TOKEN), ME) == 7
    path, asked = stub.told[-1]
    assert path == "wallet/triggerconstantcontract"
    assert asked["contract_address"] == TOKEN.tron_hex
    assert asked["data"] == (selector("balanceOf(address)") + word(ME)).hex()


async def test_a_missing_contract_is_told_with_its_setting(stub: TronStub, chain: TronChain) -> None:
    words = b"Contract validate error : Smart contract is not exist.".hex()
    refused = {"result": {"code": "CONTRACT_VALIDATE_ERROR", "message": words}}
    stub.answers["wallet/triggerconstantcontract"] = refused
    with pytest.raises(ChainError, match=rf"no contract at {VAULT.tron} .* check \[rail\] vault"):
        await chain.paid_out(ME, YOU)
    with pytest.raises(ChainError, match=r"check \[rail\] token"):
        await chain.token_balance(ME)


async def test_a_payers_state_is_of_one_block(stub: TronStub, chain: TronChain) -> None:
    values = {"balance(address)": [300], "lockedTotal(address)": [20], "notice(address)": [100, NOW]}
    by_selector = {selector(name).hex(): value for name, value in values.items()}

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        value = by_selector[asked["data"][:8]]
        return {"result": {"result": True}, "constant_result": [b"".join(map(word, value)).hex()]}

    heads = iter([HEAD - 1, HEAD, HEAD, HEAD])
    stub.answers["wallet/triggerconstantcontract"] = answer
    stub.answers["wallet/getblock"] = lambda _asked: block(next(heads))
    assert await chain.payer_state(ME) == PayerState(300, 20, 100, NOW)
    assert stub.asked.count("wallet/triggerconstantcontract") == 6, "the first three were of two blocks"


# --- fees -----------------------------------------------------------------------------------------------------------


async def test_a_transfer_within_the_free_bandwidth_costs_nothing(chain: TronChain) -> None:
    assert await chain.estimate(SEND, ME) == Fee(0, 100)


async def test_a_transfer_without_bandwidth_pays_every_byte(stub: TronStub, chain: TronChain) -> None:
    stub.answers["wallet/getaccountresource"] = {"freeNetLimit": 600, "freeNetUsed": 400, "NetLimit": 100}
    assert await chain.estimate(SEND, ME) == Fee(0, 100, bandwidth(SEND, ME, 0) * 1000)
    stub.answers["wallet/getaccountresource"] = {"freeNetLimit": 600, "freeNetUsed": 400, "NetLimit": 1000}
    assert await chain.estimate(SEND, ME) == Fee(0, 100)


@pytest.mark.parametrize("trc10", [0, 1_002_000])
async def test_a_transfer_to_a_new_account_pays_for_the_account(stub: TronStub, chain: TronChain, trc10: int) -> None:
    mine = {"balance": 10**9, "assetV2": [{"key": "1002000", "value": SEND.value}]}
    accounts: dict[str, Any] = {ME.tron_hex: mine, YOU.tron_hex: {}}
    stub.answers["wallet/getaccount"] = lambda asked: accounts[asked["address"]]
    assert await chain.estimate(replace(SEND, trc10=trc10), ME) == Fee(0, 100, 1_100_000)


async def test_a_call_gets_a_margin_of_energy_and_pays_its_bytes(stub: TronStub, chain: TronChain) -> None:
    assert await chain.estimate(CALL, ME) == Fee(1250, 100)
    stub.answers["wallet/getaccountresource"] = {}
    assert await chain.estimate(CALL, ME) == Fee(1250, 100, bandwidth(CALL, ME, 125_000) * 1000)
    _, asked = next(told for told in stub.told if told[0] == "wallet/triggerconstantcontract")
    assert (asked["owner_address"], asked["data"], asked["call_value"]) == (ME.tron_hex, b"abcd".hex(), 0)


async def test_staked_energy_need_not_be_paid_but_the_limit_stays_whole(stub: TronStub, chain: TronChain) -> None:
    stub.answers["wallet/getaccount"] = {"balance": 10_000}
    with pytest.raises(InsufficientFundsError, match=r"holds 0\.01 TRX; amount and fee take up to 0\.125 TRX"):
        await chain.estimate(CALL, ME)
    stub.answers["wallet/getaccountresource"] = {"freeNetLimit": 600, "EnergyLimit": 2000, "EnergyUsed": 800}
    assert (await chain.estimate(CALL, ME)).total == 125_000


async def test_the_margin_ends_at_the_networks_bound(stub: TronStub, chain: TronChain) -> None:
    constant = stub.answers["wallet/triggerconstantcontract"]
    stub.answers["wallet/getaccount"] = {"balance": 10**12}
    stub.answers["wallet/triggerconstantcontract"] = constant | {"energy_used": 149_000_000}
    assert (await chain.estimate(CALL, ME)).total == 15_000_000_000
    stub.answers["wallet/triggerconstantcontract"] = constant | {"energy_used": 151_000_000}
    with pytest.raises(RevertedError, match="more than the network allows"):
        await chain.estimate(CALL, ME)


async def test_prices_are_asked_once_a_minute(stub: TronStub) -> None:
    waits = Waits()
    chain = tron_at(stub.url, waits=waits)
    await chain.estimate(SEND, ME)
    await chain.estimate(SEND, ME)
    assert stub.asked.count("wallet/getchainparameters") == 1
    waits.now += PRICES_FOR
    await chain.estimate(SEND, ME)
    assert stub.asked.count("wallet/getchainparameters") == 2
    await chain.close()


async def test_fees_above_the_bound_are_refused(stub: TronStub) -> None:
    chain = tron_at(stub.url, max_fee=124_999)
    with pytest.raises(FeeTooHighError, match=r"0\.125 TRX is above your bound of 0\.124999 TRX"):
        await chain.estimate(CALL, ME)
    with pytest.raises(FeeTooHighError):
        await chain.prepare(CALL, ME, 0, Fee(1250, 100))
    await chain.close()


async def test_amount_and_fee_must_be_there(stub: TronStub, chain: TronChain) -> None:
    stub.answers["wallet/getaccount"] = {"balance": 4_999_999}
    with pytest.raises(InsufficientFundsError, match=r"holds 4\.999999 TRX; amount and fee take up to 5 TRX"):
        await chain.estimate(SEND, ME)


@pytest.mark.parametrize("prefix", ["", "Contract validate error : "])
async def test_only_the_words_of_a_refusal_are_shown(stub: TronStub, chain: TronChain, prefix: str) -> None:
    stub.answers["wallet/createtransaction"] = java(f"{prefix}Amount must be greater than 0.")
    with pytest.raises(RevertedError, match=r"^the network refuses it \(Amount must be greater than 0\.\)$"):
        await chain.estimate(SEND, ME)


async def test_a_trc10_token_must_be_there(stub: TronStub, chain: TronChain) -> None:
    stub.answers["wallet/getaccount"] = {"balance": 10**9, "assetV2": [{"key": "1002000", "value": 3}]}
    with pytest.raises(InsufficientFundsError, match="holds 3 units of TRC-10 1002000, 5000000 are needed"):
        await chain.estimate(replace(SEND, trc10=1_002_000), ME)


async def test_an_amount_that_tron_cannot_express_is_refused(stub: TronStub, chain: TronChain) -> None:
    with pytest.raises(InsufficientFundsError):
        await chain.estimate(replace(SEND, value=MAX_SUN + 1), ME)
    assert stub.asked == []


def java(words: str) -> dict[str, str]:
    return {"Error": f"class org.tron.core.exception.ContractValidateException : {words}"}


async def test_the_networks_refusal_of_a_transfer_comes_before_anything_is_signed(
    stub: TronStub, chain: TronChain
) -> None:
    stub.answers["wallet/createtransaction"] = java("Cannot transfer TRX to yourself.")
    with pytest.raises(RevertedError, match=r"the network refuses it \(Cannot transfer TRX to yourself\.\)"):
        await chain.estimate(SEND, ME)
    stub.answers["wallet/transferasset"] = java("Validate error, assetBalance is not sufficient.")
    with pytest.raises(InsufficientFundsError, match="assetBalance is not sufficient"):
        await chain.estimate(replace(SEND, trc10=1_002_000), ME)
    _, asked = next(told for told in stub.told if told[0] == "wallet/transferasset")
    assert (asked["asset_name"], asked["amount"]) == (b"1002000".hex(), 5_000_000)


def failed(words: str, output: bytes = b"") -> dict[str, Any]:
    return {
        "result": {"result": True, "message": words.encode().hex()},
        "energy_used": 100,
        "constant_result": [output.hex()],
        "transaction": {"ret": [{"ret": "FAILED"}]},
    }


NOT_COVERED = selector("NotCovered(uint256,uint256)") + encode(["uint256", "uint256"], [100, 101])
REFUSALS = {
    "custom error": (failed("REVERT opcode executed", NOT_COVERED), "101 units wanted, 100 are free"),
    "no reason": (failed("REVERT opcode executed"), "it gave no reason"),
    "no energy": (failed("Not enough energy for 'SSTORE' operation executing"), "Not enough energy for 'SSTORE'"),
    "foreign": (failed("REVERT opcode executed", b"\x01\x02\x03\x04"), "this program does not know"),
    "silent": ({**failed(""), "result": {"result": True}}, "it gave no reason"),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_contracts_refusal_has_its_reason(stub: TronStub, chain: TronChain, case: str) -> None:
    stub.answers["wallet/triggerconstantcontract"], told = REFUSALS[case]
    with pytest.raises(RevertedError, match=told):
        await chain.estimate(CALL, ME)


# --- making transactions --------------------------------------------------------------------------------------------


async def test_a_transaction_refers_to_a_solid_block_and_expires_by_the_chains_clock(chain: TronChain) -> None:
    tx = await chain.prepare(SEND, ME, 7, Fee(0, 100))
    assert (tx.call, tx.sender, tx.nonce) == (SEND, ME, 0)
    read = decode_transaction(chain.sign(tx, KEY).raw)
    assert read.ref_block_bytes == SOLID.to_bytes(8, "big")[6:]
    assert read.ref_block_hash == block_id(SOLID)[8:16]
    assert read.expiration == (NOW + 60) * 1000


async def test_two_equal_payments_are_two_transactions(chain: TronChain) -> None:
    made = [await chain.prepare(SEND, ME, 0, Fee(0, 100)) for _ in range(3)]
    assert len({chain.sign(tx, KEY).hash for tx in made}) == 3


@pytest.mark.parametrize("ahead", [-86_400, -61, 61, 86_400])
async def test_a_wrong_clock_is_told_and_changes_no_expiry(
    stub: TronStub, ahead: int, caplog: pytest.LogCaptureFixture
) -> None:
    chain = tron_at(stub.url, wall=NOW + ahead)
    for _ in range(2):
        tx = await chain.prepare(SEND, ME, 0, Fee(0, 100))
        assert decode_transaction(chain.sign(tx, KEY).raw).expiration == (NOW + 60) * 1000
    (told,) = caplog.records
    assert told.levelno == logging.WARNING
    assert f"clock is {abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} the newest block's" in told.getMessage()
    stub.answers["wallet/broadcasthex"] = {"code": "TRANSACTION_EXPIRATION_ERROR", "message": "expired"}
    with pytest.raises(ExpiredError, match=f"clock is {abs(ahead)} s"):
        await chain.broadcast(chain.sign(tx, KEY))
    await chain.close()


async def test_a_small_difference_between_clocks_is_nobodys_business(
    stub: TronStub, caplog: pytest.LogCaptureFixture
) -> None:
    chain = tron_at(stub.url, wall=NOW + 60)
    await chain.prepare(SEND, ME, 0, Fee(0, 100))
    assert not caplog.records
    await chain.close()


async def test_there_are_no_nonces_and_nothing_to_outbid(chain: TronChain) -> None:
    assert await chain.next_nonce(ME) == 0
    assert await chain.outbid(signed().tx) is None


async def test_a_full_node_without_walletsolidity_names_its_solid_block(stub: TronStub, chain: TronChain) -> None:
    del stub.answers["walletsolidity/getblock"]
    stub.answers["wallet/getnodeinfo"] = {"solidityBlock": f"Num:{SOLID},ID:{block_id(SOLID).hex()}"}
    assert await chain.is_final(RECEIPT) is False, "no such transaction"
    tx = await chain.prepare(SEND, ME, 0, Fee(0, 100))
    assert decode_transaction(chain.sign(tx, KEY).raw).ref_block_hash == block_id(SOLID)[8:16]


# --- broadcasting ---------------------------------------------------------------------------------------------------

CODES: dict[str, tuple[str, type[ChainError], str, bool]] = {
    "SIGERROR": ("Validate signature error", ChainError, "does not take the signature", False),
    "CONTRACT_VALIDATE_ERROR": ("Contract validate error : No asset!", RevertedError, "No asset!", False),
    "CONTRACT_EXE_ERROR": ("Contract execute error", RevertedError, "Contract execute error", False),
    "BANDWITH_ERROR": ("Account resource insufficient error.", InsufficientFundsError, "bandwidth", False),
    "TAPOS_ERROR": ("Tapos check error.", ExpiredError, "the block that the transaction refers to", True),
    "TRANSACTION_EXPIRATION_ERROR": ("Transaction expired", ExpiredError, "has expired", True),
    "TOO_BIG_TRANSACTION_ERROR": ("", ChainError, "too big", False),
    "SERVER_BUSY": ("", ChainAnswerError, "busy", True),
    "NO_CONNECTION": ("", ChainAnswerError, "no peers", True),
    "NOT_ENOUGH_EFFECTIVE_CONNECTION": ("", ChainAnswerError, "too few peers", True),
    "BLOCK_UNSOLIDIFIED": ("", ChainAnswerError, "not solidified", True),
    "OTHER_ERROR": ("Other error: boom", ChainAnswerError, "OTHER_ERROR .Other error: boom", True),
    "FROM_THE_FUTURE": ("", ChainAnswerError, "FROM_THE_FUTURE", True),
}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("as_hex", [False, True])
async def test_every_code_of_a_refused_broadcast_has_its_meaning(
    stub: TronStub, chain: TronChain, code: str, as_hex: bool
) -> None:
    words, kind, told, retry = CODES[code]
    message = words.encode().hex() if as_hex else words
    stub.answers["wallet/broadcasthex"] = {"result": False, "code": code, "txid": "00" * 32, "message": message}
    with pytest.raises(kind, match=told) as caught:
        await chain.broadcast(signed())
    assert type(caught.value) is kind
    assert caught.value.retry is retry
    assert stub.asked.count("wallet/broadcasthex") == 1


async def test_a_transfer_that_the_account_cannot_pay_is_about_money(stub: TronStub, chain: TronChain) -> None:
    words = "Contract validate error : Validate TransferContract error, balance is not sufficient."
    stub.answers["wallet/broadcasthex"] = {"code": "CONTRACT_VALIDATE_ERROR", "message": words.encode().hex()}
    with pytest.raises(InsufficientFundsError, match="balance is not sufficient"):
        await chain.broadcast(signed())


async def test_bytes_that_the_network_has_are_a_success(stub: TronStub, chain: TronChain) -> None:
    stub.answers["wallet/broadcasthex"] = {"code": "DUP_TRANSACTION_ERROR", "message": "Dup transaction."}
    tx = signed()
    await chain.broadcast(tx)
    assert ("wallet/broadcasthex", {"transaction": tx.raw.hex()}) in stub.told


@pytest.mark.parametrize("code", ["TRANSACTION_EXPIRATION_ERROR", "TAPOS_ERROR"])
async def test_old_bytes_that_are_in_a_block_are_a_success(stub: TronStub, chain: TronChain, code: str) -> None:
    tx = signed()
    stub.answers["wallet/broadcasthex"] = {"code": code}
    stub.answers["wallet/gettransactioninfobyid"] = info(tx.hash, HEAD)
    await chain.broadcast(tx)


async def test_a_busy_server_is_not_the_last_word(stub: TronStub, spare: TronStub) -> None:
    stub.answers["wallet/broadcasthex"] = {"code": "SERVER_BUSY"}
    chain = tron_at(stub.url, spare.url)
    await chain.broadcast(signed())
    assert "wallet/broadcasthex" in spare.asked
    await chain.close()


# --- receipts -------------------------------------------------------------------------------------------------------


async def test_a_receipt_has_its_block_its_cost_and_the_vaults_events(stub: TronStub, chain: TronChain) -> None:
    topic = keccak256(b"NoticeCancelled(address)")
    logs = [log(TOKEN, topic, word(ME)), log(VAULT, topic, word(ME)), log(VAULT, keccak256(b"Other()"))]
    stub.answers["wallet/gettransactioninfobyid"] = info(TX, 990, log=logs)
    receipt = await chain.receipt(TX)
    assert receipt is not None
    assert [found.address for found in receipt.logs] == [TOKEN, VAULT, VAULT]
    assert replace(receipt, logs=()) == Receipt(
        TX, True, 990, block_id(990), 500, 50_000, events=(NoticeCancelled(ME),), contract=VAULT
    )


async def test_a_plain_transfer_has_a_receipt(stub: TronStub, chain: TronChain) -> None:
    """java-tron leaves out what is zero: a free transfer has neither fee nor energy nor result."""
    found = info(TX, 990, receipt={"net_usage": 268})
    del found["fee"], found["contract_address"]
    stub.answers["wallet/gettransactioninfobyid"] = found
    assert await chain.receipt(TX) == Receipt(TX, True, 990, block_id(990), 0, 0)


async def test_what_no_block_has_has_no_receipt(chain: TronChain) -> None:
    assert await chain.receipt(TX) is None


@pytest.mark.parametrize(
    "change", [{"blockTimeStamp": block_time(990) + 1}, {"blockNumber": HEAD + 1}, {"id": "00" * 32}]
)
async def test_a_receipt_of_another_fork_than_its_block_is_asked_again(
    stub: TronStub, chain: TronChain, change: dict[str, Any]
) -> None:
    stub.answers["wallet/gettransactioninfobyid"] = info(TX, 990) | change
    with pytest.raises(ChainAnswerError, match="in a block that it does not have"):
        await chain.receipt(TX)
    assert stub.asked.count("wallet/gettransactioninfobyid") == ROUNDS


FAILURES = {
    "revert": ("REVERT", "REVERT opcode executed", NOT_COVERED, "101 units wanted, 100 are free"),
    "energy": ("OUT_OF_ENERGY", "Not enough energy for 'SSTORE'", b"", "ran out of energy"),
    "time": ("OUT_OF_TIME", "CPU timeout for 'SLOAD' operation executing", b"", "ran out of time"),
    "other": ("ILLEGAL_OPERATION", "Invalid operation code: opCode[fe]", b"", r"opCode\[fe\]"),
    "silent": ("UNKNOWN", "", b"", "the contract refused it"),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_a_failure_tells_its_reason(stub: TronStub, chain: TronChain, case: str) -> None:
    result, words, output, told = FAILURES[case]
    found = info(
        TX,
        990,
        result="FAILED",
        resMessage=words.encode().hex(),
        contractResult=[output.hex()],
        receipt={"result": result, "energy_usage_total": 900},
    )
    stub.answers["wallet/gettransactioninfobyid"] = found
    receipt = await chain.receipt(TX)
    assert receipt is not None
    assert (receipt.ok, receipt.fee_used, receipt.fee_paid) == (False, 900, 50_000)
    with pytest.raises(AssertionError, match=told):
        raise AssertionError(await chain.why_reverted(signed().tx, receipt))


# --- the end of it --------------------------------------------------------------------------------------------------


async def test_a_receipt_is_final_once_its_block_is_solid(stub: TronStub, chain: TronChain) -> None:
    stub.answers["wallet/gettransactioninfobyid"] = info(TX, SOLID)
    assert await chain.is_final(RECEIPT)
    later = SOLID + 1
    stub.answers["wallet/gettransactioninfobyid"] = info(TX, later)
    assert not await chain.is_final(replace(RECEIPT, block=later, block_hash=block_id(later)))


async def test_a_receipt_of_a_replaced_block_is_never_final(stub: TronStub, chain: TronChain) -> None:
    stub.answers["wallet/gettransactioninfobyid"] = info(TX, SOLID)
    assert not await chain.is_final(replace(RECEIPT, block_hash=block_id(SOLID, fork=0xCD)))
    assert not await chain.is_final(replace(RECEIPT, block=SOLID - 1, block_hash=block_id(SOLID - 1)))
    stub.answers["wallet/gettransactioninfobyid"] = {}
    assert not await chain.is_final(RECEIPT)


SOLID_TIME = block_time(SOLID) // 1000


async def test_a_transaction_is_void_when_its_expiry_is_solid_and_nobody_knows_it(chain: TronChain) -> None:
    assert await chain.is_void(signed(SOLID_TIME - 1))
    assert not await chain.is_void(signed(SOLID_TIME)), "a block of this very time may hold it"
    assert not await chain.is_void(signed(NOW - 1)), "expired at the head, but the head may be replaced"


@pytest.mark.parametrize("path", ["wallet/gettransactionbyid", "wallet/gettransactioninfobyid"])
async def test_a_transaction_that_is_known_is_not_void(stub: TronStub, chain: TronChain, path: str) -> None:
    stub.answers[path] = {"txID": "00" * 32, "id": "00" * 32}
    assert not await chain.is_void(signed(SOLID_TIME - 1))


async def test_every_server_must_find_it_void(stub: TronStub, spare: TronStub) -> None:
    chain = tron_at(stub.url, spare.url)
    old = signed(SOLID_TIME - 1)
    assert await chain.is_void(old)
    spare.answers["walletsolidity/getblock"] = block(SOLID - 1)
    assert not await chain.is_void(old), "the second lags behind"
    spare.always("<html>")
    assert await chain.is_void(old), "the second has no say"
    stub.always("<html>")
    with pytest.raises(ChainAnswerError):
        await chain.is_void(old)
    await chain.close()


async def test_questions_may_be_asked_at_the_same_time(chain: TronChain) -> None:
    found = await asyncio.gather(*(chain.native_balance(ME) for _ in range(20)))
    assert set(found) == {10**9}
