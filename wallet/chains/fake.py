"""A chain in memory that keeps the port's promises, for tests and simulations: no sockets, no waiting, no real time.

Blocks come only when `mine` is called (or with each broadcast, `automine`), time passes only with blocks and by
`pass_time`. `reorg` takes blocks back; what was in them waits again, or is forgotten by everybody. `hook` is called
with the name of each question before it is answered, and with "broadcast done" after a broadcast took effect; what it
raises is what the caller sees, so that a test can let any question fail, before or after its effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from wallet.address import Address
from wallet.amount import BTT, Token
from wallet.chains import abi
from wallet.chains.assets import Asset, AssetKind, TokenTransfer
from wallet.chains.base import (
    Authorisation,
    Block,
    Call,
    Fee,
    FeeTooHighError,
    InsufficientFundsError,
    NonceError,
    PayerState,
    Receipt,
    RevertedError,
    SignedTx,
    UnderpricedError,
    UnsignedTx,
    VaultLog,
)
from wallet.chains.calls import VaultCalls
from wallet.chains.fake_vault import Machine, RefusedError, World
from wallet.chains.legacy import LegacyTx, read_legacy, sign_legacy
from wallet.cheque import Rail
from wallet.keys import PrivateKey, keccak256

GENESIS_TIME = 1_700_000_000
DAY = 86_400
TRANSFER_GAS, CALL_GAS = 21_000, 100_000
BUMP_PERCENT = 110
"""A replacement must offer at least this much of the price it replaces."""

VAULT_ADDRESS = Address(b"\x11" * 20)
TOKEN_ADDRESS = Address(b"\x22" * 20)


@dataclass(slots=True)
class _Mined:
    """A block, the world after it, and what became of its transactions."""

    block: Block
    world: World
    transactions: list[LegacyTx] = field(default_factory=list)
    receipts: dict[bytes, Receipt] = field(default_factory=dict)
    transfers: list[TokenTransfer] = field(default_factory=list)


class FakeChain(VaultCalls):
    """Implements `wallet.chains.base.ChainAdapter`."""

    expires = False

    def __init__(
        self,
        *,
        chain_id: int = 199,
        token: Token = BTT,
        finality: int = 2,
        notice_period: int = DAY,
        block_time: int = 2,
        max_fee: int | None = None,
    ) -> None:
        super().__init__(Rail(f"eip155:{chain_id}", chain_id, VAULT_ADDRESS, token), BTT, TOKEN_ADDRESS)
        self.finality = finality
        self.max_fee = max_fee
        self.price = 1000
        """Native units per unit of work that the network asks for now."""
        self.automine = False
        self.hook: Callable[[str], None] = lambda question: None
        self._block_time = block_time
        self._wait = 0
        self._salt = 0
        world = World(self.rail, notice_period)
        self._chain = [_Mined(Block(0, keccak256(b"genesis"), GENESIS_TIME), world)]
        self._pool: dict[bytes, LegacyTx] = {}

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
            mined = _Mined(Block(parent.block.number + 1, name, self.now), parent.world.copy())
            self._wait = 0
            self._chain.append(mined)
            while tx := next((t for t in self._pool.values() if t.nonce == mined.world.nonces[t.sender]), None):
                del self._pool[tx.hash]
                mined.transactions.append(tx)
                mined.receipts[tx.hash] = self._execute(mined, tx)
            self._pool = {key: t for key, t in self._pool.items() if t.nonce >= mined.world.nonces[t.sender]}

    def reorg(self, depth: int, *, forget: bool = False) -> None:
        """Take the last blocks back. Their transactions wait again, or nobody remembers them."""
        for _ in range(min(depth, len(self._chain) - 1)):
            taken = self._chain.pop()
            if not forget:
                self._pool.update({tx.hash: tx for tx in taken.transactions})

    def forget_pending(self) -> None:
        """The network drops what waits for a block."""
        self._pool.clear()

    @property
    def _world(self) -> World:
        return self._chain[-1].world

    def _execute(self, mined: _Mined, tx: LegacyTx) -> Receipt:
        used = _gas(tx.data)
        mined.world.nonces[tx.sender] += 1
        mined.world.native[tx.sender] -= used * tx.price
        before = mined.world
        machine = Machine(before.copy(), tx.sender, mined.block.timestamp)
        try:
            self._run(machine, tx.to, tx.data, tx.value)
        except RefusedError:
            machine.events.clear()
        else:
            mined.world = machine.world
            mined.transfers += [TokenTransfer(*move, mined.block.number, tx.hash) for move in machine.moves]
        ok = mined.world is not before
        where = (mined.block.number, mined.block.hash)
        return Receipt(tx.hash, ok, *where, used, used * tx.price, tuple(machine.events))

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

    # --- writing -----------------------------------------------------------------------------------------------------

    async def estimate(self, call: Call, sender: Address) -> Fee:
        self.hook("estimate")
        self._try(self._chain[-1], call, sender)
        gas = _gas(call.data)
        fee = self._bounded(Fee(gas, self.price))
        if self._world.native[sender] < fee.total + call.value:
            raise InsufficientFundsError(f"{sender} cannot pay amount and fee")
        return fee

    async def next_nonce(self, sender: Address) -> int:
        self.hook("next_nonce")
        pending = [tx.nonce + 1 for tx in self._pool.values() if tx.sender == sender]
        return max([self._world.nonces[sender], *pending])

    async def prepare(self, call: Call, sender: Address, nonce: int, fee: Fee) -> UnsignedTx:
        self.hook("prepare")
        return UnsignedTx(call, sender, nonce, self._bounded(fee))

    def sign(self, tx: UnsignedTx, key: PrivateKey) -> SignedTx:
        return sign_legacy(tx, self.rail.chain_id, key)

    async def broadcast(self, signed: SignedTx) -> None:
        self.hook("broadcast")
        tx = read_legacy(signed.raw, self.rail.chain_id)
        if tx.hash not in self._pool and self._find(tx.hash) is None:
            self._admit(tx)
        if self.automine:
            self.mine()
        self.hook("broadcast done")

    async def outbid(self, tx: UnsignedTx) -> UnsignedTx | None:
        self.hook("outbid")
        if self.price <= tx.fee.price:
            return None
        least = -(-tx.fee.price * BUMP_PERCENT // 100)
        return replace(tx, fee=self._bounded(Fee(tx.fee.limit, max(self.price, least))))

    async def receipt(self, transaction: bytes) -> Receipt | None:
        self.hook("receipt")
        return self._find(transaction)

    async def is_final(self, receipt: Receipt) -> bool:
        self.hook("is_final")
        top = self._chain[-1].block.number
        return top - receipt.block >= self.finality and self._chain[receipt.block].block.hash == receipt.block_hash

    async def is_void(self, signed: SignedTx) -> bool:
        self.hook("is_void")
        final = self._chain[max(0, len(self._chain) - 1 - self.finality)].world
        return final.nonces[signed.tx.sender] > signed.tx.nonce and self._find(signed.hash) is None

    async def why_reverted(self, tx: UnsignedTx, receipt: Receipt) -> str:
        self.hook("why_reverted")
        try:
            self._try(self._chain[receipt.block - 1], tx.call, tx.sender)
        except RevertedError as error:
            return str(error)
        return "the contract refused it"

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _admit(self, tx: LegacyTx) -> None:
        """Into the pool, or out with the node's refusal."""
        if tx.nonce < self._world.nonces[tx.sender]:
            raise NonceError("the nonce is used already")
        rival = next((o for o in self._pool.values() if (o.sender, o.nonce) == (tx.sender, tx.nonce)), None)
        least = self.price if rival is None else max(self.price, -(-rival.price * BUMP_PERCENT // 100))
        if tx.gas < _gas(tx.data):
            raise RevertedError("the contract refuses: too little gas")
        if tx.price < least:
            raise UnderpricedError(f"the gas price is too low: {tx.price}, not {least}")
        if self._world.native[tx.sender] < tx.gas * tx.price + tx.value:
            raise InsufficientFundsError(f"{tx.sender} cannot pay amount and fee")
        if rival is not None:
            del self._pool[rival.hash]
        self._pool[tx.hash] = tx

    def _try(self, at: _Mined, call: Call, sender: Address) -> None:
        machine = Machine(at.world.copy(), sender, self.now)
        try:
            self._run(machine, call.to, call.data, call.value)
        except RefusedError as error:
            raise RevertedError(f"the contract refuses: {abi.revert_reason(error.data)}") from None

    def _find(self, transaction: bytes) -> Receipt | None:
        found = (mined.receipts.get(transaction) for mined in reversed(self._chain))
        return next((receipt for receipt in found if receipt is not None), None)

    def _bounded(self, fee: Fee) -> Fee:
        if self.max_fee is not None and fee.total > self.max_fee:
            raise FeeTooHighError(f"the fee of up to {fee.total} units is above your bound of {self.max_fee}")
        return fee


def _gas(data: bytes) -> int:
    return CALL_GAS if data else TRANSFER_GAS
