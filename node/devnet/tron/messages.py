"""What runs in the TVM and what all its parts share."""

from __future__ import annotations

from eth.vm.message import Message
from eth.vm.transaction_context import BaseTransactionContext
from eth_typing import Address


class TronMessage(Message):
    """One call or creation. `token_value` of TRC-10 `token` move from the sender along with `value` sun."""

    __slots__ = ("token", "token_value")

    def __init__(self, *, token: int = 0, token_value: int = 0, **fields: object) -> None:
        super().__init__(**fields)  # type: ignore[arg-type]  # py-evm checks them one by one
        self.token = token
        self.token_value = token_value


class TronContext(BaseTransactionContext):
    """What all messages of one transaction share: its id, its internal nonce, and the steps it may still take."""

    __slots__ = ("internal_nonce", "steps", "transaction_id")

    def __init__(self, origin: bytes, transaction_id: bytes, steps: int) -> None:
        super().__init__(gas_price=0, origin=Address(origin))
        self.transaction_id = transaction_id
        self.internal_nonce = 0
        self.steps = steps
