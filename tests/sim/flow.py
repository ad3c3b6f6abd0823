"""Who sends how many bytes to whom in one round.

Theory. Every edge has a demand; senders share their capacity equally over the edges that still want something
(water-filling, Bertsekas and Gallager, "Data Networks", 6.5), receivers that are offered more than their line takes
shrink all offers in proportion, and what that frees at the senders is offered again. A few passes leave next to
nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.sim.population import Ints

PASSES = 4


def shared(src: Ints, dst: Ints, demand: Ints, up: Ints, down: Ints) -> Ints:
    """Bytes per edge: at most `demand[e]`, at most `up[src]` in all per sender, at most `down[dst]` per receiver.

    `src`, `dst`, `demand` have one entry per edge that wants something, `up` and `down` (bytes left in this round) one
    per peer. Rounds down to whole bytes.
    """
    given = np.zeros(len(src), dtype=np.int64)
    up_left, down_left = up.astype(np.float64), down.astype(np.float64)
    for _ in range(PASSES):
        wanted = demand - given
        open_edges = np.flatnonzero((wanted > 0) & (up_left[src] >= 1) & (down_left[dst] >= 1))
        if not len(open_edges):
            break
        s, d = src[open_edges], dst[open_edges]
        count = np.bincount(s, minlength=len(up))
        offer = np.minimum(up_left[s] / count[s], wanted[open_edges])
        offered = _total(d, offer, len(down))
        offer *= np.minimum(1.0, down_left / np.maximum(offered, 1e-9))[d]
        whole = offer.astype(np.int64)
        given[open_edges] += whole
        up_left -= _total(s, whole, len(up))
        down_left -= _total(d, whole, len(down))
    return given


def _total(index: Ints, amount: NDArray[np.generic], size: int) -> NDArray[np.float64]:
    return np.bincount(index, weights=amount.astype(np.float64), minlength=size).astype(np.float64)
