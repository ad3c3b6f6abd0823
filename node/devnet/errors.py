"""The devnet's errors.

DevnetError                    one line for the user
 ├─ StorageError               the data folder cannot be used (locked, damaged, another chain's, disk full)
 ├─ ListenError                the address or port cannot be used
 ├─ TransactionRejectedError   a transaction the chain will not take; texts as go-ethereum words them
 ├─ CallFailedError            a call reverted or ran out of gas; carries the revert data
 └─ BadRequestError            a question about something that is not there, or a step the chain cannot take
"""

from __future__ import annotations


class DevnetError(Exception):
    """Root of the tree above."""


class StorageError(DevnetError):
    """The data folder cannot be used."""


class ListenError(DevnetError):
    """The address or port cannot be used."""


class TransactionRejectedError(DevnetError):
    """A transaction the chain will not take. Nothing has changed."""


class CallFailedError(DevnetError):
    """A call that failed. `reverted` tells a REVERT, with `output` as its data, from every other failure."""

    def __init__(self, message: str, output: bytes = b"", *, reverted: bool = False) -> None:
        super().__init__(message)
        self.output = output
        self.reverted = reverted


class BadRequestError(DevnetError):
    """An unknown block or snapshot, a time that runs backwards, a number out of bounds."""
