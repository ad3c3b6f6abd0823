"""What a TRON devnet is like: its id, its prices and who owns what at the beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from node.devnet.errors import BadRequestError
from node.devnet.tron.records import Asset

TRX = 10**6
"""Sun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TronSettings:
    """Prices as on the main network; amounts in sun, resources in their own units.

    `chain_id` is the last four bytes of the genesis block's id and what contracts see as `block.chainid`, unless
    `full_chain_id` shows them all 32 bytes of it, as nodes did before TIP-474. `allocation` opens accounts with sun,
    `assets` exist from the beginning and belong to their owners. The total weights say how much others have staked (in
    TRX), so that a stake gives about what it would give on the main network. `call_energy` bounds calls that cost
    nothing. `max_steps` is how many operations a transaction or call may take, where a main network's node looks at a
    clock.

    Raises `BadRequestError` for a price of nothing: energy limits are what a fee limit buys.
    """

    chain_id: int = 0x6274746E
    full_chain_id: bool = False
    energy_price: int = 100
    bandwidth_price: int = 1_000
    free_bandwidth: int = 600
    max_fee_limit: int = 15_000 * TRX
    memo_fee: int = TRX
    create_account_fee: int = TRX
    create_account_bandwidth_fee: int = TRX // 10
    asset_issue_fee: int = 1_024 * TRX
    unstake_days: int = 14
    total_bandwidth: int = 43_200_000_000
    total_bandwidth_weight: int = 27_000_000_000
    total_energy: int = 180_000_000_000
    total_energy_weight: int = 19_000_000_000
    call_energy: int = 100_000_000
    max_steps: int = 3_000_000
    confirmations: int = 1
    allocation: Mapping[bytes, int] = field(default_factory=dict)
    assets: Sequence[Asset] = ()

    def __post_init__(self) -> None:
        if self.energy_price < 1:
            raise BadRequestError("energy costs at least one sun")
