"""Contracts that are part of the TVM.

As Ethereum's at Istanbul, except: 3 is not RIPEMD-160 but sha256 of the first 20 bytes of sha256, and Ethereum's own 3
is found at 0x20003. Left out are TRON's 9 and 10 (checks of many signatures), Blake2 at 0x20009 and the shielded ones:
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
}

SLOWNESS: Mapping[Address, int] = {_at(8): 10}
"""How much longer than other code it takes per energy, where it does: pairings are pure Python here."""
