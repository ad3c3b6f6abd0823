"""A sender with an outbox on a chain in memory, and a clock that only the test moves."""

from __future__ import annotations

from wallet.address import Address
from wallet.chains.base import Call
from wallet.chains.fake import FakeChain
from wallet.chains.fake_tron import FakeTronChain
from wallet.keys import PrivateKey
from wallet.outbox import Intent, MemoryOutboxStore, Outbox, OutboxStore

KEY = PrivateKey(b"\x46" * 32)
ME = KEY.address
FINALITY = 3
LIFE = 61
"""Seconds after which every transaction has expired, where they do."""


class Desk:
    """`restart` forgets all that an outbox keeps in memory."""

    def __init__(
        self, kind: type[FakeChain | FakeTronChain] = FakeChain, store: MemoryOutboxStore | None = None
    ) -> None:
        self.chain = kind(finality=FINALITY)
        self.chain.fund(ME, native=10**18, token=1000)
        self.store: OutboxStore = store or MemoryOutboxStore()
        self.now = 0.0
        self.slept: list[float] = []
        self.restart()

    def restart(self) -> None:
        self.outbox = Outbox(
            self.store, self.chain, KEY, wall=lambda: int(self.now), clock=lambda: self.now, sleep=self._sleep, poll=1.0
        )

    async def _sleep(self, seconds: float) -> None:
        """A block comes while somebody waits."""
        self.slept.append(seconds)
        self.now += seconds
        self.chain.mine()

    def wait(self, seconds: float) -> None:
        """Time passes for everybody; the next block tells the chain."""
        self.now += seconds
        self.chain.pass_time(int(seconds))

    def pay(self, number: int) -> Call:
        """A call whose effect shows in the balance of an account of its own: so many units, of tokens if it is even."""
        send = self.chain.transfer_native if number % 2 else self.chain.transfer_token
        return send(payee(number), number)

    async def submit(self, number: int = 1, *, after: int | None = None) -> Intent:
        return await self.outbox.submit(name(number), self.pay(number), after=None if after is None else name(after))

    async def advance(self, number: int = 1) -> Intent:
        intent, _ = await self.outbox.advance(await self.submit(number))
        return intent

    async def finish(self, number: int = 1) -> Intent:
        intent, _ = await self.outbox.finish(await self.submit(number), deadline=600)
        return intent

    async def cancel(self, number: int = 1) -> Intent:
        return await self.outbox.cancel(await self.submit(number))

    async def paid(self, number: int = 1) -> int:
        owner = payee(number)
        return await self.chain.native_balance(owner) + await self.chain.token_balance(owner)


def name(number: int) -> str:
    return f"pay {number}"


def payee(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))
