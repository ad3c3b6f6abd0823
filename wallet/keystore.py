"""The encrypted key file.

Theory. A password is weak, so scrypt (RFC 7914) makes each guess cost time and memory; the stretched key opens an
AES-256-GCM box that holds a BIP-39 mnemonic or one private key. The header outside the box (version, address, scrypt
parameters) is the box's associated data: who changes it cannot open the box any more. A plain SHA-256 over header and
box tells accidents from wrong passwords: a file with a right checksum that does not open has been given the wrong
password (or was forged on purpose, which only its owner could tell apart). What a file may make us compute is bounded
before anything is computed.

The file has mode 0600 from its first byte and appears atomically: after a crash there is the old one or the new one,
whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import unicodedata
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from wallet.address import Address
from wallet.errors import KeystoreError, WalletError, WrongPasswordError
from wallet.keys import EVM_PATH, PrivateKey, derive, normalise_mnemonic, seed

VERSION = 1
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**17, 8, 1
"""128 MiB and some 0.3 s for each guess."""
MAX_WORK = 1 << 30
"""What a file's parameters may ask for: 128 x n x r x p bytes, which bounds memory and time, 8 times our own."""
MAX_FILE = 4096
"""Bytes; ours has some 700. Also the deepest nesting that the JSON parser can meet: py_ecc, which web3 and eth_account
bring along, lifts Python's recursion limit so high that a file of 60 kB could overflow the C stack."""
SALT_BYTES, NONCE_BYTES = 32, 12


@dataclass(frozen=True, slots=True)
class Secret:
    """What the box holds: exactly one of the two, else `KeystoreError`. Neither shows in a repr."""

    mnemonic: str | None = field(default=None, repr=False)
    private_key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.mnemonic is None) == (self.private_key is None):
            raise KeystoreError("a key file holds either a mnemonic or a private key")

    def key(self, path: str = EVM_PATH.format(index=0)) -> PrivateKey:
        """The account's key; `path` matters only for a mnemonic. Raises `KeyFormatError`."""
        if self.private_key is not None:
            return PrivateKey(self.private_key)
        return derive(self.mnemonic or "", path=path)

    def storage_secret(self) -> bytes:
        """What the keys of stored objects are derived from, and from nothing else than this file's content.

        The 64 bytes of the BIP-39 seed, from which no key of a chain leads back; for an account without a mnemonic the
        32 of its private key, apart from all signing by the derivation that follows (HKDF with a purpose of its own).
        """
        if self.private_key is not None:
            return self.private_key
        return seed(self.mnemonic or "")


@dataclass(frozen=True, slots=True)
class _File:
    """A key file's content, checked for form but not yet opened."""

    address: str
    n: int
    r: int
    p: int
    salt: bytes
    nonce: bytes = b""
    data: bytes = field(default=b"", repr=False)

    @property
    def header(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "address": self.address,
            "n": self.n,
            "r": self.r,
            "p": self.p,
            "salt": self.salt.hex(),
        }

    @property
    def associated(self) -> bytes:
        return _canonical(self.header)

    def encode(self) -> bytes:
        document = {"header": self.header, "box": {"nonce": self.nonce.hex(), "data": self.data.hex()}}
        return json.dumps({**document, "checksum": _checksum(document)}, indent=2).encode() + b"\n"


def create(path: Path, secret: Secret, password: str, *, scrypt_n: int = SCRYPT_N) -> Address:
    """Write a new key file and return its address.

    Raises `KeystoreError` if a file is there already (a key is never overwritten) or cannot be written,
    `KeyFormatError` for a bad mnemonic or key. A smaller `scrypt_n` is for tests.
    """
    if secret.mnemonic is not None:
        secret = Secret(mnemonic=normalise_mnemonic(secret.mnemonic))
    address = secret.key().address
    _write(path, _seal(secret, address, password, scrypt_n), replace=False)
    return address


def open_keystore(path: Path, password: str) -> Secret:
    """Decrypt. Raises `WrongPasswordError`, or `KeystoreError` for a missing, damaged or unreasonable file."""
    file = _read(path)
    key = _stretch(password, file)
    try:
        plain = AESGCM(key).decrypt(file.nonce, file.data, file.associated)
    except InvalidTag:
        raise WrongPasswordError(f"{path}: wrong password") from None
    try:
        content = json.loads(plain)
        private_key = content.get("private_key")
        secret = Secret(content.get("mnemonic"), None if private_key is None else bytes.fromhex(private_key))
        sound = secret.key().address.evm == file.address
    except (ValueError, TypeError, AttributeError, WalletError):
        raise _damaged(path) from None
    if not sound:
        raise _damaged(path)
    return secret


