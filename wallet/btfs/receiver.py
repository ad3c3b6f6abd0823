"""Which BTFS cheques count: pure checks, after go-btfs's `ReceiveCheque`, and stricter where it trusts too much.

Theory
------
A BTFS cheque is drawn on the payer's own vault. What it is worth depends on the vault alone, and the vault is the
payer's contract: the factory lists whatever anybody deploys through it, behind a proxy that the issuer may point to
other code at any time, and nothing in it is reserved for anyone. So the checks split in two:

    offline  beneficiary, token, growth over what we hold      asks nobody; stops junk before it costs a question
    chain    factory, issuer's signature, the vault's token,   facts of one block, gathered by `wallet.btfs.chain`
             growth over what was paid, bounced, covered

BTFS believes the vault which token is its WBTT and how much of it there is. Here the token must be the real one, and
its own books count as well. What remains is trust: between receiving and cashing the issuer may take the money out.
Cash early, and owe no issuer's word much.
"""

from __future__ import annotations

from dataclasses import dataclass

from wallet.address import Address
from wallet.btfs.errors import (
    BouncedBeforeError,
    NotGrowingError,
    TooLittleError,
    UncoveredError,
    UnknownVaultError,
    WrongBeneficiaryError,
    WrongSignerError,
    WrongTokenError,
)
from wallet.btfs.wire import SignedBtfsCheque
from wallet.errors import BadSignatureError


@dataclass(frozen=True, slots=True)
class Terms:
    """What we take: cheques to `beneficiary` on one chain, of `wbtt` and of these other `tokens`."""

    chain_id: int
    beneficiary: Address
    wbtt: Address
    tokens: frozenset[Address] = frozenset()


@dataclass(frozen=True, slots=True)
class VaultFacts:
    """A vault that the factory knows, as of one block. Amounts in the smallest unit of the cheque's token.

    `wbtt`: the token of its plain cheques. `balance`: what it holds of the cheque's token. `paid_out`: what it has paid
    the cheque's beneficiary so far. `bounced`: it has once not paid in full.
    """

    issuer: Address
    wbtt: Address
    balance: int
    paid_out: int
    bounced: bool


def sift(terms: Terms, signed: SignedBtfsCheque, held: int) -> None:
    """The checks that need no chain. `held`: the cumulative amount of the cheque we hold, 0 for none.

    Raises `WrongBeneficiaryError`, `WrongTokenError` and `NotGrowingError`.
    """
    cheque = signed.cheque
    if cheque.beneficiary != terms.beneficiary:
        raise WrongBeneficiaryError(f"the cheque is made out to {cheque.beneficiary}, not to {terms.beneficiary}")
    # WBTT is not among `tokens`: under its own name no vault pays it on a signature of the other type.
    if cheque.token is not None and cheque.token not in terms.tokens - {terms.wbtt}:
        raise WrongTokenError(f"the cheque is of token {cheque.token}, which is not taken here")
    if cheque.cumulative <= held:
        raise NotGrowingError(f"the cheque over {cheque.cumulative} units is not higher than that over {held}")


def judge(terms: Terms, signed: SignedBtfsCheque, facts: VaultFacts | None, held: int, owed: int = 1) -> int:
    """What the cheque adds to all earlier ones, in units of its token: at least `owed`, at least 1.

    `facts` is None for a vault the factory does not know. Raises the `RefusedError` of the first check that fails.
    """
    sift(terms, signed, held)
    cheque = signed.cheque
    if facts is None:
        raise UnknownVaultError(f"BTFS's factory has not deployed a vault at {cheque.vault}")
    try:
        cheque.verify(terms.chain_id, signed.signature, facts.issuer)
    except BadSignatureError as error:
        raise WrongSignerError(str(error)) from None
    if facts.wbtt != terms.wbtt:
        raise WrongTokenError(f"the vault pays {facts.wbtt} for WBTT, which is {terms.wbtt}")
    # Our books may be lost or from another machine; the chain remembers what was cashed.
    if cheque.cumulative <= facts.paid_out:
        raise NotGrowingError(f"the cheque over {cheque.cumulative} units is paid already: {facts.paid_out} in all")
    gain = cheque.cumulative - max(held, facts.paid_out)
    if gain < owed:
        raise TooLittleError(f"the cheque adds {gain} units where {owed} are owed")
    if facts.bounced:
        raise BouncedBeforeError("the vault has failed to pay a cheque in full before")
    due = cheque.cumulative - facts.paid_out
    if facts.balance < due:
        raise UncoveredError(f"the vault holds {facts.balance} units, the cheque claims {due}")
    return gain
