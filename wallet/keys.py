"""secp256k1 keys and BIP-39/44 derivation.

Signatures are 65 bytes r ‖ s ‖ v with v 27 or 28 and s in the lower half of the curve's order (EIP-2): one message and
key have one signature, and every contract here refuses the other form.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

import coincurve
from Crypto.Hash import keccak as _keccak

from wallet.address import Address
from wallet.errors import BadSignatureError, KeyFormatError, quoted

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HALF_ORDER = CURVE_ORDER // 2
SIGNATURE_BYTES = 65

EVM_PATH = "m/44'/60'/0'/0/{index}"
TRON_PATH = "m/44'/195'/0'/0/{index}"

_PATH_STEP = re.compile(r"(0|[1-9][0-9]{0,9})['H]?\Z")
MAX_PATH_STEPS = 16
MAX_PATH_INDEX = 2**31 - 1

_ENTROPY_BYTES = {16: 12, 20: 15, 24: 18, 28: 21, 32: 24}
"""Bytes of entropy → words (BIP-39)."""


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
    def public_key(self) -> bytes:
        """65 bytes: 0x04 ‖ x ‖ y (SEC 1, uncompressed)."""
        return self._key.public_key.format(compressed=False)

    @property
    def secret(self) -> bytes:
        """The 32 secret bytes, for the keystore and signers of transactions only."""
        return self._key.secret

    def sign_digest(self, digest: bytes) -> bytes:
        """65 bytes over a 32-byte digest; deterministic (RFC 6979). Raises `ValueError` for another length."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes((27 + signature[64],))

    def __repr__(self) -> str:
        return f"PrivateKey({self.address.evm})"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a private key is not to be pickled")


def recover(digest: bytes, signature: bytes) -> Address:
    """The signer of a 32-byte digest.

    Raises `BadSignatureError` for anything but one canonical signature, `ValueError` for a digest of another length.
    """
    if len(digest) != 32:
        raise ValueError(f"a digest has 32 bytes, not {len(digest)}")
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
    except ValueError:
        raise BadSignatureError("signature: no such point on the curve") from None
    return _address_of(key)


def compact_signature(signature: bytes) -> tuple[bytes, bytes]:
    """EIP-2098: r, and s with v - 27 in its highest bit, 32 bytes each. Raises `BadSignatureError`."""
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28) or signature[32] & 0x80:
        raise BadSignatureError("signature: no canonical 65 bytes, so there is no compact form")
    return signature[:32], bytes((signature[32] | (signature[64] - 27) << 7,)) + signature[33:64]


def expand_signature(r: bytes, vs: bytes) -> bytes:
    """The 65 bytes of which `compact_signature` made `r` and `vs`."""
    return r + bytes((vs[0] & 0x7F,)) + vs[1:] + bytes((27 + (vs[0] >> 7),))


def _address_of(key: coincurve.PublicKey) -> Address:
    return Address(keccak256(key.format(compressed=False)[1:])[12:])


# --- mnemonics ------------------------------------------------------------------------------------------------------
# eth_account takes half a second to import, which only these functions should cost.


def new_mnemonic(entropy: bytes) -> str:
    """The English BIP-39 words for fresh entropy: 16 bytes give 12 words, 32 give 24. Raises `KeyFormatError`."""
    from eth_account.hdaccount.mnemonic import Mnemonic
    from eth_account.types import Language

    if len(entropy) not in _ENTROPY_BYTES:
        raise KeyFormatError(f"entropy for a mnemonic has 16, 20, 24, 28 or 32 bytes, not {len(entropy)}")
    return str(Mnemonic(Language.ENGLISH).to_mnemonic(entropy))


def normalise_mnemonic(text: str) -> str:
    """Lower case, single spaces, NFKD; words and checksum checked. Raises `KeyFormatError` that repeats no word."""
    from eth_account.hdaccount.mnemonic import Mnemonic
    from eth_account.types import Language

    words = unicodedata.normalize("NFKD", text).lower().split()
    if len(words) not in _ENTROPY_BYTES.values():
        raise KeyFormatError(f"a mnemonic has 12, 15, 18, 21 or 24 words, not {len(words)}")
    bip39 = Mnemonic(Language.ENGLISH)
    known = frozenset(bip39.wordlist)
    for place, word in enumerate(words, 1):
        if word not in known:
            raise KeyFormatError(f"word {place} of the mnemonic is not in the English BIP-39 list: check its spelling")
    mnemonic = " ".join(words)
    if not bip39.is_mnemonic_valid(mnemonic):
        raise KeyFormatError("the mnemonic's checksum does not match: a word is wrong or out of order")
    return mnemonic


def seed(mnemonic: str, passphrase: str = "") -> bytes:
    """The 64-byte BIP-39 seed (PBKDF2-HMAC-SHA512, 2048 rounds). Raises `KeyFormatError` for a bad mnemonic."""
    try:
        salt = ("mnemonic" + unicodedata.normalize("NFKD", passphrase)).encode()
    except UnicodeEncodeError:
        raise KeyFormatError("the passphrase has characters that are not text: check the terminal's encoding") from None
    return hashlib.pbkdf2_hmac("sha512", normalise_mnemonic(mnemonic).encode(), salt, 2048)


def derive(mnemonic: str, passphrase: str = "", path: str = EVM_PATH.format(index=0)) -> PrivateKey:
    """The key at a BIP-32 path such as `m/44'/60'/0'/0/0` (EVM) or `m/44'/195'/0'/0/0` (TRON).

    Raises `KeyFormatError` for a bad mnemonic or path.
    """
    from eth_account.hdaccount import key_from_seed

    root, *steps = path.split("/")
    if root != "m" or not 0 < len(steps) <= MAX_PATH_STEPS or not all(_is_step(step) for step in steps):
        raise KeyFormatError(f"{quoted(path)} is not a derivation path: write it like {EVM_PATH.format(index=0)}")
    return PrivateKey(bytes(key_from_seed(seed(mnemonic, passphrase), path)))


def _is_step(text: str) -> bool:
    match = _PATH_STEP.match(text)
    return match is not None and int(match.group(1)) <= MAX_PATH_INDEX
