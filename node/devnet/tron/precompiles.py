"""Contracts that are part of the TVM.

As Ethereum's at Istanbul, except: 3 is not RIPEMD-160 but sha256 of the first 20 bytes of sha256, and Ethereum's own 3
and 9 are found at 0x20003 and 0x20009. TRON's 9 and 10 (checks of many signatures) and the shielded ones are left out:
calls to them find an account without code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from eth.abc import ComputationAPI
from eth.vm.forks.istanbul.computation import ISTANBUL_PRECOMPILES
from eth_typing import Address

Precompile = Callable[[ComputationAPI], Any]

_RIPEMD_BASE, _RIPEMD_WORD = 600, 120
_BLAKE2F = 9


def _tron_ripemd160(computation: ComputationAPI) -> None:
    data = computation.msg.data_as_bytes
    computation.consume_gas(_RIPEMD_BASE + _RIPEMD_WORD * ((len(data) + 31) // 32), "ripemd160")
    computation.output = hashlib.sha256(hashlib.sha256(data).digest()[:20]).digest()


def _at(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


PRECOMPILES: Mapping[Address, Precompile] = {
    **{_at(number): ISTANBUL_PRECOMPILES[_at(number)] for number in (1, 2, 4, 5, 6, 7, 8)},
    _at(3): _tron_ripemd160,
    _at(0x20003): ISTANBUL_PRECOMPILES[_at(3)],
    _at(0x20009): ISTANBUL_PRECOMPILES[_at(_BLAKE2F)],
}
