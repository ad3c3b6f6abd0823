"""A stranger's vault may answer anything: nonsense is its payer's fault, lies about money do not count."""

from __future__ import annotations

import pytest

from tests.unit.btfs.support import FACTORY, HONEST, HOST, ISSUER, VAULT, WBTT, Scripted
from wallet.btfs.chain import BtfsVaults, paid
from wallet.btfs.errors import BrokenVaultError
from wallet.btfs.receiver import VaultFacts
from wallet.chains.assets import TokenTransfer
from wallet.chains.base import ChainError, ChainUnreachableError, Receipt, RevertedError
from wallet.cheque import BtfsCheque
from wallet.digests import word

CHEQUE = BtfsCheque(VAULT, HOST, 5)


def with_answer(signature: str, answer: bytes | Exception) -> BtfsVaults:
    return BtfsVaults(Scripted({**HONEST, signature: answer}), FACTORY, WBTT)


async def test_all_facts_are_of_one_block() -> None:
    reader = Scripted(HONEST)
    found = await BtfsVaults(reader, FACTORY, WBTT).facts(CHEQUE)
    assert found == VaultFacts(ISSUER, WBTT, 10, 3, False)
    assert reader.blocks == {77}


@pytest.mark.parametrize(("claimed", "held", "counts"), [(10**30, 10, 10), (7, 10, 7), (10, 10, 10)])
async def test_a_balance_counts_only_as_far_as_the_tokens_books_have_it(claimed: int, held: int, counts: int) -> None:
    reader = Scripted({**HONEST, "totalbalance()": word(claimed), "balanceOf(address)": word(held)})
    found = await BtfsVaults(reader, FACTORY, WBTT).facts(CHEQUE)
    assert found is not None
    assert found.balance == counts


@pytest.mark.parametrize("signature", ["issuer()", "token()", "bounced()", "totalbalance()", "paidOut(address)"])
@pytest.mark.parametrize("answer", [b"", bytes(31), RevertedError("the contract refuses")])
async def test_a_vault_that_does_not_answer_is_broken(signature: str, answer: bytes | Exception) -> None:
    with pytest.raises(BrokenVaultError, match="does not answer"):
        await with_answer(signature, answer).facts(CHEQUE)


@pytest.mark.parametrize("signature", ["issuer()", "token()"])
async def test_an_address_of_too_many_bytes_is_none(signature: str) -> None:
    with pytest.raises(BrokenVaultError, match="no address"):
        await with_answer(signature, b"\xff" * 32).facts(CHEQUE)


@pytest.mark.parametrize("signature", ["deployedContracts(address)", "balanceOf(address)"])
async def test_our_own_contracts_missing_is_our_fault(signature: str) -> None:
    with pytest.raises(ChainError, match="check the factory"):
        await with_answer(signature, b"").facts(CHEQUE)


async def test_an_unreachable_chain_is_nobodys_fault() -> None:
    with pytest.raises(ChainUnreachableError):
        await with_answer("issuer()", ChainUnreachableError("cannot reach host")).facts(CHEQUE)


def test_what_a_cheque_brought_is_what_the_token_says_the_vault_sent() -> None:
    receipt = Receipt(b"\x01" * 32, True, 9, bytes(32), 0, 0)
    moved = [
        TokenTransfer(VAULT, HOST, 40, 9, receipt.hash),
        TokenTransfer(VAULT, HOST, 7, 9, b"\x02" * 32),  # by another transaction
        TokenTransfer(ISSUER, HOST, 5, 9, receipt.hash),  # by somebody else
    ]
    assert paid(CHEQUE, receipt, moved) == 40
    assert paid(CHEQUE, receipt, []) == 0
