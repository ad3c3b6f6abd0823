"""How a host says no to another node, and why; and to its owner."""

from __future__ import annotations

from wallet.errors import WalletError


class WishError(WalletError):
    """The owner asks for what cannot be."""

    hint = "bttnode host contracts and bttnode host volumes show what is there"


class RefusedError(Exception):
    """The asker's fault, or the owner's wish. `code`: a word of the protocol; the text is shown to the asker.

    | code       | meaning                                                                     |
    |------------|-----------------------------------------------------------------------------|
    | closed     | this node rents out nothing now                                             |
    | market     | another market or chain than ours                                           |
    | sender     | the request is not from whom it must be                                     |
    | signature  | it is signed by nobody who may                                              |
    | terms      | the price table in force says otherwise: ask for a new one                  |
    | limit      | the owner takes no more of this                                             |
    | known      | the shard is here under another contract                                    |
    | cover      | what should be locked is not in the market                                  |
    | room       | no volume has room for it                                                   |
    | unknown    | no such contract here, or it has ended                                      |
    | early      | the contract has not begun, or its shard is not here yet                    |
    | late       | what was asked can not be done in time any more                             |
    | often      | asked more often than the price includes                                    |
    | unreadable | the shard cannot be read now                                                |
    | stale      | what was sent adds nothing to what is here                                  |
    """

    def __init__(self, code: str, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.hint = hint
