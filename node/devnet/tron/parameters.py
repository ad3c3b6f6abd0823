"""The chain's parameters under the names java-tron gives them."""

from __future__ import annotations

from collections.abc import Mapping

from node.devnet.tron.settings import TronSettings

_ACTIVE = (
    "AllowCreationOfContracts",
    "AllowDelegateResource",
    "AllowMultiSign",
    "AllowSameTokenName",
    "AllowTvmCompatibleEvm",
    "AllowTvmConstantinople",
    "AllowTvmIstanbul",
    "AllowTvmLondon",
    "AllowTvmShangHai",
    "AllowTvmSolidity059",
    "AllowTvmTransferTrc10",
    "AllowHigherLimitForMaxCpuTimeOfOneTx",
    "AllowOptimizedReturnValueOfChainId",
    "AllowEnergyAdjustment",
    "ForbidTransferToContract",
)
"""Proposals whose rules hold here."""
_INACTIVE = ("AllowDynamicEnergy", "AllowTvmCancun", "AllowTvmFreeze", "AllowTvmVote")


def chain_parameters(settings: TronSettings) -> Mapping[str, int]:
    return {
        "getCreateAccountFee": settings.create_account_bandwidth_fee,
        "getCreateNewAccountFeeInSystemContract": settings.create_account_fee,
        "getCreateNewAccountBandwidthRate": 1,
        "getTransactionFee": settings.bandwidth_price,
        "getAssetIssueFee": settings.asset_issue_fee,
        "getEnergyFee": settings.energy_price,
        "getMaxFeeLimit": settings.max_fee_limit,
        "getMemoFee": settings.memo_fee,
        "getFreeNetLimit": settings.free_bandwidth,
        "getTotalNetLimit": settings.total_bandwidth,
        "getTotalEnergyLimit": settings.total_energy,
        "getTotalEnergyCurrentLimit": settings.total_energy,
        "getUnfreezeDelayDays": settings.unstake_days,
        "getMaxCpuTimeOfOneTx": 80,
        **{f"get{name}": 1 for name in _ACTIVE},
        **{f"get{name}": 0 for name in _INACTIVE},
    }
