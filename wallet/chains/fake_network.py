"""A network in memory that keeps the port's promises, for tests and simulations: no sockets, no waiting, no real time.

What all chains have in common: a world, blocks, a pool of transactions that wait for one, receipts, finality. What
keeps a transaction from taking effect twice, and what it costs, is each chain's own: `wallet.chains.fake` (nonces and
gas), `wallet.chains.fake_tron` (expiry, energy and bandwidth).

Blocks come only when `mine` is called (or with each broadcast, `automine`), time passes only with blocks and by
`pass_time`. `reorg` takes blocks back; what was in them waits again, or is forgotten by everybody. `hook` is called
with the name of each question before it is answered, and with "broadcast done" after a broadcast took effect; what it
raises is what the caller sees, so that a test can let any question fail, before or after its effect.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from wallet.address import Address
from wallet.amount import Token, format_amount
from wallet.chains import abi
from wallet.chains.assets import Asset, AssetKind, TokenTransfer
from wallet.chains.base import (
    Authorisation,
    Block,
    Call,
    ChainError,
    Fee,
    FeeTooHighError,
    InsufficientFundsError,
    PayerState,
    Receipt,
    RevertedError,
    SignedTx,
    UnsignedTx,
    VaultLog,
)
from wallet.chains.calls import VaultCalls
from wallet.chains.fake_vault import TOKEN_ADDRESS, Machine, RefusedError, World, view
from wallet.chains.reading import FoundLog, Topics
from wallet.cheque import Rail
from wallet.keys import keccak256

GENESIS_TIME = 1_700_000_000
DAY = 86_400

VAULT_ADDRESS = Address(b"\x11" * 20)


class FakeTx(Protocol):
    """What every chain can read out of raw bytes."""

    @property
    def hash(self) -> bytes: ...

    @property
    def sender(self) -> Address: ...

    @property
    def to(self) -> Address: ...

    @property
    def value(self) -> int: ...

    @property
    def data(self) -> bytes: ...


T = TypeVar("T", bound=FakeTx)


@dataclass(frozen=True, slots=True)
class Charge:
    """What a transaction has to pay, whatever becomes of it. `covered` False: its work was cut short by its own bound,
    and undone."""

    used: int
    paid: int
    covered: bool = True


@dataclass(slots=True)
class Mined(Generic[T]):
    """A block, the world after it, and what became of its transactions."""

    block: Block
    world: World
    transactions: list[T] = field(default_factory=list)
    receipts: dict[bytes, Receipt] = field(default_factory=dict)
    transfers: list[TokenTransfer] = field(default_factory=list)


class FakeNetwork(VaultCalls, ABC, Generic[T]):
    """The part of `wallet.chains.base.ChainAdapter` that is the same on every chain."""

    expires: bool

    def __init__(
        self, rail: Rail, native: Token, *, finality: int, notice_period: int, block_time: int, max_fee: int | None
    ) -> None:
        super().__init__(rail, native, TOKEN_ADDRESS)
        self.finality = finality
        self.max_fee = max_fee
        self.price = 1000
        """Native units per unit of work that the network asks for now."""
        self.automine = False
        self.lag = 0
        """Blocks by which the server that tells of receipts is behind the others."""
        self.hasty = False
        """A server takes what it does not know for void."""
        self.hook: Callable[[str], None] = lambda question: None
        self._block_time = block_time
        self._wait = 0
        self._salt = 0
        self._chain = [Mined[T](Block(0, keccak256(b"genesis"), GENESIS_TIME), World(self.rail, notice_period))]
        self._pool: dict[bytes, T] = {}

    # --- the rules of one chain --------------------------------------------------------------------------------------

    @abstractmethod
    def _read(self, raw: bytes) -> T: ...

    @abstractmethod
    def _admit(self, tx: T) -> None:
        """Take it into the pool, or raise the node's refusal."""

    @abstractmethod
    def _fits(self, tx: T, mined: Mined[T]) -> bool:
        """Whether it may be the next transaction of this block."""

    @abstractmethod
    def _lives(self, tx: T, mined: Mined[T]) -> bool:
        """Whether it may still get into a block after this one."""

    @abstractmethod
    def _excluded(self, tx: UnsignedTx) -> bool:
        """Whether the final part of the chain keeps it out of all blocks to come."""

    @abstractmethod
    def _charge(self, tx: T) -> Charge: ...

    # --- the network -------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """The time of the next block."""
        return self._chain[-1].block.timestamp + self._block_time + self._wait

    def fund(self, owner: Address, *, native: int = 0, token: int = 0) -> None:
        """Give coins out of nothing, in the latest block."""
        self._world.native[owner] += native
        self._world.tokens[owner] += token

    def pass_time(self, seconds: int) -> None:
        """The next block comes so much later."""
        self._wait += seconds

    def mine(self, blocks: int = 1) -> None:
        """Blocks; the first takes everything that can go in."""
        for _ in range(blocks):
            parent = self._chain[-1]
            self._salt += 1
            name = keccak256(parent.block.hash + self._salt.to_bytes(8, "big"))
            mined = Mined[T](Block(parent.block.number + 1, name, self.now), parent.world.copy())
            self._wait = 0
            self._chain.append(mined)
            while tx := next((t for t in self._pool.values() if self._fits(t, mined)), None):
                del self._pool[tx.hash]
                mined.transactions.append(tx)
                mined.receipts[tx.hash] = self._execute(mined, tx)
            self._pool = {key: tx for key, tx in self._pool.items() if self._lives(tx, mined)}

    def reorg(self, depth: int, *, forget: bool = False) -> None:
        """Take the last blocks back. Their transactions wait again, or nobody remembers them."""
        for _ in range(min(depth, len(self._chain) - 1)):
            taken = self._chain.pop()
            if not forget:
                self._pool.update({tx.hash: tx for tx in taken.transactions})

    def forget_pending(self) -> None:
        """The network drops what waits for a block."""
        self._pool.clear()

    def known(self) -> Sequence[T]:
        """Everything in a block or waiting for one."""
        return [*(tx for mined in self._chain for tx in mined.transactions), *self._pool.values()]

    @property
    def _world(self) -> World:
        return self._chain[-1].world

    @property
    def _final(self) -> Mined[T]:
        """The latest block that will stay."""
        return self._chain[max(0, len(self._chain) - 1 - self.finality)]

    def _execute(self, mined: Mined[T], tx: T) -> Receipt:
        charge = self._charge(tx)
        mined.world.nonces[tx.sender] += 1
        mined.world.native[tx.sender] -= charge.paid
        before = mined.world
        machine = Machine(before.copy(), tx.sender, mined.block.timestamp)
        try:
            self._run(machine, tx.to, tx.data, tx.value)
        except RefusedError:
            pass  # undone, but for the fee
        else:
            if charge.covered:
                mined.world = machine.world
                mined.transfers += [TokenTransfer(*move, mined.block.number, tx.hash) for move in machine.moves]
        ok = mined.world is not before
        where = (mined.block.number, mined.block.hash)
        receipt = Receipt(tx.hash, ok, *where, charge.used, charge.paid)
        return replace(receipt, events=tuple(machine.events), logs=tuple(machine.logs)) if ok else receipt

    def _run(self, machine: Machine, to: Address, data: bytes, value: int) -> None:
        if machine.world.native[machine.sender] < value:
            raise RefusedError("Panic", 0)
        machine.world.native[machine.sender] -= value
        machine.world.native[to] += value
        if to == self.rail.vault:
            machine.vault(data)
        elif to == self.token:
            machine.token(data)

    # --- reading -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self.hook("start")

    async def close(self) -> None:
        """Nothing is open."""

    async def head(self) -> Block:
        self.hook("head")
        return self._chain[-1].block

    async def final(self, number: int | None = None) -> Block:
        self.hook("final")
        newest = max(0, self._chain[-1].block.number - self.finality)
        return self._chain[newest if number is None else min(number, newest)].block

    async def balance(self, asset: Asset, owner: Address) -> int:
        self.hook("balance")
        if asset.kind is AssetKind.NATIVE:
            return self._world.native[owner]
        return self._world.tokens[owner] if asset.contract == self.token else 0

    async def transfers(self, asset: Asset, owner: Address, first: int, last: int) -> Sequence[TokenTransfer]:
        self.hook("transfers")
        if asset.contract is None:
            raise ValueError(f"the chain keeps no list of {asset.token.symbol} transfers")
        return [
            transfer
            for mined in self._chain[max(0, first) : last + 1]
            for transfer in mined.transfers
            if owner in (transfer.source, transfer.to) and asset.contract == self.token
        ]

    async def native_balance(self, owner: Address) -> int:
        self.hook("native_balance")
        return self._world.native[owner]

    async def token_balance(self, owner: Address) -> int:
        self.hook("token_balance")
        return self._world.tokens[owner]

    async def allowance(self, owner: Address) -> int:
        self.hook("allowance")
        return self._world.allowances[owner]

    async def payer_state(self, payer: Address) -> PayerState:
        self.hook("payer_state")
        account, notice = self._world.accounts[payer], self._world.notices[payer]
        return PayerState(account.balance, account.locked, notice.amount, notice.ready_at)

    async def paid_out(self, payer: Address, payee: Address) -> int:
        self.hook("paid_out")
        return self._world.tabs[payer, payee].paid_out

    async def available(self, payer: Address, payee: Address) -> int:
        self.hook("available")
        account = self._world.accounts[payer]
        return account.balance - account.locked + self._world.tabs[payer, payee].locked

    async def authorised(self, payer: Address, hot_key: Address) -> Authorisation:
        self.hook("authorised")
        key = self._world.hot_keys[payer, hot_key]
        return Authorisation(key.cap, key.moved)

    async def events(self, first: int, last: int) -> Sequence[VaultLog]:
        self.hook("events")
        return [
            VaultLog(event, mined.block.number, mined.block.hash, receipt.hash)
            for mined in self._chain[max(0, first) : last + 1]
            for receipt in mined.receipts.values()
            for event in receipt.events
        ]

    async def ask(self, contract: Address, *requests: bytes) -> Sequence[bytes]:
        self.hook("ask")
        if contract not in (self.rail.vault, self.token):
            raise ChainError(f"there is no contract at {self.name(contract)} on {self.rail.id}")
        name = abi.VAULT if contract == self.rail.vault else abi.TOKEN
        try:
            return [view(self._world, name, request) for request in requests]
        except RefusedError as error:
            raise abi.refusal(error.data) from None

    async def logs(self, contract: Address, first: int, last: int, topics: Topics = ()) -> Sequence[FoundLog]:
        self.hook("logs")
        return [
            FoundLog(log, mined.block.number, mined.block.hash, receipt.hash)
            for mined in self._chain[max(0, first) : last + 1]
            for receipt in mined.receipts.values()
            for log in receipt.logs
            if log.matches(contract, topics)
        ]

    # --- writing -----------------------------------------------------------------------------------------------------

    async def estimate(self, call: Call, sender: Address) -> Fee:
        self.hook("estimate")
        self._try(self._chain[-1], call, sender)
        fee = self._bounded(self._fee(call, sender))
        self._check_funds(sender, fee.total + call.value)
        return fee

    @abstractmethod
    def _fee(self, call: Call, sender: Address) -> Fee: ...

    @abstractmethod
    async def next_nonce(self, sender: Address) -> int: ...

    async def broadcast(self, signed: SignedTx) -> None:
        self.hook("broadcast")
        tx = self._read(signed.raw)
        if tx.hash not in self._pool and self._find(tx.hash) is None:
            self._admit(tx)
        if self.automine:
            self.mine()
        self.hook("broadcast done")

    async def receipt(self, transaction: bytes) -> Receipt | None:
        self.hook("receipt")
        found = self._find(transaction)
        return None if found is not None and found.block > self._chain[-1].block.number - self.lag else found

    async def is_final(self, receipt: Receipt) -> bool:
        self.hook("is_final")
        top = self._chain[-1].block.number
        return top - receipt.block >= self.finality and self._chain[receipt.block].block.hash == receipt.block_hash

    async def is_void(self, signed: SignedTx) -> bool:
        self.hook("is_void")
        return self._find(signed.hash) is None and (self.hasty or self._excluded(signed.tx))

    async def why_reverted(self, tx: UnsignedTx, receipt: Receipt) -> str:
        self.hook("why_reverted")
        try:
            self._try(self._chain[receipt.block - 1], tx.call, tx.sender)
        except RevertedError as error:
            return str(error)
        return "the contract refused it"

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _check_funds(self, sender: Address, needed: int) -> None:
        held = self._world.native[sender]
        if held < needed:
            amounts = (format_amount(held, self.native), format_amount(needed, self.native))
            raise InsufficientFundsError(
                f"{self.name(sender)} holds {amounts[0]}; amount and fee take up to {amounts[1]}"
            )

    def _try(self, at: Mined[T], call: Call, sender: Address) -> None:
        machine = Machine(at.world.copy(), sender, self.now)
        try:
            self._run(machine, call.to, call.data, call.value)
        except RefusedError as error:
            raise abi.refusal(error.data) from None

    def _find(self, transaction: bytes) -> Receipt | None:
        found = (mined.receipts.get(transaction) for mined in reversed(self._chain))
        return next((receipt for receipt in found if receipt is not None), None)

    def _bounded(self, fee: Fee) -> Fee:
        if self.max_fee is not None and fee.total > self.max_fee:
            raise FeeTooHighError(f"the fee of up to {fee.total} units is above your bound of {self.max_fee}")
        return fee
