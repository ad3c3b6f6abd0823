"""What a transaction must be before the state is asked: small enough, in time, on this chain, new and rightly signed.

TAPOS ("transaction as proof of stake") is the reference to a recent block: two bytes of its number, eight of its id.
"""

from __future__ import annotations

from collections.abc import Callable

import coincurve
from eth_utils.crypto import keccak

from node.devnet.tron.proto import MAX_TRANSACTION
from node.devnet.tron.records import Block, Code, RejectedError, Transaction
from wallet.address import Address

MAX_AHEAD_MS = 24 * 3600 * 1000
"""How far in the future a transaction may expire."""
_SIGNATURE_BYTES = 65
_PERMISSIONS = (0, 2)
"""The owner permission and the active one, which every account has from the beginning; both are its own key's."""
_FIRST_V = 27


def check_size(transaction: Transaction) -> None:
    """This and the other checks raise `RejectedError`."""
    if transaction.size > MAX_TRANSACTION:
        raise RejectedError(
            Code.TOO_BIG_TRANSACTION_ERROR,
            f"Too big transaction, TxId {transaction.id.hex()}, the size is {transaction.size} bytes,"
            f" maxTxSize {MAX_TRANSACTION}",
        )


def check_expiration(transaction: Transaction, now: int) -> None:
    """`now` in milliseconds: the next block's time, so that an idle chain takes nothing long expired."""
    if not now < transaction.expiration <= now + MAX_AHEAD_MS:
        raise RejectedError(Code.TRANSACTION_EXPIRATION_ERROR, "Transaction expired")


def check_reference(transaction: Transaction, head: int, block: Callable[[int], Block | None]) -> None:
    """The reference must be to one of the last 65536 blocks; `head` is the latest one's number."""
    if len(transaction.ref_block_bytes) == 2:
        number = head - (head - int.from_bytes(transaction.ref_block_bytes, "big")) % 2**16
        found = block(number) if number >= 0 else None
        if found is not None and found.id[8:16] == transaction.ref_block_hash:
            return
    raise RejectedError(Code.TAPOS_ERROR, "Tapos check error.")


def check_signature(transaction: Transaction) -> None:
    """One signature by the owner's own key. `r ‖ s ‖ v` with v 0, 1, 27 or 28; what follows is ignored."""
    signatures = transaction.signatures
    if not signatures:
        raise _unsigned("miss sig or contract")
    if transaction.permission not in _PERMISSIONS:
        raise _unsigned("permission isn't exit")
    if len(signatures) > 1:
        raise _unsigned(f"Signature count is {len(signatures)} more than key counts of permission : 1")
    signer = signer_of(transaction.id, signatures[0])
    if signer != transaction.operation.owner:
        raise _unsigned(
            f"{transaction.id.hex()} is signed by {Address(signer).tron} but it is not contained of permission."
        )


def signer_of(digest: bytes, signature: bytes) -> bytes:
    """Whose signature it is, without the prefix 0x41."""
    if len(signature) < _SIGNATURE_BYTES:
        raise _unsigned(f"Signature size is {len(signature)}")
    v = signature[64]
    recovery = v - _FIRST_V if v >= _FIRST_V else v
    if recovery not in (0, 1):
        raise _unsigned("Header byte out of range")
    try:
        key = coincurve.PublicKey.from_signature_and_message(
            signature[:64] + bytes([recovery]), digest, hasher=None
        ).format(compressed=False)
    except Exception:  # coincurve raises bare Exception and ValueError alike
        raise _unsigned("Could not recover public key from signature") from None
    return keccak(key[1:])[12:]


def _unsigned(text: str) -> RejectedError:
    return RejectedError(Code.SIGERROR, f"Validate signature error: {text}")
