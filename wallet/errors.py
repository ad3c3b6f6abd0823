"""The wallet's errors.

    WalletError
     ├─ AmountError           text or number is not an amount
     ├─ AddressError          text or bytes are not an address, or one of another network
     ├─ KeyFormatError        not a private key, mnemonic or derivation path
     ├─ KeystoreError         the key file cannot be read or written
     │   └─ WrongPasswordError
     ├─ LimitError            a spend limit of the user forbids it
     ├─ LedgerError           an entry, or books, that double entry does not allow
     └─ ChequeError
         ├─ BadSignatureError    not signed by whom it should be
         └─ StaleChequeError     not higher than one that exists

Every text is one line that says what is wrong and, where it helps, what to do. No text ever holds a secret.
"""

from __future__ import annotations


class WalletError(Exception):
    """Root of the tree above."""


def quoted(text: str, length: int = 40) -> str:
    """Foreign text for an error: cut to `length`, in quotes, and without a control character that breaks the line."""
    return repr(text if len(text) <= length else text[:length] + "…")


class AmountError(WalletError, ValueError):
    """Text or number is not an amount, price or size."""


class AddressError(WalletError, ValueError):
    """Text or bytes are not an address."""


class KeyFormatError(WalletError, ValueError):
    """Not a private key, mnemonic or derivation path."""


class KeystoreError(WalletError):
    """The key file is missing, damaged, or cannot be written."""


class WrongPasswordError(KeystoreError):
    """The password does not open the key file."""


class LimitError(WalletError):
    """A spend limit of the user forbids it. `limit` is the setting's name, such as `per_day`."""

    def __init__(self, text: str, limit: str) -> None:
        super().__init__(text)
        self.limit = limit


class LedgerError(WalletError, ValueError):
    """An entry that is not one, or books that do not balance."""


class ChequeError(WalletError):
    """A cheque that must not be signed or counted."""


class BadSignatureError(ChequeError):
    """A signature that is malformed, not canonical, or not by the expected signer."""


class StaleChequeError(ChequeError):
    """A cheque that is not higher than one that exists."""
