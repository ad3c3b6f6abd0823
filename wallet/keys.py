"""secp256k1 keys and BIP-39/44 derivation.

Signatures are 65 bytes r ‖ s ‖ v with v 27 or 28 and s in the lower half of the curve's order (EIP-2): one message and
key have one signature, and every contract here refuses the other form.
"""

from __future__ import annotations

import hashlib
import unicodedata

import coincurve
from Crypto.Hash import keccak as _keccak

from wallet.address import Address
from wallet.errors import BadSignatureError, KeyFormatError

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HALF_ORDER = CURVE_ORDER // 2
SIGNATURE_BYTES = 65

EVM_PATH = "m/44'/60'/0'/0/{index}"
TRON_PATH = "m/44'/195'/0'/0/{index}"


def keccak256(data: bytes) -> bytes:
    """Keccak-256 (the original padding, not SHA3-256)."""
    return _keccak.new(digest_bits=256, data=data).digest()


class PrivateKey:
    """A secp256k1 private key. Its secret is in no repr, string, pickle or exception."""

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes) -> None:
        """`secret`: 32 bytes, 1 ≤ number < curve order. Raises `KeyFormatError`."""
        if len(secret) != 32 or not 0 < int.from_bytes(secret, "big") < CURVE_ORDER:
            raise KeyFormatError("a private key is 32 bytes (64 hex digits), not zero and below the curve's order")
        self._key = coincurve.PrivateKey(secret)
        self.address = _address_of(self._key.public_key)

    @classmethod
    def from_hex(cls, text: str) -> PrivateKey:
        """64 hex digits, with or without 0x. Raises `KeyFormatError` that does not repeat the text."""
        try:
            secret = bytes.fromhex(text.strip().removeprefix("0x"))
        except ValueError:
            raise KeyFormatError("a private key is 64 hex digits") from None
        return cls(secret)

    @property
    def secret(self) -> bytes:
        """The 32 secret bytes, for the keystore and signers of transactions only."""
        return self._key.secret

    def sign_digest(self, digest: bytes) -> bytes:
        """65 bytes over a 32-byte digest; deterministic (RFC 6979)."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes((27 + signature[64],))

    def __repr__(self) -> str:
        return f"PrivateKey({self.address.evm})"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a private key is not to be pickled")


def recover(digest: bytes, signature: bytes) -> Address:
    """The signer of a 32-byte digest. Raises `BadSignatureError` for anything but one canonical signature."""
    if len(signature) != SIGNATURE_BYTES:
        raise BadSignatureError(f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
    v = signature[64]
    if v not in (27, 28):
        raise BadSignatureError(f"signature: v is {v}, not 27 or 28")
    s = int.from_bytes(signature[32:64], "big")
    if not 0 < s <= HALF_ORDER:
        raise BadSignatureError("signature: s is not in the lower half of the curve's order")
    try:
        key = coincurve.PublicKey.from_signature_and_message(signature[:64] + bytes((v - 27,)), digest, hasher=None)
    except Exception:  # libsecp256k1's wrapper raises bare Exception for some invalid points
        raise BadSignatureError("signature: no such point on the curve") from None
    return _address_of(key)


def _address_of(key: coincurve.PublicKey) -> Address:
    return Address(keccak256(key.format(compressed=False)[1:])[12:])


def new_mnemonic(entropy: bytes) -> str:
    """BIP-39 words for 16 (12 words) or 32 (24 words) bytes of entropy."""
    from eth_account.hdaccount.mnemonic import Mnemonic  # its import takes half a second
    from eth_account.types import Language

    if len(entropy) not in (16, 20, 24, 28, 32):
        raise KeyFormatError("entropy for a mnemonic has 16 to 32 bytes, a multiple of 4")
    return str(Mnemonic(Language.ENGLISH).to_mnemonic(entropy))


def normalise_mnemonic(text: str) -> str:
    """Lower case, single spaces, NFKD; checks words and checksum. Raises `KeyFormatError` that repeats no word."""
    from eth_account.hdaccount.mnemonic import Mnemonic  # its import takes half a second
    from eth_account.types import Language

    words = unicodedata.normalize("NFKD", " ".join(text.lower().split()))
    count = len(words.split())
    if count not in (12, 15, 18, 21, 24):
        raise KeyFormatError(f"a mnemonic has 12, 15, 18, 21 or 24 words, not {count}")
    if not Mnemonic(Language.ENGLISH).is_mnemonic_valid(words):
        raise KeyFormatError("the mnemonic's checksum does not match: a word is missing, misspelt or out of order")
    return words


def seed_of(mnemonic: str, passphrase: str = "") -> bytes:
    """The 64-byte BIP-39 seed (PBKDF2-HMAC-SHA512, 2048 rounds)."""
    salt = "mnemonic" + unicodedata.normalize("NFKD", passphrase)
    return hashlib.pbkdf2_hmac("sha512", normalise_mnemonic(mnemonic).encode(), salt.encode(), 2048)


def derive(mnemonic: str, path: str = EVM_PATH.format(index=0), passphrase: str = "") -> PrivateKey:
    """The key at a BIP-32 path such as `m/44'/60'/0'/0/0` (EVM) or `m/44'/195'/0'/0/0` (TRON)."""
    from eth_account.hdaccount import key_from_seed  # its import takes half a second

    try:
        return PrivateKey(bytes(key_from_seed(seed_of(mnemonic, passphrase), path)))
    except KeyFormatError:
        raise
    except Exception:  # the library has no error type of its own for a bad path
        raise KeyFormatError(f"'{path[:60]}' is not a derivation path: write it like m/44'/60'/0'/0/0") from None
