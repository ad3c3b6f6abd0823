"""What a transaction must be before the chain takes it, and what else refuses it, in java-tron's words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from node.devnet.tron.admission import check_reference, check_size
from node.devnet.tron.chain import TronChain
from node.devnet.tron.records import (
    AccountCreate,
    Asset,
    AssetIssue,
    Block,
    Code,
    CreateContract,
    Freeze,
    Operation,
    RejectedError,
    Resource,
    Transaction,
    Transfer,
    TransferAsset,
    TriggerContract,
    Unfreeze,
)
from node.devnet.tron.settings import TRX
from tests.unit.devnet_tron.core.support import (
    BOB,
    BTTOLD,
    DAY_MS,
    A,
    B,
    C,
    asm,
    deploy,
    initcode,
    make_chain,
    send,
    signed,
)
from wallet.address import Address

CHAIN = make_chain()
CONTRACT = deploy(CHAIN, initcode(asm("STOP")))
PAYMENT = Transfer(A, B, 1)
INVALID, PREFIX = Code.CONTRACT_VALIDATE_ERROR, "Contract validate error : "


def refused(chain: TronChain, transaction: Transaction) -> RejectedError:
    head = chain.head
    with pytest.raises(RejectedError) as caught:
        chain.submit(transaction)
    assert chain.head == head
    assert chain.mined(transaction.id) is None
    return caught.value


# --- signatures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [0, 27])
@pytest.mark.parametrize("permission", [0, 2])
def test_an_owners_signature_counts_with_either_v_and_both_permissions(shift: int, permission: int) -> None:
    chain = make_chain()
    transaction = signed(chain, PAYMENT, permission=permission)
    signature = transaction.signatures[0]
    chain.submit(replace(transaction, signatures=(signature[:64] + bytes([signature[64] + shift]),)))
    assert chain.head.transactions == (transaction.id,)


def test_a_wrong_signature_is_named() -> None:
    transaction = signed(CHAIN, PAYMENT)
    signature = transaction.signatures[0]
    for signatures, text in (
        ((), "miss sig or contract"),
        ((signature[:64],), "Signature size is 64"),
        ((signature[:64] + b"\x02",), "Header byte out of range"),
        ((bytes(65),), "Could not recover public key from signature"),
        ((signature, signature), "Signature count is 2 more than key counts of permission : 1"),
    ):
        error = refused(CHAIN, replace(transaction, signatures=signatures))
        assert (error.code, str(error)) == (Code.SIGERROR, f"Validate signature error: {text}")
    stranger = signed(CHAIN, PAYMENT, signers=[BOB])
    error = refused(CHAIN, stranger)
    assert str(error) == (
        f"Validate signature error: {stranger.id.hex()} is signed by {Address(B).tron}"
        " but it is not contained of permission."
    )
    assert str(refused(CHAIN, signed(CHAIN, PAYMENT, permission=3))).endswith("permission isn't exit")


@settings(deadline=None)  # a signature is recovered each time
@given(st.binary(min_size=65, max_size=65))
def test_no_other_signature_is_an_owners(signature: bytes) -> None:
    transaction = replace(signed(CHAIN, PAYMENT), signatures=(signature,))
    assert refused(CHAIN, transaction).code is Code.SIGERROR


# --- time and place --------------------------------------------------------------------------------------------------


def test_a_transaction_must_expire_within_a_day_and_not_yet() -> None:
    chain = make_chain()
    now = chain.now()
    for expiration in (0, now - 1, now, now + DAY_MS + 1):
        error = refused(chain, signed(chain, PAYMENT, expiration=expiration))
        assert (error.code, str(error)) == (Code.TRANSACTION_EXPIRATION_ERROR, "Transaction expired")
    chain.submit(signed(chain, PAYMENT, expiration=now + DAY_MS))


@pytest.mark.parametrize(
    "reference",
    [{"ref_block_bytes": b"\0"}, {"ref_block_bytes": b"\0\x09"}, {"ref_block_hash": bytes(8)}, {"ref_block_hash": b""}],
)
def test_a_transaction_must_refer_to_a_block_of_this_chain(reference: dict[str, Any]) -> None:
    error = refused(CHAIN, signed(CHAIN, PAYMENT, **reference))
    assert (error.code, str(error)) == (Code.TAPOS_ERROR, "Tapos check error.")


@settings(deadline=None)
@given(head=st.integers(0, 200_000), age=st.integers(0, 200_000))
def test_a_reference_is_good_for_65536_blocks(head: int, age: int) -> None:
    number = head - age

    def block(asked: int) -> Block | None:
        block_id = asked.to_bytes(8, "big") + bytes(16) + asked.to_bytes(8, "big")
        return Block(asked, block_id, b"", 0, (), b"", b"", 0) if 0 <= asked <= head else None

    referred = max(number, 0).to_bytes(8, "big")
    sample = signed(CHAIN, PAYMENT)
    # The fake ids carry nothing but their number in the part that a reference names.
    own = replace(sample, ref_block_bytes=referred[6:8], ref_block_hash=bytes(8))
    unlike = replace(own, ref_block_hash=b"\1" * 8)
    with pytest.raises(RejectedError):
        check_reference(unlike, head, block)
    if number >= 0:
        check_reference(own, head, block)


def test_an_old_block_of_the_same_low_number_is_not_the_reference() -> None:
    ids = {number: number.to_bytes(8, "big") * 4 for number in (5, 5 + 65_536)}

    def block(number: int) -> Block | None:
        return Block(number, ids[number], b"", 0, (), b"", b"", 0) if number in ids else None

    sample = signed(CHAIN, PAYMENT)
    old = replace(sample, ref_block_bytes=b"\0\5", ref_block_hash=ids[5][8:16])
    check_reference(old, 5 + 65_535, block)
    with pytest.raises(RejectedError):
        check_reference(old, 5 + 65_536, block)


def test_no_transaction_counts_twice() -> None:
    chain = make_chain()
    transaction = signed(chain, PAYMENT)
    chain.submit(transaction)
    with pytest.raises(RejectedError, match="Dup transaction") as caught:
        chain.submit(transaction)
    assert caught.value.code is Code.DUP_TRANSACTION_ERROR


def test_a_transaction_has_a_size_limit() -> None:
    with pytest.raises(RejectedError, match="512001 bytes, maxTxSize 512000") as caught:
        check_size(replace(signed(CHAIN, PAYMENT), encoded=bytes(512_001)))
    assert caught.value.code is Code.TOO_BIG_TRANSACTION_ERROR


# --- what operations demand ------------------------------------------------------------------------------------------

NAMED = {"name": b"Coin", "abbreviation": b"C", "supply": 5, "decimals": 0, "url": b"u"}


def issue(**fields: object) -> AssetIssue:
    return AssetIssue(B, **{**NAMED, **fields})  # type: ignore[arg-type]  # one field at a time is made wrong


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (Transfer(A, A, 1), "Cannot transfer TRX to yourself."),
        (Transfer(A, B, 0), "Amount must be greater than 0."),
        (Transfer(A, B, -1), "Amount must be greater than 0."),
        (Transfer(A, CONTRACT, 1), "Cannot transfer TRX to a smartContract."),
        (Transfer(A, B, 10**12), "Validate TransferContract error, balance is not sufficient."),
        (TransferAsset(A, B, BTTOLD, 0), "Amount must be greater than 0."),
        (TransferAsset(A, A, BTTOLD, 1), "Cannot transfer asset to yourself."),
        (TransferAsset(A, B, 1_000_001, 1), "No asset!"),
        (TransferAsset(A, B, 7, 1), "No asset!"),
        (TransferAsset(B, A, BTTOLD, 1), "assetBalance must be greater than 0."),
        (TransferAsset(A, B, BTTOLD, 10**16), "assetBalance is not sufficient."),
        (TransferAsset(A, CONTRACT, BTTOLD, 1), "Cannot transfer asset to smartContract."),
        (AccountCreate(A, B), "Account has existed"),
        (issue(name=b"two words"), "Invalid assetName"),
        (issue(name=b""), "Invalid assetName"),
        (issue(name=b"TRX"), "assetName can't be trx"),
        (issue(decimals=7), "precision cannot exceed 6"),
        (issue(abbreviation=b"\n"), "Invalid abbreviation for token"),
        (issue(url=b""), "Invalid url"),
        (issue(description=bytes(201)), "Invalid description"),
        (issue(supply=0), "TotalSupply must greater than 0!"),
        (AssetIssue(A, b"Second", b"S", 5, 0, url=b"u"), "An account can only issue one asset"),
        (Freeze(A, 0, Resource.ENERGY), "frozenBalance must be positive"),
        (Freeze(A, TRX - 1, Resource.ENERGY), "frozenBalance must be more than 1TRX"),
        (Freeze(A, 10**13, Resource.ENERGY), "frozenBalance must be less than accountBalance"),
        (Unfreeze(A, TRX, Resource.ENERGY), "no frozenBalance(Energy)"),
        (Unfreeze(A, TRX, Resource.BANDWIDTH), "no frozenBalance(BANDWIDTH)"),
        (TriggerContract(A, B), "No contract or not a valid smart contract"),
        (TriggerContract(A, CONTRACT, value=-1), "callValue must be >= 0"),
        (TriggerContract(A, CONTRACT, value=10**13), "Validate InternalTransfer error, balance is not sufficient."),
        (TriggerContract(A, CONTRACT, token_value=-1, token=BTTOLD), "tokenValue must be >= 0"),
        (TriggerContract(A, CONTRACT, token=1_000_000), "tokenId must be > 1000000"),
        (TriggerContract(A, CONTRACT, token_value=1), "invalid arguments with tokenValue = 1, tokenId = 0"),
        (TriggerContract(A, CONTRACT, token=1_000_001, token_value=1), "No asset !"),
        (TriggerContract(B, CONTRACT, token=BTTOLD, token_value=1), "assetBalance is not sufficient."),
        (CreateContract(A, b"", name="n" * 33, origin_energy_limit=1),
         "contractName's length cannot be greater than 32"),
        (CreateContract(A, b"", user_percent=101, origin_energy_limit=1), "percent must be >= 0 and <= 100"),
        (CreateContract(A, b""), "The originEnergyLimit must be > 0"),
        (Transfer(C, A, 1), f"account [{Address(C).tron}] does not exist"),
    ],
)  # fmt: skip
def test_an_impossible_operation_is_refused_in_java_trons_words(operation: Operation, text: str) -> None:
    error = refused(CHAIN, signed(CHAIN, operation))
    assert (error.code, str(error)) == (INVALID, PREFIX + text)


@pytest.mark.parametrize("fee_limit", [-1, 15_000 * TRX + 1])
def test_a_fee_limit_has_bounds(fee_limit: int) -> None:
    for operation in (TriggerContract(A, CONTRACT), CreateContract(A, b"", origin_energy_limit=1)):
        error = refused(CHAIN, signed(CHAIN, operation, fee_limit=fee_limit))
        assert str(error) == f"{PREFIX}feeLimit must be >= 0 and <= 15000000000"


def test_fees_nobody_can_pay_are_a_bandwidth_error() -> None:
    chain = make_chain(free_bandwidth=0)
    chain.set_balance(A, 100_000)
    for transaction in (signed(chain, PAYMENT), signed(chain, Transfer(A, C, 1), memo=b"hello")):
        error = refused(chain, transaction)
        assert (error.code, str(error)) == (Code.BANDWITH_ERROR, "Account resource insufficient error.")
    assert str(refused(chain, signed(chain, Transfer(A, C, 1)))).endswith("balance is not sufficient.")


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (AccountCreate(A, C), "Validate CreateAccountActuator error, insufficient fee."),
        (TransferAsset(A, C, BTTOLD, 1), "Validate TransferAssetActuator error, insufficient fee."),
        (AssetIssue(A, b"Coin", b"C", 5, 0, url=b"u"), "No enough balance for fee!"),
    ],
)
def test_an_operation_nobody_can_pay_is_refused(operation: Operation, text: str) -> None:
    chain = make_chain(assets=(Asset(BTTOLD, B, b"BitTorrentOld", b"BTTOLD", 10, 6),))
    chain.give_asset(A, BTTOLD, 1)
    chain.set_balance(A, TRX // 2)
    assert str(refused(chain, signed(chain, operation))) == PREFIX + text


def test_a_balance_never_leaves_63_bits() -> None:
    chain = make_chain()
    chain.set_balance(B, 2**63 - 1)
    assert str(refused(chain, signed(chain, PAYMENT))) == PREFIX + "long overflow"


def test_a_contract_is_not_put_where_an_account_is() -> None:
    chain = make_chain()
    transaction = signed(chain, CreateContract(A, b"", origin_energy_limit=1))
    address = keccak(transaction.id + b"\x41" + A)[12:]
    chain.set_balance(address, 1)
    text = f"Trying to create a contract with existing contract address: {Address(address).tron}"
    assert str(refused(chain, transaction)) == PREFIX + text


@pytest.mark.parametrize(
    ("owner", "text"),
    [(CONTRACT, "Cannot transfer TRX to yourself."), (C, "Validate InternalTransfer error, no OwnerAccount.")],
)
def test_a_call_cannot_bring_along_what_its_caller_cannot_send(owner: bytes, text: str) -> None:
    with pytest.raises(RejectedError) as caught:
        CHAIN.constant(TriggerContract(owner, CONTRACT, value=1))
    assert str(caught.value) == PREFIX + text


# --- what operations do ----------------------------------------------------------------------------------------------


def test_a_memo_and_a_new_account_cost_what_they_say() -> None:
    chain = make_chain()
    receipt = send(chain, Transfer(A, C, 5), memo=b"hello").receipt
    assert (receipt.fee, receipt.net_used, receipt.net_burnt) == (2 * TRX + TRX // 10, 0, TRX // 10)
    made = send(chain, AccountCreate(A, bytes(20))).receipt
    assert (made.fee, chain.account(bytes(20)) is not None) == (TRX + TRX // 10, True)
    sender = chain.account(A)
    assert sender is not None
    assert sender.balance == 1_000_000 * TRX - 5 - receipt.fee - made.fee


def test_tokens_move_between_accounts() -> None:
    chain = make_chain()
    assert send(chain, TransferAsset(A, B, BTTOLD, 7)).receipt.outcome.ok
    assert send(chain, TransferAsset(A, C, BTTOLD, 8)).receipt.fee == TRX + TRX // 10
    held = {address: found.assets for address in (A, B, C) if (found := chain.account(address))}
    assert held == {A: {BTTOLD: 10**15 - 15}, B: {BTTOLD: 7}, C: {BTTOLD: 8}}


def test_an_issued_token_gets_the_next_number_and_belongs_to_its_issuer() -> None:
    chain = make_chain()
    receipt = send(chain, issue(description=b"text")).receipt
    assert (receipt.asset, receipt.fee - receipt.net_burnt) == (BTTOLD + 1, 1_024 * TRX)
    asset = chain.asset(BTTOLD + 1)
    assert asset is not None
    assert (asset.owner, asset.name, asset.supply, asset.description) == (B, b"Coin", 5, b"text")
    owner = chain.account(B)
    assert owner is not None
    assert owner.assets == {BTTOLD + 1: 5}
    assert [found.number for found in chain.assets()] == [BTTOLD, BTTOLD + 1]
