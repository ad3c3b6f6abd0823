"""A sender with an outbox on the chain in memory, and a clock that only the test moves."""

from __future__ import annotations

from wallet.address import Address
from wallet.chains.base import Call
from wallet.chains.fake import FakeChain
from wallet.keys import PrivateKey
from wallet.outbox import Intent, MemoryOutboxStore, Outbox, OutboxStore

KEY = PrivateKey(b"\x46" * 32)
ME = KEY.address
FINALITY = 3


class Desk:
    """`restart` forgets all that an outbox keeps in memory."""

    def __init__(self, store: OutboxStore | None = None) -> None:
        self.chain = FakeChain(finality=FINALITY)
        self.chain.fund(ME, native=10**18, token=1000)
        self.store = store or MemoryOutboxStore()
        self.now = 0.0
        self.slept: list[float] = []
        self.broadcasts: list[bytes] = []
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

    def pay(self, number: int) -> Call:
        """A call whose effect shows in the balance of an account of its own: `number` units."""
        return self.chain.transfer_native(payee(number), number)

    async def submit(self, number: int = 1) -> Intent:
        return await self.outbox.submit(f"pay {number}", self.pay(number))

    async def advance(self, number: int = 1) -> Intent:
        intent, _ = await self.outbox.advance(await self.submit(number))
        return intent

    async def paid(self, number: int = 1) -> int:
        return await self.chain.native_balance(payee(number))


def payee(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))
