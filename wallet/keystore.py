"""The encrypted key file.

JSON with a version, the scrypt parameters (RFC 7914), and an AES-256-GCM box. Everything outside the box is
authenticated as associated data, so nobody can weaken the parameters or swap the address unnoticed. Inside is either a
BIP-39 mnemonic or one private key. The file is created with mode 0600 and replaced atomically: after a crash there is
the old one or the new one, whole.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from wallet.address import Address
from wallet.errors import KeystoreError, WalletError, WrongPasswordError
from wallet.keys import EVM_PATH, PrivateKey, derive, normalise_mnemonic

VERSION = 1
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**17, 8, 1
MAX_FILE = 64 * 1024
MIN_PASSWORD = 1
MAX_MEMORY = 1 << 30
"""Bytes that a file's parameters may make scrypt use (128 x n x r)."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What the box holds: exactly one of the two. Neither shows in a repr."""

    mnemonic: str | None = field(default=None, repr=False)
    private_key: bytes | None = field(default=None, repr=False)

    def key(self, path: str = EVM_PATH.format(index=0)) -> PrivateKey:
        """The account's key; `path` matters only for a mnemonic."""
        if self.private_key is not None:
            return PrivateKey(self.private_key)
        if self.mnemonic is not None:
            return derive(self.mnemonic, path=path)
        raise KeystoreError("the key file holds neither a mnemonic nor a key")


def create(path: Path, secret: Secret, password: str, *, scrypt_n: int = SCRYPT_N) -> Address:
    """Write a new key file. Raises `KeystoreError` if one is there: a key is never overwritten."""
    if secret.mnemonic is not None:
        secret = Secret(mnemonic=normalise_mnemonic(secret.mnemonic))
    address = secret.key().address
    _write(path, _seal(secret, address, password, scrypt_n), replace=False)
    return address


def open_keystore(path: Path, password: str) -> Secret:
    """Decrypt. Raises `WrongPasswordError`, or `KeystoreError` for a missing or damaged file."""
    document = _read(path)
    header, box = document["header"], document["box"]
    try:
        n, r, p = (int(header[name]) for name in ("n", "r", "p"))
        key = _stretch(password, bytes.fromhex(header["salt"]), n, r, p)
        plain = AESGCM(key).decrypt(bytes.fromhex(box["nonce"]), bytes.fromhex(box["data"]), _canonical(header))
    except InvalidTag:
        raise WrongPasswordError("wrong password (or the key file was tampered with)") from None
    except (ValueError, TypeError, KeyError):
        raise _damaged(path) from None
    try:
        content = json.loads(plain)
        mnemonic, private_key = content.get("mnemonic"), content.get("private_key")
        secret = Secret(mnemonic, bytes.fromhex(private_key) if private_key is not None else None)
        if secret.key().address.evm != header["address"]:
            raise _damaged(path)
    except (ValueError, AttributeError):
        raise _damaged(path) from None
    return secret


def address_of(path: Path) -> Address:
    """The account's address, without the password."""
    try:
        return Address.parse(_read(path)["header"]["address"])
    except (KeyError, TypeError, AttributeError, WalletError) as error:
        if isinstance(error, KeystoreError):
            raise
        raise _damaged(path) from None


def change_password(path: Path, old: str, new: str, *, scrypt_n: int = SCRYPT_N) -> None:
    """Encrypt anew; the old file is replaced atomically."""
    secret = open_keystore(path, old)
    _write(path, _seal(secret, secret.key().address, new, scrypt_n), replace=True)


def _seal(secret: Secret, address: Address, password: str, n: int) -> bytes:
    if len(password) < MIN_PASSWORD:
        raise KeystoreError("the password is empty: choose one, or keep the key out of a file")
    salt, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
    header = {"address": address.evm, "n": n, "p": SCRYPT_P, "r": SCRYPT_R, "salt": salt.hex(), "version": VERSION}
    content: dict[str, str] = {}
    if secret.mnemonic is not None:
        content["mnemonic"] = secret.mnemonic
    if secret.private_key is not None:
        content["private_key"] = secret.private_key.hex()
    key = _stretch(password, salt, n, SCRYPT_R, SCRYPT_P)
    data = AESGCM(key).encrypt(nonce, json.dumps(content).encode(), _canonical(header))
    document = {"header": header, "box": {"nonce": nonce.hex(), "data": data.hex()}}
    return json.dumps(document, indent=2).encode() + b"\n"


def _stretch(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    if n < 2 or n & (n - 1) or r < 1 or not 1 <= p <= 16 or 128 * n * r > MAX_MEMORY:
        raise ValueError("scrypt parameters out of range")
    return Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(password.encode())


def _canonical(header: dict[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise KeystoreError(f"{path}: no key file: create one with `bttnode init`") from None
    except OSError as error:
        raise KeystoreError(f"{path}: {error.strerror}") from None
    try:
        document = json.loads(data)
        version = document["header"]["version"]
    except (ValueError, KeyError, TypeError):
        raise _damaged(path) from None
    if version != VERSION:
        raise KeystoreError(f"{path}: key file version {version}: a newer bttnode wrote it")
    return dict(document)


def _damaged(path: Path) -> KeystoreError:
    return KeystoreError(f"{path}: not a key file, or damaged: restore it from a backup or your mnemonic")


def _write(path: Path, data: bytes, *, replace: bool) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            # link() fails where the name exists: two processes cannot both create it.
            os.link(temporary, path)
            temporary.unlink()
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        temporary.unlink(missing_ok=True)
        raise KeystoreError(f"{path}: a key file is here already; move it away first if you mean it") from None
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise KeystoreError(f"{path}: cannot write the key file: {error.strerror}") from None
