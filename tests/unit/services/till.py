"""A seller with a settlement, a watcher and a real store, on a chain in memory; its payers; and time that only waiting
moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from node.ports.store import ReceivedCheque
from node.services.earnings import Earnings, Figures, RailEarnings
from node.services.notices import Watcher
from node.services.settlement import Settlement, SettlementSettings
from node.services.vault import VaultView
from node.store import SqlStore, open_store
from wallet.address import Address
from wallet.chains.base import Call, Receipt
from wallet.chains.fake import CALL_GAS, FakeChain
from wallet.chains.fake_tron import FakeTronChain
from wallet.cheque import Cheque, SignedCheque, sign_cheque
from wallet.keys import PrivateKey
from wallet.outbox import Outbox

KEY = PrivateKey(b"\x46" * 32)
ME = KEY.address
FINALITY = 2
FEE = CALL_GAS * 1000
"""What any call costs here, in native units."""
CHEAP = FEE * 100
"""A payout of which the fee is just 1 %."""
AMPLE = CHEAP * 1000


def payer(number: int = 1) -> PrivateKey:
    return PrivateKey(number.to_bytes(32, "big"))


async def _nothing() -> None:
    """Nobody else looks."""


class Till:
    """`open` it first; `restart` forgets everything that is not in the store."""

    def __init__(
        self,
        folder: Path,
        *,
        chain: FakeChain | FakeTronChain | None = None,
        settings: SettlementSettings | None = None,
    ):
        self.folder = folder
        self.chain: FakeChain | FakeTronChain = chain or FakeChain(finality=FINALITY)
        self.settings = settings or SettlementSettings()
        self.now = 1_000_000.0
        self.after_block: Callable[[], Awaitable[None]] = _nothing
        self._waiting: asyncio.Queue[None] = asyncio.Queue()
        self.chain.fund(ME, native=10**18)

    async def open(self) -> Till:
        self.store: SqlStore = await open_store(self.folder / "node.db", None)
        self.restart()
        return self

    async def close(self) -> None:
        await self.store.close()

    def restart(self) -> None:
        outbox = Outbox(
            self.store, self.chain, KEY, wall=self.wall, clock=lambda: self.now, sleep=self._sleep, poll=1.0
        )
        self.vault = VaultView({self.rail: self.chain}, store=self.store, own=ME, now=lambda: self.now)
        self.settlement = Settlement(
            self.settings,
            store=self.store,
            intents=self.store,
            chain=self.chain,
            key=KEY,
            wall=self.wall,
            wait=self._wait,
            outbox=outbox,
        )
        self.watcher = Watcher(
            self.chain, store=self.store, vault=self.vault, settlement=self.settlement, own=ME, wait=self._wait
        )
        self.earnings = Earnings(self.store, own=ME, watchers={self.rail: self.watcher})

    def set(self, *, fee_rate: Fraction | None = None, fee_permille: int = 10) -> None:
        self.settings = replace(self.settings, fee_rate=fee_rate, fee_permille=fee_permille)
        self.restart()

    @property
    def rail(self) -> str:
        return self.chain.rail.id

    def wall(self) -> int:
        return int(self.now)

    async def _sleep(self, seconds: float) -> None:
        """A block comes while somebody waits."""
        self.now += seconds
        self.chain.mine()
        await self.after_block()

    async def _wait(self, woken: asyncio.Event) -> None:
        self._waiting.put_nowait(None)
        await woken.wait()

    async def round_ended(self) -> None:
        """What runs has done its round and waits."""
        await asyncio.wait_for(self._waiting.get(), 10)

    # --- what others do ----------------------------------------------------------------------------------------------

    async def act(self, key: PrivateKey, call: Call) -> Receipt:
        """A transaction of somebody, in the next block."""
        self.chain.fund(key.address, native=10**18)
        nonce = await self.chain.next_nonce(key.address)
        fee = await self.chain.estimate(call, key.address)
        signed = self.chain.sign(await self.chain.prepare(call, key.address, nonce, fee), key)
        await self.chain.broadcast(signed)
        self.chain.mine()
        receipt = await self.chain.receipt(signed.hash)
        assert receipt is not None
        return receipt

    async def deposit(self, key: PrivateKey, amount: int) -> None:
        self.chain.fund(key.address, token=amount)
        await self.act(key, self.chain.approve(amount))
        await self.act(key, self.chain.deposit(amount))

    async def hold(self, key: PrivateKey, cumulative: int) -> SignedCheque:
        """The payer has signed this much to us."""
        signed = sign_cheque(self.chain.rail, Cheque(key.address, ME, cumulative), key)
        await self.store.receive_cheque(
            ReceivedCheque(
                rail=self.rail,
                payer=key.address,
                payee=ME,
                cumulative=cumulative,
                signature=signed.signature,
                updated_at=self.wall(),
            )
        )
        return signed

    async def covered(self, cumulative: int, *, deposit: int = AMPLE, number: int = 1) -> PrivateKey:
        """A payer with a deposit and a cheque."""
        key = payer(number)
        await self.deposit(key, deposit)
        await self.hold(key, cumulative)
        return key

    # --- what we see -------------------------------------------------------------------------------------------------

    async def earned(self) -> RailEarnings:
        (report,) = await self.earnings.report()
        return report

    async def figures(self) -> Figures:
        return (await self.earned()).figures

    async def sent(self) -> int:
        """How many transactions of ours are in blocks."""
        return await self.chain.next_nonce(ME)

    async def tokens(self, owner: Address = ME) -> int:
        return await self.chain.token_balance(owner)
