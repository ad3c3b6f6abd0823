"""GF(2^8) with the polynomial 0x11d, and the Cauchy code over it, from the definition: the reference for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def product(left: int, right: int) -> int:
    result = 0
    while right:
        if right & 1:
            result ^= left
        left = left << 1 ^ (0x11D if left & 0x80 else 0)
        right >>= 1
    return result


INVERSE = [0, *(next(b for b in range(1, 256) if product(a, b) == 1) for a in range(1, 256))]
PRODUCT = [bytes(product(factor, value) for value in range(256)) for factor in range(256)]
"""Row f, as a table for `bytes.translate`: every value times f."""


def row(k: int, number: int) -> list[int]:
    if number < k:
        return [int(place == number) for place in range(k)]
    return [INVERSE[number ^ place] for place in range(k)]


def combine(factors: Sequence[int], parts: Sequence[bytes]) -> bytes:
    total = 0
    for factor, part in zip(factors, parts, strict=True):
        total ^= int.from_bytes(part.translate(PRODUCT[factor]), "big")
    return total.to_bytes(len(parts[0]), "big")


def encode(k: int, n: int, stripe: bytes) -> list[bytes]:
    size = len(stripe) // k
    parts = [stripe[at * size : (at + 1) * size] for at in range(k)]
    return [combine(row(k, number), parts) for number in range(n)]


def decode(k: int, fragments: Mapping[int, bytes]) -> bytes:
    """Gauss–Jordan over the first k fragments."""
    numbers = list(fragments)[:k]
    rows = [row(k, number) for number in numbers]
    parts = [fragments[number] for number in numbers]
    for at in range(k):
        pivot = next(place for place in range(at, k) if rows[place][at])
        rows[at], rows[pivot] = rows[pivot], rows[at]
        parts[at], parts[pivot] = parts[pivot], parts[at]
        scale = INVERSE[rows[at][at]]
        rows[at] = [product(scale, value) for value in rows[at]]
        parts[at] = combine([scale], [parts[at]])
        for other in range(k):
            if other != at and rows[other][at]:
                factor = rows[other][at]
                rows[other] = [a ^ product(factor, b) for a, b in zip(rows[other], rows[at], strict=True)]
                parts[other] = combine([1, factor], [parts[other], parts[at]])
    return b"".join(parts)
