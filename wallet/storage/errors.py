"""What can go wrong at the storage contracts beyond what any contract call meets (`wallet.chains.base`).

    ChainError
     ├─ WrongContractError   local    what stands at the configured address does not answer as our contract does
     └─ SeedLostError        local    the proof that was begun came too late

A contract that refuses is a `RevertedError`, whose `refusal` is the contract's own name for it; logs that the contract
cannot have written are a `ChainAnswerError`, their server's fault.
"""

from __future__ import annotations

from wallet.chains.base import ChainError


class WrongContractError(ChainError):
    """What stands at the configured address does not answer as our contract does."""

    hint = "check [rail] storage_market and host_registry"


class SeedLostError(ChainError):
    """The hash that chose the block can be read no more: the epoch can only be paid by a voucher now."""

    hint = "hand a proof in within 256 blocks of its begin; a voucher still pays the epoch"