def address_of(path: Path) -> Address:
    """The account's address, without the password and so on the file's word. Raises `KeystoreError`."""
    try:
        return Address.parse(_read(path).address)
    except ValueError:
        raise _damaged(path) from None


def change_password(path: Path, old: str, new: str, *, scrypt_n: int = SCRYPT_N) -> None:
    """Encrypt anew; the old file is replaced atomically. Raises what `open_keystore` and `create` raise."""
    secret = open_keystore(path, old)
    _write(path, _seal(secret, secret.key().address, new, scrypt_n), replace=True)


# --- the box --------------------------------------------------------------------------------------------------------


def _seal(secret: Secret, address: Address, password: str, n: int) -> bytes:
    if not password:
        raise KeystoreError("the password is empty: choose one")
    content = {"mnemonic": secret.mnemonic} if secret.private_key is None else {"private_key": secret.private_key.hex()}
    file = _File(address.evm, n, SCRYPT_R, SCRYPT_P, secrets.token_bytes(SALT_BYTES))
    nonce = secrets.token_bytes(NONCE_BYTES)
    data = AESGCM(_stretch(password, file)).encrypt(nonce, json.dumps(content).encode(), file.associated)
    return _File(file.address, file.n, file.r, file.p, file.salt, nonce, data).encode()


def _stretch(password: str, file: _File) -> bytes:
    """32 bytes. NFKD, as BIP-39 and EIP-2335 have it: the same password typed on another system opens the file."""
    n, r, p = file.n, file.r, file.p
    if min(n, r, p) < 1 or n < 2 or n & (n - 1) or n.bit_length() > 16 * r or 128 * n * r * p > MAX_WORK:
        raise KeystoreError("the key file asks for unreasonable scrypt parameters: restore it from a backup")
    try:
        text = unicodedata.normalize("NFKD", password).encode()
    except UnicodeEncodeError:
        raise KeystoreError("the password has characters that are not text: check the terminal's encoding") from None
    try:
        return Scrypt(salt=file.salt, length=32, n=n, r=r, p=p).derive(text)
    except MemoryError:
        raise KeystoreError(f"opening the key file needs {128 * n * r >> 20} MiB of free memory") from None


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _checksum(document: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(document)).hexdigest()


# --- the file -------------------------------------------------------------------------------------------------------


def _read(path: Path) -> _File:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise KeystoreError(f"{path}: no key file: create one with `bttnode init`") from None
    except OSError as error:
        raise KeystoreError(f"{path}: cannot read the key file: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise _damaged(path)
    try:
        document = json.loads(data)
        header, box, checksum = document["header"], document["box"], document.pop("checksum")
        version = header["version"]
        if isinstance(version, int) and version > VERSION:
            raise KeystoreError(f"{path}: the key file is of a later version: open it with a newer bttnode")
        found = _File(
            str(header["address"]),
            _integer(header["n"]),
            _integer(header["r"]),
            _integer(header["p"]),
            bytes.fromhex(header["salt"]),
            bytes.fromhex(box["nonce"]),
            bytes.fromhex(box["data"]),
        )
        sound = checksum == _checksum(document) and header == found.header and len(found.nonce) == NONCE_BYTES
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _damaged(path) from None
    if not sound:
        raise _damaged(path)
    return found


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError("not an integer")
    return value


def _damaged(path: Path) -> KeystoreError:
    return KeystoreError(f"{path}: not a key file, or damaged: restore it from a backup or your mnemonic")


def _write(path: Path, data: bytes, *, replace: bool) -> None:
    path = Path(os.path.realpath(path))  # replace the file, not a link to it: else the old password would live on there
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                temporary.replace(path)
            else:
                _link(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise KeystoreError(f"{path}: cannot write the key file: {error.strerror}") from None


def _link(temporary: Path, path: Path) -> None:
    """Unlike a rename, a link fails where the name exists: of two processes only one creates the file."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise KeystoreError(f"{path}: a key file is here already: move it away first if you mean it") from None
