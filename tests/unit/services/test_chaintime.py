"""Contracts on a devnet run by its clock, which can be moved on."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from node.services.chaintime import ChainTime
from wallet.chains.base import Block, ChainUnreachableError


class Hands:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.at = 1_000

    def now(self) -> float:
        return float(self.at)

    def wall(self) -> int:
        return self.at


def test_a_chain_that_is_ahead_moves_both_clocks_on() -> None:
    machine = Hands()
    clock = ChainTime(machine)
    clock.observe(1_000 + 86_400)
    assert (clock.now(), clock.wall()) == (87_400.0, 87_400)


def test_time_goes_on_between_blocks_and_never_back() -> None:
    machine = Hands()
    clock = ChainTime(machine)
    clock.observe(2_000)
    machine.at += 60
    clock.observe(2_000)  # still the newest block
    assert clock.wall() == 2_060
    clock.observe(100)
    assert clock.wall() == 2_060


async def test_a_chain_that_is_down_does_not_hold_up_the_others() -> None:
    heard = asyncio.Event()

    class Down:
        async def head(self) -> Block:
            raise ChainUnreachableError("it is down")

    class Up:
        async def head(self) -> Block:
            heard.set()
            return Block(1, b"\1" * 32, 5_000)

    clock = ChainTime(Hands(), [Down(), Up()])
    following = asyncio.create_task(clock.follow())
    await asyncio.wait_for(heard.wait(), 5)
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    assert clock.wall() == 5_000


async def test_one_look_is_enough_to_be_where_the_chain_is() -> None:
    class Ahead:
        async def head(self) -> Block:
            return Block(1, b"\1" * 32, 90_000)

    clock = ChainTime(Hands(), [Ahead()])
    await clock.look()
    assert clock.wall() == 90_000
