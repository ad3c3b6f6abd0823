"""An EVM chain in memory: nonces, gas at one price, replacement by a dearer transaction (see `fake_network`)."""

from __future__ import annotations

from dataclasses import replace

from wallet.address import Address
from wallet.amount import BTT, Token
from wallet.chains.base import (
    Call,
    Fee,
    NonceError,
    RevertedError,
    SignedTx,
    UnderpricedError,
    UnsignedTx,
)
from wallet.chains.fake_network import DAY, VAULT_ADDRESS, Charge, FakeNetwork, Mined
from wallet.chains.legacy import LegacyTx, read_legacy, sign_legacy
from wallet.cheque import Rail
from wallet.keys import PrivateKey

TRANSFER_GAS, CALL_GAS = 21_000, 100_000
BUMP_PERCENT = 110
"""A replacement must offer at least this much of the price it replaces."""


class FakeChain(FakeNetwork[LegacyTx]):
    """Implements `wallet.chains.base.ChainAdapter`. `price` is that of gas."""

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
        super().__init__(
            Rail(f"eip155:{chain_id}", chain_id, VAULT_ADDRESS, token),
            BTT,
            finality=finality,
            notice_period=notice_period,
            block_time=block_time,
            max_fee=max_fee,
        )

    # --- rules -------------------------------------------------------------------------------------------------------

    def _read(self, raw: bytes) -> LegacyTx:
        return read_legacy(raw, self.rail.chain_id)

    def _admit(self, tx: LegacyTx) -> None:
        if tx.nonce < self._world.nonces[tx.sender]:
            raise NonceError("the nonce is used already")
        rival = next((o for o in self._pool.values() if (o.sender, o.nonce) == (tx.sender, tx.nonce)), None)
        least = self.price if rival is None else max(self.price, -(-rival.price * BUMP_PERCENT // 100))
        if tx.gas < _gas(tx.data):
            raise RevertedError("the contract refuses: too little gas")
        if tx.price < least:
            raise UnderpricedError(f"the gas price is too low: {tx.price}, not {least}")
        self._check_funds(tx.sender, tx.gas * tx.price + tx.value)
        if rival is not None:
            del self._pool[rival.hash]
        self._pool[tx.hash] = tx

    def _fits(self, tx: LegacyTx, mined: Mined[LegacyTx]) -> bool:
        return tx.nonce == mined.world.nonces[tx.sender]

    def _lives(self, tx: LegacyTx, mined: Mined[LegacyTx]) -> bool:
        return tx.nonce >= mined.world.nonces[tx.sender]

    def _excluded(self, tx: UnsignedTx) -> bool:
        return self._final.world.nonces[tx.sender] > tx.nonce

    def _charge(self, tx: LegacyTx) -> Charge:
        used = _gas(tx.data)
        return Charge(used, used * tx.price)

    def _fee(self, call: Call, sender: Address) -> Fee:
        return Fee(_gas(call.data), self.price)

    # --- writing -----------------------------------------------------------------------------------------------------

    async def next_nonce(self, sender: Address) -> int:
        self.hook("next_nonce")
        nonce = self._world.nonces[sender]
        waiting = {tx.nonce for tx in self._pool.values() if tx.sender == sender}
        while nonce in waiting:
            nonce += 1
        return nonce

    async def prepare(self, call: Call, sender: Address, nonce: int, fee: Fee) -> UnsignedTx:
        self.hook("prepare")
        return UnsignedTx(call, sender, nonce, self._bounded(fee))

    def sign(self, tx: UnsignedTx, key: PrivateKey) -> SignedTx:
        return sign_legacy(tx, self.rail.chain_id, key)

    async def outbid(self, tx: UnsignedTx) -> UnsignedTx | None:
        self.hook("outbid")
        if self.price <= tx.fee.price:
            return None
        least = -(-tx.fee.price * BUMP_PERCENT // 100)
        return replace(tx, fee=self._bounded(Fee(tx.fee.limit, max(self.price, least))))


def _gas(data: bytes) -> int:
    return CALL_GAS if data else TRANSFER_GAS
