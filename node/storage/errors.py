"""What can go wrong in the storage cores, and whose fault it is.

    StorageError
     ├─ ShardError       bytes that are not what their root, seal or code says: lost or changed since they were stored
     │   └─ SealError        a sealed segment does not open: changed, cut, moved, of another object, or another key
     ├─ TermsError       a price table, contract or voucher that must not be signed or accepted
     ├─ ManifestError    bytes that are not a manifest, or one that asks for something dangerous
     ├─ LabelError       bytes that are not a label of this wallet's, or not all of one
     ├─ MessageError     another node's message that does not follow the protocol
     ├─ EvidenceError    an evidence bundle that is malformed or does not prove what it claims
     └─ TransitionError  an event that a contract in this state cannot have: a bug of ours, never the peer's

All but the last are about bytes and words of others. Every text is one line and holds no key.
"""

from __future__ import annotations


class StorageError(Exception):
    """Root of the tree above."""


class ShardError(StorageError):
    """Stored bytes are lost or changed."""


class SealError(ShardError):
    """A sealed segment, or a wrapped key, does not open."""


class TermsError(StorageError, ValueError):
    """Terms that must not be signed or accepted."""


class ManifestError(StorageError, ValueError):
    """Not a manifest, or one that must not be followed."""


class LabelError(StorageError, ValueError):
    """Not a label that this wallet has sealed, or not all of it."""


class MessageError(StorageError, ValueError):
    """Another node's message that does not follow the protocol."""


class EvidenceError(StorageError, ValueError):
    """An evidence bundle that is malformed or does not prove what it claims."""


class TransitionError(StorageError):
    """An event that the state of a contract does not allow. A local fault."""
