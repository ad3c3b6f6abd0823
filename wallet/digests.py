"""EIP-712 digests for the few struct types this wallet signs, without a general encoder on the hot path.

    digest = keccak(0x19 0x01 ‖ domain separator ‖ keccak(type hash ‖ encoded fields))

All fields here are static (addresses, uint256, bytes32), so encoding is concatenation of 32-byte words. TIP-712 gives
the same digests once TRON's 0x41 prefix is stripped from addresses and the chain id is masked to 32 bits, because the
TVM's `block.chainid` may be 4 or 32 bytes of the genesis block's id.
"""

from __future__ import annotations

from wallet.address import Address
from wallet.keys import keccak256

CHEQUE_TYPE = keccak256(b"Cheque(address payer,address payee,uint256 cumulativePayout)")
BID_TYPE = keccak256(b"Bid(address payer,address payee,uint256 maxPrice,bytes32 nonce)")
BTFS_CHEQUE_TYPE = keccak256(b"Cheque(address vault,address beneficiary,uint256 cumulativePayout)")
BTFS_TOKEN_CHEQUE_TYPE = keccak256(
    b"MultiTokenCheque(address token,address vault,address beneficiary,uint256 cumulativePayout)"
)

_DOMAIN_FULL = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_DOMAIN_SHORT = keccak256(b"EIP712Domain(string name,string version,uint256 chainId)")
ADDRESS_PAD = bytes(12)
"""What stands before an address's 20 bytes in its word."""


def mask_chain_id(chain_id: int) -> int:
    """The lower 32 bits: what signatures bind on both rails."""
    return chain_id & 0xFFFFFFFF


def word(value: int | bytes | Address) -> bytes:
    """One 32-byte ABI word: uint256, bytes32 or address. Raises `OverflowError` and `ValueError` for what is not."""
    if isinstance(value, Address):
        return ADDRESS_PAD + value.raw
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    if len(value) != 32:
        raise ValueError(f"a bytes32 has 32 bytes, not {len(value)}")
    return value


def domain_separator(name: str, version: str, chain_id: int, verifying_contract: Address | None = None) -> bytes:
    """32 bytes. Without a verifying contract the shorter domain type is used (as BTFS does)."""
    head = (keccak256(name.encode()), keccak256(version.encode()), word(chain_id))
    if verifying_contract is None:
        return keccak256(b"".join((_DOMAIN_SHORT, *head)))
    return keccak256(b"".join((_DOMAIN_FULL, *head, word(verifying_contract))))


def typed_digest(separator: bytes, type_hash: bytes, *fields: bytes) -> bytes:
    """The digest to sign; `fields` are ABI words in the type's order."""
    return keccak256(b"\x19\x01" + separator + keccak256(type_hash + b"".join(fields)))
