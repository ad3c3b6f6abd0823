"""Where a piece is asked for when a host's engine has moved since it signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.adversaries.storage.test_serving import days, kept, latest
from tests.unit.renter.ground import POLICY
from tests.unit.renter.kit import World


async def test_a_piece_is_asked_for_where_the_engine_is_now_and_nowhere_else(tmp_path: Path) -> None:
    """An engine keeps one port for an address: the old one beside the new one would take its place."""
    world = World(tmp_path, 6, policy=replace(POLICY, sampled=1000))
    _, rental, host = await kept(world, tmp_path)
    asked: list[tuple[str, ...]] = []
    sample = world.carrier.sample

    async def listening(root: bytes, length: int, piece: int, folder: Path, peers: Sequence[str], **rest: Any) -> bool:
        if root == rental.terms.root:
            asked.append(tuple(peers))
        return await sample(root, length, piece, folder, peers, **rest)

    world.carrier.sample = listening  # type: ignore[method-assign]  # only listens
    before = host.engine
    host.port += 1
    await days(world, 2)
    assert set(asked) == {(host.engine,)} != {(before,)}
    assert (await latest(world, rental)).missed == 0
