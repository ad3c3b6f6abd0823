"""The real contracts on the TVM: the test token and the cheque vault, with cheques the wallet signs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from contracts.loader import load
from node.devnet.tron.chain import TronChain
from node.devnet.tron.records import ContractRet, Receipt, TriggerContract
from tests.unit.devnet_tron.core.support import A, B, ask, calldata, deploy, make_chain, run, token
from wallet.address import Address
from wallet.cheque import Cheque, Rail, cheque_digest, sign_cheque
from wallet.keys import PrivateKey

BTT = 10**18
PAYER = PrivateKey(keccak(text="alice"))
CHEQUE = "(address,address,uint256)"


def vault(chain: TronChain, btt: bytes, deposit: int = 1_000 * BTT) -> bytes:
    """A vault in which Alice has deposited."""
    contract = deploy(chain, load("ChequeVault").bytecode + encode(["address", "uint256"], [btt, 86_400]))
    assert run(chain, btt, calldata("approve(address,uint256)", contract, deposit)).receipt.outcome.ok
    assert run(chain, contract, calldata("deposit(uint256)", deposit)).receipt.outcome.ok
    return contract


def compact(signature: bytes) -> tuple[bytes, bytes]:
    """EIP-2098: r, and s with the parity of v in its highest bit."""
    parity = signature[64] - 27
    return signature[:32], (int.from_bytes(signature[32:64], "big") | parity << 255).to_bytes(32, "big")


def cash_many(chain: TronChain, contract: bytes, payers: Sequence[PrivateKey], amount: int) -> Receipt:
    """Bob hands in one cheque of each payer, all for him."""
    rail = Rail("tron:0x6274746e", 0x6274746E, Address(contract))
    signed = []
    for payer in payers:
        cheque = Cheque(payer.address, Address(B), amount)
        signature = sign_cheque(rail, cheque, payer).signature
        signed.append(((payer.address.raw, B, amount), *compact(signature)))
    data = keccak(text=f"cashMany(({CHEQUE},bytes32,bytes32)[],address)")[:4] + encode(
        [f"({CHEQUE},bytes32,bytes32)[]", "address"], [signed, B]
    )
    return run(chain, contract, data, owner=B).receipt


@pytest.mark.parametrize("full_chain_id", [False, True])
def test_a_cheque_signed_by_the_wallet_is_cashed_on_tron(full_chain_id: bool) -> None:
    chain = make_chain(full_chain_id=full_chain_id)
    btt = token(chain)
    contract = vault(chain, btt)
    rail = Rail("tron:0x6274746e", 0x6274746E, Address(contract))
    cheque = Cheque(Address(A), Address(B), 7 * BTT)
    assert ask(chain, contract, "domainSeparator()", "bytes32") == rail.separator
    digest = chain.constant(
        TriggerContract(A, contract, keccak(text=f"digest({CHEQUE})")[:4] + encode([CHEQUE], [(A, B, 7 * BTT)]))
    )
    assert digest.output == cheque_digest(rail, cheque)
    signature = sign_cheque(rail, cheque, PAYER).signature
    data = keccak(text=f"cash({CHEQUE},bytes,address)")[:4] + encode(
        [CHEQUE, "bytes", "address"], [(A, B, 7 * BTT), signature, B]
    )
    mined = run(chain, contract, data, owner=B)
    assert mined.receipt.outcome.ok, mined.receipt.outcome
    assert ask(chain, btt, "balanceOf(address)", "uint256", B) == 7 * BTT
    assert ask(chain, contract, "paidOut(address,address)", "uint256", A, B) == 7 * BTT
    assert run(chain, contract, data, owner=A).receipt.outcome.ret is ContractRet.REVERT


@pytest.mark.parametrize(
    ("batch", "first", "later"), [(1, 72_000, 42_000), (10, 37_000, 20_000), (100, 33_000, 18_000)]
)
def test_a_batch_of_cheques_costs_little_energy_for_each(batch: int, first: int, later: int) -> None:
    """The first cheque of a payer writes a new slot; later ones, which every node lives on, change it."""
    chain = make_chain()
    btt = token(chain)
    contract = vault(chain, btt)
    payers = [PrivateKey(keccak(text=f"payer {number}")) for number in range(batch)]
    approval = calldata("approve(address,uint256)", contract, 2**256 - 1)
    assert run(chain, btt, approval).receipt.outcome.ok
    for payer in payers:
        deposit = calldata("depositFor(address,uint256)", payer.address.raw, 10 * BTT)
        assert run(chain, contract, deposit).receipt.outcome.ok
    for amount, most in ((BTT, first), (3 * BTT, later)):
        receipt = cash_many(chain, contract, payers, amount)
        assert receipt.outcome.ok, receipt.outcome
        assert receipt.outcome.energy // batch < most
        assert ask(chain, btt, "balanceOf(address)", "uint256", B) == batch * amount
