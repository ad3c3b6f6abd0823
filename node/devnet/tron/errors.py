"""How a TVM run fails where py-evm has no name for it. They never leave `tvm`: an outcome says what happened."""

from __future__ import annotations

from eth.exceptions import VMError


class OutOfTimeError(VMError):
    """The transaction took too many steps."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"CPU timeout for '{operation}' operation executing")


class OutOfMemoryError(VMError):
    """More than 3 MiB of memory were wanted."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"Out of Memory when '{operation}' operation executing")


class InvalidCodeError(VMError):
    """A new contract's code begins with 0xef (EIP-3541)."""


class TransferFailedError(VMError):
    """Coins or tokens could not move. The outermost message keeps its energy; an inner one's is gone all the same."""

    burns_gas = False
