"""The erasure code's arithmetic: Intel's ISA-L, the library that pyeclib brings along for its `isa_l_rs_cauchy`.

pyeclib itself takes nine tenths of the time of an encoding to allocate and copy fragments, and holds the interpreter's
lock meanwhile. Called directly, ISA-L works in the caller's buffers, and ctypes lets the lock go: the same bytes, at
the speed of the arithmetic.

Matrices are rows of k bytes in GF(2^8), one after the other, as ISA-L has them (isa-l/erasure_code.h).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from pyeclib.ec_iface import ECDriver

Buffer = bytes | bytearray | memoryview
_NAMES = ("libisal-pyeclib.so.2", "libisal.so.2")
"""In pyeclib's wheel, and where pyeclib was built over the system's library."""
_TABLE = 32
"""Bytes of a factor's table."""


def _load() -> ctypes.CDLL:
    driver = ECDriver(k=1, m=1, ec_type="isa_l_rs_cauchy")
    # As long as that one lives the library is loaded, and is found by its name wherever it lies.
    for name in _NAMES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise ImportError(f"{driver} works with another ISA-L than {' or '.join(_NAMES)}")


_isal = _load()
_isal.gf_gen_cauchy1_matrix.argtypes = (ctypes.c_char_p, ctypes.c_int, ctypes.c_int)
_isal.gf_gen_cauchy1_matrix.restype = None
_isal.gf_invert_matrix.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int)
_isal.gf_invert_matrix.restype = ctypes.c_int
_isal.ec_init_tables.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p)
_isal.ec_init_tables.restype = None
_isal.ec_encode_data.argtypes = (
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(ctypes.c_void_p),
)
_isal.ec_encode_data.restype = None


def cauchy(k: int, n: int) -> list[bytes]:
    """The n rows of the code: the identity above 1 / (i ⊕ j)."""
    matrix = ctypes.create_string_buffer(n * k)
    _isal.gf_gen_cauchy1_matrix(matrix, n, k)
    return [matrix.raw[at : at + k] for at in range(0, n * k, k)]


def inverse(rows: Sequence[bytes]) -> list[bytes]:
    """Of a square matrix. Raises `ValueError` for one that has none."""
    k = len(rows)
    given, made = ctypes.create_string_buffer(b"".join(rows), k * k), ctypes.create_string_buffer(k * k)
    if _isal.gf_invert_matrix(given, made, k) != 0:
        raise ValueError("a matrix without inverse")
    return [made.raw[at : at + k] for at in range(0, k * k, k)]


class Combination:
    """Sums of k buffers, each times a factor: a sum for every row. Safe in several threads."""

    def __init__(self, rows: Sequence[bytes]) -> None:
        self._k, self._count = len(rows[0]), len(rows)
        self._tables = ctypes.create_string_buffer(_TABLE * self._k * self._count)
        _isal.ec_init_tables(self._k, self._count, b"".join(rows), self._tables)

    def into(self, targets: Sequence[bytearray | memoryview], sources: Sequence[Buffer]) -> None:
        """Fill the targets, one for each row, from k sources; all have one length. Raises `ValueError` otherwise."""
        length = len(targets[0])
        if (len(targets), len(sources)) != (self._count, self._k):
            raise ValueError(f"{len(sources)} to {len(targets)} buffers, not {self._k} to {self._count}")
        if any(len(buffer) != length for buffer in (*targets, *sources)):
            raise ValueError("buffers of several lengths")
        given = [_pinned(source) for source in sources]
        made = [ctypes.c_char.from_buffer(target) for target in targets]
        _isal.ec_encode_data(length, self._k, self._count, self._tables, _addresses(given), _addresses(made))


_Pinned = ctypes.c_char | ctypes.c_char_p


def _pinned(buffer: Buffer) -> _Pinned:
    """What keeps a buffer in its place; one that can only be read and is no `bytes` is copied."""
    if isinstance(buffer, bytearray) or (isinstance(buffer, memoryview) and not buffer.readonly):
        return ctypes.c_char.from_buffer(buffer)
    return ctypes.c_char_p(bytes(buffer))


def _addresses(pinned: Sequence[_Pinned]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(pinned))(
        *(
            ctypes.cast(each, ctypes.c_void_p).value if isinstance(each, ctypes.c_char_p) else ctypes.addressof(each)
            for each in pinned
        )
    )
